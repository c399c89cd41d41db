"""The parts of the bench about texts: `text` (votes foretold), `text-coverage`, `length`."""

from dataclasses import replace

import click
import numpy as np

from preceptor.toolkit.cli.dataset.fuse_text import describe_length
from preceptor.toolkit.fusion.findings.posterior import draw_qualities, summarise_pairs
from preceptor.toolkit.fusion.likelihoods.own import LENGTH
from preceptor.toolkit.fusion.sampling.fit import SamplerSettings, fit
from preceptor.toolkit.fusion.text.length import draw_length_part, summarise_length
from preceptor.toolkit.fusion.text.read import Texts

from ...inputs import SHARED
from ..part import Found, Line
from .coverage import COLUMNS, SIZE, measure
from .foretold import HOW, PLAIN, RANDOM, DataSet, compare, read_data_set

SEEDS, FOLDS, SETS, DRAWS = {"SMART": 3, "MRBench": 3}, 5, 20, 500
BARS = {
    ("SMART", "pairs"): -0.008,
    ("SMART", "prompts"): -0.008,
    ("MRBench", "pairs"): -0.015,
    ("MRBench", "prompts"): -0.035,
}
NORMAL = 1.645  # standard errors to either side of a 90 % interval


def text(quick: bool) -> Found:
    """Hold out whole pairs and whole prompts, with texts read in several ways and without."""
    if not SHARED.is_dir():
        raise click.ClickException("needs the sources in ../shared/data")
    table: list[Line] = []
    costs = []
    for name in ("SMART",) if quick else HOW:
        data = read_data_set(name)
        costs.append(f"{name} {data.cpu_s:.2f}")
        for kind in ("pairs", "prompts"):
            table += _foretold(data, kind, quick)
    return Found(
        title="votes on whole pairs and whole prompts, with and without text",
        setting=(
            f"{FOLDS} folds, the same with and without text; seeds of folds from 0. Differences of the mean "
            "log-loss a vote from no text: their mean over seeds, and each with its 90 % interval, prompts "
            f"resampled. Four chains, draws as in `texts/foretold.py` ({HOW}). The model is "
            "SmolLM2-135M-Instruct, its middle layer, 16 whitened components; CPU s a completion to read "
            f"them: {', '.join(costs)}. {RANDOM}: 16 columns of them in place of text."
        ),
        columns=("held out", "texts", "seeds", "log-loss", "minus no text", "each seed (90 %)", "bar"),
        lines=table,
    )


def _foretold(data: DataSet, kind: str, quick: bool) -> list[Line]:
    seeds = 1 if quick else SEEDS[data.name]
    ways = [
        way for way in data.ways if way not in (PLAIN, LENGTH) and (way != RANDOM or data.name == "SMART")
    ]
    lines: list[Line] = []
    for way, scores, differences in compare(
        data, ways, kind, seeds, 2 if quick else FOLDS, 100 if quick else 0
    ):
        losses = [one.loss.sum() / one.votes.sum() for one in scores]
        each_seed = "; ".join(f"{mean:+.4f} ({low:+.4f} to {high:+.4f})" for mean, low, high in differences)
        bar = f"{BARS[data.name, kind]:+.3f}" if way == "model" else ""
        mean = np.mean([one[0] for one in differences])
        n = f"{scores[0].votes.sum():,.0f}"
        lines.append(
            (
                f"{data.name}, whole {kind}, {n} votes",
                way,
                str(seeds),
                f"{np.mean(losses):.4f}",
                f"{mean:+.4f}",
                each_seed,
                bar,
            )
        )
    return lines


def text_coverage(quick: bool) -> Found:
    """Cover the truth with intervals where texts say nothing, mislead, or say half."""
    sets = 2 if quick else SETS
    lines = []
    for way, found in measure(sets, 100 if quick else DRAWS, not quick):

        def show(name: str, digits: int = 3, found: list = found) -> str:  # type: ignore[type-arg]
            values = np.array([getattr(one, name) for one in found])
            spread = NORMAL * values.std(ddof=1) / np.sqrt(len(values))
            return f"{values.mean():.{digits}f} ±{spread:.{digits}f}"

        lines.append(
            (
                way,
                *(show(name) for name in ("e", "difference", "rmse")),
                show("loss", 4),
                show("share", 2),
                f"{max(one.r_hat for one in found):.2f}",
            )
        )
    return Found(
        title="coverage where texts say nothing, mislead, or say half",
        setting=(
            f"{sets} simulated sets, seeds from 0: {SIZE}; {COLUMNS} columns of features; ± is 90 %. relevant: "
            "one column is e and as much noise; misleading: that in half of the prompts, and its opposite in "
            "the others. Bar: 90 % intervals hold 88 to 92 %."
        ),
        columns=(
            "texts",
            "90 % intervals hold e",
            "and e_a - e_b",
            "rmse of e",
            "log-loss of p",
            "share of e explained",
            "worst R-hat",
        ),
        lines=lines,
    )


def length(quick: bool) -> Found:
    """Compare what a fit says of length with a fit that has length in its prior."""
    if not SHARED.is_dir():
        raise click.ClickException("needs the sources in ../shared/data")
    lines = []
    for name in ("SMART",) if quick else HOW:
        data = read_data_set(name, read=False)
        for way in (PLAIN, "cheap", LENGTH):
            texts = Texts(data.length, data.ways[way])
            obs = replace(data.obs, text=texts.groups)
            warmup, draws = (100, 100) if quick else HOW[name]
            posterior = fit(obs, SamplerSettings(seed=0, warmup=warmup, draws=draws, max_draws=draws))
            e, o = draw_qualities(obs, posterior, 0)
            pairs = summarise_pairs(obs, posterior, e, o, 0.0, length=draw_length_part(posterior, texts))
            found = summarise_length(posterior, texts, pairs, 0)["length"]
            lines.append((name, way, describe_length(found), f"{posterior.diagnostics.r_hat_max:.2f}"))
    return Found(
        title="what a doubling of length is worth",
        setting=(
            "Seed 0, four chains, draws as in `texts/foretold.py`, 90 % intervals; target: expressed. length: "
            "length alone in the prior, as --length-controlled fits it; the others are told from the draws of "
            "a fit that was not asked."
        ),
        columns=("data", "texts in the prior", "a doubling is worth", "worst R-hat"),
        lines=lines,
    )
