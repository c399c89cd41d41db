"""Questions that a model writes about passages: kept only if answer, facts and judge agree, all or nothing."""

import json
import re

import pytest
import yaml
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st
from model_server import Said, serving

from preceptor.schemas.errors import PreceptorError
from preceptor.toolkit.cli.main import cli
from preceptor.toolkit.practice.exercises.facts import WORDS, match_words
from preceptor.toolkit.store.connection import open_scratch, open_store, run

# What the writer says about each passage.
WRITES = {
    "Tallinn is the capital of Estonia. It lies on the Gulf of Finland.": (
        {"question": "On which gulf does the city lie?", "answer": "Gulf of Finland", "wrong": "Gulf of Riga"}
    ),
    "Ravens are birds.": {"question": "What are ravens?", "answer": "clever", "wrong": "fish"},
    "Cats sleep a lot.": {"question": "Do cats sleep?", "answer": "sleep", "wrong": "run"},
    "Salt is white.": {"question": "Which colour has it?", "answer": "white", "wrong": "White"},
    "The capital of Latvia is Tartu.": (
        {"question": "What is the capital of Latvia?", "answer": "Tartu", "wrong": "Riga"}
    ),
    "The sea is deep.": {"question": "How is it?", "answer": "deep", "wrong": "cold"},
    "Tea is hot.": "I do not know.",
}
FACTS = "subject,relation,object\nLatvia,capital,Riga\nEstonia,capital,Tallinn\n"
PRICES = {"noted": "2026-11", "models": [{"model": ["writer", "judge"], "in": 1.0, "out": 1.0}]}


def answer(body):
    """The writer knows what it says about each passage; the judge always takes the first answer about the sea."""
    text = body["messages"][-1]["content"]
    if body["model"] == "writer":
        (passage,) = [passage for passage in WRITES if passage in text]
        said = WRITES[passage]
        return said if isinstance(said, str) else f"Here it is:\n{json.dumps(said)}"
    shown = dict(re.findall(r'name="the (first|second) answer">\n(.*)\n', text))
    if "The sea" in text:
        return '{"answer": "first"}'
    right = {row["answer"] for row in WRITES.values() if isinstance(row, dict)}
    (side,) = [side for side, said in shown.items() if said in right]
    return json.dumps({"answer": side})


