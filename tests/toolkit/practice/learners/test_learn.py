"""`preceptor learn`: tables, odd logs, the same again, nothing of forgotten people."""

import csv
import json
from datetime import UTC, datetime, timedelta

import numpy as np
import pytest

from preceptor.schemas.errors import StoreError
from preceptor.schemas.tables import LEARNER_FITS, LEARNER_STATES, MASTERY, MEMORY
from preceptor.toolkit.ingest.run import ingest_files
from preceptor.toolkit.practice.learners.learn import LearnSettings, learn
from preceptor.toolkit.practice.learners.mastery.online import predict_answer
from preceptor.toolkit.practice.learners.states import read_learner, read_learner_fit, read_mastery_model
from preceptor.toolkit.privacy.forget import forget
from preceptor.toolkit.store.connection import count, query

QUICK = LearnSettings(steps=2, memory_steps=3)
START = datetime(2026, 1, 1, 12, tzinfo=UTC)


def write_log(path, rows):
    names = ("learner", "item", "skills", "at", "correct", "duration_ms")
    with path.open("w", newline="") as out:
        writer = csv.DictWriter(out, names)
        writer.writeheader()
        writer.writerows(rows)
    return path


def make_log(seed=0, learners=4, answers=12, times=True, skills=True):
    draw = np.random.default_rng(seed)
    return [
        {
            "learner": f"learner-{who}x",
            "item": f"i{draw.integers(5)}",
            "skills": ["plural", "articles|plural", "tense"][draw.integers(3)] if skills else "",
            "at": (START + timedelta(days=n * 2 + who / 100)).isoformat() if times else "",
            "correct": int(draw.random() < 0.6),
            "duration_ms": int(draw.integers(900, 9000)),
        }
        for who in range(learners)
        for n in range(answers)
    ]


@pytest.fixture
def ingested(store, tmp_path):
    """A function that reads rows as a source of the store."""

    def read(rows, source="log"):
        ingest_files(
            store, "reviews", [write_log(tmp_path / f"{source}.csv", rows)], source, allow_rejects=True
        )
        return store

    return read


def test_both_models_are_stored_and_the_same_again(ingested):
    con = ingested(make_log())
    done = learn(con, settings=QUICK)
    assert [(p.kind, p.answers, p.learners, p.already_there) for p in done.parts] == [
        ("mastery", 48, 4, False),
        ("memory", 48, 4, False),
    ]
    rows = query(con, "SELECT * FROM mastery ORDER BY learner, skill")
    assert set(rows["skill"]) == {"plural", "articles", "tense"}
    assert ((rows["low"] < rows["mean"]) & (rows["mean"] < rows["high"])).all()
    assert ((rows["low"] > 0) & (rows["high"] < 1)).all()
    cards = query(con, "SELECT * FROM memory")
    assert ((cards["low"] < cards["mean"]) & (cards["mean"] < cards["high"])).all()
    assert (cards["due_at"] > cards["last_at"]).all()
    again = learn(con, settings=QUICK)
    assert all(p.already_there for p in again.parts)
    other = learn(con, settings=LearnSettings(steps=3, memory_steps=3))
    assert [p.already_there for p in other.parts] == [False, True]
    assert count(con, LEARNER_FITS) == 2


def test_stored_states_go_on_as_if_nothing_had_been_stored(ingested):
    """What the table says of a skill is what one answer at a time says after the last answer."""
    con = ingested(make_log(times=False))
    learn(con, settings=QUICK)
    fit = read_learner_fit(con)
    model = read_mastery_model(fit)
    for row in query(con, "SELECT * FROM mastery").iter_rows(named=True):
        learner = read_learner(con, fit["key"], row["learner"])
        told = predict_answer(model, learner, "an item of nobody", [row["skill"]], form=False)
        assert (told.p, told.low, told.high) == pytest.approx(
            (row["mean"], row["low"], row["high"]), abs=1e-9
        )
    assert read_learner(con, fit["key"], "nobody") is None


def test_odd_logs_are_named_and_handled(ingested):
    rows = make_log(learners=2)
    rows.append(rows[0] | {"learner": "once", "at": START.isoformat()})
    rows += [
        rows[0] | {"learner": "always", "correct": 1, "at": (START + timedelta(days=d)).isoformat()}
        for d in (9, 3)
    ]
    rows.append(
        rows[0] | {"learner": "always", "correct": 1, "at": (START + timedelta(days=9000)).isoformat()}
    )
    rows.append(rows[0] | {"learner": "always", "correct": 1, "at": ""})
    con = ingested(rows)
    done = learn(con, settings=QUICK)
    said = "\n".join(done.notes)
    assert "1 answer without a time" in said
    assert "1 answer earlier than a line before: a clock ran backwards" in said
    assert "1 gap of more than ten years" in said
    assert "1 learner with one answer alone" in said
    assert "1 learner always right or always wrong" in said
    chances = query(con, "SELECT mean, low, high FROM mastery UNION ALL SELECT mean, low, high FROM memory")
    assert chances.select(finite=np.isfinite(chances.to_numpy()).all()).item()
    assert query(con, "SELECT notes FROM learner_fits")["notes"][0] == said


def test_a_log_of_cards_tells_of_memory_and_one_without_times_of_mastery(ingested):
    con = ingested(make_log(skills=False), "cards")
    ingested(make_log(times=False, skills=False, seed=1), "lessons")
    done = learn(con, settings=QUICK)
    assert [(p.kind, p.answers) for p in done.parts] == [("mastery", 48), ("memory", 48)]
    assert [p.kind for p in learn(con, ["cards"], QUICK).parts] == ["memory"]
    assert [p.kind for p in learn(con, ["lessons"], QUICK).parts] == ["mastery"]


def test_nothing_to_learn_of_is_said(store, ingested):
    with pytest.raises(StoreError, match="ingest a study log first"):
        learn(store)
    con = ingested(make_log())
    with pytest.raises(StoreError, match="no source of that name with reviews; there are log"):
        learn(con, ["lgo"])


def test_a_forgotten_person_is_in_no_table(ingested):
    con = ingested(make_log())
    learn(con, settings=QUICK)
    (who,) = query(con, "SELECT DISTINCT learner FROM mastery ORDER BY 1 LIMIT 1")["learner"]
    before = [count(con, table) for table in (MASTERY, LEARNER_STATES, MEMORY)]
    removed = forget(con, who).removed
    assert {"mastery", "learner_states", "memory"} <= removed.keys()
    assert all(count(con, t) < n for t, n in zip((MASTERY, LEARNER_STATES, MEMORY), before, strict=True))
    parameters = query(con, "SELECT parameters FROM learner_fits")["parameters"]
    assert not any(who in text for text in parameters)
    assert json.loads(parameters[0])["values"]
