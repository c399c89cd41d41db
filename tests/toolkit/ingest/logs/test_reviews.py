"""Study logs: Anki, ASSISTments and mapped tables; and the outcomes that follow from them."""

import csv
import json
import sqlite3
import zipfile
from datetime import UTC, datetime, timedelta
from itertools import pairwise

import numpy as np
import polars as pl
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from preceptor.schemas.errors import RecipeError, SourceError
from preceptor.schemas.licenses import read_license
from preceptor.schemas.recipe import Recipe, read_recipe
from preceptor.schemas.tables import OUTCOMES, REVIEWS
from preceptor.toolkit.fusion.outcomes import make_outcomes
from preceptor.toolkit.ingest.batch import Context
from preceptor.toolkit.ingest.files import numbered_lines as lines_module
from preceptor.toolkit.ingest.files.numbered_lines import Input
from preceptor.toolkit.ingest.formats import FORMATS
from preceptor.toolkit.ingest.logs.reviews import read_reviews
from preceptor.toolkit.ingest.run import Origin, find_inputs, ingest
from preceptor.toolkit.store.connection import count, open_store, query

ANKI = ("id", "cid", "usn", "ease", "ivl", "lastIvl", "factor", "time", "type")


def load(store, format, path, source="s", **said):
    files = find_inputs(FORMATS[format], [path])
    return ingest(store, FORMATS[format], files, Context(source, **said), Origin(read_license("CC-BY-4.0")))


def facts_of(folder):
    return json.loads((folder / "facts.json").read_text(encoding="utf-8"))


def test_anki_is_as_the_facts_say(store, shared_data):
    folder = shared_data / "anki-revlog"
    facts = facts_of(folder)
    report = load(store, "anki", folder)
    assert (report.rows, report.rejects) == (facts["reviews"], 0)
    assert report.notes == [
        "revlog.csv: 291 reviews took 60,000 ms, where the clock stops; they may have taken longer"
    ]
    row = query(
        store,
        """SELECT count(DISTINCT item) AS cards, min(epoch_ms("at")) AS first,
        max(epoch_ms("at")) AS last, count(DISTINCT "at"::DATE) AS days, sum(duration_ms)::BIGINT AS time,
        count(*) FILTER (duration_ms = 60000) AS capped, count(DISTINCT learner) AS learners,
        avg(correct::INT) FILTER (kind = 'review') AS passed, count(DISTINCT "at") AS times
        FROM reviews""",
    ).row(0, named=True)
    assert row["cards"] == facts["cards_reviewed"]
    assert (row["first"], row["last"]) == (facts["first_id_ms"], facts["last_id_ms"])
    assert row["days"] == facts["utc_days_with_a_review"]
    assert (row["time"], row["capped"]) == (facts["time_ms_sum"], facts["time_at_the_60000_cap"])
    assert row["passed"] == pytest.approx(facts["passed_share_of_type_1"], abs=1e-9)
    assert (row["learners"], row["times"]) == (1, facts["reviews"])
    kinds = {"0": "learn", "1": "review", "2": "relearn", "3": "filtered"}
    grades = query(store, "SELECT grade::VARCHAR, count(*) FROM reviews GROUP BY 1")
    assert dict(grades.rows()) == facts["ease"]
    by_kind = query(store, "SELECT kind, grade::VARCHAR, count(*) FROM reviews GROUP BY ALL").rows()
    assert {(kind, grade): n for kind, grade, n in by_kind} == {
        (kinds[t], grade): n for t, grades in facts["type_by_ease"].items() for grade, n in grades.items()
    }
    per_card = query(store, "SELECT count(*) AS n FROM reviews GROUP BY item")["n"]
    assert (per_card.max(), (per_card == 1).sum()) == (
        facts["max_reviews_of_one_card"],
        facts["cards_with_one_review"],
    )
    with (folder / "revlog.csv").open() as stream:
        rows = list(csv.DictReader(stream))
    negative = sum(int(row["ivl"]) < 0 for row in rows)
    assert negative == facts["negative_ivl"]
    days = query(store, "SELECT interval_days FROM reviews ORDER BY line")["interval_days"]
    assert days.to_list() == pytest.approx(
        [-int(r["ivl"]) / 86400 if int(r["ivl"]) < 0 else float(r["ivl"]) for r in rows]
    )


