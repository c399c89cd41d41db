"""`preceptor ingest [FORMAT] PATH…`: read files into the store."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ...ingest.formats import FORMATS, Format
from ..options import Common, common, say
from .options import list_options, list_options_of_all
from .said import count_bytes, list_unused, say_report, show_rows

if TYPE_CHECKING:
    from ...recipes.project.entry import Entry

UNNAMED = "FILE"
"""Name of the command without a format, which is not shown."""
_ROWS = "the first rows as they would be stored"


class IngestGroup(click.Group):
    """The formats; what begins with a path or an option is read without a format."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Put the command without a format before a path or an option."""
        if args and args[0] not in (*self.commands, *ctx.help_option_names) and _is_path(args[0]):
            args = [UNNAMED, *args]
        return super().parse_args(ctx, args)


def _is_path(word: str) -> bool:
    return word.startswith("-") or "/" in word or "." in word or Path(word).exists()


@click.group(
    cls=IngestGroup,
    help="Read files into the store: one transaction, all or nothing.\n\n\b\n"
    "  preceptor ingest votes.csv              recognises the format, shows it, asks\n"
    "  preceptor ingest votes votes.csv --source week-1\n"
    "  preceptor ingest --from sources.yaml    all sources of a project\n\n"
    "Rows that cannot be read or used go to `rejects` with file, line and reason. Reading the same bytes "
    "again adds nothing. --dry-run reads everything and stores nothing.",
)
def ingest() -> None:
    """Read files into the store: one transaction, all or nothing."""


def _command(format: Format) -> click.Command:
    @common
    def run(settings: Common, /, paths: tuple[Path, ...], source: str, **given: Any) -> None:
        from .recognised import read_entry

        entry = read_entry(format, paths, source, given)
        _ingest_one(settings, entry, given["replace"], given["dry_run"], given["save"])

    return click.Command(
        format.name,
        callback=run,
        params=list_options(format),
        help=_help(format),
        short_help=format.summary,
    )


@common
def _read_unnamed(
    settings: Common,
    /,
    paths: tuple[Path, ...],
    source: str | None,
    from_: Path | None,
    yes: bool,
    **given: Any,
) -> None:
    """Recognise the format of files, or read a project's sources."""
    from .recognised import choose_entry

    if from_ is not None:
        _refuse_beside_from(paths, source)
        _ingest_project(settings, from_, given["replace"], given["dry_run"])
        return
    if not paths:
        raise click.UsageError("name a file, or a format and a file (preceptor ingest --help)")
    entry = choose_entry(settings.store, paths, source, given, yes=yes, trying=given["dry_run"])
    _ingest_one(settings, entry, given["replace"], given["dry_run"], given["save"])


def _refuse_beside_from(paths: Sequence[Path], source: str | None) -> None:
    taken = ("from_", "replace", "dry_run")
    context = click.get_current_context()
    for option in context.command.params:
        name = option.name or ""
        given = context.get_parameter_source(name) == click.core.ParameterSource.COMMANDLINE
        if given and name not in taken and (name != "paths" or paths) and (name != "source" or source):
            shown = "a path" if name == "paths" else option.opts[0]
            raise click.UsageError(f"{shown} beside --from: the file says how its sources are read")


def _ingest_one(settings: Common, entry: "Entry", replace: bool, dry_run: bool, save: Path | None) -> None:
    """Ingest an entry, or try to, and say what came of it; with `save`, add it to that file of sources."""
    from ...recipes.project.entry import make_origin
    from ...recipes.project.ingest_entries import ingest_entry, try_entries
    from ...recipes.project.sources_file import add_entry, check_addition
    from ...store.connection import open_store

    if save is not None:
        check_addition(save, entry)
    terms = make_origin(entry).license.id
    if dry_run:
        with count_bytes([entry]) as on_bytes:
            ((report, rows),) = try_entries(settings.store, [entry], replacing=replace, on_bytes=on_bytes)
        say_report(report, terms)
        show_rows(rows, _ROWS)
        say("dry run: nothing was stored")
        return
    with count_bytes([entry]) as on_bytes, open_store(settings.store, create=True) as con:
        report = ingest_entry(con, entry, replacing=replace, on_bytes=on_bytes)
    say_report(report, terms, list_unused())
    if save is not None and add_entry(save, entry):
        say(f"added to {save}; all of its sources again: preceptor ingest --from {save}")


def _ingest_project(settings: Common, path: Path, replace: bool, dry_run: bool) -> None:
    """Ingest all sources of a file, in order, or try to."""
    from ...recipes.project.entry import make_origin
    from ...recipes.project.ingest_entries import ingest_entries, try_entries
    from ...recipes.project.sources_file import read_sources
    from ...store.connection import open_store

    entries = read_sources(path)
    if not entries:
        say(f"{path}: lists no sources yet; preceptor ingest FILE --save {path} adds one")
        return
    terms = {entry.source: make_origin(entry).license.id for entry in entries}
    with count_bytes(entries) as on_bytes:
        if dry_run:
            tried = list(try_entries(settings.store, entries, replacing=replace, on_bytes=on_bytes))
            for report, rows in tried:
                say_report(report, terms[report.source])
                show_rows(rows, _ROWS)
            say("dry run: nothing was stored")
            return
        with open_store(settings.store, create=True) as con:
            for report in ingest_entries(con, entries, replacing=replace, on_bytes=on_bytes):
                say_report(report, terms[report.source])


def _help(format: Format) -> str:
    """Write the help of a format: summary, what the files look like, what their rows name."""
    indented = "\n".join(f"  {line}" for line in format.example.splitlines())
    about = {
        "": "",
        "completions": "\n\nA completion is named by its id in the source that holds it (--about).",
        "prompts": "\n\nA prompt is named by its id in the source that holds it (--about).",
    }[format.about]
    return (
        f"{format.summary}\n\n\b\n{indented}{about}\n\n"
        "A folder is searched for files of this format; .gz and .bz2 are unpacked."
    )


for _format in FORMATS.values():
    ingest.add_command(_command(_format))
ingest.add_command(
    click.Command(
        UNNAMED,
        callback=_read_unnamed,
        params=list_options_of_all(),
        hidden=True,
        help="Read files of a format that is recognised, or all sources of a project (--from).",
    )
)
