"""Chats and preferences in the shapes of OpenAI, ShareGPT and TRL."""

import json

import polars as pl
import pytest
from examples import few
from hypothesis import given
from hypothesis import strategies as st

from preceptor.schemas.errors import SourceError
from preceptor.schemas.licenses import read_license
from preceptor.schemas.recipe import read_recipe
from preceptor.schemas.tables import COMPLETIONS, PROMPTS, RATINGS, REJECTS, TURNS, VOTES
from preceptor.toolkit.dataset.build import build
from preceptor.toolkit.ingest.batch import Context
from preceptor.toolkit.ingest.files import numbered_lines as lines_module
from preceptor.toolkit.ingest.formats import FORMATS
from preceptor.toolkit.ingest.preferences.chats.reader import NO_SHAPE
from preceptor.toolkit.ingest.run import Origin, find_inputs, ingest
from preceptor.toolkit.store.connection import count, query, remove_source


def load(store, path, source="s", format="chat", **said):
    files = find_inputs(FORMATS[format], [path])
    return ingest(store, FORMATS[format], files, Context(source, **said), Origin(read_license("MIT")))


def by(role, content, **more):
    return {"role": role, "content": content, **more}


def said(who, text):
    return {"from": who, "value": text}


def write(path, *rows):
    path.write_text("\n".join(row if isinstance(row, str) else json.dumps(row) for row in rows))
    return path


ASK, TRY, TELL = by("user", "7 x 8?"), by("assistant", "Try 7 x 4."), by("assistant", "56.")
OPENAI = {
    "messages": [
        by("developer", "Be kind."),
        ASK,
        TRY,
        by("user", [{"type": "text", "text": "28"}, "?"]),
        TELL,
    ]
}
SHAREGPT = {
    "conversations": [
        said("system", "Be kind."),
        said("human", "7 x 8?"),
        said("gpt", "Try 7 x 4."),
        said("user", "28\n?"),
        said("chatgpt", "56."),
    ]
}
PAIRS = [
    {"prompt": "7 x 8?", "chosen": "Try 7 x 4.", "rejected": "56."},
    {"prompt": [ASK], "chosen": [TRY], "rejected": [TELL]},
    {"chosen": [ASK, TRY], "rejected": [ASK, TELL]},
    {"prompt": "7 x 8?", "chosen": [ASK, TRY], "rejected": [ASK, TELL], "messages": [ASK, TRY]},
    {"prompt": "7 x 8?", "chosen": [TRY], "rejected": "56."},
]


@pytest.mark.parametrize("row", [OPENAI, SHAREGPT])
def test_dialogues(store, tmp_path, row):
    path = write(
        tmp_path / "a.jsonl", row | {"id": "d1", "task": "qa", "language": "de", "score": 0.5, "group": "g"}
    )
    report = load(store, path)
    assert (report.rows, report.rejects) == (1, 0)
    assert query(store, "SELECT dialogue, role, content FROM turns ORDER BY position").rows() == [
        ("d1", "system", "Be kind."),
        ("d1", "user", "7 x 8?"),
        ("d1", "assistant", "Try 7 x 4."),
        ("d1", "user", "28\n?"),
        ("d1", "assistant", "56."),
    ]
    rule = by("system", "Be kind.")
    assert query(
        store,
        """SELECT c.ref, messages, content, origin, task, language, "group", p.context
        FROM completions c JOIN prompts p ON p.key = c.prompt ORDER BY c.ref""",
    ).rows() == [
        ("d1-2", [rule, ASK], "Try 7 x 4.", "model", "qa", "de", "g", '{"score":0.5}'),
        ("d1-4", [rule, ASK, TRY, by("user", "28\n?")], "56.", "model", "qa", "de", "g", '{"score":0.5}'),
    ]
    assert load(store, path).already_there


def test_what_the_system_says_later_stands_in_front_from_then_on(store, tmp_path):
    talk = [
        by("assistant", "Hello"),
        ASK,
        by("system", "One."),
        by("user", "Please"),
        TRY,
        by("system", "Two."),
        by("user", ""),
        by("user", "So?"),
        TELL,
        by("assistant", "!"),
    ]
    load(store, write(tmp_path / "a.jsonl", {"messages": talk}))
    assert count(store, TURNS) == len(talk)
    hello, both = by("assistant", "Hello"), by("user", "7 x 8?\nPlease")
    assert query(
        store,
        """SELECT messages, content FROM completions c JOIN prompts p ON p.key = c.prompt
        ORDER BY len(messages)""",
    ).rows() == [
        ([by("system", "One."), hello, both], "Try 7 x 4."),
        ([by("system", "One.\nTwo."), hello, both, TRY, by("user", "So?")], "56.\n!"),
    ]


