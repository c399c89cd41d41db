"""Say what files are taken for, and ask; without a terminal, print the command to be copied."""

import re
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ...ingest.formats import FORMATS, Format
from ..options import say
from .said import show_rows

if TYPE_CHECKING:
    from ...ingest.recognise.proposal import Recognised
    from ...recipes.project.entry import Entry

_LARGE = 50 << 20  # bytes of files that are not read to show a few of their rows


def read_entry(format: Format, paths: Sequence[Path], source: str, given: Mapping[str, Any]) -> "Entry":
    """Read the values of the command line's options as an entry; what is not given, or as usual, is left out.

    Raises RecipeError for options that the format does not take.
    """
    from ...recipes.project.sources_file import make_entry

    values = _list_values(given)
    if values.get("language") == format.language:
        del values["language"]
    named = {"source": source, "format": format.name, "paths": [str(path) for path in paths]}
    return make_entry("preceptor ingest", **values, **named)


def _list_values(given: Mapping[str, Any]) -> dict[str, Any]:
    from ...recipes.project.entry import Entry, join_pairs

    values = {name: value for name, value in given.items() if name in Entry.model_fields and value}
    if values.get("align") == "minimal":
        del values["align"]
    if "map" in values:
        values["map"] = join_pairs(values["map"])
    if "set" in values:
        values["set"] = dict(values["set"])
    return values


def choose_entry(
    store: Path,
    paths: Sequence[Path],
    source: str | None,
    given: Mapping[str, Any],
    *,
    yes: bool = False,
    trying: bool = False,
) -> "Entry":
    """Choose how files are read: what they are recognised as, if that is sure or the user says so.

    With `trying` nothing is asked. Raises SourceError, with the command to be copied, where a person has to
    say something and there is no terminal, or the person says no.
    """
    from ....schemas.errors import PreceptorError, SourceError
    from ...ingest.recognise.recognise import recognise
    from ...recipes.project.entry import write_command
    from ...recipes.project.sources_file import make_entry
    from ...store.connection import open_store

    values = _list_values(given)
    if store.exists():
        with open_store(store, read_only=True) as con:
            found = recognise(paths, con, values)
    else:
        found = recognise(paths, None, values)
    names = ", ".join(map(str, paths))
    best = found.best
    if best is None:
        advice = f"{names}: not recognised; name the format (preceptor ingest --help lists them)"
        raise SourceError("\n".join([*found.faults, advice]))
    _say_found(names, found)
    named = {
        "source": source or _name_source(paths[0]),
        "format": best.format,
        "paths": [str(p) for p in paths],
    }
    entry = make_entry("preceptor ingest", **{**values, **best.options, **named})
    command = write_command(entry, given.get("save"))
    doubts = found.list_doubts()
    if best.missing or found.faults:
        said = "\n".join(f"  {doubt}" for doubt in doubts)
        raise SourceError(
            f"{names}: nothing was stored; it needs your word:\n{said}\ncomplete the command:\n  {command}"
        )
    if trying or (yes and not doubts):
        return entry
    for doubt in doubts:
        say(f"  {doubt}")
    try:
        _show_preview(store, entry, replacing=bool(given.get("replace")))
    except PreceptorError as error:
        raise SourceError(f"{error}\nthe command, to be changed:\n  {command}") from error
    say(f"the whole command:\n  {command}")
    if not _is_terminal():
        why = "; --yes goes on where nothing is guessed" if yes else ", or say --yes" if not doubts else ""
        raise SourceError(
            f"{names}: nothing was stored: there is no terminal to ask at; run the command above{why}"
        )
    if not click.confirm("Read it so?"):
        raise SourceError(f"{names}: nothing was stored; change the command above as you mean it")
    return entry


def _say_found(names: str, found: "Recognised") -> None:
    """Say what the files are, why, how sure, and what else they may be."""
    best = found.proposals[0]
    summary = FORMATS[best.format].summary
    say(f"{names}: {best.format} ({_say_sureness(found)}): {'; '.join(best.why)}")
    say(f"  {best.format} are: {summary}")
    for other in found.proposals[1:3]:
        say(f"  less likely: {other.format} ({other.sure:.0%})")


def _say_sureness(found: "Recognised") -> str:
    best = found.proposals[0]
    return "sure" if found.sure else f"{min(best.sure, 0.99):.0%} sure"


def _show_preview(store: Path, entry: "Entry", replacing: bool) -> None:
    from ...recipes.project.ingest_entries import find_files, try_entries
    from .said import say_report

    if sum(file.path.stat().st_size for file in find_files(entry)) > _LARGE:
        say("the files are large: their rows are not shown; --dry-run reads them all and stores nothing")
        return
    ((report, rows),) = try_entries(store, [entry], replacing=replacing)
    say_report(report, "")
    show_rows(rows, "the first rows as they would be stored")


def _name_source(path: Path) -> str:
    """Name a source like its file, without endings."""
    stem = path.resolve().name.lstrip(".").partition(".")[0]
    return re.sub(r"[^\w-]+", "-", stem.lower()).strip("-") or "source"


def _is_terminal() -> bool:
    return sys.stdin.isatty() and sys.stdout.isatty()
