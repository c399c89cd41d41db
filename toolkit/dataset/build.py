"""`preceptor build`: from a recipe and a fit to a dataset folder that passed its gates.

    OUT/README.md                      the card, with the configs that `datasets` reads
    OUT/preference/train.parquet       prompt, chosen, rejected; validation and test beside it
    OUT/preference_meta/train.parquet  same rows, same order: p, counts, licence, keys
    OUT/sft, OUT/unpaired, …           what else the recipe asks for, each with its _meta
    OUT/manifest.json                  digests, inputs, gates; written last

The same store, key file, recipe and version give the same bytes. Rows stay in DuckDB until they are written.
"""

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

import duckdb
import polars as pl

from ...schemas.errors import GateError, RecipeError, StoreError
from ...schemas.manifest import parse_manifest
from ...schemas.recipe import Recipe
from ...schemas.support.files import MANIFEST, hash_file, make_whole_folder
from ...schemas.tables import BUILDS, EXPRESSED
from ..privacy.published_keys import KEYS, publish_verdict, set_dataset_key
from ..privacy.traces import remember_completions, remember_learners
from ..store.connection import Store, insert, query, run, transaction
from ..store.folders import record_folder
from ..store.temporary import make
from ..store.where import check_names
from .card import render_card
from .choose.exercises import keep_exercises
from .choose.from_edits import choose_from_edits
from .choose.learners import count_told, find_learners, tell_learners
from .choose.pairs import choose_judged, settle_pairs
from .choose.policies import MARKED, choose_marked
from .clean import clean_rows
from .gates.gate import GateResult
from .gates.run import check_all, list_gates, read_gate_settings
from .parquet import label_completions, write_tables
from .rows import keep_rows
from .steps import CANDIDATES

_LANGUAGES = """SELECT language FROM prompts
WHERE key IN (SELECT prompt FROM kept WHERE config <> 'exercises')
UNION SELECT language FROM kept WHERE config = 'exercises'"""
_KINDS = "SELECT kind, count(*) FROM exercises_kept GROUP BY 1 ORDER BY 1"
MEMORY = "3GB"  # of DuckDB's buffers; the rest goes to disk


@dataclass(frozen=True)
class Build:
    """A built dataset: rows by config and split, rows dropped by reason, results of gates, digests."""

    out: Path
    fit: str | None
    counts: dict[str, dict[str, int]]
    dropped: dict[str, int]
    gates: list[GateResult]
    digests: dict[str, str]


# From a source to the agreement of its annotators: a dict for each of its signals, as _agreement says.
Agreed = Callable[[str], list[dict[str, Any]]]


def build(
    con: Store, recipe: Recipe, out: Path, fit: str | None = None, agreed: Agreed | None = None
) -> Build:
    """Build the recipe's dataset in the folder `out`.

    `fit` is a fit's key or its first digits, by default the newest fit of the recipe's target. Recipes
    with `corrections`, which store prompts and completions, and those whose policy uses the source's marks
    need none. `agreed` is called for each source of the dataset's rows, for card and
    manifest; it must read the store alone, so that the same store gives the same bytes.
    Raises GateError if a gate is red, RecipeError for a recipe that cannot be built, StoreError without
    a fit of its target or for a folder that is no built dataset; nothing is written then.
    """
    settings = read_gate_settings(recipe)
    with _within(con, MEMORY), transaction(con):
        judged, dropped = gather(con, recipe, fit)
        gates = check_all(con, recipe, judged, dropped, settings)
        _check_plain(con, recipe)
        red = [gate for gate in gates if not gate.passed]
        if red:
            raise GateError("\n".join(f"{g.name}: {g.verdict}" for g in red), gates)
        gates = [replace(gate, verdict=publish_verdict(con, gate.verdict)) for gate in gates]
        replaced = _read_digests(out)
        with make_whole_folder(out) as folder:
            if "unpaired" in recipe.configs:
                dropped |= label_completions(con)
            counts = write_tables(con, recipe, folder)
            facts = _facts(con, recipe, judged, counts, dropped, gates)
            if agreed:
                facts |= _agreement(con, [source["name"] for source in facts["sources"]], agreed)
            (folder / "README.md").write_text(render_card(recipe, facts), encoding="utf-8")
            digests = {
                path.relative_to(folder).as_posix(): hash_file(path)
                for path in sorted(folder.rglob("*"))
                if path.is_file()
            }
            manifest = {"recipe": recipe.model_dump(mode="json"), **facts, "files": digests}
            text = json.dumps(manifest, indent=1, sort_keys=True, ensure_ascii=False)
            (folder / MANIFEST).write_text(text + "\n", encoding="utf-8")
        done = Build(out, judged["key"] if judged else None, counts, dropped, gates, digests)
        remember_completions(con)
        if recipe.learner_context:
            remember_learners(con)
        _record(con, recipe, done, replaced)
    return done


