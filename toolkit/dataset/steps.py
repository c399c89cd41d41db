"""Temporary tables between the steps of a build, declared like those of the store.

    a fit, a policy or edits -> candidates, examples -> pairs -> kept, signals_kept -> labels, unpaired

`store.temporary.make` creates them and checks their columns. A table of one gate or one file is
declared there; a table within one function is not declared, and has a unique name.
"""

from ...schemas.published import (
    CHOSEN,
    FIT,
    GROUP,
    KEY_OF_A_PAIR,
    LICENSE,
    MADE,
    OF_A_FIT,
    SOURCES,
    TASK,
    declare_published,
)
from ...schemas.tables import Column, Table

PROMPT = Column("prompt", "text", "key of the prompt")
COMPLETION = Column("completion", "text", "key of the completion")
SPLIT = Column("split", "text", "train, validation or test")
LANGUAGE = Column("language", "text", "BCP 47 code of the prompt")
MESSAGES = Column("messages", "messages", "the dialogue, worded as the recipe says")
DROPPED = Column("dropped", "text", "why the pair is left out; null where it is not", nullable=True)
_NO_REJECTED = Column("rejected_completion", "text", "key; null in an example", nullable=True)

CANDIDATES = Table(
    "candidates",
    "a pair that a chooser proposes: by a fit, by a policy or from edits",
    (
        PROMPT,
        Column("chosen", "text", "key of the better completion"),
        Column("rejected", "text", "key of the worse one; null where none was found", nullable=True),
        MADE,
        *OF_A_FIT,
        FIT,
        DROPPED,
    ),
)
EXAMPLES = Table(
    "examples", "a full correction, for supervised fine-tuning; of a recipe from edits", (PROMPT, COMPLETION)
)
SCORES = Table(
    "scores",
    "a rated completion's summary over criteria",
    (
        COMPLETION,
        Column("score", "float", "weighted mean of its criteria, 0 to 1, higher is better"),
        Column("criteria", "texts", "names of these criteria, sorted"),
    ),
)
PAIRS = Table(
    "pairs",
    "a candidate of the recipe's task and sources, with the reason if it is dropped",
    (
        KEY_OF_A_PAIR,
        SPLIT,
        Column("part", "text", "what its group is for: sft, preference or both"),
        PROMPT,
        CHOSEN,
        Column("rejected_completion", "text", "key; null where none was found", nullable=True),
        MADE,
        *OF_A_FIT,
        FIT,
        TASK,
        GROUP,
        LANGUAGE,
        Column("prompt_source", "text", "source of the prompt"),
        Column("chosen_source", "text", "source of the chosen completion"),
        Column("rejected_source", "text", "source of the rejected completion", nullable=True),
        DROPPED,
    ),
)
KEPT = Table(
    "kept",
    "a row of the dataset, in the order in which it is written: config, split, key",
    (
        Column("config", "text", "preference, sft, or soft for coin flips, which only soft labels take"),
        SPLIT,
        Column("key", "text", "hash of the pair; of an example the key of its completion"),
        PROMPT,
        MADE,
        CHOSEN,
        _NO_REJECTED,
        *OF_A_FIT,
        FIT,
        TASK,
        GROUP,
        LANGUAGE,
        SOURCES,
        Column("licenses", "texts", "licences of these sources, sorted"),
        LICENSE,
        MESSAGES,
        Column("chosen_content", "text", "text of the chosen completion"),
        Column("rejected_content", "text", "text of the rejected one; null in an example", nullable=True),
    ),
)
SIGNALS_KEPT = Table(
    "signals_kept",
    "a vote, rating or outcome about completions of `kept`, in the order in which it is written",
    (*declare_published("signals", True).columns, SPLIT),
)
LABELS = Table(
    "labels",
    "an answer of a preference pair with its label, by the first completion with its text",
    (
        COMPLETION,
        Column("label", "bool", "true if it was chosen, in all its pairs"),
        SPLIT,
        Column("of_pair", "int", "rowid in `kept` of one of its pairs"),
        Column("mixed", "bool", "true if its text was chosen in one pair and rejected in another"),
        Column("repeated", "int", "number of other completions of the prompt with its text"),
    ),
)
UNPAIRED = Table(
    "unpaired",
    "a row of config unpaired: a completion whose label is the same in all its pairs",
    (
        *declare_published("unpaired_meta", True).columns,
        SPLIT,
        MESSAGES,
        Column("label", "bool", "true if it is a better answer"),
        Column("content", "text", "its text"),
    ),
)
