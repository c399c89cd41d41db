"""Run gates again on the folder of a built dataset: what its manifest says of them may be anybody's word.

    dist/gec/preference/train.parquet, preference_meta/…, sft/…, unpaired/… -> `kept` -> gates

Run again are those that need the rows alone: contents, leaks (without benchmarks, which are files of whoever
built), licence, privacy, small groups, hygiene, and of replies the marks in texts. Not run again are
convergence, and what needs the trainer's tokenizer.
"""

from pathlib import Path
from typing import Any

from ...schemas.derive import derive_sql_types
from ...schemas.errors import RecipeError
from ...schemas.published import ALONE
from ...schemas.recipe import Recipe
from ...schemas.tables import Table
from ..dataset.choose.exercises import TEXTS
from ..dataset.folder import list_shards, select_rows
from ..dataset.gates import hygiene, privacy, replies
from ..dataset.gates.contents import check_contents
from ..dataset.gates.gate import GateResult, Inputs
from ..dataset.gates.leaks import leaks as leaks_gate
from ..dataset.gates.licence import check_licence
from ..dataset.gates.run import read_gate_settings
from ..dataset.steps import KEPT, SIGNALS_KEPT
from ..store.connection import Store, query, run
from ..store.quoting import quote_name
from ..store.spool import open_spool
from ..store.temporary import make

_PAIRS = ("preference", "soft")
_LAST = "{0}[-1].content"
_LICENSES = "if(license = '', []::VARCHAR[], string_split(license, ' AND '))"


def check_folder(folder: Path, manifest: dict[str, Any]) -> list[GateResult]:
    """Run gates again on the rows of a built folder, by the recipe in its manifest.

    Raises RecipeError if that is no recipe, StoreError if a file is not where it should be.
    """
    recipe = _read_recipe(manifest)
    settings = read_gate_settings(recipe)
    configs = [name for name in (*_PAIRS, "sft", "unpaired") if name in manifest["counts"]]
    tables = [*configs, *(f"{name}_meta" for name in configs), *ALONE]
    files = {name: list_shards(folder, name) for name in tables}
    with open_spool([file for found in files.values() for file in found]) as con:
        make(con, KEPT)
        for config in configs:
            if config != "unpaired" and files[config]:
                _take(con, config, files)
        if files["exercises"]:
            rows = f"({select_rows(files['exercises'])})"
            given = TEXTS | {
                "config": "'exercises'",
                "licenses": _LICENSES,
                "made": "kind",
                "task": "'exercise'",
            }
            run(con, f"INSERT INTO kept BY NAME {_select(KEPT, rows, con, given)}")
        inputs = Inputs(recipe, None, {})
        found = [
            check_contents(con, {}),
            leaks_gate.check_leaks(
                con,
                [recipe.instruction, *recipe.instructions.values()],
                recipe.leaks.near,
                "sft" in recipe.configs and not recipe.splits.shared,
            ),
            hygiene.GATE.check(con, Inputs(recipe, None, {}, settings["hygiene"])),
        ]
        if files.get("unpaired"):
            _take(con, "unpaired", files)
        found += [
            check_licence(con, recipe.publish_under),
            _check_sources(con, manifest),
            privacy.TEXTS_GATE.check(con, inputs),
            _check_marks(con, manifest),
        ]
        if files["signals"]:
            make(con, SIGNALS_KEPT, _select(SIGNALS_KEPT, f"({select_rows(files['signals'])})", con, {}))
            found.append(privacy.check_small_groups(con, recipe.privacy.learners))
    return found


def _read_recipe(manifest: dict[str, Any]) -> Recipe:
    plain = Recipe(name="plain").model_dump(mode="json")
    try:
        said = manifest["recipe"]
        return Recipe.model_validate(_leave_out(said, plain) | {"name": said["name"]})
    except ValueError as error:
        said = " ".join(str(error).split())[:200]
        raise RecipeError(f"the recipe in its manifest cannot be read: {said}") from error


def _leave_out(given: dict[str, Any], plain: dict[str, Any]) -> dict[str, Any]:
    """Leave out the keys that have their default: a recipe that states them may be refused for it."""
    return {
        key: _leave_out(value, inner)
        if isinstance(value, dict) and isinstance(inner := plain.get(key), dict)
        else value
        for key, value in given.items()
        if key not in plain or value != plain[key]
    }


def _take(con: Store, config: str, files: dict[str, list[str]]) -> None:
    """Add the rows of a config to `kept`, with the facts of its _meta table beside them."""
    texts, meta = f"({select_rows(files[config])})", f"({select_rows(files[f'{config}_meta'])})"
    rows = f"""(SELECT t.* EXCLUDE (filename, split), m.* EXCLUDE (
        {", ".join(n for n in ("filename", "file", "file_row_number", "p") if n in _list(con, meta))})
        FROM {texts} t JOIN {meta} m USING (file, file_row_number))"""
    there = _list(con, texts)
    plain = there["prompt"] == "VARCHAR"

    def said(name: str) -> str:
        return name if plain else _LAST.format(name)

    given = {
        "config": f"'{config}'",
        "messages": "[{'role': 'user', 'content': prompt}]" if plain else "prompt",
        "chosen_content": said("chosen" if "chosen" in there else "completion"),
        "rejected_content": said("rejected") if "rejected" in there else "NULL",
        "licenses": _LICENSES,
        "chosen_completion": "chosen_completion" if config in _PAIRS else "key",
        "language": "'und'",
    }
    where = "WHERE key NOT IN (SELECT key FROM kept WHERE config = 'preference')" if config == "soft" else ""
    run(con, f"INSERT INTO kept BY NAME {_select(KEPT, rows, con, given)} {where}")


def _list(con: Store, rows: str) -> dict[str, str]:
    """List the columns of rows with their types."""
    return {name: kind for name, kind, *_ in run(con, f"DESCRIBE SELECT * FROM {rows}")}


def _select(table: Table, rows: str, con: Store, given: dict[str, str]) -> str:
    """Write the SELECT of a table's columns: as given, as the rows have them, or null."""
    there = _list(con, rows)
    columns = (
        f"({given.get(name) or (one if name in there else 'NULL')})::{kind} AS {one}"
        for name, kind in derive_sql_types(table).items()
        for one in (quote_name(name),)
    )
    return f"SELECT {', '.join(columns)} FROM {rows}"


def _check_sources(con: Store, manifest: dict[str, Any]) -> GateResult:
    """Check that the licence of each row is that of its sources, as the manifest names them."""
    stated = {str(one["name"]): str(one["license"]) for one in manifest.get("sources", [])}
    rows = query(con, "SELECT sources, license, count(*) AS n FROM kept GROUP BY ALL").rows()
    wrong = sum(
        n
        for names, said, n in rows
        if said != " AND ".join(sorted({stated.get(name, "not stated") for name in names}))
    )
    verdict = f"{wrong} rows have another licence than their sources" if wrong else "as those of the sources"
    return GateResult("licence of rows", not wrong, wrong, verdict)


def _check_marks(con: Store, manifest: dict[str, Any]) -> GateResult:
    """Check that no more completions have marks of reasoning or of chat templates than when it was built."""
    marked, known = replies.count_marked(con), manifest.get(replies.MARKED, 0)
    more = marked - known if isinstance(known, int) else marked
    verdict = f"{marked} completions hold reasoning or tokens of a chat template; {known} when it was built"
    return GateResult("replies", more <= 0, marked, verdict)
