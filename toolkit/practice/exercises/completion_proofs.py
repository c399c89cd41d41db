"""Prove exercises of completions against the store: what is shown, the key, the wrong options, the arms.

A problem's number is read anew from every solution; what its source marks as right must end in the key, and
what it marks as wrong must not. A wrong move is a turn that tells, said about the same problem, and nobody's
in that very place.
"""

from ...dataset.choose.pairs import NORMAL
from ...store.connection import Store, run
from .facts import WORDS, match_words
from .from_completions import IS_ASKING, IS_TELLING, MOVES, WRITE_DIALOGUE, drop_numbers, read_numbers

_OF_RECIPE = "q.key IN (SELECT prompt FROM exercises WHERE recipe = $recipe AND kind = 'problem')"

FAULTS = f"""
WITH mine AS (FROM exercises WHERE recipe = $recipe AND prompt IS NOT NULL),
moves AS ({MOVES} AND q."group" IN (
    SELECT p."group" FROM prompts p JOIN mine x ON x.prompt = p.key WHERE x.kind = 'move')),
cards AS (
    SELECT x.key, x.language, x.shown, unnest(x.answers) AS answer FROM exercises x
    WHERE x.recipe = $recipe AND x.kind = 'flashcard'
),
wrong AS (SELECT x.key, x.completion, unnest(x.distractors) AS option FROM mine x WHERE x.kind = 'move')
SELECT x.key, 'what is shown is not the text of its prompt' AS why
FROM mine x LEFT JOIN prompts q ON q.key = x.prompt
WHERE CASE x.kind WHEN 'move' THEN x.shown IS DISTINCT FROM {WRITE_DIALOGUE("q.messages")}
    WHEN 'question' THEN NOT coalesce(starts_with(x.shown, q.messages[-1].content || chr(10)), false)
    ELSE x.shown IS DISTINCT FROM q.messages[1].content END
UNION ALL
SELECT key, 'explanation ' || arm || ' is no completion of its prompt'
FROM (SELECT key, prompt, unnest(arms) AS arm FROM mine) x
ANTI JOIN completions c ON c.key = x.arm AND c.prompt = x.prompt
UNION ALL
SELECT x.key, 'solution ' || coalesce(n.completion, x.completion) || ' ends in '
    || coalesce(n.number, 'no number') || ', the key is ' || x.answers[1]
FROM mine x LEFT JOIN practice_numbers n ON n.prompt = x.prompt WHERE x.kind = 'problem' AND (
    n.completion IS NULL OR n.reference AND n.number IS DISTINCT FROM x.answers[1]
    OR n."right" IS DISTINCT FROM coalesce(n.number = x.answers[1], false) AND n."right" IS NOT NULL)
UNION ALL
SELECT x.key, 'the key is not what the teacher asked there' FROM mine x
LEFT JOIN moves m ON m.key = x.completion AND m.prompt = x.prompt AND trim(m.content) = x.answers[1]
    AND {IS_ASKING.replace("acts", "m.acts")}
WHERE x.kind = 'move' AND m.key IS NULL
UNION ALL
SELECT x.key, 'the answer ' || x.answers[1] || ' does not stand in the passage, or the completion is another'
FROM mine x LEFT JOIN prompts q ON q.key = x.prompt
LEFT JOIN completions c ON c.key = x.completion AND c.prompt = x.prompt
WHERE x.kind = 'question' AND NOT coalesce(c.key IS NOT NULL
    AND {match_words(WORDS("q.messages[-1].content"), WORDS("x.answers[1]"))}
    AND {WORDS("x.answers[1]")} <> {WORDS("x.distractors[1]")}, false)
UNION ALL
SELECT w.key, 'the wrong option ' || option || ' tells nothing about this problem' FROM wrong w
JOIN moves a ON a.key = w.completion
ANTI JOIN moves t ON t."group" = a."group" AND t.content = w.option AND {IS_TELLING.replace("acts", "t.acts")}
UNION ALL
SELECT w.key, 'the wrong option ' || option || ' is what a teacher said in that place' FROM wrong w
JOIN moves a ON a.key = w.completion JOIN moves o ON o."group" = a."group" AND o.messages = a.messages
    AND {NORMAL("o.content")} = {NORMAL("w.option")}
UNION ALL
SELECT c.key, 'the answer ' || answer || ' is no meaning of ' || c.shown FROM cards c
ANTI JOIN lexicon t ON t.language = c.language AND t.gloss = c.answer
    AND {NORMAL("t.term")} = {NORMAL("c.shown")}
UNION ALL
SELECT x.key, 'its term is not in the store' FROM exercises x
WHERE x.recipe = $recipe AND x.term IS NOT NULL AND x.term NOT IN (SELECT key FROM lexicon)
ORDER BY ALL"""


def find_completion_faults(con: Store, recipe: str) -> list[tuple[str, str]]:
    """Find what is not proven: key of the exercise, why."""
    read_numbers(con, _OF_RECIPE, {"recipe": recipe})
    faults: list[tuple[str, str]] = run(con, FAULTS, {"recipe": recipe})
    drop_numbers(con)
    return faults
