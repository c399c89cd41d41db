"""The wheel holds what the tree holds, and the demo runs from it anywhere."""

import os
import shutil
import subprocess
import sys
import tomllib
import venv
import zipfile
from pathlib import Path

import pytest
from places import ROOT
from waiting import run_to_end

PACKAGES = ("annotation", "recipes", "schemas", "toolkit", "training")
DATA = {".yaml", ".jinja", ".md", ".csv", ".jsonl", ".txt", ".css", ".js", ".svg", ".png"}


def tracked(folder):
    names = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard", folder],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    ).stdout.split("\n")
    return {name for name in names if name and (ROOT / name).exists()}


@pytest.mark.slow
def test_the_wheel_holds_every_module_and_data_file_and_no_more(wheel):
    with zipfile.ZipFile(wheel) as archive:
        held = {n.removeprefix("preceptor/") for n in archive.namelist() if n.startswith("preceptor/")}
        top = {n.split("/")[0] for n in archive.namelist()}
    expected = {"__init__.py", "py.typed"}
    for folder in PACKAGES:
        expected |= {n for n in tracked(folder) if Path(n).suffix in DATA | {".py"}}
    assert held == expected
    assert top == {"preceptor", wheel.name.split("-py3")[0] + ".dist-info"}


def test_every_package_of_the_tree_is_declared():
    declared = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]["packages"]
    inits = [n for f in PACKAGES for n in tracked(f) if n.endswith("__init__.py")]
    assert sorted(declared) == sorted(
        ["preceptor", *("preceptor." + str(Path(n).parent).replace("/", ".") for n in inits)]
    )


def test_constraints_hold_names_and_versions_only():
    lines = (ROOT / "constraints.txt").read_text().splitlines()
    assert all(line.startswith("#") or len(line.split("==")) == 2 for line in lines)
    assert "torch==2.13.0" in lines


@pytest.mark.slow
@pytest.mark.minutes
def test_the_demo_runs_from_the_wheel_in_an_empty_environment(wheel, demo, key_file, tmp_path):
    """Installs the core alone: no torch, no dev tools; run from another folder.

    The demo goes on with the fit that the tree's made, which takes a minute; a fit of its own is short.
    """
    home = tmp_path / "env"
    venv.create(home, with_pip=False)
    python = home / "bin" / "python"
    pip = [sys.executable, "-m", "pip", "--python", python, "--disable-pip-version-check"]
    installing = ["install", "--quiet", "--no-compile", "--constraint", ROOT / "constraints.txt", wheel]
    run_to_end([*pip, *installing], check=True)
    elsewhere = tmp_path / "elsewhere"
    (elsewhere / "demo").mkdir(parents=True)
    shutil.copy(demo.out / "preceptor.duckdb", elsewhere / "demo")
    clean = {k: v for k, v in os.environ.items() if not k.startswith(("PYTHON", "COV", "PRECEPTOR"))}

    def installed(*arguments):
        return run_to_end(
            [home / "bin" / "preceptor", *arguments],
            cwd=elsewhere,
            env=clean | {"PRECEPTOR_KEY": str(key_file)},
        )

    done = installed("demo")
    assert done.returncode == 0, done.stderr
    made = {p.name for p in (elsewhere / "demo").iterdir()} - {".preceptor.duckdb.places"}
    assert made == {"dataset", "preceptor.duckdb", "report.html"}
    own = ("--store", "own.duckdb")
    for format, *about in (("prompts",), ("votes", "--about", "prompts")):
        (path,) = demo.sample.glob(f"{format}.*")
        done = installed(*own, "ingest", format, path, "--source", format, *about)
        assert done.returncode == 0, done.stderr
    done = installed(*own, "fuse", "--warmup", "100", "--max-draws", "50")
    assert (done.returncode, "did not converge" in done.stderr) == (1, True), done.stderr
    listed = subprocess.run([*pip, "list"], capture_output=True, text=True, check=True).stdout
    assert "numpyro" in listed
    assert "torch" not in listed