def collection(path, rows):
    with sqlite3.connect(path) as con:
        con.execute(
            "CREATE TABLE revlog (id integer primary key, cid integer, usn integer, ease integer, "
            "ivl integer, lastIvl integer, factor integer, time integer, type integer)"
        )
        con.executemany("INSERT INTO revlog VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)", rows)
    con.close()
    return path


LOG = [
    (1737747496478, 11, 1, 3, -600, -60, 0, 2411, 0),
    (1737747498344, 12, 1, 1, -60, -60, 0, 1857, 1),
    (1737747500561, 11, 1, 4, 3, -60, 2500, 60000, 2),
    (1737747500999, 11, 1, 0, 9, 3, 2500, 0, 4),
]


def packed(folder, name):
    """The same log as a collection, in a package of an old or a new Anki, or as CSV."""
    path = folder / name
    if name.endswith(".csv"):
        path.write_text("\n".join([",".join(ANKI), *(",".join(map(str, row)) for row in LOG)]))
        return path
    if name.endswith((".anki2", ".anki21")):
        return collection(path, LOG)
    inner, old = collection(folder / "inner", LOG), collection(folder / "old", [])
    with zipfile.ZipFile(path, "w") as package:
        package.writestr("media", "{}")
        if name.startswith("new"):
            package.write(old, "collection.anki2")
            package.writestr(
                "collection.anki21b", pa.Codec("zstd").compress(inner.read_bytes(), asbytes=True)
            )
        elif name.startswith("mid"):
            package.write(old, "collection.anki2")
            package.write(inner, "collection.anki21")
        else:
            package.write(inner, "collection.anki2")
    return path


@pytest.mark.parametrize(
    "name", ["revlog.csv", "c.anki2", "c.anki21", "old.apkg", "mid.apkg", "new.apkg", "new.colpkg"]
)
def test_anki_in_every_form(store, tmp_path, named, name):
    report = load(store, "anki", packed(tmp_path, name), learner="me")
    assert (report.rows, report.rejects) == (4, 0)
    rows = query(
        store,
        """SELECT learner, item, epoch_ms("at"), kind, correct, grade, duration_ms, interval_days
        FROM reviews ORDER BY line""",
    ).rows()
    me = named("me")
    assert [(*row[:-1], pytest.approx(row[-1])) for row in rows] == [
        (me, "11", 1737747496478, "learn", True, 3, 2411, 600 / 86400),
        (me, "12", 1737747498344, "review", False, 1, 1857, 60 / 86400),
        (me, "11", 1737747500561, "relearn", True, 4, 60000, 3.0),
        (me, "11", 1737747500999, "manual", None, None, 0, 9.0),
    ]
    assert load(store, "anki", tmp_path / name).already_there


