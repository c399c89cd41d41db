"""How models are asked: each request once, within limits, whatever the server does."""

import json
import sys
import textwrap
from collections import Counter

import pytest
from model_server import Said, serving

from preceptor.annotation.models.asking import (
    AskOptions,
    EarlierReply,
    FinalError,
    ask,
    ask_missing,
    estimate_cost,
    find_missing,
)
from preceptor.annotation.models.backends import endpoint as endpoint_module
from preceptor.annotation.models.backends.registry import (
    KINDS,
    SCORING,
    WRITING,
    BackendKind,
    describe_models,
    find_backend,
    writes_answers,
)
from preceptor.annotation.models.budget import Limits
from preceptor.annotation.models.memory import ReplyFile
from preceptor.annotation.models.requests import Request, Sampling, hash_request
from preceptor.schemas.errors import AnnotationError

SCHEMA = {"type": "object", "properties": {"n": {"type": "integer"}}, "required": ["n"]}


def requests(n, schema=None, **sampling):
    return [
        Request(({"role": "user", "content": f"q{i}"},), Sampling(**sampling), schema=schema)
        for i in range(n)
    ]


def taken(text):
    return {"text": text}


def number(text):
    answer = json.loads(text)
    if answer.get("n") not in range(5):
        raise ValueError("n must be from 0 to 4")
    return answer


def asked(server, requests, prices=None, check=taken, **more):
    """What `ask` spent, and the replies it kept."""
    kept = []
    more.setdefault("limits", Limits())
    return ask(
        find_backend("openai:m", server.url, prices), requests, check=check, keep=kept.extend, **more
    ), kept


@pytest.fixture
def prices(tmp_path):
    path = tmp_path / "prices.yaml"
    path.write_text("models:\n- {model: m, in: 1000, out: 10000}\n")
    return path


@pytest.fixture
def no_pauses(monkeypatch):
    paused = []

    async def rest(seconds):
        paused.append(seconds)

    monkeypatch.setattr(endpoint_module, "rest", rest)
    return paused


def test_every_request_is_sent_once_some_at_a_time():
    with serving(lambda body: Said(body["messages"][0]["content"].upper(), seconds=0.05)) as server:
        spent, kept = asked(server, requests(20) + requests(3), limits=Limits(concurrency=4))
    assert (spent.requests, spent.replies, spent.failed, spent.left_out) == (20, 20, 0, 0)
    assert (spent.prompt_tokens, spent.completion_tokens, spent.cost) == (200, 100, 0.0)
    assert len(server.asked) == 20
    assert 2 <= server.most <= 4
    assert {r.raw for r in kept} == {f"Q{n}" for n in range(20)}
    assert all(r.answer == {"text": r.raw} and r.said["model"] == "m-0613" for r in kept)


def test_what_is_kept_is_kept_at_once():
    first, seen = [], []

    def answer(body):
        seen.append(len(first))
        return "x"

    with serving(answer) as server:
        ask(
            find_backend("openai:m", server.url),
            requests(6),
            check=taken,
            keep=first.extend,
            limits=Limits(concurrency=1),
        )
    assert seen == [0, 1, 2, 3, 4, 5]


def test_draws_have_seeds_of_their_own():
    draws = [
        Request(({"role": "user", "content": "q"},), Sampling(1.2, 0.9, 9, 7, ("END",)), n) for n in range(3)
    ]
    with serving(lambda body: "x") as server:
        asked(server, draws)
    assert sorted(body["seed"] for body in server.asked) == [7, 8, 9]
    assert {(b["temperature"], b["top_p"], b["max_tokens"], *b["stop"]) for b in server.asked} == {
        (1.2, 0.9, 9, "END")
    }
    assert len({hash_request(request) for request in draws}) == 3


def test_a_model_is_told_what_was_wrong_and_all_is_kept():
    with serving(lambda body: '{"n": 9}' if len(body["messages"]) == 1 else '{"n": 1}') as server:
        spent, kept = asked(server, requests(1), check=number)
    assert [(r.nth, r.answer, r.error) for r in kept] == [
        (1, None, "n must be from 0 to 4"),
        (2, {"n": 1}, None),
    ]
    assert kept[0].raw == '{"n": 9}'
    assert {hash_request(r.request) for r in kept} == {hash_request(requests(1)[0])}
    assert [m["role"] for m in server.asked[1]["messages"]] == ["user", "assistant", "user"]
    assert "n must be from 0 to 4" in server.asked[1]["messages"][2]["content"]
    assert (spent.requests, spent.failed) == (2, 0)


