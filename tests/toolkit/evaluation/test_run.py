"""`evaluate` as a function: the same as the command, without click."""

import json
import re
import subprocess
import sys

import pytest
import yaml
from corrections import build_corrections
from model_server import serving

from preceptor.annotation.models.budget import Limits
from preceptor.schemas.errors import AnnotationError, EvaluationError
from preceptor.toolkit.evaluation.asking import Callbacks
from preceptor.toolkit.evaluation.config import read_config
from preceptor.toolkit.evaluation.run import EvaluationOptions, evaluate

CONFIG = {"name": "tiny", "metrics": ["gleu", "rated", "exact"], "baseline": "copy", "max_tokens": 8}
MODELS = ["openai:copying", "openai:good"]
FILES = ("metrics.json", "README.md", "answers.jsonl", "judged.jsonl", "figures.png")
N = 20


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    return build_corrections(tmp_path_factory.mktemp("built"), ["conversational"]) / "conversational"


@pytest.fixture
def path(tmp_path, built):
    file = tmp_path / "evaluate.yaml"
    judge = {"rubric": "socratic", "model": "openai:judge"}
    file.write_text(yaml.safe_dump(CONFIG | {"dataset_name": str(built), "judge": judge}))
    return file


def answer(body):
    """good corrects, copying gives the sentence back; the judge rates what is correct higher."""
    said = body["messages"][-1]["content"]
    sentence = re.search(r"Sentence \d+ .* [.]", said)[0]
    right = sentence.replace("have", "has").replace(" .", ".")
    if body["model"] == "judge":
        helpful = 5 if right in said else 1
        return json.dumps({"questions": "no", "on_topic": 5, "helpful": helpful, "reveals_answer": "no"})
    return right if body["model"] == "good" else sentence


def test_the_function_writes_what_the_command_writes(preceptor, path, tmp_path):
    """In a process where click cannot be imported, file by file."""
    script = """
import json, sys
sys.modules["click"] = None
from pathlib import Path
from preceptor.toolkit.evaluation.run import EvaluationOptions, evaluate
path, url, out, *models = sys.argv[1:]
done = evaluate(Path(path), models, Path(out), EvaluationOptions(base_url=url))
print(json.dumps({"about": done.about, "notes": done.notes}))
"""
    with serving(answer) as server:
        named = [part for name in MODELS for part in ("--model", name)]
        command = preceptor("evaluate", path, *named, "--base-url", server.url, "--out", tmp_path / "command")
        asked = len(server.asked)
        function = subprocess.run(
            [sys.executable, "-c", script, path, server.url, tmp_path / "function", *MODELS],
            capture_output=True,
            text=True,
            check=False,
        )
    assert command.returncode == 0, command.stderr
    assert function.returncode == 0, function.stderr
    assert len(server.asked) == 2 * asked
    one, other = (tmp_path / name for name in ("command", "function"))
    assert {file.name for file in one.iterdir()} == {file.name for file in other.iterdir()} == set(FILES)
    for name in set(FILES) - {"judged.jsonl"}:  # its replies say when they came
        assert (one / name).read_bytes() == (other / name).read_bytes()
    done = json.loads(function.stdout)
    assert done["about"] == json.loads((one / "metrics.json").read_text())
    assert all(verdict in command.stdout for verdict in done["about"]["verdicts"])
    assert done["notes"] == []


def test_callbacks_hear_what_the_command_says(path, tmp_path):
    said, begun, ended = [], [], []
    callbacks = Callbacks(say=said.append, begin=lambda *what: begun.append(what), end=ended.append)
    config = read_config(path, ("judge=",))
    with serving(answer) as server:
        options = EvaluationOptions(base_url=server.url)
        planned = evaluate(
            config, MODELS, tmp_path / "out", EvaluationOptions(base_url=server.url, dry_run=True), callbacks
        )
        assert (server.asked, begun, planned.about) == ([], [], None)
        done = evaluate(config, MODELS, tmp_path / "out", options, callbacks)
    assert (
        said
        == ["rated is left out: it needs a judge: --judge openai:NAME, or judge: {model: …} in the file"] * 2
    )
    assert begun == [(name, N, N) for name in MODELS]
    assert [spent.requests for spent in ended] == [N, N]
    assert done.about["left_out"] == {"rated": said[0].partition(": it ")[2]}