@pytest.mark.parametrize("row", PAIRS)
def test_pairs(store, tmp_path, row):
    scores = {"score_chosen": 8, "score_rejected": 2.5, "margin": 5.5}
    report = load(store, write(tmp_path / "a.jsonl", row | {"id": "p1"} | scores))
    assert (report.rows, count(store, PROMPTS), count(store, TURNS)) == (1, 1, 0)
    assert query(store, "SELECT ref, task, language, messages FROM prompts").rows() == [
        ("p1", "tutor", "en", [ASK])
    ]
    assert query(
        store,
        """SELECT a.ref, a.content, a.context, b.ref, b.content, b.context, choice, annotator,
        shown_first, n FROM votes JOIN completions a ON a.key = completion_a
        JOIN completions b ON b.key = completion_b""",
    ).rows() == [
        (
            "p1-chosen",
            "Try 7 x 4.",
            '{"score_chosen":8.0,"margin":5.5}',
            "p1-rejected",
            "56.",
            '{"score_rejected":2.5}',
            "a",
            None,
            None,
            0,
        )
    ]


def test_rows_of_one_prompt_share_it_and_what_is_equal(store, tmp_path):
    third = {"prompt": "7 x 8?", "chosen": "Try 7 x 4.", "rejected": "No."}
    load(store, write(tmp_path / "a.jsonl", *PAIRS, third))
    assert (count(store, VOTES), count(store, PROMPTS), count(store, COMPLETIONS)) == (6, 1, 3)


def test_labels(store, tmp_path):
    row = {"prompt": "7 x 8?", "completion": "56."}
    path = write(
        tmp_path / "a.jsonl",
        row | {"label": True},
        row | {"completion": [TRY], "label": False},
        row | {"prompt": [ASK], "completion": "No.", "label": None},
        row | {"completion": "Yes."},
    )
    assert load(store, path).rows == 4
    assert (count(store, PROMPTS), count(store, COMPLETIONS), count(store, VOTES)) == (1, 4, 0)
    assert query(
        store,
        """SELECT content, criterion, value, levels, annotator FROM ratings
        JOIN completions c ON c.key = completion ORDER BY value""",
    ).rows() == [("Try 7 x 4.", "desirable", 1, 2, None), ("56.", "desirable", 2, 2, None)]
    assert query(store, "SELECT criterion, levels, higher_is_better, wording FROM rubrics").rows() == [
        ("desirable", 2, True, "Is this a desirable answer? (1: no, 2: yes)")
    ]


@pytest.mark.parametrize(
    ("messages", "empty", "unanswered"),
    [
        ([ASK, TRY], 0, 0),
        ([ASK], 0, 1),
        ([TRY], 0, 1),
        ([TRY, ASK], 0, 1),
        ([ASK, by("assistant", " ")], 1, 1),
        ([ASK, TRY, by("user", "28"), by("assistant", "")], 1, 0),
    ],
)
def test_what_no_completion_is_made_of_is_counted(store, tmp_path, messages, empty, unanswered):
    row = {"messages": messages}
    path = write(
        tmp_path / "c.jsonl", {"messages": [ASK, TELL]}, row, row, {"prompt": "q", "completion": "a"}
    )
    notes = load(store, path).notes
    said = {
        "messages are empty: in no prompt, and no completions": 2 * empty,
        "conversations hold no answer to a user: only their turns are stored": 2 * unanswered,
    }
    assert notes == [f"c.jsonl: {n} {what}" for what, n in said.items() if n]


def test_chats_that_begin_alike_are_one_group(store, tmp_path):
    other = {"messages": [by("user", " 7 X  8?"), TELL]}
    rows = [
        {"messages": [ASK, TRY]},
        PAIRS[0],
        other,
        {"messages": [by("user", "9?"), TELL]},
        {"messages": [by("system", "?"), ASK, TRY]},
    ]
    load(store, write(tmp_path / "a.jsonl", *rows))
    groups = query(
        store, 'SELECT "group", list(DISTINCT line ORDER BY line) FROM prompts GROUP BY 1 ORDER BY 2'
    ).rows()
    assert [lines for _, lines in groups] == [[1, 3], [4], [5]]