@pytest.fixture
def place(tmp_path, preceptor):
    rows = [
        {"id": f"p{n}", "task": "passage", "prompt": text, "completions": []} for n, text in enumerate(WRITES)
    ]
    (tmp_path / "p.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (tmp_path / "facts.csv").write_text(FACTS)
    (tmp_path / "prices.yaml").write_text(yaml.safe_dump(PRICES))
    done = preceptor("ingest", "prompts", "p.jsonl", "--source", "p", "--license", "MIT", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    return tmp_path


def write(place, server, *more, code=0, name="reading"):
    """What the command says, run in this process."""
    arguments = [
        "--store",
        place / "preceptor.duckdb",
        "exercises",
        "write",
        name,
        "--model",
        "openai:writer",
    ]
    arguments += ["--judge", "openai:judge", "--base-url", server.url, "--license", "CC0-1.0", *more]
    done = CliRunner().invoke(cli, [str(a) for a in arguments])
    if code is None:
        assert isinstance(done.exception, PreceptorError), done.output
        return str(done.exception)
    assert done.exit_code == code, done.output + repr(done.exception)
    return done.output


def read(place, what="shown, answers, distractors, sources"):
    with open_store(place / "preceptor.duckdb", read_only=True) as con:
        return run(con, f"SELECT {what} FROM exercises WHERE recipe = 'reading'")


def test_what_holds_is_kept_and_the_rest_is_counted(place, preceptor):
    with serving(answer) as server:
        said = write(place, server, "--facts", place / "facts.csv")
        assert len([body for body in server.asked if body["model"] == "judge"]) == 4
        again = len(server.asked)
        assert "kept" in write(place, server, "--facts", place / "facts.csv")
        assert len(server.asked) == again
    counts = dict(re.findall(r"^ *((?:dropped: )?[a-z ,]+?) +(\d+) *$", said, re.M))
    assert counts == {
        "asked for": "7",
        "kept": "1",
        "dropped: no question, answer and wrong answer could be read": "1",
        "dropped: the answer does not stand in the passage": "1",
        "dropped: the answer stands in the question": "1",
        "dropped: the wrong answer is no other one": "1",
        "dropped: a fact contradicts the answer": "1",
        "dropped: the judge did not take it for right in both orders": "1",
    }
    assert "retention: 14 % of 7 questions, held against 2 facts" in said
    ((shown, answers, distractors, sources),) = read(place)
    passage = next(iter(WRITES))
    assert shown == f"{passage}\n\nOn which gulf does the city lie?"
    assert (answers, distractors) == (["Gulf of Finland"], ["Gulf of Riga"])
    assert sources == ["p", "reading-questions"]
    ((key,),) = read(place, "key")
    said = preceptor("why", key, cwd=place).stdout
    for part in ("question of the exercises reading", "p.jsonl:1", "CC0-1.0", "openai:writer"):
        assert part in said


def test_without_facts_nothing_contradicts(place):
    with serving(answer) as server:
        assert "fact" not in write(place, server)
    assert len(read(place)) == 2


def test_a_writer_that_says_nothing_is_counted(place):
    with serving(lambda body: "" if "Tea" in str(body["messages"]) else answer(body)) as server:
        said = write(place, server)
    assert re.search(r"dropped: the writer gave no usable reply +1\b", said)
    assert re.search(r"asked for +7\b", said)


def test_a_limit_is_that_of_the_whole_run_and_stores_nothing(place):
    with serving(answer) as server:
        assert "no exercise was stored" in write(place, server, "--max-requests", "8", code=None)
        assert len(server.asked) == 8
        assert read(place) == []
        assert "no exercise was stored" in write(place, server, "--max-requests", "1", code=None)
        write(place, server)
        assert len(server.asked) == 7 + 6
    assert len(read(place)) == 2


def test_a_cost_cap_is_that_of_the_whole_run(place):
    """A request is billed 600 tokens, 0.0006 USD: seven of the writer leave 0.002, so one or two of the judge."""
    with serving(lambda body: Said(answer(body), prompt_tokens=500, completion_tokens=100)) as server:
        said = write(place, server, "--prices", place / "prices.yaml", "--max-cost", "0.0062", code=None)
        assert "requests about questions: no exercise was stored" in said
        asked = [body["model"] for body in server.asked]
    assert asked.count("writer") == 7
    assert 1 <= asked.count("judge") <= 3
    assert read(place) == []


def test_nothing_that_holds_changes_nothing(place):
    with serving(answer) as server:
        write(place, server)
        before = read(place, "key")
        with serving(lambda body: "{}") as silent:
            said = write(place, silent, "--k", "2", "--judge", "openai:other", code=1)
        assert "nothing was stored" in said
    assert read(place, "key") == before


def test_a_dry_run_sends_nothing(place):
    with serving(answer) as server:
        said = write(place, server, "--dry-run")
        assert server.asked == []
    assert "7 requests to openai:writer" in said
    assert read(place) == []


@pytest.mark.parametrize(
    ("facts", "says"),
    [
        ("subject,relation\na,b\n", "no column 'object'"),
        ("subject,relation,object\na,b,c\na,,c\n", "facts.csv:3: subject, relation or object is missing"),
        ("subject,relation,object\n", "holds no facts"),
        (None, "no such file"),
    ],
)
def test_facts_that_are_only_partly_there_are_refused(place, facts, says):
    (place / "facts.csv").unlink()
    if facts:
        (place / "facts.csv").write_text(facts)
    with serving(answer) as server:
        assert says in write(place, server, "--facts", place / "facts.csv", code=None)
        assert server.asked == []


def test_a_name_is_for_one_way_to_make_exercises(place, preceptor):
    with serving(answer) as server:
        write(place, server)
        (place / "x.yaml").write_text("name: reading\nsources: [reading-questions]\n")
        done = preceptor("exercises", "build", "x.yaml", cwd=place)
        assert done.returncode != 0
        assert "choose another name" in done.stderr
        (place / "x.yaml").write_text("name: cards\nsources: [p, reading-questions]\n")
        assert preceptor("exercises", "build", "x.yaml", cwd=place).returncode == 0
        assert "choose another name" in write(place, server, code=None, name="cards")


# Of a text with a NUL character, DuckDB normalises what is before it: its questions are dropped.
TEXT = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]))


@given(TEXT, TEXT, TEXT)
def test_words_stand_in_a_text_as_whole_words(before, words, after):
    with open_scratch() as con:
        sql = f"SELECT {WORDS('$w')}, {match_words(WORDS('$t'), WORDS('$w'))}"
        ((plain, found),) = run(con, sql, {"w": words, "t": f"{before} {words} {after}"})
    assert found == bool(plain)
