"""Docs say what is so: the dictionary, the README's commands, the words of the command line."""

import json
import re
import shlex

import polars as pl
import pytest
from click.testing import CliRunner
from places import ROOT
from smollm2 import smollm2
from tiny_model import tiny_model

from preceptor.annotation.models.requests import Sampling
from preceptor.annotation.models.templates import read_template
from preceptor.annotation.models.writing import write_requests
from preceptor.schemas.derive import write_dictionary
from preceptor.schemas.licenses import read_license
from preceptor.schemas.recipe import CONFIGS, read_recipe
from preceptor.toolkit.cli.main import cli
from preceptor.toolkit.dataset.choose.eligible import COLUMNS
from preceptor.toolkit.ingest.batch import Context
from preceptor.toolkit.ingest.formats import FORMATS
from preceptor.toolkit.ingest.run import Origin, find_inputs, ingest

README = (ROOT / "README.md").read_text(encoding="utf-8")


def blocks(name, page=README):
    """Commands of the block marked with a name, in the README or another page."""
    text = re.search(rf"<!-- test: {name} -->\n```console\n(.*?)```", page, re.S)
    return [shlex.split(line.removeprefix("$ ")) for line in text[1].splitlines()]


def test_the_data_dictionary_is_up_to_date():
    assert (ROOT / "docs" / "data.md").read_text(encoding="utf-8") == write_dictionary()


def test_links_and_pictures_exist():
    for page in [ROOT / "README.md", *(ROOT / "docs").rglob("*.md")]:
        for target in re.findall(r"\]\(([^)#]+)", page.read_text(encoding="utf-8")):
            if not target.startswith("http"):
                assert (page.parent / target).exists(), f"{page.name}: {target}"


def test_every_command_is_in_the_readme():
    assert {c for c in cli.commands if f"preceptor {c}" not in README} == set()


@pytest.mark.slow
def test_the_walk_from_raw_data_to_dataset(preceptor, shared_data, tmp_path):
    """The README's commands on the real sources; counts equal facts.json."""
    follow("walk", preceptor, shared_data, tmp_path)
    found = json.loads(preceptor("status", "--json", cwd=tmp_path).stdout)
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
    assert (tmp_path / "report.html").stat().st_size > 10_000


def test_own_data_comes_in_as_the_readme_says(preceptor, tmp_path):
    prompt = {
        "id": "p",
        "task": "qa",
        "prompt": "Why?",
        "completions": [{"id": "a", "content": "x"}, {"id": "b", "content": "y"}],
    }
    (tmp_path / "prompts.jsonl").write_text(json.dumps(prompt))
    (tmp_path / "votes.csv").write_text("completion_a,completion_b,choice,judge\na,b,a,j1\n")
    (tmp_path / "ratings.csv").write_text("completion,criterion,value\na,clear,4\n")
    (tmp_path / "outcomes.csv").write_text("completion,learner,measure,value\na,learner-17,success,1\n")
    log = pl.DataFrame({"learner": ["l", "l"], "card": ["a", "a"], "correct": [False, True]})
    log.write_parquet(tmp_path / "study-log.parquet")
    rule = {"reviews": "study-log", "about": "mine", "measure": "turns"}
    (tmp_path / "recipe.yaml").write_text(json.dumps({"name": "r", "outcomes": [rule]}))
    for command in blocks("own"):
        done = preceptor(*command[1:], cwd=tmp_path)
        assert done.returncode == 0, done.stderr
    tables = json.loads(preceptor("status", "--json", cwd=tmp_path).stdout)["tables"]
    assert [tables[t] for t in ("votes", "ratings", "outcomes", "annotators")] == [1, 1, 2, 1]
    (tmp_path / "roster.txt").write_text("Zofia Nowak\n")
    for command in blocks("people"):
        done = preceptor(*command[1:], cwd=tmp_path)
        assert done.returncode == 0, done.stderr
    assert json.loads(preceptor("status", "--json", cwd=tmp_path).stdout)["tables"]["outcomes"] == 1


def follow(name, preceptor, shared_data, folder):
    """Run a block's commands there, the shared data and the recipes where they are."""
    for command in blocks(name):
        arguments = [
            str(shared_data / a.removeprefix("../shared/data/"))
            if a.startswith("../shared")
            else str(ROOT / a)
            if a.startswith("recipes/")
            else a
            for a in command[1:]
        ]
        done = preceptor(*arguments, cwd=folder)
        assert done.returncode == 0, f"{command}: {done.stderr}"


