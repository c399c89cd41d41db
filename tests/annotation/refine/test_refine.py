"""Refining a rubric with a model: every request sent once and kept, a person merges."""

import json
import os
import re
import signal
import subprocess
import sys
import threading
from collections import Counter
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
import yaml
from waiting import IDLE, wait_until

from preceptor.annotation.models.backends import endpoint as endpoint_module
from preceptor.annotation.models.backends.connection import make_endpoint
from preceptor.annotation.refine.outputs import read_outputs
from preceptor.annotation.refine.refine import accept_rubric, refine_rubric
from preceptor.annotation.rubrics.rubric import read_rubric
from preceptor.schemas.errors import AnnotationError

KEY = "sk-secret-4711"
PROMPTS = ["How do I add 1/2 and 1/3?", "Why is 'informations' wrong?", "What is a third of 15?"]


def dimension(name, **more):
    return {"name": name, "wording": f"Is it\n{name}?", "levels": ["not at all", 'a "bit"', "wholly"]} | more


def model(prompt):
    """What a well-behaved model answers: answers written with the dimensions in view are better."""
    if "Draft the dimensions" in prompt:
        return json.dumps({"dimensions": [dimension("clear"), dimension("wordy", higher_is_better=False)]})
    if "Advise the teachers" in prompt:
        return (
            '```json\n{"verdict": "reword", "advice": "Say: what is seen.", "wording": "New: wording?"}\n```'
        )
    if "missed these" in prompt:
        return json.dumps({"dimensions": [dimension("warm", why="it was missed")]})
    if "Two tutors" in prompt:
        first = re.search("<answer_1>\n(.*?)\n</answer_1>", prompt, re.S)[1]
        better = "1" if first.startswith("with") else "2"
        return json.dumps(
            {
                "better": better,
                "why": "it is clearer",
                "dimensions": {"clear": better, "wordy": "tie"},
                "missing": [{"name": "warm", "why": "kindness"}],
            }
        )
    return "with: find a common denominator" if "judged by these questions" in prompt else "plain: 5/6"


class Model(ThreadingHTTPServer):
    """An endpoint that counts what it is asked, and fails as it is told: (status, headers, body) in turn."""

    def __init__(self):
        super().__init__(("127.0.0.1", 0), _Handler)
        self.asked, self.headers, self.fails, self.answers = [], [], [], model
        self.block_at = None
        self.blocked, self.release = threading.Event(), threading.Event()
        self.url = f"http://127.0.0.1:{self.server_port}/v1"


class _Handler(BaseHTTPRequestHandler):
    def do_POST(self):
        server = self.server
        body = json.loads(self.rfile.read(int(self.headers["content-length"])))
        server.asked.append(body)
        server.headers.append(self.headers)
        if server.block_at == len(server.asked):
            server.blocked.set()
            server.release.wait(IDLE)
            return
        if server.fails:
            status, headers, text = server.fails.pop(0)
        else:
            status, headers = 200, {}
            content = server.answers(body["messages"][0]["content"])
            text = json.dumps({"choices": [{"message": {"content": content}}], "usage": {"total_tokens": 7}})
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(text.encode())

    def log_message(self, *arguments):
        pass


@pytest.fixture
def server():
    made = Model()
    thread = threading.Thread(target=made.serve_forever, daemon=True)
    thread.start()
    yield made
    made.shutdown()
    made.server_close()


@pytest.fixture
def outputs(tmp_path):
    path = tmp_path / "outputs.jsonl"
    path.write_text("".join(json.dumps({"prompt": p}) + "\n" for p in PROMPTS))
    return path


@pytest.fixture
def run(server, outputs, tmp_path, monkeypatch):
    """A function that refines a rubric in one folder."""
    monkeypatch.setenv("PRECEPTOR_API_KEY", KEY)
    said = []

    def go(rubric="pairwise-preference", outputs=outputs, model="m", n=10):
        return refine_rubric(
            read_rubric(rubric),
            read_outputs(outputs, n),
            make_endpoint(server.url, model),
            tmp_path / "kept",
            given=rubric,
            say=said.append,
        )

    go.said = said
    return go


