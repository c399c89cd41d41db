"""Select rows by source, task and language: one record, one check, one SQL fragment.

where = Where(("week-1",), task="mnemonic")
check_where(con, where)
query(con, f"SELECT key FROM prompts WHERE {match_where()}", where.parameters)
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from ...schemas.errors import AnnotationError, PreceptorError, StoreError
from ...schemas.support.nearest import suggest
from .connection import Store, query


@dataclass(frozen=True)
class Where:
    """Rows of these sources, this task and this language; an empty field selects all."""

    sources: tuple[str, ...] = ()
    task: str | None = None
    language: str | None = None

    @property
    def parameters(self) -> dict[str, Any]:
        """Values of $sources, $task and $language in `match_where`."""
        return {"sources": list(self.sources), "task": self.task, "language": self.language}

    def name_options(self, source_option: str = "--source") -> list[tuple[str, str, str]]:
        """List what is selected: option, value, and the column of `prompts` it is about."""
        given = [(source_option, source, "source") for source in self.sources]
        given += [("--task", self.task, "task")] if self.task is not None else []
        return given + ([("--language", self.language, "language")] if self.language is not None else [])


EVERYWHERE = Where()


def match_sources(column: str = "source") -> str:
    """Match a column against $sources, as a SQL condition; true if $sources is empty."""
    return f"(len($sources::VARCHAR[]) = 0 OR list_contains($sources::VARCHAR[], {column}))"


def match_where(table: str = "") -> str:
    """Match source, task and language against a Where, as a SQL condition.

    `table`: alias of the table, if the query has several. Parameters: `Where.parameters`.
    """
    of = f"{table}." if table else ""
    return (
        f"{match_sources(f'{of}source')} AND ($task::VARCHAR IS NULL OR {of}task = $task) "
        f"AND ($language::VARCHAR IS NULL OR {of}language = $language)"
    )


def check_names(
    option: str,
    given: Iterable[str],
    have: Iterable[str],
    kind: str,
    where: str = "",
    error: type[PreceptorError] = StoreError,
) -> None:
    """Raise `error` for the first name of `given` that is not in `have`, with the nearest one that is.

    The message is the same everywhere: "--source x: no source of that name with votes; did you mean …".
    `kind` is what the name names, such as source; `where` says which ones there are, such as "with votes".
    """
    known = list(have)
    for name in given:
        if name not in known:
            raise error(f"{option} {name}: {word_absence(name, known, kind, where)}")


def word_absence(name: str, known: list[str], kind: str, where: str = "") -> str:
    """Word that there is no such name, with the nearest one, or all."""
    hint = suggest(name, known, "there are", " ")
    return f"no {kind} of that name{where and f' {where}'}; {hint}"


def check_where(con: Store, where: Where, source_option: str = "--source") -> None:
    """Raise AnnotationError for a source, task or language without prompts."""
    for option, value, column in where.name_options(source_option):
        have = query(con, f"SELECT DISTINCT {column} AS c FROM prompts ORDER BY 1")["c"]
        check_names(option, (value,), have, column, "with prompts", AnnotationError)
