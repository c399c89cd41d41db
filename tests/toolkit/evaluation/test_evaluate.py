"""`preceptor evaluate`, as its user runs it."""

import io
import json
import re
import signal
import subprocess
import sys
import threading

import polars as pl
import pytest
import yaml
from corrections import build_corrections
from model_server import Said, serving
from places import ROOT
from tiny_model import tiny_model
from waiting import IDLE, wait_until

from preceptor.annotation.models.backends import hf
from preceptor.annotation.models.templates import read_template
from preceptor.schemas.errors import RecipeError
from preceptor.schemas.support.numbers import find_final_number
from preceptor.toolkit.evaluation.config import read_config

CONFIG = {"name": "tiny", "metrics": ["gleu", "exact", "changed"], "baseline": "copy", "max_tokens": 8}


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    return build_corrections(tmp_path_factory.mktemp("built"), ["conversational"]) / "conversational"


@pytest.fixture
def path(tmp_path, built):
    """A file of an evaluation of 20 sentences."""
    file = tmp_path / "evaluate.yaml"
    file.write_text(yaml.safe_dump(CONFIG | {"dataset_name": str(built)}))
    return file


def answer(body):
    """good corrects, copying gives the sentence back, mute says nothing."""
    sentence = re.search(r"Sentence \d+ .* [.]", body["messages"][-1]["content"])[0]
    right = sentence.replace("have", "has").replace(" .", ".")
    return {"good": right, "copying": sentence, "mute": ""}[body["model"]]


def read(out):
    metrics = json.loads((out / "metrics.json").read_text())
    figures = {
        name.partition(":")[2]: {k: v["value"] for k, v in of.items()}
        for name, of in metrics["figures"].items()
    }
    return metrics, figures


def test_models_are_compared_with_the_first_and_with_giving_the_sentence_back(preceptor, path, tmp_path):
    out = tmp_path / "out"
    with serving(answer) as server:
        done = preceptor(
            "evaluate",
            path,
            "--model",
            "openai:copying",
            "--model",
            "openai:good",
            "--model",
            "openai:mute",
            "--base-url",
            server.url,
            "--out",
            out,
        )
    assert done.returncode == 0, done.stderr
    assert len(server.asked) == 60
    assert all(body["temperature"] == 0 and body["max_tokens"] == 8 for body in server.asked)
    metrics, figures = read(out)
    assert figures["good"]["exact"] == figures["good"]["changed"] == 1
    assert figures["copying"]["changed"] == figures["copying"]["exact"] == figures["mute"]["gleu"] == 0
    assert figures["copying"]["gleu"] == figures[""]["gleu"] == metrics["figures"]["copy"]["gleu"]["value"]
    less = {(d["of"], d["to"]): d for d in metrics["differences"] if d["figure"] == "gleu"}
    assert set(less) == {
        ("openai:good", "openai:copying"),
        ("openai:mute", "openai:copying"),
        ("openai:copying", "copy"),
        ("openai:good", "copy"),
        ("openai:mute", "copy"),
    }
    better = less["openai:good", "copy"]
    assert 0 < better["low"] <= better["value"] == figures["good"]["gleu"] - figures["copying"]["gleu"]
    assert (metrics["n"], metrics["level"], metrics["decides"]) == (20, 0.9, "gleu")
    assert metrics["dataset"]["drawn"] == 20
    page = (out / "README.md").read_text()
    for said in (
        "good is better than copying: gleu +",
        "good is better than giving the sentence back: gleu +",
        "copying is no better than giving the sentence back, as far as these prompts tell: gleu +0.00",
        "mute is no better than giving the sentence back, but worse: gleu -",
    ):
        assert said in page
        assert said in done.stdout
    shown = done.stdout.partition("Figures\n")[2].partition("written to")[0]
    assert len(re.findall(r"^ *exact ", shown, re.M)) > 2  # so many differences take more than one table
    assert shown.count(" to ") == shown.count(")")  # no interval is cut short
    assert str(tmp_path) not in page + (out / "metrics.json").read_text()
    rows = [json.loads(line) for line in (out / "answers.jsonl").read_text().splitlines()]
    assert len({row["key"] for row in rows}) == 20
    for row in rows:
        assert row["answers"]["openai:copying"] == row["source"]
        assert row["answers"]["openai:mute"] == ""
        assert len(row["references"]) == 2
    assert sorted(p.name for p in out.iterdir()) == [
        "README.md",
        "answers.jsonl",
        "figures.png",
        "metrics.json",
    ]
    assert [p.name for p in tmp_path.iterdir() if p.name.startswith(".")] == []


