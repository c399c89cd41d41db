"""The examples of CONTRIBUTING.md: each is added to a copy of the package as the page says, and used."""

import os
import re
import shutil
import subprocess
import sys
from textwrap import indent

import pytest
from places import ROOT

CODE = dict(
    re.findall(
        r"<!-- code: (\w+) -->\n```\w+\n(.*?)```",
        (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8"),
        re.S,
    )
)
PARTS = ("__init__.py", "annotation", "schemas", "toolkit", "training")


@pytest.fixture
def copied(tmp_path):
    """A copy of the package, and a function that runs the command line of the copy in an empty folder."""
    package = tmp_path / "code" / "preceptor"
    package.mkdir(parents=True)
    for name in PARTS:
        if (ROOT / name).is_dir():
            shutil.copytree(ROOT / name, package / name, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(ROOT / name, package / name)
    place = tmp_path / "place"
    place.mkdir()

    def run(*arguments):
        return subprocess.run(
            [sys.executable, "-m", "preceptor.toolkit.cli.main", *arguments],
            cwd=place,
            env=os.environ | {"PYTHONPATH": str(package.parent)},
            capture_output=True,
            text=True,
            check=False,
        )

    return package, place, run


def change(path, before, after):
    text = path.read_text(encoding="utf-8")
    assert text.count(before) == 1, before
    path.write_text(text.replace(before, after), encoding="utf-8")


def test_every_example_has_at_most_forty_lines():
    assert set(CODE) == {"reader", "format", "gate", "rubric", "recipe"}
    assert max(len(code.splitlines()) for code in CODE.values()) <= 40


@pytest.mark.slow
def test_the_reader_reads(copied):
    package, place, run = copied
    (package / "toolkit/ingest/preferences/word_lists.py").write_text(CODE["reader"], encoding="utf-8")
    change(
        package / "toolkit/ingest/formats/preferences.py",
        '    Format(\n        "lexicon",',
        f'{indent(CODE["format"].rstrip(), "    ")},\n    Format(\n        "lexicon",',
    )
    (place / "idioms.words").write_bytes(b"spill the beans\tgive away\nno tab here\n\xff\xfe\tx\n")
    done = run("ingest", "word-list", "idioms.words", "--source", "idioms")
    assert done.returncode == 0, done.stderr
    said = done.stdout + done.stderr
    assert "has no tab between term and meaning" in said
    assert "is not UTF-8" in said
    found = run("ingest", "idioms.words", "--dry-run")
    assert "word-list" in found.stdout + found.stderr


@pytest.mark.slow
def test_the_gate_stops_a_build_and_drops(copied, demo):
    package, place, run = copied
    (package / "toolkit/dataset/gates/brevity.py").write_text(CODE["gate"], encoding="utf-8")
    change(
        package / "toolkit/dataset/gates/run.py",
        '    "hygiene:GATE",\n',
        '    "hygiene:GATE",\n    "brevity:GATE",\n',
    )
    change(package / "toolkit/dataset/gates/brevity.py", "< 2", "< 60")
    shutil.copy(demo.out / "preceptor.duckdb", place)
    recipe = (ROOT / "toolkit/cli/demo/recipe.yaml").read_text(encoding="utf-8")
    (place / "recipe.yaml").write_text(recipe, encoding="utf-8")
    stopped = run("build", "recipe.yaml", "--out", "dist")
    assert stopped.returncode != 0
    assert "chosen answers have fewer than two characters" in stopped.stdout + stopped.stderr
    (place / "recipe.yaml").write_text(f"{recipe}\ngates: {{brevity: {{drop: true}}}}\n", encoding="utf-8")
    dropped = run("build", "recipe.yaml", "--out", "dist")
    assert dropped.returncode == 0, dropped.stderr


def test_rubric_and_recipe_have_no_faults(preceptor, tmp_path):
    (tmp_path / "patience.yaml").write_text(CODE["rubric"], encoding="utf-8")
    (tmp_path / "patience.md").write_text("Read the dialogue first.\n", encoding="utf-8")
    (tmp_path / "dataset.yaml").write_text(CODE["recipe"], encoding="utf-8")
    for arguments in (("rubric", "check", "patience.yaml"), ("recipe", "check", "dataset.yaml")):
        done = preceptor(*arguments, cwd=tmp_path)
        assert done.returncode == 0, done.stderr
