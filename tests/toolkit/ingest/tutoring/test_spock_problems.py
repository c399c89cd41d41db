"""SPOCK's problems: sub-problems as prompts; feedback, hint and answer as completions."""

import csv
import io
import json

import pytest
from examples import few
from hypothesis import given
from hypothesis import strategies as st

from preceptor.schemas.errors import SourceError
from preceptor.schemas.licenses import read_license
from preceptor.schemas.tables import COMPLETIONS, PROMPTS, REJECTS
from preceptor.toolkit.ingest.batch import Context
from preceptor.toolkit.ingest.formats import FORMATS
from preceptor.toolkit.ingest.run import Origin, find_inputs, ingest
from preceptor.toolkit.store.connection import count, query, remove_source

FORMAT = FORMATS["spock-problems"]


def load(store, path, source="s"):
    return ingest(store, FORMAT, find_inputs(FORMAT, [path]), Context(source), Origin(read_license(None)))


def records(path):
    """Each record's first line and its fields, as the csv module reads them."""
    with path.open(encoding="utf-8", newline="") as stream:
        reader = csv.reader(stream)
        header, start = next(reader), reader.line_num + 1
        for fields in reader:
            yield start, dict(zip(header, fields, strict=True))
            start = reader.line_num + 1


def test_spock_problems(store, shared_data):
    folder = shared_data / "spock-bio-problems"
    facts = json.loads((folder / "facts.json").read_text())
    report = load(store, folder)
    assert report.rows + report.rejects == facts["rows"]
    assert report.rows == facts["problems_that_parse"]
    assert facts["problems_without_sub_problems"] == 0
    read = list(records(folder / "bio-problems-learning_objs.csv"))
    number = {line: n for n, (line, _) in enumerate(read, 1)}
    rejects = query(store, "SELECT line, reason FROM rejects ORDER BY line")
    broken = facts["data_rows_whose_problem_is_broken_json"]
    assert [number[line] for line in rejects["line"]] == broken
    assert set(facts["data_rows_broken_only_by_a_trailing_comma"]) <= set(broken)
    assert set(rejects["reason"]) == {"'problems' is not valid JSON"}
    assert query(store, "SELECT count(DISTINCT ref) FROM prompts").item() == facts["sub_problems"]
    (keys,) = facts["sub_problem_key_sets"]
    assert keys == "Question | Answer | Hint | Incorrect Response | Feedback"
    kinds = query(store, "SELECT context->>'kind' AS k, count(*) FROM completions GROUP BY 1")
    assert dict(kinds.rows()) == dict.fromkeys(("feedback", "hint", "answer"), facts["sub_problems"])
    pairs = query(
        store,
        """SELECT count(*) FROM prompts p JOIN completions c ON c.prompt = p.key
        WHERE c.context->>'kind' = 'answer' AND c.content <> p.messages[-1].content""",
    ).item()
    assert pairs == facts["candidate_pairs_answer_over_incorrect_response"]
    # Sections are counted over all rows, also those whose JSON is broken; physical lines and key
    # sets are of the file, not of what is stored.
    assert len({row["section_id"] for _, row in read}) == facts["sections"]
    sound = {row["section_id"] for line, row in read if line not in set(rejects["line"])}
    assert set(query(store, 'SELECT DISTINCT "group" FROM prompts')["group"]) == sound


def test_every_real_sub_problem_is_as_published(store, shared_data):
    folder = shared_data / "spock-bio-problems"
    load(store, folder)
    found = query(
        store,
        """SELECT p.line, string_split(p.ref, '-')[-1]::INT AS n, p.messages,
        p.context, max(c.content) FILTER (c.context->>'kind' = 'feedback') AS feedback,
        max(c.content) FILTER (c.context->>'kind' = 'hint') AS hint,
        max(c.content) FILTER (c.context->>'kind' = 'answer') AS answer
        FROM prompts p JOIN completions c ON c.prompt = p.key GROUP BY ALL""",
    ).rows()
    by_place = {(line, n): rest for line, n, *rest in found}
    for line, record in records(folder / "bio-problems-learning_objs.csv"):
        if (line, 1) not in by_place:
            continue
        problem = json.loads(record["problems"])
        for n, part in enumerate(problem.get("SubProblems") or problem["Subproblems"], 1):
            messages, context, *told = by_place[line, n]
            assert [m["content"] for m in messages] == [
                problem["Problem"],
                part["Question"],
                part["Incorrect Response"],
            ]
            assert told == [part["Feedback"], part["Hint"], part["Answer"]]
            assert json.loads(context) == {
                "section": record["section_id"],
                "name": record["section_name"],
                "objectives": record["section_learning_objs"].strip(),
                "facts": problem["Facts"],
                "solution": problem["Solution"],
            }


PART = {
    "Question": "What is it?",
    "Answer": "A wall.",
    "Hint": "Look, outside]",
    "Incorrect Response": "A door.",
    "Feedback": "Doors open.",
}
PROBLEM = {
    "Problem": "Cells",
    "SubProblems": [PART, PART | {"Question": "Why?"}],
    "Facts": ["f"],
    "Solution": "s",
}
HEADER = ["section_name", "section_learning_objs", "section_id", "problems"]


def written(*rows, header=HEADER):
    text = io.StringIO()
    csv.writer(text).writerows([header, *rows])
    return text.getvalue()