def test_a_killed_run_goes_on_with_what_it_had(preceptor, path, tmp_path):
    """Killed in a process of its own; half a last line, as a kill leaves it, is asked for again."""
    out, kept = tmp_path / "out", tmp_path / ".out.unfinished" / "replies.jsonl"

    killed = threading.Event()

    def few(body):
        if len(server.asked) > 6:
            killed.wait(IDLE)
        return answer(body)

    with serving(few) as server:
        command = (
            "evaluate",
            path,
            "--model",
            "openai:good",
            "--base-url",
            server.url,
            "--concurrency",
            1,
            "--out",
            out,
        )
        process = subprocess.Popen([sys.executable, "-m", "preceptor.toolkit.cli.main", *map(str, command)])
        try:
            wait_until(lambda: kept.exists() and kept.read_bytes().count(b"\n") >= 5, process)
        finally:
            process.send_signal(signal.SIGKILL)
            process.wait()
            killed.set()
        lines = kept.read_bytes().splitlines(keepends=True)
        kept.write_bytes(b"".join(lines[:-1]) + lines[-1][:30])
        assert not out.exists()
        before = len(server.asked)
        server.answer = answer
        done = preceptor(*command)
        assert done.returncode == 0, done.stderr
        assert f"{21 - len(lines)} of 20 answers" in done.stdout
        assert len(server.asked) - before == 21 - len(lines)
    assert read(out)[1]["good"]["exact"] == 1
    assert not kept.parent.exists()


def test_a_limit_stops_a_run_and_other_settings_do_not_mix_with_it(preceptor, path, tmp_path):
    out = tmp_path / "out"
    with serving(answer) as server:
        command = (
            "evaluate",
            path,
            "--model",
            "openai:good",
            "--model",
            "openai:copying",
            "--base-url",
            server.url,
            "--out",
            out,
        )
        done = preceptor(*command, "--max-requests", 25)
        assert done.returncode == 2
        assert "openai:copying: 15 of 20 answers are missing, as a limit was reached" in done.stderr
        assert not out.exists()
        refused = preceptor(*command, "--set", "temperature=1", "--set", "seed=3")
        assert refused.returncode == 2
        assert "other settings or data (seed, temperature" in refused.stderr
        assert "--restart" in refused.stderr
        assert len(server.asked) == 25
        done = preceptor(*command, "--set", "metrics=[exact]")  # of the same answers
        assert done.returncode == 0, done.stderr
        assert len(server.asked) == 40
        taken = preceptor(*command)
        assert (taken.returncode, len(server.asked)) == (2, 40)
        assert "exists; choose another --out" in taken.stderr
        done = preceptor(*command[:-1], tmp_path / "new", "--restart", "--dry-run")
        assert "to send: 20 requests to openai:good; nothing was sent" in done.stdout
    assert list(read(out)[1]["good"]) == ["exact"]


@pytest.mark.parametrize(
    ("more", "says"),
    [
        (["--set", "metrics=[glue]"], "no metric 'glue': did you mean 'gleu'?"),
        (["--set", "metrics=exactly"], "no metric 'exactly': did you mean 'exact'?"),
        (["--set", "metrics="], "'metrics' is missing"),
        (["--set", "model_name_or_path=x"], "unknown key 'model_name_or_path'"),
        (["--set", "metrics=[changed]"], "the first one decides"),
        (["--set", "split=tset"], "has no split 'tset': did you mean 'test'?"),
        (["--set", "promts=3"], "unknown key 'promts': did you mean 'prompts'?"),
        (["--set", "dataset_name=nowhere"], "nowhere: no such folder here"),
        (
            ["--set", "metrics=[right, edits]", "--set", "template=nowhere.jinja"],
            "nowhere.jinja: No such file",
        ),
        (["--variant", "tiny"], "has no variant 'tiny'; its variants: none"),
        (["--model", "openai:good"], "openai:good: named twice"),
        (["--model", "hf:{built}"], "conversational: is a dataset; name the folder of a model"),
        (["--model", "hf:{built}/../none"], "none: no such folder; name one that holds"),
        (["--model", "hf-likelihood:x"], "writes no answers; give hf:x"),
        (["--out", "."], "--out .: expected a folder of its own"),
    ],
)
def test_what_cannot_be_is_said_before_anything_is_sent(preceptor, path, built, tmp_path, more, says):
    with serving(answer) as server:
        done = preceptor(
            "evaluate",
            path,
            "--model",
            "openai:good",
            "--base-url",
            server.url,
            "--out",
            tmp_path / "o",
            *(one.replace("{built}", str(built)) for one in more),
        )
    assert done.returncode == 2
    assert says in done.stderr
    assert server.asked == []
    assert not (tmp_path / "o").exists()


def test_a_recipe_of_training_is_no_evaluation():
    with pytest.raises(RecipeError, match=r"sft.yaml: is a training recipe, .*; name an evaluation's file"):
        read_config(ROOT / "recipes" / "gec" / "sft.yaml")


