"""Recipes that come with Preceptor, checks without a build, a start for one's own, schemas for editors."""

import contextlib
import json
import re

import click
import pytest
import yaml
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st
from places import RECIPES, ROOT

from preceptor.schemas.errors import RecipeError
from preceptor.schemas.recipe import Recipe, read_recipe
from preceptor.schemas.support.settings_files.yaml_text import read_settings
from preceptor.toolkit.cli.main import cli
from preceptor.toolkit.evaluation.config import EvaluationSettings
from preceptor.toolkit.recipes.check import check_recipe
from preceptor.toolkit.recipes.packaged import copy_recipe, list_recipes
from preceptor.toolkit.recipes.page import write_page
from preceptor.toolkit.recipes.schema import make_schema
from preceptor.training.config import OURS

FILES = sorted(RECIPES.glob("*/*.yaml"))
KINDS = ("dataset", "evaluation", "exercises", "training", "rubric")


def test_all_packaged_files_are_listed(preceptor, tmp_path):
    expected = {p.relative_to(RECIPES).as_posix() for p in RECIPES.glob("*/*.*") if p.suffix != ".pyc"}
    assert {one.name for one in list_recipes()} == expected
    shown = preceptor("recipe", "list", cwd=tmp_path, env={"COLUMNS": "300"}).stdout
    assert "Corrections of learners' sentences" in shown
    assert "dpo of models/gec-sft-merged on dist/gec" in shown
    assert all(name in shown for name in expected)


def test_a_copy_is_where_the_documentation_s_commands_look(preceptor, tmp_path):
    done = preceptor("recipe", "copy", "gec", cwd=tmp_path)
    assert done.returncode == 0
    for path in (RECIPES / "gec").iterdir():
        assert (tmp_path / "recipes" / "gec" / path.name).read_bytes() == path.read_bytes()
    again = preceptor("recipe", "copy", "gec", cwd=tmp_path)
    assert (again.returncode, again.stdout.count("the same")) == (0, len(list((RECIPES / "gec").iterdir())))
    one = preceptor("recipe", "copy", "gec/dpo", "mine", cwd=tmp_path)
    assert [p.relative_to(tmp_path).as_posix() for p in (tmp_path / "mine").rglob("*.*")] == [
        "mine/gec/dpo.yaml"
    ]
    assert "written: mine/gec/dpo.yaml" in one.stdout


def test_a_copy_overwrites_nothing(preceptor, tmp_path):
    mine = tmp_path / "recipes" / "gec" / "sft.yaml"
    mine.parent.mkdir(parents=True)
    mine.write_text("mine")
    ended = preceptor("recipe", "copy", "gec", cwd=tmp_path)
    assert ended.returncode == 2
    assert "recipes/gec/sft.yaml: is already there" in ended.stderr.replace(
        "is there already", "is already there"
    )
    assert [p.name for p in mine.parent.iterdir()] == ["sft.yaml"]
    assert mine.read_text() == "mine"


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("gecc", "no packaged recipe 'gecc': did you mean 'gec'?"),
        ("gec/dpoo.yaml", "did you mean 'gec/dpo.yaml'?"),
        ("..", "recipes: gec, learner, mnemonic, "),
    ],
)
def test_a_recipe_that_does_not_come_with_preceptor(tmp_path, name, said):
    with pytest.raises(RecipeError) as error:
        copy_recipe(name, tmp_path)
    assert said in str(error.value)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("path", FILES, ids=lambda p: f"{p.parent.name}/{p.name}")
def test_packaged_recipes_are_without_faults(path):
    assert check_recipe(path).kind in KINDS


FAULTY = """name: Bad Name
sources: [mine, sampel]
task: tutr
pairs:
  policy: best-wurst
  min_confidense: 0.7
  criteria: [cleer]
outcomes:
  - {reviews: sampel, about: sample}
splits: {train: 0.9}
format: convesational
instruction: Say it
gates: {replis: {}}
configs: [preferences]
titel: x
"""


@pytest.fixture
def project(preceptor, sample, tmp_path):
    for format in ("prompts", "votes", "ratings"):
        (path,) = sample.glob(f"{format}.*")
        about = () if format == "prompts" else ("--about", "sample")
        source = "sample" if format == "prompts" else f"sample-{format}"
        done = preceptor("ingest", format, path, "--source", source, "--license", "MIT", *about, cwd=tmp_path)
        assert done.returncode == 0, done.stderr
    return tmp_path