def test_after_so_many_tries_a_request_has_failed():
    with serving(lambda body: "no") as server:
        spent, kept = asked(server, requests(2), check=number, tries=2)
        assert (spent.requests, spent.failed, spent.left_out, len(kept)) == (4, 2, 0, 4)
        earlier = {hash_request(requests(1)[0]): EarlierReply(2, "no", "it was no number")}
        spent, kept = asked(server, requests(1), check=number, earlier=earlier)
        assert [r.nth for r in kept] == [3]
    assert "it was no number" in server.asked[4]["messages"][2]["content"]


def test_what_asking_again_cannot_cure_is_not_asked_again():
    def empty(text):
        raise FinalError("empty")

    with serving(lambda body: "") as server:
        spent, kept = asked(server, requests(2), check=empty)
    assert (spent.requests, spent.failed) == (2, 2)
    assert [r.error for r in kept] == ["empty", "empty"]


def test_a_body_without_a_message_is_kept_and_asked_again():
    bodies = ["<html>", '{"choices": []}']
    with serving(lambda body: Said(body=bodies.pop(0)) if bodies else "x") as server:
        _spent, kept = asked(server, requests(1))
    assert [(r.raw, r.error) for r in kept] == [
        ("<html>", "no message in the answer, but: <html>"),
        ('{"choices": []}', "no message in the answer"),
        ("x", None),
    ]
    assert len({json.dumps(body) for body in server.asked}) == 1


# ---- limits


@pytest.mark.parametrize("fails", [False, True])
def test_the_cap_on_requests_counts_every_attempt(no_pauses, fails):
    busy = iter([True, True] if fails else [])

    def answer(body):
        return (
            Said(status=429, headers={"Retry-After": "0"}) if next(busy, False) else Said("x", seconds=0.02)
        )

    with serving(answer) as server:
        spent, kept = asked(server, requests(30), limits=Limits(concurrency=8, max_requests=10))
    assert len(server.asked) == spent.requests == 10
    assert len(kept) == (8 if fails else 10)
    assert spent.left_out == 30 - len(kept)


def test_the_cap_on_cost_is_never_exceeded(prices, no_pauses):
    """Each answer costs 0.11 USD; before it came it might have cost up to 1.1 and some."""
    turn = iter(range(10**6))

    def answer(body):
        at = next(turn)
        if at % 7 == 3:
            return Said(status=429, headers={"Retry-After": "0"})
        return Said("x", seconds=0.01, prompt_tokens=10, completion_tokens=10 if at % 5 else 100)

    largest = 0.0

    def watch(spent, left):
        nonlocal largest
        largest = max(largest, spent.cost)

    with serving(answer) as server:
        spent, kept = asked(
            server,
            requests(200, max_tokens=100),
            prices,
            watch=watch,
            limits=Limits(concurrency=8, max_cost=4.0),
        )
    billed = sum(r.cost for r in kept)
    assert billed == pytest.approx(spent.cost)
    assert largest <= spent.cost <= 4.0
    assert spent.cost > 4.0 - 1.3  # it stops only where one more might be too much
    assert spent.left_out == 200 - len(kept) > 0
    assert server.most > 1


def test_without_a_price_a_cap_on_cost_is_refused(tmp_path):
    where = "https://models.example/v1"
    with pytest.raises(AnnotationError, match="no price is known for openai:m; write one"):
        ask(find_backend("openai:m", where), requests(1), check=taken, keep=print, limits=Limits(max_cost=1))
    assert estimate_cost(find_backend("openai:m", where), requests(2)).cost is None
    assert estimate_cost(find_backend("openai:gpt-4o-mini", where), requests(2, max_tokens=100)).cost < 0.001


def test_an_estimate_is_no_less_than_what_is_spent(prices):
    with serving(lambda body: Said("x", prompt_tokens=30, completion_tokens=50)) as server:
        most = estimate_cost(find_backend("openai:m", server.url, prices), requests(5, max_tokens=50))
        assert server.asked == []
        spent, _ = asked(server, requests(5, max_tokens=50), prices)
    assert (most.requests, most.completion_tokens) == (5, 250)
    assert spent.cost <= most.cost
    assert spent.prompt_tokens <= most.prompt_tokens


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("models: 3", "expected 'models:' and a list"),
        ("models:\n- {model: m, in: 1}", "model 1: expected {model: NAME"),
        ("models:\n- {model: m, in: -1, out: 2}", "numbers from 0"),
        (": :", "not YAML"),
    ],
)
def test_a_wrong_price_table_is_named(tmp_path, text, says):
    (tmp_path / "p.yaml").write_text(text)
    with pytest.raises(AnnotationError, match=says):
        find_backend("openai:m", "http://127.0.0.1:1/v1", tmp_path / "p.yaml")


# ---- what servers do


def test_a_busy_server_is_asked_again_when_it_says(no_pauses):
    turn = iter(range(100))
    said = []

    def answer(body):
        at = next(turn)
        return (
            Said(status=429 if at else 503, headers={"Retry-After": "2.5"} if at else {})
            if at < 3
            else Said("x")
        )

    with serving(answer) as server:
        spent, _kept = asked(server, requests(1), say=said.append)
    assert (spent.requests, spent.replies, len(server.asked)) == (4, 1, 4)
    assert no_pauses == [1.0, 2.5, 2.5]
    assert "503" in said[0]


