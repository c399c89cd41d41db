"""Code in a model's folder runs with --trust-remote-code alone, in every command that trains or writes models."""

import ast
import builtins
import io
import json
import re
import shutil

import pytest
import yaml
from in_process import run
from places import ROOT
from templated import templated_dataset, templated_model

from preceptor.annotation.models.backends.hf import find_model, load_model
from preceptor.schemas.errors import AnnotationError
from preceptor.tests.support.models.coded_model import add_code

pytest.importorskip("trl")


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A folder with `data`, `base`, and models whose weights or tokenizers have code."""
    import datasets

    top = tmp_path_factory.mktemp("trust")
    templated_dataset(top / "data")
    templated_model(top / "base")
    for which in ("model", "tokenizer"):
        add_code(shutil.copytree(top / "base", top / f"their-{which}"), top / "ran", which)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(datasets.config, "HF_DATASETS_CACHE", str(top / "cache"))
        yield top


@pytest.fixture
def ran(place, tmp_path, monkeypatch):
    """The file that the code writes; whatever is asked at the terminal is answered with y."""
    monkeypatch.setenv("HF_MODULES_CACHE", str(tmp_path / "modules"))
    monkeypatch.setattr("sys.stdin", io.StringIO("y\n" * 100))

    def answer(question=""):
        pytest.fail(f"asked at the terminal: {question}")

    monkeypatch.setattr(builtins, "input", answer)
    (place / "ran").unlink(missing_ok=True)
    return place / "ran"


def recipe(place, base, stage="sft", **values):
    path = place / "recipe.yaml"
    content = {
        "stage": stage,
        "model_name_or_path": str(place / base),
        "dataset_name": str(place / "data"),
        "max_steps": 1,
        "per_device_train_batch_size": 2,
        "save_strategy": "no",
        "report_to": "none",
        "max_length": 128,
    }
    path.write_text(yaml.safe_dump(content | values))
    return path


def adapter(place, base):
    """An adapter that was trained on a model, whose files have the model's code."""
    from peft import LoraConfig, get_peft_model
    from transformers import AutoModelForCausalLM, AutoTokenizer

    folder = place / f"adapter-of-{base}"
    if not folder.exists():
        model = AutoModelForCausalLM.from_pretrained(place / "base")
        made = get_peft_model(model, LoraConfig(r=4, task_type="CAUSAL_LM"))
        made.save_pretrained(folder)
        AutoTokenizer.from_pretrained(place / "base").save_pretrained(folder)
        path = folder / "adapter_config.json"
        named = {"base_model_name_or_path": str(place / base)}
        path.write_text(json.dumps(json.loads(path.read_text()) | named))
        if base == "their-tokenizer":
            add_code(folder, place / "ran", "tokenizer")
    return folder


@pytest.mark.parametrize("base", ["their-model", "their-tokenizer"])
@pytest.mark.parametrize("more", [("--preflight-only",), ("--out", "OUT")], ids=lambda more: more[0])
@pytest.mark.parametrize("stage", ["sft", "dpo"])
def test_training_runs_no_code_of_a_model(place, tmp_path, ran, base, more, stage):
    more = [str(tmp_path / "made") if word == "OUT" else word for word in more]
    done = run("train", recipe(place, base, stage), *more)
    assert done.returncode == 2
    assert "--trust-remote-code" in done.stderr
    assert not ran.exists()
    assert not (tmp_path / "made").exists()


def test_a_template_of_another_tokenizer_runs_no_code(place, tmp_path, ran):
    path = recipe(place, "base", chat_template_path=str(place / "their-tokenizer"))
    for trusting in ((), ("--trust-remote-code",)):
        done = run("train", path, "--out", tmp_path / "made", *trusting)
        assert done.returncode == 2
        assert "needs code of its own" in done.stderr
        assert not ran.exists()


def test_training_runs_code_that_is_trusted(place, tmp_path, ran):
    done = run("train", recipe(place, "their-model"), "--out", tmp_path / "made", "--trust-remote-code")
    assert done.returncode == 0, done.stderr
    assert ran.exists()


@pytest.mark.parametrize("base", ["their-model", "their-tokenizer"])
def test_merging_runs_no_code_of_a_model(place, tmp_path, ran, base):
    folder = adapter(place, base)
    done = run("merge", folder, "--out", tmp_path / "made")
    assert done.returncode == 2
    assert "--trust-remote-code" in done.stderr
    assert not ran.exists()
    assert not (tmp_path / "made").exists()
    if base == "their-tokenizer":
        assert run("merge", folder, "--out", tmp_path / "made", "--trust-remote-code").returncode == 0
        assert ran.exists()


def test_an_adapter_imports_no_module_that_it_names(place, tmp_path, ran, monkeypatch):
    (tmp_path / "their_module.py").write_text(f"open({str(ran)!r}, 'w').write('ran')")
    monkeypatch.syspath_prepend(tmp_path)
    folder = shutil.copytree(adapter(place, "base"), tmp_path / "adapter")
    path = folder / "adapter_config.json"
    named = {"megatron_config": {"tensor_model_parallel_size": 1}, "megatron_core": "their_module"}
    path.write_text(json.dumps(json.loads(path.read_text()) | named))
    done = run("merge", folder, "--out", tmp_path / "made")
    assert (done.returncode, ran.exists()) == (2, False)
    assert "their_module" in done.stderr
    with pytest.raises(AnnotationError, match="cannot be read"):
        load_model(find_model(str(folder)))
    assert not ran.exists()


@pytest.mark.parametrize("which", ["their-model", "their-tokenizer"])
def test_a_converter_gets_no_model_with_code(place, tmp_path, ran, which):
    pytest.importorskip("gguf")
    converter = tmp_path / "convert.py"
    converter.write_text(f"open({str(ran)!r}, 'w').write('ran')")
    ask = ("export", "gguf", place / which, "--out", tmp_path / "m.gguf", "--converter", converter)
    done = run(*ask)
    assert done.returncode == 2
    assert "--trust-remote-code" in done.stderr
    assert not ran.exists()
    run(*ask, "--trust-remote-code")
    assert ran.exists()


def test_nothing_is_loaded_without_a_word_on_trust():
    """Every from_pretrained and from_config of ours says whether code is trusted: transformers asks otherwise."""
    calls = [
        (path, node)
        for room in ("annotation", "training", "toolkit", "schemas")
        for path in (ROOT / room).rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute)
    ]
    loading = [
        (path, node)
        for path, node in calls
        if re.fullmatch(r"Auto\w+\.from_(pretrained|config)", ast.unparse(node.func))
    ]
    assert len(loading) > 5
    for path, node in loading:
        assert "trust_remote_code" in {word.arg for word in node.keywords}, f"{path}:{node.lineno}"