def test_dialogues_come_in_as_the_readme_says(preceptor, shared_data, tmp_path):
    follow("dialogues", preceptor, shared_data, tmp_path)
    builds = json.loads(preceptor("status", "--json", cwd=tmp_path).stdout)["builds"]
    assert [sum(build["counts"]["kept"]["preference"].values()) for build in builds] == [489, 439, 962, 2430]


def test_corpora_come_in_and_go_out_as_the_readme_says(preceptor, shared_data, tmp_path):
    follow("gec", preceptor, shared_data, tmp_path)
    written = (tmp_path / "cweb.m2").read_bytes()
    assert written == (shared_data / "cweb" / "m2" / "CWEB-S.dev.m2").read_bytes()
    status = preceptor("status", cwd=tmp_path)
    assert "edits" in status.stdout
    shown = preceptor("status", "--json", cwd=tmp_path)
    (build,) = json.loads(shown.stdout)["builds"]
    assert build["fit"] is None
    assert build["counts"]["kept"]["preference"]["train"] > 2500  # as many groups go to examples


@pytest.mark.parametrize("name", ["ask", "rubrics"])
def test_commands_that_ask_people_are_understood(name, preceptor, tmp_path):
    for command in blocks(name):
        arguments = (
            command[1:] if name == "rubrics" else [*command[1:], "--help"]
        )  # servers: test_push_pull.py
        done = preceptor(*arguments, cwd=tmp_path)
        assert done.returncode == 0, done.stderr


def test_forms_go_out_and_come_in_as_the_readme_says(preceptor, sample, tmp_path):
    ingested = preceptor("ingest", "prompts", sample / "prompts.jsonl", "--source", "mine", cwd=tmp_path)
    assert ingested.returncode == 0, ingested.stderr
    for command in blocks("forms"):
        for form in tmp_path.glob("forms-*.csv"):
            filled = pl.read_csv(form, infer_schema=False).with_columns(preference=pl.lit("A"))
            filled.write_csv(form)
        done = preceptor(*command[1:], cwd=tmp_path)
        assert done.returncode == 0, done.stderr
    assert "alpha" in done.stdout
    tables = json.loads(preceptor("status", "--json", cwd=tmp_path).stdout)["tables"]
    assert (tables["questions"], tables["votes"], tables["annotators"]) == (30, 60, 2)


@pytest.mark.slow
def test_problems_become_judged_pairs_as_the_guide_says(preceptor, tmp_path):
    """With the real small model, on a few of the problems and with short answers."""
    model = str(smollm2())
    problems = (ROOT / "recipes" / "socratic" / "problems.jsonl").read_text(encoding="utf-8").splitlines(True)
    assert len(problems) == 10
    (tmp_path / "few.jsonl").write_text("".join(problems[:4]), encoding="utf-8")
    less = {"recipes/socratic/problems.jsonl": "few.jsonl", "60": "6", "3": "2"}
    for command in blocks("judging", (ROOT / "docs" / "judging.md").read_text(encoding="utf-8")):
        arguments = [
            less.get(a, a).replace("HuggingFaceTB/SmolLM2-135M-Instruct", model) for a in command[1:]
        ]
        arguments = [str(ROOT / a) if a.startswith("recipes/") else a for a in arguments]
        done = preceptor(*arguments, cwd=tmp_path)
        assert done.returncode == 0, f"{command}: {done.stderr}"
    found = json.loads(preceptor("status", "--json", cwd=tmp_path).stdout)
    tables = found["tables"]
    assert (tables["prompts"], tables["completions"], tables["votes"], tables["replies"]) == (4, 8, 4, 12)
    (build,) = found["builds"]
    assert 0 < sum(build["counts"]["kept"]["preference"].values()) <= 4


