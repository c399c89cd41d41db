"""Do texts foretell votes on pairs and prompts that nobody voted on? Cross-validation, with and without.

Whole pairs: a pair's votes are held out, ratings and outcomes stay. Whole prompts: everything about a
prompt's completions is held out. The same folds and seeds with and without text, and with random numbers in
place of it.
"""

import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from preceptor.annotation.models.backends.hf_states import open_encoder
from preceptor.schemas.support.files import find_user_cache
from preceptor.toolkit.fusion.inputs.signals import read_signals
from preceptor.toolkit.fusion.likelihoods.own import LENGTH
from preceptor.toolkit.fusion.observations import Observations, encode
from preceptor.toolkit.fusion.sampling.fit import SamplerSettings, fit
from preceptor.toolkit.fusion.text.read import read_texts
from preceptor.toolkit.fusion.text.states import TextEncoder
from preceptor.toolkit.store.connection import open_store

from ...inputs import SHARED, STORE, ingesting
from ..heldout.folds import Case, Score, derived_votes, resampled, score, split_rows
from ..heldout.heldout import vote_probabilities
from ..keep import each

Floats = NDArray[np.float64]

MODEL = "smollm2-135m-instruct"  # in the user's cache, as the tests convert it
RANDOM = "random numbers"
PLAIN = "no text"
HOW = {"SMART": (300, 500), "MRBench": (300, 250)}  # warm-up and draws of each of four chains


@dataclass(frozen=True)
class DataSet:
    """Signals, and the groups of features of each way to read texts; `cpu_s` to encode a completion."""

    name: str
    obs: Observations
    ways: dict[str, dict[str, Floats]]
    cpu_s: float
    length: Floats  # (items,) in doublings, less the mean of their prompt


def read_data_set(name: str, read: bool = True) -> DataSet:
    """Read a data set of ../shared, its texts in every way; by the model only if `read`."""
    folder = find_user_cache() / MODEL
    encoder = TextEncoder(*open_encoder(str(folder))) if read and folder.is_dir() else None
    with tempfile.TemporaryDirectory() as place:
        store = Path(place) / STORE
        ingesting(store, name.lower(), SHARED / name.lower())()
        with open_store(store) as con:
            signals = read_signals(con, [])
            obs = encode(derived_votes(signals, seed=0) if name == "MRBench" else signals)
            begun = time.process_time()
            ways = {"model": dict(read_texts(con, obs, encoder).groups)} if encoder else {}
            cpu_s = (time.process_time() - begun) / obs.completions.height
            ways["cheap"] = dict(read_texts(con, obs, "cheap").groups)
            alone = read_texts(con, obs, None, length_controlled=True)
    noise = np.random.default_rng(9).normal(size=(obs.completions.height, 16)) / 4
    others = {LENGTH: dict(alone.groups), RANDOM: {"noise": noise}, PLAIN: {}}
    return DataSet(name, obs, ways | others, cpu_s, alone.length)


def hold_out(obs: Observations, kind: str, folds: int, seed: int) -> tuple[Case, NDArray[np.int64]]:
    """Deal whole pairs or whole prompts out to folds; also the fold of each prompt (none for pairs)."""
    rng = np.random.default_rng([seed, 1] if kind == "prompts" else seed)
    votes = obs.votes
    if votes is None:
        raise ValueError("there are no votes to hold out")
    if kind == "pairs":
        return Case(kind, obs, split_rows(votes.counts, folds, rng)), np.zeros(0, dtype=np.int64)
    of_prompt = rng.permutation(int(obs.prompt.max()) + 1) % folds
    fold = of_prompt[obs.prompt[votes.first]]
    held = np.where((fold == np.arange(folds)[:, None])[:, :, None], votes.counts, 0.0)
    return Case(kind, obs, held), of_prompt


def train_on(case: Case, fold: int, of_prompt: NDArray[np.int64]) -> Observations:
    """The signals without a fold's: its votes, and for whole prompts also their ratings and outcomes."""
    obs = case.training(fold)
    if not len(of_prompt):
        return obs
    kept = of_prompt[obs.prompt] != fold
    ratings = [replace(r, counts=r.counts * kept[r.item][:, None]) for r in obs.ratings]
    outcomes = [
        replace(y, successes=y.successes * kept[y.item], failures=y.failures * kept[y.item])
        for y in obs.outcomes
    ]
    return replace(obs, parts=tuple(part for part in (obs.votes, *ratings, *outcomes) if part is not None))


def foretell(data: DataSet, way: str, kind: str, seed: int, folds: int, draws: int = 0) -> Score:
    """Score the held-out votes of all folds, with texts read in one way."""
    case, of_prompt = hold_out(data.obs, kind, folds, seed)
    warmup, wanted = HOW[data.name]
    how = SamplerSettings(seed=seed, warmup=warmup, draws=draws or wanted, max_draws=draws or wanted)

    def predict(fold: int) -> Floats:
        obs = replace(train_on(case, fold, of_prompt), text=data.ways[way])
        return vote_probabilities(obs, fit(obs, how))

    name = f"foretold {data.name} {way} {kind} {seed} {folds} {how}"
    return score(case, np.stack(list(each(name, range(folds), predict, True))))


def compare(
    data: DataSet, ways: list[str], kind: str, seeds: int, folds: int, draws: int
) -> Iterator[tuple[str, list[Score], list[tuple[float, float, float]]]]:
    """For each way but PLAIN: scores by seed of folds, and differences from PLAIN with 90 % intervals."""
    plain = [foretell(data, PLAIN, kind, seed, folds, draws) for seed in range(seeds)]
    for way in ways:
        found = [foretell(data, way, kind, seed, folds, draws) for seed in range(seeds)]
        pairs = zip(found, plain, strict=True)
        yield way, found, [resampled(one.loss - other.loss, one.votes) for one, other in pairs]
