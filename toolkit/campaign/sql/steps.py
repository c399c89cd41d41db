"""Temporary tables between the steps of a campaign, declared like those of the store.

    prompts -> asked_about -> texts, unheard, golden -> questions
    incoming answers -> given_rows -> judged -> people, latest, withdrawn -> answers, said_votes, said_ratings
    judged -> refused -> rejects

`store.temporary.make` creates them and checks their columns.
"""

from ....schemas.tables import QUESTIONS, RATINGS, REJECTS, VOTES, Column, Table

_KEY = Column("key", "text", "key of the row")
_PROMPT = Column("prompt", "text", "key of the prompt")
_A = Column("completion_a", "text", "key of the completion")
_B = Column("completion_b", "text", "key of the other one; null where one is rated alone", nullable=True)
_PSEUDONYM = Column("pseudonym", "text", "of the annotator; null if none is named", nullable=True)

ASKED_ABOUT = Table("asked_about", "a prompt that may be asked about", (_KEY,))
TEXTS = Table(
    "texts",
    "a completion of such a prompt whose text is published",
    (_KEY, _PROMPT, Column("text", "text", "hash of its text: equal texts have the same one")),
)
UNHEARD = Table(
    "unheard", "a question whose answers are not yet in the store, or in a fit", QUESTIONS.columns
)
GOLDEN = Table(
    "golden",
    "a pair whose better side is known",
    (_PROMPT, _A, _B, Column("expected", "text", "the better side: a or b")),
)

_INCOMING = (
    Column("nth", "int", "number of the row, from 0"),
    Column("question", "text", "key of the question, as it was named", nullable=True),
    Column("comment", "text", "annotator's remark", nullable=True),
    Column("at", "time", "when it was given, UTC", nullable=True),
    _PSEUDONYM,
    Column("gone", "bool", "the person is forgotten"),
)
_GIVEN = Column("given", "text", "the answer as JSON, or what was there instead", nullable=True)
_CHECKED = (
    Column("position", "int", "of the question; null if it is none of the campaign", nullable=True),
    _B,
    Column("reason", "text", "why the row does not fit its question; null if it fits", nullable=True),
)
GIVEN_ROWS = Table("given_rows", "an incoming row", (*_INCOMING, _GIVEN))
JUDGED = Table("judged", "an incoming row, checked", (*_INCOMING, _GIVEN, *_CHECKED))
PEOPLE = Table(
    "people",
    "an annotator of rows that fit, whatever sources the completions are of",
    (_PSEUDONYM, Column("within", "text", "null: one person in every source", nullable=True), _KEY),
)
LATEST = Table(
    "latest",
    "a row that fits, with its status",
    (
        *JUDGED.columns,
        Column("annotator", "text", "key of the annotator"),
        Column("is_last", "bool", "no later row of that annotator is about the question"),
        _KEY,
        Column("standing", "text", "key of the valid answer in the store", nullable=True),
        Column("status", "text", "new, unchanged, superseded or older"),
    ),
)
WITHDRAWN = Table("withdrawn", "a valid answer in the store that is missing now", (_KEY, _PSEUDONYM))
SAID_VOTES = Table("said_votes", "a vote that a valid answer makes", VOTES.stored)
SAID_RATINGS = Table("said_ratings", "a rating that a valid answer makes", RATINGS.stored)
REFUSED = Table("refused", "a row that does not fit, as a reject", REJECTS.stored)
