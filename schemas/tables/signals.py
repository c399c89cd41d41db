"""Signals: what people preferred, and what learners achieved."""

from .declare import SOURCE, Column, declare

VOTES = declare(
    "votes",
    "expressed: a pairwise judgement",
    ("source", "path", "line", "n", "completion_a", "completion_b", "choice"),
    SOURCE,
    Column("completion_a", "text", "key of a completion"),
    Column("completion_b", "text", "key of another completion of the same prompt"),
    Column("choice", "text", "a, b or tie"),
    Column("annotator", "text", "key; null where the source is aggregated", nullable=True),
    Column("shown_first", "text", "a or b; null where not known", nullable=True),
    Column("at", "time", "when, UTC", nullable=True),
    Column("n", "int", "number among the signals of one input line, from 0"),
    origin=True,
)
RATINGS = declare(
    "ratings",
    "expressed: a rating of one completion",
    ("source", "path", "line", "n", "completion", "criterion", "value"),
    SOURCE,
    Column("completion", "text", "key of the completion"),
    Column("criterion", "text", "name in rubrics"),
    Column("value", "int", "1..levels"),
    Column("levels", "int", "number of levels"),
    Column("annotator", "text", "key; null where the source is aggregated", nullable=True),
    Column("at", "time", "when, UTC", nullable=True),
    Column("n", "int", "number among the signals of one input line, from 0"),
    origin=True,
)
OUTCOMES = declare(
    "outcomes",
    "observed: what a learner achieved with a completion",
    ("source", "path", "line", "n", "completion", "measure", "value"),
    SOURCE,
    Column("completion", "text", "key of the completion"),
    Column("learner", "text", "pseudonym; null where not known", nullable=True, person=True),
    Column("measure", "text", "turns (failures before success) or success (0 or 1)"),
    Column("value", "float", "turns: fewer is better; success: 0 or 1"),
    Column("censored", "bool", "still failing when the log ended"),
    Column("at", "time", "when, UTC", nullable=True),
    Column("n", "int", "number among the signals of one input line, from 0"),
    origin=True,
)
