"""sources.yaml: all sources of a project; --from reads them again and again, --save adds one."""

import json

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from preceptor.schemas.errors import RecipeError
from preceptor.toolkit.recipes.project.sources_file import add_entry, make_entry, read_sources
from preceptor.toolkit.store.connection import open_store, query

PROMPT = {
    "id": "p",
    "task": "qa",
    "prompt": "?",
    "completions": [{"id": "p-a", "content": "A"}, {"id": "p-b", "content": "B"}],
}
SOURCES = """\
# my sources
sources:
  - source: texts
    format: prompts
    paths: [data/texts.jsonl]
    license: CC-BY-4.0
  - source: week-1   # a sheet
    format: votes
    paths: [data/votes.csv]
    map: {completion_a: Left, completion_b: Right, "choice:a": [left, l], "choice:b": right}
"""


@pytest.fixture
def place(tmp_path):
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "texts.jsonl").write_text(json.dumps(PROMPT) + "\n")
    (tmp_path / "data" / "votes.csv").write_text(
        "Left,Right,choice\np-a,p-b,left\np-a,p-b,L\np-a,p-b,right\n"
    )
    (tmp_path / "sources.yaml").write_text(SOURCES)
    return tmp_path


def count(place):
    with open_store(place / "preceptor.duckdb", read_only=True) as con:
        return query(con, "SELECT source, choice FROM votes ORDER BY line").rows()


def test_all_sources_come_in_and_nothing_twice(preceptor, place):
    tried = preceptor("ingest", "--from", "sources.yaml", "--dry-run", cwd=place)
    assert tried.returncode == 0, tried.stderr
    assert "week-1: 3 rows taken" in tried.stdout, "votes find the texts that the same run would store"
    assert not (place / "preceptor.duckdb").exists()
    done = preceptor("ingest", "--from", "sources.yaml", cwd=place)
    assert done.returncode == 0, done.stderr
    assert count(place) == [("week-1", "a"), ("week-1", "a"), ("week-1", "b")]
    again = preceptor("ingest", "--from", "sources.yaml", cwd=place)
    assert again.returncode == 0
    assert again.stdout.count("already holds exactly these bytes") == 2
    assert len(count(place)) == 3
    # The file may lie elsewhere: its paths are beside it.
    (place / "else").mkdir()
    moved = preceptor("--store", "s.duckdb", "ingest", "--from", "../sources.yaml", cwd=place / "else")
    assert moved.returncode == 0, moved.stderr


def test_a_changed_file_is_read_again_with_replace(preceptor, place):
    assert preceptor("ingest", "--from", "sources.yaml", cwd=place).returncode == 0
    (place / "data" / "votes.csv").write_text("Left,Right,choice\np-a,p-b,right\n")
    refused = preceptor("ingest", "--from", "sources.yaml", cwd=place)
    assert refused.returncode == 2
    assert "source 'week-1'" in refused.stderr
    assert "--replace" in refused.stderr
    done = preceptor("ingest", "--from", "sources.yaml", "--replace", cwd=place)
    assert done.returncode == 0, done.stderr
    assert "texts: already holds" in done.stdout
    assert count(place) == [("week-1", "b")]


FAULTS = {
    "key": ("    format: prompts", "    fromat: prompts", "sources.yaml:4: unknown key"),
    "near key": ("    format: prompts", "    fromat: prompts", "did you mean 'format'?"),
    "format": ("format: prompts", "format: promts", "did you mean 'prompts'?"),
    "option": ("    license: CC-BY-4.0", "    levels: 5", "'levels' is not for prompts"),
    "path": ("data/texts.jsonl", "data/text.jsonl", "sources.yaml:5: data/text.jsonl: no such file"),
    "twice": ("source: week-1 ", "source: texts ", "source 'texts' stands twice"),
    "licence": ("CC-BY-4.0", "CC BY 4", "CC BY 4"),
    "yaml": ("sources:", "sources: [", "sources.yaml:"),
    "another kind": ("sources:", "pairs: {}\nsources:", "is a dataset's recipe"),
}


@pytest.mark.parametrize("name", FAULTS)
def test_faults_are_named_with_their_line(preceptor, place, name):
    old, new, said = FAULTS[name]
    (place / "sources.yaml").write_text(SOURCES.replace(old, new))
    done = preceptor("ingest", "--from", "sources.yaml", cwd=place)
    assert done.returncode == 2
    assert said in done.stderr
    assert not (place / "preceptor.duckdb").exists()


def test_all_faults_are_named_at_once(place):
    text = SOURCES.replace("data/texts.jsonl", "a.jsonl").replace("data/votes.csv", "b.csv")
    (place / "sources.yaml").write_text(text)
    with pytest.raises(RecipeError, match=r"(?s)a\.jsonl.*b\.csv"):
        read_sources(place / "sources.yaml")


def test_each_ingest_can_add_its_own(preceptor, place):
    (place / "r.csv").write_text("completion,criterion,value\np-a,clear,4\n")
    assert preceptor("ingest", "--from", "sources.yaml", cwd=place).returncode == 0
    ratings = ("ingest", "ratings", "r.csv", "--source", "r", "--levels", "5", "--save", "sources.yaml")
    done = preceptor(*ratings, cwd=place)
    assert done.returncode == 0, done.stderr
    text = (place / "sources.yaml").read_text()
    assert text.startswith(SOURCES), "the rest of the file stays as it was"
    assert read_sources(place / "sources.yaml")[-1].levels == 5
    assert preceptor(*ratings, cwd=place).returncode == 0
    assert (place / "sources.yaml").read_text() == text, "the same is added once"
    other = preceptor(*ratings[:-3], "7", *ratings[-2:], cwd=place)
    assert other.returncode == 2
    assert "has source 'r' already, read otherwise" in other.stderr
    assert preceptor("ingest", "--from", "sources.yaml", cwd=place).returncode == 0


def test_a_new_file_of_sources_is_for_its_owner_alone(preceptor, place):
    made = ("ingest", "data/texts.jsonl", "--yes", "--save", "new.yaml")
    assert preceptor(*made, cwd=place).returncode == 0
    assert (place / "new.yaml").stat().st_mode & 0o077 == 0
    assert yaml.safe_load((place / "new.yaml").read_text())["sources"][0]["format"] == "prompts"


def test_options_beside_from_are_refused(preceptor, place):
    done = preceptor("ingest", "--from", "sources.yaml", "--levels", "5", cwd=place)
    assert done.returncode == 2
    assert "--levels beside --from" in done.stderr
    assert preceptor("ingest", cwd=place).returncode == 2


@given(
    st.lists(
        st.builds(
            lambda source, word, value: (source, word, value),
            st.text(min_size=1, max_size=8).filter(str.strip),
            st.text(min_size=1, max_size=8),
            st.text(min_size=1, max_size=8),
        ),
        min_size=1,
        max_size=3,
        unique_by=lambda one: one[0],
    )
)
def test_what_is_added_is_read_back(tmp_path_factory, entries):
    folder = tmp_path_factory.mktemp("any")
    (folder / "votes.csv").touch()
    made = [
        make_entry(
            "x", source=s, format="votes", paths=[str(folder / "votes.csv")], map={"choice:a": w}, about=v
        )
        for s, w, v in entries
    ]
    for entry in made:
        assert add_entry(folder / "sources.yaml", entry)
        assert not add_entry(folder / "sources.yaml", entry)
    assert read_sources(folder / "sources.yaml") == made
