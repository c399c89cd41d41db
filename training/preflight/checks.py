"""What can be said before a row is read: of the columns, the tokenizer and the settings.

{prompt, chosen, rejectd} -> REFUSED columns: no column 'rejected' (did you mean 'rejectd'?)
"""

from collections.abc import Iterator
from typing import Any

import pyarrow as pa

from ...schemas.support.nearest import find_nearest
from .records import ALLOWABLE, Defect, Settings, one_of
from .rows import Form, Tokenizer

STAGES = ("sft", "dpo", "ipo", "soft-dpo", "kto")
_TEXTS = ("prompt", "chosen", "rejected", "completion", "messages")  # by which TRL tells dialogues from texts
_RESERVED = {
    "sft": {"input_ids", "labels", "seq_lengths", "assistant_masks", "completion_mask"},
    "kto": {"ref_logps", "ref_KL_logps"},
}
_RESERVED_PAIRS = {"ref_chosen_logps", "ref_rejected_logps"}
_PADS = ("pad", "reserved", "unused", "unk")  # in the names of tokens that can pad


def check_stage(stage: str, settings: Settings) -> None:
    """Raise RecipeError for a stage or a value that does not exist."""
    one_of("stage", stage, STAGES)
    one_of("truncation_mode", settings.truncation_mode, ("keep_start", "keep_end"))
    one_of("packing_strategy", settings.packing_strategy, ("bfd", "bfd_split", "wrapped"))
    one_of("dtype", settings.dtype, ("auto", "float32", "bfloat16", "float16"))
    for name in settings.allow:
        one_of("allow", name, ALLOWABLE)


def check_settings(stage: str, settings: Settings) -> Iterator[Defect]:
    """Settings that TRL raises for, some only once the weights are loaded."""
    if stage == "sft" and settings.packing and settings.max_length is None:
        yield refusal("settings", "packing needs a max_length: set one")
    kl = stage == "kto" and settings.loss_type not in ("apo_zero_unpaired", ("apo_zero_unpaired",))
    if kl and settings.per_device_train_batch_size < 2:
        yield refusal(
            "settings", "KTO compares the rows of a batch: set per_device_train_batch_size to 2 or more"
        )


def form_of(
    stage: str, schema: pa.Schema, split: str, settings: Settings
) -> tuple[Form | None, list[Defect]]:
    """How the rows of this stage are written (None: unreadably), and what is wrong with the columns."""
    have = set(schema.names)
    prompt, answers = _wanted(stage, have, settings)
    extra = {"soft-dpo": ("p",), "kto": ("label",) if answers == ("completion",) else ()}.get(stage, ())
    wanted = (*([prompt] if prompt else []), *answers, *extra)
    if missing := [name for name in wanted if name not in have]:
        return None, [_missing(stage, missing, have - set(wanted), split)]
    if "label" in wanted and not _is_truth(schema.field("label").type):
        return None, [
            refusal("columns", "label must be true or false, and is neither: mend the column", split)
        ]
    dialogues = {name: not _is_text(schema.field(name).type) for name in _TEXTS if name in have}
    form = Form(prompt, answers, dialogues.get(answers[0], False))
    found = list(_clashes(stage, form, dialogues, have - set(wanted), split, settings))
    left = have - set(wanted) - {name for d in found for name in d.rows}
    read = {"tools", "chat_template_kwargs"} & left if form.conversational else set()
    if read:
        text = f"{_names(read)}: TRL hands this to the chat template of each row, and so does preflight"
        found.append(Defect("columns_read", "", 0, (), text, refused=False))
    if left - read:
        soft = " (stage: soft-dpo trains on p)" if "p" in left and stage in ("dpo", "ipo") else ""
        text = f"{_names(left - read)}: TRL does not look at this{soft}; nothing to do if that is meant"
        found.append(Defect("columns_ignored", "", 0, (), text, refused=False))
    unusable = any(d.refused and d.kind == "mixed_columns" for d in found)
    return (None if unusable else form), [_without_rows(d) for d in found]


def _wanted(stage: str, have: set[str], settings: Settings) -> tuple[str | None, tuple[str, ...]]:
    if stage == "sft" and "prompt" not in have and "completion" not in have:
        text = settings.dataset_text_field
        if "messages" in have or text in have:
            return None, ("messages" if "messages" in have else text,)
    if stage == "sft" or (stage == "kto" and not {"chosen", "rejected"} <= have):
        return "prompt", ("completion",)
    return "prompt", ("chosen", "rejected")


def _missing(stage: str, missing: list[str], others: set[str], split: str) -> Defect:
    near = {name: find_nearest(name, others) for name in missing}
    said = [f"'{name}'" + (f" (did you mean '{n}'?)" if n else "") for name, n in near.items()]
    text = f"no column {' and no column '.join(said)}, which {stage} needs"
    if missing == ["prompt"]:
        text += "; TRL would take what chosen and rejected begin with in common: write the prompt apart"
    else:
        text += f"; there is {_names(others) or 'no other'}: rename it, or choose the config made for {stage}"
    return refusal("columns", text, split)


