"""`preceptor merge`: merge an adapter into the model it was trained on.

models/gec-sft (adapter_model.safetensors) -> models/gec-sft-merged (model.safetensors)
"""

import json
import shutil
import warnings
from pathlib import Path
from typing import Any

from ..schemas.errors import TrainingError
from ..schemas.support.adapter_folders import (
    ABOUT,
    ADAPTER,
    CARD,
    CURVES,
    METRICS,
    explain_code,
    find_base,
    hash_model,
    read_known_base,
    was_folder,
)
from ..schemas.support.files import make_partial_folder
from ..schemas.support.json_text.values import parse_json
from .output import render_card
from .trainer.logging import hide_library_messages

KEPT = (ABOUT, METRICS, CURVES)
# How far the logits of the merged model may be from those of the adapter, as a share of their norm. Merges of
# SmolLM2-135M, which are sound, were 0.025 off in bfloat16 and 0.0025 in float16; an adapter merged into
# embeddings that it shares with the head was off by more than 1.
TOLERANCES = {"float32": 1e-3, "float16": 2e-2, "bfloat16": 0.1}
_PROMPTS = ("What is 12 + 30? Explain each step.", "Correct the sentence: He go to school yesterday.")
_TOKENS = 32  # of each prompt


def merge(adapter: Path, out: Path, dtype: str = "auto", *, trusting_code: bool = False) -> Path:
    """Merge an adapter into its base model and write that, with tokenizer, to `out`: whole or not at all.

    `dtype` is the type of the weights written: auto (the base model's), float32, bfloat16 or float16. An
    adapter on one of two embeddings that share their weights takes them apart. The folder written is loaded
    again and compared with the adapter on a few prompts. `trusting_code`: code in the folders of both may
    run. Returns `out`. TrainingError if the folder has no
    adapter, its base model is missing or another one, `out` is taken, or the merged model answers otherwise
    than the adapter.
    """
    if not (adapter / ADAPTER).is_file():
        what = "holds no adapter" if adapter.is_dir() else "no such folder"
        what = "is a whole model already" if (adapter / "config.json").is_file() else what
        raise TrainingError(f"{adapter}: {what}; name the folder of a LoRA run (preceptor train)")
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise TrainingError(f"{out}: exists; choose another --out, or move it away")
    base, revision = _base(adapter)
    hide_library_messages()
    warnings.filterwarnings("ignore", ".*(tie_word_embeddings|no longer tied)", UserWarning)  # seen to below
    import torch
    from peft import PeftModel
    from transformers import AutoModelForCausalLM, AutoTokenizer

    try:
        tokenizer = AutoTokenizer.from_pretrained(adapter, trust_remote_code=trusting_code)
        whole = AutoModelForCausalLM.from_pretrained(
            base,
            revision=revision,
            dtype=dtype if dtype == "auto" else getattr(torch, dtype),
            trust_remote_code=trusting_code,
        )
        if len(tokenizer) > whole.get_input_embeddings().weight.shape[0]:
            whole.resize_token_embeddings(len(tokenizer))
        model = PeftModel.from_pretrained(whole, adapter)
    except Exception as error:  # damaged files make the libraries raise of every kind
        said = f"{adapter}: its model {base} cannot be loaded: {' '.join(str(error).split())}"
        raise TrainingError(explain_code(adapter, error) or said) from error
    rows = whole.get_input_embeddings().weight.shape[0]
    prompts = [ids[:_TOKENS] for ids in tokenizer(list(_PROMPTS))["input_ids"]]
    prompts.append(list(range(max(0, min(len(tokenizer), rows) - _TOKENS), min(len(tokenizer), rows))))
    expected = _logits(model, prompts)
    _untie(model.get_base_model())
    with make_partial_folder(out) as part:
        merged = model.merge_and_unload(safe_merge=True)
        _tie_again(merged)
        merged.save_pretrained(part)
        tokenizer.save_pretrained(part)
        del merged, model, whole  # one model at a time in memory
        _compare(part, adapter, prompts, expected, trusting_code)
        for name in KEPT:
            if (adapter / name).is_file():
                shutil.copy(adapter / name, part / name)
        _card(part)
        try:
            if out.is_dir():
                out.rmdir()
            part.rename(out)
        except OSError as error:  # another merge was faster
            raise TrainingError(f"{out}: exists by now; choose another --out, or move it away") from error
    return out


