"""Do real judges ever make what is foretold of people worse? One small model as four likelihood judges.

SmolLM2-135M-Instruct prefers the completion that it finds likelier: as a whole, by token, by character, and
less how likely it finds it without the prompt. The four see alike, and people agree with them little better
than by chance. Whole prompts of people's votes, ratings and outcomes are held out, the judges' votes stay.
"""

import tempfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import click
import numpy as np
import polars as pl
from numpy.typing import NDArray

from preceptor.annotation.models.backends.text_scores import Text, score_texts
from preceptor.schemas.support.files import find_user_cache
from preceptor.toolkit.fusion.inputs.signals import read_signals
from preceptor.toolkit.fusion.likelihoods.votes import Votes
from preceptor.toolkit.fusion.observations import Observations, encode
from preceptor.toolkit.fusion.sampling.fit import SamplerSettings, fit
from preceptor.toolkit.store.connection import open_store, query

from ...inputs import SHARED, STORE, ingesting
from ..heldout.folds import Case, Score, Signals, derived_votes, resampled, score, some_prompts
from ..heldout.heldout import vote_probabilities
from ..keep import each
from ..part import Found, Line
from ..texts.foretold import MODEL, train_on
from .judges import call_alike, find_votes

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

PROMPTS = 32  # of MRBench's 192: a reply costs more than a second of one core
SEEDS, FOLDS = 3, 5
HOW = SamplerSettings(warmup=300, draws=250, max_draws=250)
JUDGES = ("whole", "by token", "by character", "less without the prompt")


def read_with_judges(prompts: int) -> tuple[Signals, dict[str, float]]:
    """Read MRBench's first prompts with a vote of each judge on every pair that people voted on.

    Also returns each judge's share of agreement with people's votes, ties left out. (JFLEG's rankings name
    systems, not texts.)
    """
    with tempfile.TemporaryDirectory() as place:
        store = Path(place) / STORE
        ingesting(store, "mrbench", SHARED / "mrbench")()
        with open_store(store, read_only=True) as con:
            signals = read_signals(con, [])
            texts = query(
                con,
                "SELECT c.key AS completion, p.messages, c.content AS text FROM completions c "
                "JOIN prompts p ON p.key = c.prompt ORDER BY c.key",
            )
    signals = some_prompts(derived_votes(signals, seed=0), prompts)
    pairs = (
        signals["votes"].select("completion_a", "completion_b").unique().sort("completion_a", "completion_b")
    )
    pairs = _weigh(pairs, signals["completions"])
    found = _score(texts, sorted({*pairs["completion_a"], *pairs["completion_b"]}))
    votes, agreed = [signals["votes"]], {}
    for judge in JUDGES:
        seen = pl.DataFrame({"completion": found["completion"], "seen": found[judge]})
        both = pairs.join(seen, left_on="completion_a", right_on="completion").join(
            seen, left_on="completion_b", right_on="completion", suffix="_b"
        )
        likes = both.select(
            "completion_a",
            "completion_b",
            choice=pl.when(pl.col("seen") > pl.col("seen_b")).then(pl.lit("a")).otherwise(pl.lit("b")),
            annotator=pl.lit(f"model {judge}"),
            shown_first=pl.lit(None, dtype=pl.String),
            weight="weight",
        )
        votes.append(likes.select([c for c in (*signals["votes"].columns, "weight") if c in likes.columns]))
        agreed[judge] = _agree(signals["votes"], likes)
    names = [f"model {judge}" for judge in JUDGES]
    judges = pl.DataFrame({"annotator": names, "pseudonym": names, "kind": "model"})
    people = signals["annotators"]
    both_kinds = pl.concat([people.select(judges.columns), judges], how="vertical_relaxed")
    said = pl.concat(votes, how="diagonal_relaxed").with_columns(pl.col("weight").fill_null(1.0))
    return signals | {"votes": said, "annotators": both_kinds}, agreed


