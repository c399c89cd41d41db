"""Messages of preflight for each kind of defect: what TRL makes of it, and what to do.

truncated -> "14 of 812 rows lose 1,980 tokens at max_length 256, the end-of-text token among them; …"
"""

from ..stages.settings import ALLOWABLE, PreflightSettings
from .records import Defect, SplitCounts

# Kind: whether it is refused, and the message; in the order of the report.
_OF = "{n:,} of {of:,} rows"
WORDS: dict[str, tuple[bool, str]] = {
    "null_cells": (True, f"{_OF} hold a null: TRL raises; drop them or build the dataset anew"),
    "template_fails": (
        True,
        f"the chat template fails for {_OF}: {{said}}; take a model whose template takes them, or "
        "{without}",
    ),
    "no_embedding": (
        True,
        f"{_OF} have a token that the model has no embedding for: training would stop with an index out of "
        "range; bring back the tokenizer that came with the model, or enlarge the model",
    ),
    "no_assistant": (
        True,
        f"assistant_only_loss: {_OF} have no token of the assistant's: TRL raises; drop them, or see that "
        "the template has {{% generation %}} around every reply",
    ),
    "p_range": (True, f"{_OF} have a p outside 0..1; fuse and build again, or mend the column"),
    "dead_pairs": (
        True,
        "{n:,} of {of:,} pairs have the same tokens twice{cut}: no gradient comes of them; {raised}{without}",
    ),
    "empty_completions": (True, f"{_OF} teach an empty answer; remove them from the dataset"),
    "one_label": (
        True,
        "all rows have the same label: KTO learns from the difference; add rows with the other",
    ),
    "dropped": (
        False,
        f"{_OF} are dropped by TRL without a count: {{why}}; raise max_length (--set max_length={{whole}}) "
        "or shorten the prompts",
    ),
    "truncated": (
        False,
        f"{_OF} lose {{lost:,}} tokens at max_length {{max}}, {{side}}; max_length: {{whole}} would keep all",
    ),
    "no_loss": (False, f"{_OF} have an answer with no token that bears the loss; drop them"),
    "boundary": (
        False,
        f"in {_OF} the prompt's tokens do not begin those of prompt and completion (a token goes across the "
        "boundary, or the template writes the prompt otherwise), so the model is trained on another context "
        "than it will meet; end prompts where no token goes on, or mend the template",
    ),
    "no_end": (
        False,
        f"in {_OF} the template ends the reply without the tokenizer's end-of-text token, so the model may "
        "not learn to stop; set eos_token to what the template ends a turn with",
    ),
    "empty_rejected": (False, f"{_OF} have an empty worse answer, which is told by its length"),
    "p_below_half": (False, f"{_OF} have a p below a half: the rejected is thought the better"),
    "duplicates": (False, f"{_OF} were there before in this split; drop them"),
    "both_labels": (False, f"{_OF} were there before with the other label; keep one of each"),
    "in_two_splits": (
        False,
        f"{_OF} are in another split too, so what is measured on them is not held out; split by group",
    ),
}


def _word_build(settings: PreflightSettings) -> str:
    """Say how a dataset is built without rows that this tokenizer makes useless."""
    parts = [
        f"name: {settings.model_name_or_path or 'MODEL'}",
        f"max_length: {settings.max_length or 'null'}",
    ]
    parts += ["cut: keep_end"] * (settings.truncation_mode == "keep_end")
    return (
        f"build the dataset without them (tokenizer: {{{', '.join(parts)}, drop: true}} in its recipe, then "
        "preceptor build)"
    )


def describe_defect(
    kind: str,
    split: SplitCounts,
    count: int,
    rows: tuple[str, ...],
    settings: PreflightSettings,
    cut: int,
    said: str,
) -> Defect:
    """Describe a defect of `count` rows; kinds that the settings allow only warn.

    `cut` is the number of pairs that only truncation makes equal, `said` the chat template's message.
    """
    refused, words = WORDS[kind]
    keep_end = settings.truncation_mode == "keep_end"
    masked = "after truncation no token bears the loss" if keep_end else "the prompt alone reaches max_length"
    text = words.format(
        n=count,
        of=split.rows,
        lost=split.tokens_lost,
        whole=split.whole,
        max=settings.max_length,
        cut=f" ({cut:,} of them only where max_length cuts them)" if cut else "",
        raised=f"raise max_length (--set max_length={split.whole}), or " if cut == count else "",
        without=_word_build(settings),
        side="from the prompt's beginning" if keep_end else "the end-of-text token among them",
        why=masked,
        said=said,
    )
    if refused and kind in ALLOWABLE:
        text += f" (allowed: {kind})" if kind in settings.allow else f", or --set allow=[{kind}] to train on"
    return Defect(kind, split.name, count, rows, text, refused and kind not in settings.allow)
