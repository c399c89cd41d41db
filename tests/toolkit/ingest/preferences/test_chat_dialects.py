"""Chats in the fields of other programs: the same rows as the same chats in our own shapes."""

import json

import pytest
from examples import few
from hypothesis import given
from hypothesis import strategies as st

from preceptor.schemas.errors import SourceError
from preceptor.toolkit.ingest.run import ingest_files
from preceptor.toolkit.store.connection import open_store, query

KNOWN = "SELECT content, messages FROM completions c JOIN prompts p ON p.key = c.prompt ORDER BY ALL"
VOTED = """SELECT a.content, b.content, choice FROM votes JOIN completions a ON a.key = completion_a
    JOIN completions b ON b.key = completion_b"""
RATED = "SELECT criterion, value, levels, content FROM ratings JOIN completions c ON c.key = completion"


def by(role, content):
    return {"role": role, "content": content}


def said(message):
    who = {"user": "human", "assistant": "gpt", "system": "system"}
    return {"from": who[message["role"]], "value": message["content"]}


def read(tmp_path, *rows, name="a.jsonl"):
    """What a file of rows becomes: completions with their messages, votes, ratings; and the notes."""
    path = tmp_path / name
    path.write_text("\n".join(json.dumps(row) for row in rows))
    (tmp_path / "s.duckdb").unlink(missing_ok=True)
    with open_store(tmp_path / "s.duckdb", create=True) as con:
        report = ingest_files(con, "chat", [path], "s", license="MIT")
        assert (report.rows, report.rejects) == (len(rows), 0), report.reject_lines
        return [query(con, sql).rows() for sql in (KNOWN, VOTED, RATED)], report.notes


def pairs_of(system, past, asked, better, worse):
    """One judgement in every shape that can hold it."""
    talk = [*past, by("user", asked)]
    chosen, rejected = by("assistant", better), by("assistant", worse)
    front = {"system": system} if system else {}
    lead = [by("system", system)] if system else []
    yield {"prompt": [*lead, *talk], "chosen": [chosen], "rejected": [rejected]}
    yield front | {"prompt": talk, "chosen": chosen, "rejected": rejected}
    yield front | {"prompt": talk, "chosen": better, "rejected": worse, "tools": "[]", "images": []}
    yield front | {"chosen": [*talk, chosen], "rejected": [*talk, rejected]}
    yield front | {"messages": [*talk, chosen], "rejected_response": worse}
    yield front | {"messages": [*lead, *talk, chosen], "rejected_response": [rejected], "tools": None}
    yield front | {"messages": [*talk, chosen], "rejected_messages": [*talk, rejected]}
    yield front | {"conversations": [*map(said, talk)], "chosen": said(chosen), "rejected": said(rejected)}
    yield front | {"messages": talk, "chosen": [chosen], "rejected": [rejected]}
    yield {
        "input": {"messages": [*lead, *talk], "tools": [], "parallel_tool_calls": True},
        "preferred_output": [chosen],
        "non_preferred_output": [rejected],
    }
    history = [[one["content"], two["content"]] for one, two in zip(past[::2], past[1::2], strict=True)]
    yield front | {"instruction": asked, "history": history, "chosen": better, "rejected": worse}
    if not past:
        yield front | {"question": asked, "chosen": better, "rejected": worse}
        yield {"system_prompt": system, "question": asked, "chosen": [better], "rejected": [worse]}
    told = "".join(
        f"\n\n{'Human' if m['role'] == 'user' else 'Assistant'}: {m['content']}" for m in (*past, talk[-1])
    )
    yield front | {"chosen": f"{told}\n\nAssistant: {better}", "rejected": f"{told}\n\nAssistant: {worse}"}
    yield front | {"prompt": f"{told}\n\nAssistant:", "chosen": f" {better}", "rejected": f" {worse}"}


WORDS = st.text(st.sampled_from('ab7é "\\{}[]\n:'), min_size=1, max_size=12).map(str.strip).filter(bool)
PAST = st.lists(st.tuples(WORDS, WORDS), max_size=2).map(
    lambda said: [m for u, a in said for m in (by("user", u), by("assistant", a))]
)


@few()
@given(st.none() | WORDS, PAST, WORDS, WORDS, WORDS)
def test_one_judgement_in_every_dialect(tmp_path_factory, system, past, asked, better, worse):
    if better == worse:
        return
    tmp_path = tmp_path_factory.mktemp("dialects")
    first, *others = pairs_of(system, past, asked, better, worse)
    expected, notes = read(tmp_path, first)
    assert (len(expected[0]), expected[1], notes) == (2, [(better, worse, "a")], [])
    # Equal texts of one prompt are one completion: so many rows make no more of them than the first alone.
    (known, votes, _), notes = read(tmp_path, *others)
    assert (known, set(votes), len(votes), notes) == (expected[0], set(expected[1]), len(others), [])


@pytest.mark.parametrize(
    "row",
    [
        {"instruction": "7 x", "input": "8?", "output": "56.", "system": "S", "history": [["a", "b"]]},
        {"instruction": "7 x\n8?", "input": "", "output": "56.", "system": "S", "history": [["a", "b"]]},
        {"question": "7 x\n8?", "response": "56.", "system_prompt": "S", "history": [["a", "b"]]},
        {"prompt": "7 x\n8?", "response": "56.", "system": "S", "history": [["a", "b"]]},
        {
            "system": "S",
            "conversations": [
                *map(said, [by("user", "a"), by("assistant", "b")]),
                *map(said, [by("user", "7 x\n8?"), by("assistant", "56.")]),
            ],
        },
    ],
)
def test_one_dialogue_in_every_dialect(tmp_path, row):
    (known, votes, _), notes = read(tmp_path, row)
    past = [by("system", "S"), by("user", "a")]
    ours = ("56.", [*past, by("assistant", "b"), by("user", "7 x\n8?")])
    assert ours in known
    assert set(map(str, known)) <= {str(ours), str(("b", past))}
    assert (votes, notes) == ([], [])


