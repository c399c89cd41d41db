"""SPOCK: dialogues with structured tutor turns, of physics and of biology."""

import gzip
import json

import pytest
from examples import few
from hypothesis import given
from hypothesis import strategies as st

from preceptor.schemas.errors import SourceError
from preceptor.schemas.licenses import read_license
from preceptor.schemas.tables import COMPLETIONS, PROMPTS, REJECTS, TURNS
from preceptor.toolkit.ingest.batch import Context
from preceptor.toolkit.ingest.formats import FORMATS
from preceptor.toolkit.ingest.run import Origin, find_inputs, ingest
from preceptor.toolkit.store.connection import count, query, remove_source


def load(store, path, format="spock", source="s", **options):
    files = find_inputs(FORMATS[format], [path])
    return ingest(store, FORMATS[format], files, Context(source), Origin(read_license(None)), **options)


def facts_of(folder):
    return json.loads((folder / "facts.json").read_text(encoding="utf-8"))


BIOLOGY = {
    "Evaluation of Student Response": "a",
    "Action Based on Evaluation": "1",
    "Subproblem State": "x",
    "Subproblem": "What is a cell?",
    "Tutorbot": "Not yet: look again.",
}
PHYSICS = {
    "Thoughts of Tutorbot": "hm",
    "Evaluation of Student Response": "b",
    "Action Based on Evaluation": "3",
    "Step Number": "2",
    "Step State": "r",
    "Tutorbot Response": "Right.",
}


def said(turns):
    return {"id": "c1", "conversations": [{"from": who, "value": value} for who, value in turns]}


TALK = [
    ("student", 'Please help me with this question: "Q3. Why?"'),
    ("initial_state", PHYSICS),
    ("student", "So?"),
    ("deciding_state", {"Use Python": "n"}),
    ("no_python_state", PHYSICS),
]


def test_spock_physics(store, shared_data):
    folder = shared_data / "spock-phys"
    facts = facts_of(folder)
    report = load(store, folder)
    assert (report.rows, report.rejects) == (facts["dialogues"], 0)
    assert count(store, TURNS) == facts["turns"]
    spoken = facts["turns_by_from"]
    by_role = dict(query(store, "SELECT role, count(*) FROM turns GROUP BY 1").rows())
    hidden = {
        who: n for who, n in spoken.items() if who in ("deciding_state", "use_python_state", "python_output")
    }
    assert by_role == {
        "user": spoken["student"],
        "assistant": facts["tutor_states_with_a_response"],
        "system": sum(hidden.values()),
    }
    said_by = query(store, "SELECT state->>'from' AS f, count(*) FROM turns WHERE f IS NOT NULL GROUP BY 1")
    assert dict(said_by.rows()) == {who: n for who, n in spoken.items() if who != "student"}
    assert query(store, "SELECT count(DISTINCT context->>'id') FROM prompts").item() == facts["distinct_ids"]
    first = query(
        store, "SELECT state->>'evaluation' AS e, count(*) FROM turns WHERE role = 'assistant' GROUP BY 1"
    )
    assert dict(first.rows()) == facts["evaluation_first_letter"]
    assert count(store, COMPLETIONS) == facts["tutor_states_with_a_response"]
    misspelt = query(
        store,
        """SELECT path, position FROM turns WHERE (state->'raw') IS NOT NULL
        AND NOT list_contains(json_keys(state->'raw'), 'Action Based on Evaluation') ORDER BY 1""",
    ).rows()
    assert misspelt == sorted(
        ("conversation_jsons/" + turn["file"], turn["turn"]) for turn in facts["states_with_a_missing_key"]
    )
    whole = query(store, "SELECT count(*) FROM turns WHERE role = 'assistant'").item() - len(misspelt)
    assert whole == facts["states_with_all_six_keys"]
    odd = query(
        store,
        """SELECT path, position, key, "raw"->>key AS value FROM (
        SELECT path, position, state->'raw' AS "raw", unnest(json_keys(state->'raw')) AS key FROM turns)
        WHERE key IN ('Evaluation of Student Response', 'Action Based on Evaluation', 'Step State')
        AND NOT regexp_full_match("raw"->>key, '[a-g]|[0-9]+|[p-t]')""",
    )
    assert odd.height == facts["coded_values_not_a_bare_code"]
    assert dict(odd.group_by("key").len().rows()) == facts["coded_value_deviations_by_field"]
    found = {(path.rpartition("/")[2], turn, key): value for path, turn, key, value in odd.rows()}
    for one in facts["coded_value_deviations_first20"]:
        assert found[one["file"], one["turn"], one["field"]].startswith(one["value"])


