"""Socratic Debugging Benchmark: sections, turns and alternatives."""

import json

import polars as pl
import pytest

from preceptor.schemas.errors import SourceError
from preceptor.schemas.licenses import read_license
from preceptor.toolkit.ingest.batch import Context
from preceptor.toolkit.ingest.formats import FORMATS
from preceptor.toolkit.ingest.run import Origin, find_inputs, ingest
from preceptor.toolkit.ingest.tutoring.socratic_debugging import count_tags, mark_sections, read_files
from preceptor.toolkit.store.connection import query


def load(store, format, path, source="s"):
    files = find_inputs(FORMATS[format], [path])
    return ingest(store, FORMATS[format], files, Context(source), Origin(read_license(None)))


def facts_of(folder):
    return json.loads((folder / "facts.json").read_text(encoding="utf-8"))


def reasons(store):
    return query(store, "SELECT line, reason FROM rejects ORDER BY line").rows()


ALTERNATIVES = """(SELECT path, count(*) AS n FROM (
    SELECT path FROM completions WHERE (context->>'alternative') IS NOT NULL
    UNION ALL SELECT path FROM (SELECT path, unnest(json_extract(state, '$.alternatives[*]')) FROM turns)
) GROUP BY path)"""


def test_socratic_debugging(store, shared_data):
    folder = shared_data / "socratic-debugging"
    facts = facts_of(folder)
    report = load(store, "socratic-debugging", folder)
    assert (report.rows, report.rejects) == (facts["files"], 0)
    folders = query(
        store, "SELECT parse_dirpath(path), count(DISTINCT dialogue) FROM turns GROUP BY 1"
    ).rows()
    assert dict(folders) == facts["files_per_folder"]
    assert query(store, 'SELECT count(DISTINCT "group") FROM prompts').item() == facts["problems"]
    roles = dict(query(store, "SELECT role, count(*) FROM turns GROUP BY 1").rows())
    # The facts take a line 'Instructor: …' for a continuation; it is a tutor's turn, with the speaker in state.
    instructor = query(store, "SELECT count(*) FROM turns WHERE state->>'speaker' = 'Instructor'").item()
    assert instructor == 2
    assert roles == {"user": facts["user_turns"], "assistant": facts["assistant_turns"] + instructor}
    fences, further = query(
        store,
        """SELECT sum(len(regexp_extract_all(content, '(?m)^```$'))) / 2,
        sum(len(list_filter(string_split(content, chr(10))[2:], lambda l: trim(l, ' \t') <> ''))) FROM turns""",
    ).row(0)
    assert fences == facts["code_blocks_in_dialogues"]
    assert further + instructor == facts["continuation_lines_in_dialogues"]
    found = dict(query(store, f"FROM {ALTERNATIVES}").rows())
    # The figure's name says assistant, but it counts those of both: the students' are in state.
    assert sum(found.values()) == facts["alternative_assistant_utterances"]
    assert facts["files"] - len(found) == facts["files_without_alternatives"]
    assert sorted(found.values(), reverse=True)[:5] == [n for _, n in facts["top5_alternatives"]]
    assert all(found[path] == n for path, n in facts["top5_alternatives"])
    assert query(store, "SELECT DISTINCT messages[-1].role FROM prompts").item() == "user"
    assert query(store, "SELECT count(*) FROM completions WHERE content = ''").item() == 0


def test_broken_sections_of_socratic_debugging(store, shared_data):
    folder = shared_data / "socratic-debugging"
    facts = facts_of(folder)
    files = find_inputs(FORMATS["socratic-debugging"], [folder])
    lines = mark_sections(read_files(files))
    assert lines["raw"].str.ends_with("\r").sum() == facts["crlf_files"]
    odd = count_tags(lines).filter((pl.col("opened") != 1) | (pl.col("closed") != 1)).sort("path", "tag")
    assert odd.rename({"path": "file"}).to_dicts() == facts["tags_not_exactly_once"]
    report = load(store, "socratic-debugging", folder)
    assert "2 files without <bug_code>" in report.notes
    assert any(note.startswith("4 files that do not open and close <bug_fixes>") for note in report.notes)
    fixes = query(store, "SELECT context->>'bug_fixes' AS f FROM prompts WHERE contains(path, '/16_56_')")[
        "f"
    ]
    assert fixes.str.contains(r"(?s)^On line 8 .*\nOn line 11 ").all()
    first = query(store, "SELECT messages[1].content AS m FROM prompts WHERE contains(path, '/1_11_')")["m"]
    assert not first.str.contains("1. def", literal=True).any()


DIALOGUE = """<problem>
Return `a < b`.

## Example
</problem>
<bug_code>
1. def f(a, b):
2.     return b < a
</bug_code>
<bug_fixes>
Swap them.
</bug_fixes>
Or negate.
</bug_fixes>
lost
<dialogue>
User: It is wrong.
Why?
	<alt>Help!
Assistant: What is
  line 2?
    <alt>Hm?
more
	<alt>Hm?
User: Oh! Like this
	<alt>No idea.
<code>
1. def f(a, b):

2.     return a < b\x20\x20
</code>

Error: none
Assistant: Good.
Instructor: Does it pass?
	<alt>Run it.
User: Yes
</dialogue>
after
"""


