"""`preceptor publish`: a dataset folder -> a revision of a dataset on the Hub.

One commit holds the card, the data and the manifest, and takes away what an earlier build had and this
one has not; so at every moment, whoever reads and wherever it is killed, the repository holds a whole
build. (A card that comes after its data leaves `configs` of another build for a while, and two configs
then load silently as one.) Files that no build put there stay, as does `.gitattributes`.

The commit names the revision that was read before as its parent. If somebody else commits in between,
the Hub refuses it; then the repository is read anew and the commit is made on top. That is always
right, and no need to ask: a build never depends on what it follows, other people's files are not
touched, and of two builds the later one stands, as it would had they come a minute apart; the
earlier one stays in the history.

A repository that holds the same build already is left as it is.
"""

import hashlib
import re
import tempfile
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import datasets
from huggingface_hub import CommitOperationAdd, CommitOperationDelete, HfApi, constants
from huggingface_hub.errors import RepositoryNotFoundError
from huggingface_hub.hf_api import RepoFile

from ..schemas.errors import HubError
from ..schemas.manifest import as_manifest
from .built import CARD, Built
from .files import MANIFEST, file_sha256
from .hub import Say, check_repo_id, check_token, connect, endpoint, explained, patiently

DATASET = "dataset"
_KEPT = ".gitattributes"
_NO_DATA = re.compile(r"(\.gitattributes|\.gitignore|README\.md|LICENSE(\.\w+)?)")  # of a fresh repository
_TAG = re.compile(r"[A-Za-z0-9][\w.+-]*")
_ROUNDS = 5
_AGAIN = "run the same command again: only what is missing is sent"


@dataclass(frozen=True)
class Published:
    """Where a build is, and what was done for it."""

    url: str
    revision: str
    added: bool  # False where the repository held it already
    private: bool
    tagged: bool  # True where the tag is new
    rows: int  # read back, of all configs


@dataclass(frozen=True)
class _Head:
    """A repository as it was when read; `lost` says what of it others changed and a push replaces."""

    revision: str
    private: bool
    tags: dict[str, str]
    branches: set[str]
    files: dict[str, RepoFile]
    earlier: dict[str, str]  # of the build it holds, path -> sha256
    touched: tuple[str, ...]  # of these, files that somebody changed there since


def publish(
    built: Built, repo: str, *, tag: str | None = None, public: bool = False, message: str = "", say: Say
) -> Published:
    """Make the newest revision of `repo` this build, load it back from there, and tag it.

    A new repository is private unless `public`; an old one stays as it is. `say` is told what the
    user should know meanwhile. Raises HubError; until the commit is made, which is one step, the
    repository is as it was.
    """
    check_target(repo, tag)
    check_token()
    api = connect()
    head, added = _settle(api, built, repo, tag, public, message, say)
    rows = _load_back(api, built, repo, head.revision, say)
    fresh = tag is not None and tag not in head.tags
    if tag is not None and fresh:
        _set_tag(api, repo, tag, head.revision, say)
    if public and head.private:
        say(f"note: {repo} was private before and stays so; {endpoint()}/datasets/{repo}/settings changes it")
    return Published(f"{endpoint()}/datasets/{repo}", head.revision, added, head.private, fresh, rows)


def check_target(repo: str, tag: str | None) -> None:
    """HubError unless repository and tag have the form of such."""
    check_repo_id(repo)
    if tag is not None and (not _TAG.fullmatch(tag) or tag.endswith((".", ".lock")) or ".." in tag):
        raise HubError(f"--tag {tag}: expected letters, digits and . _ + -, such as v1.2.0")


def _settle(
    api: HfApi, built: Built, repo: str, tag: str | None, public: bool, message: str, say: Say
) -> tuple[_Head, bool]:
    """The repository once it holds the build, and whether it took a commit.

    What came of a commit that failed is read from the repository: its answer may be lost on the way.
    """
    head = _read(api, repo, public, f"nothing was published; {_AGAIN}", say)
    for attempt in range(_ROUNDS):
        same = _holds(head, built)
        _check_tag(repo, head, tag, same)
        if same:
            return head, attempt > 0
        if attempt:
            say(f"somebody else committed to {repo} meanwhile; going on from there")
        else:
            _check_ours(repo, head)
            _say_touched(head, say)
        sent = _commit(api, built, repo, head, message, say)
        if isinstance(sent, str):
            return replace(head, revision=sent), True
        now = _read(api, repo, public, f"whether the commit arrived is not known; {_AGAIN}", say)
        if now.revision == head.revision:
            raise _explain_commit(sent, repo) from sent
        head = now
    raise HubError(f"{repo}: others committed {_ROUNDS} times while this build was sent; {_AGAIN}")


def _say_touched(head: _Head, say: Say) -> None:
    if head.touched:
        names = ", ".join(head.touched)
        say(f"note: on the Hub somebody changed {names} since the build there was published; this build "
            f"replaces that, {head.revision[:8]} keeps it")  # fmt: skip