def test_what_anki_rejects(store, tmp_path):
    bad = {
        "x,11,1,3,1,1,0,5,0": "'id' is not a whole number",
        "12,11,1,3,1,1,0,5,0": "'id' is no time in milliseconds",
        "1737747500600,11,1,5,1,1,0,5,0": "ease is 5, expected 0 to 4",
        "1737747500601,11,1,3,1,1,0,5,9": "type is 9, expected 0 to 5",
        "1737747500602,11,1,3,1,1,0,-5,0": "'time' is negative",
        "1737747496478,11,1,3,1,1,0,5,0": "id is already used on line 2",
        "1737747500603,11,1": "expected 9 fields, found 3",
    }
    path = packed(tmp_path, "revlog.csv")
    path.write_text(path.read_text() + "\n" + "\n".join(bad))
    report = load(store, "anki", path)
    assert (report.rows, report.rejects) == (4, len(bad))
    rejects = query(store, "SELECT raw, reason FROM rejects ORDER BY line").rows()
    assert rejects == list(bad.items())


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("a.anki2", "not an Anki collection with a review log"),
        ("a.apkg", "a damaged package"),
        ("empty.apkg", "holds no collection"),
        ("a.csv", "no column id, cid, ease, ivl, time, type; expected Anki's revlog"),
    ],
)
def test_what_is_no_anki_log_is_refused(store, tmp_path, name, said):
    path = tmp_path / name
    path.write_bytes(b"learner,item\nhello,world\n" * 50)
    if name == "empty.apkg":
        with zipfile.ZipFile(path, "w") as package:
            package.writestr("media", "{}")
    with pytest.raises(SourceError, match=said):
        load(store, "anki", path)
    assert count(store, REVIEWS) == 0


def test_a_truncated_package_is_refused(store, tmp_path):
    whole = packed(tmp_path, "new.apkg").read_bytes()
    for size in (len(whole) // 3, len(whole) - 30):
        (tmp_path / "cut.apkg").write_bytes(whole[:size])
        with pytest.raises(SourceError, match=r"damaged|not an Anki collection"):
            load(store, "anki", tmp_path / "cut.apkg")


def test_assistments_is_as_the_facts_say(store, shared_data):
    folder = shared_data / "assistments-kt"
    facts = facts_of(folder)["assist2009_updated_valid1.csv"]
    report = load(store, "reviews", folder / "assist2009_updated_valid1.csv")
    assert (report.rows, report.rejects) == (facts["attempts"], 0)
    row = query(
        store,
        """SELECT count(DISTINCT learner), sum(correct::INT)::BIGINT, count(DISTINCT skill), max(n + size),
            max(line)
        FROM (SELECT learner, correct, n, line, len(s) AS size, unnest(s) AS skill
            FROM (SELECT *, coalesce(skills, [item]) AS s FROM reviews))""",
    ).row(0)
    assert row == (
        facts["students"],
        facts["correct"],
        facts["distinct_items"],
        facts["longest"],
        facts["lines"],
    )


@pytest.mark.parametrize("block", [5, 40, 1 << 20])
def test_three_lines_a_student(store, tmp_path, monkeypatch, block):
    monkeypatch.setattr(lines_module, "BLOCK_BYTES", block)
    students = [
        "3\n31,31,68\n0,1,1",
        "2\n5,6,\n1,0,",
        "1\n7\n1",
        "0\n\n",
        "2\n5,6\n1",
        "x\n5,6\n1,1",
        "2\n5,6\n1,2",
        "1\n7",
    ]
    (tmp_path / "a.csv").write_bytes("\r\n".join("\n".join(students).split("\n")).encode())
    report = load(store, "reviews", tmp_path / "a.csv")
    assert query(store, "SELECT line, n, item, correct FROM reviews ORDER BY line, n").rows() == [
        (3, 0, "31", False),
        (3, 1, "31", True),
        (3, 2, "68", True),
        (6, 0, "5", True),
        (6, 1, "6", False),
        (9, 0, "7", True),
        (21, 0, "5", True),
    ]
    assert query(store, "SELECT line, reason FROM rejects ORDER BY line").rows() == [
        (13, "2 attempts, but 2 items and 1 answers"),
        (16, "expected a number of attempts, then a line of items and one of answers"),
        (21, "the answer is '2', expected 0 or 1"),
        (22, "the items or the answers are missing"),
    ]
    assert (report.rows, report.rejects) == (7, 4)


HEAD = "learner,item,at,correct,grade,attempts,duration_ms,interval_days,kind"


def test_mapped_logs(store, tmp_path, named):
    path = tmp_path / "log.csv"
    path.write_text(
        "who,card,when,ok\nann,c1,1737747496478,1\nann,c2,1737747496,perhaps\n,c3,2026-05-04,true\n"
    )
    columns = {"learner": "who", "item": "card", "at": "when", "correct": "ok"}
    report = load(store, "reviews", path, columns=columns)
    assert (report.rows, report.rejects) == (1, 2)
    assert query(store, 'SELECT learner, item, epoch_ms("at"), correct FROM reviews').rows() == [
        (named("ann"), "c1", 1737747496478, True)
    ]
    rejects = query(store, "SELECT reason FROM rejects ORDER BY line")["reason"].to_list()
    assert rejects == ["correct is 'perhaps', expected true or false", "'learner' is empty"]
    assert "ann" not in query(store, "FROM rejects").write_csv()


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        ("l,,,1,,,,,", "'item' is empty"),
        ("l,c,,,,,,,", "neither correct nor grade is given"),
        ("l,c,,1,-1,,,,", "grade is '-1', expected a whole number from 0"),
        ("l,c,,1,,1.5,,,", "attempts is '1.5', expected a whole number from 0"),
        ("l,c,,1,,,-3,,", "duration_ms is '-3', expected a whole number from 0"),
        ("l,c,,1,,,,x,", "interval_days is 'x', expected a number from 0"),
        (
            "l,c,soon,1,,,,,",
            "at is 'soon', expected an ISO 8601 time such as 2026-05-04T10:00:00Z (for other forms use --date-format)",
        ),
    ],
)
def test_what_logs_reject(store, tmp_path, row, reason):
    (tmp_path / "l.csv").write_text(f"{HEAD}\nl,c,2026-05-04,0,2,1,30,0.5,learn\n{row}\n")
    load(store, "reviews", tmp_path / "l.csv")
    assert query(store, "SELECT line, reason FROM rejects").rows() == [(3, reason)]


