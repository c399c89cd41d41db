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
from numpy.typing import NDArray

from preceptor.toolkit.cli.options import open_stderr
from preceptor.toolkit.fusion.influence.influence import (
    StoredFit,
    Unit,
    compute_p,
    remove,
    weigh_without,
)
from preceptor.toolkit.fusion.influence.left_out import SHIFTED, Pairs, compute_log_probs, draw_target, hold
from preceptor.toolkit.fusion.influence.smoothing import TRUSTED
from preceptor.toolkit.fusion.influence.units import take_member
from preceptor.toolkit.fusion.inputs.copies import drop_copies
from preceptor.toolkit.fusion.observations import Observations, encode
from preceptor.toolkit.fusion.sampling.fit import Posterior, SamplerSettings, fit
from preceptor.toolkit.fusion.sampling.kept_draws import restore_draws
from preceptor.toolkit.fusion.sampling.warm_start import Ends, sort_ends

from ...__main__ import figure
from ...inputs import SHARED
from ..heldout.folds import cases
from ..part import Found, Line
from .judges import read_sample

Floats = NDArray[np.float64]

DEALT = 20  # people that unnamed votes and ratings are dealt to
ONCE = ("SMART", "JFLEG, whole rankings", "MRBench")  # each data set in one of its cases
UNITS = 3  # left out of each data set, with a fit beside each
NEAR = 0.02
LONG = 4000  # draws a chain of the fits that weights are held against


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
    long = settings if quick else SamplerSettings(draws=LONG, max_draws=LONG)
    began = time.process_time()
    posterior = fit(obs, settings)
    once = time.process_time() - began
    stored = store_fit(obs, posterior, settings)
    full = compute_p(stored, fit(obs, replace(long, seed=1)))
    if posterior.ends is None:
        raise ValueError("no chains")
    ends = Ends(sort_ends(posterior.ends), posterior.diagnostics.leapfrogs)
    all_units = deal(obs)
    units = all_units[: 1 if quick else UNITS]
    weigh_without(stored, units[0], compute_log_probs(stored.kept))  # compiles
    began = time.process_time()
    known = compute_log_probs(stored.kept)
    for_all = (time.process_time() - began) / len(all_units)
    off, apart, moves, weighed, refitted, sure = [], [], [], 0.0, 0.0, 0
    for unit in units:
        began = time.process_time()
        found = weigh_without(stored, unit, known)
        weighed += time.process_time() - began + for_all
        began = time.process_time()
        fit(remove(obs, unit), settings, ends=ends)
        refitted += time.process_time() - began
        p = compute_p(stored, fit(remove(obs, unit), replace(long, seed=2)))
        before, without, k = (found[column].to_numpy() for column in ("p", "without", "k"))
        trusted = (k < TRUSTED) & (found["shift"][0] <= SHIFTED)
        sure += int(trusted.sum())
        off.append((without - p)[trusted])
        apart.append(((without - before) - (p - full))[trusted])
        moves.append(p - full)
        open_stderr().print(f"{name}: k {k.max():.2f}, shift {found['shift'][0]:.2f}")
    noise = full - stored.pairs["p"].to_numpy()
    pairs = sum(len(move) for move in moves)
    yield (
        name,
        str(len(units)),
        f"{pairs:,}",
        f"{sure / pairs:.3f}",
        *_near(np.concatenate(off)),
        *_near(np.concatenate(apart)),
        *_near(noise),
        f"{np.sqrt(np.square(np.concatenate(moves)).mean()):.4f}",
        f"{figure(once)}",
        f"{100 * weighed / refitted:.1f} %",
    )


def _near(error: Floats) -> tuple[str]:
    """Write the share within NEAR, and the root of the mean square."""
    if not len(error):
        return ("—",)
    return (f"{(np.abs(error) < NEAR).mean():.3f} ({np.sqrt(np.square(error).mean()):.4f})",)


def list_cases(quick: bool) -> Iterator[tuple[str, Observations]]:
    """The packaged sample, and each data set of ../shared in one of its cases."""
    yield "packaged sample", encode(drop_copies(read_sample(0)[1]))
    for case in cases(quick):
        if case.name in ONCE:
            yield case.name, case.obs


def influence(quick: bool) -> Found:
    """Leave annotators out by weights and by fits."""
    if not SHARED.is_dir():
        raise click.ClickException("needs the sources in ../shared/data")
    return Found(
        "influence beside refits",
        f"{UNITS} units left out of each, those of smallest index; 4 x 1000 draws, seed 0, beside fits of 4 x {LONG} "
        "draws of other seeds. Shares of pairs within 0.02, and root mean squares: of p without the unit, of its change "
        "(from a long fit to a long fit), and of p of the whole fit, which is noise of its draws. Pairs of weights "
        "not to be trusted (Pareto k above 0.7, or too large a shift) are left to refits. Target: what people prefer. CPU "
        "beside a warm refit of 4 x 1000 draws; what is computed once for all units is shared among them.",
        (
            "data",
            "units",
            "pairs",
            "trusted",
            "p",
            "change of p",
            "noise",
            "rms change",
            "CPU s of a fit",
            "CPU of weights / of refits",
        ),
        [line for name, obs in list_cases(quick) for line in measure(name, obs, quick)],
    )
