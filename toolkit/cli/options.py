"""Options, consoles and tables that several commands share."""

import functools
import inspect
import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar, cast

import click

from ...schemas.allowance import parse_size
from ...schemas.cells import find_codec
from ...schemas.support.nearest import find_nearest
from .screen import clean_text

if TYPE_CHECKING:
    from rich.console import Console, ConsoleOptions, RenderResult
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


def add_trust_option(command: Command) -> Command:
    """Add --trust-remote-code; the command gets `trust_remote_code`."""
    return click.option(
        "--trust-remote-code",
        is_flag=True,
        help="Let code in the model's folder run on this machine. Read that code first.",
    )(command)


def read_name(_: click.Context, parameter: click.Parameter, value: str | None) -> str | None:
    """Read the name of a new source or campaign. Raises click.BadParameter if it is empty or blank."""
    if value is not None and not value.strip():
        raise click.BadParameter("a name must not be empty; name it, such as week-1", param=parameter)
    return value


def read_encoding(_: click.Context, parameter: click.Parameter, value: str | None) -> str | None:
    """Read the name of a text encoding. Raises click.BadParameter if there is none of that name."""
    if value is not None and find_codec(value) is None:
        said = f"no encoding '{value}'; expected a name such as windows-1251 or latin-1"
        raise click.BadParameter(said, param=parameter)
    return value


def read_size(_: click.Context, parameter: click.Parameter, value: str | None) -> int | None:
    """Read a number of bytes, such as 500MB or 2GB. Raises click.BadParameter if it is none."""
    size = None if value is None else parse_size(value)
    if value is not None and size is None:
        raise click.BadParameter(f"expected a size, such as 500MB or 2GB, got '{value}'", param=parameter)
    return size


MAX_UNPACKED: dict[str, Any] = {
    "callback": read_size,
    "metavar": "SIZE",
    "help": "Most that packed files (.gz, .zip, .xlsx, .apkg, Parquet) may unpack to, together, such as 2GB. "
    "Default: 200 times their size, at least 64MB.",
}


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


def say(text: object, *, err: bool = False, nl: bool = True) -> None:
    """Print a text as it is, with control characters escaped: no text of others obeys on the screen."""
    click.echo(clean_text(str(text)), err=err, nl=nl)