def test_every_real_turn_of_the_tutor_is_kept_and_written_canonically(store, shared_data):
    folder = shared_data / "spock-phys"
    load(store, folder)
    stored = {
        (path, position): (content, state)
        for path, position, content, state in query(
            store, "SELECT path, position, content, state FROM turns"
        ).rows()
    }
    answers = dict(query(store, "SELECT ref, content FROM completions").rows())
    for file in sorted((folder / "conversation_jsons").iterdir()):
        path = f"conversation_jsons/{file.name}"
        for n, turn in enumerate(json.loads(file.read_text())["conversations"]):
            content, state = stored[path, n]
            value, state = turn["value"], json.loads(state or "{}")
            if turn["from"] == "student":
                assert content == value
            elif "Tutorbot Response" in value:
                assert content == value["Tutorbot Response"]
                written = json.loads(answers[f"{path}:1-{n}"])
                assert list(written) == list(PHYSICS)[1:]
                assert written["Step Number"] == value["Step Number"]
                assert state.get("raw", value) == value
                assert state["thoughts"] == value["Thoughts of Tutorbot"]
                if "raw" not in state:
                    assert written | {"Thoughts of Tutorbot": value["Thoughts of Tutorbot"]} == value
            else:
                assert (content, state["value"]) == ("", value)
    last = query(store, "SELECT DISTINCT messages[-1].role FROM prompts").item()
    assert last == "user"
    assert query(store, "SELECT bool_and(regexp_full_match(act, '[0-9]+')) FROM turns").item()
    assert (
        query(
            store,
            "SELECT count(*) FROM prompts WHERE len(list_filter(messages, "
            "lambda m: starts_with(m.content, '{')))>0",
        ).item()
        == 0
    )


def test_one_dialogue_a_list_and_json_lines_hold_the_same(store, tmp_path):
    one, two = said(TALK), said([("student", "Who?"), TALK[1]])
    (tmp_path / "one").mkdir()
    (tmp_path / "one" / "conversation_1.json").write_text(json.dumps(one, indent=1), encoding="utf-8-sig")
    (tmp_path / "one" / "conversation_2.json").write_text(json.dumps(two).replace("\n", "\r\n"))
    (tmp_path / "one" / "facts.json").write_text('{"dialogues": 2}')
    (tmp_path / "list.json").write_text(json.dumps([one, two], indent=1).replace("\n", "\r\n"))
    (tmp_path / "lines.jsonl.gz").write_bytes(
        gzip.compress(f"{json.dumps(one)}\n\n{json.dumps(two)}".encode())
    )
    found = []
    for source in ("one", "list.json", "lines.jsonl.gz"):
        report = load(store, tmp_path / source, source=source)
        assert (report.rows, report.rejects) == (2, 0)
        found.append(
            query(
                store,
                f"""SELECT p.messages, p."group", p.context, c.content, c.context AS about
            FROM completions c JOIN prompts p ON p.key = c.prompt WHERE c.source = '{source}'
            ORDER BY p.line, p.path, len(p.messages)""",
            ).rows()
        )
    lines = query(store, "SELECT DISTINCT source, line FROM prompts ORDER BY ALL").rows()
    assert lines == [
        ("lines.jsonl.gz", 1),
        ("lines.jsonl.gz", 3),
        ("list.json", 1),
        ("list.json", 2),
        ("one", 1),
    ]
    assert sorted(map(repr, found[0])) == sorted(map(repr, found[1])) == sorted(map(repr, found[2]))
    messages, group, context, content, about = found[1][1]
    assert [m["content"] for m in messages] == [TALK[0][1], "Right.", "So?"]
    assert (group, json.loads(context)) == ("why?", {"id": "c1"})
    assert json.loads(content) == {k: v for k, v in PHYSICS.items() if k != "Thoughts of Tutorbot"}
    assert json.loads(about) == {
        "evaluation": "b",
        "action": "3",
        "state": "r",
        "complete": True,
        "variant": "physics",
    }


