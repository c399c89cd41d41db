"""`preceptor forget LEARNER` and `preceptor pseudonym ID…`."""

import re
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from ..options import Common, common, open_stderr, open_stdout, say

if TYPE_CHECKING:
    from ...store.connection import Store


@click.command()
@click.argument("learner")
@click.option(
    "--pseudonym", "is_pseudonym", is_flag=True, help="LEARNER is a pseudonym of the store, not an id."
)
@click.option(
    "--look-in",
    type=click.Path(path_type=Path, exists=True, file_okay=False),
    multiple=True,
    help="Folder with datasets that were moved there: it and all folders inside are looked through. May be "
    "repeated. Default: the folders of this store's builds and those beside them.",
)
@click.option(
    "--everywhere",
    is_flag=True,
    help="Also remove copies that can be made again: datasets with rows of the person, exports, reports, "
    "unfinished runs and cached rows. Default: they are listed.",
)
@common
def forget(
    settings: Common, learner: str, is_pseudonym: bool, look_in: tuple[Path, ...], everywhere: bool
) -> None:
    """Remove every row of a person from the store and from future builds.

    LEARNER is the learner's id in the input files; annotators are forgotten in the same way. The store's
    file is written anew, which needs as much free disk space as the file has. Datasets that hold rows of the
    person are listed: you must build and publish them again. So is what else may hold such rows: models,
    evaluations, forms, exports, reports, Argilla's data, published revisions, caches and other stores.
    Forgetting a person again lists what still does.
    """
    from ...privacy.forget import forget_person
    from ...privacy.pseudonyms import FORM
    from ...store.folders import shorten_path

    if is_pseudonym and not re.search(FORM, learner):
        raise click.BadParameter(f"'{learner}' is no pseudonym: expected 16 hex digits")
    lines = _forecast(settings.store, learner, is_pseudonym)
    done = forget_person(settings.store, learner, is_pseudonym, look_in, everywhere)
    out = open_stdout()
    listed = ", ".join(f"{n:,} {table}" for table, n in done.removed.items())
    did = f"forgotten ({listed})" if listed else "was forgotten before"
    out.print(f"{learner}: {did}; the store was written anew")
    if "fits" in done.removed:
        open_stderr().print("what they taught is gone with those fits: preceptor fuse again")
    for line in lines if done.removed else ():
        out.print(line)
    for where in done.cleaned:
        out.print(f"removed: {shorten_path(Path(where))}")
    for folder, what in done.traces.found:
        if str(folder) in done.cleaned:
            continue
        out.print(f"still holds traces: {shorten_path(folder)} ({what}); build it again, and publish that")
    for folder, what in done.traces.missing:
        out.print(
            f"not found: {shorten_path(folder)}, which may hold {what}; if it was moved, name the folder "
            "that it is in now: --look-in DIR"
        )
    for place in done.beyond:
        if place.where not in done.cleaned:
            where = place.where if "://" in place.where else shorten_path(Path(place.where))
            why = f", {place.about}" if place.about else ""
            out.print(f"not reached: {where} ({place.what}{why}); {place.remedy}")


def _forecast(store: Path, person: str, is_pseudonym: bool) -> list[str]:
    """Say which pairs change, before the person's rows are gone; nothing where no fit keeps draws."""
    from ...store.connection import open_store, run

    if not store.exists():
        return []
    with open_store(store, read_only=True) as con:
        if not run(con, "SELECT 1 FROM draws LIMIT 1"):
            return []
        from ...fusion.influence.forecast import forecast_change

        return forecast_change(con, [person] if is_pseudonym else _pseudonyms(con, [person]))


@click.command()
@click.argument("ids", nargs=-1, required=True)
@common
def pseudonym(settings: Common, ids: tuple[str, ...]) -> None:
    """Print the pseudonym that the store has for each ID."""
    from ...store.connection import open_store

    with open_store(settings.store, read_only=True) as con:
        for id, name in zip(ids, _pseudonyms(con, ids), strict=True):
            say(f"{id}\t{name}")


def _pseudonyms(con: "Store", ids: Sequence[str]) -> list[str]:
    from ...privacy.pseudonyms import find_key_file, make_pseudonym, read_store_key

    key = read_store_key(con, find_key_file())
    return [make_pseudonym(id, key) for id in ids]