def test_a_server_that_stays_away_ends_the_run_after_what_is_done_was_kept(no_pauses):
    turn = iter(range(100))
    kept = []
    with serving(lambda body: Said("x") if next(turn) < 3 else Said(status=500)) as server:
        how = {"check": taken, "keep": kept.extend, "limits": Limits(concurrency=2)}
        with pytest.raises(AnnotationError, match=r"no answer after 6 tries: .*500"):
            ask(find_backend("openai:m", server.url), requests(50), **how)
    assert len(kept) == 3
    assert len(server.asked) <= 3 + 2 * 6


def test_a_refused_request_among_others_has_failed_and_alone_ends_the_run():
    def answer(body):
        long = body["messages"][0]["content"] == "q2"
        return Said(status=400, body="too long for the context") if long else Said("x")

    with serving(answer) as server:
        spent, kept = asked(server, requests(5))
        assert (spent.failed, spent.replies) == (1, 5)
        assert "too long for the context" in next(r.error for r in kept if r.error)
        with pytest.raises(AnnotationError, match="too long"):
            asked(server, requests(3)[2:])
    with serving(lambda body: Said(status=400, body="no such parameter")) as server:
        with pytest.raises(AnnotationError, match="no such parameter"):
            asked(server, requests(100), limits=Limits(concurrency=1))
        assert len(server.asked) == 5
    with serving(lambda body: Said(status=401)) as server:
        with pytest.raises(AnnotationError, match="set PRECEPTOR_API_KEY"):
            asked(server, requests(100), limits=Limits(concurrency=1))
        assert len(server.asked) == 1


def form_of(body):
    return (body.get("response_format") or {"type": "none"})["type"]


@pytest.mark.parametrize(
    ("takes", "status"), [("json_schema", 500), ("json_object", 500), ("json_object", 400), ("none", 400)]
)
def test_json_by_schema_where_the_server_can(no_pauses, takes, status):
    def answer(body):
        return '{"n": 2}' if form_of(body) == takes else Said(status=status, body="response_format?")

    with serving(answer) as server:
        _spent, kept = asked(server, requests(6, SCHEMA), check=number)
    assert [r.answer for r in kept] == [{"n": 2}] * 6
    forms = ["json_schema", "json_object", "none"]
    refused = forms[: forms.index(takes)]
    assert Counter(map(form_of, server.asked)) == Counter([*refused, *[takes] * 6])
    assert no_pauses == []


def test_a_server_that_is_down_is_not_taken_for_one_without_schemas(no_pauses):
    turn = iter(range(100))
    with serving(lambda body: Said(status=500) if next(turn) < 3 else '{"n": 2}') as server:
        asked(server, requests(2, SCHEMA), check=number, limits=Limits(concurrency=1))
    assert [form_of(body) for body in server.asked][3:] == ["json_schema", "json_schema"]


def test_a_newer_name_of_a_limit_is_taken_up():
    def answer(body):
        return (
            Said(status=400, body="use 'max_completion_tokens' instead")
            if "max_tokens" in body
            else Said("x")
        )

    with serving(answer) as server:
        spent, _ = asked(server, requests(3), limits=Limits(concurrency=1))
    assert (spent.replies, spent.requests) == (3, 4)


@pytest.mark.parametrize(
    ("model", "says"),
    [
        ("gpt-4o", "say where it answers: openai:gpt-4o"),
        ("opnai:x", "did you mean 'openai'"),
        ("", "openai:NAME"),
        ("openai:", "say where it answers"),
    ],
)
def test_a_misspelt_back_end_is_named(model, says):
    with pytest.raises(AnnotationError, match=says):
        find_backend(model, "http://127.0.0.1:1/v1")


# ---- what is kept is not asked again


def told(server, memory, n, check=number, **how):
    """What `ask_missing` did about n requests, and what it wanted to send."""
    options = AskOptions(**how)
    wanted = len(find_missing(requests(n), memory, options).requests)
    asked = ask_missing(find_backend("openai:m", server.url), requests(n), memory, check, options)
    assert asked.missing == wanted
    assert asked.known == memory.find([hash_request(one) for one in requests(n)])
    return asked, wanted


def test_only_what_has_no_usable_reply_is_sent(tmp_path):
    memory, other = (ReplyFile(tmp_path / "replies.jsonl", name) for name in ("openai:m", "openai:other"))
    with serving(lambda body: '{"n": 1}') as server:
        asked, wanted = told(server, memory, 3)
        assert (wanted, asked.spent.replies, len(asked.known.answered)) == (3, 3, 3)
        asked, wanted = told(server, memory, 5)
        assert (wanted, asked.spent.replies, len(asked.known.read_answers())) == (2, 2, 5)
        asked, wanted = told(server, memory, 4)
        assert (wanted, asked.spent, len(server.asked)) == (0, None, 5)
        assert len(find_missing(requests(5), other).requests) == 5  # of another model


