"""`preceptor pull`: a dataset on the Hub -> a source of the store, read as the format `chat` is.

    lab/tutor-preferences@v1.2.0  config preference        of our own builds, the `preference_meta`
    prompt, chosen, rejected                               beside it gives each row its task and group
    trl-lib/ultrafeedback_binarized
    chosen, rejected                                       the prompt is what the two share

Rows are read as `ingest chat` reads them, whatever their shape. Equal rows of several splits are read once:
some datasets hold the same rows as train_sft and as train_prefs. One config is pulled, by default the card's
default: the other configs of a build are made of the same judgements, which must not count twice. Rows come
from CONFIG/SPLIT.parquet, so `path` in the store shows the split. The source's licence is the card's, its
revision the commit.
"""

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, TypeVar

import datasets

from ...schemas.allowance import Allowance
from ...schemas.errors import HubNameError, SourceError
from ...schemas.licenses import HUB_NAMES, License, read_license
from ..ingest.batch import Context
from ..ingest.files.numbered_lines import Input
from ..ingest.formats import FORMATS
from ..ingest.formats.find_files import find_inputs
from ..ingest.preferences.chats.reader import COLUMNS
from ..ingest.preferences.chats.rows import check_map
from ..ingest.run import IngestReport, Origin, ingest
from ..store.connection import Store, open_store, query, run
from ..store.places import hold_temporary_folder
from ..store.quoting import quote_text
from ..store.spool import open_spool
from .client import Say, call_patiently, check_repo_id, connect, explain_error, get_endpoint
from .load import load_config

FORMAT = FORMATS["chat"]
_ABOUT = ("id", "group", "task", "language")
_OF_META = ("task", "group")
_AGAIN = "nothing was stored; run the same command again"
T = TypeVar("T")


@dataclass(frozen=True)
class Reading:
    """What of a dataset is read, and how."""

    config: str | None = None  # by default the card's default
    splits: tuple[str, ...] = ()  # by default all
    license: str | None = None  # SPDX id, by default the card's
    language: str | None = None  # BCP 47 code, by default the card's
    columns: dict[str, str] = field(default_factory=dict)  # our fields -> the dataset's
    levels: int | None = None  # of ratings whose number of levels the rows do not state
    max_unpacked: int | None = None  # bytes that its files may unpack to; by default by their size


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
    notes: tuple[str, ...] = ()  # about the card and the splits

    @property
    def place(self) -> str:
        """The dataset and the first digits of its commit, for messages."""
        return f"{self.repo}@{self.revision[:8]}"


