"""`preceptor evaluate` with metrics that need a judge or log-probabilities, as its user runs it."""

import json
import re

import pytest
import yaml
from model_server import Said, serving
from templated import templated_dataset
from tiny_model import tiny_model

CONFIG = {
    "name": "tiny",
    "dataset_config": "preference",
    "split": "validation",
    "max_tokens": 8,
    "baseline": "none",
}
N = 9  # three words, three people


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    return templated_dataset(tmp_path_factory.mktemp("built") / "d", configs=("preference",))


@pytest.fixture
def write(tmp_path, built):
    """A function that writes an evaluation's file with these keys."""

    def make(**keys):
        path = tmp_path / "evaluate.yaml"
        path.write_text(yaml.safe_dump(CONFIG | {"dataset_name": str(built)} | keys))
        return path

    return make


def answer(body):
    """good corrects, copying gives the sentence back; the judge prefers what is correct, or rates it."""
    said = body["messages"][-1]["content"]
    if body["model"] == "judge":
        texts = re.findall(r'<data-\w+ name="the (?:first|second) answer">\n(.*?)\n</data', said, re.DOTALL)
        if not texts:
            return json.dumps(
                {
                    "questions": "no",
                    "on_topic": 5,
                    "helpful": 5 if "goes" in said.split("Correct:")[1] else 1,
                    "reveals_answer": "no",
                }
            )
        first, second = ("goes" in text for text in texts)
        return json.dumps({"preference": "tie" if first == second else "first" if first else "second"})
    sentence = said.removeprefix("Correct: ")
    return sentence.replace("go", "goes") + " Yes!" if body["model"] == "good" else sentence


def metrics_of(out):
    made = json.loads((out / "metrics.json").read_text())
    return made, {name: {k: v["value"] for k, v in of.items()} for name, of in made["figures"].items()}


def test_models_are_judged_against_the_first_and_references_and_nothing_is_asked_twice(
    preceptor, write, tmp_path
):
    path = write(metrics=["judged", "judged_references", "rated"], judge={"rubric": "pairwise-preference"})
    out, common = tmp_path / "out", ("--model", "openai:copying", "--model", "openai:good")
    command = ("evaluate", path, *common, "--out", out, "--base-url")
    with serving(answer) as server:
        stopped = preceptor(*command, server.url, "--judge", "openai:judge", "--max-requests", 2 * N + 5)
        assert stopped.returncode != 0
        assert "13 of 18 requests were not sent" in stopped.stderr
        assert "run the same command again" in stopped.stderr
        done = preceptor(*command, server.url, "--judge", "openai:judge")
    assert done.returncode == 0, done.stderr
    assert len(server.asked) == 2 * N + 3 * 2 * N  # answers; good against copying, both against references
    assert "rated is left out: it needs a judge with a rating rubric" in done.stderr
    made, figures = metrics_of(out)
    assert figures["openai:good"]["judged_net"] == figures["openai:good"]["judged_win"] == 1
    assert figures["openai:copying"]["judged_tie"] == 1
    assert (
        figures["openai:copying"]["judged_references_loss"]
        == figures["openai:good"]["judged_references_tie"]
        == 1
    )
    assert made["decides"] == "judged_net"
    assert (made["judge"]["model"], made["judge"]["rubric"]) == ("openai:judge", "pairwise-preference")
    assert "good is better than copying: judged_net +1" in done.stdout
    page = (out / "README.md").read_text()
    assert "Judge: `openai:judge` by the rubric pairwise-preference" in page
    assert f"of {3 * N} pairs the two orders of showing disagree on 0, which are ties" in page
    assert "`rated` was left out: it needs a judge with a rating rubric" in page
    assert len((out / "judged.jsonl").read_text().splitlines()) == 6 * N


