"""`preceptor scan`: personal data in the store's texts."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ....schemas.support.text import dump_json
from ...privacy.recognisers import KINDS, REGIONS
from ..options import Choice, Common, add_source_option, common, make_table, open_stderr, open_stdout, say

if TYPE_CHECKING:
    import polars as pl
    from rich.console import Console

    from ...privacy.scan import Masked


@click.command()
@add_source_option("Scan this source only. May be repeated.")
@click.option(
    "--kind",
    "kinds",
    multiple=True,
    type=Choice(KINDS),
    help="Look for this kind of data only. May be repeated.",
)
@click.option(
    "--region",
    "regions",
    multiple=True,
    metavar="CODE",
    default=REGIONS,
    show_default=True,
    help="Country whose phone numbers are found without a leading +. May be repeated.",
)
@click.option(
    "--roster",
    type=click.Path(path_type=Path, dir_okay=False),
    help="File of names to look for: one per line, or CSV with name, first_name, last_name.",
)
@click.option(
    "--student-number",
    default="",
    metavar="REGEX",
    help="Regular expression of student numbers. Default: none are looked for.",
)
@click.option(
    "--show",
    type=click.IntRange(0),
    default=5,
    show_default=True,
    help="Number of examples shown of each kind.",
)
@click.option(
    "--json", "as_json", is_flag=True, help="Print JSON for scripts: every finding, without its text."
)
@click.option(
    "--mask", "masking", is_flag=True, help="Replace each finding by its kind: <EMAIL>, <PHONE>, <NAME> …"
)
@common
def scan(
    settings: Common,
    sources: tuple[str, ...],
    kinds: tuple[str, ...],
    regions: tuple[str, ...],
    roster: Path | None,
    student_number: str,
    show: int,
    as_json: bool,
    masking: bool,
) -> None:
    """Find personal data in the texts of the store; the exit code is 1 if there is any.

    Microsoft Presidio finds e-mail and IP addresses, links, and phone, bank account and card numbers,
    without any model (pip install 'preceptor[privacy]'). Names of a roster are found as they are written
    there, and student numbers by their form. Not found are names of other people, and names in other
    grammatical cases.

    --mask replaces every finding, all or nothing, and writes the store's file anew so that no byte of it
    stays; the exit code is then 0. Keys do not change. A later ingest with --replace brings the original
    texts back.
    """
    from ...privacy.recognisers import Wanted
    from ...privacy.roster import read_roster
    from ...privacy.scan import mask_found
    from ...privacy.scan import scan as run_scan
    from ...store.connection import open_store, write_anew
    from ..progress import show_bar

    names = read_roster(roster) if roster else ()
    wanted = Wanted(kinds or KINDS, tuple(map(str.upper, regions)), names, student_number)
    masked = None
    with show_bar("scan", open_stderr()), open_store(settings.store, read_only=not masking) as con:
        found = run_scan(con, wanted, sources)
        if masking:
            masked = mask_found(con, found, wanted, sources)
    if masking:
        write_anew(settings.store)
    if as_json:
        say(dump_json(found.drop("old").to_dicts()))
    else:
        _say(open_stdout(), found, show)
    if masked:
        _say_masked(open_stderr() if as_json else open_stdout(), masked, len(found))
    elif len(found):
        from ....schemas.errors import CHECK_FAILED

        raise click.exceptions.Exit(CHECK_FAILED)


def _say(out: "Console", found: "pl.DataFrame", show: int) -> None:
    """Print the number of findings of each kind in each source, and `show` examples of each kind."""
    if found.is_empty():
        out.print("nothing found")
        return
    counts = found.group_by("kind", "source").len().sort("kind", "source")
    rows = [(kind, source, f"{n:,}") for kind, source, n in counts.rows()]
    out.print(make_table("personal data", ("kind", "source", "findings "), rows))
    if show:
        out.print(make_table("for example", ("kind", "where", "text"), _examples(found, show)))


def _examples(found: "pl.DataFrame", show: int) -> list[tuple[str, str, str]]:
    """List the first findings of each kind whose texts differ: kind, where, text."""
    from ...privacy.recognisers import Finding
    from ...privacy.scan import cut_excerpt

    by_text: dict[str, list[Finding]] = {}
    spans = found.select("old", "kind", "start", "end", "score").unique().sort("old", "start")
    for text, *span in spans.rows():
        by_text.setdefault(text, []).append(Finding(*span))
    first = found.unique(["kind", "old"], keep="first", maintain_order=True)
    examples: list[dict[str, Any]] = first.group_by("kind", maintain_order=True).head(show).to_dicts()
    return [
        (
            one["kind"],
            f"{one['table']}:{one['key']}",
            cut_excerpt(one["old"], by_text[one["old"]], Finding(*(one[name] for name in Finding._fields))),
        )
        for one in sorted(examples, key=lambda one: one["kind"])
    ]


def _say_masked(out: "Console", masked: "Masked", findings: int) -> None:
    listed = ", ".join(f"{n:,} {name}" for name, n in masked.changed.items()) or "no row"
    out.print(f"masked: {findings:,} findings ({listed} changed); the store was written anew")
    if masked.exercises:
        out.print(f"removed: {masked.exercises:,} exercises made of these texts; build them again")
    if masked.unmade:
        out.print(f"removed: {masked.unmade:,} prompts that builds made of these; the next makes them anew")
    for folder in masked.builds:
        out.print(f"may hold the texts as they were: {folder}; build it again, and publish that")
