"""Metrics by a judge, asked through a server of the tests' own: both orders, replies kept, limits."""

import json
import re
from dataclasses import replace

import pytest
from model_server import Said, serving
from tiny_model import tiny_model

from preceptor.annotation.models.budget import Limits
from preceptor.schemas.errors import EvaluationError
from preceptor.schemas.support.json_text.lines import add_lines, read_json_lines
from preceptor.toolkit.evaluation.config import EvaluationSettings, JudgeSettings
from preceptor.toolkit.evaluation.judge import make_judge
from preceptor.toolkit.evaluation.metrics.judged import (
    measure_ratings,
    measure_wins,
    measure_wins_over_references,
)
from preceptor.toolkit.evaluation.metrics.statistics import Item, estimate
from preceptor.toolkit.evaluation.report import compare, list_notes

ITEMS = [
    Item(
        str(n), str(n), ({"role": "user", "content": f"Which word is {n}?"},), "?", (f"It is the word {n} .",)
    )
    for n in range(4)
]


def shown(body, name):
    """The text within a fence, of the last that is so called."""
    said = body["messages"][-1]["content"]
    return re.findall(rf'<data-\w+ name="{name}">\n(.*?)\n</data', said, re.DOTALL)[-1]


def longer(body):
    first, second = shown(body, "the first answer"), shown(body, "the second answer")
    preference = "first" if len(first) > len(second) else "second" if len(second) > len(first) else "tie"
    return json.dumps({"reason": "length", "preference": preference})


def values(figures):
    return {name: estimate(one, [item.key for item in ITEMS], 0).value for name, one in figures.items()}


def asked(server, tmp_path, rubric="pairwise-preference", limits=None, tries=3, prices=None):
    settings = JudgeSettings(model="openai:m", rubric=rubric, tries=tries)
    return make_judge(settings, tmp_path / "judged.jsonl", limits or Limits(2), server.url, prices)


def test_wins_are_of_both_orders_and_what_was_said_is_not_asked_again(tmp_path):
    answers = ["longer by far", "short", "the same", "even one"]
    others = ["short", "longer by far", " the same", "and two!"]
    with serving(longer) as server:
        judge = asked(server, tmp_path)
        figures = measure_wins(ITEMS, answers, others, judge.judge_pairs)
        assert values(figures) == {
            "judged_net": 0,
            "judged_win": 0.25,
            "judged_tie": 0.5,
            "judged_loss": 0.25,
        }
        assert len(server.asked) == 6  # what is the same is not asked about
        assert judge.spent[0].requests == 6
        again = measure_wins(
            ITEMS, others, answers, asked(server, tmp_path).judge_pairs
        )  # the other way round: the same two orders
        assert values(again)["judged_win"] == 0.25
        assert len(server.asked) == 6
    with serving(lambda body: '{"preference": "first"}') as server:
        by_position = asked(server, tmp_path / "..", limits=Limits())
        by_place = measure_wins(ITEMS, answers, others, by_position.judge_pairs)
        assert values(by_place)["judged_tie"] == 1
        assert (by_position.about["pairs"], by_position.about["orders_disagree"]) == (3, 3)
        (tmp_path / ".." / "judged.jsonl").unlink()
    kept = [json.loads(line) for line in (tmp_path / "judged.jsonl").read_text().splitlines()]
    assert {row["model"] for row in kept} == {"openai:m"}
    assert all(json.loads(row["answer"])["reason"] == "length" for row in kept)


def test_references_are_judged_against_and_useless_replies_are_counted(tmp_path):
    def answer(body):
        if "word is 2?" in str(body["messages"]):
            return "I'd rather not say."
        return longer(body)

    short = [Item("4", "4", ITEMS[0].messages, "?", ())]
    with serving(answer) as server:
        judge = asked(server, tmp_path, tries=2)
        found = measure_wins_over_references(
            [*ITEMS, *short], ["I'm quite sure that it is this one."] * 3 + ["no", "x"], judge.judge_pairs
        )
        assert {
            name: one.rows.tolist() for name, one in found.items() if name != "judged_references_net"
        } == {
            "judged_references_win": [[1, 1], [1, 1], [0, 0], [0, 1], [0, 0]],
            "judged_references_tie": [[0, 1], [0, 1], [0, 0], [0, 1], [0, 0]],
            "judged_references_loss": [[0, 1], [0, 1], [0, 0], [1, 1], [0, 0]],
            "judged_references_missing": [[0, 1], [0, 1], [1, 1], [0, 1], [0, 0]],
        }
        assert len(server.asked) == 6 + 2 * 2
        measure_wins_over_references(
            [*ITEMS, *short],
            ["I'm quite sure that it is this one."] * 3 + ["no", "x"],
            asked(server, tmp_path, tries=2).judge_pairs,
        )
        assert len(server.asked) == 6 + 2 * 2  # what failed has no try left