def _logits(model: Any, prompts: list[list[int]]) -> list[Any]:
    """Logits of each prompt, float32 of shape (tokens, vocabulary)."""
    import torch

    model.eval()
    with torch.no_grad():
        return [
            model(torch.tensor([ids], device=model.device)).logits[0].float().cpu() for ids in prompts if ids
        ]


def _untie(base: Any) -> None:
    """Give the head weights of its own where an adapter changes one of two embeddings that share them.

    PEFT merges into the shared weights, so that the other embedding would change with it.
    """
    import torch
    from peft.tuners.tuners_utils import BaseTunerLayer

    ends = [base.get_input_embeddings(), base.get_output_embeddings()]
    if None in ends or not any(isinstance(end, BaseTunerLayer) for end in ends):
        return
    inner, head = (end.get_base_layer() if isinstance(end, BaseTunerLayer) else end for end in ends)
    if inner.weight is head.weight:
        head.weight = torch.nn.Parameter(head.weight.detach().clone(), requires_grad=False)


def _tie_again(merged: Any) -> None:
    """State in the config whether the embeddings share their weights, as they are after merging."""
    import torch

    ends = [merged.get_input_embeddings(), merged.get_output_embeddings()]
    configs = [merged.config, merged.config.get_text_config()]
    if None in ends or not any(getattr(config, "tie_word_embeddings", False) for config in configs):
        return
    inner, head = (end.weight for end in ends)
    if inner is head:
        return
    if inner.shape == head.shape and torch.equal(inner, head):
        ends[1].weight = inner
        return
    for config in configs:
        config.tie_word_embeddings = False


def _compare(
    part: Path, adapter: Path, prompts: list[list[int]], expected: list[Any], trusting_code: bool
) -> None:
    """Load the merged model as its users will; TrainingError if its logits are not those of the adapter."""
    from transformers import AutoModelForCausalLM

    made = AutoModelForCausalLM.from_pretrained(part, dtype="auto", trust_remote_code=trusting_code)
    found = _logits(made, prompts)
    allowed = TOLERANCES.get(str(made.dtype).removeprefix("torch."), max(TOLERANCES.values()))
    off = max(
        float((a - b).norm() / b.norm().clamp_min(1e-6)) if a.shape == b.shape else float("inf")
        for a, b in zip(found, expected, strict=True)
    )
    if not off <= allowed:  # NaN too
        raise TrainingError(
            f"{adapter}: merged, its logits are {off:.0%} off those of the adapter ({allowed:.1%} would be "
            "rounding), so nothing was written; try --dtype float32, or use the adapter unmerged (--model "
            f"hf:{adapter}), or train it again without embed_tokens and lm_head in lora_target_modules and "
            "lora_modules_to_save"
        )


def _base(adapter: Path) -> tuple[str, str | None]:
    """Find the adapter's base model: its folder or name, and its revision on the Hub.

    TrainingError for a folder that is missing, or has another model than the adapter was trained on.
    """
    try:
        config = parse_json((adapter / ADAPTER).read_text(encoding="utf-8"))
        named, revision = str(config["base_model_name_or_path"]), config.get("revision")
    except (ValueError, KeyError) as error:
        raise TrainingError(
            f"{adapter / ADAPTER}: names no base_model_name_or_path; train it again"
        ) from error
    known, found = read_known_base(adapter), find_base(adapter, named)
    if found is None:
        if not was_folder(adapter, named):
            return named, revision
        folder = known.get("folder") or Path(named).name
        raise TrainingError(
            f"{adapter}: an adapter of the model in the folder {folder}, which is neither at {named} nor "
            f"beside {adapter}; bring it there: without it the adapter is of no use"
        )
    if known.get("sha256") not in (None, hash_model(found)):
        raise TrainingError(
            f"{found}: is another model than {adapter} was trained on (was it trained again since?); bring "
            "the old one back, or train the adapter again"
        )
    return str(found), None


def _card(part: Path) -> None:
    """Rewrite the adapter's card and provenance for the merged model."""
    path = part / ABOUT
    if path.is_file():
        about = parse_json(path.read_text(encoding="utf-8")) | {"merged": True}
        path.write_text(json.dumps(about, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
        (part / CARD).write_text(render_card(about, adapter=False), encoding="utf-8")
