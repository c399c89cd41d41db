"""The registry: one line is all that an evaluation must know of a metric."""

import json

import numpy as np
import pytest
import yaml
from corrections import build_corrections
from model_server import serving

from preceptor.schemas.errors import EvaluationError
from preceptor.toolkit.evaluation.metrics.judged import SCORE
from preceptor.toolkit.evaluation.metrics.measure import Available, explain_left_out, list_judged
from preceptor.toolkit.evaluation.metrics.metric import Metric
from preceptor.toolkit.evaluation.metrics.registry import METRICS
from preceptor.toolkit.evaluation.metrics.statistics import Statistics, divide_sums
from preceptor.toolkit.evaluation.run import EvaluationOptions, evaluate


def brevity(items, answers, rate):
    """A metric of answers and ratings: the mean rating of answers of at most two words."""
    said = rate([(item.messages, answer) for item, answer in zip(items, answers, strict=True)])
    short = np.array([len(answer.split()) < 3 for answer in answers], float)
    scores = np.array([one[SCORE] for one in said])
    return {"brevity": Statistics(np.stack([short * scores, short], axis=1), divide_sums)}


def refuse(items):
    if len(items) < 3:
        raise EvaluationError("metric brevity: needs three prompts")


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    return build_corrections(tmp_path_factory.mktemp("built"), ["conversational"], n=5) / "conversational"


@pytest.fixture
def path(tmp_path, built, monkeypatch):
    """An evaluation of a metric that is one more line of the registry."""
    line = Metric(brevity, ("answers", "ratings"), "ratings of short answers", "lower", refuse, ("click",))
    monkeypatch.setitem(METRICS, "brevity", line)
    keys = {"name": "e", "dataset_name": str(built), "metrics": "brevity", "judge": {"rubric": "socratic"}}
    file = tmp_path / "evaluate.yaml"
    file.write_text(yaml.safe_dump(keys))
    return file


def test_a_metric_is_one_line(path, tmp_path):
    def answer(body):
        if body["model"] == "judge":
            return json.dumps({"questions": "yes", "on_topic": 5, "helpful": 5, "reveals_answer": "no"})
        return "Two words" if body["model"] == "short" else "Now three words"

    assert list_judged("rating") == ["rated", "brevity"]
    models, out = ["openai:short", "openai:long"], tmp_path / "out"
    with serving(answer) as server:
        options = EvaluationOptions("openai:judge", base_url=server.url)
        about = evaluate(path, models, out, options).about
        with pytest.raises(EvaluationError, match="no metric is left"):
            evaluate(path, models, out, EvaluationOptions(base_url=server.url))
    assert (about["decides"], about["better"]) == ("brevity", "lower")
    assert [of["brevity"]["value"] for of in about["figures"].values()] == [1, None]
    assert "click" in about["versions"]
    assert "- `brevity`: ratings of short answers" in (out / "README.md").read_text()


def test_a_metrics_own_check_comes_before_any_request(path, tmp_path):
    path.write_text(path.read_text() + "prompts: 2\n")
    with (
        serving(lambda body: "") as server,
        pytest.raises(EvaluationError, match="brevity: needs three prompts"),
    ):
        evaluate(path, ["openai:m"], tmp_path / "o", EvaluationOptions("openai:judge", base_url=server.url))
    assert server.asked == []


@pytest.mark.parametrize(
    ("available", "left"),
    [
        (Available(True, "pairwise", True), {"rated"}),
        (Available(True, "rating", True), {"judged", "judged_references"}),
        (Available(True, "pairwise", False), {"rated", "judged"}),
        (Available(False, None, True), {name for name, one in METRICS.items() if one.needs != ("answers",)}),
    ],
)
def test_what_a_metric_needs_says_when_it_is_left_out(available, left):
    assert set(explain_left_out(METRICS, available)) == left
