"""Read held-out prompts of a built dataset, from its folder or from the Hub.

dist/gec/sft/test.parquet       prompt, completion: rows of the same prompt are its references
dist/gec/sft_meta/test.parquet  the same rows in the same order: group
dist/gec/manifest.json          digests, and the instruction that the recipe puts around the source
"""

import hashlib
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import polars as pl

from ...annotation.models.backends.backend import Say
from ...schemas.errors import EvaluationError
from ...schemas.keys import hash_key_sql
from ...schemas.manifest import parse_manifest
from ...schemas.support.files import MANIFEST, find_leading_out, hash_file
from ...schemas.support.nearest import suggest
from ..dataset.folder import read_manifest
from ..store.connection import open_scratch, query
from .config import EvaluationSettings
from .metrics.statistics import Item

_COLUMNS = {"sft": ("prompt", "completion"), "preference": ("prompt", "chosen", "rejected")}
_AGAIN = "build it again (preceptor build RECIPE --out DIR)"


@dataclass(frozen=True)
class HeldOut:
    """The prompts that models are asked, and their origin."""

    items: tuple[Item, ...]
    of: int
    """Number of prompts of the split, from which the items were drawn."""
    name: str
    """Name of the recipe of a built folder, or repository on the Hub."""
    config: str
    split: str
    repo: str | None
    """Repository on the Hub; None for a folder."""
    revision: str | None
    """Commit on the Hub; None for a folder."""
    digest: str
    """sha256 of the build's manifest, which lists those of its files; of the rows if there is no manifest."""

    def describe(self) -> dict[str, Any]:
        """Describe the dataset for metrics.json."""
        return {
            "name": self.name,
            "config": self.config,
            "split": self.split,
            "repo": self.repo,
            "revision": self.revision,
            "digest": self.digest,
            "prompts": self.of,
            "drawn": len(self.items),
        }


@dataclass(frozen=True)
class _Read:
    """Rows of a split with their group, if the metadata has one, and the recipe that made them."""

    rows: pl.DataFrame
    recipe: Mapping[str, Any]
    name: str
    digest: str
    repo: str | None = None
    revision: str | None = None


def read_held_out(wanted: EvaluationSettings, say: Say = lambda _: None) -> HeldOut:
    """Read the prompts of an evaluation's dataset; `say` is called while the Hub is busy.

    Raises StoreError, HubError or EvaluationError if dataset, config or split are missing, changed since the
    build, or lack a column.
    """
    folder = Path(wanted.dataset_name)
    if folder.is_dir():
        found = _folder(folder, wanted.dataset_config, wanted.split)
    elif wanted.dataset_revision:
        found = _hub(wanted.dataset_name, wanted.dataset_revision, wanted.dataset_config, wanted.split, say)
    else:
        raise EvaluationError(
            f"{folder}: no such folder here; preceptor build writes one. If it is on the Hub, pin its "
            "commit: --set dataset_revision=COMMIT"
        )
    prompts, of = _prompts(found.rows, wanted)
    digest = found.digest or hashlib.sha256(found.rows.write_ndjson().encode()).hexdigest()
    instructions = _instructions(found.recipe)
    items = tuple(_item(row, instructions) for row in prompts.iter_rows(named=True))
    return HeldOut(
        items, of, found.name, wanted.dataset_config, wanted.split, found.repo, found.revision, digest
    )


def _folder(folder: Path, config: str, split: str) -> _Read:
    """Read a split of a built folder; its files must match the manifest."""
    manifest = read_manifest(folder)
    counts = manifest["counts"]
    if config not in counts:
        raise EvaluationError(
            f"{folder}: has no config {config}, but {', '.join(counts)}; add it to configs of the recipe and "
            "build again, or choose with --set dataset_config"
        )
    _check_split(str(folder), config, split, list(counts[config]))
    parts = []
    for table in (config, f"{config}_meta"):
        named = re.compile(rf"{table}/{split}(-[^/]*)?[.]parquet")
        files = {name: sha for name, sha in sorted(manifest["files"].items()) if named.fullmatch(name)}
        if out := find_leading_out(folder, files):
            raise EvaluationError(f"{folder}: {out[0]} leads out of the folder; {_AGAIN}")
        for name, sha in files.items():
            file = folder / name
            if not file.is_file() or hash_file(file) != sha:
                state = "changed since the build" if file.is_file() else "missing"
                raise EvaluationError(f"{file}: {state}; {_AGAIN}")
        parts.append(pl.read_parquet([folder / name for name in files]) if files else pl.DataFrame())
    rows = _shaped(parts[0], parts[1], f"{folder} ({config})", config)
    digest = hashlib.sha256((folder / MANIFEST).read_bytes()).hexdigest()
    return _Read(rows, manifest["recipe"], str(manifest["recipe"].get("name", folder.name)), digest)