def _read(api: HfApi, repo: str, public: bool, remedy: str, say: Say) -> _Head:
    """The repository as it is, made where there is none."""

    def read() -> _Head:
        info = api.dataset_info(repo)
        return _head(api, repo, str(info.sha), bool(info.private))

    try:
        try:
            return patiently(read, say)
        except RepositoryNotFoundError:
            _create(api, repo, public, say)
            return patiently(read, say)
    except HubError:
        raise
    except Exception as error:
        raise explained(error, repo, "reading the repository", remedy) from error


def _create(api: HfApi, repo: str, public: bool, say: Say) -> None:
    try:
        patiently(lambda: api.create_repo(repo, repo_type=DATASET, private=not public, exist_ok=True), say)
    except RepositoryNotFoundError as error:
        raise HubError(f"{repo}: exists, but your token may not see it; ask {repo.partition('/')[0]} for "
                       "access, or choose another OWNER/NAME") from error  # fmt: skip
    except Exception as error:
        remedy = f"nothing was published; {_AGAIN}"
        raise explained(error, repo, "seeing or creating the repository", remedy) from error
    say(f"created {repo} ({'public' if public else 'private'})")


def _head(api: HfApi, repo: str, revision: str, private: bool) -> _Head:
    refs = api.list_repo_refs(repo, repo_type=DATASET)
    tree = api.list_repo_tree(repo, repo_type=DATASET, revision=revision, recursive=True)
    files = {entry.path: entry for entry in tree if isinstance(entry, RepoFile)}
    manifest = _fetch(api, repo, revision, MANIFEST) if MANIFEST in files else b""
    earlier = (as_manifest(manifest) or {}).get("files", {})
    touched = [
        n for n, sha256 in earlier.items() if n in files and (of := files[n].lfs) and of.sha256 != sha256
    ]
    if CARD in files and CARD in earlier:
        card = hashlib.sha256(_fetch(api, repo, revision, CARD)).hexdigest()
        touched += [CARD] if card != earlier[CARD] else []
    return _Head(
        revision,
        private,
        {ref.name: ref.target_commit for ref in refs.tags},
        {ref.name for ref in refs.branches},
        files,
        earlier,
        tuple(touched),
    )


def _fetch(api: HfApi, repo: str, revision: str, name: str) -> bytes:
    with tempfile.TemporaryDirectory() as cache:
        return Path(api.hf_hub_download(
            repo, name, repo_type=DATASET, revision=revision, cache_dir=cache)).read_bytes()  # fmt: skip


def _holds(head: _Head, built: Built) -> bool:
    """Whether the repository's newest revision has this build, and nothing of another."""
    return not _left_over(head, built) and all(
        name in head.files and _equal(head.files[name], built.path / name, sha256)
        for name, sha256 in built.files.items()
    )


def _equal(remote: RepoFile, path: Path, sha256: str) -> bool:
    if remote.lfs:
        return remote.lfs.sha256 == sha256
    if remote.size != path.stat().st_size:
        return False
    content = path.read_bytes()  # what is not stored by LFS is small
    return (
        remote.blob_id
        == hashlib.sha1(b"blob %d\0" % len(content) + content, usedforsecurity=False).hexdigest()
    )


def _left_over(head: _Head, built: Built) -> list[str]:
    """Files of the earlier build that this one has not."""
    return sorted((head.earlier.keys() & head.files.keys()) - built.files.keys() - {_KEPT})


def _check_tag(repo: str, head: _Head, tag: str | None, same: bool) -> None:
    """HubError if the tag stands somewhere else than where it would have to."""
    if tag is None:
        return
    if tag in head.branches:
        raise HubError(f"--tag {tag}: {repo} has a branch of that name; choose another tag")
    there = head.tags.get(tag)
    if there is not None and not (same and there == head.revision):
        raise HubError(
            f"--tag {tag}: {repo} has it already, at {there[:8]}, and a tag must not come to mean other "
            "data; nothing was published: choose the next version"
        )


def _check_ours(repo: str, head: _Head) -> None:
    """HubError for a repository of other data, which a wrong name would otherwise overwrite."""
    foreign = sorted(name for name in head.files if not _NO_DATA.fullmatch(name))
    if foreign and not head.earlier:
        raise HubError(
            f"{repo}: holds files that Preceptor did not publish ({', '.join(foreign[:3])}"
            f"{', …' if len(foreign) > 3 else ''}), so it is left alone; choose another name"
        )


def _commit(api: HfApi, built: Built, repo: str, head: _Head, message: str, say: Say) -> str | Exception:
    """Send the build as one commit on top of `head`; its id, or what went wrong."""
    operations: list[CommitOperationAdd | CommitOperationDelete] = [
        CommitOperationAdd(name, built.path / name) for name in built.files
    ]
    operations += [CommitOperationDelete(name) for name in _left_over(head, built)]
    name = built.manifest["recipe"].get("name", "dataset")

    def send() -> str:
        made = api.create_commit(
            repo, operations, repo_type=DATASET, parent_commit=head.revision,
            commit_message=message or f"Publish {name}, build {built.digest[:12]}",
            commit_description=f"sha256 of {MANIFEST}: {built.digest}",
        )  # fmt: skip
        return str(made.oid)

    try:
        with _warnings_said(say):
            return patiently(send, say)
    except Exception as error:
        return error


