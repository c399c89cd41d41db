"""A small model whose folder has code of its own, as a stranger may hand it over."""

import json

from preceptor.tests.support.models.tiny_model import tiny_model

CODE = """
from pathlib import Path
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

Path({ran!r}).write_text("ran")

class TheirConfig(LlamaConfig):
    model_type = "theirs"

class TheirModel(LlamaForCausalLM):
    config_class = TheirConfig

class TheirTokenizer(PreTrainedTokenizerFast):
    pass
"""
_MODEL = {"AutoConfig": "theirs.TheirConfig", "AutoModelForCausalLM": "theirs.TheirModel"}
_TOKENIZER = {"AutoTokenizer": [None, "theirs.TheirTokenizer"]}


def add_code(folder, ran, which):
    """Add code for a model's weights or its tokenizer, which writes the file `ran`."""
    (folder / "theirs.py").write_text(CODE.format(ran=str(ran)))
    path = folder / ("config.json" if which == "model" else "tokenizer_config.json")
    said = json.loads(path.read_text())
    if which == "model":
        said |= {"auto_map": _MODEL, "model_type": "theirs", "architectures": ["TheirModel"]}
    else:
        said |= {"auto_map": _TOKENIZER, "tokenizer_class": "TheirTokenizer"}
    path.write_text(json.dumps(said))
    return folder


def coded_model(folder, ran, which):
    """Write a small model with code for its weights or its tokenizer."""
    tiny_model(folder)
    return add_code(folder, ran, which)
