"""What preflight says is to be done makes the same rows pass, once it is done."""

import re
from dataclasses import replace

import pytest
import yaml
from tiny_model import TEMPLATE, tiny_model
from transformers import AutoTokenizer

from preceptor.training.preflight.preflight import run_preflight
from preceptor.training.stages.settings import PreflightSettings, pick_settings

REFUSING = (
    "{% if 'yesterday' in messages[0]['content'] %}{{ raise_exception('no past') }}{% endif %}" + TEMPLATE
)
RECIPE = {
    "name": "corrections",
    "task": "gec",
    "configs": ["preference", "sft"],
    "format": "conversational",
    "instruction": "Correct: {prompt}",
    "corrections": {"rejected": ["learner"]},
    "splits": {"train": 0.8, "validation": 0.1, "test": 0.1},
}


@pytest.fixture
def folder(tmp_path, preceptor):
    """A store of forty corrected sentences, some of them long, the dataset's recipe and the training's."""
    mine = tmp_path / "corrections"
    mine.mkdir()
    long = " and so on" * 10
    wrong = [
        f"He go {i}{long if i % 5 == 0 else ''} to school{' yesterday' * (i % 4 == 0)} ." for i in range(40)
    ]
    (mine / "mine.src").write_text("".join(f"{text}\n" for text in wrong))
    right = [text.replace("school", "the school") for text in wrong]
    (mine / "mine.ref0").write_text("".join(f"{text}\n" for text in right))
    said = preceptor("ingest", "parallel", mine, "--source", "mine", "--license", "CC-BY-4.0", cwd=tmp_path)
    assert said.returncode == 0, said.stderr
    write(tmp_path / "dataset.yaml", RECIPE)
    training = {
        "model_name_or_path": "base",
        "dataset_name": "dist",
        "stage": "dpo",
        "max_length": 512,
        "report_to": "none",
        "save_strategy": "no",
    }
    write(tmp_path / "dpo.yaml", training)
    build(preceptor, tmp_path)
    return tmp_path


def write(path, content):
    path.write_text(yaml.safe_dump(content))


def build(preceptor, folder):
    done = preceptor("build", "dataset.yaml", "--out", "dist", cwd=folder)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def check(preceptor, folder, *sets):
    sets = [part for one in sets for part in ("--set", one)]
    return preceptor("train", "dpo.yaml", "--preflight-only", *sets, cwd=folder)


@pytest.mark.parametrize(
    ("template", "length", "kind"),
    [(TEMPLATE, 160, "dead_pairs"), (REFUSING, 512, "template_fails")],
    ids=["dead pairs", "a template that refuses"],
)
def test_a_dataset_built_with_the_tokenizer_has_no_such_rows(folder, preceptor, template, length, kind):
    tiny_model(folder / "base", template=template)
    refused = check(preceptor, folder, f"max_length={length}")
    assert refused.returncode == 1, refused.stdout + refused.stderr
    assert f"REFUSED {kind} (train)" in refused.stdout
    said = re.search(r"tokenizer: (\{[^}]*\}) in its recipe, then preceptor build", refused.stdout)
    write(folder / "dataset.yaml", RECIPE | {"tokenizer": yaml.safe_load(said[1])})
    (folder / "dist").rename(folder / "before")
    assert "dead pairs" in build(preceptor, folder)
    passed = check(preceptor, folder, f"max_length={length}")
    assert passed.returncode == 0, passed.stdout
    assert "REFUSED" not in passed.stdout


def test_what_is_to_be_set_for_dead_pairs_can_be_set(folder, preceptor):
    tiny_model(folder / "base")
    said = check(preceptor, folder, "max_length=160").stdout
    (one,) = re.findall(r"REFUSED dead_pairs \(train\).*", said)
    remedies = re.findall(r"--set (\S+=[^\s),]+)", one)
    assert [remedy.partition("=")[0] for remedy in remedies] == ["max_length", "allow"]
    for remedy in remedies:
        assert check(preceptor, folder, "max_length=160", remedy).returncode == 0


