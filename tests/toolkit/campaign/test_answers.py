"""Answers: taken once, changed with a history, withdrawn, rejected with a reason, forgotten."""

import json
from datetime import UTC, datetime, timedelta

import polars as pl
import pytest
from invented import RATING, Rubric, fill

from preceptor.schemas.errors import AnnotationError
from preceptor.toolkit.campaign.answers import Seen, take_answers
from preceptor.toolkit.campaign.questions import Golden, choose_questions, mark_asked
from preceptor.toolkit.dataset.why import why
from preceptor.toolkit.fusion.inputs.signals import read_signals
from preceptor.toolkit.fusion.observations import encode
from preceptor.toolkit.privacy.forget import forget
from preceptor.toolkit.store.connection import open_store, query
from preceptor.toolkit.store.status import status

START = datetime(2026, 11, 1, 12, tzinfo=UTC)
TABLES = ("answers", "votes", "ratings", "annotators", "rejects", "sources")


@pytest.fixture
def con(store, tmp_path):
    """A campaign of twelve questions about pairs."""
    fill(store, tmp_path, prompts=6, completions=3)
    choose_questions(store, "week-1", Rubric(), 12, "coverage", 1, Golden(0, 0))
    return store


def asked(con, campaign="week-1"):
    return query(con, "SELECT * FROM questions WHERE source = ? ORDER BY position", [campaign])


def given(*rows):
    """question, annotator, given (a dict or text), minutes after START[, comment]"""
    full = [
        (q, who, g if isinstance(g, str) else json.dumps(g), START + timedelta(minutes=m), *(more or [None]))
        for q, who, g, m, *more in rows
    ]
    return pl.DataFrame(
        full,
        schema=["question", "annotator", "given", "at", "comment"],
        orient="row",
        schema_overrides={"comment": pl.String},
    )


def all_votes(con, choices=("a", "b", "tie"), who=("anna", "ben", "cleo")):
    keys = asked(con)["key"]
    return given(
        *(
            (q, person, {"preference": choices[(i + j) % len(choices)]}, i)
            for i, q in enumerate(keys)
            for j, person in enumerate(who)
        )
    )


def everything(con):
    return {name: query(con, f"SELECT * FROM {name} ORDER BY ALL").rows() for name in TABLES}


def counts(taken):
    return taken.new, taken.unchanged, taken.superseded, taken.withdrawn, taken.rejected


def test_answers_become_votes_of_pseudonyms_with_place_and_order(con, named):
    taken = take_answers(con, "week-1", all_votes(con), kind="student")
    assert counts(taken) == (36, 0, 0, 0, 0)
    anna = named("anna")
    questions = asked(con)
    votes = query(
        con,
        "SELECT v.* FROM votes v JOIN annotators p ON p.key = v.annotator WHERE pseudonym = ? ORDER BY line",
        [anna],
    )
    assert votes["line"].to_list() == list(range(1, 13))
    assert set(votes["path"]) == {f"week-1/{anna}"}
    for column in ("completion_a", "completion_b", "shown_first"):
        assert votes[column].to_list() == questions[column].to_list()
    assert votes["choice"].to_list() == ["a", "b", "tie"] * 4
    assert votes["at"].to_list() == [START + timedelta(minutes=i) for i in range(12)]
    people = query(con, "SELECT within, kind, pseudonym FROM annotators ORDER BY 3").rows()
    assert people == [(None, "student", p) for p in sorted(named("anna", "ben", "cleo"))]
    assert "anna" not in json.dumps([*map(str, everything(con).values())])
    assert taken.by_annotator.rows() == sorted((p, 12, 0, 0, 12) for p in named("anna", "ben", "cleo"))


def test_who_answered_about_two_sources_is_one_annotator(con):
    con.execute(
        "UPDATE completions SET source = 'other' WHERE key IN (SELECT completion_a FROM questions WHERE position < 4)"
    )
    assert query(con, "SELECT count(DISTINCT source) FROM completions").item() == 2
    take_answers(con, "week-1", all_votes(con), kind="expert")
    assert query(con, "SELECT count(*), count(DISTINCT pseudonym) FROM annotators").rows() == [(3, 3)]
    assert read_signals(con, [])["annotators"].height == 3
    assert status(con)["people"]["annotators"] == 3


def test_the_same_answers_again_change_nothing(con):
    take_answers(con, "week-1", all_votes(con))
    before = everything(con)
    again = take_answers(
        con, "week-1", all_votes(con).reverse(), seen=Seen(asked(con)["key"], ["anna", "ben", "cleo"])
    )
    assert counts(again) == (0, 36, 0, 0, 0)
    assert not again.changed
    assert everything(con) == before
    # Submitted again later, with nothing changed; and JSON spelt otherwise.
    later = all_votes(con).with_columns(
        pl.col("at") + pl.duration(days=1), pl.col("given").str.replace_all(" ", "  ")
    )
    assert counts(take_answers(con, "week-1", later)) == (0, 36, 0, 0, 0)
    assert everything(con) == before


