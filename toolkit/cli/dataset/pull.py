"""`preceptor pull REPO_ID`: a dataset on the Hub into the store."""

import click

from ..options import Common, common, open_stderr, open_stdout, read_name
from ..store.ingest import say_report


@click.command()
@click.argument("name", metavar="REPO_ID[@REVISION]")
@click.option(
    "--source",
    callback=read_name,
    help="Name of the source in the store. Default: the dataset's name, followed by --config if given.",
)
@click.option(
    "--config", help="Config (part) of the dataset. Default: the one that its card names as default."
)
@click.option(
    "--license", help="Licence as an SPDX id, such as CC-BY-4.0. Default: the one that the card states."
)
@click.option("--replace", is_flag=True, help="Replace the source of that name.")
@common
def pull(
    settings: Common, name: str, source: str | None, config: str | None, license: str | None, replace: bool
) -> None:
    """Read preferences or chats from a dataset on the Hugging Face Hub into the store, all or nothing.

    The dataset is one that preceptor publish sent there, or one with TRL's columns (prompt, chosen,
    rejected or prompt, completion, as text or messages), messages or conversations. Each pair becomes a
    vote. Reading the same revision again adds nothing.

    Private datasets need HF_TOKEN or 'hf auth login'. HF_ENDPOINT selects another Hub.
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
        say=notices.print,
    )
    if report is None:
        open_stdout().print(f"{called}: already holds {remote.place}; nothing added")
        return
    terms = remote.license.id
    open_stdout().print(f"{remote.place}: config {remote.config}, licence {terms}")
    say_report(report, terms)
