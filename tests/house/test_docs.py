"""Docs say what is so: the dictionary, recipes, the words of the command line."""

import json
import re
from importlib.util import find_spec
from pathlib import Path

import pytest
from click.testing import CliRunner
from places import ROOT

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
from preceptor.training.stages.registry import STAGES

README = (ROOT / "README.md").read_text(encoding="utf-8")


def test_the_data_dictionary_is_up_to_date():
    assert (ROOT / "docs" / "data.md").read_text(encoding="utf-8") == write_dictionary()


def test_links_and_pictures_exist():
    for page in [ROOT / "README.md", *(ROOT / "docs").rglob("*.md")]:
        for target in re.findall(r"\]\(([^)#]+)", page.read_text(encoding="utf-8")):
            if not target.startswith("http"):
                assert (page.parent / target).exists(), f"{page.name}: {target}"


def test_every_command_is_in_the_readme():
    assert {c for c in cli.commands if f"preceptor {c}" not in README} == set()


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


def test_what_the_guide_says_of_others_is_there():
    """Commands and trainers of TRL that docs/training.md names instead of ours."""
    guide = (ROOT / "docs" / "training.md").read_text(encoding="utf-8")
    trl = Path(find_spec("trl").submodule_search_locations[0])
    commands = set(re.findall(r"`trl (\w+)", guide))
    assert {"dpo", "reward", "rloo", "grpo"} <= commands
    assert {name for name in commands if not (trl / "scripts" / f"{name}.py").is_file()} == set()
    (script,) = re.findall(r"<!-- python: orpo -->\n```python\n(.*?)```", guide, re.S)
    ((module, *names),) = re.findall(r"from trl\.experimental\.(\w+) import (\w+), (\w+)", script)
    source = "".join(p.read_text(encoding="utf-8") for p in (trl / "experimental" / module).glob("*.py"))
    assert all(f"class {name}" in source for name in names)
    for stage in ("orpo", "cpo", "simpo", "tpo", "grpo"):
        assert stage not in STAGES
        assert stage.upper() in guide.upper()


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
        patterns = FORMATS[name].patterns
        suffix = ".jsonl" if text.startswith("{") or not patterns else patterns[0][1:]
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


def test_every_attack_in_the_guide_has_its_test():
    page = (ROOT / "docs" / "safety" / "security.md").read_text(encoding="utf-8")
    rows = [line.split(" | ") for line in page.splitlines() if line.startswith("| ")][2:]
    named = {name for row in rows for name in re.findall(r"`([\w/]+(?:\.py)?)`", row[3])}
    assert len(named) > 15
    there = {str(path.relative_to(ROOT / "tests")) for path in (ROOT / "tests").rglob("*")}
    assert {one for one in named if not any(path.endswith(one) for path in there)} == set()


def test_slow_tests_are_listed_by_names_that_they_have():
    listed = (ROOT / "tests" / "slow.txt").read_text(encoding="utf-8").splitlines()[1:]
    assert listed == sorted(set(listed))
    for line in listed:
        path, _, name = line.partition("::")
        assert f"def {name}(" in (ROOT / path).read_text(encoding="utf-8"), line
