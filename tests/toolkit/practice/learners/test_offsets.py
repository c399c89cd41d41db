"""Outcomes beyond ability: who got an explanation, or when, does not make it better; without a fit nothing changes."""

import json
from datetime import UTC, datetime, timedelta

import numpy as np
import polars as pl
import pytest

from preceptor.schemas.tables import LEARNER_FITS
from preceptor.toolkit.fusion.fuse import fuse
from preceptor.toolkit.fusion.inputs.signals import hash_inputs, read_signals
from preceptor.toolkit.fusion.sampling.fit import SamplerSettings
from preceptor.toolkit.ingest.run import ingest_files
from preceptor.toolkit.practice.learners.learn import LearnSettings, learn
from preceptor.toolkit.store.connection import open_store, query, run

START = datetime(2026, 1, 1, tzinfo=UTC)
LEARNERS, TERMS, OTHERS = 60, 6, 30
QUICK = LearnSettings(steps=12, memory_steps=2)


def write_study(folder, seed, arm):
    """Learners answer questions, and each term once with explanation a or b, which teach equally well.

    arm(ability, time) is P(a); time is from 0 to 1 through the course, in which everybody's ability grows by 2.
    """
    draw = np.random.default_rng(seed)
    prompts = [
        {
            "id": f"t{t}",
            "task": "mnemonic",
            "prompt": f"term {t}",
            "completions": [{"id": f"t{t}-{side}", "content": f"explanation {side} of {t}"} for side in "ab"],
        }
        for t in range(TERMS)
    ]
    rows, outcomes = [], []
    for who in range(LEARNERS):
        ability = draw.normal(0, 1.5)
        turns = draw.permutation(["x"] * OTHERS + [f"t{t}" for t in range(TERMS)])
        for n, what in enumerate(turns):
            time = n / len(turns)
            right = int(draw.random() < 1 / (1 + np.exp(-(ability + 2 * time - 1))))
            at = (START + timedelta(hours=n, minutes=who)).isoformat()
            if what == "x":
                rows.append(
                    {
                        "learner": f"l{who:02}",
                        "item": f"q{draw.integers(9)}",
                        "skills": f"s{draw.integers(3)}",
                        "at": at,
                        "correct": right,
                    }
                )
            else:
                side = "a" if draw.random() < arm(ability, time) else "b"
                outcomes.append(
                    {
                        "completion": f"{what}-{side}",
                        "learner": f"l{who:02}",
                        "measure": "success",
                        "value": right,
                        "at": at,
                    }
                )
    (folder / "prompts.jsonl").write_text("\n".join(map(json.dumps, prompts)))
    for name, frame in (("log", rows), ("outcomes", outcomes)):
        pl.DataFrame(frame).write_csv(folder / f"{name}.csv")


def load(con, folder):
    ingest_files(con, "prompts", [folder / "prompts.jsonl"], "texts")
    ingest_files(con, "reviews", [folder / "log.csv"], "log")
    ingest_files(con, "outcomes", [folder / "outcomes.csv"], "outcomes", about="texts")


def read_preference(con):
    """Mean over terms of a's observed quality less b's, by a quick fit."""
    fit = fuse(con, 1.0, settings=SamplerSettings(method="map"))
    return query(
        con,
        """SELECT avg(if(ends_with(c.ref, '-a'), 1, -1) * e.observed_mean) * 2 AS apart
        FROM effectiveness e JOIN completions c ON c.key = e.completion WHERE fit = ?""",
        [fit.key],
    ).item()


ARMS = {
    "strong": lambda ability, time: 0.9 if ability > 0 else 0.1,
    "late": lambda ability, time: 0.95 if time > 0.5 else 0.05,
}


@pytest.mark.minutes
@pytest.mark.parametrize("arm", ARMS)
def test_neither_strong_nor_late_learners_make_an_explanation_better(tmp_path, arm):
    naive, net = [], []
    for seed in range(2):
        folder = tmp_path / str(seed)
        folder.mkdir()
        write_study(folder, seed, ARMS[arm])
        with open_store(folder / "s.duckdb", create=True) as con:
            load(con, folder)
            naive.append(read_preference(con))
            done = learn(con, settings=QUICK)
            assert done.offsets == LEARNERS * TERMS
            net.append(read_preference(con))
    assert abs(np.mean(net)) < 0.6 * abs(np.mean(naive)), (naive, net)


def test_without_a_fit_of_learners_nothing_changes(store, tmp_path):
    write_study(tmp_path, 0, ARMS["strong"])
    load(store, tmp_path)
    before = read_signals(store, [])
    assert "offset" not in before["outcomes"].columns
    name = hash_inputs(before)
    learn(store, settings=LearnSettings(steps=1, memory_steps=1))
    with_offsets = read_signals(store, [])["outcomes"]
    assert with_offsets["offset"].null_count() == 0
    assert with_offsets["offset"].mean() == pytest.approx(0, abs=1e-9)
    assert (with_offsets["offset_sd"] > 0).all()
    assert hash_inputs(read_signals(store, [])) != name
    run(store, "DELETE FROM outcome_offsets")
    assert hash_inputs(read_signals(store, [])) == name
    run(store, f"DELETE FROM {LEARNER_FITS.name}")
