"""`preceptor recommend` and `preceptor learner`: what a learner gets, and why."""

import json
from datetime import UTC, datetime, timedelta

import numpy as np
import polars as pl
import pytest
from in_process import run

from preceptor.schemas.errors import StoreError
from preceptor.toolkit.ingest.run import ingest_files
from preceptor.toolkit.practice.learners.learn import LearnSettings, learn
from preceptor.toolkit.practice.learners.profile import read_profile, write_context
from preceptor.toolkit.practice.learners.recommend import Wishes, recommend
from preceptor.toolkit.store.connection import open_store, query

START = datetime(2026, 1, 1, 12, tzinfo=UTC)
NOW = START + timedelta(days=60)
SKILLS = ("easy", "middling", "hard")


@pytest.fixture(scope="module")
def learned(tmp_path_factory):
    """A store with a fit: twelve learners, three skills of six items each; the last learner is weak at hard."""
    folder = tmp_path_factory.mktemp("learned")
    draw = np.random.default_rng(2)
    rows = [
        {
            "learner": f"pupil-{who}",
            "item": f"{skill}-{draw.integers(6)}",
            "skills": skill,
            "at": (START + timedelta(days=n)).isoformat(),
            "correct": int(draw.random() < (0.95, 0.75, 0.3)[k]),
        }
        for who in range(12)
        for n in range(14)
        for k, skill in enumerate(SKILLS)
    ]
    pl.DataFrame(rows).write_csv(folder / "log.csv")
    with open_store(folder / "s.duckdb", create=True) as con:
        ingest_files(con, "reviews", [folder / "log.csv"], "log")
        learn(con, settings=LearnSettings(steps=10, memory_steps=5))
    return folder / "s.duckdb"


@pytest.fixture
def con(learned):
    with open_store(learned, read_only=True) as con:
        yield con


@pytest.fixture
def pupil(con):
    """The pupil who is best at what is middling; not the first by pseudonym, which is another with every key."""
    middling = """SELECT learner FROM reviews WHERE item LIKE 'middling%' GROUP BY 1
        ORDER BY count(*) FILTER (correct) DESC, min(line) LIMIT 1"""
    return query(con, middling).item()


def test_items_come_by_gain_with_a_reason(con, pupil):
    found = recommend(con, pupil, Wishes(n=6, explore=0, at=NOW))
    assert len({one.item for one in found}) == 6
    assert all(0 < one.low < one.p < one.high < 1 for one in found)
    assert all("an answer is right with probability" in one.because for one in found)
    nothing_due = recommend(con, pupil, Wishes(n=6, explore=0, at=START + timedelta(days=14), rest_days=0))
    assert nothing_due[0].skills != ["easy"]
    assert nothing_due[0].gain > 0


def test_the_same_seed_recommends_the_same_and_some_explore(con, pupil):
    wishes = Wishes(n=5, seed=3, explore=1.0, at=NOW)
    found = recommend(con, pupil, wishes)
    assert found == recommend(con, pupil, wishes)
    assert any(one.explored and "to find out" in one.because for one in found)
    assert not any(one.explored for one in recommend(con, pupil, Wishes(n=5, explore=0, at=NOW)))


def test_an_item_rests_unless_it_is_due(con, pupil):
    last = START + timedelta(days=13, hours=1)
    asked = set(
        query(
            con,
            'SELECT item FROM reviews WHERE learner = ? AND "at" >= ?',
            [pupil, START + timedelta(days=12)],
        )["item"]
    )
    found = recommend(con, pupil, Wishes(n=18, explore=0, at=last))
    due = set(query(con, "SELECT item FROM memory WHERE learner = ? AND due_at <= ?", [pupil, last])["item"])
    assert {one.item for one in found} & asked <= due
    assert all(one.due == (one.item in due) for one in found)


def test_a_newcomer_gets_what_others_gain_from(con):
    found = recommend(con, "0" * 16, Wishes(n=3, explore=0, at=NOW))
    assert len(found) == 3
    assert all("new" in one.because and not one.due for one in found)


def test_a_profile_and_what_of_it_a_prompt_may_carry(con, pupil):
    found = read_profile(con, pupil, NOW)
    assert {row["skill"] for row in found["mastery"]} == set(SKILLS)
    assert [row["mean"] for row in found["mastery"]] == sorted(row["mean"] for row in found["mastery"])
    assert sum(day["answers"] for day in found["history"]) == 42
    facts = write_context(found)
    assert facts["struggles_with"] == ["hard"]
    assert pupil not in json.dumps(facts)
    with pytest.raises(StoreError, match="the store holds no review"):
        read_profile(con, "0" * 16)


def test_without_a_fit_it_is_said_what_to_run(store):
    with pytest.raises(StoreError, match="preceptor learn"):
        recommend(store, "x")


def test_commands(learned):
    asked = ("--store", str(learned))
    said = run(*asked, "recommend", "pupil-3", "--n", "4", "--because", "--json").stdout
    found = json.loads(said)
    assert len(found) == 4
    assert {"item", "p", "low", "high", "gain", "because"} <= found[0].keys()
    shown = json.loads(run(*asked, "learner", "pupil-3", "--json").stdout)
    assert len(shown["mastery"]) == 3
    assert "90 %" in run(*asked, "learner", "pupil-3").stdout
    facts = json.loads(run(*asked, "learner", "context", "pupil-3").stdout)
    assert "learner" not in facts


def test_where_only_cards_are_known_those_that_are_due_come_first(tmp_path):
    rows = [
        {
            "learner": "ada",
            "item": f"card-{k}",
            "at": (START + timedelta(days=day)).isoformat(),
            "correct": right,
        }
        for k in range(4)
        for day, right in ((0, 1), (1, 1), (3, int(k < 2)))
    ]
    pl.DataFrame(rows).write_csv(tmp_path / "log.csv")
    with open_store(tmp_path / "s.duckdb", create=True) as con:
        ingest_files(con, "reviews", [tmp_path / "log.csv"], "log")
        learn(con, settings=LearnSettings(steps=5, memory_steps=5))
        (who,) = query(con, "SELECT DISTINCT learner FROM memory")["learner"]
        found = recommend(con, who, Wishes(n=3, at=START + timedelta(days=6)))
        assert [one.p for one in found] == sorted(one.p for one in found)
        assert {one.item for one in found[:2]} == {"card-2", "card-3"}
        later = recommend(con, who, Wishes(n=3, at=NOW))
        assert max(one.p for one in later) < min(one.p for one in found) - 0.1, "what is foretold of that day"
        told = {row["item"]: row["mean"] for row in read_profile(con, who, NOW)["due"]}
        assert all(told[one.item] == pytest.approx(one.p) for one in later)
        assert all(one.due and "due: remembered" in one.because for one in found)
        with pytest.raises(StoreError, match="the next one is due on 2026-01"):
            recommend(con, who, Wishes(at=START))
    said = run("--store", tmp_path / "s.duckdb", "learner", "profile", "ada").stdout
    assert "no skills are known, only cards" in said
