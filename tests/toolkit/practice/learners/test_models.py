"""LearnerState models: batch and one answer at a time agree; FSRS is FSRS; what a log tells is found again."""

from datetime import UTC, datetime, timedelta

import jax
import numpy as np
import polars as pl
import pytest
from fsrs import Card, Rating, Scheduler
from hypothesis import given
from hypothesis import strategies as st

from preceptor.toolkit.practice.learners.fit import fit_mastery, foretell_answers
from preceptor.toolkit.practice.learners.mastery import model as mastery
from preceptor.toolkit.practice.learners.mastery.answers import describe_moments, order_answers
from preceptor.toolkit.practice.learners.mastery.blocks import pad_answers
from preceptor.toolkit.practice.learners.mastery.online import (
    predict_answer,
    read_model,
    start_learner,
    take_answer,
)
from preceptor.toolkit.practice.learners.memory import model as memory
from preceptor.toolkit.practice.learners.memory.fsrs import compute_retrievability, start_card, update_card
from preceptor.toolkit.practice.learners.memory.reviews import follow_cards, order_reviews

START = datetime(2026, 1, 1, tzinfo=UTC)


def make_events(seed=0, learners=5, answers=30, times=True):
    """Answers to sets of up to three of eight skills."""
    draw = np.random.default_rng(seed)
    rows = []
    for who in range(learners):
        at = START
        for n in range(answers):
            skills = sorted(draw.choice(list("abcdefgh"), draw.integers(1, 4), replace=False).tolist())
            at += timedelta(days=float(draw.exponential(1.0)))
            rows.append(
                {
                    "learner": f"l{who}",
                    "item": skills[0] if len(skills) == 1 else "".join(skills) + str(draw.integers(2)),
                    "skills": skills if len(skills) > 1 else None,
                    "correct": bool(draw.random() < 0.6),
                    "at": at if times else None,
                    "key": f"{who}-{n}",
                }
            )
    return pl.DataFrame(rows, schema_overrides={"at": pl.Datetime("us", "UTC")})


def vary(answers, seed=1):
    """Parameters near the start, each with another value, without covariates."""
    draw = np.random.default_rng(seed)
    p = {
        name: np.asarray(v) + draw.normal(0, 0.2, np.shape(v))
        for name, v in mastery.start_mastery(answers).items()
    }
    return p | {"moment": np.zeros_like(p["moment"])}


@pytest.mark.parametrize("times", [True, False])
def test_one_answer_at_a_time_is_the_same_as_all_at_once(times):
    events = make_events(times=times)
    answers = order_answers(events)
    p = vary(answers)
    batch = np.full(answers.rows.height, np.nan)
    with jax.enable_x64(True):
        for block, row, _ in pad_answers(answers):
            _, told = mastery.filter_answers(p, block, mastery.make_state(p, block))
            batch[row[row >= 0]] = np.asarray(told.p)[row >= 0]
    questions = answers.questions.select("item", "set").rows()
    model = read_model(p, answers.components[: answers.skills], questions)
    alone = []
    for _, own in events.group_by("learner", maintain_order=True):
        learner = start_learner(model)
        for row in own.iter_rows(named=True):
            day = (row["at"] - datetime(1970, 1, 1, tzinfo=UTC)) / timedelta(days=1) if times else None
            asked = row["item"], row["skills"] or [row["item"]]
            before = predict_answer(model, learner, *asked, day)
            taken = take_answer(model, learner, *asked, row["correct"], day)
            assert taken.p == pytest.approx(before.p, abs=1e-12)
            assert before.low < before.p < before.high
            alone.append(taken.p)
    assert np.abs(batch - alone).max() < 1e-10


def test_nothing_of_an_answer_is_in_its_own_forecast():
    """Turning the last answers over changes no forecast but later ones."""
    events = make_events(learners=3)
    turned = events.with_columns(
        pl.when(pl.int_range(pl.len()).over("learner") >= 20)
        .then(~pl.col("correct"))
        .otherwise("correct")
        .alias("correct")
    )
    first, other = order_answers(events), order_answers(turned)
    p = vary(first) | {"moment": np.full(13, 0.3)}
    a, b = foretell_answers(p, first).p, foretell_answers(p, other).p
    turn = first.rows["turn"].to_numpy()
    assert np.array_equal(a[turn <= 20], b[turn <= 20])
    assert (a[turn > 20] != b[turn > 20]).any()


def test_learners_of_a_block_do_not_meet():
    events = make_events(learners=9)
    answers = order_answers(events)
    p = vary(answers)
    alone = answers.keep(np.array([4]))
    whole = foretell_answers(p, answers).p[answers.rows["learner"].to_numpy() == 4]
    assert foretell_answers(p, alone).p == pytest.approx(whole, abs=1e-6)


