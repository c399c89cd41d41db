"""In which order new items come: by chance, by expected gain where a fit knows the learner, else by level."""

from datetime import UTC, datetime, timedelta

import numpy as np
import polars as pl
import pytest
from studying import Learner, serving

from preceptor.toolkit.ingest.run import ingest_files
from preceptor.toolkit.practice.learners.learn import LearnSettings, learn
from preceptor.toolkit.practice.study.journal.database import locate_journal, open_journal
from preceptor.toolkit.practice.study.journal.items import choose_items, find_item
from preceptor.toolkit.store.connection import open_store, run

NOW = datetime.now(UTC)
PUSH = ("study", "push", "--study", "w")
SVA, NUM = "R:VERB:SVA", "R:NOUN:NUM"


def list_order(place, name, n=20):
    """Skills, and ids, of the new items in the order in which they come to a learner."""
    with open_journal(locate_journal(place.folder / "study-home", "w")) as con:
        (who,) = con.execute("SELECT id FROM people WHERE name = ?", [name]).fetchone()
        found = choose_items(con, who, NOW, 100, n)
        return [item["skills"][0] for item in found], [item["id"] for item in found]


@pytest.fixture
def known(place):
    """A study whose exercises have levels, and a fit that knows Anna and Ben: each is weak where the other is not."""
    with open_store(place.folder / "preceptor.duckdb") as con:
        run(
            con,
            f"UPDATE exercises SET level = CASE error_type WHEN '{SVA}' THEN 'B2' WHEN '{NUM}' THEN 'A1' END",
        )
    place(*PUSH, "--exercises", "g", "--consent", "consent.txt", "--class", "class.csv")
    with open_journal(locate_journal(place.folder / "study-home", "w")) as journal:
        ids = dict(journal.execute("SELECT name, id FROM people").fetchall())
    draw = np.random.default_rng(4)
    right = {"Anna": {SVA: 0.97, NUM: 0.4}, "Ben": {SVA: 0.4, NUM: 0.97}}
    people = right | {f"other-{n}": {SVA: 0.7, NUM: 0.7} for n in range(8)}
    rows = [
        {
            "learner": ids.get(name, name),
            "item": f"{skill}-{draw.integers(5)}",
            "skills": skill,
            "at": (NOW - timedelta(days=30 - n)).isoformat(),
            "correct": int(draw.random() < chance),
        }
        for name, chances in people.items()
        for n in range(20)
        for skill, chance in chances.items()
    ]
    pl.DataFrame(rows).write_csv(place.folder / "log.csv")
    with open_store(place.folder / "preceptor.duckdb") as con:
        ingest_files(con, "reviews", [place.folder / "log.csv"], "log")
        learn(con, settings=LearnSettings(steps=3, memory_steps=1))
    return place


@pytest.mark.slow
def test_new_items_come_by_expected_gain_and_the_page_follows(known):
    by_chance = list_order(known, "Anna")[1]
    said = " ".join(known("study", "push", "--study", "w", "--schedule", "recommend").split())
    assert "new items come by expected gain for 2 learners; for the other 2 by level" in said
    anna, ben, cleo = (list_order(known, name) for name in ("Anna", "Ben", "Cleo"))
    assert anna[0].index(NUM) < anna[0].index(SVA)
    assert ben[0].index(SVA) < ben[0].index(NUM)
    assert anna[1] != by_chance
    assert sorted(anna[1]) == sorted(ben[1]) == sorted(cleo[1]) == sorted(by_chance)
    # By level: A1 before B2, then those that have none; within a level in an order of the learner's own.
    levels = [{NUM: 0, SVA: 1}.get(skill, 2) for skill in cleo[0]]
    assert levels == sorted(levels)
    assert cleo[1] != list_order(known, "Dora <b>x</b>")[1]
    with serving(known.folder) as server:
        one = Learner(server.url, server.links["Anna"]).agree()
        assert one.fields()["item"] == anna[1][0]
        one.answer("x")
        one.go_on()
        # What was answered wrong is due in a minute: FSRS decides, and the next new one comes meanwhile.
        assert one.fields()["item"] == anna[1][1]
    # Pushing again keeps it, and another order is said.
    assert "by expected gain" in known("study", "push", "--study", "w")
    assert "by expected gain" not in known("study", "push", "--study", "w", "--schedule", "fsrs")
    left = [id for id in by_chance if id not in anna[1][:1]]
    assert [id for id in list_order(known, "Anna")[1] if id in left][: len(left)] == left


def test_without_a_fit_items_come_by_level(place):
    with open_store(place.folder / "preceptor.duckdb") as con:
        run(con, "UPDATE exercises SET level = CASE kind WHEN 'cloze' THEN 'C1' WHEN 'rewrite' THEN 'A2' END")
    said = place(
        *PUSH,
        "--exercises",
        "g",
        "--consent",
        "consent.txt",
        "--class",
        "class.csv",
        "--schedule",
        "recommend",
    )
    assert "by expected gain for 0 learners; for the other 4 by level" in " ".join(said.split())
    with open_journal(locate_journal(place.folder / "study-home", "w")) as con:
        kinds = [find_item(con, id)["kind"] for id in list_order(place, "Anna")[1]]
    rank = [{"rewrite": 0, "cloze": 1}.get(kind, 2) for kind in kinds]
    assert rank == sorted(rank)
    assert len(set(rank)) == 3
