"""Bodies that are broken, without end, or what no other program can hold: failed replies that are kept."""

import gzip
import json
import zlib

import pytest
from model_server import Said, serving

from preceptor.annotation.models.asking import ask
from preceptor.annotation.models.backends import endpoint as endpoint_module
from preceptor.annotation.models.backends.message import read_message
from preceptor.annotation.models.backends.registry import find_backend
from preceptor.annotation.models.judge.answers import make_checker
from preceptor.annotation.models.memory import ReplyFile
from preceptor.annotation.models.requests import Request
from preceptor.annotation.models.writing import read_completion
from preceptor.annotation.rubrics.rubric import read_rubric

GZIP = {"content-encoding": "gzip"}
GOOD = json.dumps({"choices": [{"message": {"content": "four"}, "finish_reason": "stop"}]})
BROKEN = {
    "deep": (Said(body="[" * 200_000), "no message in the answer"),
    "deep content": (
        Said(body='{"choices": [{"message": {"content": ' + "[" * 500 + "]" * 500 + "}}]}"),
        "no message",
    ),
    "half a character": (Said(body=GOOD.replace("four", "\\ud800")), "no message in the answer"),
    "not UTF-8": (Said(body=b"\xff\xfe" * 50), "no message in the answer"),
    "no gzip": (Said(body=b"plain", headers=GZIP), "cannot be unpacked"),
    "cut gzip": (Said(body=gzip.compress(GOOD.encode() * 100)[:-20], headers=GZIP), "cannot be unpacked"),
    "a bomb": (Said(body=gzip.compress(bytes(40 << 20)), headers=GZIP), "longer than 16 MB"),
    "long": (Said(body=b" " * (17 << 20)), "longer than 16 MB"),
    "another packing": (Said(body=b"x", headers={"content-encoding": "br"}), "was not asked for"),
    "slow": (Said(body=GOOD, drip=0.2), "was not whole after 2 seconds"),
}


@pytest.fixture(autouse=True)
def hurried(monkeypatch):
    monkeypatch.setattr(endpoint_module, "LONGEST_ANSWER", 2.0)

    async def rest(seconds):
        pass

    monkeypatch.setattr(endpoint_module, "rest", rest)


def ask_three(said, path, check=read_completion, **more):
    """Ask three requests, of which the second is answered by `said`; return the replies that are kept."""
    requests = [Request(({"role": "user", "content": f"q{n}"},)) for n in range(3)]

    def answer(body):
        return said if body["messages"][0]["content"] == "q1" else "four"

    memory = ReplyFile(path, "openai:m")
    with serving(answer) as server:
        spent = ask(find_backend("openai:m", server.url), requests, check=check, keep=memory.keep, **more)
    return spent, [json.loads(line) for line in path.read_text().splitlines()]


@pytest.mark.parametrize("name", BROKEN)
def test_a_broken_body_is_a_failed_reply_and_the_run_goes_on(tmp_path, name):
    said, error = BROKEN[name]
    spent, kept = ask_three(said, tmp_path / "r.jsonl", tries=1)
    assert spent.failed == 1
    assert sorted(row["answer"] is None for row in kept) == [False, False, True]
    (failed,) = [row for row in kept if row["answer"] is None]
    assert error in failed["error"]
    assert len(failed["raw"]) <= 200_000
    json.dumps(failed, ensure_ascii=False).encode()


def test_packed_answers_are_read(tmp_path):
    for n, (name, pack) in enumerate({"gzip": gzip.compress, "deflate": zlib.compress}.items()):
        said = Said(body=pack(GOOD.encode()), headers={"content-encoding": name})
        spent, kept = ask_three(said, tmp_path / f"{n}.jsonl", tries=1)
        assert (spent.failed, len(kept)) == (0, 3)


@pytest.mark.parametrize(
    "content",
    [
        '{"preference": 1e999}',
        '{"preference": "first", "reason": "\\ud800"}',
        '{"preference": ' + "[" * 5000,
        '{"preference": ' + "[" * 300 + "]" * 300 + "}",
        "{" * 20_000,
        '{"preference": ' + "9" * 5000 + "}",
    ],
)
def test_an_answer_that_other_programs_cannot_hold_is_a_failed_reply(tmp_path, content):
    check = make_checker(read_rubric("pairwise-preference"))
    _, kept = ask_three(Said(content), tmp_path / "r.jsonl", check=check, tries=1)
    (failed,) = [row for row in kept if content[:15] in row["raw"]]
    assert failed["answer"] is None
    assert failed["error"]
    json.dumps(kept, ensure_ascii=False).encode()


def test_numbers_without_end_beside_a_message_do_not_matter():
    body = json.loads(GOOD) | {"usage": {"prompt_tokens": 1}}
    text = json.dumps(body).replace("1}", "1e999}")
    message = read_message(text)
    assert (message.content, message.prompt_tokens) == ("four", 10**15)  # billed as what no cap allows


def test_a_pause_without_end_is_not_waited_for(tmp_path):
    said = [Said("no", status=429, headers={"retry-after": "inf"})]
    with serving(lambda body: said.pop() if said else "four") as server:
        kept = []
        ask(
            find_backend("openai:m", server.url),
            [Request(({"role": "user", "content": "q"},))],
            check=read_completion,
            keep=kept.extend,
        )
    assert kept[0].answer
