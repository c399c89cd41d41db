"""Prove stored exercises: those of edits against the annotators' corrections, which are made anew for it.

Each key is put where it belongs, and the sentence must be the annotator's own correction, letter by letter.
Each wrong option is put there too, and must give no correction of any annotator of any source, nor be what
one of them wrote in place of the same words.
"""

from dataclasses import dataclass

from ....schemas.support.text import clean
from ....schemas.tables import Column, Table
from ...dataset.choose.corrections import select_corrections
from ...dataset.choose.from_edits import FINISHED
from ...dataset.choose.pairs import NORMAL
from ...store.connection import Store, query, run
from ...store.temporary import drop, make
from .completion_proofs import find_completion_faults

GAP = "____"

# What annotators made of texts, in the table of each module that asks.
TEXT_COLUMNS = (
    Column("same", "text", "the learner's text as compared"),
    Column("sentence", "text", "key of the annotated sentence"),
    Column("annotator", "text", "who corrected it"),
    Column("text", "text", "their correction of it"),
)


def select_texts(sentences: str) -> str:
    """Write the SELECT of every whole correction of sentences; `sentences` selects their keys."""
    return f"""SELECT {NORMAL("s.text")} AS same, c.sentence, c.annotator, c.text
    FROM ({select_corrections(f"e.sentence IN ({sentences}) AND {FINISHED}")}) c
    JOIN sentences s ON s.key = c.sentence"""


_TEXTS = Table("proof_texts", "an annotator's correction of a text that is exercised", TEXT_COLUMNS)
_SELECT_TEXTS = f"""
WITH wanted AS (
    SELECT DISTINCT {NORMAL("s.text")} AS same
    FROM exercises x JOIN sentences s ON s.key = x.sentence WHERE x.recipe = $recipe
), places AS (SELECT key FROM sentences WHERE {NORMAL("text")} IN (FROM wanted))
FROM ({select_texts("FROM places")})"""

# What is not proven: key of the exercise, why.
_FAULTS = f"""
WITH mine AS (
    SELECT x.*, {NORMAL("s.text")} AS same, s.text AS wrote FROM exercises x
    JOIN sentences s ON s.key = x.sentence WHERE x.recipe = $recipe
), filled AS (
    SELECT key, kind, same, sentence, annotator, position, answers[1] AS answer,
        CASE WHEN kind = 'rewrite' THEN answers[1] ELSE replace(shown, '{GAP}', answers[1]) END AS text
    FROM mine WHERE kind <> 'spot'
), wrong AS (
    SELECT key, same, sentence, annotator, position, shown, unnest(distractors) AS answer FROM mine
)
SELECT key, 'the key ' || answer || ' does not give the text of annotator ' || annotator AS why
FROM filled f ANTI JOIN proof_texts t
    ON t.sentence = f.sentence AND t.annotator = f.annotator AND t.text = f.text
UNION ALL
SELECT w.key, 'the wrong option ' || answer || ' gives a text of annotator ' || t.annotator
FROM wrong w JOIN proof_texts t ON t.same = w.same
    AND {NORMAL("t.text")} = {NORMAL(f"replace(w.shown, '{GAP}', w.answer)")}
UNION ALL
SELECT w.key, 'the wrong option ' || answer || ' is a correction by annotator ' || e.annotator
FROM wrong w JOIN edits o ON o.sentence = w.sentence AND o.annotator = w.annotator AND o.position = w.position
JOIN edits e ON e.sentence = w.sentence AND e.start = o.start AND e."end" = o."end"
WHERE lower(e.correction) = lower(w.answer)
UNION ALL
SELECT m.key, 'an annotator, ' || t.annotator || ', holds the text with the error for right'
FROM mine m JOIN proof_texts t ON t.same = m.same AND t.text = m.shown WHERE m.kind IN ('spot', 'rewrite')
UNION ALL
SELECT key, 'the error stands ' || len(string_split(' ' || shown || ' ', ' ' || answers[1] || ' ')) - 1
    || ' times in the text' FROM mine
WHERE kind = 'spot' AND len(string_split(' ' || shown || ' ', ' ' || answers[1] || ' ')) <> 2
UNION ALL
SELECT key, 'the words cannot be put into the order of the key' FROM mine
WHERE kind = 'order' AND list_sort(list_transform(words, lambda w: lower(w)))
    <> list_sort(string_split(lower(answers[1]), ' '))
UNION ALL
SELECT key, 'neither its sentence nor its prompt is in the store' FROM exercises
WHERE recipe = $recipe AND prompt IS NULL AND term IS NULL
    AND (sentence IS NULL OR sentence NOT IN (SELECT key FROM sentences))
ORDER BY ALL"""


@dataclass(frozen=True)
class Proof:
    """How many keys and wrong options were proven, and what was not: key of the exercise, why."""

    keys: int
    distractors: int
    faults: tuple[tuple[str, str], ...]

    def describe(self) -> str:
        """Say what is not proven."""
        shown = "; ".join(f"{key}: {clean(why, 200)}" for key, why in self.faults[:3])
        return f"{len(self.faults):,} not proven by what the store holds: {shown}"


def prove(con: Store, recipe: str) -> Proof:
    """Prove every stored exercise of a recipe."""
    given = {"recipe": recipe}
    of_edits = run(
        con, "SELECT 1 FROM exercises WHERE recipe = $recipe AND sentence IS NOT NULL LIMIT 1", given
    )
    make(con, _TEXTS, _SELECT_TEXTS if of_edits else "", given if of_edits else {})
    faults = [*query(con, _FAULTS, given).rows(), *find_completion_faults(con, recipe)]
    ((keys, distractors),) = run(
        con,
        "SELECT count(*), coalesce(sum(len(distractors)), 0)::BIGINT FROM exercises WHERE recipe = ?",
        [recipe],
    )
    drop(con, _TEXTS)
    return Proof(keys, distractors, tuple(faults))