def test_without_a_judge_its_metrics_are_left_out_and_the_next_one_decides(preceptor, write, tmp_path):
    path = write(metrics=["rated", "exact"], judge={"rubric": "socratic"})
    command = ("evaluate", path, "--model", "openai:good", "--model", "openai:copying", "--base-url")
    with serving(answer) as server:
        done = preceptor(*command, server.url, "--out", tmp_path / "without")
        assert len(server.asked) == 2 * N
        judged = preceptor(*command, server.url, "--out", tmp_path / "with", "--judge", "openai:judge")
    assert done.returncode == judged.returncode == 0, judged.stderr
    assert "rated is left out: it needs a judge: --judge openai:NAME" in done.stderr
    made, figures = metrics_of(tmp_path / "without")
    assert (made["decides"], made["judge"], set(made["left_out"])) == ("exact", None, {"rated"})
    made, figures = metrics_of(tmp_path / "with")
    assert made["decides"] == "rated"
    assert figures["openai:good"]["rated"] == pytest.approx(0.75)
    assert figures["openai:copying"]["rated_helpful"] == pytest.approx(0.2)


@pytest.mark.parametrize(
    ("keys", "more", "says"),
    [
        ({"metrics": ["rated"]}, (), "no metric is left to measure"),
        (
            {"metrics": ["exact"]},
            ("--judge", "openai:m"),
            "no metric of .* asks a judge; those that do: judged,",
        ),
        (
            {"metrics": ["rated"]},
            ("--judge", "openai:m"),
            "does not say by what it judges: add judge: {rubric: NAME}",
        ),
        (
            {"metrics": ["rated"], "judge": {"rubric": "socratc"}},
            ("--judge", "openai:m"),
            "no rubric 'socratc': did you mean 'socratic'",
        ),
        (
            {"metrics": ["rated"], "judge": {"rubrik": "socratic"}},
            (),
            "unknown key 'judge.rubrik': did you mean 'rubric'",
        ),
        ({"metrics": ["preferred"]}, (), "preferred is left out: it needs the models' log-probabilities"),
        ({"metrics": ["preferd"]}, (), "no metric 'preferd': did you mean 'preferred'"),
        ({"metrics": ["states"]}, (), "no reference is a tutor's structured turn"),
    ],
)
def test_what_cannot_be_is_said_before_anything_is_sent(preceptor, write, tmp_path, keys, more, says):
    with serving(lambda body: Said(status=500)) as server:
        done = preceptor(
            "evaluate",
            write(**keys),
            "--model",
            "openai:m",
            "--base-url",
            server.url,
            "--out",
            tmp_path / "out",
            *more,
        )
        assert (done.returncode, len(server.asked)) == (2, 0)
    assert re.search(says, done.stderr.replace("\n", " "))


@pytest.mark.slow
def test_local_models_say_what_they_hold_likely_and_are_asked_for_no_answers(preceptor, write, tmp_path):
    folders = [tiny_model(tmp_path / f"m{seed}", seed=seed) for seed in (0, 1)]
    path = write(metrics=["preferred", "perplexity", "rated"])
    command = ("evaluate", path, "--model", f"hf:{folders[0]}", "--model", f"hf:{folders[1]}", "--out")
    out = tmp_path / "out"
    done = preceptor(*command, out)
    assert done.returncode == 0, done.stderr
    made, figures = metrics_of(out)
    assert made["n"] == N
    assert "rated" in made["left_out"]
    one, other = figures.values()
    assert one["perplexity"] != other["perplexity"]
    assert {figure["figure"] for figure in made["differences"]} == {
        "preferred",
        "perplexity",
        "bits_per_character",
    }
    rows = [json.loads(line) for line in (out / "answers.jsonl").read_text().splitlines()]
    assert [row["answers"] for row in rows] == [{}] * N
    assert str(tmp_path) not in (out / "metrics.json").read_text() + (out / "README.md").read_text()
    (tmp_path / "t.jinja").write_text("--- user ---\nCorrect this, please: {{ prompt }}")
    worded = preceptor(
        "evaluate",
        path,
        "--model",
        f"hf:{folders[0]}",
        "--set",
        f"template={tmp_path / 't.jinja'}",
        "--set",
        "metrics=[perplexity]",
        "--out",
        tmp_path / "worded",
    )
    assert worded.returncode == 0, worded.stderr
    assert metrics_of(tmp_path / "worded")[1][next(iter(figures))]["perplexity"] != one["perplexity"]
