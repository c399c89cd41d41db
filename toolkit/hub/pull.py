"""`preceptor pull`: a dataset on the Hub -> a source of the store, read as the format `chat` is.

    lab/tutor-preferences@v1.2.0  config preference        of our own builds, the `preference_meta`
    prompt, chosen, rejected                               beside it gives each row its task and group
    trl-lib/ultrafeedback_binarized
    chosen, rejected                                       the prompt is what the two share

One config is pulled, by default the card's default: the other configs of a build are made of the same
judgements, which must not count twice. Rows come from CONFIG/SPLIT.parquet, so `path` in the store shows the
split. The source's licence is the card's, its revision the commit.
"""

import re
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import datasets

from ...schemas.errors import HubError, SourceError
from ...schemas.licenses import HUB_NAMES, License, read_license
from ..ingest.batch import Context
from ..ingest.files.numbered_lines import Input
from ..ingest.formats import FORMATS
from ..ingest.run import IngestReport, Origin, find_inputs, ingest
from ..store.connection import Store, open_store, query
from .client import Say, call_patiently, check_repo_id, connect, explain_error, get_endpoint

FORMAT = FORMATS["chat"]
_SHAPES = (
    ("chosen", "rejected"),
    ("preferred_output", "non_preferred_output"),
    ("prompt", "completion"),
    ("messages",),
    ("conversations",),
    ("instruction", "output"),
)
_ABOUT = ("id", "group", "task", "language")
_OF_META = ("task", "group")
_AGAIN = "nothing was stored; run the same command again"
T = TypeVar("T")


@dataclass(frozen=True)
class Remote:
    """One config of a dataset at one revision, and the facts on its card."""

    repo: str
    revision: str  # the commit
    config: str
    meta: bool  # True if a `_meta` config of the build describes its rows
    url: str
    language: str
    license: License

    @property
    def place(self) -> str:
        """The dataset and the first digits of its commit, for messages."""
        return f"{self.repo}@{self.revision[:8]}"


def find_remote(name: str, config: str | None, license: str | None, say: Say) -> Remote:
    """Find the dataset REPO_ID or REPO_ID@REVISION; `license`, an SPDX id, overrides its card's.

    Raises HubError if there is no such dataset or config, SourceError if the licence is unknown.
    """
    repo, _, revision = name.partition("@")
    check_repo_id(repo)
    api = connect()
    datasets.disable_progress_bars()
    info = _asked(lambda: api.dataset_info(repo, revision=revision or None), name, "reading it", say)
    card = vars(info.card_data) if info.card_data else {}
    commit = str(info.sha)

    def names() -> tuple[list[str], str | None]:
        found = datasets.get_dataset_config_names(repo, revision=commit)
        return found, datasets.get_dataset_default_config_name(repo, revision=commit)

    configs, default = _asked(names, repo, "reading its configs", say)
    chosen = config or default
    if chosen not in configs:
        which = f"has no config '{config}'" if config else "has several configs and none is the default"
        raise HubError(f"{repo}: {which}; name one with --config: {', '.join(configs)}")
    return Remote(
        repo,
        commit,
        chosen,
        f"{chosen}_meta" in configs,
        f"{get_endpoint()}/datasets/{repo}" + (f"/viewer/{config}" if config else ""),
        _language(card.get("language")),
        read_license(license) if license else read_card_license(card),
    )


def read_card_license(card: dict[str, Any]) -> License:
    """Read the licence that a card names; one without an SPDX id becomes LicenseRef-NAME."""
    named = card.get("license")
    names = [str(name) for name in (named if isinstance(named, list) else [named]) if name]
    if names == ["other"]:
        names = [str(card.get("license_name") or "other")]
    if not names or names == ["unknown"]:
        return read_license(None)
    try:
        return read_license(" AND ".join(HUB_NAMES.get(name.lower(), name) for name in names))
    except SourceError:
        plain = re.sub(r"[^A-Za-z0-9.-]+", "-", "-".join(names)).strip("-")
        return read_license(f"LicenseRef-{plain or 'other'}")


def _language(said: Any) -> str:
    """Read the card's language; "und" if it names none or several."""
    names = said if isinstance(said, list) else [said]
    return str(names[0]) if len(names) == 1 and names[0] else "und"


