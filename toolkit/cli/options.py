"""Options, consoles and tables that several commands share."""

import functools
import inspect
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar, cast

import click

from ...schemas.support.nearest import find_nearest

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

    from ..store.where import Where

Command = TypeVar("Command", bound=Callable[..., Any])


@dataclass(frozen=True)
class Common:
    """Options of the group that commands read."""

    store: Path
    debug: bool


common = click.make_pass_decorator(Common)


def add_option_record(
    parameter: str, build: Callable[..., Any], *options: Callable[[Any], Any]
) -> Callable[[Command], Command]:
    """Add click options to a command, which gets what `build` makes of their values as `parameter`.

    The options are those that `build` takes by name; one of them may be such a record itself.
    """
    names = inspect.signature(build).parameters

    def decorate(command: Command) -> Command:
        @functools.wraps(command)
        def with_record(*arguments: Any, **values: Any) -> Any:
            given = {name: values.pop(name) for name in names if name in values}
            return command(*arguments, **values, **{parameter: build(**given)})

        made: Any = with_record
        for option in reversed(options):
            made = option(made)
        return cast("Command", made)

    return decorate


class Choice(click.Choice[str]):
    """One of some words; a misspelt one is answered with the nearest, where one is near."""

    def get_invalid_choice_message(self, value: Any, ctx: click.Context | None) -> str:
        """Explain that a value is none of the words."""
        near = find_nearest(str(value), self.choices)
        hint = f" Did you mean '{near}'?" if near else ""
        return super().get_invalid_choice_message(value, ctx) + hint


def read_name(_: click.Context, parameter: click.Parameter, value: str | None) -> str | None:
    """Read the name of a new source or campaign. Raises click.BadParameter if it is empty or blank."""
    if value is not None and not value.strip():
        raise click.BadParameter("a name must not be empty; name it, such as week-1", param=parameter)
    return value


def add_source_option(
    help: str, metavar: str | None = None, name: str = "--source"
) -> Callable[[Command], Command]:
    """Add --source NAME, which may be repeated; the command gets `sources`."""
    return click.option(name, "sources", multiple=True, metavar=metavar, help=help)


def add_where_options(source: str = "--source", *, language: bool = True) -> Callable[[Command], Command]:
    """Add --source, --task and --language, which select prompts; the command gets them as `where`."""
    options = [
        add_source_option("Prompts of this source only. May be repeated.", name=source),
        click.option("--task", help="Prompts of this task only."),
        click.option("--language", help="Prompts in this language only."),
    ]
    return add_option_record("where", _make_where, *options[: 3 if language else 2])


def _make_where(sources: tuple[str, ...], task: str | None, language: str | None = None) -> "Where":
    from ..store.where import Where

    return Where(sources, task, language)


def open_stdout() -> "Console":
    """Open a console for results."""
    return _open_console(stderr=False)


def open_stderr() -> "Console":
    """Open a console for progress and notices."""
    return _open_console(stderr=True)


def _open_console(stderr: bool) -> "Console":
    """Open a console that prints every text as it is: names and texts of users are never markup."""
    from rich.console import Console

    return Console(stderr=stderr, markup=False, emoji=False, highlight=False, soft_wrap=True)


def make_table(title: str, columns: Sequence[str], rows: Iterable[Sequence[object]]) -> "Table":
    """Make a table; columns whose name ends in a space are aligned to the right."""
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


def split_table(
    title: str, columns: Sequence[str], rows: Sequence[Sequence[str]], width: int
) -> "Iterator[Table]":
    """Make one table, or several if `width` characters are too few for all columns.

    The first column, which names a row, is repeated in each.
    """
    wide = [max(map(len, cells)) + 3 for cells in zip(columns, *rows, strict=True)]
    part = [0]
    for n in range(1, len(columns)):
        if len(part) > 1 and sum(wide[k] for k in [*part, n]) > width:
            yield make_table(title, [columns[k] for k in part], [[row[k] for k in part] for row in rows])
            part, title = [0], ""
        part.append(n)
    yield make_table(title, [columns[k] for k in part], [[row[k] for k in part] for row in rows])