ALL = 1 + 3 * 3 + 2 + 1  # draft; with, without, compare of each prompt; advice on each dimension; missing


def test_a_run_writes_a_draft_and_advice_and_stops(run, server, tmp_path):
    done = run()
    assert (done.sent, done.kept, done.tokens) == (ALL, 0, 7 * ALL) == (len(server.asked), 0, 7 * ALL)
    assert done.dimensions == ("clear", "wordy")
    assert done.wins == {"with": 3, "without": 0, "tie": 0}
    folder = tmp_path / "kept"
    draft = read_rubric(folder / "draft.yaml")
    assert [(c.name, c.wording, c.higher_is_better) for c in draft.criteria] == [
        ("clear", "Is it clear?", True),
        ("wordy", "Is it wordy?", False),
    ]
    assert draft.guidelines == read_rubric("pairwise-preference").guidelines
    assert "# reword: Say: what is seen." in draft.yaml
    assert "# proposed wording: New: wording?" in draft.yaml
    assert "# - name: warm" in draft.yaml
    advice = (folder / "advice.md").read_text()
    assert "| clear | reword | 3 | 0 | 0 | 3 of 3 |" in advice
    assert "| wordy | reword | 0 | 0 | 3 | 0 of 3 |" in advice
    assert all(prompt in advice for prompt in PROMPTS)


def test_a_proposed_dimension_is_a_valid_one_once_its_marks_are_taken_off(run, tmp_path):
    run()
    draft = tmp_path / "kept" / "draft.yaml"
    lines = draft.read_text().split("\n")
    at = next(n for n, line in enumerate(lines) if "# - name: warm" in line)
    lines[at:] = [line.replace("# ", "", 1) for line in lines[at:]]
    draft.write_text("\n".join(lines))
    assert [c.name for c in read_rubric(draft).criteria] == ["clear", "wordy", "warm"]


def test_the_answers_are_compared_blind_in_both_orders(run, server, outputs):
    outputs.write_text("".join(json.dumps({"prompt": f"p{n}"}) + "\n" for n in range(12)))
    assert run(n=12).wins == {"with": 12, "without": 0, "tie": 0}
    compared = [
        b["messages"][0]["content"] for b in server.asked if "Two tutors" in b["messages"][0]["content"]
    ]
    first = Counter("<answer_1>\nwith" in prompt for prompt in compared)
    assert set(first) == {True, False}


def test_every_step_is_kept_and_none_is_asked_twice(run, server, tmp_path):
    run()
    steps = sorted((tmp_path / "kept" / "steps").iterdir())
    assert len(steps) == ALL
    kept = [json.loads(path.read_text()) for path in steps]
    assert sorted(json.dumps(k["request"]) for k in kept) == sorted(map(json.dumps, server.asked))
    assert all(json.loads(k["tries"][0]["answer"])["usage"] for k in kept)
    again = run()
    assert (again.sent, again.kept, len(server.asked)) == (0, ALL, ALL)


def test_a_draft_that_was_edited_stays_as_it_is(run, tmp_path):
    run()
    draft = tmp_path / "kept" / "draft.yaml"
    edited = draft.read_text().replace("Is it clear?", "Is it plain?")
    draft.write_text(edited)
    run()
    assert draft.read_text() == edited
    assert any("stays as it is" in text for text in run.said)
    rubric = accept_rubric(tmp_path / "kept", tmp_path / "ours.yaml")
    assert read_rubric(tmp_path / "ours.yaml").name == "ours"
    assert rubric.criteria[0].wording == "Is it plain?"


def test_answers_that_are_there_are_not_written_anew(run, server, outputs):
    rows = [
        {"prompt": PROMPTS[0], "completion": "plain: mine"},
        {"prompt": PROMPTS[1], "without": "plain", "with": "with"},
    ]
    outputs.write_text("".join(json.dumps(row) + "\n" for row in rows))
    done = run()
    assert done.sent == 1 + (2 + 1) + 2 + 1
    assert sum("plain: mine" in body["messages"][0]["content"] for body in server.asked) == 1


