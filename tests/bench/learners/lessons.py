"""Answers of new students on ASSISTments: ours beside boosted trees, regressions, BKT and moving averages."""

import hashlib
import tempfile
from itertools import pairwise
from pathlib import Path

import numpy as np

from preceptor.toolkit.cli.options import open_stderr
from preceptor.toolkit.ingest.run import ingest_files
from preceptor.toolkit.practice import learners as practice
from preceptor.toolkit.practice.learners.fit import STEPS, fit_mastery, foretell_answers
from preceptor.toolkit.practice.learners.mastery.answers import Answers, order_answers
from preceptor.toolkit.store.connection import open_store, query

from .. import learners as own
from ..fusion.keep import each
from ..fusion.part import Found
from ..inputs import SHARED
from .baselines import count_history, foretell
from .score import Floats, compare, measure_loss, mix, write_lines

FOLDS = 5
_FILE = SHARED / "assistments-kt" / "assist2009_updated_valid1.csv"
COLUMNS = (
    "model",
    "log-loss",
    "less the boosted trees'",
    "AUC",
    "calibration error",
    "learners covered (0.90)",
)


def read_lessons() -> tuple[Answers, Floats, Floats]:
    """Read the repaired log: answers, which of them are scored (rows,), and the student's place in the file."""
    with tempfile.TemporaryDirectory() as folder, open_store(Path(folder) / "s.duckdb", create=True) as con:
        ingest_files(con, "reviews", [_FILE], "s")
        events = query(
            con, 'SELECT learner, item, skills, correct, "at", key, line FROM reviews ORDER BY line, n'
        )
    answers = order_answers(events)
    # The rare second row of a repeat whose answer differs stays in the history, but is not scored.
    last = events["skills"].list.last().fill_null(events["item"])
    merged = events.drop_nulls("skills")["skills"].to_list()
    pairs = {(a, b) for skills in merged for a, b in pairwise(skills)}
    new = events["learner"] != events["learner"].shift(1)
    before = zip(last.shift(1), events["item"], new.fill_null(True), strict=True)
    scored = np.array([fresh or (a, b) not in pairs for a, b, fresh in before])
    return answers, scored, (events["line"].to_numpy() // 3)


def digest_code() -> str:
    """Compute sha256 of the sources of the learner models and of this bench."""
    folders = [Path(module.__path__[0]) for module in (practice, own)]
    sources = sorted(path for folder in folders for path in folder.rglob("*.py"))
    return hashlib.sha256(b"".join(path.read_bytes() for path in sources)).hexdigest()


def lessons(quick: bool) -> Found:
    """Cross-validate on four fifths of the students; judge on the fifth that is kept aside, by a hash."""
    answers, scored, student = read_lessons()
    learner = answers.rows["learner"].to_numpy()
    number = np.zeros(int(learner.max()) + 1, int)
    number[learner] = student
    aside = np.array([hashlib.sha256(str(n).encode()).digest()[0] % 5 == 0 for n in number])
    fold = np.full(len(aside), -1)
    order = np.arange((~aside).sum()) % FOLDS
    np.random.default_rng(0).shuffle(order)
    fold[~aside] = order
    history = count_history(answers)
    told: dict[str, Floats] = {}
    splits = [~aside, *((fold >= 0) & (fold != f) for f in range(FOLDS))]
    tests = [aside, *(fold == f for f in range(FOLDS))]

    def foretell_split(n: int) -> dict[str, Floats]:
        train, held = splits[n], tests[n][learner]
        found = foretell(history, train[learner] & scored, held)
        for name, moments in (("ours: state", False), ("ours: state and moment", True)):
            p, _ = fit_mastery(
                answers.keep(np.flatnonzero(train)),
                moments=moments,
                form=not moments,
                steps=3 if quick else STEPS,
            )
            found[name] = foretell_answers(p, answers.keep(np.flatnonzero(tests[n]))).p
        ours = found["ours: state"], found["ours: state and moment"]
        found["mix of ours and the trees"] = mix(*ours, found["boosted trees"])
        y, ok = history.right[held], scored[held]
        said = {name: round(float(measure_loss(y[ok], q[ok]).mean()), 4) for name, q in found.items()}
        open_stderr().print(f"{f'fold {n}' if n else 'kept aside'}: {said}")
        return found

    some = range(1 if quick else FOLDS + 1)
    for n, found in zip(some, each(f"lessons {digest_code()}", some, foretell_split, not quick), strict=True):
        for name, q in found.items():
            told.setdefault(name, np.full(len(learner), np.nan))[tests[n][learner]] = q
    lines: list[tuple[str, ...]] = []
    base = "boosted trees"
    for title, learners in (("new students, 5 folds", ~aside), ("kept aside", aside)):
        rows = learners[learner] & scored & np.isfinite(told[base])
        if not rows.any():
            continue
        scores = compare(history.right[rows], {n: p[rows] for n, p in told.items()}, learner[rows], base)
        lines.append(
            (f"**{title}**: {rows.sum():,} answers of {len(np.unique(learner[rows]))} students", *[""] * 5)
        )
        lines += write_lines(scores)
    return Found(
        "answers of new students",
        "ASSISTments 2009 with repeats merged: "
        f"{len(learner):,} events of {len(aside)} students, {answers.skills} skills in "
        f"{answers.questions['set'].n_unique()} sets. Folds by student, seed 0; a fifth of the students, by the hash "
        "of their number in the file, was kept aside: every model is fitted once to the other four fifths and judged "
        "on it. All baselines are refitted in the same run. Intervals: 90 %, students drawn anew 400 times. Covered: "
        "learners with 20 answers or more whose sum of (y - p) is within 1.645 sd.",
        COLUMNS,
        lines,
    )
