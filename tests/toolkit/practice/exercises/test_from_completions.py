"""Exercises of completions: flashcards, problems with a number, next moves; each proven by what the store holds."""

import json
from collections import defaultdict

import pytest

from preceptor.schemas.errors import GateError
from preceptor.toolkit.practice.exercises import from_completions
from preceptor.toolkit.practice.exercises.build import build_exercises
from preceptor.toolkit.practice.exercises.recipe import Exercises
from preceptor.toolkit.store.connection import open_store, query, run

CARDS = [
    {
        "id": "c",
        "task": "mnemonic",
        "prompt": "candid",
        "completions": [
            {"id": "c-a", "content": "A candid camera is honest."},
            {"id": "c-b", "content": "Can did: says what it did."},
            {"id": "c-c", "content": "a CANDID camera  is honest."},
        ],
    },
    {"id": "d", "task": "mnemonic", "prompt": "dire", "completions": []},
]


def solve(question, answer, *models):
    solutions = {f"m{n}": {"is_correct": ok, "solution": text} for n, (ok, text) in enumerate(models)}
    return {"question": question, "answer": answer} | solutions


PROBLEMS = [
    solve("Two and two?", "2+2=<<2+2=4>>4\n#### 4", (True, "It is 4.\n#### 4.0"), (False, "5\n#### 5")),
    solve("One thousand times two?", "Twice.\n#### 2,000"),
    solve("Said to be wrong?", "x\n#### 7", (False, "x\n#### 7")),
    solve("Said to be right?", "x\n#### 7", (True, "x\n#### 8")),
    solve("Two keys?", "x\n#### 7"),
    solve("Two keys?", "y\n#### 9"),
]


def talk(*turns):
    return {
        "qid": 1,
        "question": "Half of 48?",
        "student_incorrect_solution": "48 * 2 = 96",
        "conversation": "|EOM|".join(turns),
    }


DIALOGUES = [
    talk(
        "Teacher: (probing)What does half mean?",
        "Sam: Twice.",
        "Teacher: (focus)How many parts?",
        "Sam: Two?",
        "Teacher: (telling)You divide by 2.",
    ),
    talk(
        "Teacher: (telling)Half is one of two parts.",
        "Sam: Oh.",
        "Teacher: (telling)HOW many  parts?",
        "Sam: Hm.",
    ),
    talk("Teacher: (telling)what does half mean?", "Sam: Twice."),
]


def write_lines(path, rows):
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))


@pytest.fixture
def place(tmp_path, preceptor):
    for name, rows in (("prompts", CARDS), ("gsm8k", PROBLEMS), ("mathdial", DIALOGUES)):
        write_lines(tmp_path / f"{name}.jsonl", rows)
        done = preceptor("ingest", name, f"{name}.jsonl", "--source", name, "--license", "MIT", cwd=tmp_path)
        assert done.returncode == 0, done.stderr
    (tmp_path / "x.yaml").write_text("name: tutor\nsources: [prompts, gsm8k, mathdial]\n")
    return tmp_path


@pytest.fixture
def built(place, preceptor):
    """The exercises by kind, as they are exported."""
    done = preceptor("exercises", "build", "x.yaml", cwd=place)
    assert done.returncode == 0, done.stderr
    assert "note" not in done.stdout
    assert preceptor("exercises", "export", "tutor", "--out", "e.jsonl", cwd=place).returncode == 0
    by_kind = defaultdict(list)
    for line in (place / "e.jsonl").read_text().splitlines():
        row = json.loads(line)
        by_kind[row["kind"]].append(row)
    return by_kind


def test_a_term_has_its_explanations_once_each(built):
    (row,) = built["flashcard"]
    assert row["shown"] == "candid"
    assert row["answers"] == []
    assert len(row["arms"]) == len(row["explanations"]) == 2
    assert "Can did: says what it did." in row["explanations"]
    assert row["license"] == "MIT"


def test_a_problem_has_the_number_that_all_solutions_end_in(built):
    rows = {row["shown"]: row for row in built["problem"]}
    assert set(rows) == {"Two and two?", "One thousand times two?"}
    assert rows["Two and two?"]["answers"] == ["4"]
    assert rows["One thousand times two?"]["answers"] == ["2000", "2,000"]
    assert rows["Two and two?"]["explanations"] == ["2+2=4\nAnswer: 4"]


def test_the_next_move_is_the_teachers_and_telling_is_too_early(built):
    rows = {row["answers"][0]: row for row in built["move"]}
    assert set(rows) == {"What does half mean?", "How many parts?"}
    second = rows["How many parts?"]
    assert second["shown"] == (
        "Student: Half of 48?\n\n48 * 2 = 96\nTeacher: What does half mean?\nStudent: Twice."
    )
    # Its own dialogue's first; a turn in the very words of the key is none.
    assert second["distractors"] == ["You divide by 2.", "Half is one of two parts.", "what does half mean?"]
    # What another teacher said in that very place is no wrong option.
    assert rows["What does half mean?"]["distractors"] == ["You divide by 2.", "HOW many  parts?"]