class PlainGroup(click.Group):
    """A group of commands whose errors of usage are printed as `say` prints: they repeat names of others.

    `sections` are the commands by heading, in the order of --help; None: all, by name.
    """

    sections: Mapping[str, Sequence[click.Command]] | None = None

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the commands under their headings."""
        if self.sections is None:
            super().format_commands(ctx, formatter)
            return
        longest = max(len(command.name or "") for part in self.sections.values() for command in part)
        room = formatter.width - 6 - longest
        for heading, commands in self.sections.items():
            with formatter.section(heading):
                formatter.write_dl(
                    [((c.name or "").ljust(longest), c.get_short_help_str(room)) for c in commands]
                )

    def make_context(self, *arguments: Any, **how: Any) -> click.Context:
        """Read the group's own options."""
        with _escape_errors():
            return super().make_context(*arguments, **how)

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command."""
        with _escape_errors():
            return super().invoke(ctx)


@contextmanager
def _escape_errors() -> Iterator[None]:
    try:
        yield
    except click.ClickException as error:
        text = clean_text(error.format_message())
        error.format_message = lambda: text  # type: ignore[method-assign]
        raise


def open_stdout() -> "Console":
    """Open a console for results."""
    return _open_console(stderr=False)


def open_stderr() -> "Console":
    """Open a console for progress and notices."""
    return _open_console(stderr=True)


def _open_console(stderr: bool) -> "Console":
    """Open a console that prints every text as it is: names and texts of users are never markup.

    Control characters are escaped, so that no text of others moves the cursor or changes colours. Where the
    output is no terminal, and COLUMNS does not say how wide it is, no table is folded.
    """
    from rich.console import Console

    class PlainConsole(Console):
        def print(self, *objects: Any, **how: Any) -> None:
            super().print(*(clean_text(o) if isinstance(o, str) else o for o in objects), **how)

    made = PlainConsole(stderr=stderr, markup=False, emoji=False, highlight=False, soft_wrap=True)
    if not made.is_terminal and "COLUMNS" not in os.environ:
        made.width = _UNFOLDED
    return made


@dataclass(frozen=True)
class FittedTable:
    """A table that is as wide as its console allows: texts are folded, numbers never.

    If the columns have no room beside each other, the table is printed in parts, each with the first column.
    """

    title: str
    columns: tuple[str, ...]  # those whose name ends in a space are aligned to the right
    rows: tuple[tuple[str, ...], ...]

    def __rich_console__(self, console: "Console", options: "ConsoleOptions") -> "RenderResult":
        """Yield the title and the parts; rich calls it."""
        from rich.text import Text

        yield Text(self.title, style="bold", overflow="ignore", no_wrap=True)
        for part in self._list_parts(options.max_width):
            yield self._make_part(part, options.max_width)

    def _list_parts(self, width: int) -> Iterator[list[int]]:
        """List the columns of each part, so that no number and no word of usual length is cut."""
        part = [0]
        for k in range(1, len(self.columns)):
            if len(part) > 1 and sum(self._least(n) + _GAP for n in [*part, k]) > width:
                yield part
                part = [0]
            part.append(k)
        yield part

    def _cells(self, k: int) -> list[str]:
        return [self.columns[k].strip(), *(row[k] for row in self.rows)]

    def _natural(self, k: int) -> int:
        return max(map(measure_text, self._cells(k)))

    def _least(self, k: int) -> int:
        """Width below which a column is not folded: of its longest word; of all where it holds numbers."""
        if self.columns[k].endswith(" "):
            return self._natural(k)
        words = (word for cell in self._cells(k) for word in cell.split())
        return min(max(map(measure_text, words), default=1), _WORD)

    def _make_part(self, part: list[int], width: int) -> "Table":
        from rich.box import SIMPLE_HEAD
        from rich.table import Table

        made = Table(box=SIMPLE_HEAD, pad_edge=False, show_header=any(self.columns))
        for k, wide in zip(part, self._share_width(part, width), strict=True):
            right = self.columns[k].endswith(" ")
            made.add_column(
                self.columns[k].strip(), justify="right" if right else "left", overflow="fold", width=wide
            )
        for row in self.rows:
            made.add_row(*(row[k] for k in part))
        return made

    def _share_width(self, part: list[int], width: int) -> list[int]:
        """Width of each column: all get what they need, the widest ones what is left."""
        wide = [self._natural(k) for k in part]
        least = [min(self._least(k), n) for k, n in zip(part, wide, strict=True)]
        room = width - _GAP * len(part)
        while sum(wide) > room and any(n > m for n, m in zip(wide, least, strict=True)):
            slack = [n if n > m else 0 for n, m in zip(wide, least, strict=True)]
            widest = slack.index(max(slack))
            second = max([n for k, n in enumerate(slack) if k != widest], default=0)
            wide[widest] = max(
                least[widest], min(wide[widest] - 1, second), wide[widest] - (sum(wide) - room)
            )
        return wide


_UNFOLDED = 100_000  # columns of an output that is no terminal
_GAP = 3  # between two columns
_WORD = 24  # a longer word may be folded


def measure_text(text: str) -> int:
    """Measure how many columns of a terminal a text takes; wide characters take two."""
    from rich.cells import cell_len

    return max(map(cell_len, text.split("\n")))


def make_table(title: str, columns: Sequence[str], rows: Iterable[Sequence[object]]) -> FittedTable:
    """Make a table; columns whose name ends in a space are aligned to the right and never folded."""
    return FittedTable(
        clean_text(title),
        tuple(clean_text(name) for name in columns),
        tuple(tuple(clean_text(str(cell), keep="") for cell in row) for row in rows),
    )
