"""`preceptor exercises build RECIPE`: exercises with proven keys, from the store's tables."""

from dataclasses import dataclass
from pathlib import Path

import polars as pl

from ....schemas.derive import derive_absent_sql
from ....schemas.errors import GateError, StoreError
from ....schemas.support.files import keep_files_private, write_text
from ....schemas.tables import EXERCISES
from ...store.connection import Store, insert_select, query, run, transaction
from ...store.where import check_names
from .from_completions import choose_from_completions, drop_numbers
from .from_edits import choose_exercises, drop_tables
from .proofs import Proof, prove
from .recipe import OF_COMPLETIONS, OF_EDITS, Exercises
from .surroundings import drop_surroundings, select_surrounded
from .words import UnknownBands, add_bands

_WRITTEN = """
WITH mine AS (SELECT *, unnest(sources) AS one FROM exercises WHERE recipe = $1), licensed AS (
    SELECT m.key, array_to_string(list(DISTINCT s.license ORDER BY s.license), ' AND ') AS license
    FROM mine m JOIN sources s ON s.name = m.one GROUP BY m.key
), explained AS (
    SELECT x.key, list(c.content ORDER BY c.key) AS explanations
    FROM (SELECT key, unnest(arms) AS arm FROM exercises WHERE recipe = $1) x
    JOIN completions c ON c.key = x.arm GROUP BY x.key
)
SELECT x.*, coalesce(e.explanations, []) AS explanations, l.license, s.url
FROM exercises x JOIN licensed l USING (key) LEFT JOIN explained e USING (key)
JOIN sources s ON s.name = x.source WHERE recipe = $1 ORDER BY x.key"""
_MATERIAL = ("edits", "prompts", "completions", "lexicon")
_USED = "SELECT DISTINCT unnest(sources) FROM exercises WHERE recipe = ?"


@dataclass(frozen=True)
class BuiltExercises:
    """Exercises by language and kind, the share of choices with a learner's answer, and their proof."""

    counts: pl.DataFrame  # language, kind, n
    choices: int
    own: int  # choices that offer what the learner wrote at that very place
    proof: Proof
    none_of: tuple[str, ...]  # kinds that were asked for, of which there is none
    unused: tuple[str, ...]  # sources of which nothing was used
    no_band: UnknownBands  # languages without word frequencies


def build_exercises(con: Store, recipe: Exercises) -> BuiltExercises:
    """Make the exercises of a recipe in place of earlier ones of its name, and prove their keys.

    Raises StoreError for a source of which no exercise can be made, and GateError if a key or a wrong option
    is not proven; then nothing is stored.
    """
    have = query(con, " UNION ".join(f"SELECT source FROM {table}" for table in _MATERIAL))["source"].sort()
    if run(con, "SELECT 1 FROM exercises WHERE recipe = ? AND kind = 'question' LIMIT 1", [recipe.name]):
        raise StoreError(
            f"{recipe.name}: a model wrote the exercises of that name (preceptor exercises write); choose "
            "another name"
        )
    check_names("sources", recipe.sources, have, "source", "with edits, prompts, completions or terms")
    with transaction(con):
        run(con, "DELETE FROM exercises WHERE recipe = ?", [recipe.name])
        bands: list[UnknownBands] = []
        if set(recipe.exercises) & set(OF_EDITS):
            bands.append(_store(con, recipe, select_surrounded(con, choose_exercises(con, recipe))))
            drop_surroundings(con)
            drop_tables(con)
        if set(recipe.exercises) & set(OF_COMPLETIONS):
            bands.append(_store(con, recipe, choose_from_completions(con, recipe)))
            drop_numbers(con)
        proof = prove(con, recipe.name)
        if proof.faults:
            raise GateError(f"exercises of {recipe.name}: {proof.describe()}; nothing was stored")
        counts = query(
            con,
            """SELECT language, kind, count(*) AS n FROM exercises WHERE recipe = ? GROUP BY ALL
            ORDER BY ALL""",
            [recipe.name],
        )
        ((choices, own),) = run(
            con,
            """SELECT count(*), count(*) FILTER (EXISTS (FROM edits e JOIN sentences s ON s.key = e.sentence
                WHERE e.sentence = x.sentence AND e.annotator = x.annotator AND e.position = x.position
                    AND list_contains(x.distractors, array_to_string(s.tokens[e.start + 1 : e."end"], ' '))))
            FROM exercises x WHERE recipe = ? AND kind = 'choice'""",
            [recipe.name],
        )
        used = {name for (name,) in run(con, _USED, [recipe.name])}
        used |= {name for (name,) in run(con, "SELECT DISTINCT source FROM lexicon WHERE frequency > 0")}
    made = set(counts["kind"])
    asked = recipe.exercises if "exercises" in recipe.model_fields_set else ()
    none_of = tuple(kind for kind in asked if kind not in made)
    unused = tuple(name for name in recipe.sources if name not in used)
    unknown = sorted({language for one in bands for language in one.languages})
    no_band = UnknownBands(tuple(unknown), any(one.extra_missing for one in bands))
    return BuiltExercises(counts, choices, own, proof, none_of, unused, no_band)


def _store(con: Store, recipe: Exercises, select: str) -> UnknownBands:
    """Store the exercises of a SELECT; a flashcard may have no answer, and then shows its explanation.

    Returns the languages whose words no list has.
    """
    nothing = derive_absent_sql(column for column in EXERCISES.stored if column.nullable)
    whole = f"""SELECT e.* REPLACE ((SELECT level FROM sentences s WHERE s.key = e.sentence) AS level),
        $name AS recipe FROM (SELECT {nothing} WHERE false UNION ALL BY NAME FROM ({select})) e
        WHERE len(answers) > 0 OR kind = 'flashcard'"""
    given = {
        "name": recipe.name,
        "seed": recipe.seed,
        "sources": recipe.sources,
        "most": recipe.distractors,
    }
    used = {name: value for name, value in given.items() if f"${name}" in whole}
    run(con, f"CREATE OR REPLACE TEMP TABLE practice_made AS {whole}", used)
    unknown = add_bands(con, recipe.sources)
    insert_select(con, EXERCISES, "FROM practice_made", {})
    run(con, "DROP TABLE practice_made")
    return unknown


def export_exercises(con: Store, name: str, out: Path) -> int:
    """Write the exercises of a recipe as JSON Lines; returns how many.

    Beside the columns of the table: explanations (texts of the arms), license (all that apply) and url.

    Raises StoreError for a recipe without exercises.
    """
    have = query(con, "SELECT DISTINCT recipe FROM exercises ORDER BY 1")["recipe"]
    check_names("exercises", [name], have, "recipe", "with exercises")
    rows = query(
        con,
        _WRITTEN,
        [name],
    )
    with keep_files_private():
        write_text(out, rows.write_ndjson())
    return rows.height
