"""Layouts of parallel texts: known ones are read, what holds no sentences is refused with what to do."""

import pytest

from preceptor.schemas.errors import SourceError
from preceptor.schemas.licenses import read_license
from preceptor.toolkit.ingest.batch import Context
from preceptor.toolkit.ingest.formats import FORMATS
from preceptor.toolkit.ingest.run import Origin, find_inputs, ingest
from preceptor.toolkit.store.connection import query


def load(con, *paths, language="en"):
    files = find_inputs(FORMATS["parallel"], paths)
    return ingest(con, FORMATS["parallel"], files, Context("s", language), Origin(read_license(None)))


def test_mucgec_is_read(store, shared_cases):
    assert load(store, shared_cases / "03-mucgec-para" / "dev.para", language="zh").rejects == 0
    found = query(store, "SELECT document, original FROM sentences ORDER BY position").rows()
    assert found == [("1", "我昨天去学学校。"), ("2", "他很好。"), ("3", "他是好人们。")]
    noops = query(
        store, "SELECT s.document FROM edits e JOIN sentences s ON s.key = e.sentence WHERE start < 0"
    )
    assert noops["document"].to_list() == ["2"]


def test_lang8_is_read(store, shared_cases):
    load(store, shared_cases / "04-lang8-entries" / "entries.train")
    found = query(store, "SELECT document, text FROM sentences ORDER BY position").rows()
    assert ("101", "I has a cat .") in found
    assert ("102", "She go to home .") in found
    assert set(query(store, "SELECT correction FROM edits WHERE start >= 0")["correction"]) <= {
        "have",
        "had",
        "goes",
        "",
    }


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("clang8.tsv", r"clang8.tsv:1: the first column holds numbers .*cut -f2,3"),
        ("head.tsv", r"head.tsv:1: 'source target' is a header, .*tail -n \+2"),
        ("c.csv", r"c.csv:1: 'input target' is a header"),
    ],
)
def test_what_holds_no_sentences_is_refused(store, shared_cases, name, message):
    with pytest.raises(SourceError, match=message):
        load(store, shared_cases / "50-parallel" / name)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("http://a.b/1\tHe goes .\nhttp://a.b/2\tShe goes .\n", "column 1 holds addresses"),
        ("He go home .\tНове слово!\nShe go .\tІнше слово!\n", "share nothing with their sources"),
        ("7\tHe go .\tHe goes .\n9\tShe go .\tShe goes .\n", "first column holds numbers"),
    ],
)
def test_other_columns_are_refused(store, tmp_path, content, message):
    (tmp_path / "a.tsv").write_text(content)
    with pytest.raises(SourceError, match=message):
        load(store, tmp_path / "a.tsv")


def test_tables_beside_each_other_are_refused(store, tmp_path):
    for name in ("a.src", "a.ref0"):
        (tmp_path / name).write_text("1\tHe goes .\n2\tShe goes .\n")
    with pytest.raises(SourceError, match=r"a\.src:1: each line holds tabs"):
        load(store, tmp_path)
