"""Chats with several answers to a prompt, as UltraFeedback, distilabel, OpenAssistant and arenas write them."""

import json

import polars as pl
import pytest
from examples import few
from hypothesis import given
from hypothesis import strategies as st

from preceptor.schemas.errors import SourceError
from preceptor.toolkit.ingest.preferences.chats.reader import NO_SHAPE
from preceptor.toolkit.ingest.run import ingest_files
from preceptor.toolkit.store.connection import open_store, query

KNOWN = """SELECT messages, content, author, origin FROM completions c JOIN prompts p ON p.key = c.prompt
    ORDER BY ALL"""
VOTED = """SELECT a.content, b.content, choice FROM votes v JOIN completions a ON a.key = completion_a
    JOIN completions b ON b.key = completion_b ORDER BY ALL"""
RATED = """SELECT c.content, criterion, value, levels FROM ratings JOIN completions c ON c.key = completion
    ORDER BY ALL"""


def by(role, content):
    return {"role": role, "content": content}


def write(path, *rows):
    path.write_text("\n".join(json.dumps(row) for row in rows))
    return path


def read(store, path, *rows, **how):
    """What a file of rows becomes: texts, votes, ratings; and the notes."""
    report = ingest_files(store, "chat", [write(path, *rows)], "s", license="MIT", **how)
    assert (report.rows, report.rejects) == (len(rows), 0), report.first_rejects
    return [query(store, sql).rows() for sql in (KNOWN, VOTED, RATED)], report.notes


ASK = [by("user", "7 x 8?")]


def test_ultrafeedback(store, tmp_path):
    answers = [
        {
            "model": "a",
            "response": "Try 7 x 4.",
            "overall_score": 8.5,
            "fine-grained_score": 4.5,
            "critique": "Good.",
            "annotations": {"helpfulness": {"Rating": "4"}, "honesty": {"Rating": "N/A"}},
        },
        {"model": "b", "response": "56.", "overall_score": 1, "principle": "x"},
        {"model": "c", "response": " "},
    ]
    row = {"instruction": "7 x 8?", "source": "q", "models": ["a", "b", "c"], "completions": answers}
    (texts, votes, ratings), notes = read(store, tmp_path / "a.jsonl", row)
    assert texts == [(ASK, "56.", "b", "model"), (ASK, "Try 7 x 4.", "a", "model")]
    assert votes == []
    assert ratings == [
        ("56.", "overall", 1, 19),
        ("Try 7 x 4.", "helpfulness", 4, 5),
        ("Try 7 x 4.", "overall", 16, 19),
    ]
    assert notes == [
        "a.jsonl: not used: principle of answers, source",
        "a.jsonl: 1 answers are empty or deleted: left out",
    ]
    assert query(store, "SELECT context FROM completions ORDER BY content")["context"].to_list() == [
        None,
        '{"score":4.5,"rationale":"Good."}',
    ]


@pytest.mark.parametrize("name", ["ratings", "rating"])
def test_distilabel(store, tmp_path, name):
    row = {
        "id": "q1",
        "system_prompt": "Hint.",
        "instruction": "7 x 8?",
        "generations": ["Try 7 x 4.", "56.", "Hm."],
        "generation_models": ["a", "b", "b"],
        name: [5, 2.0, None],
    }
    (texts, votes, ratings), notes = read(store, tmp_path / "a.jsonl", row)
    asked = [by("system", "Hint."), *ASK]
    assert [(t, a) for m, t, a, _ in texts if m == asked] == [("56.", "b"), ("Hm.", "b"), ("Try 7 x 4.", "a")]
    assert (votes, notes) == ([], [])
    assert ratings == [("56.", "rating", 2, 5), ("Try 7 x 4.", "rating", 5, 5)]
    assert sorted(query(store, "SELECT ref FROM completions")["ref"]) == ["q1-1", "q1-2", "q1-3"]


def test_levels(store, tmp_path):
    row = {"prompt": "7 x 8?", "generations": ["a", "b"], "ratings": [9, 2]}
    path = write(tmp_path / "a.jsonl", row)
    with pytest.raises(SourceError, match=r"rating of answer 1 is '…', expected .* 1 to 5 \(--levels"):
        ingest_files(store, "chat", [path], "s")
    assert read(store, path, row, levels=10)[0][2] == [("a", "rating", 9, 10), ("b", "rating", 2, 10)]


