"""Texts as a model's middle layer has them, and the store's memory of them."""

import json
import sys

import numpy as np
import pytest
from tiny_model import tiny_model

from preceptor.annotation.models.backends import hf_states
from preceptor.annotation.models.backends.hf import find_model, list_ids, load_model
from preceptor.annotation.models.backends.hf_states import open_encoder
from preceptor.schemas.errors import AnnotationError
from preceptor.schemas.tables import TEXT_STATES
from preceptor.toolkit.fusion.text.states import TextEncoder, read_states
from preceptor.toolkit.store.connection import count, open_store, query

ASKED = [
    ([{"role": "user", "content": "How do I remember word 3?"}], "Think of picture 1 beside it."),
    ([{"role": "user", "content": "How do I remember word 3?"}], ""),
    ([{"role": "user", "content": "How do I remember word 3?"}], "Ten, since 15 / 3 is 5. " * 40),
    ([{"role": "user", "content": "Why?"}, {"role": "assistant", "content": "So."}], "Ö 🙂"),
    ([{"role": "user", "content": "How do I remember word 3? " * 90}], "Ten."),
]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tiny_model(tmp_path_factory.mktemp("tiny") / "model", longest=1024)


def read_directly(folder, messages, text):
    """The mean of the middle layer's states, with every layer computed."""
    import torch

    model, tokenizer = load_model(find_model(str(folder)), exact=True)
    prompt = list_ids(tokenizer, messages)[-hf_states.LONGEST_PROMPT :]
    ids = tokenizer(text, add_special_tokens=False)["input_ids"][: hf_states.LONGEST_TEXT]
    ids = ids or [tokenizer.pad_token_id]
    with torch.inference_mode():
        out = model(torch.tensor([prompt + ids]), output_hidden_states=True)
    middle = out.hidden_states[model.config.num_hidden_layers // 2][0, len(prompt) :]
    return middle.mean(dim=0).numpy()


def test_a_text_is_the_mean_of_the_middle_layer_however_it_is_batched(folder):
    name, encode = open_encoder(f"hf:{folder}")
    assert name.startswith("model@")
    together = np.array(encode(ASKED))
    assert together.shape == (len(ASKED), 32)
    for one, (messages, text) in zip(together, ASKED, strict=True):
        assert np.allclose(one, encode([(messages, text)])[0], atol=1e-5)
        assert np.allclose(one, read_directly(folder, messages, text), atol=1e-5)


def test_a_model_that_is_not_there_and_a_missing_extra_say_what_to_do(
    folder, preceptor, tmp_path, monkeypatch
):
    with pytest.raises(AnnotationError, match="no such folder"):
        open_encoder("./nowhere")
    load_model.cache_clear()
    monkeypatch.setitem(sys.modules, "transformers", None)
    with pytest.raises(AnnotationError, match=r"pip install 'preceptor\[train\]'"):
        open_encoder(str(folder))[1](ASKED)


@pytest.fixture
def store(tmp_path, preceptor, folder):
    """A store with prompts, two of a learner's completions, and states of all by the tiny model."""
    prompts = [
        {
            "id": f"p{i}",
            "task": "qa",
            "prompt": f"Why {i}? Write to bob.smith@example.com" if i == 0 else f"Why {i}?",
            "completions": [{"id": f"p{i}-{side}", "content": f"Since {i} and {side}."} for side in "ab"],
        }
        for i in range(5)
    ]
    (tmp_path / "prompts.jsonl").write_text("".join(json.dumps(p) + "\n" for p in prompts))
    done = preceptor(
        "ingest", "prompts", "prompts.jsonl", "--source", "mine", "--license", "CC0-1.0", cwd=tmp_path
    )
    assert done.returncode == 0, done.stderr
    path = tmp_path / "preceptor.duckdb"
    with open_store(path) as con:
        read_states(con, keys(con), TextEncoder(*open_encoder(str(folder))))
        assert count(con, TEXT_STATES) == 10
    return path


def keys(con):
    return query(con, "SELECT key FROM completions ORDER BY key")["key"]


def test_a_text_is_read_once_and_in_the_order_asked(store, folder):
    name, encode = open_encoder(str(folder))
    asked = []

    def watch(texts):
        asked.extend(texts)
        return encode(texts)

    with open_store(store) as con:
        completions = keys(con)
        there = read_states(con, completions, TextEncoder(name, watch))
        assert not asked
        assert np.allclose(read_states(con, completions[::-1], TextEncoder(name, watch))[::-1], there)
        con.execute("DELETE FROM text_states WHERE completion = ?", [completions[3]])
        assert np.allclose(read_states(con, completions, TextEncoder(name, watch)), there, atol=1e-5)
        assert len(asked) == 1
        read_states(con, completions, TextEncoder("another", watch))
        assert len(asked) == 11
        assert count(con, TEXT_STATES) == 20


def test_states_go_with_their_text(store, preceptor, named):
    with open_store(store) as con:
        first = keys(con)[0]
        con.execute("UPDATE completions SET author = ? WHERE key = ?", [named("ann"), first])
    done = preceptor("forget", "ann", cwd=store.parent)
    assert done.returncode == 0, done.stderr
    with open_store(store) as con:
        assert count(con, TEXT_STATES) == 9
        assert first not in query(con, "SELECT completion FROM text_states")["completion"]
    done = preceptor("scan", "--mask", cwd=store.parent)
    assert done.returncode == 0, done.stderr
    with open_store(store) as con:
        assert not query(con, "FROM prompts WHERE messages[1].content LIKE '%bob%'").height
        assert count(con, TEXT_STATES) == 0
