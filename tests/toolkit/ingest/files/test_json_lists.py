"""Files that are no JSON of the kind a format reads: each is named as what it is, with a remedy that helps."""

import gzip
import json
import subprocess

import pytest

from preceptor.schemas.errors import SourceError
from preceptor.toolkit.ingest.files.json_lists import read_elements
from preceptor.toolkit.ingest.files.numbered_lines import Input
from preceptor.toolkit.ingest.formats import FORMATS
from preceptor.toolkit.ingest.run import ingest_files

LISTS = sorted(name for name, format in FORMATS.items() if format.lists)
LINES = ["bea-json", "completions", "gsm8k", "mathdial", "prompts", "reviews", "smart"]
OTHER = {
    "empty": (b"", "is empty"),
    "blank": (b" \n\n", "is empty|holds no rows"),
    "packed": (gzip.compress(b""), "is empty|holds no rows"),
    "binary": (bytes(range(1, 256)) * 20, "is no text; is it the right file"),
    "latin": (b'{"learner": "caf\xe9", "item": "i", "correct": 1}\n', "UTF-8.*--encoding latin-1"),
}
# What the readers of whole files say of other JSON.
OTHER_JSON = {
    "cut": (b'[{"a": 1},\n {"a": "x', "ends in the middle of line 2, so it was cut off"),
    "cut between": (b'[{"a": 1},', "ends in the middle of line 1"),
    "lines": (b'{"a": 1}\n{"a": 2}\n', "is JSON Lines .jq -s"),
    "broken": (b'[{"a": 1},\n {a: 2}]', "is no JSON from line 2 on"),
}


def ingest(store, name, path):
    if name == "completions":
        texts = path.with_name("texts.jsonl")
        texts.write_text('{"id":"p1","task":"t","prompt":"x","completions":[]}\n')
        ingest_files(store, "prompts", [texts], "texts")
        return ingest_files(store, name, [path], "s", about="texts")
    return ingest_files(store, name, [path], "s")


@pytest.mark.parametrize("name", [*LISTS, *LINES])
@pytest.mark.parametrize("what", OTHER)
def test_what_is_no_json_is_named(store, tmp_path, name, what):
    content, said = OTHER[what]
    path = tmp_path / ("f.json" if name in LISTS else "f.jsonl")
    path.write_bytes(content)
    with pytest.raises(SourceError, match=rf"(?s)f\.json.*({said})"):
        ingest(store, name, path)


@pytest.mark.parametrize("name", sorted({*LISTS, "spock"} - {"spock", "chat"}))
@pytest.mark.parametrize("what", OTHER_JSON)
def test_other_json_is_named_by_readers_of_whole_files(store, tmp_path, name, what):
    content, said = OTHER_JSON[what]
    (tmp_path / "f.json").write_bytes(content)
    with pytest.raises(SourceError, match=said):
        ingest_files(store, name, [tmp_path / "f.json"], "s")


@pytest.mark.parametrize("name", LISTS)
def test_a_list_is_not_advised_to_become_lines_where_lists_are_read(store, tmp_path, name):
    (tmp_path / "f.json").write_text("[1]")
    with pytest.raises(SourceError) as refused:
        ingest_files(store, name, [tmp_path / "f.json"], "s")
    assert "JSON Lines" not in str(refused.value)


@pytest.mark.parametrize("name", LINES)
@pytest.mark.parametrize(
    ("text", "said"), [("[{}]", "is one JSON list"), ('{\n "a": 1\n}\n', "is JSON over several lines")]
)
def test_lists_and_pretty_json_are_named_by_readers_of_lines(store, tmp_path, name, text, said):
    (tmp_path / "f.jsonl").write_text(text)
    with pytest.raises(SourceError, match=f"{said}, not JSON Lines; write one object a line .jq -c"):
        ingest(store, name, tmp_path / "f.jsonl")


@pytest.mark.parametrize(
    ("text", "command", "read"),
    [
        ('{"a": 1}\n{"a": 2}\n', ["jq", "-s", "."], lambda t: [row["a"] for row in json.loads(t)]),
        (
            '[{"a": 1}, {"a": 2}]',
            ["jq", "-c", ".[]"],
            lambda t: [json.loads(line)["a"] for line in t.splitlines()],
        ),
    ],
)
def test_the_commands_that_are_advised_do_it(text, command, read):
    try:
        done = subprocess.run(command, input=text, capture_output=True, text=True, check=True)
    except FileNotFoundError:
        pytest.skip("no jq here")
    assert read(done.stdout) == [1, 2]


def test_elements_are_numbered(tmp_path):
    (tmp_path / "f.json").write_text('[{"a": 1},\n 7, "x"]')
    elements = read_elements(Input(tmp_path / "f.json", "f"), "things")
    assert elements.select("line", "raw").rows() == [(1, '{"a":1}'), (2, "7"), (3, '"x"')]
