"""Describe how the model explains a type of signal, from reading its rows to checking it.

Every likelihood is one of counts: a row has one of a few categories, and the model gives the
log-probability of each. Equal rows are counted, not repeated: five votes for the same side of the same
pair by an unnamed crowd are one row with count 5. Given the model this is exact, and it is many times
faster than one row per vote. A number that is measured, such as a time, is put into bins.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields, replace
from typing import Any, ClassVar, NamedTuple, Self

import numpy as np
import polars as pl
from numpy.typing import NDArray

Ints = NDArray[np.int64]
Counts = NDArray[np.float64]
Draws = NDArray[np.float64]
Arrays = dict[str, Any]  # of NumPy or JAX, by name; those of a part are nested

NOBODY = -1  # index of an annotator, learner or author that the source does not name


@dataclass(frozen=True)
class Part:
    """Signals of one type on one scale, equal rows counted; each array has one entry per row."""

    ITEMS: ClassVar[tuple[str, ...]] = ("item",)  # fields with indices of completions
    SIGNAL: ClassVar[str]  # name of the signal's table

    @property
    def scale(self) -> str:
        """Name of the criterion or measure; empty if the signal has one scale alone."""
        return ""

    @property
    def site(self) -> str:
        """Name of the part in the model: votes, ratings:helpful."""
        return f"{self.SIGNAL}:{self.scale}" if self.scale else self.SIGNAL

    @property
    def items(self) -> tuple[Ints, ...]:
        """Indices of the completions that each row is about: (rows,) each."""
        return tuple(getattr(self, name) for name in self.ITEMS)

    @property
    def rows(self) -> int:
        """Number of distinct rows."""
        return len(self.items[0])

    @property
    def annotators(self) -> Ints | None:
        """Index of each row's annotator, or NOBODY (rows,); None where a part names none."""
        who: Ints | None = getattr(self, "annotator", None)
        return who

    def weigh(self, counts: Counts) -> Counts:
        """Weigh counts (rows, categories) of these rows as the likelihood does."""
        return counts

    @property
    def categories(self) -> list[str]:
        """Names of the categories that a row may have."""
        raise NotImplementedError

    @property
    def table(self) -> Counts:
        """Counts (rows, categories)."""
        raise NotImplementedError

    def keep(self, kept: NDArray[np.bool_], place: Ints) -> Self:
        """Keep the rows about kept completions; `kept` and `place`, the new index, are (items,)."""
        rows = kept[self.items[0]]
        arrays = {
            f.name: array[rows]
            for f in fields(self)
            if isinstance(array := getattr(self, f.name), np.ndarray)
        }
        return replace(self, **arrays | {name: place[arrays[name]] for name in self.ITEMS})


class Members(NamedTuple):
    """Whom rows may name, each with an index: completions, annotators (with pseudonym), learners."""

    completions: pl.DataFrame  # index, completion
    annotators: pl.DataFrame  # index, annotator, pseudonym
    learners: pl.DataFrame  # index, learner

    def look_up(self, rows: pl.DataFrame, column: str, of: str = "") -> pl.Series:
        """Look up a column of completions, annotators or learners; NOBODY where it is null or unknown.

        `of` is completion, annotator or learner; the column's own name if left out.
        """
        name = of or column
        return look_up_index(rows[column], getattr(self, f"{name}s"), name)


def look_up_index(values: pl.Series, known: pl.DataFrame, name: str) -> pl.Series:
    """Look up values among `known` (index, and a column `name`); NOBODY where null or unknown."""
    joined = values.to_frame(name).join(known, on=name, how="left", maintain_order="left")
    return joined["index"].cast(pl.Int64).fill_null(NOBODY).alias(values.name)


class Replicated(NamedTuple):
    """Data beside data drawn from the fitted model."""

    categories: list[str]
    n: int  # what shares are shares of
    counts: NDArray[Any]  # (categories,)
    replicated: NDArray[Any]  # (draws, categories)


def replicate_counts(part: Part, log_probs: Draws, rng: np.random.Generator) -> Replicated:
    """Draw the category of every row anew; `log_probs` is (draws, rows, categories)."""
    totals = part.table.sum(axis=1).astype(int)
    probabilities = np.exp(log_probs)
    probabilities /= probabilities.sum(axis=2, keepdims=True)
    replicated = np.array([rng.multinomial(totals, p).sum(axis=0) for p in probabilities])
    return Replicated(part.categories, int(totals.sum()), part.table.sum(axis=0), replicated)


def _counts(arrays: Arrays) -> Any:
    return arrays["counts"]


@dataclass(frozen=True)
class Likelihood:
    """How the model explains one type of signal.

    signal: name of its table.
    read: SELECT of its rows, {mine} a SELECT of the completions' keys; a column n counts equal rows.
    encode: its parts from these rows.
    arrays: the model's arrays of a part. If a group's members are prompts, `prompt`, the index of each
    row's prompt among those of the part, and `n_prompts`, an array as long as there are, are added.
    observe: adds the part of this name to the NumPyro model, given all arrays and the quality that the
    signal depends on: of completions (items,) if it is expressed, of tried ones (tried,) if observed.
    counts: (rows, categories) from a part's arrays.
    replicate: data drawn anew, for checks, also from the rows as read; `replicate_counts` if left out.
    """

    signal: str
    read: str
    encode: Callable[[pl.DataFrame, Members], tuple[Part, ...]]
    arrays: Callable[[Any], Arrays]
    observe: Callable[[str, Arrays, Any], None]
    parameters: Mapping[str, str]  # beginning of a parameter's name -> what it means
    groups: Mapping[str, str]  # beginning of a group's name -> annotators, learners, prompts, logged, strata
    counts: Callable[[Arrays], Any] = _counts
    replicate: Callable[[Any, Draws, pl.DataFrame, Members, np.random.Generator], Replicated] | None = None
    optional: tuple[str, ...] = ()  # columns of `read` that are left out if all are null
    axes: Mapping[str, str] = field(default_factory=dict)  # scale, or "" -> what the categories are
    labels: Mapping[str, str] = field(default_factory=dict)  # category -> its name on the report