def test_an_answer_changed_later_takes_its_place_and_the_old_one_stays_in_history(con):
    first, second = asked(con)["key"][:2]
    take_answers(
        con,
        "week-1",
        given((first, "anna", {"preference": "a"}, 0, "short"), (second, "anna", {"preference": "b"}, 1)),
    )
    changed = given(
        (first, "anna", {"preference": "tie"}, 9, "on reflection equal"),
        (second, "anna", {"preference": "b"}, 1),
    )
    taken = take_answers(con, "week-1", changed)
    assert counts(taken) == (0, 1, 1, 0, 0)
    rows = query(
        con,
        'SELECT given, comment, superseded_at IS NULL AS stands FROM answers WHERE question = ? ORDER BY "at"',
        [first],
    ).rows()
    assert rows == [
        ('{"preference": "a"}', "short", False),
        ('{"preference": "tie"}', "on reflection equal", True),
    ]
    assert query(con, "SELECT choice FROM votes ORDER BY line").rows() == [("tie",), ("b",)]
    # What is older than that changes nothing, whatever order files come in.
    assert counts(take_answers(con, "week-1", given((first, "anna", {"preference": "a"}, 0, "short")))) == (
        0,
        1,
        0,
        0,
        0,
    )
    assert counts(take_answers(con, "week-1", given((first, "anna", {"preference": "b"}, 3)))) == (
        0,
        1,
        0,
        0,
        0,
    )
    assert query(con, "SELECT choice FROM votes ORDER BY line").rows() == [("tie",), ("b",)]
    assert (
        query(con, "SELECT count(*) AS n FROM answers")["n"][0] == 4
    )  # the one of minute 3 is in history, too
    # A comment is part of an answer.
    assert counts(
        take_answers(con, "week-1", given((first, "anna", {"preference": "tie"}, 12, "still")))
    ) == (0, 0, 1, 0, 0)


def test_an_answer_taken_back_leaves_the_votes_and_comes_back(con):
    keys = asked(con)["key"]
    take_answers(con, "week-1", all_votes(con), came_by="argilla")
    fewer = all_votes(con).filter(pl.col("question") != keys[0])
    seen = Seen(keys.to_list(), ["anna", "ben"])
    taken = take_answers(con, "week-1", fewer, came_by="argilla", seen=seen)
    assert counts(taken) == (0, 33, 0, 2, 0)
    assert taken.by_annotator["withdrawn"].sum() == 2
    assert query(con, "SELECT count(*) AS n FROM votes WHERE line = 1")["n"][0] == 1
    assert query(con, "SELECT count(*) AS n FROM answers")["n"][0] == 36
    # Elsewhere nothing was looked at, or it never was there.
    assert counts(take_answers(con, "week-1", fewer, came_by="file", seen=seen)) == (0, 33, 0, 0, 0)
    assert counts(take_answers(con, "week-1", fewer.head(0), came_by="argilla", seen=Seen([], ["cleo"]))) == (
        0,
        0,
        0,
        0,
        0,
    )
    back = take_answers(con, "week-1", all_votes(con), came_by="argilla", seen=seen)
    assert counts(back) == (2, 34, 0, 0, 0)
    assert query(con, "SELECT count(*) AS n FROM votes")["n"][0] == 36
    assert query(con, "SELECT count(*) AS n FROM answers WHERE superseded_at IS NOT NULL")["n"][0] == 0


def test_what_does_not_fit_its_question_is_rejected_once_with_a_reason(con, named):
    key = asked(con)["key"][0]
    bad = [
        ("0" * 20, {"preference": "a"}),
        (key, {"preference": "c"}),
        (key, {"better": "a"}),
        (key, "{"),
        (key, "[1]"),
        (key, {}),
    ]
    rows = given(
        *((q, f"person-{i}", g, i, "my remark") for i, (q, g) in enumerate(bad)),
        (key, "anna", {"preference": "b"}, 9),
    )
    taken = take_answers(con, "week-1", rows)
    assert counts(taken) == (1, 0, 0, 0, 6)
    found = dict(query(con, "SELECT path, reason FROM rejects").rows())
    reasons = [found[f"week-1/{named(f'person-{i}')}"] for i in range(6)]
    assert reasons[0].startswith("'00000")
    assert reasons[1] == 'preference is "c", expected a, b or tie'
    assert reasons[2] == "no criterion 'better' was asked for"
    assert reasons[3:] == ["not valid JSON", *["expected a JSON object with a value for each criterion"] * 2]
    assert "my remark" in query(con, "SELECT raw FROM rejects")["raw"][0]
    assert len(taken.first_rejects) == 5
    before = everything(con)
    assert take_answers(con, "week-1", rows).rejected == 6
    assert everything(con) == before
    assert query(con, "SELECT rows, rejects FROM sources WHERE name = 'week-1'").rows() == [(1, 6)]
    mended = given((key, "person-1", {"preference": "tie"}, 20))
    assert counts(take_answers(con, "week-1", mended)) == (1, 0, 0, 0, 0)
    assert query(con, "SELECT count(*) AS n FROM rejects")["n"][0] == 5


