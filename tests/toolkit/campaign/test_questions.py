"""Questions: what a campaign asks, how it is chosen, and that choosing again keeps what is there."""

import json

import numpy as np
import polars as pl
import pytest
from invented import RATING, Rubric, fill, prompts_file, with_fit

from preceptor.schemas.errors import AnnotationError
from preceptor.schemas.licenses import read_license
from preceptor.schemas.tables import VOTES
from preceptor.toolkit.campaign.questions import (
    Golden,
    choose_questions,
    find_default_select,
    mark_asked,
    read_questions,
)
from preceptor.toolkit.ingest.batch import Context
from preceptor.toolkit.ingest.formats import FORMATS
from preceptor.toolkit.ingest.run import Origin, find_inputs, ingest
from preceptor.toolkit.store.connection import insert, query, remove_source
from preceptor.toolkit.store.where import Where

PREFERENCE = Rubric()
PLAIN = Golden(0, 0)


@pytest.fixture
def con(store, tmp_path):
    """30 prompts with four completions each: 180 pairs, nobody asked yet."""
    fill(store, tmp_path)
    return store


def chosen(con, n, by="coverage", rubric=PREFERENCE, golden=PLAIN, seed=1, campaign="week-1", **where):
    choose_questions(con, campaign, rubric, n, by, seed, golden, Where(**where))
    return query(con, "SELECT * FROM questions WHERE source = ? ORDER BY position", [campaign])


def pairs(frame):
    return [frozenset(row) for row in frame.select("completion_a", "completion_b").rows()]


def spread(con):
    """A fit whose pairs all differ in what they tell; returns the gain by pair, best first."""
    with_fit(con, lambda n: np.linspace(0.5, 0.9, n), lambda n: np.linspace(0.4, 0.001, n) ** 3)
    return query(con, "SELECT * FROM preferences ORDER BY information_gain DESC")


def test_a_question_knows_its_place_prompt_sides_and_rubric(con):
    asked = chosen(con, 40)
    assert asked["position"].to_list() == list(range(1, 41))
    assert set(asked["rubric"]) == {Rubric().digest}
    assert set(asked["chosen_by"]) == {"coverage"}
    assert asked["asked_at"].null_count() == 40
    owners = dict(query(con, "SELECT key, prompt FROM completions").rows())
    for row in asked.iter_rows(named=True):
        assert owners[row["completion_a"]] == owners[row["completion_b"]] == row["prompt"]
        assert row["completion_a"] != row["completion_b"]
    assert len(set(pairs(asked))) == 40


def test_sides_are_balanced_and_seeded(con, tmp_path):
    asked = chosen(con, 51, campaign="one")
    first = asked["shown_first"].value_counts()["count"].to_list()
    assert sorted(first) == [25, 26]
    again = chosen(con, 51, campaign="one-again")  # same seed, nothing answered: other pairs are open
    remove_source(con, "one")
    remove_source(con, "one-again")
    same, other = chosen(con, 51, campaign="one"), chosen(con, 51, campaign="other", seed=2)
    columns = ["position", "completion_a", "completion_b", "shown_first", "purpose"]
    assert same.select(columns).equals(asked.select(columns))
    assert set(pairs(again)) != set(pairs(asked))
    assert not other.select(columns).equals(same.select(columns))


def test_coverage_goes_over_prompts_and_completions_before_it_comes_back(con):
    asked = chosen(con, 60)
    assert asked["prompt"][:30].n_unique() == 30
    assert set(asked["prompt"].value_counts()["count"]) == {2}
    seen = [key for pair in pairs(asked) for key in pair]
    assert len(seen) == len(set(seen)) == 120  # every completion of every prompt once


def test_coverage_takes_first_what_has_the_fewest_votes(con):
    rows = query(
        con,
        """SELECT a.key AS completion_a, b.key AS completion_b FROM completions a JOIN completions b
        ON a.prompt = b.prompt AND a.key < b.key JOIN prompts q ON q.key = a.prompt WHERE q.ref < 'p2'""",
    )
    insert(
        con,
        VOTES,
        rows.with_row_index("line").with_columns(
            source=pl.lit("v"), choice=pl.lit("a"), n=pl.lit(0), path=pl.lit("f")
        ),
    )
    voted = set(rows["completion_a"]) | set(rows["completion_b"])
    asked = chosen(con, 60)
    heard = [bool(pair & voted) for pair in pairs(asked)]
    fresh = 180 - rows.height
    assert not any(heard[: min(60, fresh)])


def test_information_takes_the_largest_gains_but_not_the_same_prompt_again_for_a_little_more(con):
    best = spread(con)
    asked = chosen(con, 30, "information")
    gain = {
        frozenset(r[:2]): r[2] for r in best.select("completion_a", "completion_b", "information_gain").rows()
    }
    gains = [gain[pair] for pair in pairs(asked)]
    assert gains[0] == max(gain.values())
    assert sum(gains) > 0.8 * sum(sorted(gain.values(), reverse=True)[:30])
    # Ordered by gain alone the first six pairs, of a slowly falling gain, would be of one prompt.
    assert best["prompt"][:6].n_unique() == 1
    assert asked["prompt"][:6].n_unique() > 2


