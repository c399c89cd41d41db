"""Every command is a function: docs/python.md lists them, and its scripts run."""

import ast
import importlib
import inspect
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import click
import pytest
from model_server import serving
from places import ROOT

from preceptor.toolkit.cli.main import cli

PAGE = (ROOT / "docs" / "python.md").read_text(encoding="utf-8")
FUNCTIONS = dict(re.findall(r"^\| `([a-z0-9A-Z -]+)` \| `([\w.]+:\w+)` \|$", PAGE, re.M))


def list_commands(command, path=()):
    """{name of a command: its callback} of a group's commands, and of theirs."""
    if not isinstance(command, click.Group):
        return {" ".join(path): command.callback}
    found = {" ".join(path): command.callback} if command.invoke_without_command else {}
    context = click.Context(command)
    for name in command.list_commands(context):
        found |= list_commands(command.get_command(context, name), (*path, name))
    return found


def commands():
    """The same with all formats of ingest as one."""
    found = list_commands(cli)
    formats = [name for name in found if name.startswith("ingest ")]
    return {name: call for name, call in found.items() if name not in formats} | {
        "ingest FORMAT": found[formats[0]]
    }


def find_function(name):
    module, _, function = FUNCTIONS[name].partition(":")
    return getattr(importlib.import_module(f"preceptor.{module}"), function)


def test_the_page_lists_every_command_and_no_other():
    assert sorted(FUNCTIONS) == sorted(commands())


@pytest.mark.parametrize("name", FUNCTIONS)
def test_a_command_calls_the_function_that_is_named_like_it(name):
    function = find_function(name)
    verb = name.removesuffix(" FORMAT").split()[-1].partition("-")[0]
    assert verb in function.__name__
    assert inspect.getdoc(function)
    callback = inspect.unwrap(commands()[name])
    source = Path(inspect.getsourcefile(callback))
    text = source.read_text(encoding="utf-8")
    imported = {
        (alias.name, alias.asname or alias.name)
        for node in ast.walk(ast.parse(text))
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
    }
    here = [known for original, known in imported if original == function.__name__]
    assert here, f"{source} does not import {function.__name__}"
    assert any(re.search(rf"\b{known}\(", text) for known in here)


def script(name):
    """A block of the page as a program."""
    (found,) = re.findall(rf"<!-- python: {name} -->\n```python\n(.*?)```", PAGE, re.S)
    return found


@pytest.fixture
def place(demo, tmp_path):
    """A folder with the demo's store, so that nothing has to be fitted again."""
    shutil.copy(demo.out / "preceptor.duckdb", tmp_path)
    return tmp_path


def run_script(text, place, env=None):
    done = subprocess.run(
        [sys.executable, "-c", text],
        cwd=place,
        env={**os.environ, **(env or {})},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_from_signals_to_a_published_dataset(place, demo, hub, tmp_path):
    environment = hub.environment(tmp_path / "home", HF_TOKEN="hf_alice")
    said = run_script(script("whole"), place, environment)
    assert "sample-votes: 882 rows, 0 rejected" in said
    assert "/datasets/lab/sample" in said
    for file in (demo.out / "dataset").rglob("*.parquet"):
        assert (place / "dataset" / file.relative_to(demo.out / "dataset")).read_bytes() == file.read_bytes()
    assert (place / "report.html").stat().st_size > 10_000
    assert hub.repo("lab/sample")["tags"]


FILL = """
    import csv
    for file in (Path("forms-ada.csv"), Path("forms-ben.csv")):
        rows = list(csv.reader(file.open(encoding="utf-8", newline="")))
        column = rows[0].index("preference")
        filled = [rows[0], *([*row[:column], "A", *row[column + 1:]] for row in rows[1:])]
        csv.writer(file.open("w", encoding="utf-8", newline="")).writerows(filled)
"""


def test_asking_people(place):
    text, n = re.subn(r"^    # … Ada and Ben fill.*$", FILL.strip("\n"), script("people"), flags=re.M)
    assert n == 1
    said = run_script(text, place)
    assert re.search(r"^week-1 \[\('votes', IntervalEstimate\(value=1\.0", said, re.M), said


def test_a_model_judges(place):
    with serving(lambda body: '{"reason": "so", "preference": "first"}') as server:
        said = run_script(script("models"), place, {"PRECEPTOR_BASE_URL": server.url})
    assert "openai:judge-model: 5 questions, 5 answered" in said


def test_the_calls_of_training_fit_their_functions():
    tree = ast.parse(script("training"))
    names = {}
    for node in tree.body:
        if isinstance(node, ast.ImportFrom):
            module = importlib.import_module(node.module)
            names |= {alias.name: getattr(module, alias.name) for alias in node.names}
    calls = [
        node for node in ast.walk(tree) if isinstance(node, ast.Call) and isinstance(node.func, ast.Name)
    ]
    bound = 0
    for call in calls:
        inspect.signature(names[call.func.id]).bind(*call.args, **{k.arg: k.value for k in call.keywords})
        bound += 1
    assert bound >= 4
    for path in re.findall(r"recipes/[\w/.-]+", script("training")):
        assert (ROOT / path).is_file()