def test_a_rubric_without_ties_takes_none(store, tmp_path):
    fill(store, tmp_path, prompts=2, completions=2)
    choose_questions(store, "strict", Rubric(tie=False), 2, "coverage", 1, Golden(0, 0))
    key = asked(store, "strict")["key"][0]
    taken = take_answers(
        store, "strict", given((key, "anna", {"preference": "tie"}, 0), (key, "ben", {"preference": "b"}, 0))
    )
    assert counts(taken) == (1, 0, 0, 0, 1)
    assert "expected a or b: the rubric has no tie" in taken.first_rejects[0]


def test_ratings_of_each_criterion(store, tmp_path):
    fill(store, tmp_path, prompts=3, completions=2)
    choose_questions(store, "clarity", RATING, 4, "coverage", 1, Golden(0, 0))
    questions = asked(store, "clarity")
    q = questions["key"]
    taken = take_answers(
        store,
        "clarity",
        given(
            (q[0], "anna", {"clear": 3, "brief": 1}, 0),
            (q[1], "anna", {"brief": 2}, 1),
            (q[2], "anna", {"brief": 4, "clear": 1}, 2),
            (q[3], "anna", {"brief": 1.5, "clear": 1}, 3),
        ),
    )
    assert counts(taken) == (2, 0, 0, 0, 2)
    assert "brief is 4, expected a whole number from 1 to 3" in taken.first_rejects[0]
    rows = query(
        store, "SELECT completion, criterion, value, levels, line, n FROM ratings ORDER BY line, n"
    ).rows()
    a = questions["completion_a"]
    assert rows == [(a[0], "brief", 1, 3, 1, 0), (a[0], "clear", 3, 3, 1, 1), (a[1], "brief", 2, 3, 2, 0)]
    take_answers(store, "clarity", given((q[0], "anna", {"clear": 2, "brief": 1}, 5)))
    assert query(store, "SELECT value FROM ratings ORDER BY line, n")["value"].to_list() == [1, 2, 2]