def test_gains_far_apart_outweigh_the_discount(con):
    with_fit(con, lambda n: np.full(n, 0.5), lambda n: np.where(np.arange(n) < 6, 0.3, 0.001))
    asked = chosen(con, 6, "information")
    assert asked["prompt"].n_unique() == 1


def test_uncertain_takes_p_nearest_a_half(con):
    with_fit(con, lambda n: np.where(np.arange(n) % 6 == 0, 0.5, 0.95), np.ones)
    asked = chosen(con, 30, "uncertain")
    p = dict(zip(pairs(every := query(con, "FROM preferences")), every["p"], strict=True))
    assert {p[pair] for pair in pairs(asked)} == {0.5}


def test_a_pair_that_waits_for_its_answer_is_not_chosen_by_a_fit_again(con):
    spread(con)
    one, two = chosen(con, 20, "information"), chosen(con, 20, "information", campaign="week-2")
    assert not set(pairs(one)) & set(pairs(two))


@pytest.mark.parametrize("by", ["information", "uncertain"])
def test_without_a_fit_it_says_what_to_do(con, by):
    with pytest.raises(AnnotationError, match=r"run preceptor fuse first, or use --select coverage"):
        chosen(con, 10, by)
    assert query(con, "FROM sources WHERE reader = 'annotate'").is_empty()


def test_the_default_follows_what_is_known(con):
    assert find_default_select(con) == "coverage"
    with_fit(con, lambda n: np.full(n, 0.5), np.zeros)  # a fit of outcomes alone
    assert find_default_select(con) == "coverage"
    with pytest.raises(AnnotationError, match="no pair that would gain"):
        chosen(con, 10, "information")
    spread(con)
    assert find_default_select(con) == "information"


def test_choosing_again_adds_only_what_is_missing(con):
    before = chosen(con, 20, golden=Golden(0.1, 0.1))
    assert chosen(con, 20, golden=Golden(0.1, 0.1), seed=7).equals(before)
    assert chosen(con, 5, golden=Golden(0.1, 0.1)).equals(before)
    after = chosen(con, 35, golden=Golden(0.1, 0.1), seed=7)
    assert after.head(20).equals(before)
    assert after["position"].to_list() == list(range(1, 36))
    assert after["key"].n_unique() == 35
    asks = after.filter(pl.col("purpose") == "ask")
    assert len(set(pairs(asks))) == asks.height


def test_golden_questions_are_repeated_with_the_sides_swapped_and_known_by_a_sure_fit(con):
    with_fit(con, lambda n: np.where(np.arange(n) < 30, 0.99, 0.6), np.ones, votes=8)
    asked = chosen(con, 100, "information", golden=Golden(0.1, 0.2))
    counts = dict(asked["purpose"].value_counts().rows())
    assert counts == {"ask": 70, "known": 10, "repeat": 20}
    ask, known, again = (asked.filter(pl.col("purpose") == name) for name in ("ask", "known", "repeat"))
    assert set(known["expected"]) == {"a"}
    assert asked.filter(pl.col("purpose") != "known")["expected"].null_count() == 90
    assert not set(pairs(known)) & set(pairs(ask))
    both = again.join(ask, on=["completion_a", "completion_b"])
    assert both.height == 20
    assert (both["shown_first"] != both["shown_first_right"]).all()
    assert (both["position"] > both["position_right"]).all()
    # Not in a block of their own, where annotators would know them.
    assert known["position"].max() - known["position"].min() > 30


def test_known_needs_a_converged_fit_with_many_votes(con):
    for votes, converged in ((3, True), (8, False)):
        with_fit(con, lambda n: np.full(n, 0.99), np.ones, votes=votes, converged=converged)
        done = choose_questions(con, f"c{votes}", Rubric(), 40, "coverage", 1, Golden(0.1, 0))
        assert done.added == {"ask": 40}
        assert "no questions with a known answer, not 4" in done.notes[0]


def test_right_and_wrong_by_the_source_are_known(store, tmp_path):
    rows = [
        {
            "id": f"p{i}",
            "task": "qa",
            "prompt": f"{i} + 1?",
            "completions": [
                {"id": f"r{i}", "content": f"{i + 1}", "context": {"right": True}},
                {"id": f"w{i}", "content": f"{i + 2}", "context": {"right": False}},
                {"id": f"m{i}", "content": f"maybe {i + 1}"},
            ],
        }
        for i in range(10)
    ]
    (tmp_path / "q.jsonl").write_text("\n".join(map(json.dumps, rows)))
    ingest(
        store,
        FORMATS["prompts"],
        find_inputs(FORMATS["prompts"], [tmp_path / "q.jsonl"]),
        Context("q"),
        Origin(read_license(None)),
    )
    refs = dict(query(store, "SELECT key, ref FROM completions").rows())
    known = chosen(store, 20, golden=Golden(0.2, 0)).filter(pl.col("purpose") == "known")
    assert known.height == 4
    for row in known.iter_rows(named=True):
        better = row["completion_a"] if row["expected"] == "a" else row["completion_b"]
        assert refs[better].startswith("r")
        assert {refs[row["completion_a"]][0], refs[row["completion_b"]][0]} == {"r", "w"}


