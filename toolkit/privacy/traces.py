"""Traces of people outside their own rows: completions in built datasets, and fits.

    build    completion 5f0c… of a person is in a dataset -> traces (person, completion, 5f0c…)
    fuse     a fit learnt from a person's vote            -> traces (person, fit, 91ab…)
    forget   the person's completions and fits            -> forgotten_rows, hashed; traces go
    folder   preference_meta/train.parquet: chosen_completion 5f0c… -> "texts in 1 row"

Traces outlive `ingest --replace`, which removes the rows that they were made from. Datasets are recognised
by the keys in their own rows, wherever their folder is: by what a dataset of that name has for what was
forgotten.
"""

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import duckdb
import polars as pl

from ...schemas.errors import StoreError
from ...schemas.manifest import MANIFEST, parse_manifest
from ...schemas.published import ALONE
from ...schemas.tables import FORGOTTEN_ROWS, SIGNALS, TRACES
from ..store.connection import Store, insert, open_files, query, run, run_over
from ..store.folders import find_store_file, locate_folder
from ..store.places import list_places
from ..store.quoting import quote_text
from .pseudonyms import FORM, write_mark_sql
from .published_keys import find_dataset_key, publish_marks

_USED = """SELECT chosen_completion AS key FROM kept
    UNION SELECT rejected_completion FROM kept WHERE rejected_completion IS NOT NULL"""
# Whose sentence it is, whose answers explain it, and who made the error that is a wrong option.
_OF_EXERCISES = """
WITH mine AS (SELECT x.* FROM exercises x SEMI JOIN kept k ON k.key = x.key AND k.config = 'exercises'),
wrong AS (SELECT key, language, error_type, unnest(distractors) AS answer FROM mine WHERE kind = 'choice')
SELECT s.learner AS person, m.key FROM mine m JOIN sentences s ON s.key = m.sentence
UNION SELECT c.author, m.key FROM mine m JOIN completions c ON c.key = m.completion
UNION SELECT c.author, m.key FROM (SELECT key, unnest(arms) AS arm FROM mine) m
    JOIN completions c ON c.key = m.arm
UNION SELECT s.learner, w.key FROM wrong w JOIN edits e ON e.error_type = w.error_type
    JOIN sentences s ON s.key = e.sentence AND s.language = w.language
        AND lower(array_to_string(s.tokens[e.start + 1 : e."end"], ' ')) = lower(w.answer)"""
_OF_FIT = "SELECT completion AS key FROM effectiveness WHERE fit = $fit"

_COLUMNS = {
    "completion": ("key", "chosen_completion", "rejected_completion", "completion", "other"),
    "fit": ("fit",),
    "name": ("person",),
    "person": ("person",),
}
"""Columns of a dataset's tables in which a trace of each kind stands; a name, where keys are the store's."""
_WORDS = {
    "completion": "texts",
    "fit": "labels learnt from the person's signals",
    "name": "signals",
    "person": "signals",
}

_UNRECORDED = "not known what: its build was killed before the store knew of it"


@dataclass(frozen=True)
class Traces:
    """Where traces of people are, and where they may be."""

    found: list[tuple[Path, str]] = field(default_factory=list)
    """(folder, what it holds)"""
    missing: list[tuple[Path, str]] = field(default_factory=list)
    """(folder, why it may hold traces) of each build whose folder is nowhere to be found."""


def remember_completions(con: Store) -> None:
    """Remember, for each person, which of their completions and exercises of their words `kept` has."""
    _remember(con, "completion", _select_writers(_USED), {})
    _remember(con, "completion", _OF_EXERCISES, {})


def remember_learners(con: Store) -> None:
    """Remember, for each learner of whom rows of `kept` say something, which completions these have."""
    _remember(con, "completion", _OF_LEARNERS, {})


_OF_LEARNERS = """SELECT * FROM (
    SELECT l.learner AS person, unnest([k.chosen_completion, k.rejected_completion]) AS key
    FROM kept k JOIN learners_told l ON l.prompt = k.prompt) WHERE key IS NOT NULL"""


def remember_fit(con: Store, fit: str) -> None:
    """Remember, for each person, that a fit learnt from their signals or from signals about their texts."""
    _remember(con, "fit", f"SELECT person, $fit AS key FROM ({_list_teachers()})", {"fit": fit})


