"""Check columns, tokenizer and settings before any row is read.

{prompt, chosen, rejectd} -> REFUSED columns: no column 'rejected' (did you mean 'rejectd'?)
"""

from collections.abc import Iterator, Set
from typing import Any

import pyarrow as pa

from ...schemas.support.nearest import find_nearest
from ..stages.registry import STAGES
from ..stages.settings import ALLOWABLE, PreflightSettings
from ..stages.stage import Stage, UsedColumns
from .records import Defect, check_choice
from .rows import RowForm, Tokenizer

_TEXTS = (
    "prompt",
    "chosen",
    "rejected",
    "completion",
    "messages",
)  # TRL looks at these to see whether rows are dialogues
_PADS = ("pad", "reserved", "unused", "unk")  # in the names of tokens that can pad


def check_stage(stage: str, settings: PreflightSettings) -> None:
    """Check that the stage and the named values exist; RecipeError names the nearest that does."""
    check_choice("stage", stage, tuple(STAGES))
    check_choice("truncation_mode", settings.truncation_mode, ("keep_start", "keep_end"))
    check_choice("packing_strategy", settings.packing_strategy, ("bfd", "bfd_split", "wrapped"))
    check_choice("dtype", settings.dtype, ("auto", "float32", "bfloat16", "float16"))
    for name in settings.allow:
        check_choice("allow", name, ALLOWABLE)


def check_settings(stage: Stage, settings: PreflightSettings) -> Iterator[Defect]:
    """Refuse settings that TRL raises for, some of them only once the weights are loaded."""
    for text in stage.refuse_settings(settings):
        yield refuse("settings", text)


def find_form(
    stage: Stage, schema: pa.Schema, split: str, settings: PreflightSettings
) -> tuple[RowForm | None, list[Defect]]:
    """Find how the rows are written, and what is wrong with the columns.

    `schema` is that of the split's table. The form is None if the rows cannot be read.
    """
    have = set(schema.names)
    used = stage.use_columns(have, settings)
    wanted = (*([used.prompt] if used.prompt else []), *used.answers, *used.others)
    if missing := [name for name in wanted if name not in have]:
        return None, [_missing(stage.name, missing, have - set(wanted), split)]
    if stage.label in wanted and not _is_truth(schema.field(stage.label).type):
        text = f"{stage.label} must be true or false, and is neither: mend the column"
        return None, [refuse("columns", text, split)]
    dialogues = {name: not _is_text(schema.field(name).type) for name in _TEXTS if name in have}
    form = RowForm(used.prompt, used.answers, dialogues.get(used.answers[0], False))
    found = list(_clashes(stage, used, dialogues, have - set(wanted), split, settings))
    left = have - set(wanted) - {name for d in found for name in d.rows}
    read = {"tools", "chat_template_kwargs"} & left if form.conversational else set()
    if read:
        text = f"{_names(read)}: TRL hands this to the chat template of each row, and so does preflight"
        found.append(Defect("columns_read", "", 0, (), text, refused=False))
    if left - read:
        hints = "".join(f" ({hint})" for name, hint in stage.hints.items() if name in left)
        text = f"{_names(left - read)}: TRL does not look at this{hints}; nothing to do if that is meant"
        found.append(Defect("columns_ignored", "", 0, (), text, refused=False))
    unusable = any(d.refused and d.kind == "mixed_columns" for d in found)
    return (None if unusable else form), [_without_rows(d) for d in found]


def _missing(stage: str, missing: list[str], others: set[str], split: str) -> Defect:
    near = {name: find_nearest(name, others) for name in missing}
    said = [f"'{name}'" + (f" (did you mean '{n}'?)" if n else "") for name, n in near.items()]
    text = f"no column {' and no column '.join(said)}, which {stage} needs"
    if missing == ["prompt"]:
        text += "; TRL would take what chosen and rejected begin with in common: write the prompt apart"
    else:
        text += f"; there is {_names(others) or 'no other'}: rename it, or choose the config made for {stage}"
    return refuse("columns", text, split)


def _clashes(
    stage: Stage,
    used: UsedColumns,
    dialogues: dict[str, bool],
    others: set[str],
    split: str,
    settings: PreflightSettings,
) -> Iterator[Defect]:
    """Columns that make TRL fail or change its behaviour; `rows` has their names."""
    if images := others & {"image", "images"}:
        yield _column_refusal(
            "reserved_columns", images, "TRL takes it for images and wants a vision model", split
        )
    if taken := others & stage.reserved:
        yield _column_refusal("reserved_columns", taken, stage.reserved_effect, split)
    conversational = dialogues.get(used.answers[0], False)
    odd = {name for name, dialogue in dialogues.items() if dialogue != conversational}
    if odd:
        both = "messages beside texts: TRL goes by whichever column it meets first; write all one rules"
        yield Defect("mixed_columns", split, 0, tuple(sorted(odd)), f"{_names(odd)}: {both}", refused=True)
    for clash in stage.find_clashes(used, conversational, others, settings):
        yield _column_refusal("reserved_columns", clash.columns, clash.effect, split)


