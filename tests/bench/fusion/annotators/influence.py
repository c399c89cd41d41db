"""Do weighted draws say what a fit without an annotator would? Beside such fits, on four data sets.

SMART and MRBench name no annotators: their votes and ratings are dealt at random to twenty people, who are
left out one at a time.
"""

import time
from collections.abc import Iterator
from dataclasses import replace

import click
import numpy as np
import polars as pl

from preceptor.toolkit.cli.options import open_stderr
from preceptor.toolkit.fusion.influence.influence import (
    StoredFit,
    Unit,
    compute_p,
    needs_refit,
    remove,
    weigh_without,
)
from preceptor.toolkit.fusion.influence.left_out import Pairs, compute_log_probs, draw_target, hold
from preceptor.toolkit.fusion.influence.units import take_member
from preceptor.toolkit.fusion.observations import Observations
from preceptor.toolkit.fusion.sampling.fit import Posterior, SamplerSettings, fit
from preceptor.toolkit.fusion.sampling.kept_draws import restore_draws
from preceptor.toolkit.fusion.sampling.warm_start import Ends, sort_ends

from ...__main__ import figure
from ...inputs import SHARED
from ..heldout.folds import cases
from ..part import Found, Line

DEALT = 20  # people that unnamed votes and ratings are dealt to
ONCE = ("SMART", "JFLEG, whole rankings", "MRBench")  # each data set in one of its cases
UNITS = 3  # left out of each data set, with a fit beside each
NEAR = 0.02


def list_pairs(obs: Observations) -> tuple[pl.DataFrame, Pairs]:
    """All pairs of completions of one prompt."""
    items = obs.completions.select("prompt", c="completion").with_row_index("i")
    both = items.join(items, on="prompt", suffix="_b").filter(pl.col("c") < pl.col("c_b")).sort("c", "c_b")
    a, b = (both[name].cast(pl.Int64).to_numpy() for name in ("i", "i_b"))
    return both.select(completion_a="c", completion_b="c_b"), Pairs(a, b, obs.prompt[a])


def store_fit(obs: Observations, posterior: Posterior, settings: SamplerSettings) -> StoredFit:
    """A fit as `read_fit` reads it from a store; the target is what people prefer."""
    empty = hold(obs, None)
    if posterior.kept is None:
        raise ValueError("the fit kept no draws")
    kept = hold(obs, restore_draws(posterior.kept, empty.sampler, empty.shapes))
    pairs, places = list_pairs(obs)
    stored = StoredFit("fit", kept, 0.0, settings, pairs, places, draw_target(kept, 0.0, settings.seed))
    return replace(stored, pairs=pairs.with_columns(p=pl.Series(compute_p(stored, posterior))))


def deal(obs: Observations, seed: int = 0) -> list[Unit]:
    """The units of a data set: its annotators, or people that votes and ratings are dealt to."""
    if obs.annotators.height > 1:
        return [take_member(obs, "annotator", [j]) for j in range(obs.annotators.height)]
    random = np.random.default_rng(seed)
    shares = {
        part.site: random.multinomial(part.table.astype(int), np.full(DEALT, 1 / DEALT))
        for part in obs.parts
        if hasattr(part, "annotator")
    }
    return [{site: dealt[..., j].astype(float) for site, dealt in shares.items()} for j in range(DEALT)]


def measure(name: str, obs: Observations, quick: bool) -> Iterator[Line]:
    """A line: all pairs of all units that were left out together."""
    draws = 250 if quick else 1000
    settings = SamplerSettings(draws=draws, max_draws=draws)
    began = time.process_time()
    posterior = fit(obs, settings)
    once = time.process_time() - began
    again = compute_p(store_fit(obs, posterior, settings), fit(obs, replace(settings, seed=1)))
    stored = store_fit(obs, posterior, settings)
    if posterior.ends is None:
        raise ValueError("no chains")
    ends = Ends(sort_ends(posterior.ends), posterior.diagnostics.leapfrogs)
    units = deal(obs)[: 1 if quick else UNITS]
    weigh_without(stored, units[0], compute_log_probs(stored.kept))  # compiles
    began = time.process_time()
    known = compute_log_probs(stored.kept)  # once for all units
    once_for_all = (time.process_time() - began) / len(deal(obs))
    errors, moves, weighed, refitted, sure = [], [], 0.0, 0.0, 0
    for unit in units:
        began = time.process_time()
        found = weigh_without(stored, unit, known)
        weighed += time.process_time() - began + once_for_all
        began = time.process_time()
        p = compute_p(stored, fit(remove(obs, unit), settings, ends=ends))
        refitted += time.process_time() - began
        trusted = found["k"].to_numpy() < (0.0 if needs_refit(found) and found["shift"][0] > 0.4 else 0.7)
        sure += int(trusted.sum())
        errors.append((found["without"].to_numpy() - p)[trusted])
        moves.append(p - found["p"].to_numpy())
        open_stderr().print(
            f"{name}: {float(np.abs(errors[-1]).mean()) if trusted.any() else 1:.4f}, {np.max(found['k'].to_numpy()):.2f}"
        )
    error, move = np.abs(np.concatenate(errors)), np.concatenate(moves)
    noise = again - stored.pairs["p"].to_numpy()
    yield (
        name,
        str(len(units)),
        f"{len(move):,}",
        f"{sure / len(move):.3f}",
        f"{(error < NEAR).mean():.3f}" if len(error) else "—",
        f"{np.sqrt(np.square(error).mean()):.4f}" if len(error) else "—",
        f"{(np.abs(noise) < NEAR).mean():.3f}",
        f"{np.sqrt(np.square(noise).mean()):.4f}",
        f"{np.sqrt(np.square(move).mean()):.4f}",
        f"{figure(once)}",
        f"{100 * weighed / refitted:.1f} %",
    )


def influence(quick: bool) -> Found:
    """Leave annotators out by weights and by fits."""
    if not SHARED.is_dir():
        raise click.ClickException("needs the sources in ../shared/data")
    found = [
        line for case in cases(quick) if case.name in ONCE for line in measure(case.name, case.obs, quick)
    ]
    return Found(
        "influence beside refits",
        f"{UNITS} units left out of each, those of smallest index; 4 x 1000 draws, seed 0; noise: the same fit "
        "with seed 1 in place of 0, which is as far apart as two fits are. Pairs of weights not to be trusted (Pareto k "
        "above 0.7, or a shift above 0.4) are left to refits. Target: what people prefer.",
        (
            "data",
            "units",
            "pairs",
            "trusted",
            "within 0.02",
            "rms error",
            "noise within 0.02",
            "rms noise",
            "rms move",
            "CPU s of a fit",
            "CPU of weights / of refits",
        ),
        found,
    )
