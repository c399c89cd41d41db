"""In which order new items come: by chance, by expected gain where a fit knows the learner, else by level."""

import json
from datetime import UTC, datetime

import numpy as np
import polars as pl
import pytest
from studying import Learner, serving

from preceptor.schemas.tables import LEARNER_FITS, LEARNER_STATES
from preceptor.toolkit.practice.learners.mastery.model import PRIORS
from preceptor.toolkit.practice.learners.mastery.online import start_learner, take_answer
from preceptor.toolkit.practice.learners.states import count_days, read_learner_fit, read_mastery_model
from preceptor.toolkit.practice.study.journal.database import locate_journal, open_journal
from preceptor.toolkit.practice.study.journal.items import choose_items, find_item
from preceptor.toolkit.privacy.pseudonyms import find_key_file, make_naming
from preceptor.toolkit.store.connection import insert, open_store, run

NOW = datetime.now(UTC)
PUSH = ("study", "push", "--study", "w")
SVA, NUM = "R:VERB:SVA", "R:NOUN:NUM"


def list_order(place, name, n=20):
    """Skills, and ids, of the new items in the order in which they come to a learner."""
    with open_journal(locate_journal(place.folder / "study-home", "w")) as con:
        (who,) = con.execute("SELECT id FROM people WHERE name = ?", [name]).fetchone()
        found = choose_items(con, who, NOW, 100, n)
        return [item["skills"][0] for item in found], [item["id"] for item in found]


def write_fit(con, people):
    """A fit at the priors of its parameters, and states after answers to it: {learner: {skill: right or not, …}}."""
    values = {name: mean for name, (mean, _) in PRIORS.items()}
    values |= {name: [0.0, 0.0] for name in ("skill_mean", "skill_guess", "skill_slip")} | {
        "question_mean": []
    }
    stored = {"values": values, "components": [NUM, SVA], "questions": []}
    fit = pl.DataFrame(
        {
            "kind": ["mastery"], "config": ["{}"], "inputs": ["x"], "parameters": [json.dumps(stored)], "answers": [1],
            "learners": [1], "loss": [0.5], "versions": ["{}"], "fitted_at": [NOW],
        }
    )  # fmt: skip
    insert(con, LEARNER_FITS, fit)
    ((key,),) = run(con, "SELECT key FROM learner_fits")
    model = read_mastery_model(read_learner_fit(con))
    states = []
    for learner, answers in people.items():
        state = start_learner(model)
        for n in range(12):
            for skill, right in answers.items():
                take_answer(model, state, "x", [skill], right, count_days(NOW) - 30 + n)
        packed = np.concatenate([state.mean, state.covariance.ravel()]).astype("<f8").tobytes()
        components = json.dumps({name: state.times[name] for name in state.places})
        states.append(
            {"fit": key, "learner": learner, "components": components, "turn": state.turn, "state": packed}
        )
    insert(con, LEARNER_STATES, pl.DataFrame(states))


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
    with open_store(place.folder / "preceptor.duckdb") as con:
        anna, ben = make_naming(con, find_key_file())(pl.Series([ids["Anna"], ids["Ben"]]))
        write_fit(con, {anna: {SVA: True, NUM: False}, ben: {SVA: False, NUM: True}})
    return place


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
