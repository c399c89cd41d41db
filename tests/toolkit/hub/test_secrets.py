"""Paths and secrets that must not leave this machine, whatever they stand among."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from preceptor.toolkit.hub.secrets import cut_paths, find_private

TOKEN, PLACE = "hf_" + "aB3" * 11, "/mnt/lab/gec"
ALNUM = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"


def told(folder, name, content):
    path = folder / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode("utf-8", "replace"))
    return list(find_private(path))


@given(
    st.text(max_size=4).filter(lambda text: not text or text.strip("\0")[-1:] not in {*ALNUM, *"_./~"}),
    st.text(max_size=4),
    st.sampled_from(["a.md", "a.json", "a.txt"]),
)
def test_nothing_around_hides_a_token_or_a_path(tmp_path_factory, before, after, name):
    folder = tmp_path_factory.getbasetemp()
    for secret, what in ((TOKEN, "a token of Hugging Face"), (PLACE, f"a path of this machine: {PLACE}")):
        text = before + secret + after
        found = told(folder, name, json.dumps({"x": [text]}) if name == "a.json" else text)
        assert any(one.startswith(what) for one in found), text


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("a.md", "模型" + TOKEN),
        ("a.svg", f"<text>{PLACE}</text>"),
        ("a.jinja", "{{ bos }}" + PLACE),
        ("a.md", "~bob/models/gec"),
        ("a.txt", r'"C:\\Users\\bob\\gec"'),
        ("a.txt", f"x {PLACE}".encode("utf-16")),
        ("a.json", f'{{"a": "{PLACE}", "a": 1}}'),
        ("a.json", json.dumps({"text": "env:\n  WANDB_API_KEY: " + "0123456789abcdef" * 2})),
        ("a.json", json.dumps({"api_key": "0123456789abcdef"})),
        ("a.md", "https://bob:geheim@host/v1"),
        ("a.md", "AIza" + "b" * 35),
        ("a.md", "glpat-" + "b" * 20),
    ],
)
def test_they_are_found(tmp_path, name, content):
    assert told(tmp_path, name, content)


@pytest.mark.parametrize(
    "content",
    [
        "https://huggingface.co/lab/base/tree/main and ./models/gec or models/gec/base",
        "作文/添削/評価, (a)/b/c, and/or/but, 3/4/5, /think or /no_think, #!/usr/bin/env python",
        "eos_token: <|im_end|>, hub_token: null, the secret: patience, max_tokens: 512, task-specific-reward",
        "[docs](https://github.com/lab/x#a:b@c) {{ '<|im_start|>' + m.role }}",
    ],
)
def test_what_is_harmless_passes(tmp_path, content):
    assert told(tmp_path, "a.md", content) == []


def test_paths_are_cut_to_their_last_part():
    assert cut_paths({"a": ["/home/bob/gec", 1], "set": f"x={PLACE}"}) == {"a": ["gec", 1], "set": "x=gec"}
