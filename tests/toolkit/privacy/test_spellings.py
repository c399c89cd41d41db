"""One person is one pseudonym, however a format or a program spells the id; forgetting finds every row."""

import json
import unicodedata

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sheets import write_workbook

from preceptor.schemas.errors import SourceError
from preceptor.toolkit.ingest.run import ingest_files
from preceptor.toolkit.privacy.forget import forget
from preceptor.toolkit.privacy.pseudonyms import make_pseudonym, make_pseudonyms, read_key
from preceptor.toolkit.store.connection import query

KEY = bytes(32)


def spell(id):
    """All cells in which a table or a form may hold this id, a whole number or a text."""
    text = str(id)
    spellings = [text, f" {text} ", f"\u00a0{text}", f"{text}\t", unicodedata.normalize("NFD", text)]
    return [*spellings, id, f"{text}.0", f"{text}.00", float(id)] if isinstance(id, int) else spellings


IDS = st.one_of(st.integers(0, 2**40), st.sampled_from(["José", "ада", "u-17.0x", "a@x.org", "1.5", "007"]))


@given(IDS)
def test_spellings_have_one_pseudonym(id):
    texts = [str(s) for s in spell(id)]
    assert set(make_pseudonyms(pl.Series(texts), KEY)) == {make_pseudonym(str(id), KEY)}


@given(st.lists(IDS, unique_by=str, min_size=2, max_size=5))
def test_different_ids_keep_different_pseudonyms(ids):
    made = make_pseudonyms(pl.Series([str(id) for id in ids], dtype=pl.String), KEY)
    assert made.n_unique() == len(ids)


def test_nulls_stay():
    assert make_pseudonyms(pl.Series([None, " 17.0", None]), KEY).to_list() == [
        None,
        make_pseudonym("17", KEY),
        None,
    ]
    assert make_pseudonyms(pl.Series([None, None]), KEY).null_count() == 2


def write(path, cell):
    """A study log with one row of the learner in this cell."""
    row = {"learner": [cell], "item": ["i"], "correct": [1]}
    match path.suffix:
        case ".parquet":
            pl.DataFrame(row).write_parquet(path)
        case ".jsonl":
            path.write_text(json.dumps({name: values[0] for name, values in row.items()}))
        case ".csv":
            path.write_text(f'learner,item,correct\n"{cell}",i,1\n')
        case _:
            write_workbook(path, {"One": [list(row), [values[0] for values in row.values()]]})
    return path


@pytest.mark.parametrize("asked", ["17", " 17 ", "17.0"])
def test_forgetting_finds_every_spelling_in_every_format(store, tmp_path, asked, key_file):
    rows = 0
    for suffix in (".csv", ".jsonl", ".parquet", ".xlsx", ".ods"):
        for n, cell in enumerate(spell(17)):
            path = write(tmp_path / f"{n}{suffix}", cell)
            assert ingest_files(store, "reviews", [path], f"{n}{suffix}").rows == 1
            rows += 1
    assert query(store, "SELECT count(DISTINCT learner) FROM reviews").item() == 1
    done = forget(store, make_pseudonym(asked, read_key(key_file)))
    assert done.removed["reviews"] == rows
    for n in range(len(spell(17))):
        with pytest.raises(SourceError, match="the learner was forgotten"):
            ingest_files(store, "reviews", [tmp_path / f"{n}.csv"], "again")


TEXTS = {"id": "p1", "task": "t", "prompt": "x"}
ANSWER = {"prompt": "p1", "content": "c", "origin": "learner"}


def test_authors_are_found_as_numbers_and_texts(store, tmp_path, named):
    (tmp_path / "p.jsonl").write_text(json.dumps(TEXTS | {"completions": []}))
    ingest_files(store, "prompts", [tmp_path / "p.jsonl"], "p")
    rows = [ANSWER | {"id": f"c{n}", "author": author} for n, author in enumerate(spell(17))]
    (tmp_path / "c.jsonl").write_text("\n".join(map(json.dumps, rows)))
    ingest_files(store, "completions", [tmp_path / "c.jsonl"], "c")
    assert query(store, "SELECT DISTINCT author FROM completions")["author"].to_list() == [named("17")]
    assert forget(store, named("17")).removed["completions"] == len(rows)