def test_limits_are_of_all_models_and_the_judge_together(path, tmp_path):
    with serving(answer) as server:
        options = EvaluationOptions(base_url=server.url, limits=Limits(1, max_requests=2 * N + 3))
        with pytest.raises(EvaluationError, match="openai:judge: 17 of 20 requests were not sent"):
            evaluate(path, MODELS, tmp_path / "out", options)
        done = evaluate(path, MODELS, tmp_path / "out", EvaluationOptions(base_url=server.url))
        assert len(server.asked) == 4 * N
    assert done.about["figures"]["openai:good"]["rated_helpful"]["value"] == 1


@pytest.mark.parametrize(
    ("models", "error", "says"),
    [
        ([], EvaluationError, "Missing option '--model'."),
        (["hf-likelihood:x"], EvaluationError, "--model hf-likelihood:x: writes no answers; give hf:x"),
        (["openai:m", "openai:m"], EvaluationError, "openai:m: named twice; give each model once"),
        (["opnai:m"], AnnotationError, "no back-end 'opnai': did you mean 'openai'?"),
    ],
)
def test_wrong_use_is_an_error_with_the_commands_text(preceptor, path, tmp_path, models, error, says):
    options = EvaluationOptions(base_url="http://127.0.0.1:9/v1")
    with pytest.raises(error) as refused:
        evaluate(path, models, tmp_path / "out", options)
    assert says in str(refused.value)
    named = [part for name in models for part in ("--model", name)]
    done = preceptor("evaluate", path, *named, "--base-url", options.base_url, "--out", tmp_path / "out")
    assert (done.returncode, refused.value.exit_code) == (2, 2)
    assert str(refused.value) in done.stderr


def test_a_metric_that_does_not_fit_some_rows_counts_the_others_and_says_so(preceptor, tmp_path):
    sentence = "S Sentence {} have a mistake .\nA 2 3|||R:VERB:SVA|||has|||REQUIRED|||-NONE-|||0\n"
    for language, first in (("en", 0), ("uk", 40)):
        (tmp_path / f"{language}.m2").write_text(
            "\n".join(sentence.format(n) for n in range(first, first + 40))
        )
        arguments = ("ingest", "m2", f"{language}.m2", "--source", language, "--language", language)
        assert preceptor(*arguments, "--license", "MIT", cwd=tmp_path).returncode == 0
    (tmp_path / "r.yaml").write_text(
        "name: r\ncorrections: {}\nconfigs: [sft]\ninstructions: {en: 'Correct: {prompt}', uk: 'Виправ: {prompt}'}\n"
        "splits: {train: 0, validation: 0, test: 1}\nprivacy: {look: false}\n"
    )
    (tmp_path / "e.yaml").write_text("name: e\ndataset_name: dist\nmetrics: [edits, exact]\n")
    built = preceptor("build", "r.yaml", "--out", "dist", cwd=tmp_path)
    assert built.returncode == 0, built.stderr
    with serving(answer) as server:
        named = ("--model", "openai:good", "--base-url", server.url)
        done = preceptor("evaluate", "e.yaml", *named, "--out", "out", cwd=tmp_path)
        assert done.returncode == 0, done.stderr
    assert "edits counts 40 of 80 prompts: ERRANT knows English, not uk" in done.stderr
    made = json.loads((tmp_path / "out" / "metrics.json").read_text())
    assert (made["n"], made["left_out"], set(made["partly"])) == (80, {}, {"edits"})
    assert "edits counts 40 of 80 prompts" in (tmp_path / "out" / "README.md").read_text()