def _column_refusal(kind: str, names: Set[str], does: str, split: str) -> Defect:
    text = f"{_names(names)}: {does}; remove or rename the column"
    return Defect(kind, split, 0, tuple(sorted(names)), text, refused=True)


def _without_rows(defect: Defect) -> Defect:
    return Defect(defect.kind, defect.split, defect.count, (), defect.text, defect.refused)


def check_tokenizer(
    tokenizer: Tokenizer, form: RowForm, stage: Stage, settings: PreflightSettings
) -> Iterator[Defect]:
    """Find what the tokenizer lacks for rows of this form; set the config's pad and end tokens on it."""
    for name in ("pad_token", "eos_token"):
        token = getattr(settings, name)
        if token is not None and token not in tokenizer.get_vocab():
            near = find_nearest(token, tokenizer.all_special_tokens)
            meant = f"; did you mean {near!r}?" if near else ""
            yield refuse("token_unknown", f"{name}: {token!r} is not a token of this tokenizer{meant}")
        elif token is not None:
            setattr(tokenizer, name, token)
    if tokenizer.eos_token is None:
        end = "eos_token: name the token that ends a reply, in the tokenizer's tokenizer_config.json"
        yield refuse("no_eos_token", f"the tokenizer has no end-of-text token, so no reply ends; {end}")
    if tokenizer.pad_token is None:
        yield _no_pad(tokenizer)
    if form.conversational and not tokenizer.chat_template and not settings.chat_template_path:
        yield refuse(
            "no_chat_template",
            f"the rows are dialogues and the tokenizer has no chat template; {_mend(stage)}",
        )
    assistant = "assistant_only_loss" in stage.honours and settings.assistant_only_loss
    if assistant and not form.conversational:
        text = "assistant_only_loss needs dialogues and these rows are texts: TRL raises; take it out"
        yield refuse("settings", text + " (completions alone bear the loss by default)")


def _mend(stage: Stage) -> str:
    mend = "begin from an instruct model or from your own SFT output, whose tokenizer has one"
    template = "set chat_template_path: to a .jinja file or to a model whose template to take, or "
    return (template if "chat_template_path" in stage.honours else "") + mend


def _no_pad(tokenizer: Tokenizer) -> Defect:
    if tokenizer.eos_token is None:
        return refuse("no_pad_token", "there is neither a pad nor an end-of-text token: TRL raises; add both")
    vocabulary = [t for t in tokenizer.get_added_vocab() if t != tokenizer.eos_token]
    able = [t for part in _PADS for t in vocabulary if part in t.lower()]
    mend = (
        f"pad_token: {able[0]!r} is in its vocabulary" if able else "name an unused token of its vocabulary"
    )
    text = f"no pad token: TRL pads with {tokenizer.eos_token!r}, masked, so the loss is right; {mend}"
    return Defect("no_pad_token", "", 0, (), text + " (for tools that mask by token)", refused=False)


def refuse(kind: str, text: str, split: str = "") -> Defect:
    """Make a refusal that is not about single rows."""
    return Defect(kind, split, 0, (), text, refused=True)


def find_training_template(tokenizer: Tokenizer) -> tuple[str | None, Defect | None]:
    """Find the template that TRL takes for a loss on the assistant's tokens; None: the tokenizer's own.

    The second value is a refusal where TRL has none.
    """
    from trl.chat_template_utils import get_training_chat_template, has_generation_markers

    if has_generation_markers(tokenizer.chat_template):
        return None, None
    try:
        return get_training_chat_template(tokenizer), None
    except ValueError as error:
        said = " ".join(str(error).split())[:160]
        mend = "put {% generation %} … {% endgeneration %} around what the assistant says, or take it out"
        text = f"assistant_only_loss, and the template does not mark what the assistant says: {mend} ({said})"
        return None, refuse("no_generation_marks", text)


def _is_text(kind: Any) -> bool:
    view = getattr(pa.types, "is_string_view", lambda _: False)
    return bool(
        pa.types.is_string(kind) or pa.types.is_large_string(kind) or view(kind) or pa.types.is_null(kind)
    )


def _is_truth(kind: Any) -> bool:
    return bool(pa.types.is_boolean(kind) or pa.types.is_integer(kind) or pa.types.is_null(kind))


def _names(names: Set[str]) -> str:
    return ", ".join(sorted(names))
