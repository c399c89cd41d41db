"""`preceptor start`: each path's commands run to the report, from an empty folder."""

import csv
import io
import re
import shlex

import pytest
from click.testing import CliRunner

from preceptor.toolkit.cli.ingest import start as start_module
from preceptor.toolkit.cli.main import cli
from preceptor.toolkit.recipes.check import check_recipe
from preceptor.toolkit.recipes.project.start import HAVE, start_project

PATHS = {
    "own data": ("texts", "votes", "ratings"),
    "log": ("log",),
    "nothing": ("nothing",),
    "corpus": ("corpus",),
}


def read_commands(folder):
    (block,) = re.findall(r"```console\n(.*?)```", (folder / "README.md").read_text(), re.S)
    return [shlex.split(line.removeprefix("$ "))[1:] for line in block.splitlines() if line.startswith("$ ")]


def fill_form(path):
    rows = list(csv.reader(io.StringIO(path.read_text(encoding="utf-8-sig"))))
    column = rows[0].index("preference")
    filled = io.StringIO()
    csv.writer(filled).writerows([rows[0], *([*r[:column], "A", *r[column + 1 :]] for r in rows[1:])])
    path.write_text(filled.getvalue(), encoding="utf-8")


def follow(preceptor, folder, until=None):
    """Run the commands that README.md says, up to one."""
    for command in read_commands(folder):
        if command[0] == until:
            return
        if command[:2] == ["annotate", "import"]:
            fill_form(folder / command[2])
        done = preceptor(*command, cwd=folder)
        assert done.returncode == 0, f"{command}: {done.stdout}{done.stderr}"


@pytest.mark.parametrize("name", PATHS)
def test_the_commands_of_each_path_run_to_the_fit(name, preceptor, tmp_path):
    start_project(tmp_path / "mine", PATHS[name])
    follow(preceptor, tmp_path / "mine", until="fuse")
    for recipe in (tmp_path / "mine" / "recipes").glob("*.yaml"):
        check_recipe(recipe)
    if name == "corpus":
        assert (tmp_path / "mine" / "dist" / "my-corrections" / "README.md").exists()


@pytest.mark.slow
@pytest.mark.parametrize("name", ["own data", "log", "nothing"])
def test_the_commands_of_each_path_run_to_the_report(name, preceptor, tmp_path):
    start_project(tmp_path / "mine", PATHS[name])
    follow(preceptor, tmp_path / "mine")
    assert (tmp_path / "mine" / "report.html").stat().st_size > 10_000


def test_what_is_written_is_said_and_people_s_files_are_private(preceptor, tmp_path):
    done = preceptor("start", "mine", "--yes", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    folder = tmp_path / "mine"
    for path in folder.iterdir():
        assert path.name in done.stdout
    for name in ("votes.csv", "ratings.csv", "sources.yaml", "preceptor.duckdb"):
        assert (folder / name).stat().st_mode & 0o077 == 0
    for _, file, _ in (HAVE[name] for name in ("texts", "votes", "ratings")):
        assert len((folder / file).read_text().splitlines()) == 2, "one filled row"
    assert not [path for path in tmp_path.iterdir() if path != folder], "nothing is left beside it"


def test_a_folder_with_something_is_refused_and_named(preceptor, tmp_path):
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "notes.txt").write_text("x")
    done = preceptor("start", "mine", "--yes", cwd=tmp_path)
    assert done.returncode == 2
    assert "mine: holds notes.txt" in done.stderr
    assert [path.name for path in (tmp_path / "mine").iterdir()] == ["notes.txt"]
    (tmp_path / "file").write_text("x")
    assert preceptor("start", "file", "--yes", cwd=tmp_path).returncode == 2


def test_the_current_folder_will_do_if_it_is_empty(preceptor, tmp_path):
    folder = tmp_path / "here"
    folder.mkdir()
    assert preceptor("start", "--have", "votes", cwd=folder).returncode == 0
    assert sorted(path.name for path in folder.iterdir()) == [
        "README.md",
        "preceptor.duckdb",
        "recipes",
        "sources.yaml",
        "texts.csv",
        "votes.csv",
    ]


def test_all_or_nothing(monkeypatch, tmp_path):
    from preceptor.toolkit.recipes.project import start as module

    def fail(*_):
        raise OSError("disk full")

    monkeypatch.setattr(module, "_write_readme", fail)
    with pytest.raises(OSError, match="disk full"):
        start_project(tmp_path / "mine", ["texts"])
    assert list(tmp_path.iterdir()) == []


def test_without_a_terminal_it_says_what_to_give(preceptor, tmp_path):
    done = preceptor("start", "mine", cwd=tmp_path)
    assert done.returncode == 2
    assert "--have texts" in done.stderr
    assert not (tmp_path / "mine").exists()
    assert "vote" in preceptor("start", "mine", "--have", "vots", cwd=tmp_path).stderr


@pytest.mark.parametrize(
    ("answers", "file"), [("y\nn\nn\nn\nn\n", "texts.csv"), ("\n\n\n\n\n", "rubric.yaml")]
)
def test_at_a_terminal_it_asks(monkeypatch, tmp_path, answers, file):
    monkeypatch.setattr(start_module, "_is_terminal", lambda: True)
    done = CliRunner().invoke(cli, ["start", str(tmp_path / "mine")], input=answers)
    assert done.exit_code == 0, done.output
    assert (tmp_path / "mine" / file).exists()