# ---- what goes wrong


@pytest.mark.parametrize("status", [429, 500, 503])
def test_what_is_busy_is_asked_again(run, server, status):
    server.fails = [(status, {"Retry-After": "0"}, f"busy {KEY}")] * 3
    assert run().sent == ALL
    assert len(server.asked) == ALL + 3
    assert f"{status}" in run.said[0]
    assert KEY not in "".join(run.said)


def test_pauses_grow_and_a_server_that_stays_away_is_named(run, server, monkeypatch):
    paused = []

    async def rest(seconds):
        paused.append(seconds)

    monkeypatch.setattr(endpoint_module, "rest", rest)
    server.fails = [(500, {}, "down")] * 99
    with pytest.raises(AnnotationError, match=r"no answer after 6 tries: .*500"):
        run()
    assert paused == sorted(paused)
    assert len(paused) == 5
    server.fails = [(429, {"Retry-After": "9999"}, "")]
    assert run().sent == ALL
    assert paused[-1] == endpoint_module.LONGEST_PAUSE


@pytest.mark.parametrize(
    ("status", "says"),
    [(401, "set PRECEPTOR_API_KEY"), (404, "is the model called 'm'"), (400, "too long"), (302, "302")],
)
def test_a_refusal_is_said_at_once_without_the_key(run, server, status, says):
    server.fails = [(status, {"Location": "http://127.0.0.1:1/"}, f"your prompt is too long, {KEY}")]
    with pytest.raises(AnnotationError, match=says) as caught:
        run()
    assert len(server.asked) == 1
    assert KEY not in str(caught.value)
    assert run().sent == ALL


@pytest.mark.parametrize(
    "text", ["", "{}", "<html>", '{"choices": []}', '{"choices": [{"message": {"content": null}}]}']
)
def test_an_answer_without_a_message_is_kept_and_asked_again(run, server, tmp_path, text):
    server.fails = [(200, {}, text)]
    assert run().sent == ALL + 1
    tries = json.loads((tmp_path / "kept" / "steps" / "draft.json").read_text())["tries"]
    first, second = (t["fault"] for t in tries)
    assert first.startswith("no message in the answer")
    assert second is None
    assert tries[0]["answer"] == text
    assert run().sent == 0


@pytest.mark.parametrize(
    ("content", "fault"),
    [
        ("I would rather not.", "no JSON object"),
        ('{"dimensions": []}', "a list of 1 to 8"),
        ('{"dimensions": [1]}', "must be an object"),
        (json.dumps({"dimensions": [dimension("Not a name")]}), "'name': String should match"),
        (json.dumps({"dimensions": [dimension("a1", levels=[1, 2])]}), "'levels.0'"),
        (json.dumps({"dimensions": [dimension("a1"), dimension("a1")]}), "the same name"),
        ('{"dimensions": [', "Expecting value"),
    ],
)
def test_a_model_is_told_why_its_answer_cannot_be_read(run, server, content, fault):
    said = [content]
    server.answers = lambda prompt: said.pop() if said else model(prompt)
    assert run().sent == ALL + 1
    first, second = server.asked[:2]
    assert second["messages"][0] == first["messages"][0]
    assert second["messages"][1] == {"role": "assistant", "content": content}
    assert fault in second["messages"][2]["content"]


def test_a_model_that_never_answers_as_asked_is_given_up_and_can_be_asked_later(run, server):
    server.answers = lambda prompt: "no"
    with pytest.raises(AnnotationError, match=r"draft\.json: no answer of 3 could be read"):
        run()
    assert len(server.asked) == 3
    server.answers = model
    assert run().sent == ALL


