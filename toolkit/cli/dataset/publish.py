"""`preceptor publish DIR REPO_ID`: a build to the Hub."""

from pathlib import Path
from typing import TYPE_CHECKING

import click

from ..options import Common, common, make_table, open_stderr, open_stdout, say

if TYPE_CHECKING:
    from ...hub.commit import PublishedRevision
    from ...hub.dataset_folder import Built


@click.command()
@click.argument("folder", metavar="DIR", type=click.Path(path_type=Path))
@click.argument("repo", metavar="REPO_ID")
@click.option("--tag", help="Tag to give to the revision, such as v1.2.0. An existing tag is never moved.")
@click.option("--public", is_flag=True, help="Make a new repository public. Default: private.")
@click.option(
    "--dry-run", is_flag=True, help="Check the folder and show what would be sent; the network is not used."
)
@click.option("--message", default="", help="Commit message. Default: the build's name and digest.")
@common
def publish(
    settings: Common, folder: Path, repo: str, tag: str | None, public: bool, dry_run: bool, message: str
) -> None:
    """Publish DIR, which preceptor build wrote, as the dataset REPO_ID on the Hugging Face Hub.

    REPO_ID is OWNER/NAME. The folder must be unchanged since it was built, with a licence to publish under.
    All of it is sent as one commit, which replaces the build before; then it is loaded back and compared.
    Publishing the same build again changes nothing.

    If the store has forgotten people (preceptor forget), a folder with rows of them is refused, and tags and
    earlier revisions on the Hub that keep such rows are named.

    The access token is that of HF_TOKEN or of 'hf auth login'. HF_ENDPOINT selects another Hub.
    """
    from ...hub.commit import check_target
    from ...hub.dataset_folder import name_repository, read_built
    from ...hub.forgotten import check_forgotten
    from ...hub.publish_dataset import DATASET
    from ...hub.publish_dataset import publish as run_publish
    from ...store.places import note_place

    built = read_built(folder)
    check_target(repo, tag, DATASET)
    forgotten = check_forgotten(built, settings.store)
    if forgotten is None:
        open_stdout().print(
            f"not looked for: rows of forgotten people, since there is no store {settings.store}"
        )
    if dry_run:
        with name_repository(built, repo) as named:
            _say_dry(named, repo, tag, public)
        return
    notices = open_stderr()
    done, rows = run_publish(
        built,
        repo,
        tag=tag,
        public=public,
        message=message,
        forgotten=forgotten,
        say=notices.print,
    )
    note_place(settings.store, done.url, "published dataset")
    _say(built, repo, tag, done, rows)


def _say_dry(built: "Built", repo: str, tag: str | None, public: bool) -> None:
    out = open_stdout()
    files = [(name, built.get_size(name)) for name in sorted(built.files)]
    out.print(make_table(f"{repo} would get", ("file", "bytes "), ((n, f"{size:,}") for n, size in files)))
    rows = ", ".join(f"{sum(splits.values()):,} {config}" for config, splits in built.rows.items())
    out.print(f"{len(files)} files, {sum(size for _, size in files):,} bytes; rows: {rows}")
    out.print(f"licence: {built.licence['verdict']}")
    out.print(f"build: {built.digest} (sha256 of manifest.json)")
    kind = "public" if public else "private"
    out.print(f"{kind} if {repo} is new; {f'tag {tag}' if tag else 'no tag'}; nothing was sent")
    out.print("\nREADME.md:\n")
    say(built.card)


def _say(built: "Built", repo: str, tag: str | None, done: "PublishedRevision", rows: int) -> None:
    out = open_stdout()
    seen = "private" if done.private else "public"
    what = "published" if done.added else "holds this build already, nothing was sent"
    out.print(f"{repo} ({seen}): {what}, revision {done.revision}")
    back = f"{len(built.files)} files with their digests, {rows:,} rows in {len(built.rows)} configs"
    out.print(f"loaded back: {back}")
    if tag:
        out.print(f"tag {tag}: {'set' if done.tagged else 'was there already'}")
    config = next(iter(built.rows))
    out.print(f'{done.url}\nload_dataset("{repo}", "{config}", revision="{tag or done.revision}")')
