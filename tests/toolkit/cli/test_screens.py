"""Screens: every table readable at every width, no text of others obeyed by the terminal."""

import ast
import json
import os
import re
import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st
from model_server import Said, serving
from places import ROOT
from rich.cells import cell_len

from preceptor.annotation.argilla import client as argilla_client
from preceptor.annotation.models.backends import endpoint as endpoint_module
from preceptor.toolkit.cli.options import make_table, open_stdout
from preceptor.toolkit.hub import client as hub_client

NUMBERS = st.sampled_from(["", "7", "1,234", "0.24 (0.12 to 0.34)", "-0.24 (-0.12 to 0.34)", "27 to 54 %"])
TEXTS = st.text("ab é漢-_./", max_size=60) | st.sampled_from(["814de449c7aa3415", "2026-11-30T11:50:17Z"])


@st.composite
def tables(draw):
    columns = draw(
        st.lists(st.sampled_from(["n ", "kappa ", "ceiling ", "name", "look"]), min_size=1, max_size=9)
    )
    cells = [NUMBERS if name.endswith(" ") else TEXTS for name in columns]
    return columns, draw(st.lists(st.tuples(*cells), min_size=1, max_size=4))


def show(columns, rows, width):
    console = open_stdout()
    console.width = width
    with console.capture() as captured:
        console.print(make_table("title", columns, rows))
    return captured.get()


@given(tables(), st.sampled_from([60, 80, 200]))
def test_no_number_is_cut_and_no_line_too_long(table, width):
    columns, rows = table
    said = show(columns, rows, width)
    assert max(map(cell_len, said.splitlines())) <= width
    assert "…" not in said
    flat = " ".join(said.split())
    for row in rows:
        for name, cell in zip(columns, row, strict=True):
            if name.endswith(" "):
                assert cell in flat
    letters = "".join(sorted("".join(cell for row in rows for cell in row if cell.strip())))
    shown = said
    for letter in set(letters) - {" "}:
        assert shown.count(letter) >= letters.count(letter)  # the first column is repeated in each part


def test_one_table_becomes_parts_only_where_it_must():
    columns = (
        "annotator",
        *(f"{name} " for name in ("answers", "as most", "as fit", "reliable", "first", "s")),
    )
    rows = [("814de449c7aa3415", "52", "78 %", "67 %", "1.24", "73 %", "21")]
    assert show(columns, rows, 80).count("814de449c7aa3415") == 1
    narrow = show(columns, rows, 60)
    assert narrow.count("814de449c7aa3415") == 2
    assert narrow.count("annotator") == 2


def test_what_is_piped_is_not_folded(preceptor, tmp_path, monkeypatch):
    monkeypatch.delenv("COLUMNS", raising=False)
    source = "a source with a name that is " + "very " * 20 + "long"
    (tmp_path / "p.jsonl").write_text('{"prompt": "a", "completion": "b"}')
    assert preceptor("ingest", "chat", "p.jsonl", "--source", source, cwd=tmp_path).returncode == 0
    assert source in preceptor("status", cwd=tmp_path).stdout
    narrow = preceptor("status", cwd=tmp_path, env=os.environ | {"COLUMNS": "60"}).stdout
    assert source not in narrow
    assert max(map(len, narrow.splitlines())) <= 60


OBEYED = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")
NASTY = "\x1b]0;owned\x07\x1b[31m\x9b2J\u202e"


def test_control_characters_of_others_are_shown_and_not_obeyed(preceptor, tmp_path):
    prompt = {
        "id": f"p{NASTY}",
        "task": f"t{NASTY}",
        "prompt": f"ask me@example.org {NASTY}?",
        "group": f"g{NASTY}",
        "completions": [{"id": f"{side}{NASTY}", "content": f"{side} {NASTY}"} for side in "ab"],
    }
    (tmp_path / "p.jsonl").write_text(json.dumps(prompt))
    header = f"completion_a,completion_b,choice,annotator,odd{NASTY}"
    rows = [f"a{NASTY},b{NASTY},a,x,1", f"a{NASTY},b{NASTY},{NASTY},x,1", f"a{NASTY},nobody{NASTY},a,x,1"]
    (tmp_path / "v.csv").write_text("\n".join([header, *rows]))
    (tmp_path / "r.yaml").write_text(
        f"name: r\ntask: {json.dumps(NASTY)}\npairs: {{policy: rubric-dominance}}\n"
    )
    commands = [
        ("ingest", "prompts", "p.jsonl", "--source", "p", "--license", "MIT"),
        ("ingest", "votes", "v.csv", "--source", "v", "--about", "p"),
        ("ingest", "votes", "v.csv", "--source", f"v{NASTY}", "--about", "p"),
        ("ingest", "votes", "v.csv", "--source", "w", "--about", "p", "--strict"),
        ("ingest", "votes", "v.csv", "--source", "w", "--about", "p", "--map", "choice=nothing"),
        ("status",),
        ("status", "--rejects", "v"),
        ("annotate", "agreement"),
        ("scan",),
        ("fuse", "--method", "map"),
        ("fuse", "--source", NASTY),
        ("build", "r.yaml", "--out", "d"),
        ("export", "m2", "--source", NASTY, "--out", "x.m2"),
        ("forget", NASTY),
        ("rubric", "show", NASTY),
    ]
    said = ""
    for command in commands:
        ended = preceptor(*command, cwd=tmp_path)
        assert "Traceback" not in ended.stderr, (command, ended.stderr)
        found = OBEYED.findall(ended.stdout + ended.stderr)
        assert not found, (command, found, ended.stdout, ended.stderr)
        said += ended.stdout + ended.stderr
    assert "\\x1b" in said


