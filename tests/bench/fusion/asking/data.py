"""What is asked about in `asking`: a made-up study whose truth is known, and JFLEG's judgements."""

from dataclasses import dataclass
from itertools import combinations
from pathlib import Path

import click
import numpy as np

from .replay import Plan, Questions

ASKED_AT_MOST = 40  # times about one pair


@dataclass(frozen=True)
class World:
    """A made-up study: how much there is to ask about, and how well people's votes tell."""

    name: str
    prompts: int
    size: int
    plan: Plan
    slope: float = 1.5
    tie: float = -0.7
    people: int = 30


def invented(world: World, seed: int) -> Questions:
    """Annotators around reliability 1, of whom 10 % are careless and 5 % adversarial; a tie is common."""
    rng = np.random.default_rng([seed, 0])
    reliability = rng.normal(1, 0.3, world.people)
    careless, adversarial = round(0.1 * world.people), max(1, round(0.05 * world.people))
    reliability[:careless] = 0
    reliability[careless : careless + adversarial] = -1
    e = rng.standard_normal(world.prompts * world.size)
    sides = np.array(list(combinations(range(world.size), 2)))
    a, b = ((np.arange(world.prompts)[:, None] * world.size + side).reshape(-1) for side in sides.T)
    annotator = rng.integers(0, world.people, (len(a), ASKED_AT_MOST))
    eta = world.slope * reliability[annotator] * (e[a] - e[b])[:, None]
    weights = np.exp(np.stack([eta / 2, -eta / 2, np.full(eta.shape, world.tie)]))
    shares = np.cumsum(weights / weights.sum(axis=0), axis=0)
    choice = (rng.random(eta.shape) > shares[:2]).sum(axis=0)
    every = np.ones(len(a), dtype=bool)
    return Questions(a, b, annotator, choice, world.size, world.people, every, every, e[a] > e[b])


def judged(store: Path, held_out: float, seed: int) -> Questions:
    """JFLEG's judgements, each pair's only one; a share of every document's pairs is never asked about.

    Right is what the judge said: of the pairs held out, or of all where none are. Ties are asked
    about, but not scored. Documents with fewer than three texts are left out.
    """
    from preceptor.toolkit.fusion.inputs.signals import read_signals
    from preceptor.toolkit.fusion.observations import encode
    from preceptor.toolkit.store.connection import open_store

    with open_store(store, read_only=True) as con:
        obs = encode(read_signals(con, []))
    votes = obs.votes
    if votes is None:
        raise click.ClickException("JFLEG's judgements are not there")
    texts = np.bincount(obs.prompt)
    size = int(texts.max())
    kept = np.flatnonzero(texts[obs.prompt[votes.first]] >= 3)
    kept = kept[np.argsort(obs.prompt[votes.first[kept]], kind="stable")]
    documents, row = np.unique(obs.prompt[votes.first[kept]], return_inverse=True)
    slot = np.arange(len(obs.prompt)) - np.searchsorted(obs.prompt, obs.prompt)
    first, second = (row * size + slot[side[kept]] for side in (votes.first, votes.second))
    choice = votes.counts[kept].argmax(axis=1)
    chance = np.random.default_rng([seed, 0]).random(len(row))
    held = np.zeros(len(row), dtype=bool)
    for document in range(len(documents)):
        pairs = np.flatnonzero(row == document)
        held[pairs[np.argsort(chance[pairs])][: round(held_out * len(pairs))]] = True
    return Questions(
        first=first,
        second=second,
        annotator=votes.annotator[kept][:, None],
        choice=choice[:, None],
        size=size,
        annotators=obs.annotators.height,
        askable=~held,
        scored=(choice < 2) & (held if held_out else True),
        first_better=choice == 0,
    )
