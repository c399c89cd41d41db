"""Measure whether a tutor's structured turn judges the learner as the reference does (SPOCK).

    {"Evaluation of Student Response": "a", "Action Based on Evaluation": "1", "Subproblem State": "x", …}
    against a reference with a, 4, x: evaluation right, action wrong, state right

Accuracy and macro F1 for each of the three fields as Sonkar et al., Pedagogical Alignment of Large Language
Models (Findings of EMNLP 2024), report them, with one difference: their script averages f1_scores[1:], which
omits the first class; here every class of the references counts. An answered code that no reference has is
wrong and adds no class.

Several codes ("1,4") are a class of their own and are not matched one by one: each of the 666 turns of
SPOCK's physics has one code in every field, so nothing there says what lists mean, and the policy
matching-over-mismatching compares them in the same way.
"""

from collections.abc import Sequence
from itertools import pairwise

import numpy as np
import polars as pl

from ...ingest.files.tutor_turn import read_state_sql
from ...store.connection import open_scratch, query
from .statistics import Counts, Figures, Item, Statistics, divide_sums, make_share

FIELDS = ("evaluation", "action", "state")


def measure_states(items: Sequence[Item], answers: Sequence[str]) -> Figures:
    """Measure the share of answers that are structured turns, and their agreement with the references' codes.

    Figures, 0 to 1: `states_f1`, the mean of the three fields' F1; `states_valid`, strict JSON objects;
    `states_complete`, objects with all keys of a turn; then `{field}_accuracy` and `{field}_f1` of each
    field. An unreadable answer is wrong in every field. A code is right if one of the references has it.
    Items whose references have no code in a field do not count in it.
    """
    made = read_turns(answers)
    figures: Figures = {}
    of_references = read_turns([text for item in items for text in item.references])
    begins = np.cumsum([0, *(len(item.references) for item in items)])
    for field in FIELDS:
        codes = of_references[field]
        known = [[code for code in codes[a:b] if code is not None] for a, b in pairwise(begins)]
        figures |= _agreement(field, known, made[field])
    shares = {name: make_share([float(one or 0) for one in made[name]]) for name in ("valid", "complete")}
    whole = {"states_f1": _mean([figures[f"{field}_f1"] for field in FIELDS])}
    return whole | {f"states_{name}": one for name, one in shares.items()} | figures


def _mean(several: Sequence[Statistics]) -> Statistics:
    """Average figures over the same draws."""
    ends = np.cumsum([one.rows.shape[1] for one in several])[:-1]

    def figure(sums: Counts) -> Counts:
        parts = zip(several, np.split(sums, ends, axis=1), strict=True)
        made: Counts = np.mean([one.figure(part) for one, part in parts], axis=0)
        return made

    return Statistics(np.concatenate([one.rows for one in several], axis=1), figure)


def read_turns(texts: Sequence[str]) -> dict[str, list[str | None]]:
    """Read turns into columns with a value for each text: valid, complete (booleans) and the fields' codes.

    A code that is missing or unreadable is None.
    """
    frame = pl.DataFrame(
        {"n": range(len(texts)), "text": [replace_surrogates(text) for text in texts]},
        schema={"n": pl.Int64, "text": pl.String},
    )
    names = ("valid", "complete", *FIELDS)
    with open_scratch() as con:
        con.register("texts", frame.to_arrow())
        read = f"SELECT n, {read_state_sql('text')} AS s FROM texts"
        found = query(con, f"SELECT {', '.join(f's.{name}' for name in names)} FROM ({read}) ORDER BY n")
    return {name: found[name].to_list() for name in names}


def replace_surrogates(text: str) -> str:
    """Replace lone surrogates by "?": no table can store them."""
    return text.encode("utf-8", "replace").decode("utf-8")


def _agreement(field: str, known: Sequence[Sequence[str]], made: Sequence[str | None]) -> Figures:
    """Compute accuracy and macro F1; `known` are the right codes of each item, possibly none."""
    right = [
        answer if answer in codes else codes[0] if codes else None
        for codes, answer in zip(known, made, strict=True)
    ]
    classes = {code: at for at, code in enumerate(sorted({code for codes in known for code in codes}))}
    counts = np.zeros((len(right), len(classes), 3))
    hits = np.zeros((len(right), 2))
    for n, (code, answer) in enumerate(zip(right, made, strict=True)):
        if code is None:
            continue
        hits[n] = [code == answer, 1]
        if code == answer:
            counts[n, classes[code], 0] = 1
        else:
            counts[n, classes[code], 2] = 1
            if answer in classes:
                counts[n, classes[answer], 1] = 1
    return {
        f"{field}_accuracy": Statistics(hits, divide_sums),
        f"{field}_f1": Statistics(counts.reshape(len(right), -1), compute_macro_f1),
    }


def compute_macro_f1(sums: Counts) -> Counts:
    """Average F1 over classes, shape (draws, 3 * classes) to (draws,).

    Columns: hits, false alarms and misses of each class in turn. A class without references in a draw does
    not count in it; NaN if there is none.
    """
    hits, alarms, misses = np.moveaxis(sums.reshape(len(sums), -1, 3), 2, 0)
    there = hits + misses > 0
    f1 = np.where(there, 2 * hits / np.maximum(2 * hits + alarms + misses, 1), 0)
    number = there.sum(axis=1)
    made: Counts = np.where(number > 0, f1.sum(axis=1) / np.maximum(number, 1), np.nan)
    return made
