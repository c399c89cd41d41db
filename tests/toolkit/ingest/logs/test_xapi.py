"""xAPI statements: who answered what, when, and whether rightly; everything else is counted."""

import json
from datetime import UTC, datetime

import pytest

from preceptor.schemas.errors import SourceError
from preceptor.toolkit.ingest.run import ingest_files
from preceptor.toolkit.store.connection import query

VERBS = "http://adlnet.gov/expapi/verbs/"


def say(n=1, verb="answered", result=None, **more):
    made = {
        "id": f"s{n}",
        "actor": {"mbox": "mailto:ada@example.org"},
        "verb": {"id": VERBS + verb},
        "object": {"id": f"https://lms.example.org/q/{n}"},
        "result": {"success": True} if result is None else result,
        "timestamp": "2026-03-01T10:00:00Z",
    }
    return made | more


def ingest(store, path):
    return ingest_files(store, "xapi", [path], "s")


def write(path, statements, form="list"):
    match form:
        case "list":
            text = json.dumps(statements, indent=1)
        case "answer":
            text = json.dumps({"statements": statements, "more": ""})
        case "pretty":
            text = json.dumps({"more": "", "statements": statements}, indent=2)
        case _:
            text = "\n".join(map(json.dumps, statements))
    path.write_text(text)
    return path


@pytest.mark.parametrize("name", ["statements.json", "st.jsonl"])
def test_statements_of_strangers(store, shared_cases, named, name):
    report = ingest(store, shared_cases / "52-xapi" / name)
    assert (report.rows, report.rejects, report.notes) == (2, 0, [])
    assert query(
        store, 'SELECT learner, item, "at", kind, correct, duration_ms FROM reviews ORDER BY line'
    ).rows() == [
        (
            named("a@example.org"),
            "https://lms.example.org/q/1",
            datetime(2026, 3, 1, h, tzinfo=UTC),
            "answered",
            right,
            12500,
        )
        for h, right in ((10, True), (11, False))
    ]


@pytest.mark.parametrize("form", ["list", "answer", "pretty", "lines"])
def test_every_form_has_the_same_rows(store, tmp_path, form):
    statements = [
        say(1),
        say(2, "viewed", {}),
        say(3, result={"success": False, "duration": "P1DT1H1M1.5S"}),
        say(4, "voided", {}, object={"objectType": "StatementRef", "id": "s1"}),
        say(5, "viewed", {"success": None}),
        say(6, result={"success": "yes"}),
    ]
    report = ingest(store, write(tmp_path / "x.json", statements, form))
    assert (report.rows, report.rejects) == (1, 1)
    assert report.notes == [
        "x.json: 2 statements without result.success left out (viewed 2)",
        "x.json: 2 statements voided, or voiding others, left out",
    ]
    assert query(store, "SELECT line, correct, duration_ms FROM reviews").rows() == [(3, False, 90_061_500)]
    assert query(store, "SELECT line, reason FROM rejects").rows() == [
        (6, "result.success is neither true nor false")
    ]


ACTORS = [
    ({"mbox": "mailto:ada@example.org"}, "ada@example.org"),
    ({"account": {"homePage": "https://lms.org", "name": 17}}, "17@https://lms.org"),
    ({"mbox_sha1sum": "ab12"}, "ab12"),
    ({"openid": "https://ada.example.org"}, "https://ada.example.org"),
]


@pytest.mark.parametrize(("actor", "id"), ACTORS)
def test_learners_are_pseudonyms(store, tmp_path, named, actor, id):
    ingest(store, write(tmp_path / "x.json", [say(actor=actor), say(2, actor=actor, object={})]))
    assert query(store, "SELECT learner FROM reviews")["learner"].to_list() == [named(id)]
    ((raw,),) = query(store, "SELECT raw FROM rejects").rows()
    assert named(id) in raw
    assert id not in raw


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"actor": {}}, "actor has no mbox, account, mbox_sha1sum or openid"),
        (
            {"actor": {"objectType": "Group", "mbox": "mailto:g@x.org"}},
            "the actor is a group, not one learner",
        ),
        ({"object": {}}, "object has no id"),
        ({"verb": {}}, "no xAPI statement: verb has no id"),
        ({"timestamp": "soon"}, "at is 'soon', expected an ISO 8601 time"),
        ({"result": {"success": True, "duration": "P"}}, "duration is 'P', expected days to seconds"),
        ({"result": {"success": True, "duration": "P1Y"}}, "duration is 'P1Y', expected days to seconds"),
    ],
)
def test_what_is_no_answer_is_rejected(store, tmp_path, change, reason):
    report = ingest(store, write(tmp_path / "x.jsonl", [say(), say(2) | change], "lines"))
    assert (report.rows, report.rejects) == (1, 1)
    ((line, said),) = query(store, "SELECT line, reason FROM rejects").rows()
    assert line == 2
    assert said.startswith(reason)


def test_a_file_without_any_answer_says_so(store, tmp_path):
    with pytest.raises(SourceError, match=r"none of its statements has result.success .viewed 2."):
        ingest(store, write(tmp_path / "x.json", [say(1, "viewed", {}), say(2, "viewed", {})]))
    with pytest.raises(SourceError, match="holds no rows"):
        ingest(store, write(tmp_path / "x.json", []))
    (tmp_path / "x.json").write_text('{"a": 1}')
    with pytest.raises(SourceError, match="holds no rows"):
        ingest(store, tmp_path / "x.json")


@pytest.mark.parametrize("format", ["reviews", "chat", "prompts", "votes"])
@pytest.mark.parametrize("name", ["statements.json", "st.jsonl"])
def test_other_readers_name_the_way(store, tmp_path, shared_cases, format, name):
    texts = tmp_path / "texts.jsonl"
    texts.write_text('{"id":"p","task":"t","prompt":"x","completions":[{"id":"a","content":"x"}]}')
    ingest_files(store, "prompts", [texts], "texts")
    with pytest.raises(SourceError, match=r"holds xAPI statements; read them with: preceptor ingest xapi"):
        ingest_files(store, format, [shared_cases / "52-xapi" / name], "s")


@pytest.mark.parametrize("format", ["votes", "ratings", "chat"])
@pytest.mark.parametrize("name", ["a2.json", "a2.csv"])
def test_records_of_argilla_are_known(store, tmp_path, shared_cases, format, name):
    texts = tmp_path / "texts.jsonl"
    texts.write_text('{"id":"p","task":"t","prompt":"x","completions":[{"id":"a","content":"x"}]}')
    ingest_files(store, "prompts", [texts], "texts")
    with pytest.raises(SourceError, match=r"records exported from Argilla.*preceptor annotate pull"):
        ingest_files(store, format, [shared_cases / "63-argilla" / name], "s")
