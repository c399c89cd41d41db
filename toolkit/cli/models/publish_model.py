"""`preceptor publish-model DIR REPO_ID`: a trained model to the Hub."""

from pathlib import Path
from typing import TYPE_CHECKING

import click

from ..options import make_table, open_stderr, open_stdout, say

if TYPE_CHECKING:
    from ...hub.model_folder import ModelFolder


@click.command(
    "publish-model",
    help="Publish DIR, a model that preceptor train or merge wrote, as REPO_ID on the Hugging Face Hub.\n\n"
    "REPO_ID is OWNER/NAME. Weights, tokenizer, card and provenance are sent as one commit, which replaces "
    "the model before; then the files on the Hub are compared with DIR. Publishing the same model again "
    "sends nothing.\n\n"
    "Checkpoints and pickle files are not sent; of paths in the recipe only the last part is sent. A path of "
    "this machine or a token in another file is refused, and so is --public for a model of data that may not "
    "be published.\n\n\b\n"
    "  preceptor publish-model models/gec-merged lab/gec --license apache-2.0 --dry-run\n"
    "  preceptor publish-model models/gec-merged lab/gec --license apache-2.0 --tag v1.0.0\n"
    "  preceptor publish-model models/gec lab/gec-lora --license apache-2.0 --base lab/gec-sft\n\n"
    "The access token is that of HF_TOKEN or of 'hf auth login'. HF_ENDPOINT selects another Hub.",
)
@click.argument("folder", metavar="DIR", type=click.Path(path_type=Path))
@click.argument("repo", metavar="REPO_ID")
@click.option(
    "--license",
    metavar="ID",
    help="Licence of the model: that of its base model, such as apache-2.0 or llama3.2, or one "
    "as strict. Needed unless README.md states one.",
)
@click.option(
    "--base",
    metavar="REPO_ID",
    help="Base model of the adapter on the Hub, if it was trained on a local folder.",
)
@click.option("--tag", help="Tag to give to the revision, such as v1.2.0. An existing tag is never moved.")
@click.option("--public", is_flag=True, help="Make a new repository public. Default: private.")
@click.option(
    "--dry-run", is_flag=True, help="Check the folder and show what would be sent; the network is not used."
)
@click.option("--message", default="", help="Commit message. Default: stage, dataset and digest.")
def publish_model(
    folder: Path,
    repo: str,
    license: str | None,
    base: str | None,
    tag: str | None,
    public: bool,
    dry_run: bool,
    message: str,
) -> None:
    """Publish a model folder on the Hub."""
    from ...hub.commit import check_target
    from ...hub.model_folder import MODEL, read_model_folder
    from ...hub.publish_model import check_public
    from ...hub.publish_model import publish_model as run

    check_target(repo, tag, MODEL)
    read = read_model_folder(folder, license, base)
    notices = open_stderr()
    if read.left_out:
        notices.print(f"stays here: {', '.join(read.left_out)}")
    if read.keep_private:
        check_public(read, public)
        notices.print(f"warning: keep it private: {read.keep_private}")
    if dry_run:
        _say_dry(read, repo, tag, public)
        return
    done, files = run(
        read,
        repo,
        tag=tag,
        public=public,
        message=message,
        say=notices.print,
    )
    out = open_stdout()
    what = "published" if done.added else "holds this model already, nothing was sent"
    out.print(f"{repo} ({'private' if done.private else 'public'}): {what}, revision {done.revision}")
    out.print(f"read back: {files} files with their digests")
    if tag:
        out.print(f"tag {tag}: {'set' if done.tagged else 'was there already'}")
    out.print(done.url)


def _say_dry(folder: "ModelFolder", repo: str, tag: str | None, public: bool) -> None:
    from ...hub.model_folder import pack
    from ...store.places import hold_temporary_folder

    out = open_stdout()
    with hold_temporary_folder() as work:
        parcel = pack(folder, work)
        sizes = parcel.sizes
        card = (parcel.path / "README.md").read_text(encoding="utf-8")
    out.print(make_table(f"{repo} would get", ("file", "bytes "), ((n, f"{size:,}") for n, size in sizes)))
    out.print(f"{len(sizes)} files, {sum(size for _, size in sizes):,} bytes")
    out.print(f"licence: {folder.head['license']}; base model: {folder.base}")
    kind = "public" if public else "private"
    out.print(f"{kind} if {repo} is new; {f'tag {tag}' if tag else 'no tag'}; nothing was sent")
    out.print("\nREADME.md:\n")
    say(card)
