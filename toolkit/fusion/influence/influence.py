"""`preceptor influence`: which pairs would flip, and how p would move, if one unit were left out.

    unit                signals  pairs  flips  moved  largest     k  by
    5f0c2ab1d94e77a3         44     44      3     11     0.21  0.41  weights
    91ab0c2ab1d94e77        110    110      9     31     0.38  0.93  refit

A unit is an annotator, a learner, a source or a campaign. The stored draws of a fit are weighted
(left_out.py); where the weights are not to be trusted, the model is fitted again without the unit.
"""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from ....schemas.errors import FusionError
from ...store.connection import Store, query
from ..findings.posterior import compute_share_above
from ..inputs.ends import read_ends
from ..inputs.read import read_input
from ..inputs.signals import hash_inputs
from ..likelihoods.likelihood import Counts, Part
from ..observations import Observations
from ..sampling.fit import Posterior, SamplerSettings, fit
from ..sampling.kept_draws import restore_draws
from ..text.read import Texts, read_texts, restore_text
from .left_out import (
    SHIFTED,
    Kept,
    LogProbs,
    Pairs,
    choose_rows,
    combine_qualities,
    compute_likelihoods,
    compute_log_probs,
    draw_target,
    find_gone,
    hold,
    list_shared,
    sum_by_prompt,
    weigh,
    weigh_pairs,
)
from .smoothing import TRUSTED
from .units import UNITS, list_units

Floats = NDArray[np.float64]
Unit = Mapping[str, Counts]  # what is left out: counts (rows, categories) by part of the signals
MOVED = 0.05  # change of p that is counted as a move


@dataclass(frozen=True)
class StoredFit:
    """A stored fit with its draws and input, and its pairs: completion_a, completion_b, p."""

    key: str
    kept: Kept
    target: float
    settings: SamplerSettings
    pairs: pl.DataFrame
    places: Pairs
    drawn: Floats  # (draws, items), of the target
    texts: Texts | None = None


@dataclass(frozen=True)
class Influence:
    """What leaving out each unit would change.

    `units`: unit, signals, pairs (touched), flips, moved, largest (change of p), k (the largest), shift, by
    (weights, refit, or refit needed); the most flips first. `changes`: unit, completion_a, completion_b, p,
    without (p without the unit), k; pairs that flip or move, the largest change first.
    """

    fit: str
    units: pl.DataFrame
    changes: pl.DataFrame


def measure_influence(
    con: Store,
    by: str = "annotator",
    sources: Sequence[str] = (),
    refits: bool = True,
    on_progress: Callable[[int, int], None] = lambda *_: None,
) -> Influence:
    """Measure what the newest converged fit of `sources` would say without each unit of a kind.

    `by` is annotator, learner, source or campaign. Without `refits` units that need one are marked. Raises
    FusionError if there is no fit with draws, or the signals are others than it was made from.
    """
    stored = read_fit(con, sources)
    units = list_units(con, stored.kept.obs, by, sources)
    if not units:
        raise FusionError(f"fit {stored.key[:8]} has no {UNITS[by]} to leave out; try another --by")
    known = compute_log_probs(stored.kept)
    rows, changes = [], []
    for done, (name, unit) in enumerate(units.items()):
        on_progress(done, len(units))
        row, changed = _measure(con, stored, unit, refits, known)
        rows.append({"unit": name, **row})
        changes.append(changed.select(pl.lit(name).alias("unit"), pl.all()))
    on_progress(len(units), len(units))
    table = pl.DataFrame(rows).sort("flips", "moved", "largest", descending=True, maintain_order=True)
    size = (pl.col("without") - pl.col("p")).abs()
    return Influence(stored.key, table, pl.concat(changes).sort(size, descending=True, maintain_order=True))


def read_fit(con: Store, sources: Sequence[str] = ()) -> StoredFit:
    """Read the newest converged fit of these sources that has draws. Raises FusionError as above."""
    found = query(
        con,
        """SELECT key, config, inputs, seed FROM fits WHERE converged AND key IN (SELECT fit FROM draws)
        AND (config->'$.sources')::VARCHAR[] = $sources::VARCHAR[] ORDER BY fitted_at DESC, key LIMIT 1""",
        {"sources": sorted(sources)},
    ).to_dicts()
    if not found:
        about = f" of {', '.join(sorted(sources))}" if sources else ""
        raise FusionError(
            f"no converged fit{about} keeps draws to weigh: run preceptor fuse --method hmc first"
        )
    (row,) = found
    config = json.loads(row["config"])
    text = restore_text(config.get("text"))
    given = read_input(con, sources, unjudged=text is not None)
    if hash_inputs(given.signals) != row["inputs"]:
        raise FusionError(
            f"the signals have changed since fit {row['key'][:8]} was made of them: run preceptor fuse again"
        )
    texts = read_texts(con, given.obs, text, config.get("length_controlled", False))
    obs = replace(given.obs, text=texts.groups)
    empty = hold(obs, None)
    position = restore_draws(
        query(con, "SELECT site, n, values FROM draws WHERE fit = ?", [row["key"]]),
        empty.sampler,
        empty.shapes,
    )
    if position is None:
        raise FusionError(f"fit {row['key'][:8]} was made by another version of the model: fuse again")
    kept = replace(empty, position=position)
    pairs = query(
        con, "SELECT completion_a, completion_b, p FROM preferences WHERE fit = ? ORDER BY 1, 2", [row["key"]]
    )
    return StoredFit(
        row["key"],
        kept,
        config["target"],
        SamplerSettings(**{f.name: config[f.name] for f in fields(SamplerSettings)}),
        pairs,
        _place(obs, pairs),
        draw_target(kept, config["target"], row["seed"], texts),
        texts,
    )


