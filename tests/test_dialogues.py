"""Dialogues: turns as they were said, and tutor turns as completions of the dialogue so far."""

import json

import pytest

from preceptor.schemas.errors import SourceError
from preceptor.schemas.licenses import read_license
from preceptor.schemas.tables import COMPLETIONS, PROMPTS, TURNS
from preceptor.toolkit.ingest.batch import Context
from preceptor.toolkit.ingest.registry import FORMATS
from preceptor.toolkit.ingest.run import Origin, find_inputs, ingest
from preceptor.toolkit.store import count, query


def load(store, format, path, source="s"):
    files = find_inputs(FORMATS[format], [path])
    return ingest(store, FORMATS[format], files, Context(source), Origin(read_license(None)))


def facts_of(folder):
    return json.loads((folder / "facts.json").read_text(encoding="utf-8"))


@pytest.mark.parametrize("name", ["test.jsonl", "test.csv"])
def test_mathdial(store, shared_data, name):
    folder = shared_data / "mathdial"
    facts = facts_of(folder)
    report = load(store, "mathdial", folder / name)
    assert (report.rows, report.rejects) == (facts["dialogues"], 0)
    assert count(store, TURNS) == facts["turns"]
    roles = dict(query(store, "SELECT role, count(*) FROM turns GROUP BY 1").rows())
    assert roles == {
        "assistant": facts["turns_by_role"]["teacher"],
        "user": facts["turns_by_role"]["student"],
    }
    moves = query(store, "SELECT act, count(*) FROM turns WHERE act IS NOT NULL GROUP BY 1")
    assert dict(moves.rows()) == facts["teacher_moves"]
    empty = query(store, "SELECT count(*) FROM turns WHERE content = ''").item()
    assert empty == len(facts["empty_teacher_turns_line_turn"])
    same = query(store, "SELECT count(*) FROM (SELECT role = lag(role) OVER (PARTITION BY dialogue ORDER BY position) "
                        "AS again FROM turns) WHERE again").item()  # fmt: skip
    assert same == facts["consecutive_turns_of_the_same_role"]
    assert query(store, 'SELECT count(DISTINCT "group") FROM prompts').item() == facts["distinct_qid"]
    outcomes = query(
        store, "SELECT context->>'self-correctness' AS o, count(DISTINCT line) AS n FROM prompts GROUP BY 1"
    )
    assert set(outcomes["o"].drop_nulls()) == set(facts["self_correctness"]) - {"None"}


def test_csv_and_json_lines_of_mathdial_hold_the_same_turns(store, shared_data):
    for name, source in (("test.jsonl", "a"), ("test.csv", "b")):
        load(store, "mathdial", shared_data / "mathdial" / name, source)
    said = "SELECT string_split(dialogue, ':')[2]::BIGINT AS d, position, role, content, act FROM turns"
    different = query(store, f"""WITH a AS ({said} WHERE source = 'a'), b AS ({said} WHERE source = 'b'),
        first AS (SELECT dense_rank() OVER (ORDER BY d) AS n, * EXCLUDE (d) FROM a),
        second AS (SELECT dense_rank() OVER (ORDER BY d) AS n, * EXCLUDE (d) FROM b)
        (FROM first EXCEPT FROM second) UNION ALL (FROM second EXCEPT FROM first)""")  # fmt: skip
    assert different.is_empty()


def test_a_folder_of_mathdial_is_read_once(shared_data):
    files = find_inputs(FORMATS["mathdial"], [shared_data / "mathdial"])
    assert [file.name for file in files] == ["example.jsonl", "test.jsonl"]


def test_prompts_are_the_dialogue_so_far_with_the_learner_last(store, tmp_path):
    row = {"qid": 7, "question": "2 + 3?", "student_incorrect_solution": "6", "scenario": 1,
           "conversation": "Teacher: (generic)Hi|EOM|Teacher: (focus)Look|EOM|Ann: So: 5|EOM|Ann: yes"
                           "|EOM|Teacher: (telling)|EOM|Teacher: (x) Good"}  # fmt: skip
    bad = row | {"conversation": "no speaker"}
    path = tmp_path / "a.jsonl"
    path.write_text("\n".join([json.dumps(row), json.dumps(bad), json.dumps(row | {"question": ""}), "{"]))
    report = load(store, "mathdial", path)
    assert (report.rows, report.rejects) == (1, 3)
    assert query(store, "SELECT role, content, act FROM turns ORDER BY position").rows() == [
        ("assistant", "Hi", "generic"), ("assistant", "Look", "focus"), ("user", "So: 5", None),
        ("user", "yes", None), ("assistant", "", "telling"), ("assistant", "(x) Good", None)]  # fmt: skip
    found = query(store, """SELECT p.messages, c.content, c.context->>'act' AS act, p."group" FROM completions c
                            JOIN prompts p ON p.key = c.prompt ORDER BY len(p.messages)""").rows()  # fmt: skip
    first = {"role": "user", "content": "2 + 3?\n\n6"}
    assert found == [
        ([first], "Hi\nLook", '["generic","focus"]', "7"),
        ([first, {"role": "assistant", "content": "Hi\nLook"}, {"role": "user", "content": "So: 5\nyes"}],
         "(x) Good", None, "7"),
    ]  # fmt: skip


@pytest.mark.parametrize("name", ["train", "validation"])
def test_bridge(store, shared_data, name):
    folder = shared_data / "bridge"
    facts = facts_of(folder)[name]
    report = load(store, "bridge", folder / f"{name}.json")
    silent = [
        row for row in json.loads((folder / f"{name}.json").read_text()) if not row["c_h"][-1]["text"].strip()
    ]
    assert (report.rows, report.rejects) == (facts["rows"] - len(silent), len(silent))
    assert count(store, TURNS) == facts["history_turns"] - sum(len(row["c_h"]) for row in silent)
    assert query(store, 'SELECT count(DISTINCT "group") FROM prompts').item() >= facts["distinct_c_id"] - len(
        silent
    )
    assert count(store, COMPLETIONS) == 2 * report.rows
    errors = query(store, "SELECT context->>'error' AS e, count(*) AS n FROM completions WHERE author = 'expert' "
                          "GROUP BY 1")  # fmt: skip
    counts = dict(errors.rows())
    for row in silent:
        counts[row["e"]] = counts.get(row["e"], 0) + 1
    assert all(counts[kind] == times for kind, times in facts["error_type_top6"])
    last = query(store, "SELECT DISTINCT messages[-1].role AS r FROM prompts")["r"].to_list()
    assert last == ["user"]


def test_what_bridge_rejects(store, tmp_path):
    talk = [{"user": "student", "text": "7?"}]
    tutor = [{"user": "tutor", "text": "No."}]
    whole = {"c_id": "1", "c_h": talk, "c_r": tutor, "c_r_": tutor}
    path = tmp_path / "a.json"
    path.write_text(json.dumps([whole, whole | {"c_h": tutor}, whole | {"c_r_": []}, whole | {"c_id": None},
                                whole | {"c_r": 3}, 5]))  # fmt: skip
    report = load(store, "bridge", path)
    assert (report.rows, report.rejects, count(store, PROMPTS)) == (1, 5, 1)
    assert query(store, "SELECT line, reason FROM rejects ORDER BY line").rows() == [
        (2, "'c_h' does not end with the student"),
        (3, "'c_r_' holds no reply of the expert"),
        (4, "'c_id' is missing"),
        (5, "'c_r' is not a list"),
        (6, "expected a JSON object"),
    ]
    path.write_text("{}")
    with pytest.raises(SourceError, match="expected one JSON list"):
        load(store, "bridge", path, "other")
