"""What did not end by itself is no answer: kept with its reason, asked again where that helps, and counted."""

import json
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st
from model_server import Said, serving

from preceptor.annotation.models.asking import AskOptions, ask, ask_missing, find_missing
from preceptor.annotation.models.backends import endpoint as endpoint_module
from preceptor.annotation.models.backends.endings import split_reasoning
from preceptor.annotation.models.backends.registry import find_backend
from preceptor.annotation.models.judge.answers import make_checker
from preceptor.annotation.models.memory import ReplyFile
from preceptor.annotation.models.requests import Request
from preceptor.annotation.models.writing import read_completion
from preceptor.annotation.rubrics.rubric import read_rubric

GOOD = '{"reason": "r", "preference": "first"}'
OTHER = '{"preference": "second"}'
WHOLE = {
    "plain": Said(GOOD),
    "fenced": Said(f"Sure!\n```json\n{GOOD}\n```\nDone."),
    "reasoning before": Said(f"<think>Maybe {OTHER} hmm</think>\n{GOOD}"),
    "reasoning after": Said(f"{GOOD}\n<think>unused {OTHER}</think>"),
    "reasoning begun in the prompt": Said(f"Maybe {OTHER} hmm</think>{GOOD}"),
    "reasoning apart": Said(GOOD, message={"reasoning_content": OTHER}),
    "reasoning apart, newer": Said(GOOD, message={"reasoning": OTHER}),
    "marks of another model": Said(f"[THINK]{OTHER}[/THINK]{GOOD}"),
    "parts": Said([{"type": "text", "text": GOOD[:9]}, {"type": "text", "text": GOOD[9:]}]),
    "parts that think": Said(
        [{"type": "thinking", "thinking": [{"type": "text", "text": OTHER}]}, {"type": "text", "text": GOOD}]
    ),
    "no finish": Said(GOOD, finish=None),
    "an end token": Said(f"{GOOD}<|im_end|>"),
    "marks of channels": Said(
        f"<|channel|>analysis<|message|>{OTHER}<|end|><|start|>assistant<|channel|>final<|message|>{GOOD}<|return|>"
    ),
    "a mark, and a turn of the reader's": Said(f"{GOOD}<|eot_id|>\n{OTHER}<|eot_id|>"),
}
NO_ANSWER = {
    "cut off": (Said(GOOD, finish="length"), 1, "cut off after --max-tokens 512"),
    "cut within reasoning": (Said(f"<think>The form is {GOOD}. So", finish="length"), 1, "cut off"),
    "all reasoning": (Said("", finish="length", message={"reasoning_content": GOOD}), 1, "cut off"),
    "all reasoning, no text": (Said(None, finish="length", message={"reasoning": GOOD}), 1, "cut off"),
    "only a channel": (Said(f"<|channel|>analysis<|message|>{GOOD}<|end|>"), 3, "within its reasoning"),
    "ends within reasoning": (Said(f"<think>The form is {GOOD}. So"), 3, "within its reasoning"),
    "filtered": (Said(GOOD, finish="content_filter"), 3, "content filter"),
    "filtered to nothing": (Said("", finish="content_filter"), 3, "content filter"),
    "refused": (Said(None, message={"refusal": f"I cannot {GOOD}"}), 3, "the model refused: I cannot"),
    "refused in parts": (
        Said([{"type": "refusal", "refusal": "I cannot"}]),
        3,
        "the model refused: I cannot",
    ),
    "failed midway": (Said(GOOD, finish="error"), 3, "an error of the server"),
    "an error as an answer": (
        Said(body='{"error": {"code": 429, "message": "Rate limit exceeded: free-models-per-min"}}'),
        3,
        "error 429: Rate limit exceeded: free-models-per-min",
    ),
    "an error in words": (Said(body='{"error": "no such thing"}'), 3, "with error: no such thing"),
    "a picture": (Said([{"type": "image_url", "image_url": "x"}]), 3, "of type image_url"),
    "a stream": (
        Said(body='data: {"choices": [{"delta": {"content": "hi"}}]}\n\ndata: [DONE]'),
        3,
        "streams",
    ),
}
JUDGE = make_checker(read_rubric("pairwise-preference"))


@pytest.fixture(autouse=True)
def pauses(monkeypatch):
    paused = []

    async def rest(seconds):
        paused.append(seconds)

    monkeypatch.setattr(endpoint_module, "rest", rest)
    return paused


def ask_once(said, check, **more):
    kept = []
    with serving(lambda body: said) as server:
        backend = find_backend("openai:m", server.url)
        request = Request(({"role": "user", "content": "q"},))
        spent = ask(backend, [request], check=check, keep=kept.extend, **more)
    return spent, kept, server.asked


@pytest.mark.parametrize("check", [JUDGE, read_completion])
@pytest.mark.parametrize("name", WHOLE)
def test_what_ended_by_itself_is_an_answer_without_its_reasoning(name, check):
    spent, (reply,), _ = ask_once(WHOLE[name], check)
    assert reply.error is None
    assert reply.answer
    assert OTHER not in reply.raw
    assert GOOD in reply.raw
    assert (OTHER in reply.said.get("reasoning", "")) == (
        "reason" in name or "mark" in name or "think" in name
    )
    assert (spent.failed, spent.errors) == (0, {})
    if check is JUDGE:
        assert reply.answer["preference"] == "first"