def test_local_models_follow_each_other_and_tell_what_they_were_trained_on(preceptor, path, tmp_path):
    one, two = (tiny_model(tmp_path / name, seed=seed) for seed, name in enumerate(("one", "two")))
    told = {"stage": "dpo", "dataset": {"name": "other", "digest": "0" * 64}, "base": {"folder": "x"}}
    (two / "preceptor.json").write_text(json.dumps(told))
    (tmp_path / "words.jinja").write_text("Mend this: {{ prompt }}")
    done = preceptor(
        "evaluate",
        path,
        "--model",
        f"hf:{one}",
        "--model",
        f"hf:{two}",
        "--out",
        tmp_path / "out",
        "--set",
        "prompts=3",
        "--set",
        "template=words.jinja",
    )
    assert done.returncode == 0, done.stderr
    assert hf.load_model.cache_info().currsize == 0
    assert "two: was trained on another build than the one that is evaluated (other)" in done.stderr
    assert "3 of 3 answers were cut off at max_tokens" in done.stderr
    metrics, _ = read(tmp_path / "out")
    assert [model["name"].partition("@")[0] for model in metrics["models"]] == ["hf:one", "hf:two"]
    assert metrics["settings"]["template"] == read_template(tmp_path / "words.jinja").digest
    assert metrics["models"][1]["trained_on"]["datasets"][0]["name"] == "other"


def test_a_prompt_that_a_model_does_not_take_counts_as_empty_and_is_told(preceptor, path, tmp_path):
    def picky(body):
        return (
            Said(status=400, body="too long")
            if "Sentence 7 " in body["messages"][-1]["content"]
            else answer(body)
        )

    with serving(picky) as server:
        done = preceptor(
            "evaluate", path, "--model", "openai:good", "--base-url", server.url, "--out", tmp_path / "out"
        )
    assert done.returncode == 1, done.stderr
    assert "good: 1 of 20 prompts got no answer and count as empty" in done.stderr
    assert "400 Bad Request: too long" in done.stderr
    metrics, figures = read(tmp_path / "out")
    assert metrics["models"][0]["no_answer"] == 1
    assert figures["good"]["exact"] == pytest.approx(0.95)


def test_a_dataset_on_the_hub_is_read_at_its_revision(client, hub, path, built, tmp_path):
    files = {str(p.relative_to(built)): p.read_bytes() for p in built.rglob("*") if p.is_file()}
    hub.made("lab/gec", files)
    more = ("--set", "dataset_name=lab/gec", "--set", "dataset_revision=main", "--out", tmp_path / "out")
    with serving(answer) as server:
        command = ("evaluate", path, "--model", "openai:good", "--base-url", server.url)
        missing = client(*command, *more, "--set", "split=validation")
        assert missing.code == 2
        assert "config sft has no split 'validation': it has: test" in missing.stderr
        assert client(*command, *more, "--set", "dataset_revision=v9").code == 2
        done = client(*command, *more)
        assert done.code == 0, done.stderr
    metrics, figures = read(tmp_path / "out")
    assert figures["good"]["exact"] == 1
    assert metrics["dataset"]["repo"] == "lab/gec"
    assert re.fullmatch("[0-9a-f]{40}", metrics["dataset"]["revision"])
    assert len({json.loads(line)["source"] for line in (tmp_path / "out" / "answers.jsonl").open()}) == 20


def test_pairs_that_others_published_are_read_as_they_are(client, hub, path, tmp_path):
    """No manifest, no meta data, the one config is called default: the text itself is the source and the group."""
    rows = [
        {"prompt": f"Sentence {n} is bad .", "chosen": "Better.", "rejected": f"Worse {k}."}
        for n in range(3)
        for k in range(2)
    ]
    file = io.BytesIO()
    pl.DataFrame(rows).write_parquet(file)
    hub.made("acme/pairs", {"data/train-00000-of-00001.parquet": file.getvalue()})
    told = {
        "dataset_name": "acme/pairs",
        "dataset_revision": "main",
        "dataset_config": "preference",
        "split": "train",
        "metrics": "[exact]",
        "max_tokens": 3,
    }
    sets = [part for key, value in told.items() for part in ("--set", f"{key}={value}")]
    with serving(lambda body: "Better .") as server:
        done = client(
            "evaluate",
            path,
            *sets,
            "--model",
            "openai:m",
            "--base-url",
            server.url,
            "--out",
            tmp_path / "out",
        )
    assert done.code == 0, done.stderr
    metrics, figures = read(tmp_path / "out")
    assert figures["m"] == {"exact": 1}
    assert (metrics["n"], len(metrics["dataset"]["digest"])) == (3, 64)
    for line in (tmp_path / "out" / "answers.jsonl").read_text().splitlines():
        row = json.loads(line)
        assert (row["group"], row["references"], len(row["rejected"])) == (row["key"], ["Better."] * 2, 2)


def test_every_packaged_evaluation_can_be_read_and_its_template_ends_where_the_metric_looks():
    found = sorted((ROOT / "recipes").glob("*/evaluate*.yaml"))
    assert len(found) >= 2
    for file in found:
        config = read_config(file, (), "tiny")
        assert config.values.prompts <= 8
        if config.values.template and config.values.metrics[0] == "right":
            shown = read_template(file.parent / config.values.template).text
            answers = re.findall(r"--- assistant ---\n(.*?)--- ", shown, re.DOTALL)
            assert [int(find_final_number(text)) for text in answers] == [14, 25]