@pytest.mark.slow
def test_corrections_become_a_tutor_as_the_guide_says(preceptor, tmp_path):
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
    (tmp_path / "corrections").mkdir()
    for file, end in (("src", ""), ("ref0", "s"), ("ref1", "s now")):
        text = "".join(f"{start}{end} {rest} .\n" for start, rest in sentences)
        (tmp_path / "corrections" / f"mine.{file}").write_text(text)
    small, model = "HuggingFaceTB/SmolLM2-135M-Instruct", tiny_model(tmp_path / "tiny")
    for command in blocks("train", (ROOT / "docs" / "training.md").read_text(encoding="utf-8")):
        arguments = [a.replace(small, str(model)) for a in command[1:]]
        arguments = [str(ROOT / a) if a.startswith("recipes/") else a for a in arguments]
        done = preceptor(*arguments, cwd=tmp_path)
        assert done.returncode == 0, f"{command}: {done.stderr}"
    found = json.loads((tmp_path / "evaluations" / "gec" / "metrics.json").read_text())
    assert found["n"] > 0
    assert [one["of"].partition("@")[0] for one in found["differences"] if one["figure"] == "gleu"] == [
        "hf:gec-sft-merged",
        "hf:gec",
        "hf:tiny",
        "hf:gec-sft-merged",
        "hf:gec",
    ]
    told = json.loads((tmp_path / "models" / "gec" / "preceptor.json").read_text())
    assert (told["stage"], told["base"]["stage"]) == ("dpo", "sft")
    tables = json.loads(preceptor("status", "--json", cwd=tmp_path).stdout)["tables"]
    assert tables["replies"] == tables["prompts"] == len(sentences)


def test_corrections_are_asked_for_in_the_words_of_their_dataset():
    recipe = read_recipe(ROOT / "recipes" / "gec" / "dataset.yaml")
    template = read_template(ROOT / "recipes" / "gec" / "correct.jinja")
    for language in (*recipe.instructions, "de", None):
        prompt = {
            "key": "k",
            "messages": [{"role": "user", "content": "He go ."}],
            "context": None,
            "group": "g",
            "language": language,
            "task": "gec",
        }
        (request,) = write_requests([prompt], template, Sampling(0, 1, 8, 0), 1)
        expected = recipe.instructions.get(language, recipe.instruction).replace("{prompt}", "He go .")
        assert list(request.messages) == [{"role": "user", "content": expected}]


def test_help_fits_the_docs_words():
    shown = CliRunner().invoke(cli, ["--help"]).output.lower()
    for banned in ("worker", "label ", "sample", "instruction"):
        assert banned not in shown.replace("packaged sample", "")


@pytest.mark.parametrize("name", FORMATS)
def test_the_example_in_a_format_s_help_can_be_ingested(store, tmp_path, name):
    prompt = {
        "id": "p1",
        "task": "qa",
        "prompt": "?",
        "completions": [{"id": "p1-a", "content": "x"}, {"id": "p1-b", "content": "y"}],
    }
    (tmp_path / "known.jsonl").write_text(json.dumps(prompt))
    text = FORMATS[name].example
    if text.startswith("{"):  # one JSON object, wrapped and shortened for the eye
        text = text.replace("\n", "").replace(", …", "").replace('"mnemonic_b": "…"', '"mnemonic_b": "other"')
    folder = tmp_path / "example"
    folder.mkdir()
    if not text.startswith("==> "):
        suffix = FORMATS[name].patterns[0][1:] if FORMATS[name].patterns else ".jsonl"
        text = f"==> example{suffix} <==\n{text}"
    for part in text.removeprefix("==> ").split("\n==> "):
        file, _, content = part.partition(" <==\n")
        (folder / file).write_text(content + "\n", encoding="utf-8")
    paths = [folder] if FORMATS[name].together else [folder / file]
    for format, given, source in (("prompts", [tmp_path / "known.jsonl"], "known"), (name, paths, "example")):
        files = find_inputs(FORMATS[format], given)
        context = Context(source, FORMATS[format].language, about="known")
        report = ingest(store, FORMATS[format], files, context, Origin(read_license("MIT")), strict=True)
    expected = {
        "ua-gec": 3,
        **dict.fromkeys(("m2", "outcomes", "bea-json", "nucle-sgml", "parallel", "relco", "c4-200m"), 2),
    }
    assert report.rows == expected.get(name, 1)


def test_the_recipe_in_the_guide_is_a_recipe(tmp_path):
    guide = (ROOT / "docs" / "datasets.md").read_text(encoding="utf-8")
    (tmp_path / "r.yaml").write_text(guide.partition("```yaml\n")[2].partition("```")[0])
    recipe = read_recipe(tmp_path / "r.yaml")
    assert recipe.configs == ["preference", "sft", "soft"]
    for config in CONFIGS:
        assert f"| `{config}` |" in guide
    for column in COLUMNS:
        assert f"`{column}`" in guide
