"""What the journal keeps of answers, at times of the test's own."""

import json
import random
from collections import Counter
from datetime import UTC, datetime, timedelta

import pytest

from preceptor.schemas.errors import StudyError
from preceptor.toolkit.practice.study.journal.answers import (
    Rules,
    keep_answer,
    take_claim,
    take_grade,
    take_vote,
)
from preceptor.toolkit.practice.study.journal.database import locate_journal, open_journal, read_secret
from preceptor.toolkit.practice.study.journal.events import Clock
from preceptor.toolkit.practice.study.journal.items import choose_items, choose_next
from preceptor.toolkit.practice.study.journal.people import (
    add_person,
    collect_own_data,
    derive_token,
    find_consent,
    find_learner,
    forget_bytes,
    give_consent,
    withdraw,
)

START = datetime(2026, 5, 4, 10, tzinfo=UTC)
RULES = Rules("00" * 32, 0.9, 1.0, 0)


@pytest.fixture
def journal(pushed):
    folder = locate_journal(pushed.folder / "study-home", "w")
    with open_journal(folder) as con:
        yield con


def anna(con, at=START):
    (person,) = con.execute("SELECT id FROM people WHERE name = 'Anna'").fetchone()
    agree(con, person, at)
    return person


def agree(con, person, at=START):
    give_consent(con, Clock("r", at), person, f"{person}-consent", find_consent(con, "en")["hash"], "en")


def answer(con, person, item, given, after, uid=None, **extra):
    uid = uid or random.Random(f"{person}{item}{after}").randbytes(12).hex()
    return keep_answer(con, Clock("r", START + after), RULES, person, uid, item, given, extra)


def events(con, kind):
    return [
        json.loads(body)
        for (body,) in con.execute("SELECT body FROM events WHERE kind = ? ORDER BY seq", [kind])
    ]


HOUR, DAY = timedelta(hours=1), timedelta(days=1)


def test_the_same_answer_twice_is_kept_once(journal):
    person = anna(journal)
    (item,) = choose_items(journal, person, START, 20)
    first = answer(journal, person, item["id"], "no idea", HOUR, uid="a" * 24)
    again = answer(journal, person, item["id"], "another", 2 * HOUR, uid="a" * 24)
    assert (first.verdict, first.again, again.verdict, again.again) == ("wrong", False, "wrong", True)
    assert len(events(journal, "answer")) == 1


def test_an_answer_before_consent_or_with_another_learner_s_number_is_refused(journal):
    (ben,) = journal.execute("SELECT id FROM people WHERE name = 'Ben'").fetchone()
    person = anna(journal)
    (item,) = choose_items(journal, person, START, 20)
    with pytest.raises(StudyError, match="agreed"):
        answer(journal, ben, item["id"], "x", HOUR)
    answer(journal, person, item["id"], "x", HOUR, uid="b" * 24)
    agree(journal, ben)
    with pytest.raises(StudyError, match="another learner"):
        answer(journal, ben, item["id"], "x", HOUR, uid="b" * 24)
    with pytest.raises(StudyError, match="never had"):
        answer(journal, ben, "nothing", "x", HOUR)


def test_time_never_runs_backwards_and_the_event_says_so(journal):
    person = anna(journal)
    one, two, *_ = choose_items(journal, person, START, 20, 2)
    answer(journal, person, one["id"], "x", 5 * HOUR)
    answer(journal, person, two["id"], "x", HOUR)
    times = [row[0] for row in journal.execute("SELECT at FROM events ORDER BY seq")]
    assert times == sorted(times)
    assert events(journal, "answer")[0].get("clock_back_s") is None
    assert events(journal, "answer")[1]["clock_back_s"] > 3 * 3600


def test_a_device_s_time_is_taken_if_it_can_be_right(journal):
    person = anna(journal)
    one, two, three = choose_items(journal, person, START, 20, 3)
    answer(journal, person, one["id"], "x", 9 * HOUR, device_at="2026-05-04T12:00:00.000Z")
    answer(journal, person, two["id"], "x", 10 * HOUR, device_at="2031-01-01T00:00:00.000Z")
    answer(journal, person, three["id"], "x", 11 * HOUR, device_at="nonsense")
    at = [row[0][:13] for row in journal.execute("SELECT at FROM events WHERE kind = 'answer' ORDER BY seq")]
    assert at == ["2026-05-04T12", "2026-05-04T20", "2026-05-04T21"]
    assert [body.get("device_clock") for body in events(journal, "answer")] == [None, "wrong", "wrong"]


def test_an_explanation_is_drawn_once_with_its_probability(journal):
    drawn, people = Counter(), 400
    for n in range(people):
        person = add_person(journal, bytes(32), f"learner {n}", None, START)
        agree(journal, person)
        (item,) = journal.execute("SELECT id FROM items ORDER BY id LIMIT 1").fetchone()
        for hours in (1, 2, 30):
            answer(journal, person, item, "x", hours * HOUR)
    for body in events(journal, "draw"):
        drawn[body["arm"]] += 1
        assert body["propensity"] == 0.5
        assert body["chances"] == {"base": 0.5, "tuned": 0.5}
        assert body["knew"] is False
    assert sum(drawn.values()) == people
    assert abs(drawn["tuned"] - people / 2) < 5 * (people / 4) ** 0.5