def test_every_command_shows_what_it_was_given_and_obeys_none(preceptor, tmp_path):
    """Arguments, values of options, keys of files and words of servers, where each command repeats them."""
    (tmp_path / "p.jsonl").write_text(json.dumps({"prompt": f"ask {NASTY}?", "completion": f"so {NASTY}"}))
    assert preceptor("ingest", "chat", "p.jsonl", "--source", f"s{NASTY}", cwd=tmp_path).returncode == 0
    quoted = json.dumps(NASTY)
    files = {
        "train.yaml": f"stage: sft\n{quoted}: 1\nmodel_name_or_path: m\ndataset_name: d\n",
        "data.yaml": f"name: {quoted}\n{quoted}: 1\n",
        "evaluate.yaml": f"metrics: [{quoted}]\ndataset: {quoted}\n",
        "rubric.yaml": f"name: {quoted}\ntitle: {quoted}\n{quoted}: 2\n",
    }
    for name, text in files.items():
        (tmp_path / name).write_text(text)
    commands = [
        (NASTY,),
        ("status", NASTY),
        ("status", f"--{NASTY}"),
        ("status", "--json"),
        ("scan", "--json"),
        ("scan", "--source", NASTY),
        ("why", NASTY),
        ("diff", NASTY, NASTY),
        ("report", "--out", f"{NASTY}.html"),
        ("outcomes", NASTY),
        ("pseudonym", NASTY),
        ("forget", NASTY),
        ("recipe", "check", "data.yaml"),
        ("recipe", "check", "train.yaml"),
        ("recipe", "show", NASTY),
        ("recipe", "schema", NASTY),
        ("rubric", "check", "rubric.yaml"),
        ("build", "data.yaml", "--out", "d"),
        ("train", "train.yaml", "--out", "m"),
        ("train", "train.yaml", "--variant", NASTY, "--set", f"{NASTY}=1"),
        ("evaluate", "evaluate.yaml", "--model", f"hf:{NASTY}", "--out", "e"),
        ("merge", NASTY, "--out", "m", "--dtype", NASTY),
        ("merge", NASTY, "--out", "m"),
        ("export", "gguf", NASTY, "--out", "m.gguf", "--quantize", NASTY),
        ("publish", NASTY, "a/b", "--license", NASTY),
        ("publish-model", NASTY, "a/b"),
        ("pull", NASTY, "--source", "x"),
        ("annotate", "agreement", "--source", NASTY, "--json"),
        ("annotate", "import", NASTY),
        ("annotate", "push", NASTY),
        ("judge", "--rubric", NASTY, "--model", f"openai:{NASTY}"),
        ("judge", "audit", "--json", "--source", NASTY),
        ("ingest", "chat", "p.jsonl", "--source", "x", "--map", f"{NASTY}={NASTY}"),
        ("ingest", NASTY, "p.jsonl"),
    ]
    said = [preceptor(*command, cwd=tmp_path) for command in commands]
    with serving(lambda _: Said(status=400, body=f"no {NASTY}")) as server:
        for model in ("m", f"m{NASTY}"):
            ask = ("generate", "--model", f"openai:{model}", "--base-url", server.url, "--source", "g")
            said += [preceptor(*ask, *more, cwd=tmp_path) for more in ((), ("--dry-run",))]
        assert server.asked
    for ended in said:
        assert "Traceback" not in ended.stderr, (ended.args, ended.stderr)
        found = OBEYED.findall(ended.stdout + ended.stderr)
        assert not found, (ended.args, found, ended.stdout, ended.stderr)
    texts = "".join(ended.stdout + ended.stderr for ended in said)
    assert texts.count("\\x1b") > 20


PASSWORD = "pass-word-99"


