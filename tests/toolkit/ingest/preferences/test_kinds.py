"""Votes and ratings of models: marked by a column or an option, and never a person at once."""

import json

import pytest

from preceptor.schemas.errors import SourceError
from preceptor.toolkit.ingest.run import ingest_files
from preceptor.toolkit.store.connection import open_store, query

VOTES = "completion_a,completion_b,choice,annotator,kind\n"


@pytest.fixture
def con(tmp_path):
    rows = [
        {
            "id": "p1",
            "task": "qa",
            "prompt": "7 x 8?",
            "completions": [{"id": "a", "content": "56."}, {"id": "b", "content": "Try."}],
        }
    ]
    file = tmp_path / "prompts.jsonl"
    file.write_text("".join(json.dumps(row) + "\n" for row in rows))
    with open_store(tmp_path / "s.duckdb", create=True) as con:
        ingest_files(con, "prompts", [file], "texts")
        yield con


def ingest(con, tmp_path, name, text, format="votes", **options):
    file = tmp_path / f"{name}.csv"
    file.write_text(text)
    return ingest_files(con, format, [file], name, **options)


def kinds(con):
    return query(con, "SELECT pseudonym, kind FROM annotators ORDER BY kind, pseudonym").rows()


def test_a_column_marks_models_whose_names_are_kept(con, tmp_path):
    ingest(con, tmp_path, "v", f"{VOTES}a,b,a,gpt-x,Model\na,b,b,ana,student\na,b,b,ben,\n")
    (crowd, one), (model, two), (student, three) = kinds(con)
    assert (one, model, two, three) == ("crowd", "gpt-x", "model", "student")
    assert not {"ana", "ben"} & {student, crowd}


def test_by_model_marks_all_rows_and_names_the_unnamed_like_the_source(con, tmp_path):
    header = "completion,criterion,value,levels,annotator\n"
    ingest(con, tmp_path, "r", f"{header}a,helpful,4,5,\nb,helpful,2,5,gpt-x\n", "ratings", by_model=True)
    assert kinds(con) == [("gpt-x", "model"), ("r", "model")]
    assert query(con, "SELECT count(annotator) FROM ratings").item() == 2


def test_rankings_of_a_model_are_marked_too(con, tmp_path):
    text = "segmentId,judgeId,system1Id,system2Id,system1rank,system2rank\n1,gpt-x,A,B,1,2\n2,gpt-x,A,B,2,1\n"
    ingest(con, tmp_path, "k", text, by_model=True)
    assert kinds(con) == [("gpt-x", "model")]


def test_an_unknown_kind_is_rejected_with_what_is_expected(con, tmp_path):
    report = ingest(con, tmp_path, "v", f"{VOTES}a,b,a,gpt-x,robot\na,b,b,ana,\n")
    assert (report.rows, report.rejects) == (1, 1)
    (reason,) = query(con, "SELECT reason FROM rejects")["reason"]
    assert reason == "kind is 'robot', expected student, expert, crowd or model"


def test_a_person_in_a_file_of_models_is_rejected(con, tmp_path):
    report = ingest(con, tmp_path, "v", f"{VOTES}a,b,a,gpt-x,\na,b,b,ana,expert\n", by_model=True)
    assert (report.rows, report.rejects) == (1, 1)


@pytest.mark.parametrize("in_one_file", [True, False])
def test_a_name_of_a_person_and_of_a_model_is_refused_and_nothing_stored(con, tmp_path, in_one_file):
    rows = ["a,b,a,gpt-x,model\n", "a,b,b,gpt-x,\n"]
    if not in_one_file:
        ingest(con, tmp_path, "first", VOTES + rows.pop())
    before = query(con, "SELECT count(*) FROM votes").item()
    with pytest.raises(SourceError, match="'gpt-x' is marked as a model and as a person"):
        ingest(con, tmp_path, "v", VOTES + "".join(rows))
    assert query(con, "SELECT count(*) FROM votes").item() == before


def test_a_source_is_marked_anew_by_replacing_it(con, tmp_path):
    ingest(con, tmp_path, "v", f"{VOTES}a,b,a,gpt-x,\n")
    ingest(con, tmp_path, "v", f"{VOTES}a,b,a,gpt-x,\n", by_model=True, replacing=True)
    assert query(con, "SELECT kind FROM votes JOIN annotators a ON a.key = annotator").rows() == [("model",)]


def test_a_kind_said_later_is_learnt_and_one_that_contradicts_is_refused(con, tmp_path):
    ingest(con, tmp_path, "one", f"{VOTES}a,b,a,ana,\n")
    ingest(con, tmp_path, "two", f"{VOTES}a,b,a,ana,expert\n")
    assert [kind for _, kind in kinds(con)] == ["expert"]
    with pytest.raises(SourceError, match="expert and student"):
        ingest(con, tmp_path, "three", f"{VOTES}a,b,a,ana,student\n")
