"""`preceptor pull REPO_ID`: a dataset on the Hub into the store."""

from typing import Any

import click

from ..ingest.options import read_pairs
from ..ingest.said import say_report
from ..options import MAX_UNPACKED, Common, common, open_stderr, open_stdout, read_name


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
@click.option(
    "--split",
    "splits",
    multiple=True,
    metavar="NAME",
    help="Split to read, such as train. May be repeated. Default: all; equal rows of several are read once.",
)
@click.option(
    "--language", help="Language of the texts, as a BCP 47 code. Default: the one that the card names."
)
@click.option(
    "--map",
    "columns",
    multiple=True,
    callback=read_pairs,
    metavar="OURS=THEIRS",
    help="Read our field OURS from the dataset's column THEIRS. May be repeated.",
)
@click.option(
    "--levels",
    type=click.IntRange(2),
    help="Number of levels of the ratings of answers, if the rows do not state it. Default: 5.",
)
@click.option("--max-unpacked", **MAX_UNPACKED)
@click.option("--replace", is_flag=True, help="Replace the source of that name.")
@common
def pull(
    settings: Common, /, name: str, source: str | None, splits: tuple[str, ...], replace: bool, **how: Any
) -> None:
    """Read preferences or chats from a dataset on the Hugging Face Hub into the store, all or nothing.

    The dataset is one that preceptor publish sent there, or has any of the shapes that preceptor ingest
    chat reads. Each pair becomes a vote. Reading the same revision again adds nothing.

    Private datasets need HF_TOKEN or 'hf auth login'. HF_ENDPOINT selects another Hub.
    """
    from ...hub.pull import pull_dataset

    notices = open_stderr()
    how["columns"] = dict(how["columns"])
    remote, called, report = pull_dataset(
        settings.store,
        name,
        source,
        splits=splits,
        replacing=replace,
        say=notices.print,
        **how,
    )
    if report is None:
        open_stdout().print(f"{called}: already holds {remote.place}; nothing added")
        return
    terms = remote.license.id
    of = f", split {' and '.join(splits)}" if splits else ""
    open_stdout().print(f"{remote.place}: config {remote.config}{of}, licence {terms}")
    say_report(report, terms)
