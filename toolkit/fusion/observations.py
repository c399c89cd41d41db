"""Turn the store's signals into index arrays, which the fusion model is conditioned on."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace

import numpy as np
import polars as pl
from numpy.typing import NDArray

from ...schemas.errors import FusionError
from ...schemas.tables import COUNTS, OBSERVED, SIGNALS, name_all
from .likelihoods.likelihood import NOBODY, Counts, Ints, Members, Part, look_up_index
from .likelihoods.outcomes import Outcomes
from .likelihoods.ratings import Ratings
from .likelihoods.registry import LIKELIHOODS
from .likelihoods.tastes import find_judged
from .likelihoods.votes import Votes

MODEL = "model"  # the kind of annotators that are models


@dataclass(frozen=True)
class Observations:
    """Input of a fit. Item i is the completion `completions["completion"][i]`."""

    completions: pl.DataFrame  # completion, prompt, and the number of signals of each type: n_votes …
    prompt: Ints  # prompt index of each item
    annotators: pl.DataFrame  # annotator (key), pseudonym, kind where known, author that a model is
    learners: list[str]
    parts: tuple[Part, ...] = ()  # in the order of SIGNALS
    author: Ints = field(default_factory=lambda: np.zeros(0, dtype=np.int64))  # of each item, or NOBODY
    authors: tuple[str, ...] = ()  # none if too few completions share one
    text: Mapping[str, Counts] = field(default_factory=dict)  # features (items, columns) by group

    def list_parts(self, signal: str) -> tuple[Part, ...]:
        """List the parts of a signal by the name of its table."""
        return tuple(part for part in self.parts if signal == part.SIGNAL)

    @property
    def votes(self) -> Votes | None:
        """The votes; None if there are none."""
        return next((part for part in self.parts if isinstance(part, Votes)), None)

    @property
    def ratings(self) -> tuple[Ratings, ...]:
        """The ratings by criterion."""
        return tuple(part for part in self.parts if isinstance(part, Ratings))

    @property
    def outcomes(self) -> tuple[Outcomes, ...]:
        """The outcomes by measure."""
        return tuple(part for part in self.parts if isinstance(part, Outcomes))

    @property
    def tried(self) -> Ints:
        """Sorted item indices (n,) of the completions that any learner worked with."""
        parts = [part for signal in OBSERVED for part in self.list_parts(signal.name)]
        items = [index for part in parts for index in part.items]
        return np.unique(np.concatenate(items)) if items else np.zeros(0, dtype=np.int64)

    @property
    def models(self) -> NDArray[np.bool_]:
        """True for annotators (annotators,) that are models."""
        if "kind" not in self.annotators.columns:
            return np.zeros(self.annotators.height, dtype=bool)
        return (self.annotators["kind"] == MODEL).fill_null(False).to_numpy()

    @property
    def wrote(self) -> Ints:
        """Index of the author that each annotator (annotators,) is, where a model wrote what models judge."""
        if "author" not in self.annotators.columns or not self.authors:
            return np.full(self.annotators.height, NOBODY)
        names = pl.DataFrame({"author": self.authors}).with_row_index("index")
        return look_up_index(self.annotators["author"], names, "author").to_numpy().astype(np.int64)

    @property
    def judged(self) -> Ints:
        """Sorted item indices (n,) of the completions that any model judged."""
        return find_judged(self.parts, self.models)

    @property
    def rows(self) -> int:
        """Distinct rows of all signals."""
        return sum(part.rows for part in self.parts)

    @property
    def members(self) -> Members:
        """Completions, annotators and learners that rows may name, with their indices."""
        return number_members(self.completions["completion"], self.annotators, self.learners)


def number_members(completions: pl.Series, annotators: pl.DataFrame, learners: list[str]) -> Members:
    """Give an index to completions, annotators (annotator, pseudonym) and learners."""
    return Members(
        completions.to_frame("completion").with_row_index("index"),
        annotators.with_row_index("index"),
        pl.DataFrame({"learner": learners}, schema={"learner": pl.String}).with_row_index("index"),
    )


def thin(obs: Observations, rows: int, seed: int) -> Observations:
    """Draw whole prompts at random, as many as have about `rows` rows; people and order stay."""
    share = rows / max(obs.rows, 1)
    if share >= 1:
        return obs
    n = int(obs.prompt.max()) + 1
    keeps = np.zeros(n, dtype=bool)
    keeps[np.random.default_rng([seed, 4]).permutation(n)[: max(1, round(share * n))]] = True
    kept = keeps[obs.prompt]
    place = np.cumsum(kept) - 1
    return replace(
        obs,
        completions=obs.completions.filter(pl.Series(kept)),
        prompt=np.unique(obs.prompt[kept], return_inverse=True)[1].astype(np.int64),
        author=obs.author[kept] if obs.authors else obs.author,
        text={group: features[kept] for group, features in obs.text.items()},
        parts=tuple(part.keep(kept, place) for part in obs.parts if kept[part.items[0]].any()),
    )


def encode(signals: dict[str, pl.DataFrame]) -> Observations:
    """Turn signal tables into index arrays.

    `signals` holds `completions` (completion, prompt, and author where known), `annotators`
    (annotator, pseudonym, and kind where known) and the rows of every type of signal by the name of its
    table, as `read_signals` returns them; a type without rows may be left out. Votes without a column n are
    one each. Raises FusionError if there is nothing to fuse.
    """
    rows = dict(_signal_rows(signals))
    if not rows:
        raise FusionError(
            f"there is nothing to fuse: the store holds no {name_all((s.plural for s in SIGNALS), 'or')} for "
            "the completions asked for; ingest some (preceptor ingest --help), or name other --source"
        )
    completions = _count_signals(signals["completions"], rows)
    learners = _unique(rows[s.name][s.learner] for s in SIGNALS if s.learner and s.name in rows)
    authors, author = _authors(completions, signals["completions"])
    members = number_members(completions["completion"], signals["annotators"], learners)
    return Observations(
        completions=completions,
        prompt=completions["prompt"].rank("dense").to_numpy().astype(np.int64) - 1,
        annotators=signals["annotators"],
        learners=learners,
        parts=tuple(
            part for name, frame in rows.items() for part in LIKELIHOODS[name].encode(frame, members)
        ),
        author=author,
        authors=authors,
    )


def _signal_rows(signals: dict[str, pl.DataFrame]) -> Iterator[tuple[str, pl.DataFrame]]:
    """The rows of each type that has any, with a column n; in the order of SIGNALS."""
    for signal in SIGNALS:
        frame = signals.get(signal.name)
        if frame is not None and frame.height:
            yield signal.name, frame if "n" in frame.columns else frame.with_columns(n=pl.lit(1))


def _unique(names: Iterable[pl.Series]) -> list[str]:
    """Names in the order in which they first occur."""
    columns = list(names)
    return pl.concat(columns).drop_nulls().unique(maintain_order=True).to_list() if columns else []


def _authors(completions: pl.DataFrame, named: pl.DataFrame) -> tuple[tuple[str, ...], Ints]:
    """Authors of at least two completions, and the author of each completion or NOBODY.

    None if there is only one such author, who cannot be compared.
    """
    if "author" not in named.columns:
        return (), np.zeros(0, dtype=np.int64)
    of = completions.join(
        named.select("completion", "author"), on="completion", how="left", maintain_order="left"
    )
    # In the order of their completions: another key for pseudonyms must not change the draws.
    counted = of.drop_nulls("author").group_by("author", maintain_order=True).len()
    names = counted.filter(pl.col("len") > 1)["author"]
    if len(names) < 2:
        return (), np.zeros(0, dtype=np.int64)
    index = look_up_index(of["author"], names.to_frame("author").with_row_index("index"), "author")
    return tuple(names), index.to_numpy().astype(np.int64)


def _count_signals(completions: pl.DataFrame, rows: dict[str, pl.DataFrame]) -> pl.DataFrame:
    """Completions by prompt and key, with the number of signals of each type."""
    counted = completions.select("completion", "prompt").sort("prompt", "completion")
    for signal in SIGNALS:
        if signal.name not in rows:
            counted = counted.with_columns(pl.lit(0, pl.Int64).alias(signal.count))
            continue
        frame = pl.concat(
            rows[signal.name].select(pl.col(name).alias("completion"), "n") for name in signal.completions
        )
        counts = frame.group_by("completion").agg(pl.col("n").sum().cast(pl.Int64).alias(signal.count))
        counted = counted.join(counts, on="completion", how="left", maintain_order="left")
    return counted.with_columns(pl.col(COUNTS).fill_null(0))