def test_all_faults_are_named_at_once_with_their_lines(preceptor, project):
    (project / "r.yaml").write_text(FAULTY)
    ended = preceptor("recipe", "check", "r.yaml", cwd=project)
    assert ended.returncode == 2
    found = dict(re.findall(r"r\.yaml:(\d+): (.*)", ended.stderr))
    lines = ended.stderr
    for line, said in (
        (1, "'name': 'Bad Name' is no name"),
        (2, "sources: sampel: no source of that name in the store; did you mean 'sample'?"),
        (2, "sources: mine: no source of that name in the store; there are sample, sample-ratings"),
        (3, "task: tutr: no task of that name with prompts in the store"),
        (5, "'pairs.policy': no value 'best-wurst': did you mean 'best-worst'?"),
        (6, "unknown key 'pairs.min_confidense': did you mean 'min_confidence'?"),
        (7, "pairs.criteria: cleer: no criterion of that name with ratings in the store"),
        (9, "outcomes.0.reviews: sampel: no source of that name in the store; did you mean 'sample'?"),
        (10, "'splits': train, validation and test add up to 1.1, not 1"),
        (11, "'format': no value 'convesational': did you mean 'conversational'?"),
        (14, "'configs.0': no value 'preferences': did you mean 'preference'?"),
        (15, "unknown key 'titel': did you mean 'title'?"),
    ):
        assert f"r.yaml:{line}: {said}" in lines, (line, said, found)


@pytest.mark.parametrize(
    ("keys", "said"),
    [
        (
            "pairs: {eligible: chosen_scor > 0.8}",
            "r.yaml:2: pairs.eligible: unknown column 'chosen_scor': did you mean",
        ),
        ("gates: {replis: {}}", "r.yaml:2: gates: unknown gate 'replis': did you mean 'replies'?"),
        (
            "gates: {replies: {drp: true}}",
            "r.yaml:2: gates: replies: unknown key 'drp': did you mean 'drop'?",
        ),
        ("privacy: {allow: [emial]}", "r.yaml:2: privacy: allow: 'emial' is no kind; did you mean 'email'?"),
        ("corrections: {}\nconfigs: [soft]", "r.yaml:3: config soft needs p"),
        (
            "benchmarks: [{name: b, path: none.jsonl}]",
            "r.yaml:2: benchmarks: b: none.jsonl: there is no such file",
        ),
        ("instruction: Say it", "r.yaml:2: 'instruction': must contain {prompt}: 'Say it'"),
        ("instructions: {en: Say it}", "r.yaml:2: 'instructions.en': must contain {prompt}: 'Say it'"),
        ("instruction: Say {promt}", "must contain {prompt}, not {promt}: 'Say {promt}'"),
        ("publish_under: CC BY", "r.yaml:2: 'publish_under': CC BY: not an SPDX licence id"),
        ("language: 5", "r.yaml:2: 'language': YAML reads this as 5; put it in quotes"),
        ("title: [a]", "r.yaml:2: 'title': should be a valid string, not a list"),
        ("pairs: best-worst", "r.yaml:2: 'pairs': expected keys and values, not 'best-worst'"),
        ("pairs: {band: [0.9, 0.6]}", "r.yaml:2: 'pairs': band: expected two numbers"),
        (
            "outcomes: [{reviews: a, about: b, measure: tunrs}]",
            "'outcomes.0.measure': no value 'tunrs': did you mean 'turns'?",
        ),
    ],
)
def test_a_fault_names_line_key_and_remedy(tmp_path, monkeypatch, keys, said):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "r.yaml").write_text(f"name: r\n{keys}\n")
    with pytest.raises(RecipeError) as error:
        check_recipe(tmp_path / "r.yaml")
    assert said in str(error.value).replace(f"{tmp_path}/", "")


@pytest.mark.parametrize(
    ("keys", "said"),
    [
        ("citations: {sampel: Doe 2026}", "citations: sampel: no source of that name in the store"),
        (
            "pairs: {policy: rubric-dominance, criteria: [helpfull]}",
            "pairs.criteria: helpfull: no criterion of that name with ratings in the store",
        ),
    ],
)
def test_names_that_the_store_lacks_stop_check_and_build_alike(preceptor, project, keys, said):
    (project / "r.yaml").write_text(f"name: r\n{keys}\n")
    for command in (("recipe", "check", "r.yaml"), ("build", "r.yaml", "--out", "out")):
        ended = preceptor(*command, cwd=project)
        assert (ended.returncode, said in ended.stderr) == (2, True), ended.stderr
    assert not (project / "out").exists()