@pytest.mark.parametrize(("password", "port"), [(PASSWORD, "9"), ("pw1", "no-port")])
def test_no_password_of_an_address_is_shown(preceptor, tmp_path, monkeypatch, password, port):
    """Addresses that name one, of every command that asks a server; nobody answers there, or it is no address."""
    for module in (argilla_client, hub_client):
        monkeypatch.setattr(module, "WAITS", ())
    monkeypatch.setattr(endpoint_module, "TRIES", 1)
    address = f"http://somebody:{password}@127.0.0.1:{port}"
    (tmp_path / "p.jsonl").write_text('{"prompt": "a", "completion": "b"}')
    assert preceptor("ingest", "chat", "p.jsonl", "--source", "s", cwd=tmp_path).returncode == 0
    here = os.environ | {"PRECEPTOR_ARGILLA_API_KEY": PASSWORD[::-1], "HF_HUB_OFFLINE": ""}
    commands = [
        (("generate", "--model", "openai:m", "--base-url", f"{address}/v1", "--source", "g"), {}),
        (("generate", "--model", "openai:m", "--source", "g"), {"PRECEPTOR_BASE_URL": f"{address}/v1?x=1"}),
        (("judge", "--rubric", "socratic", "--model", "openai:m", f"--base-url={address}/v1"), {}),
        (("annotate", "pull", "--api-url", address, "c"), {}),
        (("annotate", "push", "s", "--rubric", "socratic", "--api-url", address), {}),
        (("annotate", "push", "s", "--rubric", "socratic", "--api-url", f"ftp://{address}"), {}),
        (("annotate", "push", "s", "--rubric", "socratic", "--api-url", address, "--api-key", PASSWORD), {}),
        (("pull", "a/b", "--source", "x"), {"HTTPS_PROXY": address, "https_proxy": address}),
        ((address,), {}),
        (("status", "--json", address), {}),
        (("train", address), {}),
    ]
    for command, more in commands:
        ended = preceptor(*command, cwd=tmp_path, env=here | more)
        said = ended.stdout + ended.stderr
        assert "Traceback" not in said, (command, said)
        assert f"somebody:{password}" not in said, (command, said)
        assert PASSWORD not in said, (command, said)
        assert PASSWORD[::-1] not in said, (command, said)


def test_the_hub_is_named_without_its_password(tmp_path):
    program = (
        "import sys\nfrom preceptor.toolkit.hub import client\nclient.WAITS = ()\nprint(client.get_endpoint())\n"
        "sys.argv = ['preceptor', 'pull', 'a/b', '--source', 'x']\n"
        "from preceptor.toolkit.cli.main import main\nmain()\n"
    )
    here = os.environ | {"HF_ENDPOINT": f"http://somebody:{PASSWORD}@127.0.0.1:9", "HF_HUB_OFFLINE": ""}
    command = [sys.executable, "-c", program]
    ended = subprocess.run(command, capture_output=True, text=True, check=False, cwd=tmp_path, env=here)
    assert ended.stdout.startswith("http://127.0.0.1:9\n")
    assert "http://127.0.0.1:9 cannot be reached" in ended.stderr
    assert PASSWORD not in ended.stdout + ended.stderr


def test_json_is_the_same_value(preceptor, tmp_path):
    (tmp_path / "p.jsonl").write_text(json.dumps({"prompt": f"me@example.org {NASTY}", "completion": "b"}))
    source = f"s{NASTY}"
    assert preceptor("ingest", "chat", "p.jsonl", "--source", source, cwd=tmp_path).returncode == 0
    assert source in _list_texts(json.loads(preceptor("status", "--json", cwd=tmp_path).stdout))


def _list_texts(value):
    if isinstance(value, dict):
        return [text for pair in value.items() for part in pair for text in _list_texts(part)]
    if isinstance(value, list):
        return [text for part in value for text in _list_texts(part)]
    return [value]


def test_warnings_and_unexpected_errors_obey_none(tmp_path):
    """In a process of its own: what a library warns of, and an error that nobody expected."""
    program = (
        "import sys, warnings\n"
        "from preceptor.toolkit.cli import main as module\n"
        "def fail():\n    warnings.warn(sys.argv[1])\n    raise KeyError(sys.argv[1], RuntimeError(sys.argv[1]))\n"
        "module.cli.main = fail\n"
        "module.main()\n"
    )
    command = [sys.executable, "-c", program, NASTY]
    ended = subprocess.run(command, capture_output=True, text=True, check=False, cwd=tmp_path)
    assert ended.returncode == 1
    assert "UserWarning" in ended.stderr
    assert "Traceback" in ended.stderr
    assert ended.stderr.count("x1b") >= 2
    assert not OBEYED.findall(ended.stderr)


def test_nothing_prints_in_another_way():
    """All that reaches the screen goes through `say`, `open_stdout` or `open_stderr` of the command line."""
    ways = re.compile(
        r"(print|click\.(echo|secho|echo_via_pager)|(rich\.)?(console\.)?Console|sys\.std(out|err)\.write)$"
    )
    ours = ROOT / "toolkit" / "cli" / "options.py"
    apart = ROOT / "annotation" / "server" / "embedded"  # a server of its own, which writes a log file
    answers = ROOT / "toolkit" / "ingest" / "files" / "sheets" / "workbook.py"  # a process, to its parent
    others = []
    for room in ("annotation", "schemas", "toolkit", "training"):
        for path in (ROOT / room).rglob("*.py"):
            if path in (ours, answers) or apart in path.parents:
                continue
            for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
                if isinstance(node, ast.Call) and ways.match(ast.unparse(node.func)):
                    others.append(f"{path.relative_to(ROOT)}:{node.lineno}")
    assert others == []


@pytest.mark.parametrize("text", ["a\tb\nc", "naïve 漢字 \u200f"])
def test_other_texts_stay_as_they_are(text):
    from preceptor.schemas.support.text import escape_controls

    assert escape_controls(text) == text
