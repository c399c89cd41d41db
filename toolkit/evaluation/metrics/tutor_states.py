"""Whether a tutor's structured turn judges the learner as the reference does (SPOCK).

    {"Evaluation of Student Response": "a", "Action Based on Evaluation": "1", "Subproblem State": "x", …}
    against a reference with a, 4, x: evaluation right, action wrong, state right

Accuracy and macro F1 for each of the three fields as Sonkar et al., Pedagogical Alignment of Large Language
Models (Findings of EMNLP 2024), report them, with one difference: their script averages f1_scores[1:], which
leaves the first class out; here every class that the references have counts. A code that no reference has is
wrong where it is answered, and no class.

Several codes ("1,4") are a class of their own, not codes to be found one by one: each of the 666 turns of
SPOCK's physics has one code in every field, so that nothing there says how lists are meant, and the policy
matching-over-mismatching tells pairs apart by the same comparison.
"""

from collections.abc import Mapping, Sequence
from itertools import pairwise

import numpy as np
import polars as pl

from ...ingest.files.tutor_turn import state_sql
from ...store.connection import open_scratch, query
from .statistics import Counts, Item, Statistics, ratio, share

FIELDS = ("evaluation", "action", "state")
Turns = Mapping[str, Sequence[str | None]]


def states(items: Sequence[Item], answers: Sequence[str]) -> dict[str, Statistics]:
    """How far answers are structured turns, and agree with the references' codes.

    states_f1: the mean of the three fields' F1; states_valid: strict JSON objects; states_complete: with all
    that a turn holds; then accuracy and F1 of each field. What cannot be read is wrong in every field.
    Where an item has several references, a code that one of them has is right. Items of whose references
    none has a code in a field do not count in it.
    """
    made = read_turns(answers)
    figures: dict[str, Statistics] = {}
    of_references = read_turns([text for item in items for text in item.references])
    begins = np.cumsum([0, *(len(item.references) for item in items)])
    for field in FIELDS:
        codes = of_references[field]
        known = [[code for code in codes[a:b] if code is not None] for a, b in pairwise(begins)]
        figures |= _agreement(field, known, made[field])
    shares = {name: share([float(one or 0) for one in made[name]]) for name in ("valid", "complete")}
    whole = {"states_f1": _mean([figures[f"{field}_f1"] for field in FIELDS])}
    return whole | {f"states_{name}": one for name, one in shares.items()} | figures


def _mean(several: Sequence[Statistics]) -> Statistics:
    """The mean of figures, of the same draws."""
    ends = np.cumsum([one.rows.shape[1] for one in several])[:-1]

    def figure(sums: Counts) -> Counts:
        parts = zip(several, np.split(sums, ends, axis=1), strict=True)
        made: Counts = np.mean([one.figure(part) for one, part in parts], axis=0)
        return made

    return Statistics(np.concatenate([one.rows for one in several], axis=1), figure)


def read_turns(texts: Sequence[str]) -> dict[str, list[str | None]]:
    """valid, complete (booleans) and the codes of each field, by text; None where there is none."""
    frame = pl.DataFrame(
        {"n": range(len(texts)), "text": [storable(text) for text in texts]},
        schema={"n": pl.Int64, "text": pl.String},
    )
    names = ("valid", "complete", *FIELDS)
    with open_scratch() as con:
        con.register("texts", frame.to_arrow())
        read = f"SELECT n, {state_sql('text')} AS s FROM texts"
        found = query(con, f"SELECT {', '.join(f's.{name}' for name in names)} FROM ({read}) ORDER BY n")
    return {name: found[name].to_list() for name in names}


def storable(text: str) -> str:
    """The text without halves of characters, which no table takes."""
    return text.encode("utf-8", "replace").decode("utf-8")


def _agreement(
    field: str, known: Sequence[Sequence[str]], made: Sequence[str | None]
) -> dict[str, Statistics]:
    """Accuracy and macro F1; `known` are the codes that are right of each item, maybe none."""
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
        f"{field}_accuracy": Statistics(hits, ratio),
        f"{field}_f1": Statistics(counts.reshape(len(right), -1), macro_f1),
    }


def macro_f1(sums: Counts) -> Counts:
    """The mean of the classes' F1; sums: hits, false alarms and misses of each class, side by side.

    A class that a draw's references lack is no class in that draw; nan where there is none at all.
    """
    hits, alarms, misses = np.moveaxis(sums.reshape(len(sums), -1, 3), 2, 0)
    there = hits + misses > 0
    f1 = np.where(there, 2 * hits / np.maximum(2 * hits + alarms + misses, 1), 0)
    number = there.sum(axis=1)
    made: Counts = np.where(number > 0, f1.sum(axis=1) / np.maximum(number, 1), np.nan)
    return made
