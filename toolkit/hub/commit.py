"""A folder -> the newest revision of a repository on the Hub, as one commit.

    dist/gec (README.md, train.parquet, manifest.json)      -> the dataset lab/gec, at a commit
    models/gec (README.md, model.safetensors, preceptor.json) -> the model lab/gec-tutor, at a commit

One commit adds all files, one of which lists the others by their sha256, and removes files of the folder
before that are not in this one. So the repository is a whole folder at every moment, for every reader and
after every crash. Files that Preceptor did not put there stay, as does `.gitattributes`.

The commit names the revision that was read before as its parent. If somebody else commits in between, the Hub
refuses it; then the repository is read again and the commit is made on top. This needs no confirmation: a
folder does not depend on earlier revisions, other people's files are not touched, and of two pushes the later
one wins; the earlier one stays in the history.

A repository that has the same files already is not changed.
"""

import hashlib
import re
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TypeVar

from huggingface_hub import CommitOperationAdd, CommitOperationDelete, HfApi
from huggingface_hub.errors import RepositoryNotFoundError
from huggingface_hub.hf_api import RepoFile

from ...schemas.errors import HubError, HubNameError
from ...schemas.support.files import hash_file
from ..store.places import hold_temporary_folder
from .client import Kind, Say, call_patiently, check_repo_id, explain_error, make_page_url
from .dataset_folder import CARD

_KEPT = ".gitattributes"
_NO_DATA = re.compile(r"(\.gitattributes|\.gitignore|README\.md|LICENSE(\.\w+)?)")  # of a fresh repository
_TAG = re.compile(r"[A-Za-z0-9][\w.+-]*")
_ROUNDS = 5
T = TypeVar("T")
AGAIN = "run the same command again: only what is missing is sent"


@dataclass(frozen=True)
class Parcel:
    """Files that go to the Hub together."""

    kind: Kind
    path: Path
    files: dict[str, str]  # path -> sha256
    record: str  # the file that lists the others
    listed: Callable[[bytes], dict[str, str]]  # parses a record into {path: sha256}; {} if it is not ours
    what: str  # its name in messages: "build"
    title: str  # default message of the commit
    mend_card: str  # remedy for a card that the Hub refuses
    keep_private: str = ""  # why it must not be public, and what to do; empty if it may be

    @property
    def digest(self) -> str:
        """sha256 of the record, which holds those of all other files."""
        return self.files[self.record]

    @property
    def sizes(self) -> list[tuple[str, int]]:
        """Each file and its size, in the order of their names."""
        return [(name, (self.path / name).stat().st_size) for name in sorted(self.files)]


@dataclass(frozen=True)
class Target:
    """The target repository, and a callback for progress messages."""

    api: HfApi
    repo: str
    kind: Kind
    public: bool  # for a new repository; an old one is not changed
    say: Say

    @property
    def url(self) -> str:
        """The repository's page."""
        return make_page_url(self.repo, self.kind)


@dataclass(frozen=True)
class PublishedRevision:
    """The revision that a parcel became, and what was done for it."""

    url: str
    revision: str
    added: bool  # False if the repository had it already
    private: bool
    tagged: bool  # True if the tag is new


@dataclass(frozen=True)
class Head:
    """A repository as it was read; `touched` are files of its build that others changed since."""

    revision: str
    private: bool
    tags: dict[str, str]
    branches: set[str]
    files: dict[str, RepoFile]
    earlier: dict[str, str]  # files of the build there, path -> sha256
    touched: tuple[str, ...]  # of these, files that somebody changed there since


def check_target(repo: str, tag: str | None, kind: Kind) -> None:
    """Check the names of repository and tag. Raises HubError if one is not well-formed."""
    check_repo_id(repo, kind)
    if tag is not None and (not _TAG.fullmatch(tag) or tag.endswith((".", ".lock")) or ".." in tag):
        raise HubNameError(f"--tag {tag}: expected letters, digits and . _ + -, such as v1.2.0")


def push(
    to: Target, parcel: Parcel, tag: str | None, message: str, check: Callable[[str], T]
) -> tuple[PublishedRevision, T]:
    """Push a parcel as the newest revision of a repository, `check` that revision, and tag it.

    Returns where it is and what `check` returned. Raises HubError. Until the commit is made, which is one
    step, the repository is as it was.
    """
    head, added = _settle(to, parcel, tag, message)
    checked = check(head.revision)
    fresh = tag is not None and tag not in head.tags
    if tag is not None and fresh:
        _set_tag(to, tag, head.revision)
    if to.public and head.private:
        to.say(f"note: {to.repo} was private before and stays so; {to.url}/settings changes it")
    return PublishedRevision(to.url, head.revision, added, head.private, fresh), checked