def _explain_commit(error: Exception, repo: str) -> HubError:
    """Why a commit was not made."""
    said = " ".join(str(error).split())
    if isinstance(error, ValueError) and "Invalid metadata" in said:
        return HubError(f"{repo}: the Hub refuses the card: {said}; mend the recipe and build again; nothing "
                        "was published")  # fmt: skip
    remedy = f"nothing was published, {repo} is as it was; {_AGAIN}"
    return explained(error, repo, "sending the build", remedy)


@contextmanager
def _warnings_said(say: Say) -> Iterator[None]:
    """Python's warnings, such as the Hub's remarks about a card, as notes."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", UserWarning)
        yield
    for one in caught:
        if issubclass(one.category, UserWarning):
            say(f"note: {' '.join(str(one.message).split())}")


def _load_back(api: HfApi, built: Built, repo: str, revision: str, say: Say) -> int:
    """Rows of all configs, loaded from the Hub at that revision into an empty cache.

    Every file has the digest that the manifest states, and every config its rows.
    """
    place, remedy = f"{repo}@{revision[:8]}", f"the commit is there, but is not checked; {_AGAIN}"
    try:
        with tempfile.TemporaryDirectory(prefix="preceptor-") as folder, _fresh_cache(folder):
            for name, sha256 in built.files.items():
                _check_file(api, (repo, name, revision), sha256, say)
            return sum(
                _check_config(place, config, splits, patiently(_loading(repo, config, revision, folder), say))
                for config, splits in built.rows.items()
            )
    except HubError:
        raise
    except Exception as error:
        raise explained(error, place, "loading it back", remedy) from error


def _check_file(api: HfApi, where: tuple[str, str, str], sha256: str, say: Say) -> None:
    repo, name, revision = where
    got = patiently(lambda: api.hf_hub_download(repo, name, repo_type=DATASET, revision=revision), say)
    if file_sha256(Path(got)) != sha256:
        raise HubError(
            f"{repo}@{revision[:8]}: {name} comes back from the Hub with another sha256 than {sha256[:12]}…; "
            "do not use this revision, and run the same command again"
        )


def _loading(repo: str, config: str, revision: str, folder: str) -> Any:
    return lambda: datasets.load_dataset(repo, config, revision=revision, cache_dir=f"{folder}/datasets")


def _check_config(place: str, config: str, expected: dict[str, int], loaded: Any) -> int:
    found = {str(split): len(rows) for split, rows in loaded.items()}
    if found != expected:
        raise HubError(
            f"{place}: config {config} loads with the rows {found} instead of {expected}; do not use this "
            "revision; is there a .huggingface.yaml beside the build's files?"
        )
    return sum(found.values())


@contextmanager
def _fresh_cache(folder: str) -> Iterator[None]:
    """Let downloads go to `folder`: what the user's cache holds would prove nothing.

    `datasets` takes no such folder for its downloads, so the client's own setting is changed meanwhile.
    """
    counting, cache = datasets.config.HF_UPDATE_DOWNLOAD_COUNTS, constants.HF_HUB_CACHE
    bars = datasets.are_progress_bars_disabled()
    datasets.config.HF_UPDATE_DOWNLOAD_COUNTS = False  # nobody uses it here
    constants.HF_HUB_CACHE = f"{folder}/hub"
    datasets.disable_progress_bars()
    try:
        yield
    finally:
        datasets.config.HF_UPDATE_DOWNLOAD_COUNTS, constants.HF_HUB_CACHE = counting, cache
        if not bars:
            datasets.enable_progress_bars()


def _set_tag(api: HfApi, repo: str, tag: str, revision: str, say: Say) -> None:
    def tags() -> dict[str, str]:
        return {ref.name: ref.target_commit for ref in api.list_repo_refs(repo, repo_type=DATASET).tags}

    try:
        patiently(
            lambda: api.create_tag(repo, tag=tag, revision=revision, repo_type=DATASET, exist_ok=True), say
        )
        there = patiently(tags, say).get(tag)  # an answer may be lost, or somebody else have been faster
    except Exception as error:
        remedy = f"{revision[:8]} is published, but has no tag; {_AGAIN}"
        raise explained(error, repo, f"setting the tag {tag}", remedy) from error
    if there != revision:
        raise HubError(
            f"{repo}: {revision[:8]} is published, but somebody else has just set the tag {tag} at "
            f"{str(there)[:8]}; choose another --tag and run the same command again"
        )


def files_of(built: Built) -> Sequence[tuple[str, int]]:
    """Each file and its size, in the order of their names."""
    return [(name, built.size(name)) for name in sorted(built.files)]
