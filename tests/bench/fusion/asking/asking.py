"""What to ask next: how many votes each order needs for the accuracy that asking at random reaches.

Replayed on invented annotators, where the truth is known, and on the published judgements of JFLEG.
"""

import tempfile
from pathlib import Path

import click
import numpy as np
from scipy.stats import spearmanr

from ...inputs import SHARED, STORE, ingesting
from ..part import Found, Line
from .curves import Curve, curve, ratio
from .data import World, invented, judged
from .figure import drawing
from .replay import (
    Order,
    Plan,
    at_random,
    coverage,
    difference,
    gain,
    shannon,
    uncertainty,
    whole_prompt,
)

SEEDS = 20
JFLEG = SHARED / "jfleg" / "EACL_exp" / "mturk" / "pairwise.csv"
HELD_OUT = 0.4
BAR = 0.7

RANDOM = Order("random", at_random)
COVERAGE = Order("coverage", coverage)
GAIN = Order("information gain", gain)
NATS = Order("nats about which is better", shannon)
FEW = (RANDOM, COVERAGE, GAIN, NATS)
OFTEN = (
    *FEW,
    Order("uncertainty: p near 0.5", uncertainty),
    Order("information gain, every prompt's best first", gain, spread=True),
)
ORDERS = (
    *OFTEN,
    Order("nats about the difference", difference),
    Order("information gain, summed over the prompt's pairs", whole_prompt),
)

WORLDS = (
    (World("5 completions a prompt", 60, 5, Plan(3000, 4, 98)), ORDERS),
    (World("2 completions a prompt", 300, 2, Plan(2400, 1, 75)), FEW),
    (World("8 completions a prompt", 30, 8, Plan(3000, 8, 98)), FEW),
)


def lines(data: str, curves: dict[str, Curve], exhausted: bool = False) -> list[Line]:
    """A row for each order. Where every order asks all in the end, what all votes reach tells nothing."""
    random, shares = curves[RANDOM.name], (0.8,) if exhausted else (0.8, 1.0)
    rows = []
    for name, own in curves.items():
        middle = len(own.votes) // 2
        cells = [_cell(*ratio(own, random, share), share * own.votes[-1]) for share in shares]
        if own is random:
            cells = [f"{share * own.votes[-1]:.0f}" for share in shares]
        accuracy = own.accuracy()
        rows.append(
            (
                data,
                name,
                *cells,
                *[""] * (2 - len(cells)),
                f"{accuracy[middle]:.1%}, {own.log_loss[middle]:.3f}",
                f"{accuracy[-1]:.1%}, {own.log_loss[-1]:.3f}",
            )
        )
    return rows


def beside_nats(data: str, curves: dict[str, Curve]) -> Line:
    """What is stored beside mutual information: votes needed as a share of its votes, not of random's."""
    own, nats = curves[GAIN.name], curves[NATS.name]
    cells = [_cell(*ratio(own, nats, share), share * own.votes[-1]) for share in (0.8, 1.0)]
    return data, "information gain, beside nats instead of random", *cells, "", ""


def _cell(value: float, low: float, high: float, total: float) -> str:
    if np.isinf(value):
        return "never"
    upper = "never" if np.isinf(high) else f"{high:.2f}"
    return f"{value * total:.0f}: {value:.2f} ({low:.2f}–{upper})"


def beside_nuts(seed: int) -> Line:
    """The replay's stand-in and NUTS on the same votes: p, and the order of gains."""
    import polars as pl

    from preceptor.toolkit.fusion.findings.posterior import draw_qualities, summarise_pairs
    from preceptor.toolkit.fusion.likelihoods.votes import Votes
    from preceptor.toolkit.fusion.observations import Observations
    from preceptor.toolkit.fusion.sampling.fit import SamplerSettings, fit

    from .quick_posterior import Ballot, beginning, update
    from .replay import Known, p_first

    q = invented(World("", 20, 4, Plan(0, 0, 0), people=10), seed)
    n = 4  # votes on each pair
    first, second = np.repeat(q.first, n), np.repeat(q.second, n)
    annotator, counts = q.annotator[:, :n].reshape(-1), np.eye(3)[q.choice[:, :n].reshape(-1)]
    rng = np.random.default_rng(seed)
    quick = update(beginning(20, 4, 10), Ballot(first, second, annotator, counts), rng, rounds=30)
    p = p_first(quick, q)
    quick_gain = np.mean([gain(Known(q, np.full(len(p), n), quick, p, rng)) for _ in range(10)], axis=0)
    names = [f"{i:03}" for i in range(80)]
    obs = Observations(
        pl.DataFrame({"completion": names, "prompt": [f"{i // 4:03}" for i in range(80)]}),
        np.arange(80) // 4,
        pl.DataFrame({"annotator": names[:10], "pseudonym": names[:10]}),
        [],
        (Votes(first, second, annotator, np.zeros(len(first)), counts),),
    )
    posterior = fit(obs, SamplerSettings(seed=seed))
    e, o = draw_qualities(obs, posterior, seed)
    rows = summarise_pairs(obs, posterior, e, o, 0.0)  # in the order of the pairs of `q`
    away = np.abs(rows["p"].to_numpy() - p)
    ranks = spearmanr(rows["information_gain"].to_numpy(), quick_gain).statistic
    return (
        f"stand-in beside NUTS, {len(first)} votes",
        "",
        f"p: median distance {np.median(away):.3f}, largest {away.max():.3f}",
        f"gain: rank correlation {ranks:.3f}",
        "",
        "",
    )


def asking(quick: bool) -> Found:
    """Replay every order, in simulation and on JFLEG."""
    if not JFLEG.is_file():
        raise click.ClickException("needs JFLEG's judgements in ../shared/data")
    seeds = 2 if quick else SEEDS
    rows: list[Line] = []
    drawn: dict[str, dict[str, Curve]] = {}
    for world, orders in WORLDS:
        data = f"simulation, {world.name}"
        questions = [invented(world, seed) for seed in range(seeds)]
        drawn[data] = {o.name: curve(questions, o, world.plan, by_prompt=False) for o in orders}
        rows += [*lines(data, drawn[data]), beside_nats(data, drawn[data])]
    with tempfile.TemporaryDirectory() as folder:
        store = Path(folder) / STORE
        size = ingesting(store, "votes", JFLEG)()
        for data, held_out, batch in (("JFLEG, all pairs", 0.0, 45), ("JFLEG, held-out pairs", HELD_OUT, 22)):
            questions = [judged(store, held_out, seed) for seed in range(seeds)]
            plan = Plan(int(questions[0].askable.sum()), 2, batch)
            drawn[data] = {o.name: curve(questions, o, plan, by_prompt=True) for o in OFTEN}
            rows += lines(data, drawn[data], exhausted=bool(held_out))
    rows.append(beside_nuts(0))
    return Found(
        title="asking: votes needed, by the order of asking",
        setting=f"Simulation: seeds 0 to {seeds - 1}. JFLEG: {size}; seeds 0 to {seeds - 1} for what is held "
        "out and asked first. Votes until an order is as accurate as random order is with 80 % and with all "
        "of its votes, as a number and as a share of random's, with 90 % intervals (bootstrap over seeds, "
        f"for JFLEG over documents too); at most {BAR} was asked for.",
        columns=("data", "order", "80 %", "all", "accuracy, log-loss at half", "… at the end"),
        lines=rows,
        drawings={"asking.svg": drawing(drawn, [order.name for order in FEW[:3]])},
    )
