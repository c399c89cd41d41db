"""Rows of forgotten people in what is published: in the folder, and in earlier revisions on the Hub.

    dist/gec, built before `preceptor forget`  -> refused: build again
    lab/gec at the tag v1.0.0, and its history -> a note with the command that removes it

People are forgotten in a store, which keeps hashes of the keys of their rows (`forgotten_rows`).
"""

from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import Any

import polars as pl
from huggingface_hub.hf_api import RepoFile

from ...schemas.errors import HubError
from ...schemas.manifest import parse_manifest
from ...schemas.published import ALONE
from ...schemas.support.files import MANIFEST
from ..privacy.published_keys import KEYS
from ..privacy.traces import describe_traces, list_tables, read_forgotten
from ..store.connection import open_store
from ..store.places import hold_temporary_folder
from .client import call_patiently, explain_error
from .commit import Target
from .dataset_folder import Built


def check_forgotten(built: Built, store: Path) -> pl.DataFrame | None:
    """Check that a folder holds no row of a person whom the store has forgotten; return `read_forgotten`.

    None if there is no store. Raises HubError if it does.
    """
    if not store.exists():
        return None
    with open_store(store, read_only=True) as con:
        rows = read_forgotten(con)
    if what := describe_traces(rows, list_tables(built.path), built.manifest):
        raise HubError(
            f"{built.path}: holds rows of people who were forgotten since it was built ({what}); build it "
            "again (preceptor build RECIPE --out DIR)"
        )
    return rows


def say_kept(to: Target, rows: pl.DataFrame) -> None:
    """Name the tags and earlier revisions of a repository that keep rows of forgotten people.

    Raises HubError if they cannot be read; what was published is not changed.
    """
    if rows.is_empty():
        return
    try:
        found = list(_list_kept(to, rows))
    except HubError:
        raise
    except Exception as error:
        remedy = (
            "the build is published, but whether earlier revisions keep rows of forgotten people is not known"
        )
        raise explain_error(error, to.repo, "reading earlier revisions", remedy, to.kind) from error
    for tag, what in found:
        if tag:
            to.say(
                f"note: {to.repo}: the tag {tag} keeps rows of forgotten people ({what}); remove it: "
                f"hf repos tag delete {to.repo} {tag} --type {to.kind} --yes"
            )
    if found:
        to.say(
            f"note: {to.repo}: its history keeps rows of forgotten people; once no tag needs it, remove it: "
            'python -c "from huggingface_hub import HfApi; '
            f"HfApi().super_squash_history('{to.repo}', repo_type='{to.kind}')\""
        )


def _list_kept(to: Target, rows: pl.DataFrame) -> Iterator[tuple[str, str]]:
    """Yield (tag or "", what it keeps) for each tag and each revision of the branch main that keeps rows."""
    refs = call_patiently(lambda: to.api.list_repo_refs(to.repo, repo_type=to.kind), to.say)
    commits = call_patiently(lambda: to.api.list_repo_commits(to.repo, repo_type=to.kind), to.say)
    named = [(ref.name, str(ref.target_commit)) for ref in refs.tags]
    tagged = {revision for _, revision in named}
    others = [("", one.commit_id) for one in commits if one.commit_id not in tagged]
    known: dict[tuple[str, str], str] = {}  # what a file keeps, by its sha256 and the key of its keys
    with hold_temporary_folder() as folder:
        for tag, revision in (*named, *others):
            files = _list_files(to, revision)
            manifest = next((file for file in files if file.path == MANIFEST), None)
            text = _fetch(to, revision, manifest, folder).read_bytes() if manifest else b""
            about = parse_manifest(text) or {}
            kept = [
                _describe(to, revision, file, rows, about, known, folder)
                for file in files
                if file is not manifest
            ]
            if what := ", ".join(filter(None, kept)):
                yield tag, what


def _list_files(to: Target, revision: str) -> list[RepoFile]:
    """List the files of a revision that say where rows come from, and the manifest."""

    def read() -> list[RepoFile]:
        tree = to.api.list_repo_tree(to.repo, recursive=True, revision=revision, repo_type=to.kind)
        return [file for file in tree if isinstance(file, RepoFile)]

    patterns = ("*_meta/*.parquet", *(f"{config}/*.parquet" for config in ALONE), MANIFEST)
    files = call_patiently(read, to.say)
    return [file for file in files if any(PurePosixPath(file.path).match(one) for one in patterns)]


def _describe(
    to: Target,
    revision: str,
    file: RepoFile,
    rows: pl.DataFrame,
    manifest: dict[str, Any],
    known: dict[tuple[str, str], str],
    folder: Path,
) -> str:
    """Describe what a file keeps; it is fetched unless one with the same content and kind of keys was."""
    content = (file.lfs.sha256 if file.lfs else file.blob_id, str(manifest.get(KEYS)))
    if content not in known:
        known[content] = describe_traces(rows, [_fetch(to, revision, file, folder)], manifest)
    what = known[content]
    return f"{file.path}: {what}" if what else ""


def _fetch(to: Target, revision: str, file: RepoFile, folder: Path) -> Path:
    """Fetch a file of a revision into the cache `folder`."""

    def get() -> str:
        return str(
            to.api.hf_hub_download(to.repo, file.path, repo_type=to.kind, revision=revision, cache_dir=folder)
        )

    return Path(call_patiently(get, to.say))
