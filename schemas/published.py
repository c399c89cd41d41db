"""Tables of a published dataset, declared like those of the store.

Trainers accept exactly the columns they know, so other facts about a row are in a second table,
NAME_meta, with the same rows in the same order. Keys and people in it are keyed hashes of this dataset
alone (toolkit/privacy/published_keys.py), so that two datasets cannot be joined by them.
"""

from collections.abc import Iterator
from dataclasses import replace

from .tables import EXERCISES, SIGNALS, Column, Table, Type, name_all

ALONE = ("signals", "exercises")
"""Configs whose rows say themselves where they come from."""
KEY_OF_A_PAIR = Column("key", "text", "of the pair of completions, in this dataset alone")
TASK = Column("task", "text", "of the prompt")
GROUP = Column("group", "text", "key of a group, in this dataset alone; its rows are in one split")
SOURCES = Column("sources", "texts", "sources of the texts and of the signals about them")
LICENSE = Column("license", "text", "licences of these sources, joined by AND: all apply")
MADE = Column(
    "made", "text", "fit: judged by a fit; learner, partial, over: what is rejected; else the policy"
)
FIT = Column("fit", "text", "key of the fit", nullable=True)
CHOSEN = Column("chosen_completion", "text", "key")
REJECTED = Column("rejected_completion", "text", "key")

OF_A_FIT = (
    Column("p", "float", "P(chosen is better than rejected); null without a fit", nullable=True),
    Column("p_expressed", "float", "P(chosen is preferred)", nullable=True),
    Column("p_observed", "float", "P(chosen helps more)", nullable=True),
    Column(
        "p_vote",
        "float",
        "P(a new annotator who decides votes for chosen); null without votes",
        nullable=True,
    ),
    Column(
        "p_panel",
        "float",
        "P(of three new annotators more vote for chosen, where not as many); null without votes",
        nullable=True,
    ),
    Column("sd", "float", "of the difference", nullable=True, unit="log-odds"),
    Column(
        "basis",
        "text",
        "drawn: learners tried both, drawn by chance; logged: tried both, not both drawn; judged: not both "
        "were tried; null without a fit",
        nullable=True,
    ),
    *(Column(signal.count, "int", signal.of_pair) for signal in SIGNALS),
)
"""Columns of a fit about a pair, beside its key (FIT); without a fit they are null, and counts are 0."""

_PAIR_META = (KEY_OF_A_PAIR, TASK, GROUP, MADE, *OF_A_FIT, SOURCES, LICENSE, FIT, CHOSEN, REJECTED)
_COMPLETION_META = (Column("key", "text", "key of the completion"), TASK, GROUP, SOURCES, LICENSE)


def _of(kind: str) -> str:
    """Say of which type of signal a column is: of a vote."""
    return f"of {'an' if kind[0] in 'aeiou' else 'a'} {kind}"


_KINDS = [signal.kind for signal in SIGNALS]
_ALL = name_all(signal.plural for signal in SIGNALS)
_PAIRWISE = name_all([_of(signal.kind) for signal in SIGNALS if signal.compares], "or")


def _about_signals() -> Iterator[Column]:
    """Columns that only some types of signals have, null in rows of the others; each says of which it is."""
    meanings: dict[str, list[str]] = {}
    columns: dict[str, Column] = {}
    for signal in SIGNALS:
        for column in signal.published:
            words = f"{_of(signal.kind)}{': ' if column.meaning else ''}{column.meaning}"
            meanings.setdefault(column.name, []).append(words)
            columns.pop(column.name, None)  # the column keeps the place of its last type
            columns[column.name] = column
    for name, column in columns.items():
        yield replace(column, meaning="; ".join(meanings[name]), nullable=True)


_SIGNALS = (
    Column("key", "text", f"key of the {name_all(_KINDS, 'or')}"),
    Column("kind", "text", name_all(_KINDS, "or")),
    GROUP,
    Column("prompt", "text", "key of the prompt"),
    Column("completion", "text", f"key; {_PAIRWISE} that of its first completion"),
    Column("other", "text", f"{_PAIRWISE}: key of the second completion", nullable=True),
    *_about_signals(),
    Column(
        "person",
        "text",
        "key of who judged or learnt, in this dataset alone",
        nullable=True,
        person=True,
    ),
    Column("source", "text", "source it came with"),
    Column("license", "text", "licence of that source"),
)


_EXERCISES = (
    Column("key", "text", "of the exercise, in this dataset alone"),
    *(column for column in EXERCISES.columns if column.name in ("kind", "language", "shown", "answers")),
    *(column for column in EXERCISES.columns if column.name in ("distractors", "words")),
    Column("explanations", "texts", "of which one is shown, A or B; of a problem its worked solutions"),
    *(column for column in EXERCISES.columns if column.name in ("hint", "before", "after", "error_type")),
    *(column for column in EXERCISES.columns if column.name in ("band", "level")),
    GROUP,
    SOURCES,
    LICENSE,
)


def declare_published(config: str, conversational: bool) -> Table:
    """Declare a table of a published dataset, with exactly the columns that trainers take.

    Its `_meta` table says where rows come from.
    """
    kind: Type = "messages" if conversational else "text"
    asked = Column("prompt", kind, "what the tutor is asked")
    chosen, rejected = (
        Column("chosen", kind, "the better answer"),
        Column("rejected", kind, "the worse answer"),
    )
    answer = Column("completion", kind, "the answer")
    label = Column("label", "bool", "whether it is a better answer")
    p = Column(
        "p", "float", "the recipe's soft_label: p of its _meta table, P(chosen is better), or a vote's"
    )
    beside = "one row per row of {}, in the same order: where it comes from".format
    pairs, singles = "pairs for preference training", "examples for supervised fine-tuning"
    tables: dict[str, tuple[str, tuple[Column, ...]]] = {
        "preference": (pairs, (asked, chosen, rejected)),
        "preference_meta": (beside("preference") + " and how sure it is", _PAIR_META),
        "soft": ("pairs with their probabilities, coin flips among them", (asked, chosen, rejected, p)),
        "soft_meta": (beside("soft") + " and how sure it is", _PAIR_META),
        "unpaired": ("answers that are better or worse than others (KTO)", (asked, answer, label)),
        "unpaired_meta": (beside("unpaired"), _COMPLETION_META),
        "sft": (singles, (asked, answer)),
        "sft_meta": (beside("sft"), _COMPLETION_META),
        "exercises": ("exercises for learners, with proven keys", _EXERCISES),
        "signals": (f"{_ALL} about the completions of this dataset", _SIGNALS),
    }
    meaning, columns = tables[config]
    return Table(config, meaning, columns)


def list_with_meta(config: str) -> list[str]:
    """List the tables of a config: its own and, except for ALONE, the `_meta` table beside it."""
    return [config] if config in ALONE else [config, f"{config}_meta"]
