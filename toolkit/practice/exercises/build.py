"""`preceptor exercises build RECIPE`: exercises with proven keys, from the store's tables."""

from dataclasses import dataclass
from pathlib import Path

import polars as pl

from ....schemas.errors import GateError
from ....schemas.support.files import keep_files_private, write_text
from ....schemas.tables import EXERCISES
from ...store.connection import Store, insert_select, query, run, transaction
from ...store.where import check_names
from .from_edits import choose_exercises, drop_tables
from .proofs import Proof, prove
from .recipe import Exercises


@dataclass(frozen=True)
class BuiltExercises:
    """Exercises by language and kind, the share of choices with a learner's answer, and their proof."""

    counts: pl.DataFrame  # language, kind, n
    choices: int
    own: int  # choices that offer what the learner wrote at that very place
    proof: Proof
    none_of: tuple[str, ...]  # kinds that were asked for, of which there is none


def build_exercises(con: Store, recipe: Exercises) -> BuiltExercises:
    """Make the exercises of a recipe in place of earlier ones of its name, and prove their keys.

    Raises StoreError for a source without edits, and GateError if a key or a wrong option is not proven; then
    nothing is stored.
    """
    have = query(con, "SELECT DISTINCT source FROM edits ORDER BY 1")["source"]
    check_names("sources", recipe.sources, have, "source", "with edits")
    with transaction(con):
        run(con, "DELETE FROM exercises WHERE recipe = ?", [recipe.name])
        select = f"""SELECT e.*, $name AS recipe,
            (SELECT level FROM sentences s WHERE s.key = e.sentence) AS level
            FROM ({choose_exercises(con, recipe)}) e WHERE len(answers) > 0"""
        given = {"name": recipe.name} | ({"seed": recipe.seed} if "$seed" in select else {})
        insert_select(con, EXERCISES, select, given)
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
        drop_tables(con)
    made = set(counts["kind"])
    none_of = tuple(kind for kind in recipe.exercises if kind not in made)
    return BuiltExercises(counts, choices, own, proof, none_of)


def export_exercises(con: Store, name: str, out: Path) -> int:
    """Write the exercises of a recipe as JSON Lines, with licence and URL of their sources; returns how many.

    Raises StoreError for a recipe without exercises.
    """
    have = query(con, "SELECT DISTINCT recipe FROM exercises ORDER BY 1")["recipe"]
    check_names("exercises", [name], have, "recipe", "with exercises")
    rows = query(
        con,
        """SELECT x.*, s.license, s.url FROM exercises x JOIN sources s ON s.name = x.source
        WHERE recipe = ? ORDER BY x.key""",
        [name],
    )
    with keep_files_private():
        write_text(out, rows.write_ndjson())
    return rows.height
