"""The formats that `preceptor ingest` knows, by name; a reader is loaded when it is used."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .batch import Batch, Context
    from .lines import Input, OnBytes


@dataclass(frozen=True)
class Format:
    """What a format is called and makes, which files of a folder it takes, who reads it."""

    name: str
    kind: str
    summary: str
    reader: str  # module:function beside this file
    patterns: tuple[str, ...] = ()
    finder: str = ""  # module:function, where patterns do not tell a folder's files
    signals: bool = False  # names completions of another source

    def read(self, file: "Input", context: "Context", on_bytes: "OnBytes") -> "Iterator[Batch]":
        """Batches of one file's rows."""
        batches: Iterator[Batch] = _load(self.reader)(file, context, on_bytes)
        return batches

    def find(self, path: Path) -> list[Path] | None:
        """The files of a folder, where the format has its own way; else None."""
        return _load(self.finder)(path) if self.finder else None


def _load(name: str) -> Callable[..., Any]:
    module, _, function = name.partition(":")
    loaded: Callable[..., Any] = getattr(import_module(f".{module}", __package__), function)
    return loaded


M2 = ("*.m2", "*.m2.gz", "*.m2.bz2")
JSONL = ("*.jsonl", "*.jsonl.gz", "*.jsonl.bz2")
TABLES = ("*.csv", "*.tsv", "*.csv.gz", "*.tsv.gz")

FORMATS: dict[str, Format] = {
    format.name: format
    for format in (
        Format("smart", "preference", "SMART's mnemonic pairs: votes, ratings, turns to learn.",
               "smart:read_smart", finder="smart:find_smart"),
        Format("m2", "gec", "Learner sentences with annotators' edits (CoNLL-2014, ERRANT, JFLEG …).",
               "m2:read_m2", M2),
        Format("prompts", "dialogue", "Prompts with their completions, JSON Lines.",
               "prompts:read_prompts", JSONL),
        Format("votes", "preference", "Pairwise votes, CSV or TSV.",
               "signals:read_votes", TABLES, signals=True),
        Format("ratings", "preference", "Ratings of completions, CSV or TSV.",
               "signals:read_ratings", TABLES, signals=True),
        Format("outcomes", "log", "What learners achieved with completions, CSV or TSV.",
               "signals:read_outcomes", TABLES, signals=True),
    )
}  # fmt: skip
