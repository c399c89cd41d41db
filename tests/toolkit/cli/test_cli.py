"""The command line as a user meets it: help, exit codes, errors that say what to do."""

import json
import subprocess
import sys
from dataclasses import fields

import pytest
from click.testing import CliRunner

from preceptor.toolkit.cli.ingest.options import OWN
from preceptor.toolkit.cli.main import cli
from preceptor.toolkit.ingest.batch import Context
from preceptor.toolkit.ingest.formats import FORMATS
from preceptor.toolkit.recipes.project.entry import Entry, make_context

HEAVY = (
    "jax",
    "jaxlib",
    "numpyro",
    "torch",
    "transformers",
    "datasets",
    "argilla",
    "matplotlib",
    "scipy",
    "presidio_analyzer",
    "spacy",
)


def imported(*commands):
    """Modules in sys.modules after some commands."""
    code = (
        "import sys\nfrom preceptor.toolkit.cli.main import cli\n"
        f"for command in {[[str(a) for a in arguments] for arguments in commands]!r}:\n"
        "    try: cli.main(command)\n    except SystemExit as e: print('exit', e.code)\n"
        "print(chr(10).join(sorted(sys.modules)))"
    )
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ended.stdout.count("exit 0\n") == len(commands), ended.stdout + ended.stderr
    return set(ended.stdout.split("\n"))


def commands(group=cli, path=()):
    for name, command in group.commands.items():
        yield (*path, name), command
        if hasattr(command, "commands"):
            yield from commands(command, (*path, name))


@pytest.mark.parametrize("path", [(), *(p for p, _ in commands())], ids=" ".join)
def test_every_command_and_option_has_help(path):
    shown = CliRunner().invoke(cli, [*path, "--help"])
    assert shown.exit_code == 0
    command = dict(commands())[path] if path else cli
    assert command.help
    assert "\\b" not in shown.output  # click's mark for lines that are not to be wrapped
    assert all(p.help for p in command.params if p.param_type_name == "option")


def test_help_and_status_import_nothing_heavy(preceptor, tmp_path):
    (tmp_path / "p.jsonl").write_text(
        '{"id":"1","task":"qa","prompt":"?","completions":[{"id":"a","content":"b"}]}'
    )
    store = tmp_path / "s.duckdb"
    done = preceptor("--store", store, "ingest", "prompts", tmp_path / "p.jsonl", "--source", "s")
    assert done.returncode == 0, done.stderr
    commands = (["--help"], ["--store", store, "status"], ["--store", store, "ingest", "m2", "--help"])
    assert not imported(*commands) & set(HEAVY)


@pytest.fixture
def project(tmp_path, preceptor):
    """A folder with prompts and votes ingested."""
    lines = [
        {
            "id": f"p{n}",
            "task": "qa",
            "prompt": f"Question {n}?",
            "completions": [{"id": f"p{n}-{s}", "content": f"Answer {s} to {n}"} for s in "ab"],
        }
        for n in range(6)
    ]
    (tmp_path / "prompts.jsonl").write_text("\n".join(map(json.dumps, lines)))
    votes = ["first,second,winner"] + [f"p{n}-a,p{n}-b,{w}" for n in range(6) for w in ("a", "a", "tie")]
    (tmp_path / "votes.csv").write_text("\n".join(votes) + "\np0-a,p0-b,maybe\n")
    for command in (
        ["ingest", "prompts", "prompts.jsonl", "--source", "q", "--license", "CC-BY-4.0"],
        [
            "ingest",
            "votes",
            "votes.csv",
            "--source",
            "v",
            "--license",
            "CC-BY-4.0",
            "--map",
            "completion_a=first",
            "--map",
            "completion_b=second",
            "--map",
            "choice=winner",
        ],
    ):
        done = preceptor(*command, cwd=tmp_path)
        assert done.returncode == 0, done.stderr
    return tmp_path


def test_status_for_people_and_for_scripts(project, preceptor):
    shown = preceptor("status", cwd=project)
    assert shown.returncode == 0
    assert "CC-BY-4.0" in shown.stdout
    assert "no fit yet" in shown.stdout
    found = json.loads(preceptor("status", "--json", cwd=project).stdout)
    assert {s["name"]: (s["rows"], s["rejects"], s["license"]) for s in found["sources"]} == {
        "q": (6, 0, "CC-BY-4.0"),
        "v": (18, 1, "CC-BY-4.0"),
    }
    assert found["tables"]["votes"] == 18
    listed = preceptor("status", "--rejects", "v", cwd=project).stdout
    assert "votes.csv:20: choice is 'maybe', expected a, b or tie" in listed
    as_json = json.loads(preceptor("status", "--rejects", "v", "--json", cwd=project).stdout)
    assert as_json[0]["raw"] == "p0-a,p0-b,maybe"