def row(problem, section="4.10"):
    return [
        "Cells",
        "Know cells\n",
        section,
        problem if isinstance(problem, str) else json.dumps(problem, indent=1),
    ]


def test_a_tutor_meets_problem_question_and_wrong_answer(store, tmp_path):
    odd = {
        "Sub-problems": [
            {
                "incorrect response": "x",
                "QUESTION": "y?",
                "Answer": "z",
                "Feedback": None,
                "Hint": " ",
                "Mood": 3,
            }
        ],
        "Problem": "P",
    }
    path = tmp_path / "problems.csv"
    path.write_text(written(row(PROBLEM), row(odd)), encoding="utf-8-sig", newline="")
    report = load(store, path)
    assert (report.rows, report.rejects, count(store, PROMPTS)) == (2, 0, 3)
    assert query(store, """SELECT messages, "group" FROM prompts ORDER BY ref""").rows()[0] == (
        [
            {"role": "user", "content": "Cells"},
            {"role": "assistant", "content": "What is it?"},
            {"role": "user", "content": "A door."},
        ],
        "4.10",
    )
    first = query(
        store,
        """SELECT c.content, c.context, c.origin, c.author FROM completions c JOIN prompts p
        ON p.key = c.prompt WHERE p.messages[2].content = 'What is it?'""",
    ).rows()
    assert first == [
        ("Doors open.", '{"kind":"feedback"}', "model", "gpt-4"),
        ("Look, outside]", '{"kind":"hint"}', "model", "gpt-4"),
        ("A wall.", '{"kind":"answer"}', "model", "gpt-4"),
    ]
    assert query(store, "SELECT content, context FROM completions WHERE content = 'z'").rows() == [
        ("z", '{"kind":"answer"}')
    ]
    assert count(store, COMPLETIONS) == 7


BAD = [
    (row(json.dumps(PROBLEM)[:-1] + ",}"), "'problems' is not valid JSON"),
    (row(json.dumps(PROBLEM)[:-3]), "'problems' is not valid JSON"),
    (row(""), "'problems' is empty"),
    (row([PART]), "'problems' is not a JSON object with 'Problem' and 'SubProblems'"),
    (row(PROBLEM | {"Problem": ""}), "'Problem' is missing or no text"),
    (row({"Problem": "P"}), "'SubProblems' is missing or not a list"),
    (row({"Problem": "P", "SubProblems": []}), "'SubProblems' is empty"),
    (
        row({"Problem": "P", "SubProblems": [PART, {"Question": "?", "Hint": "h"}]}),
        "sub-problem 2: 'Incorrect Response' is missing or no text",
    ),
    (row({"Problem": "P", "SubProblems": [3]}), "sub-problem 1: 'Question' is missing or no text"),
    (
        row({"Problem": "P", "SubProblems": [{"Question": "?", "Incorrect Response": "i"}]}),
        "sub-problem 1: has no 'Feedback', 'Hint' or 'Answer'",
    ),
    (row(PROBLEM, ""), None),
    (["", "", "", json.dumps(PROBLEM)], "'section_id' is empty"),
]


def test_what_spock_problems_rejects(store, tmp_path):
    path = tmp_path / "problems.csv"
    path.write_text(written(*(bad for bad, _ in BAD)), newline="")
    report = load(store, path)
    expected = [reason for _, reason in BAD if reason]
    assert (report.rows, report.rejects) == (1, len(expected))
    assert query(store, "SELECT reason FROM rejects ORDER BY line")["reason"].to_list() == expected
    # Without a section id its name keeps rows together.
    assert query(store, 'SELECT DISTINCT "group" FROM prompts').item() == "Cells"
    assert load(store, path).already_there


def test_other_files_say_what_is_missing(store, tmp_path):
    path = tmp_path / "problems.csv"
    path.write_text("a,b\n1,2\n")
    with pytest.raises(SourceError, match=r"no column section_id or problems.*the file has a, b"):
        load(store, path)
    path.write_text("section_id,problems\n1,2\n")
    with pytest.raises(SourceError, match="is it this format"):
        load(store, path)
    (tmp_path / "empty").mkdir()
    with pytest.raises(SourceError, match="holds no CSV with the columns section_id and problems"):
        load(store, tmp_path / "empty")
    assert count(store, PROMPTS) == 0


def test_damaged_problems_balance(opened, tmp_path):
    path = tmp_path / "problems.csv"
    whole = written(row(PROBLEM), row(PROBLEM, "5"), row({"Problem": "é", "Subproblems": [PART]})).encode()

    @few()
    @given(st.data())
    def run(data):
        content = whole
        for _ in range(data.draw(st.integers(0, 4))):
            start = data.draw(st.integers(0, len(content)))
            end = min(len(content), start + data.draw(st.integers(0, 30)))
            pieces = [
                b"",
                b'"',
                b'""',
                b"\xff",
                b",",
                b"{",
                b"\n",
                b"\\u0000",
                b"null",
                content[start : start + 200],
            ]
            content = content[:start] + data.draw(st.sampled_from(pieces)) + content[end:]
        path.write_bytes(content)
        for source in query(opened, "SELECT name FROM sources")["name"]:
            remove_source(opened, source)
        try:
            report = load(opened, path)
        except SourceError:
            return
        assert report.rejects == count(opened, REJECTS)
        assert query(opened, "SELECT count(DISTINCT line) FROM completions").item() == report.rows
        assert query(opened, "SELECT count(*) = count(DISTINCT ref) FROM completions").item()

    run()