def test_a_limit_stops_the_run_and_the_next_goes_on(tmp_path):
    answers, others = ["longer by far"] * 4, ["short"] * 4
    with serving(longer) as server:
        with pytest.raises(EvaluationError, match="run the same command again"):
            measure_wins(
                ITEMS, answers, others, asked(server, tmp_path, limits=Limits(1, max_requests=3)).judge_pairs
            )
        path = tmp_path / "judged.jsonl"
        path.write_bytes(path.read_bytes()[:-30])  # killed while it wrote the third
        judge = asked(server, tmp_path, limits=Limits(1, max_requests=8))
        assert values(measure_wins(ITEMS, answers, others, judge.judge_pairs))["judged_net"] == 1
        assert (len(server.asked), len(read_json_lines(path))) == (9, 8)
        with pytest.raises(
            EvaluationError, match="1 of 2 requests were not sent"
        ):  # one of the eight is left
            measure_wins(ITEMS[:1], ["another"], ["one"], _spent(judge, 1))
        prices = tmp_path / "prices.yaml"
        prices.write_text("models: [{model: m, in: 1, out: 1}]")
        dear = asked(server, tmp_path / "..", limits=Limits(1, max_cost=0.0001), prices=prices)
        with pytest.raises(EvaluationError, match="2 of 2 requests were not sent"):
            measure_wins(ITEMS[:1], ["one"], ["another"], dear.judge_pairs)


def _spent(judge, left):
    judge.limits = Limits(1, max_requests=sum(one.requests for one in judge.spent) + left)
    return judge.judge_pairs


def test_ratings_are_summary_scores(tmp_path):
    def answer(body):
        text = shown(body, "the answer")
        if "3" in text:
            return Said(status=400, body="{}")
        return json.dumps(
            {
                "questions": "yes",
                "on_topic": 5,
                "helpful": 3,
                "reveals_answer": "yes" if "1" in text else "no",
            }
        )

    with serving(answer) as server:
        found = measure_ratings(
            ITEMS,
            [f"Is it word {n}?\ud800" for n in range(4)],
            asked(server, tmp_path, "socratic").rate_texts,
        )
        assert values(found) == pytest.approx(
            {
                "rated": (0.9 + 0.65 + 0.9) / 3,
                "rated_questions": 1,
                "rated_on_topic": 1,
                "rated_helpful": 0.6,
                "rated_reveals_answer": 2 / 3,
                "rated_missing": 0.25,
            }
        )
        with pytest.raises(EvaluationError, match="need a pairwise rubric, and 'socratic' is not"):
            asked(server, tmp_path, "socratic").judge_pairs([(ITEMS[0].messages, "a", "b")])
    with serving(lambda body: "no idea") as server:
        nothing = measure_ratings(ITEMS, ["?"] * 4, asked(server, tmp_path, "socratic", tries=1).rate_texts)
        assert nothing["rated"].rows.tolist() == [[0, 0]] * 4


def test_a_model_that_writes_nothing_judges_by_likelihood(tmp_path):
    folder = tiny_model(tmp_path / "tiny")
    settings = JudgeSettings(model=f"hf-likelihood:{folder}", rubric="pairwise-preference")
    judge = make_judge(settings, tmp_path / "judged.jsonl", Limits())
    found = values(measure_wins(ITEMS, ["Ten."] * 4, ["Think of picture 1."] * 4, judge.judge_pairs))
    assert found["judged_win"] + found["judged_loss"] == 1
    assert len(read_json_lines(tmp_path / "judged.jsonl")) == 4


def test_lines_that_are_none_of_ours_are_refused(tmp_path):
    path = tmp_path / "a.jsonl"
    add_lines(path, [{"a": "ü\ud800"}])
    path.write_bytes(path.read_bytes() + b'{"b": "')
    add_lines(path, [{"c": 1}])
    assert read_json_lines(path) == [{"a": "ü\ud800"}, {"c": 1}]
    path.write_text("key,answer\n")
    with pytest.raises(EvaluationError, match="not the JSON Lines of an evaluation"):
        read_json_lines(path)


def test_what_does_not_count_is_noted():
    """Answers that a judge cannot read would otherwise leave their model's figure as it was."""
    items = [replace(ITEMS[0], key=str(n), group=str(n)) for n in range(8)]
    figures = measure_wins_over_references(
        items, ["x"] * 8, lambda pairs: [None, None, *["first"] * (len(pairs) - 2)]
    )
    wanted = EvaluationSettings(name="a", dataset_name="d", metrics=["judged_references"])
    made = compare(wanted, [one.key for one in items], {"openai:m": figures}, ["openai:m"])
    model = {"name": "openai:m", "cut_off": 0, "no_answer": 0, "errors": [], "trained_on": None}
    assert list_notes({"n": 8, "models": [model], **made}) == [
        "m: 25.0% of what judged_references is made of does not count: the judge gave no answer of use"
    ]