def test_tries_count_over_runs_and_what_failed_waits_to_be_retried(tmp_path):
    memory = ReplyFile(tmp_path / "replies.jsonl", "openai:m")
    with serving(lambda body: "no") as server:
        asked, _ = told(server, memory, 1, tries=3, limits=Limits(max_requests=2))
        assert asked.spent.left_out == 1  # a limit stopped it before its third try
        asked, wanted = told(server, memory, 1, tries=3)
        assert (wanted, asked.spent.requests, asked.spent.failed) == (1, 1, 1)
        assert "no JSON" not in server.asked[2]["messages"][0]["content"]
        assert [m["role"] for m in server.asked[2]["messages"]] == ["user", "assistant", "user"]
        asked, wanted = told(server, memory, 1, tries=3)
        assert (wanted, asked.spent) == (0, None)
        asked, wanted = told(server, memory, 1, tries=3, retry_failed=True)
        assert (wanted, asked.spent.requests) == (1, 3)
        (row,) = asked.known.failed.values()
        assert row["nth"] == 6


def test_without_correction_a_failure_is_final(tmp_path):
    def empty(text):
        raise FinalError("the model said nothing")

    memory = ReplyFile(tmp_path / "replies.jsonl", "openai:m")
    with serving(lambda body: "") as server:
        told(server, memory, 1, empty, correct=False)
        assert told(server, memory, 1, empty, correct=False)[1] == 0
        told(server, memory, 1, empty, correct=False, retry_failed=True)
        assert [len(body["messages"]) for body in server.asked] == [1, 1]


def test_what_came_before_an_error_is_kept(tmp_path, no_pauses):
    memory = ReplyFile(tmp_path / "replies.jsonl", "openai:m")
    turn = iter(range(100))
    with serving(lambda body: '{"n": 1}' if next(turn) < 2 else Said(status=401)) as server:
        with pytest.raises(AnnotationError, match="401"):
            told(server, memory, 5, limits=Limits(concurrency=1))
        assert len(find_missing(requests(5), memory).requests) == 3


def test_progress_says_how_much_is_left(tmp_path):
    seen = []
    with serving(lambda body: '{"n": 1}') as server:
        told(
            server,
            ReplyFile(tmp_path / "r.jsonl", "openai:m"),
            4,
            limits=Limits(concurrency=1),
            watch=lambda spent, n: seen.append((n, spent.left_out)),
        )
    assert seen[:4] == [(4, 3), (4, 2), (4, 1), (4, 0)]


def test_a_back_end_is_a_file_and_a_line(tmp_path, monkeypatch):
    """Its line says what it can do and how it is written; nobody looks at its name."""
    (tmp_path / "echoing.py").write_text(
        textwrap.dedent(
            """
            from contextlib import asynccontextmanager

            from preceptor.annotation.models.backends.backend import Backend, ModelAnswer
            from preceptor.annotation.models.prices import FREE


            def open_backend(name, base_url=None, prices=None, trusting_code=False):
                @asynccontextmanager
                async def session():
                    async def send(requests, ledger, say):
                        for request in requests:
                            await ledger.reserve(request)
                            ledger.settle(request, 0, 0)
                        return [ModelAnswer(one.messages[-1]["content"]) for one in requests]

                    yield send

                return Backend(f"echo:{name}", session, FREE)
            """
        )
    )
    import preceptor.annotation.models.backends as room

    monkeypatch.setattr(room, "__path__", [*room.__path__, str(tmp_path)])
    monkeypatch.setitem(KINDS, "echo", BackendKind("echoing", "echo:NAME, which repeats the question"))
    backend = find_backend("echo:x")
    assert (backend.writes, backend.scores) == (True, None)
    asked = ask_missing(backend, requests(2), ReplyFile(tmp_path / "r.jsonl", backend.name), taken)
    assert sorted(one["text"] for one in asked.known.read_answers().values()) == ["q0", "q1"]
    assert [writes_answers(f"{kind}:x") for kind in ("openai", "hf", "hf-likelihood", "echo")] == [
        True,
        True,
        False,
        True,
    ]
    assert describe_models().endswith(" in this process, or echo:NAME, which repeats the question.")
    assert (WRITING, SCORING) == (("openai:", "hf:"), ("hf:",))
    monkeypatch.setitem(KINDS, "echo", BackendKind("echoing", "echo:NAME", writes=False))
    assert not find_backend("echo:x").writes
    sys.modules.pop("preceptor.annotation.models.backends.echoing", None)
