"""Dialogues: turns as they were said, and tutor turns as completions of the dialogue so far."""

import json

import polars as pl
import pytest
from places import RECIPES

from preceptor.schemas.errors import SourceError
from preceptor.schemas.licenses import read_license
from preceptor.schemas.recipe import read_recipe
from preceptor.schemas.tables import COMPLETIONS, PROMPTS, TURNS
from preceptor.toolkit.dataset.build import build
from preceptor.toolkit.ingest.batch import Context
from preceptor.toolkit.ingest.formats import FORMATS
from preceptor.toolkit.ingest.run import Origin, find_inputs, ingest
from preceptor.toolkit.store.connection import count, query


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
    same = query(
        store,
        "SELECT count(*) FROM (SELECT role = lag(role) OVER (PARTITION BY dialogue ORDER BY position) "
        "AS again FROM turns) WHERE again",
    ).item()
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
    different = query(
        store,
        f"""WITH a AS ({said} WHERE source = 'a'), b AS ({said} WHERE source = 'b'),
        first AS (SELECT dense_rank() OVER (ORDER BY d) AS n, * EXCLUDE (d) FROM a),
        second AS (SELECT dense_rank() OVER (ORDER BY d) AS n, * EXCLUDE (d) FROM b)
        (FROM first EXCEPT FROM second) UNION ALL (FROM second EXCEPT FROM first)""",
    )
    assert different.is_empty()


def test_a_folder_of_mathdial_is_read_once(shared_data):
    files = find_inputs(FORMATS["mathdial"], [shared_data / "mathdial"])
    assert [file.name for file in files] == ["example.jsonl", "test.jsonl"]


def test_prompts_are_the_dialogue_so_far_with_the_learner_last(store, tmp_path):
    row = {
        "qid": 7,
        "question": "2 + 3?",
        "student_incorrect_solution": "6",
        "scenario": 1,
        "conversation": "Teacher: (generic)Hi|EOM|Teacher: (focus)Look|EOM|Ann: So: 5|EOM|Ann: yes"
        "|EOM|Teacher: (telling)|EOM|Teacher: (x) Good",
    }
    bad = row | {"conversation": "no speaker"}
    path = tmp_path / "a.jsonl"
    path.write_text("\n".join([json.dumps(row), json.dumps(bad), json.dumps(row | {"question": ""}), "{"]))
    report = load(store, "mathdial", path)
    assert (report.rows, report.rejects) == (1, 3)
    assert query(store, "SELECT role, content, act FROM turns ORDER BY position").rows() == [
        ("assistant", "Hi", "generic"),
        ("assistant", "Look", "focus"),
        ("user", "So: 5", None),
        ("user", "yes", None),
        ("assistant", "", "telling"),
        ("assistant", "(x) Good", None),
    ]
    found = query(
        store,
        """SELECT p.messages, c.content, c.context->>'act' AS act, p."group" FROM completions c
                            JOIN prompts p ON p.key = c.prompt ORDER BY len(p.messages)""",
    ).rows()
    first = {"role": "user", "content": "2 + 3?\n\n6"}
    assert found == [
        ([first], "Hi\nLook", '["generic","focus"]', "7"),
        (
            [first, {"role": "assistant", "content": "Hi\nLook"}, {"role": "user", "content": "So: 5\nyes"}],
            "(x) Good",
            None,
            "7",
        ),
    ]


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
    errors = query(
        store,
        "SELECT context->>'error' AS e, count(*) AS n FROM completions WHERE author = 'expert' GROUP BY 1",
    )
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
    path.write_text(
        json.dumps(
            [
                whole,
                whole | {"c_h": tutor},
                whole | {"c_r_": []},
                whole | {"c_id": None},
                whole | {"c_r": 3},
                5,
            ]
        )
    )
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