def _read_digests(out: Path) -> str:
    """Return the digests of the build in a folder, as the store keeps them; of none if there is none."""
    file = out / MANIFEST
    manifest = parse_manifest(file.read_bytes()) if file.is_file() else None
    return json.dumps((manifest or {}).get("files", {}), sort_keys=True)


def _record(con: Store, recipe: Recipe, done: Build, replaced: str) -> None:
    """Record a build, and that it replaced the one with the digests `replaced` in its folder."""
    kept = record_folder(con, done.out)
    row = _build_row(recipe, done, kept)
    run(
        con,
        """UPDATE builds SET replaced_at = $now WHERE out = $out AND digests = $digests
        AND replaced_at IS NULL""",
        {"now": row["built_at"].item(), "out": kept, "digests": replaced},
    )
    if not insert(con, BUILDS, row):  # the same bytes again
        run(
            con,
            """UPDATE builds SET replaced_at = NULL WHERE out = $out AND digests = $digests""",
            {"out": kept, "digests": row["digests"].item()},
        )


def gather(
    con: Store, recipe: Recipe, fit: str | None = None
) -> tuple[dict[str, Any] | None, dict[str, int]]:
    """Make `kept` and `signals_kept`, the rows of the recipe's dataset, before any gate.

    Returns the fit (as `find_fit` does; None without one) and the number of dropped pairs by reason.
    Raises RecipeError and StoreError as `build` does.
    """
    check_selection(con, recipe)
    set_dataset_key(con, recipe.name)
    judged, left_out = None, {}
    if recipe.corrections:
        left_out = choose_from_edits(con, recipe, recipe.corrections)
    elif recipe.pairs.policy in MARKED:
        choose_marked(con, recipe)
    elif set(recipe.configs) == {"exercises"}:
        make(con, CANDIDATES)
    else:
        judged = find_fit(con, fit, recipe)
        choose_judged(con, judged["key"], recipe)
    if "soft" in recipe.configs and not judged:
        raise RecipeError(
            f"recipe '{recipe.name}': config soft needs p, which only a fit gives; leave it out"
        )
    _require_label(con, recipe, judged)
    if recipe.learner_context:
        find_learners(con, recipe)
    dropped = settle_pairs(con, recipe) | left_out
    keep_rows(con, recipe)
    if recipe.learner_context:
        tell_learners(con, recipe)
    dropped |= clean_rows(con, recipe)
    if "exercises" in recipe.configs:
        keep_exercises(con, recipe)
    return judged, dropped


def _require_label(con: Store, recipe: Recipe, judged: dict[str, Any] | None) -> None:
    """Raise RecipeError if the fit has not the soft label that the recipe wants."""
    if "soft" not in recipe.configs or not judged:
        return
    ((absent,),) = run(
        con,
        f"SELECT count(*) FILTER ({recipe.soft_label} IS NULL) FROM preferences WHERE fit = $fit",
        {"fit": judged["key"]},
    )
    if absent:
        raise RecipeError(
            f"recipe '{recipe.name}': soft_label: {recipe.soft_label} is not known of fit "
            f"{judged['key'][:8]}, which has seen no votes or is of an earlier version: fit again "
            "(preceptor fuse), or take soft_label: p"
        )


def check_selection(con: Store, recipe: Recipe) -> None:
    """Raise RecipeError for a source, criterion or task of the recipe that the store does not have."""
    have = query(con, "SELECT name FROM sources ORDER BY 1")["name"]
    check_names("sources:", recipe.sources, have, "source", "in the store", RecipeError)
    check_names("citations:", list(recipe.citations), have, "source", "in the store", RecipeError)
    rated = query(con, "SELECT DISTINCT criterion FROM ratings ORDER BY 1")["criterion"]
    where = "with ratings in the store"
    check_names("pairs.criteria:", recipe.pairs.criteria, rated, "criterion", where, RecipeError)
    if recipe.task is not None and not recipe.corrections:  # whose prompts the build makes
        tasks = query(con, "SELECT DISTINCT task FROM prompts ORDER BY 1")["task"]
        check_names("task:", [recipe.task], tasks, "task", "with prompts in the store", RecipeError)


@contextmanager
def _within(con: Store, memory: str) -> Iterator[None]:
    """Limit DuckDB's memory; larger tables spill to disk."""
    ((before,),) = run(con, "SELECT current_setting('memory_limit')")
    run(con, f"SET memory_limit = '{memory}'")
    try:
        yield
    finally:
        with suppress(duckdb.Error):  # after a failure, which says why
            run(con, f"SET memory_limit = '{before}'")


