"""`preceptor merge`: merge an adapter into the model it was trained on.

models/gec-sft (adapter_model.safetensors) -> models/gec-sft-merged (model.safetensors)
"""

import json
import shutil
from pathlib import Path

from ..schemas.errors import TrainingError
from ..schemas.support.adapter_folders import (
    ABOUT,
    ADAPTER,
    CARD,
    CURVES,
    METRICS,
    find_base,
    hash_model,
    read_known_base,
    was_folder,
)
from ..schemas.support.files import make_partial_folder
from .output import render_card
from .trainer.logging import hide_library_messages

KEPT = (ABOUT, METRICS, CURVES)


def merge(adapter: Path, out: Path, dtype: str = "auto") -> Path:
    """Merge an adapter into its base model and write that, with tokenizer, to `out`: whole or not at all.

    `dtype` is the type of the weights written: auto (the base model's), float32, bfloat16 or float16. Returns
    `out`. TrainingError if the folder has no adapter, its base model is missing or another one, or `out`
    is taken.
    """
    if not (adapter / ADAPTER).is_file():
        what = "holds no adapter" if adapter.is_dir() else "no such folder"
        what = "is a whole model already" if (adapter / "config.json").is_file() else what
        raise TrainingError(f"{adapter}: {what}; name the folder of a LoRA run (preceptor train)")
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise TrainingError(f"{out}: exists; choose another --out, or move it away")
    base, revision = _base(adapter)
    hide_library_messages()
    import torch
    from peft import PeftModel
    from transformers import AutoModelForCausalLM, AutoTokenizer

    try:
        tokenizer = AutoTokenizer.from_pretrained(adapter)
        whole = AutoModelForCausalLM.from_pretrained(
            base, revision=revision, dtype=dtype if dtype == "auto" else getattr(torch, dtype)
        )
        if len(tokenizer) > whole.get_input_embeddings().weight.shape[0]:
            whole.resize_token_embeddings(len(tokenizer))
        model = PeftModel.from_pretrained(whole, adapter)
    except (OSError, ValueError, RuntimeError) as error:
        raise TrainingError(
            f"{adapter}: its model {base} cannot be loaded: {' '.join(str(error).split())}"
        ) from error
    with make_partial_folder(out) as part:
        model.merge_and_unload(safe_merge=True).save_pretrained(part)
        tokenizer.save_pretrained(part)
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


def _base(adapter: Path) -> tuple[str, str | None]:
    """Find the adapter's base model: its folder or name, and its revision on the Hub.

    TrainingError for a folder that is missing, or has another model than the adapter was trained on.
    """
    try:
        config = json.loads((adapter / ADAPTER).read_text(encoding="utf-8"))
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
        about = json.loads(path.read_text(encoding="utf-8")) | {"merged": True}
        path.write_text(json.dumps(about, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
        (part / CARD).write_text(render_card(about, adapter=False), encoding="utf-8")