@pytest.mark.parametrize(
    ("arguments", "code", "expected"),
    [
        (["statis"], 2, "Did you mean"),
        (["status", "--jsn"], 2, "--json"),
        (["--store", "none.duckdb", "status"], 2, "there is no store here"),
        (["ingest", "m2", "none.m2", "--source", "x"], 2, "none.m2: no such file"),
        (["ingest", "m2", "votes.csv", "--source", "x"], 2, "none of its 20 rows could be taken"),
        (["ingest", "votes", "votes.csv", "--source", "x"], 2, "use --map completion_a=COLUMN"),
        (["ingest", "votes", "votes.csv", "--source", "x", "--map", "oops"], 2, "OURS=THEIRS"),
        (["ingest", "votes", "votes.csv", "--source", "x", "--about", "z"], 2, "sources with completions: q"),
        (
            ["ingest", "prompts", "prompts.jsonl", "--source", "x", "--license", "CC-BY-4"],
            2,
            "did you mean CC-BY-4.0",
        ),
        (["ingest", "prompts", "votes.csv", "--source", "q"], 2, "--replace"),
        (["fuse", "--source", "z"], 2, "no source of that name with completions; there are q"),
        (["fuse", "--target", "2"], 2, "a weight from 0 to 1"),
        (["build", "none.yaml", "--out", "o"], 2, "none.yaml: No such file"),
        (["build", "prompts.jsonl", "--out", "o"], 2, "prompts.jsonl"),
        (["report"], 2, "run preceptor fuse first"),
    ],
)
def test_errors_name_what_and_the_remedy(project, preceptor, arguments, code, expected):
    ended = preceptor(*arguments, cwd=project)
    assert ended.returncode == code, ended.stderr
    assert expected in " ".join(ended.stderr.split())
    assert "Traceback" not in ended.stderr


def test_strict_stores_nothing(project, preceptor):
    arguments = [
        "ingest",
        "votes",
        "votes.csv",
        "--source",
        "w",
        "--strict",
        "--map",
        "completion_a=first",
        "--map",
        "completion_b=second",
        "--map",
        "choice=winner",
    ]
    ended = preceptor(*arguments, cwd=project)
    assert ended.returncode == 2
    assert "votes.csv:20" in ended.stderr
    assert "w" not in {
        s["name"] for s in json.loads(preceptor("status", "--json", cwd=project).stdout)["sources"]
    }


def test_debug_shows_the_traceback(tmp_path, preceptor):
    ended = preceptor("--debug", "--store", tmp_path / "none", "status")
    assert "Traceback" in ended.stderr


@pytest.mark.parametrize(
    ("arguments", "code"),
    [(["status"], 0), (["publish", "none", "lab/x"], 2), (["build", "none.yaml", "--out", "o"], 2)],
)
def test_a_process_of_its_own_ends_as_one_here(project, preceptor, preceptor_process, arguments, code):
    """Most tests run commands in their own process, which must say the same as what a user starts."""
    started, here = preceptor_process(*arguments, cwd=project), preceptor(*arguments, cwd=project)
    assert started.returncode == here.returncode == code
    assert (started.stdout, started.stderr) == (here.stdout, here.stderr)


def test_a_process_of_its_own_ends_with_the_traceback_if_asked(preceptor_process, tmp_path):
    ended = preceptor_process("--debug", "--store", tmp_path / "none", "status")
    assert ended.returncode == 1
    assert ended.stderr.startswith("Traceback")


@pytest.mark.slow
def test_a_fit_that_does_not_converge_ends_with_1_and_is_marked(project, preceptor):
    ended = preceptor("fuse", "--warmup", "100", "--max-draws", "50", cwd=project)  # 200 draws, ESS < 400
    assert ended.returncode == 1
    assert "did not converge" in ended.stderr
    assert "try" in ended.stderr
    (fit,) = json.loads(preceptor("status", "--json", cwd=project).stdout)["fits"]
    assert fit["converged"] is False
    (project / "r.yaml").write_text("name: r")
    refused = preceptor("build", "r.yaml", "--out", "out", cwd=project)
    assert refused.returncode == 1
    assert "convergence" in refused.stderr
    assert not (project / "out").exists()


VALUES = {
    "about": "a",
    "map": {"choice": "c", "choice:a": "left"},
    "set": {"criterion": "x"},
    "wide": "{prompt}",
    "split": ";",
    "scale": "0..100",
    "levels": 5,
    "by_model": True,
    "align": "errant",
    "annotator_names": {"0": "anna"},
    "learner": "l",
    "learner_from_path": "{learner}",
    "one_learner": True,
    "passing": 3,
    "keep_repeats": True,
    "allow_rejects": True,
    "sheet": "s",
    "date_format": "%Y",
}


@pytest.mark.parametrize("name", FORMATS)
def test_a_format_s_own_options_reach_its_reader(name):
    taken = {parameter.name for parameter in cli.commands["ingest"].commands[name].params}
    assert taken & OWN.keys() == set(FORMATS[name].takes)
    assert all(option == parameter.name for option, parameter in OWN.items())
    given = Entry(source="s", format=name, paths=["f"], **{o: VALUES[o] for o in FORMATS[name].takes})
    context, usual = make_context(given, FORMATS[name]), Context("s", FORMATS[name].language)
    changed = [
        f.name for f in fields(Context) if str(getattr(context, f.name)) != str(getattr(usual, f.name))
    ]
    # --map gives columns and values.
    assert len(changed) == len(FORMATS[name].takes) + ("map" in FORMATS[name].takes)


def test_rejects_of_a_source_that_is_not_there_are_not_none(preceptor, tmp_path):
    (tmp_path / "p.jsonl").write_text(
        '{"id": "p", "task": "qa", "prompt": "Why?", "completions": []}\n{"id": 1}\n'
    )
    done = preceptor("ingest", "prompts", "p.jsonl", "--source", "mine", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "1 rejected rows in mine" in preceptor("status", "--rejects", "mine", cwd=tmp_path).stdout
    done = preceptor("status", "--rejects", "mnie", cwd=tmp_path)
    assert (
        done.returncode,
        "--rejects mnie: no source of that name; did you mean 'mine'?" in done.stderr,
    ) == (2, True)
