"""`preceptor pull REPO_ID`: a dataset on the Hub into the store."""

import click

from ..options import Common, common, open_stderr, open_stdout
from ..store.ingest import say_report


@click.command()
@click.argument("name", metavar="REPO_ID[@REVISION]")
@click.option("--source", help="Name of the source in the store; the dataset's name if left out.")
@click.option("--config", help="Part of the dataset; its card's default if left out.")
@click.option("--license", help="SPDX id, such as CC-BY-4.0; what the card says if left out.")
@click.option("--replace", is_flag=True, help="Put it in the place of the source of that name.")
@common
def pull(
    settings: Common, name: str, source: str | None, config: str | None, license: str | None, replace: bool
) -> None:
    """Read preferences or chats of a dataset on the Hugging Face Hub into the store, all or nothing.

    It may be one that preceptor publish put there, or one with TRL's columns (prompt, chosen, rejected
    or prompt, completion, as text or messages), messages or conversations. Each pair becomes a vote.
    The same revision again adds nothing.

    HF_TOKEN or 'hf auth login' opens private ones; HF_ENDPOINT names another Hub.
    """
    from ...hub.pull import pull_dataset

    notices = open_stderr()
    remote, called, report = pull_dataset(
        settings.store,
        name,
        source,
        config=config,
        license=license,
        replacing=replace,
        say=lambda text: notices.print(text, markup=False),
    )
    if report is None:
        open_stdout().print(f"{called}: already holds {remote.place}; nothing added", markup=False)
        return
    terms = remote.license.id
    open_stdout().print(f"{remote.place}: config {remote.config}, licence {terms}", markup=False)
    say_report(report, terms)
