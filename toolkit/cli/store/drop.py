"""`preceptor drop SOURCE…`: take sources out of the store again."""

import click

from ..options import Common, common, open_stderr, open_stdout


@click.command()
@click.argument("sources", nargs=-1, required=True, metavar="SOURCE...")
@click.option("--dry-run", is_flag=True, help="Say what would go; do not change the store.")
@common
def drop(settings: Common, sources: tuple[str, ...], dry_run: bool) -> None:
    """Take sources out of the store again, with all their rows.

    All or nothing. Sources whose texts others judge go together with those judgements: the message names
    them. Fits and datasets that were made with the sources stay as they are, and are listed. To remove a
    person, use preceptor forget: a dropped source leaves bytes in the file until it is written anew.
    """
    from ...privacy.drop import drop_sources
    from ...store.connection import open_store

    with open_store(settings.store, read_only=dry_run) as con:
        done = drop_sources(con, tuple(dict.fromkeys(sources)), dry_run)
    did = "would go" if dry_run else "gone"
    counts = ", ".join(f"{n:,} {table}" for table, n in done.rows.items()) or "no rows"
    open_stdout().print(f"{', '.join(dict.fromkeys(sources))}: {did} ({counts})")
    if done.fits:
        listed = ", ".join(done.fits[:3]) + (f" and {len(done.fits) - 3} more" if len(done.fits) > 3 else "")
        open_stderr().print(f"fits that may have used them: {listed}; preceptor fuse fits what is left")
    for build in done.builds:
        open_stderr().print(f"{build} may hold their rows: build it again")
