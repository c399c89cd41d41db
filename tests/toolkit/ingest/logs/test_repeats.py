"""Problems that a log repeats once per skill with the same answer become events with sets of skills."""

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from preceptor.toolkit.ingest.run import ingest_files
from preceptor.toolkit.store.connection import open_store, query


def events(store):
    return query(store, "SELECT item, skills, correct, n FROM reviews ORDER BY path, line, n").rows()


def write_triples(path, students):
    lines = [f"{len(s)}\n{','.join(i for i, _ in s)}\n{','.join(str(y) for _, y in s)}" for s in students]
    path.write_text("\n".join(lines) + "\n")
    return path


def test_repeats_are_merged_and_named(store, tmp_path):
    one = [("24", 1), ("41", 1), ("31", 0), ("7", 1)]
    other = [("24", 0), ("41", 0), ("31", 0), ("7", 0)]
    report = ingest_files(store, "reviews", [write_triples(tmp_path / "a.csv", [one, other] * 10)], "s")
    assert (report.rows, report.rejects, report.added["reviews"]) == (80, 0, 60)
    assert events(store)[:4] == [
        ("24", ["24", "41"], True, 0),
        ("31", None, False, 2),
        ("7", None, True, 3),
        ("24", ["24", "41"], False, 0),
    ]
    (note,) = report.notes
    assert note.startswith(
        "20 rows repeat the row before them for another skill, with the same answer (1 ordered pair"
    )
    assert "merged into 20 events" in note
    assert query(store, "SELECT notes FROM sources")["notes"][0] == note


def test_raw_rows_can_be_kept(store, tmp_path):
    path = write_triples(tmp_path / "a.csv", [[("24", 1), ("41", 1), ("24", 0), ("41", 0)]] * 10)
    report = ingest_files(store, "reviews", [path], "s", keep_repeats=True)
    assert (report.added["reviews"], report.notes) == (40, [])
    assert all(skills is None for _, skills, _, _ in events(store))


def test_assistments_repeats(store, shared_data):
    path = shared_data / "assistments-kt" / "assist2009_updated_valid1.csv"
    report = ingest_files(store, "reviews", [path], "s")
    assert report.added["reviews"] == 39_690
    assert "7,844 rows repeat" in report.notes[0]
    assert "70 ordered pairs of items; 99.7% of their 7,871" in report.notes[0]
    ((rows, sets),) = query(
        store,
        "SELECT sum(coalesce(len(skills), 1))::BIGINT, count(DISTINCT coalesce(list_sort(skills), [item])) FROM reviews",
    ).rows()
    assert (rows, sets) == (47_534, 167)


@pytest.mark.parametrize("same_time", [True, False])
def test_rows_with_times_are_repeats_only_at_the_same_time(store, tmp_path, same_time):
    rows = ["learner,item,at,correct"]
    for n in range(30):
        y = n % 2
        rows += [f"l{n},a,2026-05-04T10:00:00Z,{y}", f"l{n},b,2026-05-04T10:0{0 if same_time else 5}:00Z,{y}"]
    (tmp_path / "log.csv").write_text("\n".join(rows))
    ingest_files(store, "reviews", [tmp_path / "log.csv"], "s")
    assert len(events(store)) == (30 if same_time else 60)


def test_cards_that_most_know_are_no_repeats(store, tmp_path):
    """What nearly everybody answers right agrees without any copying."""
    draw = np.random.default_rng(3)
    students = [[(item, int(draw.random() < 0.97)) for item in ("a", "b", "c")] for _ in range(40)]
    report = ingest_files(store, "reviews", [write_triples(tmp_path / "a.csv", students)], "s")
    assert report.added["reviews"] == 120


def test_skills_of_a_file_are_kept(store, tmp_path):
    rows = [
        {"learner": "l", "item": "i", "skills": " plural; articles |plural", "correct": True},
        {"learner": "l", "item": "j", "skills": " ; ", "correct": True},
        {"learner": "l", "item": "k", "correct": False},
    ]
    (tmp_path / "log.jsonl").write_text("\n".join(map(json.dumps, rows)))
    ingest_files(store, "reviews", [tmp_path / "log.jsonl"], "s")
    assert [skills for _, skills, _, _ in events(store)] == [["plural", "articles"], None, None]


_ROWS = st.lists(st.tuples(st.sampled_from("abc"), st.integers(0, 1)), min_size=1, max_size=9)


@given(st.lists(_ROWS, min_size=1, max_size=9))
def test_no_answer_is_lost(tmp_path_factory, students):
    """Merged or not, every row of the file is in one event, with its answer, in its order."""
    folder = tmp_path_factory.mktemp("log")
    copied = [[pair for item, y in s for pair in ((item, y), (f"{item}2", y))] for s in students]
    with open_store(folder / "s.duckdb", create=True) as con:
        ingest_files(con, "reviews", [write_triples(folder / "a.csv", copied)], "s", allow_rejects=True)
        found = query(
            con, "SELECT line, coalesce(skills, [item]), correct FROM reviews ORDER BY line, n"
        ).rows()
    expected = [(3 * k + 3, *pair) for k, s in enumerate(copied) for pair in s]
    assert [(line, item, y) for line, items, y in found for item in items] == expected
