"""Every table of the store and of a published dataset, declared once.

The DDL, the Polars schema, the `datasets.Features` of what is published and the data dictionary
(docs/data.md) are derived from these declarations by `derive.py`. A table's key is a hash of its
identity columns, so the same input gives the same keys on every machine.
"""

from .came_in import COMPLETIONS, EDITS, PROMPTS, REJECTS, REVIEWS, SENTENCES, SOURCES, TURNS
from .campaigns import ANNOTATORS, ANSWERS, QUESTIONS, REPLIES, RUBRICS
from .declare import KEY, ORIGIN, SOURCE, Column, Table, Type
from .derived import (
    BUILDS,
    CHAIN_ENDS,
    DRAWS,
    EFFECTIVENESS,
    FITS,
    FORGOTTEN,
    FORGOTTEN_ROWS,
    PREFERENCES,
    TEXT_STATES,
    TRACES,
)
from .exercises import EXERCISES, LEXICON
from .learners import LEARNER_FITS, LEARNER_STATES, MASTERY, MEMORY, OUTCOME_OFFSETS
from .signals import (
    COUNTS,
    EXPRESSED,
    OBSERVED,
    OUTCOMES,
    RATINGS,
    SIGNALS,
    VOTES,
    SignalType,
    name_all,
    select_signals,
)
from .studies import ASSIGNMENTS, PARTICIPANTS, STUDIES

__all__ = [
    "ANNOTATORS",
    "ANSWERS",
    "ASSIGNMENTS",
    "BUILDS",
    "CHAIN_ENDS",
    "COMPLETIONS",
    "COUNTS",
    "DRAWS",
    "EDITS",
    "EFFECTIVENESS",
    "EXERCISES",
    "EXPRESSED",
    "FITS",
    "FORGOTTEN",
    "FORGOTTEN_ROWS",
    "KEY",
    "LEARNER_FITS",
    "LEARNER_STATES",
    "LEXICON",
    "MASTERY",
    "MEMORY",
    "OBSERVED",
    "OF_A_SOURCE",
    "ORIGIN",
    "OUTCOMES",
    "OUTCOME_OFFSETS",
    "PARTICIPANTS",
    "PREFERENCES",
    "PROMPTS",
    "QUESTIONS",
    "RATINGS",
    "REJECTS",
    "REPLIES",
    "REVIEWS",
    "RUBRICS",
    "SCHEMA_VERSION",
    "SENTENCES",
    "SIGNALS",
    "SOURCE",
    "SOURCES",
    "STUDIES",
    "TABLES",
    "TEXT_STATES",
    "TRACES",
    "TURNS",
    "VOTES",
    "Column",
    "SignalType",
    "Table",
    "Type",
    "name_all",
    "select_signals",
]

SCHEMA_VERSION = 10
TABLES: dict[str, Table] = {
    table.name: table
    for table in (
        SOURCES,
        REJECTS,
        SENTENCES,
        EDITS,
        TURNS,
        REVIEWS,
        PROMPTS,
        COMPLETIONS,
        LEXICON,
        ANNOTATORS,
        RUBRICS,
        *(signal.table for signal in SIGNALS),
        QUESTIONS,
        ANSWERS,
        REPLIES,
        STUDIES,
        PARTICIPANTS,
        ASSIGNMENTS,
        FITS,
        EFFECTIVENESS,
        PREFERENCES,
        CHAIN_ENDS,
        DRAWS,
        TEXT_STATES,
        BUILDS,
        EXERCISES,
        LEARNER_FITS,
        MASTERY,
        LEARNER_STATES,
        MEMORY,
        OUTCOME_OFFSETS,
        TRACES,
        FORGOTTEN,
        FORGOTTEN_ROWS,
    )
}

# Tables whose rows belong to a source and leave with it.
OF_A_SOURCE = tuple(table for table in TABLES.values() if SOURCE.name in table.names)
