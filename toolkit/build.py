"""`preceptor build`: a recipe and a fit -> a dataset folder that passed its gates.

    OUT/README.md                      the card, with the configs that `datasets` reads
    OUT/preference/train.parquet       prompt, chosen, rejected; validation and test beside it
    OUT/preference_meta/train.parquet  same rows, same order: p, counts, licence, keys
    OUT/sft/…  OUT/sft_meta/…          examples to imitate, where it is built from edits
    OUT/manifest.json                  digests, inputs, gates; written last

The same store, recipe and version give the same bytes.
"""

import json
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

import polars as pl

from ..schemas.derive import polars_schema
from ..schemas.errors import GateError, StoreError
from ..schemas.recipe import Recipe
from ..schemas.tables import BUILDS, PREFERENCE_META, SFT_META, Table, preference_table, sft_table
from .card import render_card
from .files import MANIFEST, file_sha256, whole_folder
from .gates.contents import check_contents, check_length_bias
from .gates.convergence import check_convergence
from .gates.gate import Gate
from .gates.leaks import check_leaks
from .gates.licence import check_licence
from .gec import choose_corrections
from .pairs import SPLITS, choose_pairs, render_examples, render_pairs
from .policies import MARKED, choose_marked
from .store import Store, insert, query, transaction

_OF_A_PROMPT = ("key", "group", "split", "messages")


@dataclass(frozen=True)
class Build:
    """What was built: rows per split, pairs dropped by reason, gates, digests."""

    out: Path
    fit: str | None
    counts: dict[str, int]
    dropped: dict[str, int]
    gates: list[Gate]
    digests: dict[str, str]


@dataclass(frozen=True)
class _Material:
    """What a dataset is made of, whether from a fit or from edits."""

    pairs: pl.DataFrame
    dropped: dict[str, int]
    fit: dict[str, Any] | None = None
    examples: pl.DataFrame | None = None

    @property
    def fit_key(self) -> str | None:
        return self.fit["key"] if self.fit else None


def build(con: Store, recipe: Recipe, out: Path, fit: str | None = None) -> Build:
    """Build the recipe's dataset from `fit` (its key's first digits do; the newest one if None).

    A recipe with `corrections` is built from edits and needs no fit; its prompts and completions
    are stored. Nor does one whose policy goes by what the source says need a fit. Raises GateError
    if a gate is red, and then writes nothing.
    """
    with transaction(con):
        made = _material(con, recipe, fit)
        gates = _gates(con, made, recipe)
        _check_plain(made.pairs, recipe)
        red = [gate for gate in gates if not gate.passed]
        if red:
            raise GateError("\n".join(f"{g.name}: {g.verdict}" for g in red))
        with whole_folder(out) as folder:
            counts = _write_tables(made, recipe, folder)
            facts = _facts(con, made, counts, gates)
            (folder / "README.md").write_text(render_card(recipe, facts), encoding="utf-8")
            digests = {
                path.relative_to(folder).as_posix(): file_sha256(path)
                for path in sorted(folder.rglob("*"))
                if path.is_file()
            }
            manifest = {"recipe": recipe.model_dump(), **facts, "files": digests}
            text = json.dumps(manifest, indent=1, sort_keys=True, ensure_ascii=False)
            (folder / MANIFEST).write_text(text + "\n", encoding="utf-8")
        done = Build(out, made.fit_key, counts["preference"], made.dropped, gates, digests)
        insert(con, BUILDS, _build_row(recipe, done))
    return done


def _material(con: Store, recipe: Recipe, fit: str | None) -> _Material:
    if recipe.corrections:
        return _from_edits(con, recipe)
    if recipe.pairs.policy in MARKED:
        return _Material(*choose_marked(con, recipe))
    return _from_fit(con, recipe, fit)


def _from_fit(con: Store, recipe: Recipe, fit: str | None) -> _Material:
    row = find_fit(con, fit, recipe)
    pairs, dropped = choose_pairs(con, row["key"], recipe)
    return _Material(pairs, dropped, row)


def _from_edits(con: Store, recipe: Recipe) -> _Material:
    if recipe.corrections is None:
        raise StoreError(f"recipe '{recipe.name}' has no corrections")
    found = choose_corrections(con, recipe, recipe.corrections)
    return _Material(found.pairs, found.dropped, examples=found.examples)