def test_gsm8k(store, shared_data):
    folder = shared_data / "gsm8k"
    facts = facts_of(folder)
    report = load(store, "gsm8k", folder)
    assert (report.rows, report.rejects) == (sum(part["rows"] for part in facts.values()), 0)
    for name in ("test.jsonl", "test_socratic.jsonl"):
        total, commas, notes, socratic = query(
            store,
            f"""SELECT sum(replace(context->>'final', ',', '')::DOUBLE), count(*) FILTER
            (contains(context->>'final', ',')), count(*) FILTER (contains(content, '<<')),
            count(*) FILTER ((context->>'socratic')::BOOLEAN) FROM completions WHERE path = '{name}'""",
        ).row(0)
        assert total == facts[name]["sum_of_final_answers"]
        assert commas == facts[name]["final_answers_with_a_thousands_comma"]
        assert notes == 0
        assert socratic == (facts[name]["rows"] if "socratic" in name else 0)
    marked = query(
        store,
        """SELECT author, (context->>'right')::BOOLEAN AS r, count(*) AS n FROM completions
                             WHERE origin = 'model' GROUP BY ALL""",
    ).rows()
    solutions = facts["example_model_solutions.jsonl"]
    assert {(who, str(right)): n for who, right, n in marked} == {
        (who, right): n for who, counts in solutions["is_correct"].items() for right, n in counts.items()
    }
    pairs = query(
        store,
        """SELECT sum(good * bad)::BIGINT, count(*) FILTER (good > 0 AND bad > 0) FROM (
        SELECT count(*) FILTER ((context->>'right')::BOOLEAN) AS good,
            count(*) FILTER (NOT (context->>'right')::BOOLEAN) AS bad
        FROM completions WHERE origin = 'model' GROUP BY prompt)""",
    ).row(0)
    assert pairs == (
        solutions["correct_times_incorrect_pairs"],
        solutions["questions_with_both_a_correct_and_an_incorrect_solution"],
    )
    ends = query(
        store, "SELECT count(*) FROM completions WHERE NOT regexp_matches(content, '\\nAnswer: \\S+')"
    ).item()
    raw = [json.loads(line) for line in (folder / "example_model_solutions.jsonl").read_text().splitlines()]
    broken_off = sum(
        "\nA:" not in value["solution"] for row in raw for value in row.values() if isinstance(value, dict)
    )
    assert ends == broken_off


def test_what_gsm8k_rejects(store, tmp_path):
    path = tmp_path / "a.jsonl"
    good = {"question": "2+2?", "answer": "How? ** 2 + 2 = <<2+2=4>>4\n#### 4"}
    path.write_text(
        "\n".join(
            json.dumps(row)
            for row in (good, {"question": "?", "answer": "four"}, {"question": "?"}, {"answer": "#### 3"})
        )
    )
    report = load(store, "gsm8k", path)
    assert (report.rows, report.rejects) == (1, 3)
    assert query(store, "SELECT content FROM completions").item() == "How? 2 + 2 = 4\nAnswer: 4"
    assert query(store, "SELECT reason FROM rejects ORDER BY line")["reason"].to_list() == [
        "the answer does not end with '#### number' or 'A: number'",
        "'answer' (or 'ground_truth') is missing",
        "'question' is missing or empty",
    ]


SOCRATIC = RECIPES / "socratic"


@pytest.mark.parametrize(
    ("format", "folder", "recipe", "pairs"),
    [("bridge", "bridge", "bridge", 489), ("gsm8k", "gsm8k", "gsm8k", 439)],
)
def test_preferences_that_need_no_annotator(store, shared_data, tmp_path, format, folder, recipe, pairs):
    load(store, format, shared_data / folder)
    done = build(store, read_recipe(SOCRATIC / f"{recipe}.yaml"), tmp_path / "out")
    assert sum(done.counts["preference"].values()) + sum(done.dropped.values()) == pairs
    meta = pl.concat([pl.read_parquet(f) for f in (tmp_path / "out" / "preference_meta").glob("*.parquet")])
    assert set(meta["made"]) == {read_recipe(SOCRATIC / f"{recipe}.yaml").pairs.policy}
    assert meta["p"].null_count() == meta.height
    splits = {
        f.stem: set(pl.read_parquet(f)["group"])
        for f in (tmp_path / "out" / "preference_meta").glob("*.parquet")
    }
    assert sum(map(len, splits.values())) == len(set.union(*splits.values()))  # no group in two splits
    assert "nobody voted" in (tmp_path / "out" / "README.md").read_text()
