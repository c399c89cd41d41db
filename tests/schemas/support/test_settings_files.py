"""Files of keys and values: all faults at once, each with its line, in every kind of file alike."""

import contextlib
import random

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from places import RECIPES

from preceptor.schemas.errors import RecipeError
from preceptor.schemas.recipe import read_recipe
from preceptor.schemas.support.settings_files.kinds import FILE_KINDS, find_kind
from preceptor.schemas.support.settings_files.yaml_text import read_settings
from preceptor.toolkit.evaluation.config import read_config as read_evaluation
from preceptor.toolkit.practice.exercises.recipe import read_exercises
from preceptor.training.config import read_config as read_training

FILES = sorted(RECIPES.glob("*/*.yaml"))
READERS = {
    "dataset": read_recipe,
    "evaluation": read_evaluation,
    "exercises": read_exercises,
    "training": read_training,
}


def refused(path, read=read_recipe):
    with pytest.raises(RecipeError) as error:
        read(path)
    return str(error.value).replace(f"{path.parent}/", "")


@pytest.fixture(params=READERS)
def reader(request):
    return READERS[request.param]


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"", "r.yaml: is empty; expected keys and values, such as '"),
        (b"# only a comment\n", "r.yaml: is empty"),
        (b"- a\n- b\n", "r.yaml: is a list; expected keys and values"),
        (b"just words\n", "r.yaml: is one value; expected keys and values"),
        ("name: r\ntitle: Café\n".encode("latin-1"), "r.yaml:2: is not UTF-8 (byte 0xe9); save it as UTF-8"),
        (b"name: [\n", "r.yaml:2: not YAML"),
        (b"name: r\n\tx: 1\n", "r.yaml:2: not YAML: "),
        (
            b"name: r\ntitle: a: b\n",
            "r.yaml:2: not YAML: mapping values are not allowed here; put a text with ': '",
        ),
        (b"name: r\ntitle: \x01\n", "r.yaml:2: not YAML: the character U+0001 is not allowed"),
        (b"name: r\n---\nname: s\n", "r.yaml:2: not YAML: but found another document"),
        (b"name: r\nat: 2026-13-45\n", "r.yaml: not YAML: month must be in 1..12"),
        (b"a: " + b"[" * 20000, "r.yaml:1: nested deeper than 40 levels; write it flatter"),
        (b"a: &a\n  b: *a\n", "r.yaml:2: an alias (*) of what it stands in"),
        (b"name: r\nno: 3\n", "r.yaml:2: 'no': YAML reads this key as true or false; put it in quotes"),
        (b"name: r\n5: 3\n", "r.yaml:2: '5' is no name of a key; put it in quotes"),
        (b"name: r\nname: s\na: {b: 1, b: 2}\n", "r.yaml:2: 'name' stands twice, first in line 1; leave one"),
        (b"name: r\nname: s\na: {b: 1, b: 2}\n", "\nr.yaml:3: 'b' stands twice, first in line 3; leave one"),
    ],
)
def test_what_is_no_file_of_keys_and_values(tmp_path, reader, data, said):
    (tmp_path / "r.yaml").write_bytes(data)
    assert said in refused(tmp_path / "r.yaml", reader)


def test_a_folder_and_a_missing_file_name_what_is_there(tmp_path, reader):
    folder = tmp_path / "here"
    folder.mkdir()
    assert "here: is a folder; name a" in refused(folder, reader)
    (folder / "dataset.yaml").write_text("name: r")
    assert "here: is a folder; name one of its files: dataset.yaml" in refused(folder, reader)
    assert "No such file or directory; did you mean" in refused(folder / "datset.yaml", reader)
    assert "No such file or directory; name a" in refused(folder / "other", reader)


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_texts_with_a_mark_are_read(tmp_path, encoding):
    (tmp_path / "r.yaml").write_bytes("name: r\ntitle: Café\n".encode(encoding))
    assert read_recipe(tmp_path / "r.yaml").title == "Café"


@pytest.mark.parametrize("path", FILES, ids=lambda p: f"{p.parent.name}/{p.name}")
def test_every_key_of_a_packaged_file_has_its_line(path):
    file = read_settings(path, "a file", "a: b")
    rows = file.text.splitlines()
    for place, line in file.lines.items():
        if isinstance(place[-1], str):
            assert place[-1] in rows[line - 1]
    kind = find_kind(file.content)
    READERS[kind](path)
    for other in READERS.keys() - {kind}:
        assert f"is {FILE_KINDS[kind].title}, which {FILE_KINDS[kind].command} reads; name" in refused(
            path, READERS[other]
        )


@pytest.mark.parametrize("path", FILES, ids=lambda p: f"{p.parent.name}/{p.name}")
def test_misspelt_keys_are_all_named_with_their_lines(path, tmp_path):
    """Two long keys of every packaged file get a letter more."""
    file = read_settings(path, "a file", "a: b")
    long = [at[0] for at in file.lines if len(at) == 1 and len(at[0]) >= 5 and at[0] != "stage"]
    chosen = random.Random(path.name).sample([k for k in long if k != "variants"], 2)
    text = file.text
    for key in chosen:
        text = text.replace(f"\n{key}:", f"\n{key}q:", 1)
    (tmp_path / "r.yaml").write_text(text, encoding="utf-8")
    said = refused(tmp_path / "r.yaml", READERS[find_kind(file.content)])
    for key in chosen:
        line = file.lines[(key,)]
        assert f"r.yaml:{line}: unknown key '{key}q': did you mean '{key}'?" in said
    assert said.count("unknown key") == 2, said


keys = st.text("abcdefgh", min_size=1, max_size=4)
trees = st.recursive(
    st.integers(-(10**19), 10**19)
    | st.booleans()
    # Line ends of Unicode are folded by YAML's own writer.
    | st.text(st.characters(exclude_categories=["Cc", "Cs", "Zl", "Zp"]), max_size=5)
    | st.none(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(keys, inner, max_size=3),
    max_leaves=12,
)


@given(st.dictionaries(keys, trees, min_size=1, max_size=4), st.booleans())
def test_every_place_of_a_file_has_a_line(tmp_path_factory, content, flow):
    path = tmp_path_factory.mktemp("r") / "r.yaml"
    path.write_text(yaml.safe_dump(content, default_flow_style=flow, allow_unicode=True), encoding="utf-8")
    file = read_settings(path, "a file", "a: b")
    assert file.content == content

    def places(value, at=()):
        items = (
            value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
        )
        for name, inside in items:
            yield (*at, name)
            yield from places(inside, (*at, name))

    assert set(file.lines) == set(places(content))
    assert all(1 <= line <= len(file.text.splitlines()) for line in file.lines.values())


@given(st.binary(max_size=60))
def test_any_bytes_are_read_or_refused(tmp_path_factory, data):
    path = tmp_path_factory.mktemp("r") / "r.yaml"
    path.write_bytes(data)
    with contextlib.suppress(RecipeError):
        assert read_recipe(path).name
