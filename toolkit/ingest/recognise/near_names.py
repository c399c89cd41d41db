"""Names that people give to columns of ours: the same in other letters, one that means it, or a near one.

find_column("annotator", ["Timestamp", "Your name"])    ("Your name", 0.9)
find_column("criterion", ["Criteron"])                  ("Criteron", 0.85)
"""

import re
from collections.abc import Collection, Sequence

from ....schemas.support.nearest import find_nearest

EXACT, MEANS, NEAR = 1.0, 0.9, 0.85

# Our column: words that people write for it, the surest first. Case, blanks and signs do not matter.
WORDS: dict[str, tuple[str, ...]] = {
    "completion_a": ("a", "answer a", "response a", "option a", "text a", "item a", "first", "left", "id a"),
    "completion_b": (
        "b",
        "answer b",
        "response b",
        "option b",
        "text b",
        "item b",
        "second",
        "right",
        "id b",
    ),
    "choice": ("preference", "preferred", "winner", "better", "best", "vote", "chosen", "which is better"),
    "completion": ("item", "answer", "response", "mnemonic", "text", "completion id", "answer id", "item id"),
    "criterion": ("criteria", "aspect", "dimension", "quality", "category", "rubric"),
    "value": ("rating", "score", "stars", "grade", "points", "mark", "result", "solved", "success", "turns"),
    "levels": ("scale", "max", "out of", "max score"),
    "annotator": (
        *("judge", "rater", "annotator id", "judge id", "rater id", "your name", "name", "reviewer", "voter"),
        *("evaluator", "teacher", "expert", "worker", "worker id", "prolific id", "participant", "email"),
        *("email address", "user", "who"),
    ),
    "kind": ("annotator kind", "judge kind", "role"),
    "shown_first": ("shown left", "first shown", "left side"),
    "at": (
        *(
            "timestamp",
            "time",
            "date",
            "day",
            "datetime",
            "created at",
            "submitted at",
            "answered at",
            "when",
        ),
        *("start date", "timestamp tw", "date time"),
    ),
    "learner": (
        *("student", "pupil", "user", "user id", "student id", "learner id", "uuid", "uid", "userid"),
        *("anon student id", "participant", "name", "email", "who"),
    ),
    "item": (
        *(
            "card",
            "question",
            "problem",
            "exercise",
            "task",
            "item id",
            "card id",
            "question id",
            "problem id",
        ),
        *("upid", "exercise id", "assistment id", "lexeme id", "word", "term"),
    ),
    "correct": ("is correct", "solved", "right", "correctness", "success", "answered correctly", "result"),
    "grade": ("ease", "button", "rating", "rated"),
    "skills": ("skill", "skill id", "skill name", "concept", "concepts", "kc", "topic", "tag", "tags"),
    "attempts": ("attempt", "attempt count", "tries", "total attempt cnt"),
    "duration_ms": ("ms", "ms first response", "time ms", "elapsed ms", "elapsed time", "response time ms"),
    "interval_days": ("interval", "ivl"),
    "measure": ("outcome", "kind of outcome"),
    "censored": ("gave up", "stopped"),
    "prompt": ("question", "problem", "term", "word", "instruction", "input", "prompt id", "text", "query"),
    "content": ("answer", "response", "output", "completion", "text", "reply", "generation"),
    "task": ("subject", "kind of task"),
    "group": ("topic", "cluster"),
    "author": ("model", "writer", "by", "system"),
    "term": ("word", "idiom", "phrase", "expression", "lemma", "vocabulary"),
    "gloss": ("meaning", "definition", "translation", "explanation"),
    "frequency": ("freq", "per million"),
}
_NOT_NEAR = 4  # letters: shorter names are no misspelt ones


def fold_letters(name: str) -> str:
    """Fold a name to its letters and digits, in lower case."""
    return re.sub(r"[\W_]+", "", name.casefold())


def find_column(ours: str, have: Sequence[str], taken: Collection[str] = ()) -> tuple[str, float] | None:
    """Find the column for one of ours among those that are not taken, and how near its name is (0 to 1).

    None if none is near, or if two are equally so.
    """
    free = [name for name in have if name not in taken]
    folded: dict[str, list[str]] = {}
    for name in free:
        folded.setdefault(fold_letters(name), []).append(name)
    for n, word in enumerate((ours, *WORDS.get(ours, ()))):
        found = folded.get(fold_letters(word), [])
        if len(found) == 1:
            return found[0], EXACT if n == 0 else MEANS
        if found:
            return None
    long = [name for name in free if len(fold_letters(name)) >= _NOT_NEAR]
    near = find_nearest(ours, long)
    return (near, NEAR) if near else None


def list_words() -> list[str]:
    """List all names, ours and people's, by which the header of a table is found below title rows."""
    return sorted({*WORDS, *(word for words in WORDS.values() for word in words)})
