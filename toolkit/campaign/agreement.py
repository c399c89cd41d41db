"""Measure whether the annotators of a source agree, from the votes and ratings in the store.

for one in measure_agreement(con, ["week-1"]):
print(one.source, one.signals[0].alpha["nominal"])
"""

import json
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

import numpy as np
import polars as pl
from scipy.special import ndtri

from ...annotation.agreement.agreement import (
    Agreement,
    SourceJudgements,
    compute_agreement,
    compute_shared_alpha,
)
from ...annotation.agreement.doubts import DOUBTS
from ...schemas.errors import AnnotationError
from ..fusion.inputs.signals import WITHIN
from ..store.connection import Store, query, run
from ..store.where import check_names

_VOTES = """SELECT completion_a, completion_b, choice, annotator, shown_first, "at", path, line, n
FROM votes WHERE source = ?"""
_RATINGS = """SELECT completion, criterion, value, levels, annotator, "at", path, line, n
FROM ratings WHERE source = ?"""
_ANNOTATORS = """SELECT key, kind, pseudonym, within FROM annotators WHERE key IN (
    SELECT annotator FROM votes WHERE source = $1 UNION SELECT annotator FROM ratings WHERE source = $1)
ORDER BY pseudonym, key"""
_KNOWN = """SELECT completion_a, completion_b, expected FROM questions
WHERE source = ? AND purpose = 'known' AND expected IS NOT NULL"""
# The newest converged fit, or the one that was asked for, if it has completions of the source.
_FIT = """SELECT key, findings FROM fits WHERE if($2::VARCHAR IS NULL, converged, key = $2) AND key IN (
    SELECT fit FROM effectiveness WHERE completion IN (SELECT completion_a FROM votes WHERE source = $1))
ORDER BY fitted_at DESC, key LIMIT 1"""

_CONSENSUS = """
WITH pairs AS (
    SELECT DISTINCT least(completion_a, completion_b) AS a, greatest(completion_a, completion_b) AS b
    FROM votes WHERE source = $1
)
SELECT a AS completion_a, b AS completion_b, $3 * (x.expressed_mean - y.expressed_mean) AS lead,
    $3 * sqrt(x.expressed_sd ** 2 + y.expressed_sd ** 2) AS sd, p.p_expressed AS p
FROM pairs JOIN effectiveness x ON x.completion = a AND x.fit = $2
JOIN effectiveness y ON y.completion = b AND y.fit = $2
LEFT JOIN preferences p ON p.fit = $2 AND p.completion_a = a AND p.completion_b = b ORDER BY a, b"""
LEAST_Z = 0.25  # a lead of fewer standard deviations does not say how wide they are
MOST_Z = 3.0  # a fit's draws do not tell a surer lead from a sure one


def measure_agreement(con: Store, sources: Sequence[str] = (), seed: int = 0) -> list[Agreement]:
    """Measure the agreement of each source's annotators; all sources with votes or ratings by default.

    `seed` is that of the bootstrap. Raises AnnotationError if a source has no votes and no ratings, or
    the store has none at all.
    """
    have = query(con, "SELECT source FROM votes UNION SELECT source FROM ratings ORDER BY 1")["source"]
    check_names("--source", sources, have, "source", "with votes or ratings", AnnotationError)
    if have.is_empty():
        raise AnnotationError(
            "the store holds no votes and no ratings: ingest some, or take answers in first"
        )
    names: list[str] = list(dict.fromkeys(sources)) or have.to_list()
    return [measure_source(con, name, seed) for name in names]


def measure_source(con: Store, source: str, seed: int = 0, fit: str | None = None) -> Agreement:
    """Measure the agreement of one source's annotators, and compare each with a fit.

    `fit` is its full key; the newest converged one about the source by default.
    """
    votes, ratings, annotators = _read_judgements(con, source)
    fit, slope, reliability = _read_fit(con, source, fit, annotators)
    judgements = SourceJudgements(
        votes,
        ratings,
        annotators,
        query(con, _KNOWN, [source]),
        narrow_leads(query(con, _CONSENSUS, [source, fit, slope])),
        reliability,
        fit,
    )
    return compute_agreement(source, judgements, seed)


def summarise_agreement(con: Store, source: str) -> list[dict[str, Any]]:
    """Summarise one source for a dataset's card: a dict for each signal of people, alpha rounded to 4 digits.

    Keys: the fields of annotation.agreement.agreement.Shared, and low and high (95 % interval of alpha).
    """
    rows = []
    for one in compute_shared_alpha(SourceJudgements(*_read_judgements(con, source))):
        alpha = asdict(one.alpha) if one.alpha else {"value": None, "low": None, "high": None}
        value, low, high = (None if x is None else round(x, 4) for x in alpha.values())
        rows.append(asdict(one) | {"alpha": value, "low": low, "high": high})
    return rows


def _read_judgements(con: Store, source: str) -> tuple[pl.DataFrame, pl.DataFrame, pl.DataFrame]:
    """Votes, ratings and who gave them."""
    annotators = query(con, _ANNOTATORS, [source])
    return query(con, _VOTES, [source]), query(con, _RATINGS, [source]), annotators


def narrow_leads(pairs: pl.DataFrame) -> pl.DataFrame:
    """Correct the sd of leads, which takes the completions of a pair as independent.

    `pairs` has lead, sd and p: the fit's probability, null if not known, that the lead is above 0. A fit
    keeps no covariance, but lead / sd is the normal quantile of p. Leads near 0, which do not say so, are
    narrowed as the median of the others is.
    """
    z = np.abs(ndtri(pairs["p"].fill_null(0.5).to_numpy()).clip(-MOST_Z, MOST_Z))
    lead, sd = np.abs(pairs["lead"].to_numpy()), pairs["sd"].to_numpy()
    known = (z > LEAST_Z) & (sd > 0)
    ratio = np.divide(lead, z * sd, out=np.ones_like(sd), where=known).clip(0, 1)
    ratio[~known] = np.median(ratio[known]) if known.any() else 1.0
    return pairs.with_columns(pl.Series("sd", sd * ratio, pl.Float64)).drop("p")


def _read_fit(
    con: Store, source: str, key: str | None, annotators: pl.DataFrame
) -> tuple[str | None, float, dict[str, dict[str, float]]]:
    """Read the fit of that key, else the newest converged one about the source: key, slope, reliabilities.

    A dict for each annotator by pseudonym: mean, low, high, and the probabilities of annotation's doubts.
    """
    rows = run(con, _FIT, [source, key])
    if not rows:
        return None, 1.0, {}
    found = json.loads(rows[0][1])
    slope = found["parameters"].get("vote_slope", {"mean": 1.0})["mean"]
    # In fits of earlier versions a person who judged completions of several sources is there for each:
    # the one with most votes is taken.
    people = sorted(found["annotators"], key=lambda a: a["votes"])
    told = {
        a["annotator"]: a["reliability"] | {name: a[name] for name in DOUBTS if name in a} for a in people
    }
    reliability = {
        name: told[known]
        for name, within in annotators.select("pseudonym", "within").rows()
        for known in (name, f"{name}{WITHIN}{within}")  # the latter counts where both are there
        if known in told
    }
    return rows[0][0], slope, reliability