def reply(text, rank=None, *replies, role="assistant", **more):
    return {"message_id": text, "text": text, "role": role, "rank": rank, "replies": list(replies)} | more


def test_trees(store, tmp_path):
    more = reply("And 7 x 4?", None, reply("28.", 1), reply("Well?", 0), role="prompter")
    tree = reply(
        "7 x 8?",
        None,
        reply("Try 7 x 4.", 0, more),
        reply("56.", 2),
        reply("57.", 2),
        reply("spam", 1, deleted=True),
        reply("No rank", None, synthetic=True, model_name="m"),
        role="prompter",
        lang="de",
    )
    (texts, votes, ratings), notes = read(
        store, tmp_path / "a.jsonl", {"message_tree_id": "7 x 8?", "tree_state": "ready", "prompt": tree}
    )
    longer = [*ASK, by("assistant", "Try 7 x 4."), by("user", "And 7 x 4?")]
    assert texts == [
        *((ASK, text, None, "human") for text in ("56.", "57.")),
        (ASK, "No rank", "m", "model"),
        (ASK, "Try 7 x 4.", None, "human"),
        *((longer, text, None, "human") for text in ("28.", "Well?")),
    ]
    assert votes == [
        ("28.", "Well?", "b"),
        ("56.", "57.", "tie"),
        ("Try 7 x 4.", "56.", "a"),
        ("Try 7 x 4.", "57.", "a"),
    ]
    assert ratings == []
    assert notes == [
        "a.jsonl: not used: tree_state",
        "a.jsonl: 1 answers are empty or deleted: left out",
    ]
    assert query(store, "SELECT DISTINCT ref, language FROM prompts ORDER BY 1").rows() == [
        ("7 x 8?", "de"),
        ("And 7 x 4?", "de"),
    ]


def talk(*texts):
    return [by(("user", "assistant")[i % 2], text) for i, text in enumerate(texts)]


@pytest.mark.parametrize(
    ("word", "choice"),
    [("model_a", "a"), ("Model_B", "b"), ("tie", "tie"), ("tie (bothbad)", "tie"), ("both_bad", "tie")],
)
def test_arenas(store, tmp_path, named, word, choice):
    row = {
        "model_a": "x",
        "model_b": "y",
        "winner": word,
        "judge": "jo@example.org",
        "conversation_a": talk("7 x 8?", "Try 7 x 4.", "more", "more a"),
        "conversation_b": talk("7 x 8?", "56.", "more", "more b"),
        "turn": 1,
        "tstamp": 1682351655.1,
    }
    (texts, votes, _), notes = read(store, tmp_path / "a.jsonl", row)
    assert texts == [(ASK, "56.", "y", "model"), (ASK, "Try 7 x 4.", "x", "model")]
    assert votes == [("Try 7 x 4.", "56.", choice)]
    assert bool(notes) == ("bad" in word), notes
    who, when = query(
        store, 'SELECT pseudonym, v."at" FROM votes v JOIN annotators n ON n.key = annotator'
    ).row(0)
    assert (who, when.isoformat()) == (named("jo@example.org"), "2023-04-24T15:54:15.100000+00:00")


def test_rejected_votes_do_not_name_who_judged(store, tmp_path):
    row = {
        "winner": "nobody",
        "judge": "jo",
        "conversation_a": talk("a", "b"),
        "conversation_b": talk("a", "c"),
    }
    rows = [row, row | {"winner": "tie", "conversation_b": talk("x", "c")}, row | {"winner": "tie"}]
    path = tmp_path / "a.jsonl"
    write(path, *rows)
    path.write_text(path.read_text() + '\n{"judge": "jo", ')
    report = ingest_files(store, "chat", [path], "s")
    assert (report.rows, report.rejects) == (1, 3)
    reasons = query(store, "SELECT reason, raw FROM rejects ORDER BY line").rows()
    assert [reason for reason, _ in reasons] == [
        "winner is 'nobody', expected model_a, model_b, tie or tie (bothbad)",
        "'conversation_a' and 'conversation_b' differ before their last message",
        "not valid JSON",
    ]
    assert "jo" not in {word for _, raw in reasons for word in raw.split('"')}