USER, TUTOR = ({"role": role, "content": "Why so?"} for role in ("user", "assistant"))
PAIR = {"prompt": "Why so? ", "chosen": "Since 2.", "rejected": "No."}
ANSWER = {"prompt": "Why so? ", "completion": "Since 2."}
SPOKEN = {"prompt": [USER], "completion": [TUTOR]}
# Kind: stage, settings and rows that are refused for it; settings and rows after what the message says.
ROWS = {
    "columns": ("dpo", {}, [{"prompt": "a", "chosen": "b", "rejectd": "c"}], {}, [PAIR]),
    "reserved_columns": ("dpo", {}, [PAIR | {"image": "x"}], {}, [PAIR]),
    "mixed_columns": ("dpo", {}, [PAIR | {"messages": [USER]}], {}, [PAIR]),
    "no_rows": ("dpo", {}, [], {}, [PAIR]),
    "null_cells": ("dpo", {}, [PAIR, PAIR | {"chosen": None}], {}, [PAIR]),
    "nothing_kept": ("dpo", {"max_length": 2}, [PAIR], {"max_length": 64}, [PAIR]),
    "p_range": ("soft-dpo", {}, [PAIR | {"p": 7.0}], {}, [PAIR | {"p": 0.7}]),
    "dead_pairs": ("dpo", {}, [PAIR | {"rejected": "Since 2."}], {"allow": "dead_pairs"}, None),
    "empty_completions": ("sft", {}, [ANSWER | {"completion": ""}], {"allow": "empty_completions"}, None),
    "one_label": ("kto", {}, [ANSWER | {"label": True}], {"allow": "one_label"}, None),
    "token_unknown": ("sft", {"pad_token": "<|padd|>"}, [ANSWER], {"pad_token": "<|pad|>"}, None),
    "settings": ("kto", {"per_device_train_batch_size": 1}, [ANSWER | {"label": True}], {}, None),
    "no_chat_template": ("sft", {}, [SPOKEN], {"chat_template_path": "T.jinja"}, None),
    "no_assistant": (
        "sft",
        {"assistant_only_loss": True, "chat_template_path": "M.jinja"},
        [SPOKEN],
        {},
        None,
    ),
    "no_generation_marks": (
        "sft",
        {"assistant_only_loss": True, "chat_template_path": "T.jinja"},
        [SPOKEN],
        {"assistant_only_loss": False},
        None,
    ),
}
ON_CPU = {"bf16": False, "gradient_checkpointing": False, "per_device_train_batch_size": 2, "max_length": 64}


@pytest.fixture(scope="module")
def bare(tmp_path_factory):
    """A tokenizer without a chat template, and the folder of templates."""
    top = tmp_path_factory.mktemp("bare")
    tokenizer = AutoTokenizer.from_pretrained(tiny_model(top / "base"))
    tokenizer.chat_template = None
    (top / "T.jinja").write_text(TEMPLATE)
    marked = (
        "{% for m in messages %}{% if m['role'] == 'nobody' %}{% generation %}x{% endgeneration %}{% endif %}"
    )
    (top / "M.jinja").write_text(marked + "{{ m['content'] }}<|end|>{% endfor %}")
    return tokenizer, top


@pytest.mark.parametrize("kind", ROWS)
def test_rows_and_settings_that_were_mended_are_not_refused_for_it_again(bare, monkeypatch, kind):
    tokenizer, top = bare
    monkeypatch.chdir(top)
    stage, settings, rows, mended, after = ROWS[kind]

    def kinds(values, rows):
        report = run_preflight({"train": rows}, tokenizer, stage, pick_settings(ON_CPU | values))
        return {defect.kind: defect for defect in report.refusals}

    refused = kinds(settings, rows)
    assert kind in refused
    text = refused[kind].text
    assert re.search(
        r"rename|remove|write all one|build|raise|drop|mend|allow|did you mean|set |take it out|add", text
    )
    again = kinds(ON_CPU | ({} if kind in ("settings", "no_assistant") else settings) | mended, after or rows)
    assert kind not in again
    assert not again.keys() - {"one_label", "no_chat_template"}


def test_a_tokenizer_that_lacks_its_tokens_passes_once_they_are_named(bare):
    tokenizer, _ = bare
    ends = PreflightSettings(bf16=False, gradient_checkpointing=False, per_device_train_batch_size=2)
    tokenizer = AutoTokenizer.from_pretrained(tokenizer.name_or_path)
    tokenizer.eos_token = tokenizer.pad_token = None
    report = run_preflight({"train": [PAIR]}, tokenizer, "dpo", ends)
    assert {"no_eos_token", "no_pad_token"} <= {defect.kind for defect in report.refusals}
    named = replace(ends, eos_token="<|end|>", pad_token="<|pad|>")
    assert not run_preflight({"train": [PAIR]}, tokenizer, "dpo", named).refusals