@pytest.mark.parametrize("check", [JUDGE, read_completion])
@pytest.mark.parametrize("name", NO_ANSWER)
def test_what_did_not_end_by_itself_is_kept_and_no_answer(name, check):
    said, tries, error = NO_ANSWER[name]
    spent, kept, asked = ask_once(said, check)
    assert [one.answer for one in kept] == [None] * tries
    assert all(error in one.error for one in kept)
    assert (spent.failed, list(spent.errors.values())) == (1, [1])
    assert error in next(iter(spent.errors))
    assert all(len(body["messages"]) == 1 for body in asked)  # the model did nothing wrong


def test_a_rate_limit_sent_as_an_answer_is_followed_by_a_pause(pauses):
    ask_once(NO_ANSWER["an error as an answer"][0], JUDGE)
    assert len(pauses) == 3


def test_a_cut_reply_is_an_answer_where_that_is_allowed():
    _, (reply,), _ = ask_once(Said("Try the fo", finish="length"), read_completion, allow_cut=True)
    assert (reply.raw, reply.error, reply.said["finish"]) == ("Try the fo", None, "length")
    _, (reply,), _ = ask_once(Said("<think>Try the fo", finish="length"), read_completion, allow_cut=True)
    assert (reply.raw, reply.error) == ("", "the model said nothing")
    _, kept, _ = ask_once(Said("Try the fo", finish="content_filter"), read_completion, allow_cut=True)
    assert all(one.answer is None for one in kept)


def test_a_later_run_asks_again_only_if_told(tmp_path):
    request = Request(({"role": "user", "content": "q"},))
    with serving(lambda body: Said(GOOD, finish="content_filter")) as server:
        backend, memory = find_backend("openai:m", server.url), ReplyFile(tmp_path / "r.jsonl", "openai:m")
        ask_missing(backend, [request], memory, JUDGE, AskOptions(tries=1))
        assert not find_missing([request], memory).requests
        server.answer = lambda body: GOOD
        asked = ask_missing(backend, [request], memory, JUDGE, AskOptions(retry_failed=True))
    assert len(asked.known.answered) == 1
    (row,) = [json.loads(line) for line in (tmp_path / "r.jsonl").read_text().splitlines()][:1]
    assert json.loads(row["sampling"])["said"]["unfinished"] == "content_filter"


@pytest.mark.parametrize("status", [400, 422])
def test_a_newer_name_of_a_limit_is_taken_up_whatever_the_status(status):
    def answer(body):
        return Said(status=status, body="use 'max_completion_tokens'") if "max_tokens" in body else GOOD

    kept = []
    with serving(answer) as server:
        backend = find_backend("openai:m", server.url)
        ask(backend, [Request(({"role": "user", "content": "q"},))], check=JUDGE, keep=kept.extend)
    assert kept[0].answer


PIECES = st.sampled_from(
    [
        "a",
        "{b}",
        " ",
        "\n",
        "<think>",
        "</think>",
        "<Thinking>",
        "[THINK]",
        "[/THINK]",
        "◁/think▷",
        "<|im_end|>",
    ]
)


@given(st.lists(PIECES).map("".join))
def test_no_mark_of_reasoning_stays_and_nothing_is_lost(text):
    answer, reasoning, _ = split_reasoning(text)
    marks = r"(?i)</?think(ing)?>|\[/?THINK\]|◁/?think▷|<\|im_end\|>"
    assert not re.search(marks, answer + "|" + reasoning)
    kept = sorted((answer + reasoning).replace("\n", "").replace(" ", ""))
    assert kept == sorted(re.sub(r"\s", "", re.sub(marks, "", text)))


@pytest.mark.parametrize(
    ("text", "answer", "reasoning", "within"),
    [
        ("Try it.<|im_end|>", "Try it.", "", False),
        ("Try it.</s>\n", "Try it.", "", False),
        ("Try it.</s><|im_end|></s>", "Try it.", "", False),
        ("<s>gone</s> here", "<s>gone</s> here", "", False),
        ("<|im_start|>assistant\nTry it.<|im_end|>\n<|im_start|>user", "Try it.", "<|im_start|>user", False),
        ("<|channel|>analysis<|message|>Hm", "", "Hm", True),
        ("<|channel|>final <|constrain|>json<|message|>{}<|return|>", "{}", "", False),
        (
            "<|channel|>analysis<|message|>A<|end|><|start|>assistant<|channel|>commentary<|message|>B<|end|>"
            "<|start|>assistant<|channel|>final<|message|>C",
            "C",
            "A\nB",
            False,
        ),
    ],
)
def test_tokens_of_chat_templates_are_no_text(text, answer, reasoning, within):
    assert split_reasoning(text) == (answer, reasoning, within)


@given(st.text(st.characters(exclude_characters="<[◁")))
def test_a_text_without_marks_is_unchanged(text):
    assert split_reasoning(text) == (text, "", False)