def _select_writers(keys: str) -> str:
    """SELECT the people who wrote completions, or sentences that their prompts were made of: person, key."""
    return f"""SELECT c.author AS person, c.key FROM completions c SEMI JOIN ({keys}) u ON u.key = c.key
        UNION SELECT s.learner, c.key FROM completions c SEMI JOIN ({keys}) u ON u.key = c.key
        JOIN prompts q ON q.key = c.prompt JOIN sentences s ON s.key = q.ref"""


def _list_teachers() -> str:
    """SELECT the people whose signals, or signals about whose texts, the fit $fit may have learnt from."""
    said = [
        f"SELECT a.pseudonym AS person FROM {signal.name} s JOIN annotators a ON a.key = s.annotator"
        if signal.annotator
        else f"SELECT s.{signal.learner} AS person FROM {signal.name} s"
        for signal in SIGNALS
    ]
    heard = (
        f"{select} WHERE {' OR '.join(f's.{column} IN ({_OF_FIT})' for column in signal.completions)}"
        for select, signal in zip(said, SIGNALS, strict=True)
    )
    return " UNION ".join((*heard, f"SELECT person FROM ({_select_writers(_OF_FIT)})"))


def _remember(con: Store, kind: str, people: str, given: dict[str, Any]) -> None:
    select = f"""SELECT DISTINCT person, '{kind}' AS kind, key AS ref FROM ({people})
        WHERE regexp_matches(person, '{FORM}')"""
    insert(con, TRACES, query(con, select, given))


def mark_rows(con: Store, pseudonym: str, rows: dict[str, str], names: Iterable[str]) -> None:
    """Keep the hashes of a person's keys and of their names in datasets in `forgotten_rows`.

    `rows` are SELECTs of keys by kind; `names` are those of recipes, as each names people in its own way.
    """
    of_names = "SELECT unnest($names::VARCHAR[]) AS name"
    kinds = rows | {"name": f"SELECT left(sha256(name || ':' || $who), 16) AS key FROM ({of_names})"}
    for kind, keys in kinds.items():
        given = {"who": pseudonym} | ({"names": sorted(set(names))} if kind == "name" else {})
        marks = f"""SELECT {write_mark_sql("$who")} AS person, '{kind}' AS kind,
            {write_mark_sql("key")} AS "row" FROM ({keys})"""
        insert(con, FORGOTTEN_ROWS, query(con, marks, given))


def list_recipe_names(con: Store, look_in: Sequence[Path] = ()) -> list[str]:
    """List the names of recipes of all builds that the store knows and that lie in the folders."""
    known = query(con, "SELECT DISTINCT name FROM builds")["name"].to_list()
    return [*known, *(_read_name(manifest) for manifest in list_datasets(con, look_in).values())]


def _read_name(manifest: dict[str, Any]) -> str:
    return str(manifest["recipe"].get("name", ""))


def list_datasets(con: Store, look_in: Sequence[Path] = ()) -> dict[Path, dict[str, Any]]:
    """Find datasets: where the store's builds were written, also those that a killed process could not
    record, beside these, and anywhere inside `look_in`.

    Returns {folder: its manifest}.
    """
    outs = [
        locate_folder(con, out) for out in query(con, "SELECT DISTINCT out FROM builds ORDER BY 1")["out"]
    ]
    places = dict.fromkeys([*outs, *_list_noted(con)])
    for beside in dict.fromkeys(out.parent for out in outs):
        places |= dict.fromkeys(file.parent for file in sorted(beside.glob(f"*/{MANIFEST}")))
    for top in look_in:
        places |= dict.fromkeys(file.parent for file in sorted(top.absolute().rglob(MANIFEST)))
    found = {}
    for folder in places:
        file = folder / MANIFEST
        manifest = parse_manifest(file.read_bytes()) if file.is_file() else None
        if manifest is not None:
            found[folder] = manifest
    return found


def find_traces(con: Store, mark: str, look_in: Sequence[Path] = ()) -> Traces:
    """Find the datasets with rows of a forgotten person, by the hash in `forgotten`.

    A build is missing if rows of the person may be in it, and no dataset was found with its files: its folder
    was moved or deleted.
    """
    rows = read_forgotten(con, mark)
    datasets = list_datasets(con, look_in)
    unrecorded = _list_unrecorded(con, datasets)
    described = (
        (
            folder,
            describe_traces(rows, list_tables(folder), manifest)
            or (_UNRECORDED if folder in unrecorded else ""),
        )
        for folder, manifest in datasets.items()
    )
    there = {json.dumps(manifest["files"], sort_keys=True) for manifest in datasets.values()}
    builds = query(
        con,
        f"""SELECT out, recipe, digests, {write_mark_sql("fit")} AS fit FROM builds WHERE replaced_at IS NULL
        ORDER BY built_at, key""",
    ).to_dicts()
    missing = {
        locate_folder(con, build["out"]): what
        for build in builds
        if json.dumps(json.loads(build["digests"]), sort_keys=True) not in there
        and (what := _guess_traces(rows, build))
    }
    return Traces([(folder, what) for folder, what in described if what], list(missing.items()))