def test_biology_with_its_instructions_and_turns_as_text(store, tmp_path):
    start = 'Instructions to Act as a Tutorbot:\nBe kind.\n\nStudent: "\nQ. What is a cell?"'
    first = BIOLOGY | {
        "Thoughts of Tutorbot": "new",
        "Evaluation of Student Response": "N/A",
        "Action Based on Evaluation": "N/A",
        "Subproblem State": "N/A",
    }
    lenient = json.dumps(BIOLOGY | {"Tutorbot": 'Don\'t say "so"'})
    talk = said(
        [
            ("human", start),
            ("gpt", json.dumps(first)),
            ("human", "A wall"),
            ("gpt", str(BIOLOGY)),
            ("human", "It's"),
            ("gpt", str(json.loads(lenient))),
        ]
    )
    other = said([("human", "Question 12: what is a  cell?"), ("gpt", BIOLOGY)])
    (tmp_path / "bio-dataset-1.json").write_text(json.dumps([talk, other]))
    report = load(store, tmp_path)
    assert (report.rows, report.rejects) == (2, 0)
    assert report.notes == [
        "3 of the tutor's turns have a key or code of another form; 'raw' in their state has it"
    ]
    spoken = query(
        store, "SELECT role, content, act, state FROM turns WHERE dialogue LIKE '%:1' ORDER BY position"
    )
    assert [row[:3] for row in spoken.rows()] == [
        ("user", "Q. What is a cell?", None),
        ("assistant", BIOLOGY["Tutorbot"], "12"),
        ("user", "A wall", None),
        ("assistant", BIOLOGY["Tutorbot"], "1"),
        ("user", "It's", None),
        ("assistant", 'Don\'t say "so"', "1"),
    ]
    assert json.loads(spoken["state"][0]) == {"instructions": start.partition("Student: ")[0]}
    state = json.loads(spoken["state"][1])
    assert state == {
        "from": "gpt",
        "evaluation": "g",
        "action": "12",
        "state": "w",
        "thoughts": "new",
        "subproblem": BIOLOGY["Subproblem"],
        "raw": json.dumps(first),
    }
    answers = query(
        store, "SELECT content, origin, author FROM completions WHERE line = 1 ORDER BY ref"
    ).rows()
    codes = {
        "Evaluation of Student Response": "g",
        "Action Based on Evaluation": "12",
        "Subproblem State": "w",
    }
    assert [json.loads(row[0]) for row in answers] == [
        BIOLOGY | codes,
        BIOLOGY,
        BIOLOGY | {"Tutorbot": 'Don\'t say "so"'},
    ]
    assert {row[1:] for row in answers} == {("model", "gpt-4")}
    assert query(store, 'SELECT DISTINCT "group" FROM prompts')["group"].to_list() == ["what is a cell?"]


def test_what_cannot_be_recognised_is_null_and_noted(store, tmp_path):
    odd = PHYSICS | {"Step State": "finished", "Action Based on Evaluation": None}
    path = tmp_path / "a.json"
    path.write_text(
        json.dumps(said([("student", "?"), ("initial_state", odd), ("no_python_state", PHYSICS)]))
    )
    report = load(store, path)
    assert report.notes == [
        "1 of the tutor's turns have a key or code of another form; 'raw' in their state has it",
        "1 of the tutor's turns lack a code that can be recognised; it is null in their state",
    ]
    # The second of two turns in a row answers nobody.
    ((content, about),) = query(store, "SELECT content, context FROM completions").rows()
    assert json.loads(content) == {
        "Evaluation of Student Response": "b",
        "Step Number": "2",
        "Step State": "finished",
        "Tutorbot Response": "Right.",
    }
    assert json.loads(about) == {
        "evaluation": "b",
        "action": None,
        "state": None,
        "complete": False,
        "variant": "physics",
    }


BAD = [
    ({"id": "x"}, "'conversations' is missing or not a list"),
    ({"id": "x", "conversations": []}, "'conversations' is empty"),
    ({"id": "x", "conversations": "no"}, "'conversations' is missing or not a list"),
    ([1], "expected a dialogue, an object of 'id' and 'conversations'"),
    (
        said([("student", "?"), ("initial_state", {"Step State": "q"})]),
        "conversations[1]: the tutor's turn has no response ('Tutorbot' or 'Tutorbot Response')",
    ),
    (
        said([("human", "?"), ("gpt", "Let me see.")]),
        "conversations[1]: the tutor's value is not a JSON object",
    ),
    (said([("student", {"a": 1})]), "conversations[0]: what the student says is not text"),
    (
        said([("student", "?"), ("parrot", "!")]),
        "conversations[1]: 'from' is 'parrot', expected student, a state "
        "of the tutor, python_output, human or gpt",
    ),
    ({"id": "x", "conversations": [3]}, "conversations[0]: expected an object of 'from' and 'value'"),
]