def _gates(con: Store, made: _Material, recipe: Recipe) -> list[Gate]:
    prompts = made.pairs.select(_OF_A_PROMPT)
    if made.examples is not None:
        prompts = pl.concat([prompts, made.examples.select(_OF_A_PROMPT)])
    return [
        *([check_convergence(made.fit["key"], made.fit["diagnostics"])] if made.fit else []),
        check_contents(made.pairs, made.dropped),
        check_leaks(con, prompts),
        check_licence(made.pairs, recipe),
        check_length_bias(made.pairs),
    ]


def find_fit(con: Store, fit: str | None, recipe: Recipe | None = None) -> dict[str, Any]:
    """The newest fit (or the one whose key starts so), its JSON read.

    With a recipe, one of the recipe's target. StoreError if there is none.
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


def _check_plain(pairs: pl.DataFrame, recipe: Recipe) -> None:
    turns = pairs["messages"].list.len().max() if pairs.height else 1
    if recipe.format == "plain" and isinstance(turns, int) and turns > 1:
        raise GateError(
            f"format: plain takes single-turn prompts, but some here have {turns} messages; "
            "use format: conversational"
        )


def _write_tables(made: _Material, recipe: Recipe, folder: Path) -> dict[str, dict[str, int]]:
    """Parquet per config and split; an empty split has no file. Returns rows per config and split."""
    conversational = recipe.format == "conversational"
    counts = {"preference": _write(made.pairs, folder, [
        (preference_table(conversational), lambda rows: render_pairs(rows, recipe)),
        (PREFERENCE_META, lambda rows: rows),
    ])}  # fmt: skip
    if made.examples is not None:
        counts["sft"] = _write(made.examples, folder, [
            (sft_table(conversational), lambda rows: render_examples(rows, recipe)),
            (SFT_META, lambda rows: rows),
        ])  # fmt: skip
    return counts


def _write(
    whole: pl.DataFrame, folder: Path, tables: list[tuple[Table, Callable[[pl.DataFrame], pl.DataFrame]]]
) -> dict[str, int]:
    """Each table's file of each split, the rows of all in the same order."""
    counts = {}
    for split in SPLITS:
        rows = whole.filter(pl.col("split") == split)
        if rows.is_empty():
            continue
        counts[split] = rows.height
        for table, render in tables:
            path = folder / table.name / f"{split}.parquet"
            path.parent.mkdir(exist_ok=True)
            schema = polars_schema(table)
            render(rows).select(pl.col(c).cast(t) for c, t in schema.items()).write_parquet(
                path, compression="zstd", row_group_size=100_000
            )
    return counts


def _facts(
    con: Store, made: _Material, counts: dict[str, dict[str, int]], gates: list[Gate]
) -> dict[str, Any]:
    """What card and manifest say beyond the recipe; nothing in it depends on time or place."""
    pairs, fit = made.pairs, made.fit
    sources = query(
        con,
        """SELECT name, kind, license, url, revision, sha256, notes FROM sources
        WHERE list_contains($1::VARCHAR[], name) ORDER BY name""",
        [pairs["sources"].explode().unique().sort().to_list()],
    )
    return {
        "preceptor": version("preceptor"),
        "fit": fit
        and {name: fit[name] for name in ("key", "config", "inputs", "diagnostics", "versions")}
        | {"rho": fit["findings"]["rho"]},
        "sources": sources.to_dicts(),
        "licenses": pairs["licenses"].explode().unique().sort().to_list(),
        "counts": counts,
        "made": dict(pairs.group_by("made").len().sort("made").rows()),
        "dropped": made.dropped,
        "gates": [gate.as_dict() for gate in gates],
    }


def _build_row(recipe: Recipe, done: Build) -> pl.DataFrame:
    return pl.DataFrame(
        {
            "name": [recipe.name],
            "out": [str(done.out)],
            "recipe": [recipe.model_dump_json()],
            "fit": [done.fit],
            "digests": [json.dumps(done.digests, sort_keys=True)],
            "counts": [json.dumps({"kept": done.counts, "dropped": done.dropped})],
            "gates": [json.dumps([gate.as_dict() for gate in done.gates])],
            "built_at": [datetime.now(UTC)],
        }
    )