def test_one_bad_answer_rejects_its_row_and_no_other(store, tmp_path):
    row = {"instruction": "q", "generations": ["a", "b"], "ratings": [1, 2]}
    rows = [row, row | {"ratings": [0, 2]}, row | {"generations": [{"x": 1}, "b"]}, row | {"generations": []}]
    report = ingest_files(store, "chat", [write(tmp_path / "a.jsonl", *rows)], "s")
    assert (report.rows, report.rejects) == (1, 3)
    assert query(store, "SELECT line, reason FROM rejects ORDER BY 1").rows() == [
        (
            2,
            "rating of answer 1 is '0', expected a whole number from 1 to 5 (--levels names another highest)",
        ),
        (3, "'completion' is neither text nor a list of messages"),
        (4, "holds no answer"),
    ]
    assert query(store, "SELECT DISTINCT line FROM ratings").rows() == [(1,)]


@pytest.mark.parametrize("status", ["tie", "swapped"])
def test_a_pair_that_is_said_to_be_a_tie(store, tmp_path, status):
    row = {"input": "7 x 8?", "chosen": "a", "rejected": "b", "status": status, "chosen_model": "m"}
    (texts, votes, _), notes = read(store, tmp_path / "a.jsonl", row)
    assert texts == [(ASK, "a", "m", "model"), (ASK, "b", None, "model")]
    assert (votes, notes) == ([("a", "b", "tie" if status == "tie" else "a")], [])


WORDS = st.text(st.sampled_from('ab7é "\\{}[\n:,'), min_size=1, max_size=9).map(str.strip).filter(bool)
PAIRS = st.lists(st.tuples(WORDS, WORDS, WORDS), min_size=1, max_size=3, unique_by=lambda pair: pair[0])


def exports(pairs):
    """The same pairs, the first better than the second, in every shape of votes."""
    for asked, better, worse in pairs:
        a, b = talk(asked, better), talk(asked, worse)
        yield "pair", {"prompt": asked, "chosen": better, "rejected": worse}
        yield "arena", {"conversation_a": a, "conversation_b": b, "winner": "model_a"}
        yield "other side", {"conversation_a": b, "conversation_b": a, "winner": "model_b"}
        texts = {"prompt": asked, "response_a": better, "response_b": worse}
        yield "columns", texts | {"winner_model_a": 1, "winner_model_b": 0, "winner_tie": 0}
        lists = {name: json.dumps([text]) for name, text in texts.items()}
        yield "lists", lists | {"winner_model_a": 1, "winner_model_b": 0, "winner_tie": 0}
        ranked = [reply(worse, 1), reply(better, 0)]
        tree = json.dumps(reply(asked, None, *ranked, role="prompter"))
        yield "tree", {"prompt": json.loads(tree.replace('"message_id"', '"name"'))}