BAD = {
    "{": "not valid JSON",
    "[1]": "expected a JSON object",
    '{"text": "x"}': NO_SHAPE,
    '{"prompt": "x"}': NO_SHAPE,
    '{"id": "known", "prompt": "x", "completion": "y"}': "the id is already used on line 1",
    '{"id": [1], "prompt": "x", "completion": "y"}': "'id' is not text",
    '{"messages": "x"}': "'messages' is not a list of messages",
    '{"conversations": {"from": "human"}}': "'conversations' is not a list of messages",
    '{"messages": []}': "nobody says anything",
    json.dumps({"messages": [by("system", "x"), by("user", " \n")]}): "nobody says anything",
    '{"messages": ["x"]}': "message 1 of 'messages' is no object with role and content",
    '{"messages": [{"content": "x"}]}': "message 1 of 'messages' does not say whose it is",
    json.dumps(
        {"messages": [ASK, by("tool", "x")]}
    ): "message 2 of 'messages' is of role 'tool', expected system, developer, user or assistant",
    json.dumps(
        {"conversations": [said("observation", "x")]}
    ): "message 1 of 'conversations' is of role 'observation', expected system, developer, user or assistant",
    json.dumps(
        {"messages": [ASK, by("assistant", None, tool_calls=[{"id": "1"}])]}
    ): "message 2 of 'messages' holds a tool call",
    json.dumps({"messages": [ASK, by("assistant", None)]}): "message 2 of 'messages' has no content",
    json.dumps(
        {"messages": [ASK, by("assistant", 5)]}
    ): "message 2 of 'messages' has a content that is no text",
    json.dumps(
        {"messages": [by("user", [{"type": "text", "text": "x"}, {"type": "image_url", "image_url": {}}])]}
    ): "message 1 of 'messages' holds a part that is no text, such as an image",
    json.dumps(PAIRS[0] | {"rejected": None}): "'rejected' is missing",
    '{"prompt": "x", "rejected": "y"}': "'chosen' is missing",
    '{"completion": "y"}': "'prompt' is missing",
    json.dumps(PAIRS[0] | {"chosen": 3}): "'chosen' is neither text nor a list of messages",
    json.dumps(PAIRS[0] | {"prompt": {"a": 1}}): "'prompt' is neither text nor a list of messages",
    '{"chosen": "x", "rejected": "y"}': "'prompt' is missing; only lists of messages in 'chosen' and 'rejected' can hold it",
    json.dumps(PAIRS[0] | {"chosen": "56. "}): "'chosen' equals 'rejected'",
    json.dumps(PAIRS[0] | {"chosen": " "}): "a message is empty",
    json.dumps(PAIRS[0] | {"prompt": ""}): "a message is empty",
    json.dumps(PAIRS[1] | {"chosen": []}): "'chosen' does not end with the assistant",
    json.dumps(PAIRS[1] | {"rejected": [by("user", "x")]}): "'rejected' does not end with the assistant",
    json.dumps(PAIRS[1] | {"prompt": [ASK, TELL]}): "what is answered does not end with the user",
    json.dumps(PAIRS[1] | {"chosen": [by("user", "9?"), TRY]}): "'chosen' does not go on from 'prompt'",
    json.dumps(
        PAIRS[2] | {"chosen": [by("user", "9?"), TRY]}
    ): "'chosen' and 'rejected' differ before their last message",
    json.dumps(
        PAIRS[2] | {"chosen": [ASK, TRY, ASK, TELL]}
    ): "'chosen' and 'rejected' differ before their last message",
    json.dumps({"chosen": [TRY], "rejected": [TELL]}): "what is answered does not end with the user",
    '{"prompt": "x", "completion": "y", "label": "good"}': "'label' is not true or false",
}


def test_what_chats_reject(store, tmp_path):
    path = write(tmp_path / "a.jsonl", OPENAI | {"id": "known"}, *BAD)
    report = load(store, path)
    assert (report.rows, report.rejects) == (1, len(BAD))
    rejects = query(store, "SELECT line, raw, reason FROM rejects ORDER BY line").rows()
    assert rejects == [(n, raw, reason) for n, (raw, reason) in enumerate(BAD.items(), start=2)]


def test_what_is_odd_is_taken(store, tmp_path):
    odd = {
        "messages": [
            ASK | {"name": None, "tool_calls": None},
            by("Assistant", "x", tool_calls=[], refusal=None),
        ],
        "conversations": None,
        "chosen": None,
        "label": None,
        "language": "English",
        "group": None,
        "id": 5,
    }
    path = tmp_path / "a.jsonl"
    path.write_bytes(b"\xef\xbb\xbf" + json.dumps(odd).encode() + b"\r\n\r\n")
    assert load(store, path, language="sv").rows == 1
    assert query(store, "SELECT ref, language FROM prompts").rows() == [("5-1", "sv")]


