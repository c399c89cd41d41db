"""Signals: what people preferred, and what learners achieved; every type is listed once, in SIGNALS."""

from collections.abc import Iterable
from dataclasses import dataclass

from .declare import SOURCE, Column, Table, declare

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
    Column(
        "ranking", "text", "ranking of its source that it is part of; null where it is alone", nullable=True
    ),
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


@dataclass(frozen=True)
class SignalType:
    """A type of signal: its table, and what everything that reads all signals must know of it.

    A signal belongs to one completion or compares two of one prompt, and names an annotator or a
    learner, or nobody. To add a type, declare its table and list it in SIGNALS; then it is read by
    `ingest/preferences/signals.py` and explained by a file in `fusion/likelihoods`.
    """

    table: Table
    kind: str  # one row in words; with an s, several
    expressed: bool  # what people say about completions; else observed: what learners do with them
    said: str  # DuckDB expression over the table's columns: a row in words
    published: tuple[Column, ...]  # columns of the config `signals`, with their meaning for this type
    of_completion: str  # meaning of the number of rows of a completion
    of_pair: str  # meaning of the number of rows of a pair
    completions: tuple[str, ...] = ("completion",)  # columns with keys of completions
    annotator: str = ""  # column with the key of who judged
    learner: str = ""  # column with the pseudonym of who learnt

    @property
    def name(self) -> str:
        """Name of the table."""
        return self.table.name

    @property
    def plural(self) -> str:
        """Several rows in words."""
        return f"{self.kind}s"

    @property
    def count(self) -> str:
        """Name of the columns that count its rows."""
        return f"n_{self.name}"

    @property
    def compares(self) -> bool:
        """True if a row is about two completions."""
        return len(self.completions) == 2

    @property
    def person(self) -> str:
        """Name of the column that says who judged or learnt."""
        return self.annotator or self.learner


SIGNALS: tuple[SignalType, ...] = (
    SignalType(
        VOTES,
        "vote",
        expressed=True,
        said="CASE choice WHEN 'tie' THEN 'tie' WHEN 'a' THEN completion_a ELSE completion_b END",
        published=(Column("choice", "text", "a (completion), b (other) or tie"),),
        of_completion="votes it took part in",
        of_pair="votes between the two",
        completions=("completion_a", "completion_b"),
        annotator="annotator",
    ),
    SignalType(
        RATINGS,
        "rating",
        expressed=True,
        said="criterion || ': ' || value || ' of ' || levels",
        published=(
            Column("criterion", "text", ""),
            Column("levels", "int", "number of levels"),
            Column("value", "float", "1..levels"),
        ),
        of_completion="ratings it received",
        of_pair="ratings of either",
        annotator="annotator",
    ),
    SignalType(
        OUTCOMES,
        "outcome",
        expressed=False,
        said="measure || ': ' || printf('%g', value) || if(censored, ', still failing', '')",
        published=(
            Column("measure", "text", "turns (failures before success) or success"),
            Column("value", "float", "failures, or 0 and 1"),
            Column("censored", "bool", "still failing when the log ended"),
        ),
        of_completion="outcomes of learners with it",
        of_pair="outcomes with either",
        learner="learner",
    ),
)
EXPRESSED = tuple(signal for signal in SIGNALS if signal.expressed)
OBSERVED = tuple(signal for signal in SIGNALS if not signal.expressed)
COUNTS = tuple(signal.count for signal in SIGNALS)  # columns that count the signals of each type


def name_all(words: Iterable[str], last: str = "and") -> str:
    """Join words as a list in prose: votes, ratings and outcomes."""
    *first, end = words
    return f"{', '.join(first)} {last} {end}" if first else end


def select_signals(columns: str = "", signals: Iterable[SignalType] = SIGNALS, where: str = "true") -> str:
    """Write the SELECT of one row per signal and completion that it is about.

    Columns: completion, then `columns` (such as ", source"), which every signal's table must have.
    A row that compares two completions is there twice. `where` holds for the rows of each table;
    {name} in it is the table's name.
    """
    return " UNION ALL ".join(
        f"SELECT {column} AS completion{columns} FROM {signal.name} WHERE {where.format(name=signal.name)}"
        for signal in signals
        for column in signal.completions
    )
