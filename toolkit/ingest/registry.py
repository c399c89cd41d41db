"""The formats that `preceptor ingest` knows, by name."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from .batch import Batch, Context
from .lines import Input, OnBytes
from .m2 import read_m2
from .prompts import read_prompts
from .signals import read_outcomes, read_ratings, read_votes
from .smart import find_smart, read_smart

Read = Callable[[Input, Context, OnBytes], Iterator[Batch]]


@dataclass(frozen=True)
class Format:
    """A reader, what kind of source it makes, and which files of a folder it takes."""

    name: str
    kind: str
    summary: str
    read: Read
    patterns: tuple[str, ...]
    find: Callable[[Path], list[Path]] | None = None
    signals: bool = False  # names completions of another source


FORMATS: dict[str, Format] = {
    f.name: f
    for f in (
        Format("smart", "preference", "SMART's mnemonic pairs: votes, ratings, turns to learn.",
               read_smart, (), find_smart),
        Format("m2", "gec", "Learner sentences with annotators' edits (CoNLL-2014, ERRANT, JFLEG …).",
               read_m2, ("*.m2", "*.m2.gz", "*.m2.bz2")),
        Format("prompts", "dialogue", "Prompts with their completions, JSON Lines.",
               read_prompts, ("*.jsonl", "*.jsonl.gz", "*.jsonl.bz2")),
        Format("votes", "preference", "Pairwise votes, CSV or TSV.",
               read_votes, ("*.csv", "*.tsv"), signals=True),
        Format("ratings", "preference", "Ratings of completions, CSV or TSV.",
               read_ratings, ("*.csv", "*.tsv"), signals=True),
        Format("outcomes", "log", "What learners achieved with completions, CSV or TSV.",
               read_outcomes, ("*.csv", "*.tsv"), signals=True),
    )
}  # fmt: skip