def test_what_spock_rejects(store, tmp_path):
    path = tmp_path / "a.jsonl"
    rows = [
        json.dumps(said(TALK)),
        *(json.dumps(row) for row, _ in BAD),
        '{"id": ',
        json.dumps(said(TALK))[:-1] + ",}",
    ]
    path.write_bytes("\n".join(rows).encode() + b'\n{"id": "\xff"}\n')
    report = load(store, path)
    assert (report.rows, report.rejects, count(store, REJECTS)) == (1, len(BAD) + 3, len(BAD) + 3)
    reasons = query(store, "SELECT reason FROM rejects ORDER BY line")["reason"].to_list()
    assert reasons == [*(reason for _, reason in BAD), "not valid JSON", "not valid JSON", "not valid UTF-8"]


def test_a_broken_file_among_others_is_one_row(store, tmp_path):
    (tmp_path / "conversation_1.json").write_text(json.dumps(said(TALK), indent=1))
    (tmp_path / "conversation_2.json").write_text(json.dumps(said(TALK), indent=1)[:-20])
    (tmp_path / "conversation_3.json").write_text("")
    (tmp_path / "conversation_4.json").write_text(json.dumps([said(TALK)], indent=1)[:-1] + ",]")
    report = load(store, tmp_path)
    assert (report.rows, report.rejects) == (1, 2)
    places = query(store, "SELECT path, line, reason FROM rejects ORDER BY path").rows()
    reason = "not valid JSON, and no JSON Lines of dialogues"
    assert places == [("conversation_2.json", 1, reason), ("conversation_4.json", 1, reason)]


@pytest.mark.parametrize("text", ["", "{}", "[]", "no JSON", '{"dialogues": 3}', "[1, 2]"])
def test_a_file_that_is_no_spock_says_so(store, tmp_path, text):
    path = tmp_path / "a.json"
    path.write_text(text)
    with pytest.raises(SourceError, match=r"a\.json.*(holds no rows|is it this format)"):
        load(store, path)
    with pytest.raises(SourceError, match="holds no JSON with"):
        load(store, tmp_path)
    assert count(store, TURNS) == 0


def test_the_same_bytes_add_nothing(store, tmp_path):
    path = tmp_path / "a.json"
    path.write_text(json.dumps(said(TALK)))
    load(store, path)
    assert load(store, path).already_there
    assert (count(store, TURNS), count(store, PROMPTS)) == (5, 2)


def mutated(data, content):
    """Bytes dropped, put in, doubled."""
    for _ in range(data.draw(st.integers(0, 4))):
        start = data.draw(st.integers(0, len(content)))
        end = min(len(content), start + data.draw(st.integers(0, 30)))
        piece = data.draw(
            st.sampled_from(
                [
                    b"",
                    b'"',
                    b"\xff",
                    b",",
                    b"{",
                    b"}",
                    b"\n",
                    b"\\u0000",
                    b"\\",
                    b"1",
                    b"null",
                    b'"from"',
                    b"'",
                    content[start : start + 200],
                ]
            )
        )
        content = content[:start] + piece + content[end:]
    return content


SAMPLES = {
    "lines": "\n".join(json.dumps(said(TALK)) for _ in range(3)),
    "list": json.dumps(
        [said(TALK), said([("human", "?"), ("gpt", str(BIOLOGY)), ("human", "é"), ("gpt", BIOLOGY)])],
        indent=0,
    ),
    "one": json.dumps(said(TALK), indent=1),
}


@pytest.mark.parametrize("name", SAMPLES)
def test_damaged_dialogues_balance(opened, tmp_path, name):
    path = tmp_path / "conversation.json"

    @few()
    @given(st.data())
    def run(data):
        path.write_bytes(mutated(data, SAMPLES[name].encode()))
        for source in query(opened, "SELECT name FROM sources")["name"]:
            remove_source(opened, source)
        try:
            report = load(opened, path)
        except SourceError:
            return
        assert report.rejects == count(opened, REJECTS)
        assert query(opened, "SELECT count(DISTINCT dialogue) FROM turns").item() == report.rows
        assert query(opened, "SELECT count(*) FROM completions WHERE NOT json_valid(content)").item() == 0
        assert query(opened, "SELECT count(*) = count(DISTINCT ref) FROM completions").item()

    run()