def _place(obs: Observations, pairs: pl.DataFrame) -> Pairs:
    index = obs.completions.select(key="completion").with_row_index("i")
    a, b = (
        pairs.select(key=name)
        .join(index, on="key", how="left", maintain_order="left")["i"]
        .cast(pl.Int64)
        .to_numpy()
        for name in ("completion_a", "completion_b")
    )
    return Pairs(a, b, obs.prompt[a])


def weigh_without(stored: StoredFit, unit: Unit, known: LogProbs | None = None) -> pl.DataFrame:
    """Weigh the draws as without a unit, of counts (rows, categories).

    Returns the pairs with p, without, k, touched (by its signals) and shift (of the parameters that prompts
    share).

    `known` are the log-probabilities that `compute_log_probs` computes once for all units.
    """
    obs = stored.kept.obs
    likelihoods = compute_likelihoods(stored.kept, unit, known)
    prompts, sums = sum_by_prompt(stored.kept, likelihoods, choose_rows(unit))
    weights, k, shift = weigh(list_shared(stored.kept, find_gone(obs, unit)), sums)
    found = weigh_pairs(stored.places, stored.drawn, prompts, weights, k)
    p = stored.pairs["p"].to_numpy()
    return stored.pairs.with_columns(
        pl.Series("without", np.clip(p + found.after - found.before, 0, 1)),
        pl.Series("k", found.k),
        pl.Series("touched", np.isin(stored.places.prompt, prompts)),
        pl.lit(shift).alias("shift"),
    )


def _measure(
    con: Store, stored: StoredFit, unit: Unit, refits: bool, known: LogProbs | None
) -> tuple[dict[str, Any], pl.DataFrame]:
    found = weigh_without(stored, unit, known)
    by = "weights"
    row: dict[str, Any] = {"k": _find_largest(found, "k"), "shift": _find_largest(found, "shift")}
    if needs_refit(found):
        by = "refit needed"
        if refits:
            found, by = found.with_columns(without=pl.Series(refit_without(con, stored, unit))), "refit"
    said = summarise_changes(found)
    row = {
        **row,
        "signals": round(sum(float(counts.sum()) for counts in unit.values())),
        "pairs": int(found["touched"].sum()),
        **said,
        "by": by,
    }
    return row, found.filter(_flips() | _moves()).select("completion_a", "completion_b", "p", "without", "k")


def needs_refit(found: pl.DataFrame) -> bool:
    """True if weights do not tell: Pareto's k or the shift of `weigh_without` is too large."""
    return _find_largest(found, "k") > TRUSTED or _find_largest(found, "shift") > SHIFTED


def _find_largest(found: pl.DataFrame, column: str) -> float:
    values = found[column].to_numpy()
    return float(values.max()) if len(values) else 0.0


def summarise_changes(found: pl.DataFrame) -> dict[str, Any]:
    """Count the pairs (p, without) that flip and that move by more than MOVED, and the largest change."""
    return found.select(
        _flips().sum().alias("flips"),
        _moves().sum().alias("moved"),
        (pl.col("without") - pl.col("p")).abs().max().fill_null(0.0).alias("largest"),
    ).row(0, named=True)


def _flips() -> pl.Expr:
    return (pl.col("p") - 0.5) * (pl.col("without") - 0.5) < 0


def _moves() -> pl.Expr:
    return (pl.col("without") - pl.col("p")).abs() > MOVED


def refit_without(con: Store, stored: StoredFit, unit: Unit) -> Floats:
    """Fit again without a unit, from where the chains ended: p (pairs,). Raises FusionError."""
    posterior = fit(remove(stored.kept.obs, unit), stored.settings, ends=read_ends(con, stored.key))
    if not posterior.diagnostics.converged:
        raise FusionError(f"the fit without it did not converge: {posterior.diagnostics.advice}")
    return compute_p(stored, posterior)


def compute_p(stored: StoredFit, posterior: Posterior) -> Floats:
    """Compute p of the stored pairs by the draws of another fit of the same completions: (pairs,)."""
    t = combine_qualities(stored.kept.obs, posterior, stored.target, stored.settings.seed, stored.texts)
    step = 2_000
    a, b = stored.places.a, stored.places.b
    parts = [
        compute_share_above(t[:, a[i : i + step]] - t[:, b[i : i + step]]) for i in range(0, len(a), step)
    ]
    return np.concatenate(parts)


def remove(obs: Observations, unit: Unit) -> Observations:
    """Take the counts of a unit out of the observations; rows stay, so that shapes stay."""
    return replace(
        obs,
        parts=tuple(_subtract(part, unit[part.site]) if part.site in unit else part for part in obs.parts),
    )


def _subtract(part: Part, counts: Counts) -> Part:
    """Subtract counts (rows, categories) from a part."""
    left: Any = part.table - counts
    names = {f.name for f in fields(part)}
    if "counts" in names:
        return replace(part, **{"counts": left})
    return replace(part, **{"failures": left[:, 0], "successes": left[:, 1]})
