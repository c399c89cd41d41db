"""Empty fields of tutoring corpora are said, in a note, and who wrote a reply is as the file says."""

import csv
import json

import pytest

from preceptor.toolkit.ingest.run import ingest_files
from preceptor.toolkit.store.connection import query

BRIDGE = {
    "c_id": "1_2",
    "lesson_topic": "Division",
    "c_h": [{"user": "tutor", "text": "6 : 2?"}, {"user": "student", "text": "4"}],
    "c_r": [{"user": "tutor", "text": "No."}],
    "c_r_": [{"user": "tutor", "text": "How did you get 4?"}],
    "e": "guess",
    "z_what": "ask_question",
    "z_why": "diagnose_mistake",
}
PART = {
    "Question": "What is 2 x 3?",
    "Answer": "6",
    "Hint": "Add 2 three times.",
    "Incorrect Response": "5",
    "Feedback": "That is 2 + 3.",
}


def write_bridge(folder, **changes):
    (folder / "train.json").write_text(json.dumps([BRIDGE, BRIDGE | changes]))
    return folder / "train.json"


def write_spock_problems(folder, **changes):
    problem = json.dumps({"Problem": "Tables.", "SubProblems": [PART, PART | changes]})
    with (folder / "p.csv").open("w", newline="") as stream:
        writer = csv.writer(stream)
        writer.writerows([["section_id", "problems"], ["1.1", problem]])
    return folder / "p.csv"


def write_mathdial(folder, turn):
    row = {"qid": 1, "question": "2 x 3?", "student_incorrect_solution": "5"}
    talk = f"Teacher: (probing)Why?|EOM|Student: {turn}|EOM|Teacher: (focus)And now?|EOM|Student: 6"
    (folder / "test.jsonl").write_text(json.dumps(row | {"conversation": talk}) + "\n")
    return folder / "test.jsonl"


def write_cima(folder, turn):
    exercise = {
        "past_convo": ["Fill in the blank.", turn, "Try again.", "e sotto"],
        "engPrep": "is under the",
        "engObj": "table",
        "engColor": "pink",
        "studentActions": ["True", "False", "False", "False"],
        "tutorResponses": ["Almost!"],
        "tutorActions": [[True, False, True, False, False]],
    }
    (folder / "dataset.json").write_text(json.dumps({"prepDataset": {"1": exercise}, "shapeDataset": {}}))
    return folder / "dataset.json"


WITHOUT_TEXT = "turns without text, which are in no prompt and no completion: 1"


@pytest.mark.parametrize(
    ("format", "whole", "empty", "note"),
    [
        (
            "spock-problems",
            write_spock_problems,
            lambda f: write_spock_problems(f, Answer=" "),
            "p.csv: empty or missing, so no completion: 'Answer' in 1 of 2 sub-problems",
        ),
        (
            "spock-problems",
            write_spock_problems,
            lambda f: write_spock_problems(f, Hint=None, Feedback=""),
            "p.csv: empty or missing, so no completion: 'Feedback' in 1, 'Hint' in 1 of 2 sub-problems",
        ),
        (
            "bridge",
            write_bridge,
            lambda f: write_bridge(f, e="", z_why=" "),
            "train.json: of 2 rows empty: 'e' in 1, 'z_why' in 1; null in the reply's context",
        ),
        (
            "bridge",
            write_bridge,
            lambda f: write_bridge(f, c_r=[*BRIDGE["c_r"], {"user": "tutor", "text": ""}]),
            f"train.json: {WITHOUT_TEXT}",
        ),
        (
            "mathdial",
            lambda f: write_mathdial(f, "I added."),
            lambda f: write_mathdial(f, " "),
            f"test.jsonl: {WITHOUT_TEXT}",
        ),
        ("cima", lambda f: write_cima(f, "e"), lambda f: write_cima(f, ""), f"dataset.json: {WITHOUT_TEXT}"),
    ],
)
def test_what_is_empty_is_said(store, tmp_path, format, whole, empty, note):
    assert ingest_files(store, format, [whole(tmp_path)], "whole").notes == []
    report = ingest_files(store, format, [empty(tmp_path)], "s")
    assert (report.rejects, report.notes) == (0, [note])


def test_replies_of_models_in_bridge_are_by_these_models(store, tmp_path):
    path = write_bridge(tmp_path, response_by="gpt4", framework_by="none", e="", z_what="", z_why="")
    ingest_files(store, "bridge", [path], "s")
    found = query(store, "SELECT line, author, origin, context FROM completions ORDER BY line, author").rows()
    assert [row[:3] for row in found] == [
        (1, "expert", "human"),
        (1, "novice", "human"),
        (2, "gpt4", "model"),
        (2, "novice", "human"),
    ]
    assert json.loads(found[0][3]) == {
        "error": "guess",
        "strategy": "ask_question",
        "intention": "diagnose_mistake",
    }
    thought = {"error": None, "strategy": None, "intention": None, "framework_by": "none"}
    assert json.loads(found[2][3]) == thought


def test_conversations_that_differ_in_white_space_are_one_group(store, tmp_path):
    def row(id, history):
        replies = {"A": {"response": f"Hm {id}", "annotation": {"Coherence": "Yes"}}}
        return {
            "conversation_id": id,
            "conversation_history": history,
            "Ground_Truth_Solution": "Not Available",
            "anno_llm_responses": replies,
        }

    path = tmp_path / "mrbench.json"
    rows = [
        row("1", "Tutor: How many?\u00a0\n\u00a0Student: Nine apples."),
        row("2", "Tutor:  How many?\nStudent: nine\u00a0 apples. "),
        row("3", "Tutor: How many?\nStudent: Ten apples."),
    ]
    path.write_text(json.dumps(rows))
    ingest_files(store, "mrbench", [path], "s")
    groups = query(store, 'SELECT "group" FROM prompts ORDER BY line')["group"].to_list()
    assert groups == ["1", "1", "3"]