def test_two_explanations_are_compared_only_after_one_of_them_has_done_its_work(journal):
    person = anna(journal)
    item = journal.execute("SELECT * FROM items WHERE shown LIKE '%quell%'").fetchone()
    first = answer(journal, person, item["id"], "no", HOUR)
    with pytest.raises(StudyError, match="not ones to compare"):
        take_vote(journal, Clock("r", START + HOUR), person, first.uid, "first")
    answer(journal, person, item["id"], "no", 2 * HOUR)
    assert events(journal, "both") == []
    right = answer(journal, person, item["id"], "To suppress!", 3 * HOUR)
    (both,) = events(journal, "both")
    assert right.verdict == "near"
    assert len({both["first"], both["second"]}) == 2
    for choice in ("second", "first"):  # the first click counts
        take_vote(journal, Clock("r", START + 3 * HOUR), person, right.uid, choice)
    assert [vote["choice"] for vote in events(journal, "vote")] == ["second"]


def test_a_claim_is_kept_as_such(journal):
    person = anna(journal)
    (item,) = choose_items(journal, person, START, 20)
    wrong = answer(journal, person, item["id"], "my own word", HOUR)
    for _ in range(2):
        take_claim(journal, Clock("r", START + HOUR), RULES, person, wrong.uid)
    assert events(journal, "claim") == [{"of": wrong.uid}]
    assert events(journal, "answer")[0]["verdict"] == "wrong"
    with pytest.raises(StudyError, match="grade"):
        take_grade(journal, Clock("r", START + HOUR), RULES, person, wrong.uid, 3)


def test_items_come_back_when_they_are_due_and_new_ones_only_so_many_a_day(journal):
    person = anna(journal)
    found = choose_items(journal, person, START, 2, 10)
    assert len(found) == 2
    for item in found:
        answer(journal, person, item["id"], item["answers"][0], HOUR)
    later = choose_next(journal, person, START + 2 * HOUR, 2)
    assert later.item["id"] in {item["id"] for item in found}  # FSRS asks again soon
    for hours in (2, 3):
        for item in found:
            answer(journal, person, item["id"], item["answers"][0], hours * HOUR)
    done = choose_next(journal, person, START + 4 * HOUR, 2)
    assert done.item is None
    assert timedelta() < done.again - (START + 4 * HOUR) <= DAY
    assert choose_next(journal, person, START + DAY, 2).item["id"] not in {item["id"] for item in found}


def test_who_leaves_is_nowhere_in_the_file(pushed):
    folder = locate_journal(pushed.folder / "study-home", "w")
    with open_journal(folder) as con:
        person = anna(con)
        token = derive_token(read_secret(folder), person)
        (item,) = choose_items(con, person, START, 20)
        answer(con, person, item["id"], "xylophonequartz", HOUR)
        assert "xylophonequartz" in json.dumps(collect_own_data(con, person))
        withdraw(con, person, START + DAY)
        forget_bytes(con)
        assert find_learner(con, token) is None
        with pytest.raises(StudyError):
            answer(con, person, item["id"], "again", 2 * DAY)
        for file in folder.iterdir():
            assert b"xylophonequartz" not in file.read_bytes()
            assert b"Anna" not in file.read_bytes()
        assert [row["told"] for row in con.execute("SELECT * FROM withdrawals")] == [0]


def test_a_name_that_is_no_folder_s_is_refused(tmp_path):
    for name in ("", " ", "a/b", "..", ".x", "a\0b", "a\\b"):
        with pytest.raises(StudyError, match="--study"):
            locate_journal(tmp_path, name)


def test_a_damaged_file_is_named(pushed):
    folder = locate_journal(pushed.folder / "study-home", "w")
    for name in ("study.db-wal", "study.db-shm"):
        (folder / name).unlink(missing_ok=True)
    (folder / "study.db").write_bytes(b"not a database at all" * 100)
    with pytest.raises(StudyError, match="damaged"), open_journal(folder):
        pass


def test_a_journal_of_version_1_is_brought_up_and_keeps_what_it_has(journal, pushed):
    answer(
        journal, anna(journal), choose_items(journal, anna(journal), START, 20)[0]["id"], "x", timedelta(0)
    )
    before = [tuple(row) for row in journal.execute("SELECT * FROM events")]
    old = ["places", "questions", "given", "looking"]
    journal.executescript(
        "".join(f"DROP TABLE {name};" for name in old)
        + """
        ALTER TABLE items RENAME COLUMN sources TO source;
        UPDATE items SET source = json_extract(source, '$[0]'); PRAGMA user_version = 1;"""
    )
    with open_journal(locate_journal(pushed.folder / "study-home", "w")) as con:
        assert [tuple(row) for row in con.execute("SELECT * FROM events")] == before
        assert {row[0] for row in con.execute("SELECT sources FROM items")} == {'["mine"]'}
        assert con.execute("SELECT count(*) FROM questions").fetchone()[0] == 0