@pytest.mark.parametrize("key", ["label", "kto_tag"])
@pytest.mark.parametrize("label", [True, False])
def test_a_label_beside_messages_is_a_rating(tmp_path, key, label):
    row = {"messages": [by("user", "7 x 8?"), by("assistant", "56.")], key: label}
    (known, _, ratings), notes = read(tmp_path, row)
    assert known == [("56.", [by("user", "7 x 8?")])]
    assert (ratings, notes) == ([("desirable", 1 + label, 2, "56.")], [])


TALK = [by("user", "7 x 8?"), by("assistant", "56.")]


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        ({"messages": TALK, "tools": [{"type": "function"}]}, "has tools"),
        ({"messages": TALK, "tools": '[{"name": "f"}]'}, "has tools"),
        ({"messages": TALK, "functions": [{"name": "f"}]}, "has tools"),
        (
            {
                "input": {"messages": TALK[:1], "tools": [{}]},
                "preferred_output": TALK[1:],
                "non_preferred_output": [by("assistant", "x")],
            },
            "has tools",
        ),
        ({"messages": TALK, "images": ["cat.png"]}, "has images"),
        ({"messages": TALK, "system": ["a"]}, "does not say whose|is no object|'system' is not text"),
        ({"messages": TALK, "system": {"a": 1}}, "'system' is not text"),
        ({"messages": [by("system", "A"), *TALK], "system": "B"}, "'system' differs"),
        ({"messages": [TALK[0], TALK[1] | {"weight": 0}]}, "has weight 0"),
        ({"messages": [by("user", "Human: a\n\nAssistant:"), TALK[1]]}, "holds a transcript"),
        ({"prompt": "Be kind.\n\nHuman: a\n\nAssistant:", "completion": "b"}, "holds a transcript"),
        ({"prompt": "a", "chosen": "b", "rejected": json.dumps(TALK)}, "messages written as text"),
        ({"prompt": str(TALK), "chosen": "b", "rejected": "c"}, "messages written as text"),
        ({"message_id": "a", "parent_id": "b", "text": "c", "role": "prompter"}, "none of the shapes"),
        ({"preferred_output": TALK[1:], "input": {"messages": TALK[:1]}}, "'rejected' is missing"),
    ],
)
def test_what_changes_the_meaning_and_is_not_read_is_refused(store, tmp_path, row, reason):
    (tmp_path / "a.jsonl").write_text(json.dumps(row))
    with pytest.raises(SourceError, match=reason):
        ingest_files(store, "chat", [tmp_path / "a.jsonl"], "s")


def test_fields_that_are_not_used_are_named_once(tmp_path):
    talk = [TALK[0], TALK[1] | {"reasoning_content": "hm"}]
    rows = [
        {"messages": talk, "topic": "x", "label": "algebra"},
        {"messages": TALK, "topic": "y", "prompt": "z"},
    ]
    _, notes = read(tmp_path, *rows)
    assert notes == ["a.jsonl: not used: label, prompt, reasoning_content of messages, topic"]


# Files of ../shared/cases/07-chat-shapes -> rows taken, rows of votes; None: refused.
CASES = {
    "a_sharegpt_system": (1, 0),
    "b_swift_rejected": (1, 1),
    "c_openai_pref": (1, 1),
    "d_hh": (1, 1),
    "e_orca": (1, 1),
    "h_sysfield_tr": (1, 1),
    "i_alpaca": (1, 0),
    "j_llamaf_pref": (1, 1),
    "k_ultrafeedback": (1, 0),
    "l_distilabel": (1, 0),
    "m_oasst": (1, 1),
    "n_arena": (1, 1),
    "lf": (1, 1),
    "o_trailing_user": None,
    "p_weight": None,
    "q_none": (1, 0),
    "r_tool": None,
    "s_kto_int": None,
    "t_multimodal": None,
    "u_reasoning": (1, 0),
    "v_rag": (1, 1),
    "w_dpo_sysdev": (1, 1),
    "x_implicit_multi": None,
    "y_hhprompt": (1, 1),
}


@pytest.mark.parametrize("name", CASES)
def test_what_strangers_bring(store, shared_cases, name):
    path = shared_cases / "07-chat-shapes" / f"{name}.jsonl"
    if CASES[name] is None:
        with pytest.raises(SourceError, match="none of its"):
            ingest_files(store, "chat", [path], "s")
        return
    report = ingest_files(store, "chat", [path], "s")
    assert (report.rows, report.added.get("votes", 0)) == CASES[name]
    assert report.added.get("ratings", 0) == (2 if name in ("k_ultrafeedback", "l_distilabel") else 0)
    if name in ("a_sharegpt_system", "e_orca", "h_sysfield_tr", "lf", "w_dpo_sysdev"):
        roles = query(store, "SELECT DISTINCT messages[1].role AS r FROM prompts")["r"].to_list()
        assert roles == ["system"]
    assert name not in ("u_reasoning",) or "reasoning_content of messages" in report.notes[0]
    mixed = query(store, "SELECT count(*) FROM prompts WHERE messages[-1].content LIKE '%Human:%'").item()
    assert mixed == 0
