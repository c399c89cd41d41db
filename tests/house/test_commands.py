"""Every command that README and docs print: run as printed, or read as the command line reads it, with the reason.

A block of commands has a name above it: <!-- test: walk -->. Blocks run in a folder beside which `shared` lies, as
beside a checkout; the folder is empty, and recipes come by `preceptor recipe copy`.
"""

import json
import os
import re
import shlex
import sys

import click
import polars as pl
import pytest
from model_server import serving
from places import ROOT
from smollm2 import smollm2
from tiny_model import tiny_model
from waiting import run_to_end

from preceptor.toolkit.cli.main import cli

PAGES = {
    str(path.relative_to(ROOT)): path.read_text(encoding="utf-8")
    for path in [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
}
BLOCK = re.compile(r"(?:<!-- test: (\w+) -->\n)?```console\n(.*?)```", re.S)
SMALL = "HuggingFaceTB/SmolLM2-135M-Instruct"


def blocks(name, page="README.md"):
    """Commands of the block with this name."""
    (text,) = [text for named, text in BLOCK.findall(PAGES[page]) if named == name]
    return [shlex.split(line.removeprefix("$ ")) for line in text.replace("\\\n", " ").splitlines()]


_README = ("walk", "own", "gec", "dialogues", "forms", "rubrics", "people", "models")
RUN = {("README.md", name) for name in _README} | {
    ("docs/formats/recipes.md", "schema"),
    *(("docs/formats/sources.md", name) for name in ("start", "recognised")),
    ("docs/formats/exercises.md", "lexicon"),
    *(("docs/judging.md", name) for name in ("judging", "audit")),
    ("docs/training.md", "train"),
}
READ = {
    (
        "README.md",
        "make",
    ): "sets up an environment from a registry; tests/toolkit/cli/test_demo.py runs the demo",
    ("README.md", "wheel"): "installs from a registry; test_packaging.py builds and installs the wheel",
    ("README.md", "publish"): "needs the Hub; tests/toolkit/hub publishes to a stand-in",
    ("README.md", "ask"): "starts a server and waits for people; tests/toolkit/campaign/test_push_pull.py",
    ("docs/formats/study.md", "study"): "waits for learners; tests/toolkit/practice/study",
    ("docs/annotation.md", "pages"): "waits for people; tests/toolkit/practice/study/test_campaign.py",
    ("README.md", "study"): "waits for learners; tests/toolkit/practice/study/test_whole.py",
    (
        "docs/formats/study.md",
        "back",
    ): "needs a deck from Anki; tests/toolkit/practice/study/test_back_from_anki.py",
    ("docs/learners.md", "profile"): "needs the fit of minutes; tests/toolkit/report/test_learner_page.py",
    ("README.md", "train"): "needs a GPU for hours; docs/training.md runs the same with a small model",
    (
        "README.md",
        "evaluate",
    ): "needs the models of the block before; docs/training.md, tests/training/export",
    ("README.md", "learners"): "a fit of minutes; tests/toolkit/practice/learners fits small logs",
    ("docs/formats/exercises.md", "passages"): "needs two models; practice/exercises/test_from_passages.py",
    ("docs/training.md", "evaluate"): "the same as in the README",
    ("docs/training.md", "judged"): "needs a GPU and a judge; tests/toolkit/evaluation/test_recipes.py",
    ("docs/training.md", "launch"): "needs several GPUs; tests/training/test_launch.py",
    (
        "docs/formats/tables.md",
        "sheets",
    ): "test_from_sheets_to_fit.py runs it on the sheets that the page shows",
    ("docs/fusion.md", "text"): "needs a model's folder; tests/toolkit/fusion/test_text.py",
    ("docs/training.md", "laptop"): "needs llama.cpp and the Hub; tests/training/export",
}
"""Blocks that are not run, and why; their commands are read."""


def test_every_block_is_run_or_read():
    named = {(page, name) for page, text in PAGES.items() for name, _ in BLOCK.findall(text)}
    assert named == RUN | READ.keys()
    assert not RUN & READ.keys()


def understand(arguments):
    """Read arguments as the command line does, without running the command."""
    context, command = click.Context(cli), cli
    while isinstance(command, click.Group):
        context = command.make_context(command.name or "preceptor", list(arguments), parent=context)
        arguments = [*context._protected_args, *context.args]
        if not arguments:
            assert command.invoke_without_command
            return
        name, command, arguments = command.resolve_command(context, list(arguments))
    command.make_context(name, list(arguments), parent=context)


@pytest.mark.parametrize(("page", "name"), READ, ids=lambda part: str(part).removesuffix(".md"))
def test_a_block_that_is_not_run_is_understood(page, name):
    commands = [command for command in blocks(name, page) if command[0] == "preceptor"]
    for command in commands:
        understand(command[1:])
        for argument in command:
            assert not argument.startswith("recipes/") or (ROOT / argument).is_file(), argument
    assert commands or name in {"make", "wheel"}


def test_what_is_not_understood_is_found():
    for wrong in (["fuse", "--no-such"], ["nothing"], ["annotate", "push", "--n", "many"]):
        with pytest.raises(click.UsageError):
            understand(wrong)


@pytest.fixture
def place(tmp_path):
    """An empty folder beside which `shared` lies, if it is there."""
    folder = tmp_path / "project"
    folder.mkdir()
    if (ROOT.parent / "shared").is_dir():
        (tmp_path / "shared").symlink_to(ROOT.parent / "shared")
    return folder


@pytest.fixture
def follow(preceptor, place):
    """A function that runs a block's commands in the place; `changed` replaces arguments, or makes others of them."""

    def run(
        name, page="README.md", changed=lambda argument: argument, run=preceptor, more=lambda command: ()
    ):
        for command in blocks(name, page):
            if command[0] == "preceptor":
                done = run(*map(changed, command[1:]), *more(command), cwd=place)
                assert done.returncode == 0, f"{command}: {done.stdout}{done.stderr}"
        return done

    return run


def read_status(preceptor, place):
    return json.loads(preceptor("status", "--json", cwd=place).stdout)


@pytest.mark.slow
def test_the_walk_from_raw_data_to_dataset(follow, preceptor, shared_data, place):
    """Counts equal facts.json."""
    follow("walk")
    found = read_status(preceptor, place)
    facts = json.loads((shared_data / "smart" / "facts.json").read_text())
    tables = found["tables"]
    assert tables["prompts"] == facts["pairs"]
    assert tables["votes"] == facts["votes_total"]
    assert tables["ratings"] == sum(facts["ratings"][side]["count"] for side in "ab")
    assert tables["outcomes"] == sum(facts["outcomes"][side]["count"] for side in "ab")
    assert tables["sentences"] == 754
    assert {s["name"]: (s["rows"], s["rejects"]) for s in found["sources"]} == {
        "jfleg-dev": (12345, 20),
        "smart-shared": (342, 0),
    }
    (fit,) = found["fits"]
    assert fit["converged"]
    assert fit["findings"]["votes"] == facts["votes_total"]
    (build,) = found["builds"]
    assert sum(build["counts"]["kept"]["preference"].values()) > 100
    assert (place / "report.html").stat().st_size > 10_000


def write_own(folder):
    """Write the files that the block `own` names."""
    prompt = {
        "id": "p",
        "task": "qa",
        "prompt": "Why?",
        "completions": [{"id": "a", "content": "x"}, {"id": "b", "content": "y"}],
    }
    (folder / "prompts.jsonl").write_text(json.dumps(prompt))
    (folder / "votes.csv").write_text("completion_a,completion_b,choice,judge\na,b,a,j1\n")
    (folder / "ratings.csv").write_text("completion,criterion,value\na,clear,4\n")
    (folder / "outcomes.csv").write_text("completion,learner,measure,value\na,learner-17,success,1\n")
    log = pl.DataFrame({"learner": ["l", "l"], "card": ["a", "a"], "correct": [False, True]})
    log.write_parquet(folder / "study-log.parquet")
    rule = {"reviews": "study-log", "about": "mine", "measure": "turns"}
    (folder / "recipe.yaml").write_text(json.dumps({"name": "r", "outcomes": [rule]}))
    (folder / "roster.txt").write_text("Zofia Nowak\n")


def test_own_data_comes_in(follow, preceptor, place):
    write_own(place)
    follow("own")
    tables = read_status(preceptor, place)["tables"]
    assert [tables[t] for t in ("votes", "ratings", "outcomes", "annotators")] == [1, 1, 2, 1]
    follow("people")
    assert read_status(preceptor, place)["tables"]["outcomes"] == 1


@pytest.mark.parametrize(
    ("page", "name"), [("README.md", "rubrics"), ("docs/formats/recipes.md", "schema")], ids=str
)
def test_what_needs_no_data(page, name, follow):
    follow(name, page)


def test_a_project_begins_and_a_file_is_recognised(follow, preceptor, shared_data, place):
    follow("start", "docs/formats/sources.md")
    tables = read_status(preceptor, place / "mine")["tables"]
    assert (tables["completions"], tables["votes"], tables["ratings"]) == (2, 1, 1)
    follow("recognised", "docs/formats/sources.md")
    assert read_status(preceptor, place)["tables"]["prompts"] == 600


def test_a_lexicon_becomes_flashcards(follow, place):
    page = PAGES["docs/formats/exercises.md"]
    for name, text in re.findall(r"==> (idioms\.\w+) <==\n(.*?)(?===>|```)", page, re.S):
        (place / name).write_text(text)
    assert "flashcard" in follow("lexicon", "docs/formats/exercises.md").stdout


def test_dialogues_come_in(follow, preceptor, shared_data, place):
    follow("dialogues")
    builds = read_status(preceptor, place)["builds"]
    assert [sum(build["counts"]["kept"]["preference"].values()) for build in builds] == [489, 439, 962, 2430]


def test_corpora_come_in_and_go_out(follow, preceptor, shared_data, place):
    follow("gec")
    written = (place / "cweb.m2").read_bytes()
    assert written == (shared_data / "cweb" / "m2" / "CWEB-S.dev.m2").read_bytes()
    assert "edits" in preceptor("status", cwd=place).stdout
    builds = {build["name"]: build for build in read_status(preceptor, place)["builds"]}
    exercises = builds.pop("gec-exercises")
    assert exercises["counts"]["kept"]["exercises"]["train"] > 900
    (build,) = builds.values()
    assert build["fit"] is None
    assert build["counts"]["kept"]["preference"]["train"] > 2500  # as many groups go to examples


def fill_forms(folder):
    for form in folder.glob("forms-*.csv"):
        filled = pl.read_csv(form, infer_schema=False).with_columns(preference=pl.lit("A"))
        filled.write_csv(form)


def test_forms_go_out_and_come_in(preceptor, sample, place):
    ingested = preceptor("ingest", "prompts", sample / "prompts.jsonl", "--source", "mine", cwd=place)
    assert ingested.returncode == 0, ingested.stderr
    for command in blocks("forms"):
        fill_forms(place)
        done = preceptor(*command[1:], cwd=place)
        assert done.returncode == 0, done.stderr
    assert "alpha" in done.stdout
    tables = read_status(preceptor, place)["tables"]
    assert (tables["questions"], tables["votes"], tables["annotators"]) == (30, 60, 2)


def test_models_write_and_judge(follow, preceptor, sample, place):
    """With a stand-in for the endpoint; its judge has a price, so that a cost cap can hold."""
    few = (sample / "prompts.jsonl").read_text(encoding="utf-8").splitlines(True)[:3]
    (place / "few.jsonl").write_text("".join(few), encoding="utf-8")
    ingested = preceptor("ingest", "prompts", "few.jsonl", "--source", "mine", cwd=place)
    assert ingested.returncode == 0, ingested.stderr
    rating = json.dumps({"questions": "no", "on_topic": 5, "helpful": 4, "reveals_answer": "no"})
    with serving(lambda body: rating) as server:
        names = {"http://127.0.0.1:8000/v1": server.url, "openai:JUDGE": "openai:gpt-4o-mini"}
        follow(
            "models",
            changed=lambda a: names.get(a, a),
            more=lambda command: ("--base-url", server.url) if "--max-cost" in command else (),
        )
        assert server.asked
    assert (place / "audit").is_dir()
    assert read_status(preceptor, place)["tables"]["ratings"] > 0


def test_a_judge_of_a_study_is_audited(follow, preceptor, shared_data, place):
    rating = json.dumps({"questions": "no", "on_topic": 5, "helpful": 4, "reveals_answer": "no"})
    with serving(lambda body: rating) as server:
        follow(
            "audit",
            "docs/judging.md",
            more=lambda command: ("--base-url", server.url, "--n", "20") if "--rubric" in command else (),
        )
        assert len(server.asked) == 20
    assert (place / "audit").is_dir()


@pytest.mark.slow
def test_problems_become_judged_pairs(follow, preceptor, place):
    """With the real small model, on a few of the problems and with short answers."""
    model = str(smollm2())
    problems = (ROOT / "recipes" / "socratic" / "problems.jsonl").read_text(encoding="utf-8").splitlines(True)
    assert len(problems) == 10
    (place / "few.jsonl").write_text("".join(problems[:4]), encoding="utf-8")
    less = {"recipes/socratic/problems.jsonl": "few.jsonl", "60": "6", "3": "2"}
    follow("judging", "docs/judging.md", changed=lambda a: less.get(a, a).replace(SMALL, model))
    found = read_status(preceptor, place)
    tables = found["tables"]
    assert (tables["prompts"], tables["completions"], tables["votes"], tables["replies"]) == (4, 8, 4, 12)
    (build,) = found["builds"]
    assert 0 < sum(build["counts"]["kept"]["preference"].values()) <= 4


@pytest.mark.slow
def test_corrections_become_a_tutor(follow, preceptor, place):
    """With a tiny model of random weights for the small one; it learns nothing worth having in so few steps."""
    whose = ["My brother", "The teacher", "A friend", "Our dog", "His mother", "The new student"]
    does = [
        ("go", "to school"),
        ("like", "apples"),
        ("play", "outside"),
        ("read", "at home"),
        ("work", "late"),
        ("run", "every day"),
        ("eat", "two eggs"),
        ("sing", "in the car"),
        ("sleep", "here"),
        ("call", "me"),
    ]
    sentences = [(f"{who} {verb}", rest) for who in whose for verb, rest in does]
    (place / "corrections").mkdir()
    for file, end in (("src", ""), ("ref0", "s"), ("ref1", "s now")):
        text = "".join(f"{start}{end} {rest} .\n" for start, rest in sentences)
        (place / "corrections" / f"mine.{file}").write_text(text)
    model = str(tiny_model(place / "tiny"))
    follow("train", "docs/training.md", changed=lambda a: a.replace(SMALL, model))
    found = json.loads((place / "evaluations" / "gec" / "metrics.json").read_text())
    assert found["n"] > 0
    assert [one["of"].partition("@")[0] for one in found["differences"] if one["figure"] == "gleu"] == [
        "hf:gec-sft-merged",
        "hf:gec",
        "hf:tiny",
        "hf:gec-sft-merged",
        "hf:gec",
    ]
    told = json.loads((place / "models" / "gec" / "preceptor.json").read_text())
    assert (told["stage"], told["base"]["stage"]) == ("dpo", "sft")
    tables = read_status(preceptor, place)["tables"]
    assert tables["replies"] == tables["prompts"] == len(sentences)


@pytest.fixture
def installed(unpacked, key_file):
    """A function that runs `preceptor …` of the wheel, in a process that knows nothing of the checkout."""
    clean = {k: v for k, v in os.environ.items() if not k.startswith(("PYTHON", "COV", "PRECEPTOR"))}
    clean |= {"PYTHONPATH": str(unpacked), "PRECEPTOR_KEY": str(key_file)}

    def run(*arguments, cwd):
        command = [sys.executable, "-m", "preceptor.toolkit.cli.main", *arguments]
        return run_to_end(command, cwd=cwd, env=clean)

    return run


@pytest.mark.slow
def test_recipes_of_a_wheel_are_copied_and_checked(installed, follow, unpacked, place):
    where = run_to_end(
        [sys.executable, "-c", "import preceptor; print(preceptor.__file__)"],
        cwd=place,
        env={**os.environ, "PYTHONPATH": str(unpacked)},
    )
    assert where.stdout.startswith(str(unpacked))
    follow("schema", "docs/formats/recipes.md", run=installed)
    follow("rubrics", run=installed)
    assert installed("recipe", "copy", "gec", cwd=place).returncode == 0
    for name in ("dataset", "sft", "dpo", "evaluate"):
        done = installed("recipe", "check", f"recipes/gec/{name}.yaml", cwd=place)
        assert done.returncode == 0, done.stderr


@pytest.mark.slow
@pytest.mark.minutes
def test_the_whole_readme_from_a_wheel_in_one_store(installed, follow, shared_data, place):
    """All blocks that are run, one after the other, as somebody does who reads on."""
    write_own(place)
    for name in ("walk", "own", "gec", "dialogues"):
        follow(name, run=installed)
    for command in blocks("forms"):
        fill_forms(place)
        done = installed(*command[1:], cwd=place)
        assert done.returncode == 0, f"{command}: {done.stderr}"
    follow("rubrics", run=installed)
    for command in blocks("people"):
        done = installed(*command[1:], cwd=place)
        found = command[1] == "scan"  # personal data in the corpora: exit code 1
        assert done.returncode in ({0, 1} if found else {0}), f"{command}: {done.stderr}"


@pytest.mark.slow
def test_the_demo_can_be_published_as_printed(preceptor, demo):
    (command, *_) = blocks("publish")
    assert command[-1] == "--dry-run"
    done = preceptor(*command[1:], cwd=demo.out.parent)
    assert done.returncode == 0, done.stderr
    assert 'load_dataset("your-name/tutor-preferences"' in done.stdout
