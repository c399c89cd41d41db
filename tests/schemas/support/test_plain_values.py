"""YAML and JSON of strangers: plain values, or a fault that names the file; never a traceback, never long."""

import json
import time

import pytest
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st

from preceptor.annotation.audit.files import read_judgements
from preceptor.annotation.forms.files import read_object
from preceptor.annotation.forms.label_studio import read_label_studio
from preceptor.annotation.models.judge.answers import make_checker
from preceptor.annotation.models.judge.requests import read_examples
from preceptor.annotation.models.prices import find_price
from preceptor.annotation.rubrics.rubric import read_rubric
from preceptor.schemas.errors import PreceptorError, RecipeError
from preceptor.schemas.manifest import parse_manifest
from preceptor.schemas.recipe import read_recipe
from preceptor.schemas.support.adapter_folders import read_known_base
from preceptor.schemas.support.json_text.values import parse_json
from preceptor.schemas.support.settings_files import parse_assignment
from preceptor.schemas.support.settings_files.yaml_values import parse_yaml
from preceptor.toolkit.cli.main import cli
from preceptor.toolkit.evaluation.config import read_config as read_evaluation
from preceptor.toolkit.hub.model_folder import list_files
from preceptor.training.config import read_config as read_training
from preceptor.training.launch import _read_config

LAUGHS = "a0: &a0 [x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]\n" for n in range(1, 9)
)
MERGES = "a0: &a0 {k: 1}\n" + "".join(
    f"a{n}: &a{n}\n  <<: [{', '.join([f'*a{n - 1}'] * 9)}]\n" for n in range(1, 9)
)
YAMLS = {
    "laughs": LAUGHS,
    "merges": MERGES,
    "itself": "a: &a [*a]\n",
    "itself, as a key": "a: &a {? *a : 1}\n",
    "deep": "a: " + "[" * 5000 + "]" * 5000,
    "deep mappings": "".join(f"{' ' * n}a:\n" for n in range(500)),
    "code": "a: !!python/object/apply:os.system [true]\n",
    "a set": "a: !!set {b, c}\n",
    "binary": "a: !!binary aGVsbG8=\n",
    "own tag": "a: !mine b\n",
    "infinite": "a: .inf\n",
    "huge": "a: 1.0e+999\n",
    "none": "a: .nan\n",
    "many digits": f"a: {'9' * 5000}\n",
    "more digits": f"a: {'9' * 500}\n",
    "half a character": 'a: "\\ud800"\n',
    "a list as key": "? [a, b]\n: 1\n",
    "a date": "a: 2026-99-99\n",
    "equals": "a: =\n",
    "merge of text": "<<: text\n",
    "long": "a: " + "x" * 1_000_000,
    "a list": "- a\n",
    "undefined": "a: *b\n",
    "zero": "a: \0\n",
}


def fault_of(read):
    """The words of what is refused; "" if it is read."""
    try:
        read()
    except ValueError as error:  # as PreceptorError of files is
        return str(error)
    return ""


def read_prices(path):
    return find_price("m", path)


YAML_READERS = {
    "dataset": read_recipe,
    "evaluation": read_evaluation,
    "training": read_training,
    "rubric": read_rubric,
    "prices": read_prices,
    "launch": _read_config,
}


@pytest.mark.parametrize("reader", YAML_READERS)
@pytest.mark.parametrize("name", YAMLS)
def test_yaml_of_strangers_is_refused_with_its_file(tmp_path, reader, name):
    path = tmp_path / "f.yaml"
    path.write_text(YAMLS[name])
    start = time.monotonic()
    said = fault_of(lambda: YAML_READERS[reader](path))
    assert "f.yaml" in said if said else reader == "launch"  # any keys are accelerate's
    assert len(said) < 2000
    assert time.monotonic() - start < 20


@pytest.mark.parametrize(
    "name", ["itself", "deep", "code", "infinite", "huge", "many digits", "a date", "equals"]
)
def test_yaml_of_strangers_on_the_command_line(name):
    with pytest.raises(RecipeError, match="--set x="):
        parse_assignment(f"x={YAMLS[name].removeprefix('a: ')}", "x=1")


@pytest.mark.parametrize(
    "name", ["laughs", "merges", "itself", "deep", "code", "infinite", "half a character"]
)
def test_a_yaml_bomb_is_no_value(name):
    with pytest.raises(RecipeError, match=r"^f\.yaml"):
        parse_yaml(YAMLS[name], "f.yaml")


