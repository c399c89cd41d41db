"""Servers as strangers meet them (cases/20-judge/stub.py), asked by every command that asks a model."""

import json
import shutil
import socket
import subprocess
import sys
from contextlib import contextmanager

import pytest
import yaml
from corrections import build_corrections
from waiting import wait_until

from preceptor.annotation.models.backends import endpoint as endpoint_module
from preceptor.toolkit.store.connection import open_store, query

GOOD = '{"reason":"r","preference":"first"}'
TAKEN = {
    "fence": f"Sure!\n```json\n{GOOD}\n```\nDone.",
    **dict.fromkeys(("think", "thinkafter", "parts", "mct", "mct422", "date429"), GOOD),
}
WORDS = {  # of the server, or what was wrong
    "thinkcut": "cut off after --max-tokens",
    "reasoningonly": "cut off after --max-tokens",
    "refusal": "the model refused: I cannot help with that.",
    "filter": "the server's content filter",
    "filterempty": "the server's content filter",
    "err200": "error 429: Rate limit exceeded: free-models-per-min",
    "sse": "the server streams its answers; set it to send each as a whole",
    "html": "no message in the answer, but: <html>Login to proxy",
    "temp": "Only the default (1) value is supported.",
    "seed400": "--no-seed",
}
NO_JUDGEMENT = {
    "msgen": "Try 7x4 first.",
    "toks": "Try 7x4 first.",
    "refusaltext": "I'm sorry, but I can't assist with that.",
}
MODES = [*TAKEN, *WORDS, *NO_JUDGEMENT]


@pytest.fixture(autouse=True)
def no_pauses(monkeypatch):
    async def rest(_):
        pass

    monkeypatch.setattr(endpoint_module, "rest", rest)


@pytest.fixture
def serve(shared_cases, tmp_path):
    """A context that starts the stub in a mode and gives its address."""

    @contextmanager
    def running(mode):
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        stub = shared_cases / "20-judge" / "stub.py"
        process = subprocess.Popen([sys.executable, stub, mode, str(port)], cwd=tmp_path)
        try:
            wait_until(lambda: not socket.socket().connect_ex(("127.0.0.1", port)))
            yield f"http://127.0.0.1:{port}/v1"
        finally:
            process.kill()
            process.wait()

    return running


@pytest.fixture(scope="module")
def filled(tmp_path_factory, shared_cases, preceptor):
    path = tmp_path_factory.mktemp("filled") / "s.duckdb"
    file = shared_cases / "20-judge" / "p.jsonl"
    done = preceptor("--store", path, "ingest", "prompts", file, "--source", "s", "--license", "MIT")
    assert done.returncode == 0, done.stderr
    return path


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    return build_corrections(tmp_path_factory.mktemp("built"), ["conversational"], n=2) / "conversational"


def stored(path, sql):
    with open_store(path, read_only=True) as con:
        return query(con, sql).rows()


def check_failure(mode, done, code=None):
    words = WORDS.get(mode, "no JSON object in it")
    assert done.returncode == (code or (2 if mode in ("temp", "seed400") else 1)), done.stderr
    assert words in " ".join(done.stderr.split()), done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("mode", MODES)
def test_generate(preceptor, serve, filled, tmp_path, mode):
    store = shutil.copy(filled, tmp_path / "s.duckdb")
    with serve(mode) as url:
        done = preceptor("--store", store, "generate", "--model", "openai:m", "--base-url", url)
    texts = stored(store, "SELECT content FROM completions WHERE source = 'm'")
    if mode in WORDS:
        check_failure(mode, done)
        assert texts == []
    else:
        assert (done.returncode, texts) == (0, [((TAKEN | NO_JUDGEMENT)[mode],)]), done.stderr


@pytest.mark.parametrize("mode", MODES)
def test_judge(preceptor, serve, filled, tmp_path, mode):
    store = shutil.copy(filled, tmp_path / "s.duckdb")
    arguments = ("judge", "--rubric", "pairwise-preference", "--model", "openai:m", "--base-url")
    with serve(mode) as url:
        done = preceptor("--store", store, *arguments, url)
    if mode in TAKEN:
        # The stub prefers whatever stands first, in both orders: a tie.
        assert (done.returncode, stored(store, "SELECT choice FROM votes")) == (0, [("tie",)]), done.stderr
    else:
        check_failure(mode, done)
        assert stored(store, "SELECT choice FROM votes") == []


@pytest.mark.parametrize("mode", MODES)
def test_evaluate(preceptor, serve, built, tmp_path, mode):
    config = tmp_path / "evaluate.yaml"
    keys = {"name": "tiny", "metrics": ["exact"], "dataset_name": str(built), "prompts": 1}
    config.write_text(yaml.safe_dump(keys))
    out = tmp_path / "out"
    with serve(mode) as url:
        done = preceptor("evaluate", config, "--model", "openai:m", "--base-url", url, "--out", out)
    if mode in ("thinkcut", "reasoningonly"):  # metrics count what was cut off, here empty
        assert (done.returncode, "1 of 1 answers were cut off" in done.stderr) == (0, True), done.stderr
    elif mode in WORDS:
        check_failure(mode, done)
    else:
        assert done.returncode == 0, done.stderr
        (line,) = (out / "answers.jsonl").read_text().splitlines()
        assert json.loads(line)["answers"]["openai:m"] == (TAKEN | NO_JUDGEMENT)[mode]


@pytest.mark.parametrize("mode", WORDS)
def test_rubric_refine(preceptor, serve, tmp_path, mode):
    outputs = tmp_path / "outputs.jsonl"
    outputs.write_text(json.dumps({"prompt": "What is 7 x 8?"}) + "\n")
    with serve(mode) as url:
        done = preceptor(
            *("rubric", "refine", "gec", "--outputs", outputs, "--model", "m", "--base-url", url),
            cwd=tmp_path,
        )
    assert done.returncode == 2, (done.stdout, done.stderr)
    words = {"thinkcut": "the server's limit of tokens", "reasoningonly": "the server's limit of tokens"}
    if mode not in ("temp", "seed400"):  # neither is sent
        assert words.get(mode, WORDS[mode]) in " ".join(done.stderr.split()), done.stderr
    assert "Traceback" not in done.stderr