def find_remote(name: str, reading: Reading, say: Say) -> Remote:
    """Find the dataset REPO_ID or REPO_ID@REVISION.

    Raises HubError if there is no such dataset, config or split, SourceError if the licence is unknown.
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
    config = reading.config
    chosen = config or default
    if chosen not in configs:
        which = f"has no config '{config}'" if config else "has several configs and none is the default"
        raise HubNameError(f"{repo}: {which}; name one with --config: {', '.join(configs)}")
    if reading.splits:
        _check_splits(repo, commit, chosen, reading.splits, say)
    language = reading.language or _language(card.get("language"))
    url = f"{get_endpoint()}/datasets/{repo}" + (f"/viewer/{config}" if config else "")
    if reading.splits:
        url += f"{'' if config else f'/viewer/{chosen}'}/{'+'.join(sorted(set(reading.splits)))}"
    return Remote(
        repo,
        commit,
        chosen,
        f"{chosen}_meta" in configs,
        url,
        language,
        read_license(reading.license) if reading.license else read_card_license(card),
        tuple(_missing_facts(card, language, info.siblings or [])),
    )


def _check_splits(repo: str, commit: str, config: str, wanted: Sequence[str], say: Say) -> None:
    """Raise HubNameError unless the config has these splits."""

    def names() -> list[str]:
        return list(datasets.get_dataset_split_names(repo, config, revision=commit))

    there = _asked(names, repo, "reading its splits", say)
    for split in wanted:
        if split not in there:
            raise HubNameError(
                f"{repo}: config {config} has no split '{split}'; name one with --split: {', '.join(there)}"
            )


def _missing_facts(card: dict[str, Any], language: str, files: Sequence[Any]) -> Iterator[str]:
    """Say what the dataset does not state about its rows."""
    if not any(file.rfilename == "README.md" for file in files):
        yield "it has no card (README.md): neither licence nor language is stated (--license, --language)"
    elif language == "und":
        said = card.get("language")
        what = f"names several languages ({', '.join(map(str, said))})" if said else "names no language"
        yield f"its card {what}, so the rows have none (und); --language says which it is"


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


def fetch(
    remote: Remote,
    folder: Path,
    say: Say,
    splits: Sequence[str] = (),
    max_unpacked: int | None = None,
) -> tuple[list[Input], list[str]]:
    """Fetch the rows as CONFIG/SPLIT.parquet in `folder`, with all columns; also returns notes about them.

    The reader names the columns that it does not use. Raises HubError if the download fails.
    """
    rows = _load(remote, remote.config, folder, say, Allowance(max_unpacked))
    about = f"{remote.config}_meta"
    meta = _load(remote, about, folder, say, Allowance(max_unpacked)) if remote.meta else {}
    place = folder / "rows" / remote.config
    place.mkdir(parents=True)
    notes = []
    for split, part in rows.items():
        if splits and split not in splits:
            continue
        of = meta.get(split)
        if remote.meta and (of is None or len(of) != len(part)):
            notes.append(f"{about} does not fit split {split}: its rows have neither task nor group")
        _with_meta(part, of).to_parquet(place / f"{split}.parquet")
    notes += _drop_equal_rows(sorted(place.glob("*.parquet")))
    return find_inputs(FORMAT, [folder / "rows"]), notes


def _drop_equal_rows(files: Sequence[Path]) -> list[str]:
    """Drop rows that equal a row of an earlier split; also says how many, and of which split."""
    notes = []
    with open_spool([*files, *(f"{file}.left" for file in files)]) as con:
        run(con, "CREATE TABLE seen (split VARCHAR, row_hash UHUGEINT)")
        for file in files:
            place, left = quote_text(str(file)), f"{file}.left"
            rows = f"(SELECT *, md5_number(to_json(r)::VARCHAR) AS row_hash FROM read_parquet({place}) r)"
            run(con, f"CREATE OR REPLACE TABLE here AS SELECT row_hash FROM {rows}")
            again = run(
                con,
                """SELECT split, count(*) FROM here JOIN
                (SELECT row_hash, min(split) AS split FROM seen GROUP BY row_hash) USING (row_hash)
                GROUP BY split ORDER BY split""",
            )
            if again:
                run(
                    con,
                    f"""COPY (SELECT * EXCLUDE (row_hash) FROM {rows}
                    WHERE row_hash NOT IN (SELECT row_hash FROM seen))
                    TO {quote_text(left)} (FORMAT parquet)""",
                )
                Path(left).replace(file)
            notes += [
                f"{n:,} rows of split {file.stem} equal rows of split {split}: read once, as that one's"
                for split, n in again
            ]
            run(con, "INSERT INTO seen SELECT ?, row_hash FROM here", [file.stem])
    return notes


def _load(remote: Remote, config: str, folder: Path, say: Say, allowance: Allowance) -> Any:
    def load() -> Any:
        return load_config(remote.repo, config, remote.revision, folder, allowance)

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
    replacing: bool = False,
    say: Say = lambda _: None,
    **how: Any,
) -> tuple[Remote, str, IngestReport | None]:
    """Read a dataset of the Hub into a source of the store file, which is made if it is not there.

    `name` is REPO_ID or REPO_ID@REVISION; `source` is by default the dataset's name; `how` are fields of
    `Reading`, such as config, splits or license. Returns what was found, the source, and what the ingest did:
    None if the source has this revision already. Raises HubError or SourceError, and the store is as it was.
    """
    reading = Reading(**how)
    check_map(reading.columns, COLUMNS)
    remote = find_remote(name, reading, say)
    config = reading.config
    called = source or "-".join([remote.repo.partition("/")[2], *([config] if config else [])])
    if store.exists() and not replacing:
        with open_store(store, read_only=True) as con:
            if holds(con, called, remote):
                return remote, called, None
    with hold_temporary_folder(store) as folder:
        files, notes = fetch(remote, folder, say, reading.splits, reading.max_unpacked)
        remote = replace(remote, notes=(*remote.notes, *notes))
        there = store.exists()
        try:
            with open_store(store, create=True) as con:
                return remote, called, pull(con, remote, files, called, replacing, reading)
        except SourceError:
            if not there:
                store.unlink(missing_ok=True)  # the empty one that was made for this dataset
            raise


def pull(
    con: Store,
    remote: Remote,
    files: Sequence[Input],
    source: str,
    replacing: bool,
    reading: Reading,
) -> IngestReport:
    """Ingest the files that were fetched, all or nothing.

    Raises SourceError, which names the dataset instead of the fetched file.
    """
    context = Context(
        source,
        remote.language,
        columns=reading.columns,
        levels=reading.levels,
        max_unpacked=reading.max_unpacked,
    )
    origin = Origin(remote.license, remote.url, remote.revision)
    try:
        return ingest(con, FORMAT, files, context, origin, replacing=replacing, notes=remote.notes)
    except SourceError as error:
        text = str(error)
        for file in files:
            text = text.replace(str(file.path), f"{remote.place}: {file.name}")
        raise SourceError(text) from error


def _asked(call: Callable[[], T], repo: str, doing: str, say: Say) -> T:
    try:
        return call_patiently(call, say)
    except SourceError:
        raise
    except Exception as error:
        raise explain_error(error, repo, doing, _AGAIN) from error