def test_why_shows_prompt_key_and_explanations(place, built, preceptor):
    for kind, said in (
        ("flashcard", ("no key", "explanation", "prompts.jsonl:1")),
        ("problem", ("key: ", "gsm8k.jsonl:", "MIT")),
        ("move", ("wrong: You divide by 2.", "mathdial.jsonl:1", "human")),
    ):
        done = preceptor("why", built[kind][0]["key"], cwd=place)
        assert done.returncode == 0, done.stderr
        assert [one for one in said if one not in done.stdout] == []
    found = json.loads(preceptor("why", built["problem"][0]["key"], "--json", cwd=place).stdout)
    assert found["prompt"]["messages"][0]["content"] == built["problem"][0]["shown"]
    assert [one["role"] for one in found["completions"]] == ["key"]


def test_sources_and_kinds_without_exercises_are_named(place, preceptor):
    (place / "x.yaml").write_text("name: x\nsources: [prompts, gsm8k]\nexercises: [flashcard, cloze]\n")
    done = preceptor("exercises", "build", "x.yaml", cwd=place)
    assert done.returncode == 0, done.stderr
    assert "no exercise of kind cloze" in done.stdout
    assert "no exercise was made of source gsm8k" in done.stdout


@pytest.mark.parametrize(
    ("kind", "was", "becomes", "says"),
    [
        ("problem", "[a.number]", "['5']", "the key is 5"),
        ("move", "[trim(a.content)]", "['Divide.']", "not what the teacher asked"),
        ("move", "o.distractors,", "['What does half mean?'] AS distractors,", "what a teacher said in that"),
        ("move", "o.distractors,", "['Well done.'] AS distractors,", "tells nothing about this problem"),
        ("flashcard", "q.messages[1].content AS shown", "'x' AS shown", "not the text of its prompt"),
        ("flashcard", "c.arms,", "[q.key] AS arms,", "no completion of its prompt"),
    ],
)
def test_what_is_not_proven_stops_the_build(place, monkeypatch, kind, was, becomes, says):
    select = from_completions._SELECTS[kind]
    assert was in select
    monkeypatch.setitem(from_completions._SELECTS, kind, select.replace(was, becomes))
    with open_store(place / "preceptor.duckdb") as con:
        recipe = Exercises(name="x", sources=["prompts", "gsm8k", "mathdial"], exercises=[kind])
        with pytest.raises(GateError, match=says):
            build_exercises(con, recipe)
        assert run(con, "SELECT count(*) FROM exercises") == [(0,)]


def test_exercises_leave_with_a_source_and_with_an_author(place, built, preceptor):
    write_lines(
        place / "c.jsonl", [{"prompt": "d", "content": "Dire fire.", "origin": "learner", "author": "ada"}]
    )
    done = preceptor("ingest", "completions", "c.jsonl", "--source", "ours", "--about", "prompts", cwd=place)
    assert done.returncode == 0, done.stderr
    (place / "x.yaml").write_text("name: tutor\nsources: [prompts, ours]\n")

    def shown():
        assert preceptor("exercises", "build", "x.yaml", cwd=place).returncode == 0
        with open_store(place / "preceptor.duckdb") as con:
            return run(con, "SELECT shown, sources FROM exercises ORDER BY ALL")

    both = [("candid", ["prompts"]), ("dire", ["ours", "prompts"])]
    assert shown() == both
    assert preceptor("forget", "ada", cwd=place).returncode == 0
    with open_store(place / "preceptor.duckdb") as con:
        assert run(con, "SELECT shown FROM exercises") == [("candid",)]


@pytest.mark.slow
def test_keys_of_the_shared_data_by_other_code(tmp_path, shared_data, preceptor):
    """Numbers are read with the file's own mark; moves are compared with the file's turns."""
    for name, path in (("gsm8k", "gsm8k"), ("mathdial", "mathdial/test.jsonl"), ("smart", "smart")):
        done = preceptor("ingest", name, shared_data / path, "--source", name, cwd=tmp_path)
        assert done.returncode == 0, done.stderr
    with open_store(tmp_path / "preceptor.duckdb") as con:
        build_exercises(con, Exercises(name="all", sources=["gsm8k", "mathdial", "smart"]))
        rows = query(con, "FROM exercises").to_dicts()
    by_kind = defaultdict(list)
    for row in rows:
        by_kind[row["kind"]].append(row)
    assert {kind: len(found) for kind, found in by_kind.items()} == {
        "flashcard": 342,
        "problem": 600,
        "move": 962,
    }
    arms = [len(row["arms"]) for row in by_kind["flashcard"]]
    assert (arms.count(2), arms.count(1)) == (341, 1)  # Veracious has one text twice
    finals = {}
    for line in (shared_data / "gsm8k" / "test.jsonl").read_text(encoding="utf-8").splitlines():
        row = json.loads(line)
        finals[row["question"]] = row["answer"].rpartition("#### ")[2].replace(",", "")
    known = [row for row in by_kind["problem"] if row["shown"] in finals]
    assert len(known) > 500
    assert all(row["answers"][0] == finals[row["shown"]] for row in known)
    said = defaultdict(set)
    for line in (shared_data / "mathdial" / "test.jsonl").read_text(encoding="utf-8").splitlines():
        for turn in json.loads(line)["conversation"].split("|EOM|"):
            for act in ("probing", "focus", "telling", "generic"):
                if turn.startswith(f"Teacher: ({act})"):
                    said[act].add(turn.removeprefix(f"Teacher: ({act})").strip())
    asked = [row["answers"][0] for row in by_kind["move"] if "\n" not in row["answers"][0]]
    assert len(asked) > 900
    assert set(asked) <= said["probing"] | said["focus"]
    assert {one for row in by_kind["move"] for one in row["distractors"] if "\n" not in one} <= said[
        "telling"
    ]
