"""What comes of a study: comparisons of arms, held against every possible draw; exports, read again."""

import itertools
import json
import sqlite3
import zipfile
from contextlib import closing
from datetime import UTC, datetime, timedelta

import numpy as np
import polars as pl
import pytest
from studying import Learner, serving

from preceptor.schemas.errors import StudyError
from preceptor.schemas.tables import ASSIGNMENTS, OUTCOMES
from preceptor.toolkit.practice.study.compare import compare_arms, run_randomisation_test, weigh_means
from preceptor.toolkit.practice.study.plan.draw import FLOOR, compute_shares, is_settled
from preceptor.toolkit.store.connection import insert, open_store, query

AT = datetime(2026, 5, 4, tzinfo=UTC)
READ = 'SELECT item, "at", correct, duration_ms FROM reviews WHERE source = ? ORDER BY "at"'


def fill(con, effect, people=60, prompts=10, seed=1):
    """Assignments and turns of learners, the second arm's fewer by `effect`; chances differ between prompts."""
    random = np.random.default_rng(seed)
    assigned, outcomes = [], []
    for n, (person, prompt) in enumerate(itertools.product(range(people), range(prompts))):
        p = 0.3 + 0.4 * (prompt % 2)
        arm = "base" if random.random() < p else "tuned"
        common = {
            "source": "w",
            "learner": f"{person:016d}",
            "completion": f"c{prompt}{arm}",
            "path": "r",
            "line": n + 1,
        }
        assigned.append(
            common
            | {"item": f"i{prompt}", "prompt": f"q{prompt}", "arm": arm, "propensity": p if arm == "base" else 1 - p,
               "chances": json.dumps({"base": p, "tuned": 1 - p}), "policy": "uniform", "consent": "x", "at": AT + timedelta(seconds=n)}
        )  # fmt: skip
        # Odd prompts are harder, and are drawn with other chances: unweighted means would mislead.
        value = float(random.poisson(2 + 3 * (prompt % 2) - effect * (arm == "tuned")))
        outcomes.append(common | {"measure": "turns", "value": value, "censored": False, "at": AT, "n": 0})
    insert(con, ASSIGNMENTS, pl.DataFrame(assigned))
    insert(con, OUTCOMES, pl.DataFrame(outcomes))


@pytest.mark.parametrize(("effect", "found"), [(1.0, True), (0.0, False)])
def test_a_difference_is_found_where_there_is_one(store, effect, found):
    fill(store, effect)
    (turns,) = compare_arms(store, "w", draws=500).differences
    assert turns.learners == 60
    assert turns.low <= -effect <= turns.high
    assert (turns.p < 0.01) is found
    (again,) = compare_arms(store, "w", ("tuned", "base"), draws=500).differences
    assert again.value == pytest.approx(-turns.value)


def test_what_cannot_be_compared_is_named(store):
    with pytest.raises(StudyError, match="no explanations were assigned"):
        compare_arms(store, "w")
    fill(store, 0, 3, 2)
    with pytest.raises(StudyError, match="two arms"):
        compare_arms(store, "w", ("base", "base"))
    with pytest.raises(Exception, match="tunde"):
        compare_arms(store, "w", ("base", "tunde"))


def test_the_randomisation_test_is_that_of_all_possible_draws():
    random = np.random.default_rng(3)
    y, p = random.normal(size=9), np.full(9, 0.5)
    prompts = np.zeros(9, int)
    is_first = np.array([1, 0, 1, 0, 1, 1, 0, 0, 1], bool)
    rest = y - y.mean()

    def difference(first):
        return abs(np.mean(rest[~first]) - np.mean(rest[first])) if 0 < first.sum() < 9 else 0.0

    every = [difference(np.array(draw, bool)) for draw in itertools.product([0, 1], repeat=9)]
    exact = np.mean([one >= difference(is_first) - 1e-12 for one in every])
    assert run_randomisation_test(y, is_first, p, prompts, 0, 20_000) == pytest.approx(exact, abs=0.015)


def test_weights_undo_uneven_draws():
    hard = np.repeat([0, 1], 1000)
    y, p = 2.0 + 3 * hard, np.where(hard, 0.8, 0.2)
    is_first = np.random.default_rng(0).random(2000) < p
    first, second = weigh_means(y, is_first, p)
    assert first == pytest.approx(3.5, abs=0.15)
    assert second == pytest.approx(3.5, abs=0.15)
    assert y[is_first].mean() > 4


def test_better_explanations_are_drawn_more_often_and_none_is_given_up():
    random = np.random.default_rng(0)
    shares = compute_shares(np.array([2.0, 1.5, -3.0, -3.0]), np.full(4, 0.3), random)
    assert shares.sum() == pytest.approx(1)
    assert min(shares) >= FLOOR / 4
    assert shares[0] > 0.3
    assert shares[1] > 0.3
    alike = compute_shares(np.zeros(3), np.ones(3), random)
    assert alike == pytest.approx(np.full(3, 1 / 3), abs=0.03)
    assert compute_shares(np.zeros(1), np.ones(1), random) == pytest.approx([1])
    assert is_settled(np.array([2.0, -2.0]), np.full(2, 0.2), random)
    assert not is_settled(np.zeros(2), np.ones(2), random)


def test_exports_are_read_again(pushed):
    with serving(pushed.folder) as server:
        one = Learner(server.url, server.links["Anna"]).agree()
        for given in ("x", "dry", "x", "joy", "x"):
            if one.kind:
                one.answer(given)
                one.go_on()
    pushed("study", "pull", "--study", "w")
    for format, name in (("csv", "a.csv"), ("xapi", "a.jsonl"), ("anki", "a.apkg")):
        pushed("study", "export", "--study", "w", "--format", format, "--out", name)
        assert (pushed.folder / name).stat().st_mode & 0o077 == 0
    with open_store(pushed.folder / "preceptor.duckdb", read_only=True) as con:
        mine = query(con, READ, ["w"])
    read = pl.read_csv(pushed.folder / "a.csv")
    assert read["item"].to_list() == mine["item"].to_list()
    assert "Anna" not in (pushed.folder / "a.csv").read_text() + (pushed.folder / "a.jsonl").read_text()
    pushed("ingest", "xapi", "a.jsonl", "--source", "again", "--license", "CC0-1.0")
    with open_store(pushed.folder / "preceptor.duckdb", read_only=True) as con:
        again = query(con, READ, ["again"])
    assert again["correct"].equals(mine["correct"])
    assert again["at"].equals(mine["at"])
    assert again["duration_ms"].equals(mine["duration_ms"])
    with zipfile.ZipFile(pushed.folder / "a.apkg") as package:
        (pushed.folder / "c.anki2").write_bytes(package.read("collection.anki2"))
    with closing(sqlite3.connect(pushed.folder / "c.anki2")) as con:
        fields = [row[0].split("\x1f") for row in con.execute("SELECT flds FROM notes")]
    assert {field[1] for field in fields} == {"to suppress", "honest", "dry", "joy"}
    assert all(field[2] for field in fields)
    assert {field[5] for field in fields} == {"mine (CC-BY-4.0)"}


def test_a_study_that_is_none_is_named(pushed):
    assert "is no study" in pushed("study", "export", "--study", "mine", "--out", "x.csv", code=2)