def test_what_learners_can_do_is_found_again():
    """Able learners and easy skills come out as such, after a short fit."""
    draw = np.random.default_rng(5)
    ability = draw.normal(0, 1.5, 60)
    rows = [
        {
            "learner": f"l{who:02}",
            "item": f"s{n % 4}",
            "skills": None,
            "correct": bool(draw.random() < 1 / (1 + np.exp(-(ability[who] + (n % 4) - 1)))),
            "at": None,
            "key": f"{who}-{n}",
        }
        for who in range(60)
        for n in range(24)
    ]
    answers = order_answers(
        pl.DataFrame(rows, schema_overrides={"at": pl.Datetime("us", "UTC"), "skills": pl.List(pl.String)})
    )
    p, values = fit_mastery(answers, steps=12)
    assert values[-1] < values[0]
    last = answers.rows["turn"].to_numpy() == 23
    assert np.corrcoef(foretell_answers(p, answers).ability[last], ability)[0, 1] > 0.8
    names = dict(zip(answers.components, p["skill_mean"], strict=True))
    assert names["s0"] < names["s2"] < names["s3"]


def test_moments_of_answers():
    rows = [("a", 1), ("a", 1), ("a", 1), ("b", 0), ("a", 0), ("a", 1)]
    events = pl.DataFrame(
        [
            {"learner": "l", "item": item, "skills": None, "correct": bool(y), "at": None, "key": str(n)}
            for n, (item, y) in enumerate(rows)
        ],
        schema_overrides={"at": pl.Datetime("us", "UTC"), "skills": pl.List(pl.String)},
    )
    x = describe_moments(order_answers(events))
    assert x[:, 3].tolist() == [1, 0, 0, 1, 0, 0]  # first try
    assert x[4, [2, 8, 10, 11]].tolist() == [0, 1.5, 1, 1]  # three right before, on return
    assert x[5, [1, 9, 12]].tolist() == [1, 0.5, 1]  # wrong just before


GRADES = st.lists(
    st.tuples(st.integers(1, 4), st.sampled_from([0, 0, 1, 2, 7, 30, 400])), min_size=1, max_size=15
)


@given(GRADES)
def test_fsrs_is_what_its_package_computes(reviews):
    scheduler, card, at = Scheduler(enable_fuzzing=False), Card(), START
    stability = difficulty = None
    for grade, days in reviews:
        if stability is not None:
            at += timedelta(days=days, seconds=60)
            mine = compute_retrievability(days, stability)
            assert mine == pytest.approx(scheduler.get_card_retrievability(card, at), rel=1e-9)
            stability, difficulty = update_card(stability, difficulty, days, grade)
        else:
            stability, difficulty = start_card(grade)
        card, _ = scheduler.review_card(card, Rating(grade), at)
        assert (stability, difficulty) == pytest.approx((card.stability, card.difficulty), rel=1e-9)


def make_reviews(seed=0, cards=12):
    draw = np.random.default_rng(seed)
    rows = []
    for card in range(cards):
        at = START + timedelta(minutes=card)
        for n in range(int(draw.integers(1, 9))):
            right = bool(draw.random() < 0.8)
            rows.append(
                {
                    "learner": f"l{card % 2}",
                    "item": f"c{card}",
                    "correct": right,
                    "grade": [None, 3 if right else 1][card % 2],
                    "duration_ms": None if n == 2 else int(draw.integers(500, 20_000)),
                    "at": at,
                    "key": f"{card}-{n}",
                }
            )
            at += timedelta(days=float(draw.choice([0.01, 1, 3, 20])))
    return pl.DataFrame(rows, schema_overrides={"at": pl.Datetime("us", "UTC")})


def test_memory_is_the_same_one_review_at_a_time():
    reviews = order_reviews(make_reviews())
    draw = np.random.default_rng(2)
    p = {name: v + draw.normal(0, 0.2, v.shape) for name, v in memory.start_memory().items()}
    told, ends = follow_cards(p, reviews)
    for card in range(reviews.cards.height):
        state = memory.make_cards(np.zeros(()))
        for row in reviews.rows.filter(card=card).iter_rows(named=True):
            values = (row["days"], row["before"], row["slowness"], row["right"], 1.0)
            state, found = memory.take_review(p, state, memory.Review(*map(np.float64, values)))
            assert found.p == pytest.approx(told.p[row["row"]], abs=1e-12)
        assert state == pytest.approx([end[card] for end in ends], abs=1e-12)


def test_slow_answers_and_days_are_the_learner_s_own():
    rows = order_reviews(make_reviews()).rows
    assert rows["slowness"].is_between(-2, 2).all()
    assert (
        rows.filter(pl.col("nth") == 2)["slowness"].to_list()
        == [0.0] * rows.filter(pl.col("nth") == 2).height
    )
    assert (rows["days"] >= 0).all()
    assert rows.filter(nth=0)["days"].sum() == 0
