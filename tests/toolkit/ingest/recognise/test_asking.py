"""`preceptor ingest FILE`: what is sure goes on with --yes, what is not asks; --dry-run stores nothing."""

import json
import shlex

import pytest
from click.testing import CliRunner

from preceptor.toolkit.cli.ingest import recognised
from preceptor.toolkit.cli.main import cli
from preceptor.toolkit.ingest.formats import FORMATS
from preceptor.toolkit.store.connection import open_store, query

PROMPT = {
    "id": "p",
    "task": "qa",
    "prompt": "?",
    "completions": [{"id": "p-a", "content": "A"}, {"id": "p-b", "content": "B"}],
}
VOTES = "completion_a,completion_b,choice,annotator\np-a,p-b,a,Ada\np-a,p-b,tie,Ben\n"
OWN_NAMES = "Text A;Text B;Better;Judge\np-a;p-b;first;Ada\np-a;p-b;no difference;Ben\n"


@pytest.fixture
def place(tmp_path):
    (tmp_path / "texts.jsonl").write_text(json.dumps(PROMPT) + "\n")
    (tmp_path / "votes.csv").write_text(VOTES)
    (tmp_path / "own.csv").write_text(OWN_NAMES)
    return tmp_path


def list_files(folder):
    return {path.relative_to(folder): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def read_command(text):
    lines = text.splitlines()
    return shlex.split(
        lines[next(n for n, line in enumerate(lines) if line.startswith("  preceptor ingest "))]
    )[1:]


def test_without_a_terminal_the_printed_command_does_it(preceptor, place):
    before = list_files(place)
    refused = preceptor("ingest", "texts.jsonl", "--license", "MIT", cwd=place)
    assert refused.returncode == 2
    assert "texts.jsonl: prompts (sure)" in refused.stdout
    assert "p-a" in refused.stdout, "the first rows are shown"
    assert "no terminal to ask at" in refused.stderr
    assert list_files(place) == before, "nothing was written, no store either"
    done = preceptor(*read_command(refused.stdout), cwd=place)
    assert done.returncode == 0, done.stderr
    assert "texts: 1 row taken, 0 rejected (1 prompt, 2 completions)" in done.stdout


def test_yes_goes_on_where_all_is_sure_and_only_there(preceptor, place):
    assert preceptor("ingest", "texts.jsonl", "--yes", cwd=place).returncode == 0
    done = preceptor("ingest", "own.csv", "--yes", "--source", "week-1", cwd=place)
    assert (done.returncode, "week-1: 2 rows taken" in done.stdout) == (0, True), done.stderr
    (place / "r.csv").write_text("completion,criterion,value\np-a,clear,4\n")
    guessed = preceptor("ingest", "r.csv", "--yes", cwd=place)
    assert guessed.returncode == 2
    assert "guessed: ratings have 5 levels" in guessed.stdout
    assert "--yes goes on where nothing is guessed" in guessed.stderr
    assert preceptor(*read_command(guessed.stdout), cwd=place).returncode == 0


def test_what_only_a_person_can_say_is_left_open(preceptor, place):
    (place / "r.csv").write_text("completion,criterion,value\np-a,clear,five stars\n")
    open_ = preceptor("ingest", "r.csv", "--yes", cwd=place)
    assert open_.returncode == 2
    assert "say how many levels the ratings have (--levels N" in open_.stderr
    assert read_command(open_.stderr)[:2] == ["ingest", "ratings"]


@pytest.mark.parametrize(("answer", "votes"), [("y", 2), ("n", 0)])
def test_at_a_terminal_it_asks(place, monkeypatch, answer, votes):
    monkeypatch.chdir(place)
    monkeypatch.setattr(recognised, "_is_terminal", lambda: True)
    run = CliRunner().invoke
    assert run(cli, ["ingest", "texts.jsonl"], input="y\n").exit_code == 0
    done = run(cli, ["ingest", "own.csv"], input=f"{answer}\n")
    assert "Read it so?" in done.output
    with open_store(place / "preceptor.duckdb", read_only=True) as con:
        assert query(con, "SELECT count(*) AS n FROM votes").item() == votes


def test_a_file_of_no_format_is_described(preceptor, place):
    (place / "x.csv").write_text("height,weight\n1,2\n")
    done = preceptor("ingest", "x.csv", "--yes", cwd=place)
    assert done.returncode == 2
    assert "x.csv: a table with the columns height, weight" in done.stderr
    assert "not recognised; name the format" in done.stderr
    assert "Did you mean 'votes'?" in preceptor("ingest", "vots", "votes.csv", cwd=place).stderr


def test_options_that_the_format_does_not_take_are_named(preceptor, place):
    done = preceptor("ingest", "texts.jsonl", "--yes", "--levels", "5", cwd=place)
    assert done.returncode == 2
    assert "'levels' is not for prompts" in done.stderr


def test_a_dry_run_stores_nothing(preceptor, place):
    tried = preceptor("ingest", "prompts", "texts.jsonl", "--source", "texts", "--dry-run", cwd=place)
    assert tried.returncode == 0, tried.stderr
    assert "texts: 1 row taken" in tried.stdout
    assert "dry run: nothing was stored" in tried.stdout
    assert not (place / "preceptor.duckdb").exists()
    assert preceptor("ingest", "prompts", "texts.jsonl", "--source", "texts", cwd=place).returncode == 0
    before = list_files(place)
    (place / "votes.csv").write_text(VOTES + "p-a,p-b,perhaps,Cy\n")
    before = list_files(place)
    tried = preceptor("ingest", "votes", "votes.csv", "--source", "v", "--dry-run", cwd=place)
    assert tried.returncode == 0, tried.stderr
    assert "v: 2 rows taken, 1 rejected" in tried.stdout
    assert "choice is '…', expected a, b or tie" in tried.stderr
    assert "votes, the first rows as they would be stored" in tried.stdout
    assert list_files(place) == before
    strict = preceptor("ingest", "votes", "votes.csv", "--source", "v", "--dry-run", "--strict", cwd=place)
    assert strict.returncode == 2


def test_a_dry_run_makes_no_key(preceptor, place, tmp_path_factory):
    key = tmp_path_factory.mktemp("settings") / "pseudonyms.key"
    log = place / "log.csv"
    log.write_text("learner,item,correct\nada,i,1\n")
    import os

    env = {**os.environ, "PRECEPTOR_KEY": str(key)}
    done = preceptor("ingest", "reviews", "log.csv", "--source", "l", "--dry-run", cwd=place, env=env)
    assert done.returncode == 0, done.stderr
    assert "1 review" in done.stdout
    assert not key.exists()


@pytest.mark.parametrize("name", FORMATS)
def test_every_format_has_a_dry_run(name):
    assert "dry_run" in {parameter.name for parameter in cli.commands["ingest"].commands[name].params}