def read_forgotten(con: Store, mark: str | None = None) -> pl.DataFrame:
    """Read by what rows of forgotten people, or of one by their hash, are known: columns kind and row."""
    return query(
        con,
        """SELECT DISTINCT kind, "row" FROM (SELECT person, kind, "row" FROM forgotten_rows
            UNION ALL SELECT person, 'person', person FROM forgotten)
            WHERE $mark IS NULL OR person = $mark""",
        {"mark": mark},
    )


def _list_unrecorded(con: Store, datasets: dict[Path, dict[str, Any]]) -> set[Path]:
    """List the datasets that a process wrote which was killed before it could record the build."""
    known = {
        json.dumps(json.loads(files), sort_keys=True)
        for files in query(con, "SELECT digests FROM builds")["digests"]
    }
    return {
        folder
        for folder in _list_noted(con)
        if folder in datasets and json.dumps(datasets[folder]["files"], sort_keys=True) not in known
    }


def _list_noted(con: Store) -> list[Path]:
    store = find_store_file(con)
    return [Path(out) for out, what in (list_places(store) if store else {}).items() if what == "dataset"]


def _guess_traces(rows: pl.DataFrame, build: dict[str, Any]) -> str:
    """Say what a build may hold of a person whose marks are `rows`; empty if nothing."""
    kinds = set(rows["kind"])
    may = {
        "completion": "completion" in kinds,
        "fit": build["fit"] in rows.filter(kind="fit")["row"],
        "person": "person" in kinds and "signals" in json.loads(build["recipe"])["configs"],
    }
    return " and ".join(_WORDS[kind] for kind, maybe in may.items() if maybe)


def list_tables(folder: Path) -> list[Path]:
    """List the files of a dataset that say where its rows come from."""
    alone = {file for config in ALONE for file in folder.glob(f"{config}/*.parquet")}
    return sorted({*folder.glob("*_meta/*.parquet"), *alone})


def describe_traces(rows: pl.DataFrame, tables: Sequence[Path], manifest: dict[str, Any]) -> str:
    """Describe what tables of a dataset hold of forgotten people; empty if nothing.

    `rows` has the columns kind and row of `read_forgotten`.
    """
    if rows.is_empty() or not tables:
        return ""
    try:
        key = find_dataset_key(manifest)
    except StoreError as error:
        return f"not known what: {error}"
    counts = dict.fromkeys(_COLUMNS, 0)
    with open_files(tables) as memory:
        run_over(memory, publish_marks(memory, rows, key), "CREATE TABLE gone AS FROM incoming")
        for table in tables:
            try:
                for kind, n in _count(memory, table).items():
                    counts[kind] += n
            except duckdb.Error:
                return f"not known what: {table.name} cannot be read"
    said = dict.fromkeys(_WORDS.values(), 0)
    for kind, n in counts.items():
        said[_WORDS[kind]] += n
    return " and ".join(f"{word} in {n:,} row{'s' if n > 1 else ''}" for word, n in said.items() if n)


def _count(memory: Store, table: Path) -> dict[str, int]:
    """Count the rows of a table that hold traces, by kind."""
    source = f"read_parquet({quote_text(str(table))})"
    there = {row[0] for row in run(memory, f"DESCRIBE FROM {source}")}
    asked = {kind: [name for name in names if name in there] for kind, names in _COLUMNS.items()}
    sums = {
        kind: " OR ".join(
            f"""coalesce({write_mark_sql(f'"{name}"')} IN (
                SELECT "row" FROM gone WHERE kind = '{kind}'), false) OR coalesce("{name}" IN (
                SELECT published FROM gone WHERE kind = '{kind}' AND published IS NOT NULL), false)"""
            for name in names
        )
        for kind, names in asked.items()
        if names
    }
    (counted,) = run(
        memory, f"SELECT {', '.join(f'count_if({where})' for where in sums.values())} FROM {source}"
    )
    return dict(zip(sums, counted, strict=True))
