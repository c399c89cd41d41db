"""What a format is; a reader is loaded when it is used."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ...store.connection import Store
    from ..batch import Batch, Context
    from ..files.numbered_lines import Input, OnBytes


@dataclass(frozen=True)
class Sign:
    """What files of a format have and others do not: all parts that are given must be there."""

    said: str  # the evidence in a user's words
    text: str = ""  # regular expression that is found in the beginning of a text file
    keys: tuple[str, ...] = ()  # columns of a table, or keys of its JSON objects; case does not matter
    inside: tuple[str, ...] = ()  # keys anywhere inside its JSON
    name: str = ""  # regular expression that is found in the file's name
    kinds: tuple[str, ...] = ()  # of Sample.kind; by default all


@dataclass(frozen=True)
class Format:
    """A format: its name, the rows it makes, its files in a folder, and its reader."""

    name: str
    kind: str
    summary: str
    example: str  # what the files look like; of several, "==> name <==" before each
    reader: str  # module:function, from the room of ingest
    signs: tuple[Sign, ...]  # how its files are recognised: each is enough
    patterns: tuple[str, ...] = ()
    finder: str = ""  # module:function, if patterns do not find a folder's files
    mapped: bool = False  # takes --map, though its rows name nothing of another source
    people: bool = False  # has ids of learners or annotators, which are stored as pseudonyms
    alone: str = ""  # module:function, whether these files name none, though the format does
    about: str = ""  # completions or prompts: what of another source its rows name
    language: str = "en"  # of the corpora in this format, where they have one
    options: tuple[str, ...] = ()  # of the command line: align, levels, learner, passing, date_format
    lists: bool = False  # reads JSON lists, not only JSON Lines
    finish: str = ""  # module:function over the source's rows, once all of them are stored
    table: str = ""  # module:Columns of tables that are recognised by their columns
    needs: tuple[str, ...] = ()  # optional columns of which such a table has one at least
    together: bool = False  # its files make sense only beside each other: the reader takes them all

    @property
    def takes(self) -> tuple[str, ...]:
        """Options of the command line that some formats take, and this one does."""
        named = ("about",) if self.about else ()
        mapped = ("map",) if self.about == "completions" or self.mapped else ()
        corpora = ("annotator_names",) if self.kind in ("gec", "generated") else ()
        return (*named, *mapped, *corpora, *self.options)

    def read(self, files: "Sequence[Input]", context: "Context", on_bytes: "OnBytes") -> "Iterator[Batch]":
        """Read the files in batches of rows."""
        reader = load_named(self.reader)
        if self.together:
            yield from reader(files, context, on_bytes)
        else:
            for file in files:
                yield from reader(file, replace(context, learner=file.learner or context.learner), on_bytes)

    def finish_rows(self, con: "Store", context: "Context", added: dict[str, int]) -> list[str]:
        """Change the source's stored rows as the format's last step does; returns notes for users."""
        return list(load_named(self.finish)(con, context, added)) if self.finish else []

    def needs_known(self, files: "Sequence[Input]", context: "Context") -> bool:
        """True if the rows refer to rows that must already be in the store."""
        return bool(
            self.about and (context.about or not (self.alone and load_named(self.alone)(files, context)))
        )

    def find(self, path: Path) -> list[Path] | None:
        """Find the files of a folder with the format's finder; None if it has none."""
        return load_named(self.finder)(path) if self.finder else None


def load_named(name: str) -> Any:
    """Load module:name, from the room of ingest."""
    module, _, function = name.partition(":")
    return getattr(import_module(f"..{module}", __package__), function)


M2 = ("*.m2", "*.m2.gz", "*.m2.bz2")
JSONL = ("*.jsonl", "*.jsonl.gz", "*.jsonl.bz2")
JSON = ("*.json", "*.json.gz", "*.json.bz2")
CSV = ("*.csv", "*.csv.gz", "*.csv.bz2")
SHEETS = ("*.xlsx", "*.ods", "*.xls")
_TEXT_TABLES = ("*.csv", "*.tsv", "*.jsonl", "*.ndjson")
TABLES = (*(name + packed for name in _TEXT_TABLES for packed in ("", ".gz", ".bz2")), "*.parquet", *SHEETS)
OBJECTS = tuple(dict.fromkeys((*JSONL, *TABLES)))  # JSON Lines in the first place
TABULAR = ("set", "wide", "date_format", "allow_rejects", "sheet")  # options of tables of signals
OF_ONE = ("learner", "learner_from_path", "one_learner")  # options of logs of one learner each