def _clashes(
    stage: str, form: Form, dialogues: dict[str, bool], others: set[str], split: str, settings: Settings
) -> Iterator[Defect]:
    """Columns that make TRL fail or do something else; `rows` holds their names."""
    if images := others & {"image", "images"}:
        yield _column_refusal(
            "reserved_columns", images, "TRL takes it for images and wants a vision model", split
        )
    if taken := others & _RESERVED.get(stage, _RESERVED_PAIRS):
        does = (
            "TRL takes it for its own and passes the texts by"
            if stage == "sft"
            else "TRL takes it for its own"
        )
        yield _column_refusal("reserved_columns", taken, does, split)
    odd = {name for name, dialogue in dialogues.items() if dialogue != form.conversational}
    if odd:
        both = "messages beside texts: TRL goes by whichever column it meets first; write all one way"
        yield Defect("mixed_columns", split, 0, tuple(sorted(odd)), f"{_names(odd)}: {both}", refused=True)
    text = settings.dataset_text_field
    if stage == "sft" and not form.conversational and form.prompt and text in others:
        does = "TRL puts the end-of-text token there, and the completions are left without"
        yield _column_refusal("reserved_columns", {text}, does, split)
    if stage == "sft" and "conversations" in others:
        yield _column_refusal(
            "reserved_columns", {"conversations"}, "TRL converts it and loses the others", split
        )


def _column_refusal(kind: str, names: set[str], does: str, split: str) -> Defect:
    text = f"{_names(names)}: {does}; remove or rename the column"
    return Defect(kind, split, 0, tuple(sorted(names)), text, refused=True)


def _without_rows(defect: Defect) -> Defect:
    return Defect(defect.kind, defect.split, defect.count, (), defect.text, defect.refused)


def check_tokenizer(tokenizer: Tokenizer, form: Form, stage: str, settings: Settings) -> Iterator[Defect]:
    """What the tokenizer lacks for rows of this form; applies the config's pad and end tokens to it."""
    for name in ("pad_token", "eos_token"):
        token = getattr(settings, name)
        if token is not None and token not in tokenizer.get_vocab():
            near = find_nearest(token, tokenizer.all_special_tokens)
            meant = f"; did you mean {near!r}?" if near else ""
            yield refusal("token_unknown", f"{name}: {token!r} is not a token of this tokenizer{meant}")
        elif token is not None:
            setattr(tokenizer, name, token)
    if tokenizer.eos_token is None:
        end = "eos_token: name the token that ends a reply, in the tokenizer's tokenizer_config.json"
        yield refusal("no_eos_token", f"the tokenizer has no end-of-text token, so no reply ends; {end}")
    if tokenizer.pad_token is None:
        yield _no_pad(tokenizer)
    if form.conversational and not tokenizer.chat_template and not settings.chat_template_path:
        yield refusal(
            "no_chat_template",
            f"the rows are dialogues and the tokenizer has no chat template; {_mend(stage)}",
        )
    if stage == "sft" and settings.assistant_only_loss and not form.conversational:
        text = "assistant_only_loss needs dialogues and these rows are texts: TRL raises; take it out"
        yield refusal("settings", text + " (completions alone bear the loss by default)")


def _mend(stage: str) -> str:
    mend = "begin from an instruct model or from your own SFT output, whose tokenizer has one"
    of_sft = "set chat_template_path: to a .jinja file or to a model whose template to take, or "
    return (of_sft if stage == "sft" else "") + mend


def _no_pad(tokenizer: Tokenizer) -> Defect:
    if tokenizer.eos_token is None:
        return refusal(
            "no_pad_token", "there is neither a pad nor an end-of-text token: TRL raises; add both"
        )
    vocabulary = [t for t in tokenizer.get_added_vocab() if t != tokenizer.eos_token]
    able = [t for part in _PADS for t in vocabulary if part in t.lower()]
    mend = (
        f"pad_token: {able[0]!r} is in its vocabulary" if able else "name an unused token of its vocabulary"
    )
    text = f"no pad token: TRL pads with {tokenizer.eos_token!r}, masked, so the loss is right; {mend}"
    return Defect("no_pad_token", "", 0, (), text + " (for tools that mask by token)", refused=False)


def refusal(kind: str, text: str, split: str = "") -> Defect:
    """A refusal that is about no row."""
    return Defect(kind, split, 0, (), text, refused=True)


def training_template(tokenizer: Tokenizer) -> tuple[str | None, Defect | None]:
    """The template that TRL takes for a loss on the assistant's tokens; a refusal where it has none."""
    from trl.chat_template_utils import get_training_chat_template, has_generation_markers

    if has_generation_markers(tokenizer.chat_template):
        return None, None
    try:
        return get_training_chat_template(tokenizer), None
    except ValueError as error:
        said = " ".join(str(error).split())[:160]
        mend = "put {% generation %} … {% endgeneration %} around what the assistant says, or take it out"
        text = f"assistant_only_loss, and the template does not mark what the assistant says: {mend} ({said})"
        return None, refusal("no_generation_marks", text)


def _is_text(kind: Any) -> bool:
    view = getattr(pa.types, "is_string_view", lambda _: False)
    return bool(
        pa.types.is_string(kind) or pa.types.is_large_string(kind) or view(kind) or pa.types.is_null(kind)
    )


def _is_truth(kind: Any) -> bool:
    return bool(pa.types.is_boolean(kind) or pa.types.is_integer(kind) or pa.types.is_null(kind))


def _names(names: set[str]) -> str:
    return ", ".join(sorted(names))