def _weigh(pairs: pl.DataFrame, completions: pl.DataFrame) -> pl.DataFrame:
    """Add the `weight` of a model's vote on each pair, as reading votes from a store does."""
    prompts = completions.select(completion_a="completion", prompt="prompt")
    of = pairs.join(prompts, on="completion_a", maintain_order="left")
    sides = pl.concat([of.select("prompt", x="completion_a"), of.select("prompt", x="completion_b")])
    sized = sides.group_by("prompt").agg(k=pl.col("x").n_unique(), m=pl.len() // 2)
    whole = pl.col("m") >= pl.col("k") * (pl.col("k") - 1) / 2
    weight = pl.when(whole).then((2 / pl.col("k") + 3 / (pl.col("k") + 1)) / 2).otherwise(2 / pl.col("k"))
    return of.join(sized, on="prompt", maintain_order="left").select(
        "completion_a", "completion_b", weight=weight
    )


def _score(texts: pl.DataFrame, wanted: list[str]) -> pl.DataFrame:
    """Score the completions by the model in each judge's way: completion and a column a judge."""
    from transformers import AutoModelForCausalLM, AutoTokenizer

    folder = find_user_cache() / MODEL
    model, tokenizer = (
        AutoModelForCausalLM.from_pretrained(folder, dtype="float32"),
        AutoTokenizer.from_pretrained(folder),
    )
    kept = texts.filter(pl.col("completion").is_in(wanted))
    asked: list[Text] = [(row["messages"], row["text"]) for row in kept.iter_rows(named=True)]
    given = score_texts(model.eval(), tokenizer, asked)
    alone = score_texts(model, tokenizer, [([{"role": "user", "content": ""}], text) for _, text in asked])
    return pl.DataFrame(
        {
            "completion": kept["completion"],
            JUDGES[0]: [one.normalise("none") for one in given],
            JUDGES[1]: [one.normalise("tokens") for one in given],
            JUDGES[2]: [one.normalise("characters") for one in given],
            JUDGES[3]: [
                one.log_probability - other.log_probability for one, other in zip(given, alone, strict=True)
            ],
        }
    )


def _agree(people: pl.DataFrame, likes: pl.DataFrame) -> float:
    said = people.filter(pl.col("choice") != "tie").join(
        likes, on=["completion_a", "completion_b"], suffix="_judge"
    )
    return int((said["choice"] == said["choice_judge"]).sum()) / max(said.height, 1)


def hold_out_people(obs: Observations, seed: int) -> tuple[Case, Ints]:
    """Deal whole prompts of people's votes out to folds; also the fold of each prompt."""
    votes = find_votes(obs)
    of_prompt = np.random.default_rng([seed, 2]).permutation(int(obs.prompt.max()) + 1) % FOLDS
    fold = of_prompt[obs.prompt[votes.first]]
    people = ~_of_models(obs, votes)
    held = np.where(((fold == np.arange(FOLDS)[:, None]) & people)[:, :, None], votes.counts, 0.0)
    return Case("people", obs, held), of_prompt


def _of_models(obs: Observations, votes: Votes) -> NDArray[np.bool_]:
    kinds = np.array([*(kind == "model" for kind in obs.annotators["kind"]), False])
    return np.asarray(kinds[votes.annotator])  # NOBODY is the last


def without_judges(obs: Observations) -> Observations:
    """Leave the judges' votes out; rows stay, so that folds are the same."""
    votes = find_votes(obs)
    people = np.where(_of_models(obs, votes)[:, None], 0.0, votes.counts)
    others = (part for part in obs.parts if part is not obs.votes)
    return replace(call_alike(obs), parts=(replace(votes, counts=people), *others))


def foretell(prompts: int, obs: Observations, way: str, seed: int) -> Score:
    """Score people's held-out votes of all folds: people alone, with judges, or judges taken for people."""
    case, of_prompt = hold_out_people(obs, seed)

    def predict(fold: int) -> Floats:
        left = train_on(case, fold, of_prompt)
        if way == "people alone":
            left = without_judges(left)
        elif way == "judges alike":
            left = call_alike(left)
        return vote_probabilities(left, fit(left, replace(HOW, seed=seed)))

    return score(case, np.stack(list(each(f"real judges {prompts} {way} {seed}", range(FOLDS), predict))))


def list_lines(prompts: int, seeds: int) -> Iterator[Line]:
    """A line for each way to take the judges, beside people alone."""
    signals, agreed = next(each(f"real judges {prompts}", [prompts], read_with_judges))
    obs = encode(signals)
    alone = [foretell(prompts, obs, "people alone", seed) for seed in range(seeds)]
    said = ", ".join(f"{judge} {share:.2f}" for judge, share in agreed.items())
    yield "people alone", _mean(alone), "", f"judges agree with people: {said}"
    for way in ("shared taste", "judges alike"):
        found = [foretell(prompts, obs, way, seed) for seed in range(seeds)]
        apart = [resampled(one.loss - other.loss, one.votes) for one, other in zip(found, alone, strict=True)]
        each_seed = "; ".join(f"{mean:+.4f} ({low:+.4f} to {high:+.4f})" for mean, low, high in apart)
        bar = "never worse" if way == "shared taste" else ""
        yield way, _mean(found), f"{np.mean([a[0] for a in apart]):+.4f}: {each_seed}", bar


def _mean(scores: list[Score]) -> str:
    return f"{np.mean([one.loss.sum() / one.votes.sum() for one in scores]):.4f}"


def real_judges(quick: bool) -> Found:
    """Hold out people's votes on whole prompts, with and without a small model's votes."""
    if not SHARED.is_dir():
        raise click.ClickException("needs the sources in ../shared/data")
    if not (find_user_cache() / MODEL).is_dir():
        raise click.ClickException(f"needs {MODEL} in the cache, which the tests of training put there")
    prompts, seeds = (8, 1) if quick else (PROMPTS, SEEDS)
    return Found(
        title="real judges beside people",
        setting=(
            f"MRBench's first {prompts} prompts; {MODEL} as {len(JUDGES)} likelihood judges, one vote of each on "
            f"every pair that people voted on; whole prompts of people's signals held out, {FOLDS} folds, seeds of "
            f"folds from 0; chains of {HOW.draws} draws. Log-loss a vote of people, and its difference from people "
            "alone (each seed with its 90 % interval, prompts resampled)."
        ),
        columns=("judges", "log-loss", "minus people alone", "note"),
        lines=list(list_lines(prompts, seeds)),
    )
