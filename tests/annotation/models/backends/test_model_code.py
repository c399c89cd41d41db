"""Code in a model's folder runs with --trust-remote-code alone, whatever its files say and whatever is typed."""

import builtins
import json

import pytest

from preceptor.annotation.models.backends.hf import find_model, load_model
from preceptor.schemas.errors import AnnotationError
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


@pytest.fixture
def typed(monkeypatch):
    """Questions asked at the terminal; each is answered with y."""
    asked = []

    def answer(question=""):
        asked.append(question)
        return "y"

    monkeypatch.setattr(builtins, "input", answer)
    return asked


def make_model(folder, ran, which):
    """A small model whose folder has code for its weights or its tokenizer."""
    tiny_model(folder)
    (folder / "theirs.py").write_text(CODE.format(ran=str(ran)))
    path = folder / ("config.json" if which == "model" else "tokenizer_config.json")
    said = json.loads(path.read_text())
    if which == "model":
        said |= {"auto_map": _MODEL, "model_type": "theirs", "architectures": ["TheirModel"]}
    else:
        said |= {"auto_map": _TOKENIZER, "tokenizer_class": "TheirTokenizer"}
    path.write_text(json.dumps(said))
    return folder


@pytest.mark.parametrize("which", ["model", "tokenizer"])
def test_code_of_a_model_does_not_run(tmp_path, monkeypatch, typed, which):
    monkeypatch.setenv("HF_MODULES_CACHE", str(tmp_path / "modules"))
    ran = tmp_path / "ran"
    folder = make_model(tmp_path / f"a-{which}", ran, which)
    place = find_model(str(folder))
    with pytest.raises(AnnotationError, match="--trust-remote-code"):
        load_model(place)
    assert not ran.exists()
    assert not typed


def test_code_of_a_model_runs_if_it_is_trusted(tmp_path, monkeypatch, typed):
    monkeypatch.setenv("HF_MODULES_CACHE", str(tmp_path / "modules"))
    ran = tmp_path / "ran"
    folder = make_model(tmp_path / "trusted", ran, "model")
    model, _ = load_model(find_model(str(folder), trusting_code=True))
    assert ran.exists()
    assert type(model).__name__ == "TheirModel"
    assert not typed
