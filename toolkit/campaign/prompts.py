"""Choose the prompts for a model by a SELECT, a recipe, or their source, task and language.

choose_prompts(con, "SELECT key FROM prompts WHERE source = 'bridge'")
choose_prompts(con, "recipes/mnemonic/dataset.yaml")      # the last message worded as the recipe says
"""

import re
from pathlib import Path
from typing import Any

import duckdb
import polars as pl

from ...schemas.errors import AnnotationError
from ...schemas.recipe import Recipe, read_recipe
from ...schemas.support.nearest import suggest
from ..dataset.choose.pairs import assign_part_sql
from ..store.connection import Store, query
from ..store.where import EVERYWHERE, Where, check_where, match_where

CANDIDATES, REJECTED = "candidates", "rejected-candidates"
_PROMPTS = """SELECT key, messages, context, "group", language, task, source FROM prompts"""


def choose_prompts(
    con: Store, prompts: str | None, where: Where = EVERYWHERE, purpose: str = CANDIDATES
) -> pl.DataFrame:
    """Choose prompts by a SELECT, by a recipe's YAML file or, if `prompts` is None, by `where`.

    Columns: key, messages, context, group, language, task, source. Raises AnnotationError if `prompts` is
    neither a SELECT nor a recipe, both are given, or no prompt is chosen.
    """
    if prompts is None:
        return filter_prompts(con, where)
    if given := where.name_options("--source-of"):
        raise AnnotationError(
            f"{given[0][0]} is for when --prompts is left out; say it in the SELECT or the recipe"
        )
    if re.match(r"(select|from|with)\b", prompts.strip(), re.IGNORECASE):
        return select_prompts(con, prompts)
    if not prompts.endswith((".yaml", ".yml")) and not Path(prompts).is_file():
        raise AnnotationError(
            f"--prompts '{prompts}': expected a SELECT, such as \"SELECT key FROM prompts "
            "WHERE source = 'bridge'\", or a recipe's YAML"
        )
    return read_recipe_prompts(con, Path(prompts), purpose)


def select_prompts(con: Store, sql: str) -> pl.DataFrame:
    """Select prompts whose keys a SELECT gives, in its order, each once; columns as of `choose_prompts`.

    Raises AnnotationError unless it is a single SELECT with a column `key` of prompts' keys.
    """
    try:
        statements = con.extract_statements(sql)
        if len(statements) != 1 or statements[0].type != duckdb.StatementType.SELECT:
            raise AnnotationError("--prompts: expected one SELECT, such as SELECT key FROM prompts")
        found = query(con, statements[0].query)
    except duckdb.Error as error:
        raise AnnotationError(f"--prompts: {str(error).strip()}") from error
    if "key" not in found.columns:
        hint = suggest("key", found.columns, "it has")
        raise AnnotationError(f"--prompts: the SELECT has no column 'key', keys of prompts; {hint}")
    keys = found.select(pl.col("key").cast(pl.String)).drop_nulls().unique(maintain_order=True)
    rows = _in_order(con, keys)
    if rows.height < keys.height:
        lost = keys.join(rows, on="key", how="anti")["key"]
        raise AnnotationError(
            f"--prompts: {len(lost):,} of {keys.height:,} keys are no prompts, such as '{lost[0]}'; "
            "of completions select prompt AS key"
        )
    return _some(rows, "the SELECT gives no rows")


def filter_prompts(con: Store, where: Where = EVERYWHERE) -> pl.DataFrame:
    """Select the prompts of sources, a task, a language, like `select_prompts`; all by default.

    Raises AnnotationError for a value without prompts, with the nearest known one.
    """
    check_where(con, where, "--source-of")
    return _some(_filtered(con, where), "no prompt is of all that was asked for")


def read_recipe_prompts(con: Store, path: Path, purpose: str) -> pl.DataFrame:
    """Read the prompts that a recipe builds from, worded as it says; columns as of `choose_prompts`.

    For rejected candidates those of its pairs. Raises AnnotationError if there are none.
    """
    recipe = read_recipe(path)
    also = "true" if purpose == CANDIDATES else f"{assign_part_sql(recipe)} <> 'sft'"
    rows = _filtered(con, Where(tuple(recipe.sources), recipe.task), also)
    return _worded(_some(rows, f"{path}: no prompts of its sources and task"), recipe)


def _filtered(con: Store, where: Where, also: str = "true") -> pl.DataFrame:
    sql = f"{_PROMPTS} WHERE {also} AND {match_where()} ORDER BY source, path, line, key"
    return query(con, sql, where.parameters)


def _in_order(con: Store, keys: pl.DataFrame) -> pl.DataFrame:
    con.register("keys", keys.with_row_index("nth").to_arrow())
    try:
        return query(con, f"SELECT p.* FROM ({_PROMPTS}) p JOIN keys USING (key) ORDER BY nth")
    finally:
        con.unregister("keys")


def _some(rows: pl.DataFrame, none: str) -> pl.DataFrame:
    if rows.is_empty():
        raise AnnotationError(f"--prompts: {none}; preceptor status lists what the store holds")
    return rows


def _worded(rows: pl.DataFrame, recipe: Recipe) -> pl.DataFrame:
    """Word the last message as the recipe does, since a model will be trained on that."""

    def word(row: dict[str, Any]) -> list[dict[str, str]]:
        *before, last = row["messages"]
        text = recipe.find_wording(row["language"]).replace("{prompt}", last["content"], 1)
        return [*before, {"role": last["role"], "content": text}]

    worded = [word(row) for row in rows.select("messages", "language").iter_rows(named=True)]
    return rows.with_columns(pl.Series("messages", worded, rows.schema["messages"]))