def _hub(repo: str, revision: str, config: str, split: str, say: Say) -> _Read:
    """Read a split of a dataset on the Hub at the commit of a revision."""
    import datasets
    from huggingface_hub import hf_hub_download
    from huggingface_hub.errors import EntryNotFoundError

    from ..hub.client import call_patiently, check_repo_id, connect, explain_error

    check_repo_id(repo)
    api = connect()
    datasets.disable_progress_bars()

    def asked(call: Callable[[], Any], doing: str) -> Any:
        try:
            return call_patiently(call, say)
        except EntryNotFoundError:
            raise
        except Exception as error:
            raise explain_error(error, f"{repo}@{revision}", doing, "run the same command again") from error

    commit = str(asked(lambda: api.dataset_info(repo, revision=revision), "reading it").sha)
    try:
        file = asked(lambda: hf_hub_download(repo, MANIFEST, repo_type="dataset", revision=commit), "reading")
        content = Path(file).read_bytes()
    except EntryNotFoundError:
        content = b""
    configs = asked(lambda: datasets.get_dataset_config_names(repo, revision=commit), "reading its configs")
    table = "default" if configs == ["default"] else config
    if table not in configs:
        raise EvaluationError(
            f"{repo}: has no config {config}, but {', '.join(configs)}; choose with --set dataset_config"
        )

    def part(name: str) -> pl.DataFrame:
        if name not in configs:
            return pl.DataFrame()
        known = asked(lambda: datasets.get_dataset_split_names(repo, name, revision=commit), "reading splits")
        _check_split(repo, name, split, known)
        read = asked(
            lambda: datasets.load_dataset(repo, name, split=split, revision=commit), f"loading {name}"
        )
        made: pl.DataFrame = read.to_polars()
        return made

    rows = _shaped(part(table), part(f"{config}_meta"), f"{repo} ({table})", config)
    manifest = parse_manifest(content)
    digest = hashlib.sha256(content).hexdigest() if manifest else ""
    return _Read(rows, (manifest or {}).get("recipe", {}), repo, digest, repo, commit)


def _check_split(where: str, config: str, split: str, known: list[str]) -> None:
    if split not in known:
        hint = suggest(split, known, "it has")
        raise EvaluationError(f"{where}: config {config} has no split '{split}': {hint} (--set split=NAME)")


def _shaped(rows: pl.DataFrame, meta: pl.DataFrame, where: str, config: str) -> pl.DataFrame:
    """Select the columns used and add `group` from the metadata if it describes the same rows, else null."""
    wanted = _COLUMNS[config]
    if missing := [name for name in wanted if name not in rows.columns]:
        raise EvaluationError(
            f"{where}: needs {', '.join(missing)}, but the columns are {', '.join(rows.columns) or 'none'}; "
            "choose with --set dataset_config"
        )
    if rows.is_empty():
        raise EvaluationError(f"{where}: the split has no rows; choose another with --set split=NAME")
    if "group" in meta.columns and meta.height == rows.height:
        return rows.select(wanted).with_columns(meta["group"].cast(pl.String))
    return rows.select(wanted).with_columns(pl.lit(None, pl.String).alias("group"))


def _prompts(rows: pl.DataFrame, wanted: EvaluationSettings) -> tuple[pl.DataFrame, int]:
    """Draw prompts (key, group, messages, references, rejected), one row each; count those of the split.

    Rows are in the order of the draw: fewer prompts are the first of more.
    """
    plain = rows.schema["prompt"] == pl.String
    given = (
        "[{'role': 'user', 'content': prompt}]"
        if plain
        else "[{'role': m.role, 'content': coalesce(m.content, '')} FOR m IN prompt]"
    )

    def text(name: str) -> str:
        content = name if rows.schema[name] == pl.String else f"{name}[-1].content"
        return f"list(coalesce({content}, '') ORDER BY nth)"

    good, *bad = _COLUMNS[wanted.dataset_config][1:]
    rejected = text(bad[0]) if bad else "[]::VARCHAR[]"
    select = f"""WITH asked AS (SELECT * EXCLUDE prompt, {given} AS messages FROM split_rows),
        keyed AS (SELECT *, {hash_key_sql(["messages"])} AS key FROM asked)
        SELECT key, coalesce(min("group"), key) AS "group", any_value(messages) AS messages,
            {text(good)} AS "references", {rejected} AS rejected
        FROM keyed GROUP BY key ORDER BY md5($seed || ':' || key), key LIMIT $n"""
    with open_scratch() as con:
        con.register("split_rows", rows.with_row_index("nth").to_arrow())
        found = query(con, select, {"seed": str(wanted.seed), "n": wanted.prompts or rows.height})
        of = query(con, f"SELECT count(DISTINCT {given}) FROM split_rows").item()
        con.unregister("split_rows")
    return found, int(of)


def _instructions(recipe: Mapping[str, Any]) -> list[tuple[re.Pattern[str], str]]:
    """Compile the recipe's instructions to patterns of a source, longest first, each with its language."""
    language = str(recipe.get("language") or "und")
    worded = {str(text): str(tag) for tag, text in (recipe.get("instructions") or {}).items()}
    worded.setdefault(str(recipe.get("instruction") or "{prompt}"), language)
    made = []
    for text in sorted(worded, key=len, reverse=True):
        first, *more = text.split("{prompt}")
        again = "(?P=source)".join(map(re.escape, more))
        made.append((re.compile(f"{re.escape(first)}(?P<source>.*){again}", re.DOTALL), worded[text]))
    return made


def _item(row: Mapping[str, Any], instructions: list[tuple[re.Pattern[str], str]]) -> Item:
    last = row["messages"][-1]["content"] if row["messages"] else ""
    found = ((pattern.fullmatch(last), language) for pattern, language in instructions)
    source, language = next(((m["source"], tag) for m, tag in found if m), (last, "und"))
    return Item(
        row["key"],
        row["group"],
        tuple(row["messages"]),
        source,
        tuple(row["references"]),
        tuple(row["rejected"]),
        language,
    )