@pytest.mark.parametrize("indent", [None, 1])
def test_one_json_list(store, tmp_path, indent):
    path = tmp_path / "a.json"
    path.write_text(json.dumps([OPENAI, *PAIRS, {"x": 1}], indent=indent))
    report = load(store, path)
    assert (report.rows, report.rejects, count(store, VOTES)) == (6, 1, 5)
    assert query(store, "SELECT line FROM rejects").item() == 7
    path.write_text('[{"a": 1')
    with pytest.raises(SourceError, match="expected one JSON list of chats"):
        load(store, path, "t")


def test_parquet_of_every_shape(store, tmp_path):
    for n, row in enumerate([OPENAI | {"messages": OPENAI["messages"][1:3]}, SHAREGPT, *PAIRS[:3]]):
        path = tmp_path / f"{n}.parquet"
        pl.DataFrame([row | {"id": str(n), "other": [1]}, row | {"id": None}]).write_parquet(path)
    report = load(store, tmp_path)
    assert (report.rows, report.rejects, count(store, VOTES)) == (10, 0, 6)
    assert query(store, "SELECT max(line) FROM turns").item() == 2
    pl.DataFrame({"text": ["x"]}).write_parquet(tmp_path / "no.parquet")
    with pytest.raises(SourceError, match="has none of the fields of a chat; it has text "):
        load(store, tmp_path / "no.parquet", "t")
    (tmp_path / "no.parquet").write_bytes(b"PAR1")
    with pytest.raises(SourceError, match="not Parquet, or damaged"):
        load(store, tmp_path / "no.parquet", "t")


@pytest.mark.parametrize("format", ["conversational", "plain"])
def test_a_dataset_of_ours_is_read_back(store, tmp_path, format):
    problems = [
        {
            "question": f"{n} + 1?",
            "ground_truth": f"#### {n + 1}",
            "6b": {"is_correct": True, "solution": f"{n + 1}"},
            "175b": {"is_correct": False, "solution": "0"},
        }
        for n in range(30)
    ]
    load(store, write(tmp_path / "p.jsonl", *problems), "gsm", "gsm8k")
    recipe = tmp_path / "r.yaml"
    recipe.write_text(f"name: r\nformat: {format}\npairs: {{policy: right-over-wrong}}\n")
    done = build(store, read_recipe(recipe), tmp_path / "out")
    report = load(store, tmp_path / "out" / "preference", "again")
    assert (report.rows, report.rejects) == (sum(done.counts["preference"].values()), 0)
    differing = query(
        store,
        """SELECT count(*) FROM completions c JOIN prompts p ON p.key = c.prompt
        WHERE c.source = 'again' AND (content, messages[-1].content) NOT IN (
            SELECT (content, messages[-1].content) FROM completions c JOIN prompts p ON p.key = c.prompt
            WHERE c.source = 'gsm')""",
    )
    assert differing.item() == 0


SEED = "\n".join(
    json.dumps(row)
    for row in (
        OPENAI,
        SHAREGPT,
        *PAIRS,
        {"prompt": "é", "completion": "y", "label": True},
        OPENAI | {"id": "a"},
    )
).encode()
PIECES = [
    b"\xff",
    b"\0",
    b'"',
    b"\n",
    b"\r\n",
    b"[",
    b"{}",
    b"null",
    b"\\u0000",
    b"\\ud800",
    b"tool",
    b",",
    b"]",
    b"5",
]


@few()
@given(
    st.lists(
        st.tuples(st.integers(0, len(SEED) - 1), st.integers(0, 12), st.sampled_from(PIECES)), max_size=6
    ),
    st.sampled_from([30, 400, 1 << 20]),
)
def test_damaged_chats_balance(opened, tmp_path, changes, block):
    content = SEED
    for at, taken, put in changes:
        content = content[:at] + put + content[at + taken :]
    (tmp_path / "a.jsonl").write_bytes(content)
    remove_source(opened, "s")
    old, lines_module.BLOCK_BYTES = lines_module.BLOCK_BYTES, block
    try:
        report = load(opened, tmp_path / "a.jsonl")
    except SourceError:
        return
    finally:
        lines_module.BLOCK_BYTES = old
    filled = [line for line in content.split(b"\n") if line.decode(errors="replace").strip()]
    if not content.lstrip().startswith(b"["):
        assert report.rows + report.rejects == len(filled)
    assert report.rejects == count(opened, REJECTS)
    ends = query(opened, "SELECT count(*) FROM prompts WHERE messages[-1].role <> 'user'").item()
    assert ends == 0
    for table, column in ((VOTES, "completion_a"), (VOTES, "completion_b"), (RATINGS, "completion")):
        orphans = f"SELECT count(*) FROM {table.name} WHERE {column} NOT IN (SELECT key FROM completions)"
        assert query(opened, orphans).item() == 0