@given(st.text(st.sampled_from(list("ab:-[]{}&*!|>'\"\n ?,#<=%@~.0"))))
def test_any_text_is_yaml_or_a_fault(text):
    if said := fault_of(lambda: parse_yaml(text, "f.yaml")):
        assert said.startswith("f.yaml")
    else:
        str(parse_yaml(text, "f.yaml")[1]).encode()


JSONS = {
    "deep": "[" * 100_000,
    "deep and closed": "[" * 3000 + "]" * 3000,
    "deep objects": '{"a":' * 900 + "1" + "}" * 900,
    "infinite": '{"question": 1e999, "prompt": 1e999}',
    "no number": '{"question": NaN}',
    "many digits": '{"question": ' + "9" * 5000 + "}",
    "half a character": '{"question": "\\ud800", "prompt": "\\udfff"}',
    "half a key": '{"\\ud800": 1}',
    "not UTF-8": '"\udcff"',
    "a mark": "\ufeff{}",
}


@pytest.mark.parametrize("name", [name for name in JSONS if name != "a mark"])
def test_json_that_other_programs_cannot_hold_is_refused(name):
    with pytest.raises(ValueError, match=r".") as error:
        parse_json(JSONS[name])
    assert len(str(error.value)) < 300


def test_strict_json_is_what_it_was():
    text = '{"a": [1, -2.5e3, true, null, "\\ud83d\\ude00"], "b": {}}'
    assert parse_json(text) == json.loads(text)
    assert parse_json(text.encode()) == json.loads(text)
    assert parse_json("[NaN, 1e999]", finite=False)[1] == float("inf")


@given(
    st.recursive(st.none() | st.booleans() | st.integers(-(2**63), 2**63) | st.text() | st.floats(), st.lists)
)
def test_what_json_writes_is_read_back_or_refused(value):
    text = json.dumps(value)
    said = fault_of(lambda: parse_json(text))
    if said:
        assert "number" in said
    else:
        assert parse_json(text) == value


@pytest.mark.parametrize("name", JSONS)
def test_json_of_strangers_has_no_traceback(tmp_path, name):
    rubric, text = read_rubric("pairwise-preference"), JSONS[name]
    path = tmp_path / "f.jsonl"
    path.write_text(text + "\n", encoding="utf-8", errors="surrogateescape")
    assert read_object(1, text, rubric).fault
    for read in (
        lambda: read_label_studio(text, path, ["preference"]),
        lambda: read_judgements(path),
        lambda: read_examples(path, rubric),
    ):
        with pytest.raises(PreceptorError, match=r"f\.jsonl"):
            read()
    with pytest.raises(ValueError, match=r"."):
        make_checker(rubric)(text)
    assert parse_manifest(path.read_bytes()) is None
    assert list_files(path.read_bytes()) == {}
    (tmp_path / "preceptor.json").write_bytes(path.read_bytes())
    assert read_known_base(tmp_path) == {}


ODD = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.sampled_from(["preference", "choices", "x", "0001-01-01T00:00+23:00"]),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                [
                    "data",
                    "question",
                    "annotations",
                    "result",
                    "value",
                    "choices",
                    "from_name",
                    "type",
                    "drafts",
                    "completed_by",
                    "updated_at",
                    "was_cancelled",
                    "email",
                    "text",
                ]
            ),
            inner,
            max_size=4,
        )
    ),
    max_leaves=12,
)


@given(
    st.lists(st.dictionaries(st.sampled_from(["annotations", "data", "drafts"]), ODD), min_size=1, max_size=3)
)
def test_any_shape_of_label_studio_is_rows_or_a_fault(tmp_path_factory, entries):
    path = tmp_path_factory.getbasetemp() / "f.json"
    said = fault_of(lambda: read_label_studio(json.dumps(entries), path, ["preference"]))
    assert not said or "f.json" in said


def test_a_rubric_that_never_ends_is_refused_by_the_command(tmp_path):
    (tmp_path / "r.yaml").write_text(LAUGHS)
    run = CliRunner().invoke(cli, ["rubric", "check", str(tmp_path / "r.yaml")])
    assert isinstance(run.exception, PreceptorError)


def test_the_numbers_that_transformers_writes_are_read():
    """model_max_length of a tokenizer without a longest text."""
    assert parse_json('{"model_max_length": 1000000000000000019884624838656}') == {
        "model_max_length": int(1e30)
    }