def test_a_good_recipe_says_what_was_looked_up(preceptor, project, tmp_path):
    (project / "r.yaml").write_text("name: r\nsources: [sample]\n")
    done = preceptor("recipe", "check", "r.yaml", cwd=project)
    assert done.returncode == 0
    assert "r.yaml: a dataset's recipe, without faults\nnames looked up in preceptor.duckdb" in done.stdout
    done = preceptor("--store", "none.duckdb", "recipe", "check", "r.yaml", cwd=project)
    assert (done.returncode, "no store at none.duckdb: names not looked up" in done.stdout) == (0, True)
    assert not (project / "none.duckdb").exists()


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (
            "metrics: [gleuu]\nname: e\ndataset_name: d\njudge: {rubric: socratik}\n",
            "e.yaml:1: 'metrics': no metric 'gleuu'",
        ),
        ("metrics: [gleu]\nname: e\ndataset_name: d\ntemplate: none.jinja\n", "e.yaml:4: "),
        (
            "metrics: [rated]\nname: e\ndataset_name: d\njudge: {rubric: socratik}\n",
            "e.yaml:4: no rubric 'socratik': did you",
        ),
        (
            "metrics: [gleu]\nname: e\ndataset_name: d\nbaseline: copi\n",
            "e.yaml:4: 'baseline': no value 'copi': did you mean 'copy'?",
        ),
        (
            "stage: dpo\nmodel_name_or_path: m\nbetta: 1\nlora_rr: 3\n",
            "e.yaml:3: unknown key 'betta': did you mean 'beta'?",
        ),
        (
            "stage: dpo\nmodel_name_or_path: m\nbetta: 1\nlora_rr: 3\n",
            "e.yaml:4: unknown key 'lora_rr': did you mean 'lora_r'?",
        ),
        ("stage: dpo\nmodel_name_or_path: m\nbetta: 1\nlora_rr: 3\n", "e.yaml: 'dataset_name' is missing"),
        (
            "stage: orpo\nmodel_name_or_path: m\n",
            "e.yaml:1: 'stage': no stage 'orpo': known stages: sft, dpo",
        ),
        (
            "name: r\nkind: ratings\ntitle: t\ncriteria: []\n",
            "e.yaml:2: 'kind': no kind 'ratings': did you mean 'rating'?",
        ),
    ],
)
def test_every_kind_of_file_is_checked(tmp_path, text, said):
    (tmp_path / "e.yaml").write_text(text)
    with pytest.raises(RecipeError) as error:
        check_recipe(tmp_path / "e.yaml")
    assert said in str(error.value).replace(f"{tmp_path}/", "")


def test_a_new_recipe_has_what_the_store_holds(preceptor, project):
    done = preceptor("recipe", "new", "mine", cwd=project)
    assert done.returncode == 0, done.stderr
    text = (project / "mine.yaml").read_text()
    assert "policy: best-worst  # 882 votes and outcomes, after preceptor fuse" in text
    assert "rubric-dominance (" in text
    assert "sample (" in text
    assert "MIT" in text
    recipe = read_recipe(project / "mine.yaml")
    assert (recipe.name, recipe.configs) == ("mine", ["preference"])
    assert preceptor("recipe", "check", "mine.yaml", cwd=project).returncode == 0
    # every line that is only a comment may be uncommented
    offered = re.sub(r"(?m)^# (?=[a-z_]+: )", "", text)
    (project / "all.yaml").write_text(offered)
    done = preceptor("recipe", "check", "all.yaml", cwd=project)
    assert done.returncode == 0, done.stderr
    schema = json.loads((project / "dataset.schema.json").read_text())
    assert schema == make_schema("dataset")
    again = preceptor("recipe", "new", "mine", cwd=project)
    assert (again.returncode, "mine.yaml: is there already" in again.stderr) == (2, True)


def test_a_new_recipe_from_edits_and_from_replies_builds(preceptor, sample, tmp_path):
    (tmp_path / "s.m2").write_text(
        "\n".join(
            f"S Sentence {n} have a mistake .\nA 2 3|||R|||has|||REQUIRED|||-NONE-|||0\n" for n in range(20)
        )
    )
    assert (
        preceptor("ingest", "m2", "s.m2", "--source", "s", "--license", "MIT", cwd=tmp_path).returncode == 0
    )
    done = preceptor("recipe", "new", "edits", "--out", "r/edits.yaml", cwd=tmp_path)
    assert "(corrections)" in done.stdout, done.stderr
    assert "20 sentences with edits" in (tmp_path / "r" / "edits.yaml").read_text()
    done = preceptor("build", "r/edits.yaml", "--out", "dist", cwd=tmp_path)
    assert done.returncode == 0, done.stderr


def test_a_new_recipe_without_a_store(preceptor, tmp_path):
    done = preceptor("recipe", "new", "mine", cwd=tmp_path)
    assert (done.returncode, "no store here" in done.stderr) == (0, True)
    assert preceptor("recipe", "check", "mine.yaml", cwd=tmp_path).returncode == 0
    assert not (tmp_path / "preceptor.duckdb").exists()
    for arguments, said in (
        (("X y",), "'X y' is no name"),
        (("x", "--out", "x.txt"), "try x.yaml"),
    ):
        ended = preceptor("recipe", "new", *arguments, cwd=tmp_path)
        assert (ended.returncode, said in ended.stderr) == (2, True), ended.stderr