def test_grades_that_pass_and_one_person_s_log(store, tmp_path, named):
    (tmp_path / "l.csv").write_text("item,grade\nc,1\nc,3\n")
    load(store, "reviews", tmp_path / "l.csv", learner="me", passing=3)
    rows = query(store, "SELECT learner, grade, correct FROM reviews ORDER BY line").rows()
    assert rows == [(named("me"), 1, False), (named("me"), 3, True)]


def test_forms_of_a_log_give_the_same_rows(store, tmp_path):
    at = [datetime(2026, 5, 4, 10, tzinfo=UTC) + timedelta(hours=i) for i in range(3)]
    frame = pl.DataFrame(
        {
            "learner": [1, 2, 1],
            "item": ["a", "b", "a"],
            "at": at,
            "correct": [True, False, None],
            "grade": [3, 1, 2],
            "interval_days": [0.5, None, 2.0],
        }
    )
    frame.write_parquet(tmp_path / "l.parquet")
    frame.write_csv(tmp_path / "l.csv")
    (tmp_path / "l.jsonl").write_text("\n".join(json.dumps(row, default=str) for row in frame.to_dicts()))
    found = []
    for form in ("parquet", "csv", "jsonl"):
        assert load(store, "reviews", tmp_path / f"l.{form}", form).rows == 3
        found.append(
            query(
                store,
                'SELECT learner, item, "at", correct, grade, interval_days FROM reviews '
                "WHERE source = ? ORDER BY line",
                [form],
            ).rows()
        )
    assert found[0] == found[1] == found[2]


CONTEXT = Context("s", pseudonyms=lambda ids: ids.cast(pl.String))
SEED = b"3\n31,31,68\n0,1,1\n2\n5,6\n1,0\n"