def _settle(to: Target, parcel: Parcel, tag: str | None, message: str) -> tuple[Head, bool]:
    """Make the repository contain the parcel; return it, and true if a commit was made.

    After a commit that failed the repository is read again: the answer may have been lost on the way.
    """
    head = _read(to, parcel, f"nothing was published; {AGAIN}")
    for attempt in range(_ROUNDS):
        same = _holds(head, parcel)
        _check_tag(to.repo, head, tag, same)
        if same:
            return head, attempt > 0
        if attempt:
            to.say(f"somebody else committed to {to.repo} meanwhile; going on from there")
        else:
            _check_ours(to.repo, head)
            _say_touched(head, parcel.what, to.say)
        sent = _commit(to, parcel, head, message)
        if isinstance(sent, str):
            return replace(head, revision=sent), True
        now = _read(to, parcel, f"whether the commit arrived is not known; {AGAIN}")
        if now.revision == head.revision:
            raise _explain_commit(sent, to, parcel) from sent
        head = now
    raise HubError(f"{to.repo}: others committed {_ROUNDS} times while this {parcel.what} was sent; {AGAIN}")


def _say_touched(head: Head, what: str, say: Say) -> None:
    if head.touched:
        names = ", ".join(head.touched)
        say(
            f"note: on the Hub somebody changed {names} since the {what} there was published; this {what} "
            f"replaces that, {head.revision[:8]} keeps it"
        )


def _read(to: Target, parcel: Parcel, remedy: str) -> Head:
    """Read the repository; create it if there is none."""

    def read() -> Head:
        info = to.api.repo_info(to.repo, repo_type=to.kind)
        return _head(to, parcel, str(info.sha), bool(info.private))

    try:
        try:
            head = call_patiently(read, to.say)
        except RepositoryNotFoundError:
            _create(to)
            head = call_patiently(read, to.say)
    except HubError:
        raise
    except Exception as error:
        raise explain_error(error, to.repo, "reading the repository", remedy, to.kind) from error
    if parcel.keep_private and not head.private:
        raise HubError(f"{to.repo}: is public, and this {parcel.what} must not be: {parcel.keep_private}")
    return head


def _create(to: Target) -> None:
    def create() -> None:
        to.api.create_repo(to.repo, repo_type=to.kind, private=not to.public, exist_ok=True)

    try:
        call_patiently(create, to.say)
    except RepositoryNotFoundError as error:
        owner = to.repo.partition("/")[0]
        raise HubError(
            f"{to.repo}: exists, but your token may not see it; ask {owner} for access, or choose "
            "another OWNER/NAME"
        ) from error
    except Exception as error:
        remedy = f"nothing was published; {AGAIN}"
        raise explain_error(error, to.repo, "seeing or creating the repository", remedy, to.kind) from error
    to.say(f"created {to.repo} ({'public' if to.public else 'private'})")


def _head(to: Target, parcel: Parcel, revision: str, private: bool) -> Head:
    refs = to.api.list_repo_refs(to.repo, repo_type=to.kind)
    tree = to.api.list_repo_tree(to.repo, repo_type=to.kind, revision=revision, recursive=True)
    files = {entry.path: entry for entry in tree if isinstance(entry, RepoFile)}
    earlier = parcel.listed(_fetch(to, revision, parcel.record)) if parcel.record in files else {}
    touched = [
        n for n, sha256 in earlier.items() if n in files and (of := files[n].lfs) and of.sha256 != sha256
    ]
    if CARD in files and CARD in earlier:
        card = hashlib.sha256(_fetch(to, revision, CARD)).hexdigest()
        touched += [CARD] if card != earlier[CARD] else []
    return Head(
        revision,
        private,
        {ref.name: ref.target_commit for ref in refs.tags},
        {ref.name for ref in refs.branches},
        files,
        earlier,
        tuple(touched),
    )


def _fetch(to: Target, revision: str, name: str) -> bytes:
    with hold_temporary_folder() as cache:
        return Path(
            to.api.hf_hub_download(to.repo, name, repo_type=to.kind, revision=revision, cache_dir=cache)
        ).read_bytes()


def _holds(head: Head, parcel: Parcel) -> bool:
    """True if the repository's newest revision has this parcel, and nothing of an earlier one."""
    return not _left_over(head, parcel) and all(
        name in head.files and _equal(head.files[name], parcel.path / name, sha256)
        for name, sha256 in parcel.files.items()
    )


def _equal(remote: RepoFile, path: Path, sha256: str) -> bool:
    if remote.lfs:
        return remote.lfs.sha256 == sha256
    if remote.size != path.stat().st_size:
        return False
    content = path.read_bytes()  # files outside LFS are small
    return (
        remote.blob_id
        == hashlib.sha1(b"blob %d\0" % len(content) + content, usedforsecurity=False).hexdigest()
    )


