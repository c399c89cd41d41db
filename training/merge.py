"""`preceptor merge`: an adapter and the model it was trained on -> one model.

models/gec-sft (adapter_model.safetensors) -> models/gec-sft-merged (model.safetensors)
"""

import json
import shutil
import tempfile
from pathlib import Path

from ..schemas.errors import TrainingError

KEPT = ("preceptor.json", "metrics.json", "curves.png")


def merge(adapter: Path, out: Path, dtype: str = "auto") -> Path:
    """Write the merged model with its tokenizer to `out`, whole or not at all.

    `dtype` is that of the weights written: auto (as the base model has them), float32, bfloat16, float16.
    TrainingError where the folder holds no adapter, its model is not there, or `out` is taken.
    """
    if not (adapter / "adapter_config.json").is_file():
        what = "is a whole model already" if (adapter / "config.json").is_file() else "holds no adapter"
        raise TrainingError(f"{adapter}: {what}; name the folder of a LoRA run (preceptor train)")
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise TrainingError(f"{out}: exists; choose another --out, or move it away")
    import torch
    from peft import AutoPeftModelForCausalLM
    from transformers import AutoTokenizer

    try:
        model = AutoPeftModelForCausalLM.from_pretrained(
            adapter, dtype=dtype if dtype == "auto" else getattr(torch, dtype)
        )
        tokenizer = AutoTokenizer.from_pretrained(adapter)
    except (OSError, ValueError) as error:
        raise TrainingError(
            f"{adapter}: its model cannot be loaded: {' '.join(str(error).split())}"
        ) from error
    out.parent.mkdir(parents=True, exist_ok=True)
    part = Path(tempfile.mkdtemp(prefix=f".{out.name}.partial-", dir=out.parent))
    part.chmod(0o755)
    try:
        model.merge_and_unload(safe_merge=True).save_pretrained(part)
        tokenizer.save_pretrained(part)
        for name in KEPT:
            if (adapter / name).is_file():
                shutil.copy(adapter / name, part / name)
        _card(part)
        if out.is_dir():
            out.rmdir()
        part.rename(out)
    finally:
        shutil.rmtree(part, ignore_errors=True)
    return out


def _card(part: Path) -> None:
    """Card and provenance of the adapter, which now say that its weights are in the model's."""
    from .output import ABOUT, card

    path = part / ABOUT
    if path.is_file():
        about = json.loads(path.read_text(encoding="utf-8")) | {"merged": True}
        path.write_text(json.dumps(about, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
        (part / "README.md").write_text(card(about, adapter=False), encoding="utf-8")
