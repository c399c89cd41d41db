"""Tables of a published dataset, declared like those of the store.

Trainers take exactly the columns they know, so what else is known of a row stands in a second table,
NAME_meta, with the same rows in the same order.
"""

from .tables import Column, Table, Type

_KEY_OF_A_PAIR = Column("key", "text", "hash of the prompt's and both completions' keys")
_ABOUT = (
    Column("task", "text", "of the prompt"),
    Column("group", "text", "rows of one group are in one split"),
)
_FROM = (
    Column("sources", "texts", "sources of the texts and of the signals about them"),
    Column("license", "text", "licences of these sources, joined by AND: all apply"),
)
_P = Column("p", "float", "P(chosen is better than rejected); null without a fit", nullable=True)
_PAIR_META = (
    _KEY_OF_A_PAIR,
    *_ABOUT,
    Column("made", "text", "fit: judged by a fit; learner, partial, over: what is rejected; else the policy"),
    _P,
    Column("p_expressed", "float", "P(chosen is preferred)", nullable=True),
    Column("p_observed", "float", "P(chosen helps more)", nullable=True),
    Column("sd", "float", "of the difference", nullable=True, unit="log-odds"),
    Column("n_votes", "int", "votes between the two"),
    Column("n_ratings", "int", "ratings of either"),
    Column("n_outcomes", "int", "outcomes with either"),
    *_FROM,
    Column("fit", "text", "key of the fit", nullable=True),
    Column("chosen_completion", "text", "key"),
    Column("rejected_completion", "text", "key"),
)
_COMPLETION_META = (Column("key", "text", "key of the completion"), *_ABOUT, *_FROM)
_SIGNALS = (
    Column("key", "text", "key of the vote, rating or outcome"),
    Column("kind", "text", "vote, rating or outcome"),
    Column("group", "text", "rows of one group are in one split"),
    Column("prompt", "text", "key of the prompt"),
    Column("completion", "text", "key; of a vote that of its first completion"),
    Column("other", "text", "of a vote: key of the second completion", nullable=True),
    Column("choice", "text", "of a vote: a (completion), b (other) or tie", nullable=True),
    Column("criterion", "text", "of a rating", nullable=True),
    Column("levels", "int", "of a rating: number of levels", nullable=True),
    Column("measure", "text", "of an outcome: turns (failures before success) or success", nullable=True),
    Column("value", "float", "of a rating: 1..levels; of an outcome: failures, or 0 and 1", nullable=True),
    Column("censored", "bool", "of an outcome: still failing when the log ended", nullable=True),
    Column(
        "person",
        "text",
        "who judged or learnt: not the store's pseudonym: one of this dataset alone",
        nullable=True,
        person=True,
    ),
    Column("source", "text", "source it came with"),
    Column("license", "text", "licence of that source"),
)


def published(config: str, conversational: bool) -> Table:
    """A table of a published dataset: exactly what trainers take; its `_meta` says where rows come from."""
    kind: Type = "messages" if conversational else "text"
    asked = Column("prompt", kind, "what the tutor is asked")
    chosen, rejected = (
        Column("chosen", kind, "the better answer"),
        Column("rejected", kind, "the worse answer"),
    )
    answer = Column("completion", kind, "the answer")
    label = Column("label", "bool", "whether it is a better answer")
    p = Column("p", "float", "P(chosen is better than rejected), at least a half")
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
        "signals": ("votes, ratings and outcomes about the completions of this dataset", _SIGNALS),
    }
    meaning, columns = tables[config]
    return Table(config, meaning, columns)


def with_meta(config: str) -> list[str]:
    """A config and the one beside it."""
    return [config] if config == "signals" else [config, f"{config}_meta"]