@settings(max_examples=200)
@given(
    st.lists(st.tuples(st.integers(0, len(SEED)), st.integers(0, 6), st.binary(max_size=4)), max_size=4),
    st.sampled_from([5, 1 << 20]),
)
def test_damaged_lists_balance(tmp_path_factory, changes, block):
    data = SEED
    for at, gone, put in changes:
        data = data[:at] + put + data[at + gone :]
    path = tmp_path_factory.mktemp("f") / "a.csv"
    path.write_bytes(data)
    named = []
    old, lines_module.BLOCK_BYTES = lines_module.BLOCK_BYTES, block
    try:
        for batch in read_reviews(Input(path, "a.csv"), CONTEXT):
            assert batch.read == batch.taken + batch.rejects.height
            assert batch.rejects["reason"].null_count() == 0
    except SourceError as error:
        named.append(str(path) in str(error))
    finally:
        lines_module.BLOCK_BYTES = old
    assert all(named)


@pytest.fixture
def studied(store, tmp_path):
    """Completions p-a, p-b, p-c, and a log of who studied them."""
    answers = [{"id": f"p-{x}", "content": x} for x in "abc"]
    (tmp_path / "p.jsonl").write_text(
        json.dumps({"id": "p", "task": "qa", "prompt": "?", "completions": answers})
    )
    load(store, "prompts", tmp_path / "p.jsonl", "mnemonics")
    (tmp_path / "log.csv").write_text(
        "learner,item,at,correct\n"
        "ann,p-a,2026-01-03T10:00,true\n"  # the log is not in the order of time
        "ann,p-a,2026-01-01T10:00,false\nann,p-a,2026-01-01T10:05,false\n"
        "ann,p-b,2026-01-01T10:00,true\nann,p-b,2026-01-01T20:00,true\nann,p-b,2026-01-03T10:00,false\n"
        "ben,p-a,2026-01-01T10:00,false\nben,p-a,2026-01-01T10:01,false\n"
        "ben,p-z,2026-01-01T10:00,true\n"
    )
    load(store, "reviews", tmp_path / "log.csv", "log")
    return store


def rules(*given):
    return Recipe.model_validate(
        {"name": "r", "outcomes": [{"reviews": "log", "about": "mnemonics"} | g for g in given]}
    )


def test_outcomes_follow_from_the_log(studied, named):
    made = make_outcomes(studied, rules({}, {"measure": "success", "after_days": 1}))
    assert [(m.source, m.outcomes, m.censored, m.unknown) for m in made] == [
        ("log-turns", 3, 1, 1),
        ("log-success-after-1-days", 2, 0, 1),
    ]
    rows = query(
        studied,
        """SELECT o.learner, c.ref, measure, value, censored, o.line FROM outcomes o
        JOIN completions c ON c.key = o.completion ORDER BY measure DESC, c.ref, o.line""",
    ).rows()
    ann, ben = named("ann", "ben")
    assert rows == [
        (ann, "p-a", "turns", 2.0, False, 2),  # decided by the review on line 2
        (ben, "p-a", "turns", 2.0, True, 9),
        (ann, "p-b", "turns", 0.0, False, 5),
        (ann, "p-a", "success", 1.0, False, 2),
        (ann, "p-b", "success", 0.0, False, 7),
    ]
    source = query(studied, "SELECT reader, license, kind, rows FROM sources WHERE name = 'log-turns'").row(0)
    assert source == ("outcomes", "CC-BY-4.0", "log", 3)
    assert make_outcomes(studied, rules({}))[0].outcomes == 3  # made anew, not twice
    assert count(studied, OUTCOMES) == 5