def _left_over(head: Head, parcel: Parcel) -> list[str]:
    """List files of the earlier parcel that are not in this one."""
    return sorted((head.earlier.keys() & head.files.keys()) - parcel.files.keys() - {_KEPT})


def _check_tag(repo: str, head: Head, tag: str | None, same: bool) -> None:
    """Check the tag. Raises HubError if it exists and points elsewhere."""
    if tag is None:
        return
    if tag in head.branches:
        raise HubNameError(f"--tag {tag}: {repo} has a branch of that name; choose another tag")
    there = head.tags.get(tag)
    if there is not None and not (same and there == head.revision):
        raise HubNameError(
            f"--tag {tag}: {repo} has it already, at {there[:8]}, and a tag must not come to mean other "
            "data; nothing was published: choose the next version"
        )


def _check_ours(repo: str, head: Head) -> None:
    """Check the repository. Raises HubError if it has other data, which a wrong name would overwrite."""
    foreign = sorted(name for name in head.files if not _NO_DATA.fullmatch(name))
    if foreign and not head.earlier:
        raise HubError(
            f"{repo}: holds files that Preceptor did not publish ({', '.join(foreign[:3])}"
            f"{', …' if len(foreign) > 3 else ''}), so it is left alone; choose another name"
        )


def _commit(to: Target, parcel: Parcel, head: Head, message: str) -> str | Exception:
    """Send the parcel as one commit on top of `head`; return its id, or the error."""
    operations: list[CommitOperationAdd | CommitOperationDelete] = [
        CommitOperationAdd(name, parcel.path / name) for name in parcel.files
    ]
    operations += [CommitOperationDelete(name) for name in _left_over(head, parcel)]

    def send() -> str:
        made = to.api.create_commit(
            to.repo,
            operations,
            repo_type=to.kind,
            parent_commit=head.revision,
            commit_message=message or parcel.title,
            commit_description=f"sha256 of {parcel.record}: {parcel.digest}",
        )
        return str(made.oid)

    try:
        with _warnings_said(to.say):
            return call_patiently(send, to.say)
    except Exception as error:
        return error


def _explain_commit(error: Exception, to: Target, parcel: Parcel) -> HubError:
    """Explain why a commit was not made."""
    said = " ".join(str(error).split())
    if isinstance(error, ValueError) and "Invalid metadata" in said:
        return HubError(
            f"{to.repo}: the Hub refuses the card: {said}; {parcel.mend_card}; nothing was published"
        )
    remedy = f"nothing was published, {to.repo} is as it was; {AGAIN}"
    return explain_error(error, to.repo, f"sending the {parcel.what}", remedy, to.kind)


@contextmanager
def _warnings_said(say: Say) -> Iterator[None]:
    """Report Python's warnings, such as the Hub's remarks about a card, as notes."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", UserWarning)
        yield
    for one in caught:
        if issubclass(one.category, UserWarning):
            say(f"note: {' '.join(str(one.message).split())}")


def check_file(to: Target, name: str, revision: str, sha256: str) -> None:
    """Check a file of a revision: download it, through the client's cache as set, and compare its sha256.

    Raises HubError if the sha256 differs.
    """

    def get() -> str:
        return str(to.api.hf_hub_download(to.repo, name, repo_type=to.kind, revision=revision))

    got = call_patiently(get, to.say)
    if hash_file(Path(got)) != sha256:
        raise HubError(
            f"{to.repo}@{revision[:8]}: {name} comes back from the Hub with another sha256 than "
            f"{sha256[:12]}…; do not use this revision, and run the same command again"
        )


def _set_tag(to: Target, tag: str, revision: str) -> None:
    def tags() -> dict[str, str]:
        refs = to.api.list_repo_refs(to.repo, repo_type=to.kind)
        return {ref.name: ref.target_commit for ref in refs.tags}

    def create() -> None:
        to.api.create_tag(to.repo, tag=tag, revision=revision, repo_type=to.kind, exist_ok=True)

    try:
        call_patiently(create, to.say)
        there = call_patiently(tags, to.say).get(
            tag
        )  # an answer may be lost, or somebody else have been faster
    except Exception as error:
        remedy = f"{revision[:8]} is published, but has no tag; {AGAIN}"
        raise explain_error(error, to.repo, f"setting the tag {tag}", remedy, to.kind) from error
    if there != revision:
        raise HubError(
            f"{to.repo}: {revision[:8]} is published, but somebody else has just set the tag {tag} at "
            f"{str(there)[:8]}; choose another --tag and run the same command again"
        )