def accepts(schema, value):
    """Whether a value is as the schema says, for the parts of JSON Schema that ours use."""
    if "anyOf" in schema:
        return any(accepts(part, value) for part in schema["anyOf"])
    if "enum" in schema and value not in schema["enum"]:
        return False
    kinds = {
        "object": dict,
        "array": list,
        "string": str,
        "boolean": bool,
        "null": type(None),
        "integer": int,
        "number": int | float,
    }
    wanted = schema.get("type", [])
    wanted = [wanted] if isinstance(wanted, str) else wanted
    if wanted and not any(isinstance(value, kinds[one]) for one in wanted):
        return False
    if isinstance(value, dict):
        more = schema.get("additionalProperties", True)
        known = schema.get("properties", {})
        inside = [
            accepts(known[k], v) if k in known else more is True or (more is not False and accepts(more, v))
            for k, v in value.items()
        ]
        return all(inside) and set(schema.get("required", ())) <= value.keys()
    if isinstance(value, list):
        return all(accepts(schema.get("items", {}), one) for one in value)
    if isinstance(value, int | float) and not isinstance(value, bool):
        ends = (schema.get("minimum", value) <= value) and (value <= schema.get("maximum", value))
        return ends and not (value <= schema.get("exclusiveMinimum", value - 1))
    return re.search(schema.get("pattern", ""), value) is not None if isinstance(value, str) else True


@pytest.mark.parametrize("path", FILES, ids=lambda p: f"{p.parent.name}/{p.name}")
def test_the_schema_accepts_every_packaged_file_and_no_misspelt_key(path):
    content = read_settings(path, "a file", "a: b").content
    schema = make_schema(check_recipe(path).kind)
    assert accepts(schema, content)
    for key in content:
        assert not accepts(schema, {**content, f"{key}q": content[key]})


@pytest.mark.parametrize("kind", KINDS)
def test_every_key_of_a_schema_is_described(kind, preceptor, tmp_path):
    schema = make_schema(kind)

    def walk(part, at=()):
        for name, one in part.get("properties", {}).items():
            yield (*at, name), one
            for inner in (one, *one.get("anyOf", ()), one.get("items", {})):
                yield from walk(inner, (*at, name))

    described = dict(walk(schema))
    bare = [at for at, one in described.items() if not one.get("description")]
    if kind == "training":  # TRL's own keys have their own documentation
        bare = [at for at in bare if at[-1] in OURS]
    assert bare == []
    shown = preceptor("recipe", "schema", kind, cwd=tmp_path).stdout
    assert json.loads(shown) == schema


def test_schemas_are_those_of_what_checks():
    assert make_schema("dataset")["properties"].keys() == Recipe.model_fields.keys()
    assert make_schema("evaluation")["properties"].keys() == EvaluationSettings.model_fields.keys()
    with pytest.raises(RecipeError, match="no kind of file 'datset': did you mean 'dataset'"):
        make_schema("datset")


def test_the_page_of_keys_is_up_to_date():
    assert (ROOT / "docs" / "formats" / "recipes.md").read_text(encoding="utf-8") == write_page()


@given(
    st.dictionaries(
        st.sampled_from(sorted(Recipe.model_fields)), st.none() | st.booleans() | st.text(max_size=4)
    )
)
def test_what_the_schema_refuses_the_check_refuses(content):
    """The check knows more than the schema, never less."""
    with contextlib.suppress(ValueError):
        Recipe.model_validate(content)
        assert accepts(make_schema("dataset"), content)


def test_examples_of_recipes_in_help_are_recipes(tmp_path):
    """Each block of YAML in a command's help."""

    def commands(group, at=()):
        for name in group.list_commands(click.Context(group)):
            command = group.get_command(click.Context(group), name)
            yield (*at, name), command
            if isinstance(command, click.Group):
                yield from commands(command, (*at, name))

    found = 0
    for name, command in commands(cli):
        for block in (command.help or "").split("\b\n")[1:]:
            text = "\n".join(line[2:] for line in block.split("\n\n")[0].splitlines())
            if not re.match(r"(name|stage|metrics|[a-z_]+):( |$)", text):
                continue
            assert isinstance(yaml.safe_load(text), dict), name
            (tmp_path / "r.yaml").write_text(text)
            check_recipe(tmp_path / "r.yaml")
            found += 1
    assert found >= 1
    assert "name: my-outcomes" in CliRunner().invoke(cli, ["outcomes", "--help"]).output
