"""`preceptor publish-model`: publish a model folder as a revision on the Hub, and compare it there.

Weights are compared by the sha256 that the Hub states of them, all other files by downloading them: a
model is not fetched a second time to know that it has arrived.
"""

from pathlib import Path

from huggingface_hub.hf_api import RepoFile

from ...schemas.errors import HubError
from ...schemas.support.adapter_folders import ABOUT
from ...schemas.support.json_text.values import parse_json
from ..store.places import hold_temporary_folder
from .client import Say, call_patiently, check_token, connect, explain_error
from .commit import AGAIN, Parcel, PublishedRevision, Target, check_file, check_target, push
from .model_folder import MODEL, ModelFolder, pack
from .publish_dataset import use_fresh_cache


def publish_model(
    folder: ModelFolder,
    repo: str,
    *,
    tag: str | None = None,
    public: bool = False,
    message: str = "",
    say: Say,
) -> tuple[PublishedRevision, int]:
    """Publish a model as the newest revision of `repo`, compare it with the files there, and tag it.

    Returns what was done, and the number of files there. A new repository is private unless `public`; an
    existing one keeps its visibility. Raises HubError, also if the model must stay private and would not, or
    the base of an adapter is not on the Hub. Until the commit is made, which is one step, the repository is
    as it was.
    """
    check_target(repo, tag, MODEL)
    check_public(folder, public)
    check_token()
    to = Target(connect(), repo, MODEL, public, say)
    revision = _base_revision(to, folder) if folder.local_base is not None else None
    with hold_temporary_folder() as work:
        parcel = pack(folder, work, revision)
        return push(to, parcel, tag, message, lambda commit: _compare(to, parcel, commit))


def check_public(folder: ModelFolder, public: bool) -> None:
    """Check that a model may be public, if it is to be. Raises HubError if it must stay private."""
    if public and folder.keep_private:
        raise HubError(
            f"{folder.path}: not made public: {folder.keep_private}; without --public it may go "
            "to a private repository"
        )


def _base_revision(to: Target, folder: ModelFolder) -> str:
    """Find the commit of an adapter's base that was a folder here. Raises HubError if it is another model."""
    base = folder.base
    place = f"--base {base}"

    def read() -> tuple[str, dict[str, object] | None]:
        info = to.api.model_info(base)
        names = {one.rfilename for one in info.siblings or []}
        if ABOUT not in names:
            return str(info.sha), None
        with hold_temporary_folder() as cache:
            file = to.api.hf_hub_download(base, ABOUT, revision=info.sha, cache_dir=cache)
            return str(info.sha), parse_json(Path(file).read_text(encoding="utf-8"))

    try:
        revision, there = call_patiently(read, to.say)
    except Exception as error:
        said = explain_error(error, base, "reading it", AGAIN, MODEL)
        raise HubError(f"--base {said}; publish the base first: preceptor publish-model") from error
    known = {name: (folder.local_base or {}).get(name) for name in ("stage", "dataset")}
    if there is None or not all(known.values()):
        to.say(
            f"note: {place}: whether it is the model that the adapter was trained on is not known; it is "
            "taken to be"
        )
    elif any(there.get(name) != value for name, value in known.items()):
        raise HubError(
            f"{place}: is another model than {(folder.local_base or {}).get('folder')}, which the "
            "adapter was trained on; publish that one, and name it"
        )
    return revision


def _compare(to: Target, parcel: Parcel, revision: str) -> int:
    """Compare the files at that revision with the parcel; return their number."""

    def read() -> dict[str, RepoFile]:
        tree = to.api.list_repo_tree(to.repo, repo_type=MODEL, revision=revision, recursive=True)
        return {one.path: one for one in tree if isinstance(one, RepoFile)}

    place, remedy = f"{to.repo}@{revision[:8]}", f"the commit is there, but is not checked; {AGAIN}"
    try:
        there = call_patiently(read, to.say)
        with hold_temporary_folder() as cache, use_fresh_cache(cache):
            for name, sha256 in parcel.files.items():
                stated = there[name].lfs if name in there else None
                if stated is None:
                    check_file(to, name, revision, sha256)
                elif stated.sha256 != sha256:
                    raise HubError(
                        f"{place}: {name} has another sha256 there than {sha256[:12]}…; do not "
                        "use this revision, and run the same command again"
                    )
    except HubError:
        raise
    except Exception as error:
        raise explain_error(error, place, "reading it back", remedy, MODEL) from error
    return len(parcel.files)