def holds(con: Store, source: str, remote: Remote) -> bool:
    """True if the store has this revision as that source."""
    rows = query(con, "SELECT url, revision, reader FROM sources WHERE name = ?", [source]).rows()
    return rows == [(remote.url, remote.revision, FORMAT.name)]


def fetch(remote: Remote, folder: Path, say: Say) -> list[Input]:
    """Fetch the rows as CONFIG/SPLIT.parquet in `folder`, with all columns.

    The reader names the columns that it does not use. Raises HubError if the download fails, SourceError if
    the columns are neither preferences nor chats.
    """
    rows = _load(remote, remote.config, folder, say)
    columns = next(iter(rows.values())).column_names
    if not any(set(shape) <= set(columns) for shape in _SHAPES):
        shapes = "; ".join(" and ".join(shape) for shape in _SHAPES)
        raise SourceError(
            f"{remote.place}: config {remote.config} has the columns {', '.join(columns)}, which are no "
            f"preferences or chats; expected {shapes}"
        )
    meta = _load(remote, f"{remote.config}_meta", folder, say) if remote.meta else {}
    place = folder / "rows" / remote.config
    place.mkdir(parents=True)
    for split, part in rows.items():
        _with_meta(part, meta.get(split)).to_parquet(place / f"{split}.parquet")
    return find_inputs(FORMAT, [folder / "rows"])


def _load(remote: Remote, config: str, folder: Path, say: Say) -> Any:
    def load() -> Any:
        cache = str(folder / "datasets")
        return datasets.load_dataset(remote.repo, config, revision=remote.revision, cache_dir=cache)

    return _asked(load, remote.repo, f"loading config {config}", say)


def _with_meta(rows: Any, meta: Any) -> Any:
    """Add task and group of the meta rows, which are in the same order; ids and the like as text."""
    if meta is not None and len(meta) == len(rows):
        more = [n for n in _OF_META if n in meta.column_names and n not in rows.column_names]
        rows = datasets.concatenate_datasets([rows, meta.select_columns(more)], axis=1) if more else rows
    for name in set(_ABOUT) & set(rows.column_names):
        rows = rows.cast_column(name, datasets.Value("string"))
    return rows


def pull_dataset(
    store: Path,
    name: str,
    source: str | None = None,
    *,
    config: str | None = None,
    license: str | None = None,
    replacing: bool = False,
    say: Say = lambda _: None,
) -> tuple[Remote, str, IngestReport | None]:
    """Read a dataset of the Hub into a source of the store file, which is made if it is not there.

    `name` is REPO_ID or REPO_ID@REVISION; `source` is by default the dataset's name; `license`, an SPDX id,
    overrides the card's. Returns what was found, the source, and what the ingest did: None if the source
    has this revision already. Raises HubError or SourceError, and the store is as it was.
    """
    remote = find_remote(name, config, license, say)
    called = source or "-".join([remote.repo.partition("/")[2], *([config] if config else [])])
    if store.exists() and not replacing:
        with open_store(store, read_only=True) as con:
            if holds(con, called, remote):
                return remote, called, None
    with tempfile.TemporaryDirectory(prefix="preceptor-") as folder:
        files = fetch(remote, Path(folder), say)
        with open_store(store, create=True) as con:
            return remote, called, pull(con, remote, files, called, replacing)


def pull(con: Store, remote: Remote, files: Sequence[Input], source: str, replacing: bool) -> IngestReport:
    """Ingest the files that were fetched, all or nothing.

    Raises SourceError, which names the dataset instead of the fetched file.
    """
    context = Context(source, remote.language)
    origin = Origin(remote.license, remote.url, remote.revision)
    try:
        return ingest(con, FORMAT, files, context, origin, replacing=replacing)
    except SourceError as error:
        text = str(error)
        for file in files:
            text = text.replace(str(file.path), f"{remote.place}: {file.name}")
        raise SourceError(text) from error


def _asked(call: Callable[[], T], repo: str, doing: str, say: Say) -> T:
    try:
        return call_patiently(call, say)
    except Exception as error:
        raise explain_error(error, repo, doing, _AGAIN) from error
