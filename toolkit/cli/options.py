"""What several commands share: the store's place, consoles, tables."""

import functools
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table


@dataclass(frozen=True)
class Common:
    """Options of the group that commands read."""

    store: Path
    debug: bool


common = click.make_pass_decorator(Common)


def source_option(
    help: str, metavar: str | None = None, name: str = "--source"
) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Add --source NAME, which may be repeated; the command gets `sources`."""
    return click.option(name, "sources", multiple=True, metavar=metavar, help=help)


def where_options(
    source: str = "--source", *, language: bool = True
) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Add --source, --task and --language, which select prompts; the command gets them as `where`."""

    def add(command: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(command)
        def bundled(
            *args: Any, sources: tuple[str, ...], task: str | None, language: str | None = None, **more: Any
        ) -> Any:
            from ..store.where import Where

            return command(*args, where=Where(sources, task, language), **more)

        options = [click.option("--task", help="Prompts of this task only.")]
        options += [click.option("--language", help="Prompts in this language only.")] if language else []
        for option in reversed(
            [source_option("Prompts of this source only; repeat.", name=source), *options]
        ):
            option(bundled)
        return bundled

    return add


def stdout() -> "Console":
    """For results."""
    from rich.console import Console

    return Console(highlight=False, soft_wrap=True)


def stderr() -> "Console":
    """For progress and notices."""
    from rich.console import Console

    return Console(stderr=True, highlight=False, soft_wrap=True)


def table(title: str, columns: Sequence[str], rows: Iterable[Sequence[object]]) -> "Table":
    """A plain table; columns whose name ends in a space are aligned to the right."""
    from rich.box import SIMPLE_HEAD
    from rich.table import Table

    made = Table(
        title=title,
        title_justify="left",
        title_style="bold",
        box=SIMPLE_HEAD,
        pad_edge=False,
        show_header=any(columns),
    )
    for column in columns:
        right = column.endswith(" ")
        made.add_column(column.strip(), justify="right" if right else "left", overflow="fold", no_wrap=right)
    for row in rows:
        made.add_row(*(str(cell) for cell in row))
    return made


def tables(
    title: str, columns: Sequence[str], rows: Sequence[Sequence[str]], width: int
) -> "Iterator[Table]":
    """The table as one, or as several below each other where `width` characters do not hold all columns.

    The first column, which says what a row is, stands in each.
    """
    wide = [max(map(len, cells)) + 3 for cells in zip(columns, *rows, strict=True)]
    part = [0]
    for n in range(1, len(columns)):
        if len(part) > 1 and sum(wide[k] for k in [*part, n]) > width:
            yield table(title, [columns[k] for k in part], [[row[k] for k in part] for row in rows])
            part, title = [0], ""
        part.append(n)
    yield table(title, [columns[k] for k in part], [[row[k] for k in part] for row in rows])