def test_a_comparison_without_a_judgement_is_no_answer(run, server):
    spoilt = []

    def answers(prompt):
        if "Two tutors" in prompt and not spoilt:
            spoilt.append(prompt)
            return '{"better": "1", "why": "", "dimensions": {"clear": "1"}}'
        return model(prompt)

    server.answers = answers
    assert run().sent == ALL + 1
    assert "no judgement on wordy" in server.asked[4]["messages"][2]["content"]


def test_a_folder_of_another_run_is_not_mixed_up(run):
    run()
    with pytest.raises(AnnotationError, match="was asked with another model; choose another --folder"):
        run(model="other")
    with pytest.raises(AnnotationError, match="another rubric or other outputs"):
        run(rubric="socratic")


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("{", ":1: not JSON"),
        ("\n[1]", ":2: expected an object"),
        ('{"promt": "x"}', "did you mean 'promt'"),
        ('{"prompt": ""}', "must be text"),
        ('{"prompt": [{"role": "user"}]}', "must be text or a list of messages"),
        ('{"prompt": "x", "completion": 1}', "'completion' must be text"),
        ("", "no prompts"),
    ],
)
def test_outputs_that_cannot_be_used_are_named(tmp_path, text, says):
    (tmp_path / "o.jsonl").write_text(text)
    with pytest.raises(AnnotationError, match=says):
        read_outputs(tmp_path / "o.jsonl", 5)


@pytest.mark.parametrize("url", [None, "", "127.0.0.1:80", "ftp://x", "http://"])
def test_an_address_that_is_none_is_refused(url):
    with pytest.raises(AnnotationError, match="--base-url"):
        make_endpoint(url, "m")


# ---- the command line


def command(server, outputs, *more):
    arguments = [
        "rubric",
        "refine",
        "gec",
        "--outputs",
        outputs,
        "--model",
        "m",
        "--base-url",
        server.url,
        *more,
    ]
    return list(map(str, arguments))


def test_a_killed_run_goes_on_without_repeating_a_request(preceptor, server, outputs, tmp_path):
    server.block_at = 6
    environment = os.environ | {"PRECEPTOR_API_KEY": KEY}
    program = [sys.executable, "-m", "preceptor.toolkit.cli.main"]
    with subprocess.Popen([*program, *command(server, outputs)], cwd=tmp_path, env=environment) as process:
        wait_until(server.blocked.is_set, process)
        process.send_signal(signal.SIGKILL)
    server.release.set()
    assert not (tmp_path / "gec-refined" / "draft.yaml").exists()
    done = preceptor(*command(server, outputs), cwd=tmp_path, env=environment)
    assert done.returncode == 0, done.stderr
    assert "5 answers were there already" in done.stdout
    times = Counter(map(json.dumps, server.asked))
    assert sorted(times.values())[-2:] == [1, 2]  # the one that was never answered
    assert len(times) == ALL
    assert {h["authorization"] for h in server.headers} == {f"Bearer {KEY}"}
    written = [p.read_text() for p in tmp_path.rglob("*") if p.is_file()]
    assert not any(KEY in text for text in [*written, done.stdout, done.stderr])

    arguments = ("--accept", "--folder", "gec-refined", "--out", "ours.yaml")
    accepted = preceptor("rubric", "refine", "gec", *arguments, cwd=tmp_path)
    assert accepted.returncode == 0, accepted.stderr
    assert yaml.safe_load((tmp_path / "ours.yaml").read_text())["name"] == "ours"


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("gec",), "--outputs and --model are needed"),
        (("gec", "--accept"), "--accept needs --out"),
        (("gec", "--accept", "--out", "o.yaml"), "run preceptor rubric refine without --accept first"),
        (("gecc", "--accept"), "did you mean 'gec'?"),
        (("gec", "--model", "m", "--outputs", "none.jsonl"), "none.jsonl: No such file"),
    ],
)
def test_errors_say_what_to_do(preceptor, tmp_path, arguments, says):
    done = preceptor("rubric", "refine", *arguments, cwd=tmp_path)
    assert done.returncode == 2
    assert says in done.stderr
    assert list(tmp_path.iterdir()) == []