def test_a_long_log_agrees_with_a_plain_reading(store, tmp_path):
    """n = 20,000 events, seed 5: the SQL against a loop in Python."""
    draw = np.random.default_rng(5)
    n = 20_000
    answers = [{"id": f"c{i}", "content": str(i)} for i in range(40)]
    (tmp_path / "p.jsonl").write_text(
        json.dumps({"id": "p", "task": "qa", "prompt": "?", "completions": answers})
    )
    load(store, "prompts", tmp_path / "p.jsonl", "mnemonics")
    start = datetime(2026, 1, 1, tzinfo=UTC)
    log = pl.DataFrame(
        {
            "learner": [f"l{i}" for i in draw.integers(0, 100, n)],
            "item": [f"c{i}" for i in draw.integers(0, 40, n)],
            "at": [start + timedelta(minutes=int(m)) for m in draw.integers(0, 60 * 24 * 30, n)],
            "correct": draw.random(n) < 0.3,
        }
    )
    log.write_parquet(tmp_path / "log.parquet")
    load(store, "reviews", tmp_path / "log.parquet", "log")
    make_outcomes(store, rules({}, {"measure": "success", "after_days": 2.5}))
    events = {}
    for line, (learner, item, at, correct) in enumerate(log.rows(), 1):
        events.setdefault((learner, item), []).append((at, line, correct))
    turns, later = [], []
    for found in map(sorted, events.values()):
        hits = [i for i, (_, _, correct) in enumerate(found) if correct]
        turns.append((float(hits[0]), False) if hits else (float(len(found)), True))
        gaps = [b[2] for a, b in pairwise(found) if b[0] - a[0] >= timedelta(days=2.5)]
        later += gaps[:1]
    stored = query(store, "SELECT value, censored FROM outcomes WHERE measure = 'turns'").rows()
    assert sorted(stored) == sorted(turns)
    values = query(store, "SELECT value FROM outcomes WHERE measure = 'success'")["value"].to_list()
    assert sorted(values) == sorted(map(float, later))


@pytest.mark.parametrize(
    ("rule", "said"),
    [
        ({"reviews": "nothing"}, "reviews: 'nothing' holds no reviews; there are log"),
        ({"about": "log"}, "about: 'log' holds no completions; there are mnemonics"),
        ({"measure": "success", "after_days": 400}, "no learner came back to a completion after 400 days"),
    ],
)
def test_rules_that_find_nothing_are_refused(studied, rule, said):
    with pytest.raises(SourceError, match=said):
        make_outcomes(studied, rules({}, rule))
    assert count(studied, OUTCOMES) == 0  # all of the rules or none


def test_items_that_are_no_completions_are_refused(studied, tmp_path):
    (tmp_path / "other.csv").write_text("learner,item,correct\nann,card-1,1\n")
    load(studied, "reviews", tmp_path / "other.csv", "other")
    with pytest.raises(SourceError, match="none of the 1 items of 'other', such as 'card-1', is the id"):
        make_outcomes(studied, rules({"reviews": "other"}))


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (
            "{name: r, outcomes: [{reviews: a, abuot: b}]}",
            "unknown key 'outcomes.0.abuot': did you mean 'about'?",
        ),
        (
            "{name: r, corrections: {rejcted: [learner]}}",
            "unknown key 'corrections.rejcted': did you mean 'rejected'?",
        ),
        ("{name: r, outcomes: [{reviews: a, about: b, measure: success}]}", "success needs after_days"),
        ("{name: r, outcomes: [{reviews: a, about: b, after_days: 1}]}", "turns takes none"),
    ],
)
def test_recipes_say_what_is_wrong_with_a_rule(tmp_path, text, said):
    (tmp_path / "r.yaml").write_text(text)
    with pytest.raises(RecipeError) as caught:
        read_recipe(tmp_path / "r.yaml")
    assert said in str(caught.value)


def test_outcomes_on_the_command_line(tmp_path, preceptor):
    with open_store(tmp_path / "preceptor.duckdb", create=True):
        pass
    (tmp_path / "r.yaml").write_text("{name: r, outcomes: [{reviews: log, about: m}]}")
    done = preceptor("outcomes", "r.yaml", cwd=tmp_path)
    assert (done.returncode, "reviews: 'log' holds no reviews" in done.stderr) == (2, True)
    (tmp_path / "r.yaml").write_text("{name: r}")
    done = preceptor("outcomes", "r.yaml", cwd=tmp_path)
    assert (done.returncode, "has no outcomes" in done.stderr) == (2, True)