@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_one_dialogue_about_a_bug(store, tmp_path, end):
    path = tmp_path / "7_1_less_socratic_dialogue.txt"
    path.write_bytes(("\ufeff" + DIALOGUE.replace("\n", end)).encode())
    (tmp_path / "README.txt").write_text("not a dialogue")
    report = load(store, "socratic-debugging", tmp_path)
    assert (report.rows, report.rejects) == (1, 0)
    code = "```\n1. def f(a, b):\n\n2.     return a < b  \n```"
    assert query(store, "SELECT role, content, state, line FROM turns ORDER BY position").rows() == [
        ("user", "It is wrong.\nWhy?", '{"alternatives":["Help!"]}', 17),
        ("assistant", "What is\n  line 2?", None, 20),
        ("user", f"Oh! Like this\n{code}\nError: none", '{"alternatives":["No idea."]}', 25),
        ("assistant", "Good.", None, 34),
        ("assistant", "Does it pass?", '{"speaker":"Instructor","alternatives":["Run it."]}', 35),
        ("user", "Yes", None, 37),
    ]
    found = query(
        store,
        """SELECT c.ref, c.content, c.context, len(p.messages) AS n, p."group", c.line
                            FROM completions c JOIN prompts p ON p.key = c.prompt ORDER BY c.line""",
    ).rows()
    name = path.name
    assert found == [
        (f"{name}-1", "What is\n  line 2?", None, 1, "7", 20),
        (f"{name}-1-1", "Hm?\nmore", '{"alternative":1}', 1, "7", 22),
        (f"{name}-1-2", "Hm?", '{"alternative":2}', 1, "7", 24),
        (f"{name}-3", "Good.\nDoes it pass?", None, 3, "7", 34),
    ]
    messages, about = query(store, "SELECT messages, context FROM prompts ORDER BY line LIMIT 1").row(0)
    opening = "Return `a < b`.\n\n## Example\n\n```\n1. def f(a, b):\n2.     return b < a\n```"
    assert messages == [{"role": "user", "content": f"{opening}\nIt is wrong.\nWhy?"}]
    assert json.loads(about) == {"bug_fixes": "Swap them.\nOr negate."}
    assert report.notes[-1] == "1 turns of another speaker than User or Assistant, named in the turn's state"
    assert load(store, "socratic-debugging", tmp_path).already_there


def test_dialogues_about_one_problem_stay_together(store, tmp_path):
    for name in ("7_1_a_thead_1.txt", "7_2_b.txt", "8_1_a.txt"):
        (tmp_path / name).write_text(DIALOGUE.replace("b < a", name))
    for name in ("one.txt", "two.txt"):
        (tmp_path / name).write_text(DIALOGUE)
    files = find_inputs(FORMATS["socratic-debugging"], [tmp_path, tmp_path / "one.txt", tmp_path / "two.txt"])
    ingest(store, FORMATS["socratic-debugging"], files, Context("s"), Origin(read_license(None)))
    groups = query(store, 'SELECT path, any_value("group") AS g FROM prompts GROUP BY 1 ORDER BY 1').rows()
    assert [group for _, group in groups[:3]] == ["7", "7", "8"]
    # Without a number, the problem's own words are the group; equal prompts are one row.
    assert [group for _, group in groups[3:]] == ["Return `a < b`.\n\n## Example"]


@pytest.mark.parametrize(
    ("text", "line", "reason"),
    [
        (b"", 1, "no line <dialogue>; expected a file of the benchmark"),
        (b"User: Hi\nAssistant: Hi\n", 1, "no line <dialogue>; expected a file of the benchmark"),
        (b"<dialogue>\n\n</dialogue>", 1, "the dialogue holds no turn 'User: \u2026' or 'Assistant: \u2026'"),
        (
            b"<problem>\n</problem>\n<dialogue>\nHi\nUser: Hi\nAssistant: Hi\n</dialogue>",
            3,
            "the dialogue does not begin with 'User: ' or 'Assistant: '",
        ),
        (
            b"<dialogue>\nUser: a\n</dialogue>\n<dialogue>\nUser: b\n</dialogue>",
            1,
            "several lines <dialogue>; expected one dialogue a file",
        ),
        (b"<dialogue>\nUser: \xff\nAssistant: a\n</dialogue>", 2, "not valid UTF-8"),
    ],
)
def test_what_socratic_debugging_rejects(store, tmp_path, text, line, reason):
    (tmp_path / "1_1_a.txt").write_bytes(text)
    with pytest.raises(SourceError, match="none of its 1 rows could be taken"):
        load(store, "socratic-debugging", tmp_path)
    (tmp_path / "2_1_a.txt").write_text(DIALOGUE.replace("</dialogue>", ""))  # broken off, but a dialogue
    report = load(store, "socratic-debugging", tmp_path)
    assert (report.rows, report.rejects) == (1, 1)
    rejects = query(store, "SELECT path, line, reason FROM rejects").rows()
    assert rejects == [("1_1_a.txt", line, reason)]
    assert query(store, "SELECT content FROM turns ORDER BY position DESC LIMIT 1").item() == "Yes\nafter"


def test_a_folder_without_dialogues(store, tmp_path):
    (tmp_path / "requirements.txt").write_text("duckdb")
    with pytest.raises(SourceError, match="holds no dialogues named like"):
        load(store, "socratic-debugging", tmp_path)


BYTES = [
    b"\xff",
    b"\n",
    b"\r\n",
    b"\x00",
    b"User: ",
    b"<code>\n",
    b"</dialogue>\n",
    b"\n<dialogue>\n",
    b"\n\t<alt>",
]


def test_damaged_files_of_socratic_debugging_balance(opened, damaged_files_balance):
    def holds(_):
        assert query(opened, "SELECT count(*) FILTER (messages[-1].role <> 'user') FROM prompts").item() == 0

    damaged_files_balance("socratic-debugging", DIALOGUE.encode(), BYTES, holds)
