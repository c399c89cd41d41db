"""The house: how full each room is, which way imports run, and that a file must stand in a room.

pytest tests/house/test_rooms.py -s     prints the rooms with their entries
"""

import os
import shutil
import subprocess
import sys
import tomllib
from collections import defaultdict
from pathlib import Path

import pytest
from places import ROOT

TOP = ("annotation", "docs", "recipes", "schemas", "tests", "toolkit", "training")
MOST = 12  # entries of a room, __init__.py aside
LINES = 400


def tracked(*folders):
    names = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard", *folders],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    ).stdout.split("\n")
    return [Path(name) for name in names if name and (ROOT / name).exists()]


def entries(files):
    """{room: names of the files and rooms in it}."""
    rooms = defaultdict(set)
    for file in files:
        for room, entry in zip(file.parents, (file, *file.parents), strict=False):
            if room != Path():
                rooms[room].add(entry.name)
    return {room: names - {"__init__.py"} for room, names in sorted(rooms.items())}


def test_rooms_have_at_most_twelve_entries():
    rooms = entries(tracked(*TOP))
    sys.stdout.write("".join(f"{len(names):>3}  {room}\n" for room, names in rooms.items()))
    data = {"sample", "packaged"}  # files of one kind, read as a whole
    assert {str(r): sorted(n) for r, n in rooms.items() if len(n) > MOST and r.name not in data} == {}


def test_files_of_the_product_have_at_most_four_hundred_lines():
    files = [f for f in tracked("annotation", "schemas", "toolkit", "training") if f.suffix == ".py"]
    lines = {str(file): len((ROOT / file).read_text(encoding="utf-8").splitlines()) for file in files}
    assert {file: n for file, n in lines.items() if n > LINES} == {}


# Files of tests that are longer; they are to be split by what they are about, and no more come.
LONG = {
    "tests/annotation/agreement/test_agreement.py",
    "tests/annotation/audit/test_audit.py",
    "tests/annotation/forms/test_forms.py",
    "tests/annotation/models/test_asking.py",
    "tests/annotation/server/test_server.py",
    "tests/bench/rows.py",
    "tests/support/hub/stand_in.py",
    "tests/toolkit/campaign/test_forms.py",
    "tests/toolkit/campaign/test_generate.py",
    "tests/toolkit/campaign/test_judge.py",
    "tests/toolkit/campaign/test_push_pull.py",
    "tests/toolkit/dataset/test_configs.py",
    "tests/toolkit/fusion/test_fusion.py",
    "tests/toolkit/hub/test_publish_dataset.py",
    "tests/toolkit/ingest/gec/test_corpora.py",
    "tests/toolkit/ingest/logs/test_reviews.py",
    "tests/toolkit/ingest/preferences/test_chat.py",
    "tests/toolkit/ingest/preferences/test_rankings.py",
    "tests/toolkit/ingest/test_ingest.py",
    "tests/toolkit/ingest/test_ugly_tables.py",
    "tests/toolkit/ingest/tutoring/test_judged_replies.py",
    "tests/toolkit/ingest/tutoring/test_spock.py",
    "tests/toolkit/recipes/test_recipes.py",
    "tests/toolkit/report/test_report.py",
    "tests/training/preflight/test_preflight.py",
    "tests/training/test_train.py",
}


def test_files_of_tests_have_at_most_four_hundred_lines_but_for_some():
    files = [f for f in tracked("tests") if f.suffix == ".py"]
    lines = {str(file): len((ROOT / file).read_text(encoding="utf-8").splitlines()) for file in files}
    assert {file for file, n in lines.items() if n > LINES} <= LONG


@pytest.fixture(scope="module")
def house(tmp_path_factory):
    """A copy of the product's modules, to be built onto."""
    top = tmp_path_factory.mktemp("house") / "preceptor"
    for file in tracked("annotation", "recipes", "schemas", "toolkit", "training", "__init__.py"):
        if file.suffix == ".py":
            (top / file).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / file, top / file)
    shutil.copy(ROOT / "pyproject.toml", top.parent)
    return top


@pytest.fixture
def contracts(house):
    """A function that builds a module onto the house and returns which contracts then break."""

    def check(path="", text=""):
        if path:
            (house / path).write_text(text)
        try:
            done = subprocess.run(
                [Path(sys.executable).parent / "lint-imports", "--no-cache"],
                cwd=house.parent,
                env=os.environ | {"PYTHONPATH": str(house.parent), "COLUMNS": "200"},
                capture_output=True,
                text=True,
                check=False,
            )
        finally:
            if path:
                (house / path).unlink()
        names = [c["name"] for c in settings()]
        said = done.stdout + done.stderr
        assert (done.returncode == 0) == all(f"{name} KEPT" in said for name in names), said
        return {name for name in names if f"{name} KEPT" not in said}

    return check


def settings():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    return project["tool"]["importlinter"]["contracts"]


def test_contracts_are_kept(contracts):
    assert contracts() == set()


@pytest.mark.parametrize(
    ("path", "text", "broken"),
    [
        ("toolkit/nowhere.py", "", "rooms of the toolkit"),
        ("annotation/nowhere.py", "", "rooms of annotation"),
        ("toolkit/store/upward.py", "from ..ingest import run\n", "rooms of the toolkit"),
        (
            "toolkit/fusion/asks.py",
            "from ...annotation.models import asking\n",
            "the core needs no annotators and no trainer",
        ),
        ("toolkit/report/asks.py", "import click\n", "only the command line knows click"),
        (
            "schemas/upward.py",
            "def f():\n    from ..toolkit.store import chunks\n",
            "schemas stand on nothing; toolkit, annotation and training stand on schemas",
        ),
    ],
)
def test_what_stands_nowhere_or_looks_upward_is_found(contracts, path, text, broken):
    assert broken in contracts(path, text)


def test_a_circle_is_found_in_deferred_imports_too(contracts, house):
    run = house / "toolkit" / "store" / "status.py"
    text = run.read_text()
    run.write_text(text + "\n\ndef late():\n    from .later import x\n")
    try:
        found = contracts("toolkit/store/later.py", "from .status import late\n")
    finally:
        run.write_text(text)
    assert found == {"no circles between rooms, nor between files of a room"}
