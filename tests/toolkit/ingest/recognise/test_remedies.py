"""All faults of a file at once, counted by kind, each with what mends it; and what mends it does."""

import json

import pytest

from preceptor.schemas.errors import SourceError
from preceptor.toolkit.ingest.run import ingest_files
from preceptor.toolkit.store.connection import query

PROMPT = {
    "id": "p",
    "task": "qa",
    "prompt": "?",
    "completions": [{"id": "a", "content": "A"}, {"id": "b", "content": "B"}],
}


@pytest.fixture
def texts(store, tmp_path):
    (tmp_path / "p.jsonl").write_text(json.dumps(PROMPT) + "\n")
    ingest_files(store, "prompts", [tmp_path / "p.jsonl"], "texts")
    return store


def refuse(store, path, format, **options):
    with pytest.raises(SourceError) as refused:
        ingest_files(store, format, [path], "s", **options)
    return str(refused.value)


def test_all_kinds_of_faults_are_named_with_what_mends_them(texts, tmp_path):
    path = tmp_path / "v.csv"
    path.write_text(
        "completion_a,completion_b,choice,at\na,b,perhaps,\na,b,perhaps,\na,b,a,01.05.2026\nx,b,a,\na,b,a\n",
    )
    said = refuse(texts, path, "votes")
    table = said.partition("what mends them:")[2]
    for part in (
        "2  perhaps                       a word for a, b or tie: the flag that says which is above",
        "1  01.05.2026                    --date-format, such as %d.%m.%Y",
        "1  x                             ingest the texts first, or --about SOURCE",
        "1  v.csv:6                       the file: put texts with separators in quotes",
    ):
        assert part in table
    assert query(texts, "SELECT count(*) AS n FROM votes").item() == 0
    path.write_text(path.read_text().replace("x,b,a,\na,b,a\n", ""))
    report = ingest_files(
        texts, "votes", [path], "s", values={"choice": {"perhaps": "tie"}}, date_format="%d.%m.%Y"
    )
    assert (report.rows, report.rejects) == (3, 0)


def test_strict_and_lopsided_files_have_the_table_too(texts, tmp_path):
    path = tmp_path / "v.csv"
    path.write_text("completion_a,completion_b,choice\n" + "a,b,a\n" * 10 + "a,b,draw\n" * 6)
    for options in ({}, {"strict": True, "allow_rejects": True}):
        assert "6  draw                          a word for a, b or tie" in refuse(
            texts, path, "votes", **options
        )


def test_all_columns_that_are_missing_are_named(texts, tmp_path):
    path = tmp_path / "v.csv"
    path.write_text("completion_aa;who\na;b\n")
    said = refuse(texts, path, "votes")
    assert "3 columns are missing; the file has completion_aa, who" in said
    assert "use --map completion_a=completion_aa" in said
    assert "use --map choice=COLUMN" in said


def test_all_ids_of_two_texts_are_counted(store, tmp_path):
    (tmp_path / "two").mkdir()
    for n in range(2):
        (tmp_path / "two" / f"{n}.jsonl").write_text(json.dumps(PROMPT | {"id": f"p{n}"}) + "\n")
    said = refuse(store, tmp_path / "two", "prompts")
    assert "both have a completion 'a'; so have 1 other ids, such as 'b'" in said