def find_fit(con: Store, fit: str | None, recipe: Recipe | None = None) -> dict[str, Any]:
    """Find the newest fit, or the one whose key begins with `fit`; with a recipe, of its target.

    Returns key, config, inputs, converged, diagnostics, findings and versions, the JSON read.
    Raises StoreError if there is none, or several keys begin so.
    """
    rows = query(
        con,
        """SELECT key, config, inputs, converged, diagnostics, findings, versions FROM fits
        WHERE $fit IS NULL OR starts_with(key, $fit) ORDER BY fitted_at DESC, key""",
        {"fit": fit},
    ).to_dicts()
    for row in rows:
        for name in ("config", "diagnostics", "findings", "versions"):
            row[name] = json.loads(row[name])
    if not rows:
        which = f"no fit {fit}" if fit else "no fit yet"
        raise StoreError(f"{which}; run preceptor fuse first (preceptor status lists fits)")
    if fit and len(rows) > 1:
        raise StoreError(f"--fit {fit} means {len(rows)} fits; give more digits")
    if recipe is None or recipe.target is None:
        return rows[0]
    matching = [row for row in rows if row["config"]["target"] == recipe.target]
    if not matching:
        raise StoreError(
            f"recipe '{recipe.name}' wants target {recipe.target:g}, but the fits have "
            f"{', '.join(sorted({str(r['config']['target']) for r in rows}))}; "
            f"run preceptor fuse --target {recipe.target:g}"
        )
    return matching[0]


def _check_plain(con: Store, recipe: Recipe) -> None:
    ((turns,),) = run(con, "SELECT max(len(messages)) FROM kept")
    if recipe.format == "plain" and (turns or 0) > 1:
        raise GateError(
            f"format: plain takes single-turn prompts, but some here have {turns} messages; "
            "use format: conversational"
        )


def _facts(
    con: Store,
    recipe: Recipe,
    fit: dict[str, Any] | None,
    counts: dict[str, dict[str, int]],
    dropped: dict[str, int],
    gates: list[GateResult],
) -> dict[str, Any]:
    """Gather the facts of card and manifest beyond the recipe; none depends on time or machine."""
    sources = query(
        con,
        """SELECT name, kind, license, url, revision, sha256, notes FROM sources
        WHERE name IN (SELECT DISTINCT unnest(sources) FROM kept) ORDER BY name""",
    )
    made = "SELECT made, count(*) FROM kept WHERE config = 'preference' GROUP BY 1 ORDER BY 1"
    return {
        "preceptor": version("preceptor"),
        KEYS: set_dataset_key(con, recipe.name),
        "versions": {name: version(name) for name in ("duckdb", "polars", "pyarrow")},
        "fit": fit
        and {name: fit[name] for name in ("key", "config", "inputs", "diagnostics", "versions")}
        | {
            name: said
            for name in ("rho", "length", "judges", "assigned")
            if (said := fit["findings"].get(name))
        },
        "sources": sources.to_dicts(),
        "licenses": sources["license"].unique().sort().to_list(),
        "languages": query(con, f"{_LANGUAGES} ORDER BY 1")["language"].to_list(),
        "counts": counts,
        "made": dict(run(con, made)),
        "dropped": dropped,
        "gates": [gate.entry for gate in gates],
        **({"exercises": dict(run(con, _KINDS))} if "exercises" in recipe.configs else {}),
        **({"cleaned": dict(run(con, "FROM cleaned"))} if recipe.clean else {}),
        **(count_told(con) if recipe.learner_context else {}),
    } | {name: fact for gate in list_gates() for name, fact in gate.facts(con).items()}


def _agreement(con: Store, sources: list[str], agreed: Agreed) -> dict[str, Any]:
    """Collect the agreement of annotators for each signal of a source in which people judge.

    Each is a dict of source, signal, annotators, unnamed, judgements, shared_judgements, shared_units,
    metric, alpha, low, high and why.
    """
    of_people = " UNION ".join(f"SELECT source FROM {signal.name}" for signal in EXPRESSED)
    have = query(con, f"FROM ({of_people}) ORDER BY source")["source"]
    judged = [name for name in have if name in sources]
    return {"agreement": [{"source": name} | row for name in judged for row in agreed(name)]}


def _build_row(recipe: Recipe, done: Build, out: str) -> pl.DataFrame:
    return pl.DataFrame(
        {
            "name": [recipe.name],
            "out": [out],
            "recipe": [recipe.model_dump_json()],
            "fit": [done.fit],
            "digests": [json.dumps(done.digests, sort_keys=True)],
            "counts": [json.dumps({"kept": done.counts, "dropped": done.dropped})],
            "gates": [json.dumps([gate.entry for gate in done.gates])],
            "built_at": [datetime.now(UTC)],
        }
    )