def test_all_or_nothing(con, monkeypatch):
    take_answers(con, "week-1", all_votes(con).head(3))
    before = everything(con)
    monkeypatch.setattr("preceptor.toolkit.campaign.answers.derive", lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        take_answers(con, "week-1", all_votes(con))
    assert everything(con) == before


def test_who_was_forgotten_leaves_and_does_not_come_back(tmp_path, named):
    path = tmp_path / "s.duckdb"
    with open_store(path, create=True) as con:
        fill(con, tmp_path, prompts=6, completions=3)
        choose_questions(con, "week-1", Rubric(), 12, "coverage", 1, Golden(0, 0))
        take_answers(con, "week-1", all_votes(con))
        first = asked(con)["key"][0]
        take_answers(con, "week-1", given((first, "anna", {"preference": "tie"}, 60, "Zwaluw")))
        take_answers(con, "week-1", given((first, "anna", {"preference": "c"}, 90)))
        done = forget(con, named("anna"))
        assert done.removed == {"annotators": 1, "votes": 12, "answers": 13, "rejects": 1}
        stored = str(everything(con))
        assert named("anna") not in stored
        assert "Zwaluw" not in stored
        again = take_answers(con, "week-1", all_votes(con))
        assert counts(again) == (0, 24, 0, 0, 12)
        assert "forgotten" in again.first_rejects[0]
        assert named("anna") not in str(everything(con))
        assert query(con, "SELECT count(*) AS n FROM votes")["n"][0] == 24


def test_a_forgotten_learner_s_texts_take_their_questions_along(con, named):
    take_answers(con, "week-1", all_votes(con))
    learner = named("learner-9")
    key = asked(con)["completion_a"][0]
    con.execute("UPDATE completions SET origin = 'learner', author = ? WHERE key = ?", [learner, key])
    touched = query(
        con, "SELECT count(*) AS n FROM questions WHERE ? IN (completion_a, completion_b)", [key]
    )["n"][0]
    done = forget(con, learner)
    assert done.removed["questions"] == touched
    assert done.removed["answers"] == done.removed["votes"] == 3 * touched
    left = query(con, "SELECT count(*) AS n FROM answers WHERE question NOT IN (SELECT key FROM questions)")[
        "n"
    ][0]
    assert left == 0


def test_a_fit_and_a_way_back_know_of_campaigns(con, named):
    take_answers(con, "week-1", all_votes(con))
    obs = encode(read_signals(con, []))
    assert obs.votes.counts.sum() == 36
    assert obs.annotators.height == 3
    question = asked(con)["key"][0]
    take_answers(con, "week-1", given((question, "anna", {"preference": "b"}, 60, "it rhymes")))
    found = why(con, question)
    assert found["rows"][0]["config"] == "question"
    (mine,) = [s for s in found["signals"] if s["comment"]]
    assert (mine["person"], mine["comment"], mine["line"]) == (named("anna"), "it rhymes", 1)
    assert mine["path"] == f"week-1/{named('anna')}"
    assert {s["name"]: s["license"] for s in found["sources"]} == {
        "prompts": "CC-BY-4.0",
        "week-1": "NOASSERTION",
    }
    answer = query(con, "SELECT key FROM answers LIMIT 1")["key"][0]
    assert why(con, answer)["rows"][0]["config"] == "answer"
    (campaign,) = status(con)["campaigns"]
    numbers = ("questions", "asked", "begun", "answers", "fewest", "most", "annotators")
    assert [campaign[name] for name in numbers] == [12, 0, 12, 36, None, None, 3]
    assert status(con)["people"] == {"annotators": 3, "learners": 0}


def test_progress_of_a_campaign_is_told_by_hand(con, preceptor, tmp_path):
    keys = asked(con)["key"]
    mark_asked(con, "week-1", keys[:10])
    # Of ten questions that were asked: three have three answers, two have one, five have none.
    said = [(keys[i], who, {"preference": "a"}, i) for i in range(3) for who in ("anna", "ben", "cleo")]
    said += [(keys[i], "anna", {"preference": "b"}, i) for i in (3, 4)]
    take_answers(con, "week-1", given(*said))
    (campaign,) = status(con)["campaigns"]
    numbers = ("questions", "asked", "begun", "answers", "fewest", "most", "annotators")
    assert [campaign[name] for name in numbers] == [12, 10, 5, 11, 0, 3, 3]
    path = query(con, "SELECT path FROM duckdb_databases() WHERE path IS NOT NULL")["path"][0]
    con.close()
    shown = preceptor("--store", path, "status").stdout
    assert "week-1 12 10 5 11 0 to 3 3" in " ".join(shown.split())
    assert "people: 3 annotators\n" in shown


def test_no_such_campaign(con):
    with pytest.raises(
        AnnotationError, match="--campaign week-2: no campaign of that name; did you mean 'week-1'"
    ):
        take_answers(con, "week-2", all_votes(con))


def test_a_model_keeps_its_name_and_needs_no_key(con, tmp_path, monkeypatch):
    monkeypatch.setenv("PRECEPTOR_KEY", str(tmp_path / "none.key"))
    votes = all_votes(con, who=("openai:m", "hf:n@3f2c"))
    assert counts(take_answers(con, "week-1", votes, kind="model", came_by="judge")) == (24, 0, 0, 0, 0)
    assert query(con, "SELECT kind, pseudonym FROM annotators ORDER BY 2").rows() == [
        ("model", "hf:n@3f2c"),
        ("model", "openai:m"),
    ]
    assert query(con, "SELECT DISTINCT shown_first FROM votes").rows() == [(None,)]  # both orders, or none
    assert not (tmp_path / "none.key").exists()


def test_what_a_model_finds_likelier_is_one_ranking_of_a_prompt(con):
    """Its votes follow from one number a completion; those of a model that was asked do not."""
    who = ("hf-likelihood:small", "gpt-x")
    take_answers(con, "week-1", all_votes(con, ("a", "b"), who), kind="model")
    votes = query(
        con,
        "SELECT pseudonym, ranking, p.prompt FROM votes v JOIN annotators a ON a.key = v.annotator "
        "JOIN completions p ON p.key = v.completion_a",
    )
    likely = votes.filter(pl.col("pseudonym") == who[0])
    assert likely["ranking"].null_count() == 0
    assert likely.select("ranking", "prompt").unique().height == likely["prompt"].n_unique()
    assert votes.filter(pl.col("pseudonym") == who[1])["ranking"].null_count() == 12
    compared = likely.group_by("prompt").len().filter(pl.col("len") > 1).height
    signals = read_signals(con, [])
    weighed = signals["votes"].filter(pl.col("weight") < 1)
    assert compared
    assert weighed.height == likely.filter(pl.len().over("prompt") > 1).height
