"""A merged model answers as its adapter does, or is not written."""

import json
import re

import pytest
from templated import templated_model

from preceptor.schemas.errors import TrainingError
from preceptor.training import merge as merging
from preceptor.training.merge import merge

torch = pytest.importorskip("torch")

ADAPTERS = {
    "layers": {"target_modules": ["q_proj", "down_proj"]},
    "LoRA on the embeddings": {"target_modules": ["embed_tokens", "q_proj"]},
    "LoRA on the head": {"target_modules": ["lm_head", "q_proj"]},
    "LoRA on both": {"target_modules": ["embed_tokens", "lm_head"]},
    "LoRA on both, tied": {"target_modules": ["embed_tokens"], "ensure_weight_tying": True},
    "embeddings saved": {"target_modules": ["q_proj"], "modules_to_save": ["embed_tokens"]},
    "head saved": {"target_modules": ["q_proj"], "modules_to_save": ["lm_head"]},
    "embeddings saved, tied": {
        "target_modules": ["q_proj"],
        "modules_to_save": ["embed_tokens"],
        "ensure_weight_tying": True,
    },
    "single tokens": {"target_modules": ["q_proj"], "trainable_token_indices": [7, 8, 9]},
}
STAY_TIED = {"layers", "embeddings saved, tied", "single tokens"}


@pytest.fixture(scope="module")
def bases(tmp_path_factory):
    """Tiny models whose two embeddings share their weights, and whose do not: {True: …, False: …}."""
    from transformers import AutoModelForCausalLM, AutoTokenizer

    top = tmp_path_factory.mktemp("bases")
    apart = templated_model(top / "apart")
    model = AutoModelForCausalLM.from_pretrained(apart)
    model.config.tie_word_embeddings = True
    model.tie_weights()
    model.save_pretrained(top / "tied")
    AutoTokenizer.from_pretrained(apart).save_pretrained(top / "tied")
    return {True: top / "tied", False: apart}


def adapter(base, folder, dtype=None, **settings):
    """Write an adapter of random weights, and return its logits for some tokens."""
    from peft import LoraConfig, get_peft_model
    from transformers import AutoModelForCausalLM, AutoTokenizer

    whole = AutoModelForCausalLM.from_pretrained(base, dtype=dtype or torch.float32)
    model = get_peft_model(whole, LoraConfig(r=4, task_type="CAUSAL_LM", **settings))
    torch.manual_seed(1)
    with torch.no_grad():
        for weights in model.parameters():
            if weights.requires_grad:
                weights.add_(torch.randn_like(weights) * 0.2)
    model.save_pretrained(folder)
    AutoTokenizer.from_pretrained(base).save_pretrained(folder)
    return logits(model)


def logits(model):
    with torch.no_grad():
        return model.eval()(torch.arange(5, 25)[None]).logits.float()


def read(folder):
    from transformers import AutoModelForCausalLM

    return AutoModelForCausalLM.from_pretrained(folder)


@pytest.mark.filterwarnings("ignore:Model has:UserWarning")
@pytest.mark.parametrize("tied", [True, False])
@pytest.mark.parametrize("of", ADAPTERS)
def test_a_merged_model_answers_as_its_adapter(bases, tmp_path, of, tied):
    expected = adapter(bases[tied], tmp_path / "a", **ADAPTERS[of])
    made = read(merge(tmp_path / "a", tmp_path / "m"))
    assert torch.allclose(logits(made), expected, rtol=1e-4, atol=1e-4)
    assert made.config.tie_word_embeddings == (tied and of in STAY_TIED)


def test_weights_of_half_the_width_are_compared_as_such(bases, tmp_path):
    adapter(bases[True], tmp_path / "a", **ADAPTERS["LoRA on the embeddings"])
    for dtype in ("bfloat16", "float16"):
        made = read(merge(tmp_path / "a", tmp_path / dtype, dtype))
        assert str(made.dtype) == f"torch.{dtype}"


def test_a_merged_model_that_answers_otherwise_is_not_written(bases, tmp_path, monkeypatch):
    adapter(bases[True], tmp_path / "a", **ADAPTERS["LoRA on the embeddings"])
    monkeypatch.setattr(merging, "_untie", lambda base: None)
    said = re.escape(f"{tmp_path}/a: merged, its logits are ") + r"\d+%.*--dtype float32.*embed_tokens"
    with pytest.raises(TrainingError, match=said):
        merge(tmp_path / "a", tmp_path / "m")
    assert {p.name for p in tmp_path.iterdir()} == {"a"}


def test_an_adapter_whose_tokenizer_has_more_tokens_than_the_model_is_merged_with_them(bases, tmp_path):
    from transformers import AutoTokenizer

    adapter(bases[True], tmp_path / "a", **ADAPTERS["layers"])
    longer = AutoTokenizer.from_pretrained(bases[True])
    longer.add_tokens(["<|hint|>", "<|answer|>"])
    longer.save_pretrained(tmp_path / "a")
    made = merge(tmp_path / "a", tmp_path / "m")
    rows = json.loads((made / "config.json").read_text())["vocab_size"]
    assert rows == len(longer) == read(made).get_input_embeddings().weight.shape[0]