def test_equal_and_unpublished_texts_are_never_asked(store, tmp_path):
    path = prompts_file(tmp_path / "x.jsonl", prompts=1, completions=2)
    row = json.loads(path.read_text())
    texts = ["A cat.", "a  CAT. ", "A dog.", "A dog."]
    row["completions"] = [{"id": str(i), "content": text} for i, text in enumerate(texts)]
    path.write_text(json.dumps(row))
    files = find_inputs(FORMATS["prompts"], [path])
    ingest(store, FORMATS["prompts"], files, Context("x"), Origin(read_license(None)))
    done = choose_questions(store, "c", Rubric(), 10, "coverage", 0, PLAIN)
    assert done.added == {"ask": 1}  # four pairs differ, but by the same two texts
    assert "1 questions, not 10: there is nothing else to ask" in done.notes[0]
    store.execute("UPDATE completions SET content = '' WHERE ref IN ('2', '3')")
    with pytest.raises(AnnotationError, match="nothing to ask"):
        chosen(store, 10, campaign="d")


def test_a_rating_rubric_asks_about_single_completions(con):
    asked = chosen(con, 30, rubric=RATING, golden=Golden(0.1, 0.1))
    assert asked["completion_b"].null_count() == asked["shown_first"].null_count() == 30
    assert dict(asked["purpose"].value_counts().rows()) == {"ask": 27, "repeat": 3}
    assert asked.filter(pl.col("purpose") == "ask")["prompt"].n_unique() == 27
    criteria = query(con, "SELECT criterion, levels FROM rubrics WHERE source = 'week-1' ORDER BY 1").rows()
    assert criteria == [("brief", 3), ("clear", 3)]
    with_fit(con, lambda n: np.full(n, 0.5), np.ones, sd=lambda n: np.arange(n) / n)
    widest = query(con, "SELECT completion FROM effectiveness ORDER BY expressed_sd DESC LIMIT 12")[
        "completion"
    ]
    by_sd = chosen(con, 12, "information", RATING, campaign="week-2")["completion_a"]
    assert len(set(by_sd) & set(widest)) >= 6


def test_filters_by_source_task_and_language(con, tmp_path):
    fill(con, tmp_path, source="other", task="qa", prompts=5)
    only = chosen(con, 10, sources=("other",))
    assert set(
        query(con, "SELECT source FROM prompts WHERE list_contains($1, key)", [only["prompt"].to_list()])[
            "source"
        ]
    ) == {"other"}
    assert chosen(con, 10, campaign="t", task="qa")["prompt"].is_in(only["prompt"].implode()).sum() >= 0
    with pytest.raises(AnnotationError, match="did you mean 'other'"):
        chosen(con, 10, campaign="u", sources=("othr",))
    with pytest.raises(AnnotationError, match="--task tutoring: no task of that name with prompts"):
        chosen(con, 10, campaign="u", task="tutoring")
    with pytest.raises(AnnotationError, match="--language uk"):
        chosen(con, 10, campaign="u", language="uk")


def test_a_campaign_keeps_its_rubric_and_its_name(con):
    chosen(con, 5)
    with pytest.raises(AnnotationError, match=r"begun with another rubric .*'preference' \(dddddddd\)"):
        chosen(con, 10, rubric=RATING)
    with pytest.raises(AnnotationError, match="read as prompts, not a campaign"):
        chosen(con, 5, campaign="prompts")
    with pytest.raises(AnnotationError, match="did you mean 'coverage'"):
        chosen(con, 5, "coverge")
    assert query(con, "SELECT count(*) AS n FROM questions")["n"][0] == 5


def test_what_annotators_see_and_when_they_were_asked(con):
    asked = chosen(con, 10)
    read = read_questions(con, "week-1")
    assert read["key"].to_list() == asked["key"].to_list()
    texts = dict(query(con, "SELECT key, content FROM completions").rows())
    assert read["content_a"].to_list() == [texts[key] for key in asked["completion_a"]]
    assert read["messages"][0][-1]["content"].startswith("How do I remember word")
    assert read["p"].null_count() == 10
    assert mark_asked(con, "week-1", read["key"][:4]) == 4
    before = query(con, "SELECT asked_at FROM questions ORDER BY position")["asked_at"]
    assert mark_asked(con, "week-1", read["key"][:6]) == 2
    after = query(con, "SELECT asked_at FROM questions ORDER BY position")["asked_at"]
    assert after[:4].equals(before[:4])
    assert after.null_count() == 4
    with_fit(con, lambda n: np.full(n, 0.7), np.ones)
    con.execute(
        "UPDATE questions SET completion_a = completion_b, completion_b = completion_a WHERE position = 1"
    )
    p = read_questions(con, "week-1")["p"].to_list()
    assert p == pytest.approx([0.3] + [0.7] * 9)