@few(5)
@given(PAIRS)
def test_the_same_pairs_in_every_shape_and_file(tmp_path_factory, pairs):
    pairs = sorted(pair for pair in pairs if pair[1] != pair[2])
    rows = [row for _, row in sorted(exports(pairs), key=lambda export: export[0])]
    folder = tmp_path_factory.mktemp("shapes")
    with open_store(folder / "s.duckdb", create=True) as con:
        for name in ("a.jsonl", "a.json", "a.csv", "a.parquet") if pairs else ():
            here = [row for row in rows if name != "a.parquet" or not isinstance(row.get("prompt"), dict)]
            save(folder / name, here)
            report = ingest_files(con, "chat", [folder / name], name)
            assert (report.rows, report.rejects) == (len(here), 0), (name, report.first_rejects)
            found = query(
                con,
                """SELECT p.messages[-1].content, if(choice = 'a', a.content, b.content),
                if(choice = 'a', b.content, a.content) FROM votes v
                JOIN completions a ON a.key = completion_a JOIN completions b ON b.key = completion_b
                JOIN prompts p ON p.key = a.prompt WHERE v.source = ? ORDER BY v.line""",
                [name],
            ).rows()
            assert found == pairs * (len(here) // len(pairs)), name


def save(path, rows):
    match path.suffix:
        case ".jsonl":
            write(path, *rows)
        case ".json":
            path.write_text(json.dumps(rows))
        case ".csv":
            cells = [
                {
                    name: value if isinstance(value, str | int) else json.dumps(value)
                    for name, value in row.items()
                }
                for row in rows
            ]
            pl.DataFrame(cells).write_csv(path)
        case _:
            pl.DataFrame(rows).write_parquet(path)


def test_csv_with_other_names(store, tmp_path, preceptor):
    path = tmp_path / "a.csv"
    path.write_text("no;Frage;gut;schlecht;label\n1;7 x 8?;Try 7 x 4.;56.;\n2;9 x 9?;;x;\n", encoding="utf-8")
    maps = {"prompt": "Frage", "chosen": "gut", "rejected": "schlecht"}
    report = ingest_files(store, "chat", [path], "s", columns=maps)
    assert (report.rows, report.rejects, report.notes) == (1, 1, ["a.csv: not used: no"])
    assert query(store, "SELECT line, raw, reason FROM rejects").rows() == [
        (3, "2;9 x 9?;;x;", "'chosen' is missing")
    ]
    assert query(store, VOTED).rows() == [("Try 7 x 4.", "56.", "a")]
    with pytest.raises(SourceError, match=r"no row has the field 'Gut' for chosen"):
        ingest_files(store, "chat", [path], "t", columns=maps | {"chosen": "Gut"})
    with pytest.raises(SourceError, match=r"--map choosen=…: .*did you mean 'chosen'"):
        ingest_files(store, "chat", [path], "t", columns={"choosen": "gut"})
    done = preceptor(
        *("--store", tmp_path / "cli.duckdb", "ingest", "chat", path, "--source", "s"),
        *(word for pair in maps.items() for word in ("--map", "=".join(pair))),
    )
    assert (done.returncode, "1 vote" in done.stdout) == (0, True)


@pytest.mark.parametrize("ending", ["jsonl", "json", "parquet"])
def test_mapped_fields_of_json_and_parquet(store, tmp_path, ending):
    path = tmp_path / f"a.{ending}"
    save(path, [{"question": ASK, "chosen": "bad", "rejected": "good"}])
    maps = {"prompt": "question", "chosen": "rejected", "rejected": "chosen"}
    report = ingest_files(store, "chat", [path], "s", columns=maps)
    assert (report.rows, report.notes) == (1, [])
    assert query(store, VOTED).rows() == [("good", "bad", "a")]


def test_labels_in_a_table(store, tmp_path):
    path = tmp_path / "a.csv"
    path.write_text("prompt,completion,label\na,b,True\na,c,0\na,d,\na,e,maybe\n")
    report = ingest_files(store, "chat", [path], "s")
    assert (report.rows, report.rejects) == (3, 1)
    assert query(store, RATED).rows() == [("b", "desirable", 2, 2), ("c", "desirable", 1, 2)]


def test_a_table_that_is_no_chat_says_what_is_read(store, shared_cases):
    path = shared_cases / "52-xapi" / "dpo.csv"
    report = ingest_files(store, "chat", [path], "s")
    assert (report.rows, report.added["votes"], report.notes) == (1, 1, [])
    for other in ("moodle.csv", "xes.csv"):
        with pytest.raises(SourceError) as error:
            ingest_files(store, "chat", [path.with_name(other)], "t")
        assert NO_SHAPE in str(error.value)


@pytest.mark.parametrize("name", ["""it's "good" """, "a/b~c", """x", (SELECT 1) AS "y"""])
def test_fields_of_any_name_are_read_from_parquet(store, tmp_path, name):
    path = tmp_path / "a.parquet"
    pl.DataFrame({"prompt": ["7 x 8?"], name: ["7 x 4?"], "rejected": ["56."]}).write_parquet(path)
    report = ingest_files(store, "chat", [path], "s", columns={"chosen": name})
    assert (report.rows, report.notes) == (1, [])
    assert query(store, VOTED).rows() == [("7 x 4?", "56.", "a")]
