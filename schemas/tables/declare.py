"""Declare a table: its columns, their types and meanings, and which of them make its key."""

from dataclasses import dataclass
from typing import Literal

Type = Literal[
    "text",
    "int",
    "float",
    "floats",
    "bool",
    "time",
    "texts",
    "json",
    "messages",
    "bytes",
    "hash32",
    "hash64",
    "hash128",
]
"""`hash32`, `hash64` and `hash128` are hashes of so many bits, for temporary tables only."""


@dataclass(frozen=True)
class Column:
    """One column: its type, what it means, its unit, and whether it may be null."""

    name: str
    type: Type
    meaning: str
    nullable: bool = False
    unit: str = ""
    derived: str = ""  # DuckDB expression of other columns: computed when read, never stored
    person: bool = False  # a pseudonym: a person's own id is not allowed
    free_text: bool = False  # written by people: may contain personal data, which `preceptor scan` finds


@dataclass(frozen=True)
class Table:
    """One table; `identity` names the columns whose content makes a row's key."""

    name: str
    meaning: str
    columns: tuple[Column, ...]
    identity: tuple[str, ...] = ()

    @property
    def names(self) -> list[str]:
        """Column names in order."""
        return [column.name for column in self.columns]

    @property
    def stored(self) -> tuple[Column, ...]:
        """The columns that are stored; the others are derived from them."""
        return tuple(column for column in self.columns if not column.derived)

    @property
    def free_texts(self) -> tuple[Column, ...]:
        """The columns with text that people wrote."""
        return tuple(column for column in self.columns if column.free_text)

    @property
    def people(self) -> tuple[Column, ...]:
        """The columns that name people, by pseudonym."""
        return tuple(column for column in self.columns if column.person)

    @property
    def placed(self) -> bool:
        """True if a row's place in the input is part of its key, so that no row can come twice."""
        return bool({"line", "position"} & set(self.identity))


KEY = Column("key", "text", "hash of the identity columns: 20 hex digits")


SOURCE = Column("source", "text", "name of the source the row came with")


ORIGIN = (
    Column("path", "text", "input file, relative to the folder that was ingested"),
    Column("line", "int", "line in that file, from 1; row number in Parquet"),
)


def declare(
    name: str, meaning: str, identity: tuple[str, ...], *columns: Column, origin: bool = False
) -> Table:
    """Declare a table with a key of its `identity` columns; `origin` adds the input's path and line."""
    return Table(name, meaning, (KEY, *columns, *(ORIGIN if origin else ())), identity)
