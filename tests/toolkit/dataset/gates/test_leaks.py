"""Leaks: what counts as one between which sides, benchmarks, and that dropping what leaks mends it."""

import gzip
import json

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from preceptor.schemas.errors import SourceError
from preceptor.schemas.recipe import Benchmark
from preceptor.toolkit.dataset.gates.leaks.benchmarks import read_benchmarks
from preceptor.toolkit.dataset.gates.leaks.leaks import ANSWER, check_leaks, count_leaks, list_leaked
from preceptor.toolkit.store.connection import open_scratch, query, run

PROBLEM = (
    "Natalia sold clips to {} of her friends in April, and then she sold half as many clips in May. How many?"
)
ANSWERED = (
    "She sold 48 in April and 24 in May, which are 72 clips for both months taken together, or six dozen."
)
SCHEMA = {
    "config": pl.String,
    "key": pl.String,
    "split": pl.String,
    "group": pl.String,
    "task": pl.String,
    "messages": pl.List(pl.Struct({"role": pl.String, "content": pl.String})),
    "chosen_content": pl.String,
    "rejected_content": pl.String,
    "licenses": pl.List(pl.String),
}


def bench(name, path, column=None, answer=None):
    """A benchmark of a recipe."""
    return Benchmark(name=name, path=path, column=column, answer=answer)


def row(key, side, *turns, group=None, chosen="yes", rejected="no"):
    config, split = side.split("/")
    messages = [
        {"role": turn[0], "content": turn[1]}
        if isinstance(turn, tuple)
        else {"role": "user", "content": turn}
        for turn in turns
    ]
    return [
        config,
        key,
        split,
        group or key,
        "tutor",
        messages,
        chosen,
        None if config == "sft" else rejected,
        ["MIT"],
    ]


@pytest.fixture
def con():
    with open_scratch() as con:
        yield con
        for table in ("kept", "leaks", "benchmarks"):
            run(con, f"DROP TABLE IF EXISTS {table}")


def keep(con, *rows):
    con.register("rows", pl.DataFrame(rows, schema=SCHEMA, orient="row").to_arrow())
    run(con, "CREATE OR REPLACE TEMP TABLE kept AS FROM rows")
    con.unregister("rows")


def leaks(con, *rows, **keys):
    keep(con, *rows)
    gate = check_leaks(con, **keys)
    found = query(con, "SELECT key, kind, other_key FROM leaks ORDER BY ALL").rows()
    assert gate.number == len({key for key, *_ in found})
    assert gate.passed == (not found)
    return found


SIDES = ("sft/train", "preference/train", "preference/validation", "preference/test")
LEAKY = [(a, b) for i, a in enumerate(SIDES) for b in SIDES[i + 1 :] if b != "preference/train"]


@pytest.mark.parametrize("sides", LEAKY)
def test_the_row_that_is_learned_from_leaks(con, sides):
    a, b = sides
    assert leaks(con, row("a", a, "What is 2 + 2?"), row("b", b, " what is  2 + 2? ")) == [
        ("a", "prompt", "b")
    ]
    assert leaks(con, row("b", b, "One", group="g"), row("a", a, "Two", group="g")) == [("a", "group", "b")]
    assert leaks(con, row("a", a, PROBLEM.format(48)), row("b", b, PROBLEM.format(49))) == [
        ("a", "near", "b")
    ]
    assert leaks(con, row("a", a, "One"), row("b", b, "Two")) == []


def test_equal_prompts_of_sft_and_preference_are_wanted_unless_disjoint(con):
    rows = [row("a", "sft/train", PROBLEM), row("b", "preference/train", PROBLEM)]
    assert leaks(con, *rows) == []
    assert leaks(con, *rows, disjoint=True) == [("a", "prompt", "b")]
    near = [rows[0], row("b", "preference/train", PROBLEM + "!", group="a")]
    assert leaks(con, *near, disjoint=True) == [("a", "group", "b"), ("a", "near", "b")]


@pytest.mark.parametrize("here", ["chosen", "rejected"])
@pytest.mark.parametrize("there", ["chosen", "rejected"])
def test_a_long_completion_tells_a_tests_answer_whichever_it_was(con, here, there):
    def rows(text):
        return (
            row("a", "preference/train", "One", **{here: text}),
            row("b", "preference/test", "Two", **{there: text.upper()}),
        )

    assert leaks(con, *rows(ANSWERED)) == [("a", "answer", "b")]
    assert leaks(con, *rows(ANSWERED[: ANSWER - 1].strip())) == []


def test_the_recipes_wording_and_system_messages_are_no_part_of_a_prompt(con):
    wording = "Explain the following to a learner who is ten years old, step by step, and ask 'why'? {prompt} Go on."
    system = ("system", "You are a patient tutor who never tells the answer at once but asks instead. " * 3)
    rows = [
        row("a", "preference/train", system, wording.replace("{prompt}", "What is rain?")),
        row("b", "preference/test", system, wording.replace("{prompt}", "What is snow?")),
        row("c", "sft/train", "what is SNOW?"),
    ]
    assert leaks(con, *rows, wordings=[wording, "{prompt}"]) == [("c", "prompt", "b")]
    assert ("a", "near", "b") in leaks(con, *rows)


def test_near_may_be_switched_off_or_made_stricter(con):
    rows = [row("a", "sft/train", PROBLEM.format(48)), row("b", "sft/test", PROBLEM.format(49))]
    assert leaks(con, *rows, near=None) == []
    assert leaks(con, *rows, near=0.99) == []
    assert leaks(con, *rows, near=0.8) != []


def test_a_benchmarks_question_leaks_also_as_a_message_or_a_completion(con, tmp_path):
    path = tmp_path / "test.jsonl"
    path.write_text(
        "".join(
            json.dumps({"q": q, "a": a}) + "\n"
            for q, a in [("Unrelated?", "No."), (PROBLEM.format(48), ANSWERED)]
        )
    )
    read_benchmarks(con, [bench("clips", path, "q", "a")])
    found = leaks(
        con,
        row("a", "preference/train", PROBLEM.format(48)),
        row("b", "preference/train", PROBLEM.format(480), ("assistant", "Well?"), "Is it 72?"),
        row("c", "preference/validation", "A problem, please.", chosen=PROBLEM.format(48).upper()),
        row("d", "preference/train", "Answer this.", rejected=ANSWERED),
        row("e", "preference/test", PROBLEM.format(48), group="e"),
        row("f", "sft/train", "Something else altogether"),
        near=0.85,
    )
    assert found == [
        ("a", "prompt", "2"),
        ("a", "prompt", "e"),
        ("b", "near", "2"),
        ("c", "prompt", "2"),
        ("d", "answer", "2"),
    ]
    assert count_leaks(con).rows() == [
        ("preference/train", "clips", "answer", 1),
        ("preference/train", "clips", "near", 1),
        ("preference/train", "clips", "prompt", 1),
        ("preference/train", "preference/test", "prompt", 1),
        ("preference/validation", "clips", "prompt", 1),
    ]


def test_the_verdict_names_the_first_rows(con):
    keep(
        con,
        *(row(f"k{i}", "preference/train", PROBLEM.format(i)) for i in range(5)),
        row("t", "preference/test", PROBLEM.format(0)),
    )
    gate = check_leaks(con)
    assert gate.name == "leaks"
    assert gate.verdict.startswith(
        "5 rows leak into what they are measured by, the first: preference/train k0 "
        "'Natalia sold clips to 0 of her friends in April, and then sh' has the prompt of preference/test t; "
        "preference/train k1 'Natalia"
    )
    assert "is 0.90 like preference/test t" in gate.verdict


texts = st.sampled_from([PROBLEM.format(n) for n in (1, 2, 30)] + ["One", "Two", ANSWERED, ""])


@settings(max_examples=20)
@given(
    st.lists(
        st.tuples(st.sampled_from([*SIDES, "sft/test"]), texts, st.integers(0, 9), texts, texts), max_size=9
    ),
    st.booleans(),
)
def test_dropping_what_leaks_leaves_nothing_that_does(rows, disjoint):
    with open_scratch() as con:
        keep(
            con,
            *(
                row(f"k{i}", side, prompt, group=f"g{group}", chosen=chosen, rejected=rejected)
                for i, (side, prompt, group, chosen, rejected) in enumerate(rows)
            ),
        )
        check_leaks(con, disjoint=disjoint)
        gone = list_leaked(con)
        assert not any(
            side.endswith("test") for i, (side, *_) in enumerate(rows) if f"k{i}" in set(gone["key"])
        )
        con.register("gone", gone.to_arrow())
        run(con, "DELETE FROM kept WHERE (config, key) IN (FROM gone)")
        gate = check_leaks(con, disjoint=disjoint)
        assert gate.passed, gate.verdict
        con.unregister("gone")
        run(con, "DROP TABLE kept")
        run(con, "DROP TABLE leaks")


def test_benchmarks_are_read_from_every_kind_of_file(con, tmp_path):
    (tmp_path / "q.csv").write_text('id,"the ""question"""\n1,"What, now?"\n2,\n')
    (tmp_path / "q.tsv").write_text("question\nWhat now?\nAnd then?\n")
    (tmp_path / "q.txt").write_text("What now?\r\n\nÜbrigens: wann?")
    (tmp_path / "q.json").write_text('["What now?", "And then?", "Why?"]')
    pl.DataFrame({"question": ["What now?", None]}).write_parquet(tmp_path / "q.parquet")
    sub = tmp_path / "it's [a] folder"
    sub.mkdir()
    (sub / "b.jsonl").write_text('{"q": "B?"}\n{"q": "C?"}\n')
    (sub / "a.txt").write_text("A?\n")
    (sub / "README.md").write_text("not a text of the benchmark")
    (sub / "b.jsonl").rename(sub / "b.ndjson")
    kinds = ("tsv", "txt", "json", "parquet")
    counts = read_benchmarks(
        con,
        [
            bench("csv", tmp_path / "q.csv", 'the "question"'),
            *(bench(kind, tmp_path / f"q.{kind}") for kind in kinds),
            bench("folder", sub),
        ],
    )
    assert counts == {"csv": 1, "tsv": 2, "txt": 2, "json": 3, "parquet": 1, "folder": 3}
    rows = query(con, """SELECT name, line, "text" FROM benchmarks""").rows()
    assert ("txt", "3", "Übrigens: wann?") in rows
    assert ("folder", "b.ndjson:2", "C?") in rows


@pytest.mark.parametrize(
    ("name", "content", "column", "message"),
    [
        ("q.csv", "a,b\n1,2\n", None, r"q.csv: has several columns; say which by column; it has a, b"),
        ("q.csv", "a,b\n1,2\n", "c", r"q.csv: has no column 'c'; it has a, b"),
        ("q.xlsx", "", None, "expected a file named .jsonl"),
        ("q.jsonl", '{"a": ', "a", "q.jsonl cannot be read as .jsonl"),
        ("q.parquet", "PAR0", "a", "q.parquet cannot be read as .parquet"),
        ("q.txt", "\n \n", None, "holds no text"),
        (None, "", None, "there is no such file or folder; mend path"),
    ],
)
def test_a_benchmark_that_cannot_be_read_says_why(con, tmp_path, name, content, column, message):
    if name:
        (tmp_path / name).write_text(content)
    with pytest.raises(SourceError, match=message):
        read_benchmarks(con, [bench("b", tmp_path / (name or "gone.csv"), column)])
    (tmp_path / "empty").mkdir()
    with pytest.raises(SourceError, match=r"the folder holds no \.jsonl"):
        read_benchmarks(con, [bench("b", tmp_path / "empty")])


@pytest.mark.parametrize("packed", [".parquet", ".csv.gz"])
def test_a_benchmark_that_unpacks_without_end_is_refused(con, tmp_path, packed):
    path = tmp_path / f"q{packed}"
    if packed == ".parquet":
        texts = pa.DictionaryArray.from_arrays(pa.array([0] * 100_000, pa.int32()), ["x" * 900_000])
        pq.write_table(pa.table({"q": texts}), path)
    else:
        path.write_bytes(gzip.compress(b"q\n" + (b"x" * 1000 + b"\n") * 80_000))
    with pytest.raises(
        SourceError, match=r"unpacks to more than 64 MB .* save its rows as JSON Lines or CSV"
    ):
        read_benchmarks(con, [bench("b", path, "q")])


def test_evaluated_prompts_of_socratic_llm_are_prompts_of_its_test_list(con, shared_data):
    """facts.json counts 60 distinct prompts of the human evaluation and 61 of mathdial_test. That those
    60 are among the 61 it does not say: it is what the texts show."""
    folder = shared_data / "socratic-llm"
    facts = json.loads((folder / "facts.json").read_text())
    evaluated = json.loads((folder / "mathdial_human_eval.json").read_text(encoding="utf-8"))
    read_benchmarks(
        con,
        [
            bench(name, folder / f"{name}.json")
            for name in ("mathdial_test", "debugging_test", "tutorchat_test")
        ],
    )
    keep(con, *(row(f"k{i}", "preference/train", one["prompt"]) for i, one in enumerate(evaluated)))
    gate = check_leaks(con)
    assert gate.number == facts["mathdial_human_eval"]["distinct_prompts"] == 60
    assert count_leaks(con).rows() == [("preference/train", "mathdial_test", "prompt", 60)]


def test_gsm8k_questions_are_found_in_mathdials_own_problems(con, shared_data):
    """MathDial's problems are GSM8K's; which of those are in this part of its test split, texts show."""
    questions = {
        json.loads(line)["question"]
        for line in (shared_data / "gsm8k/test.jsonl").read_text(encoding="utf-8").splitlines()
    }
    problems = [
        json.loads(line)["question"]
        for line in (shared_data / "mathdial/test.jsonl").read_text(encoding="utf-8").splitlines()
    ]
    read_benchmarks(con, [bench("gsm8k", shared_data / "gsm8k/test.jsonl", "question")])
    keep(con, *(row(f"k{i}", "preference/train", text, group=text) for i, text in enumerate(problems)))
    check_leaks(con)
    equal = query(con, "SELECT count(DISTINCT key) AS n FROM leaks WHERE kind = 'prompt'")["n"].item()
    normal = {" ".join(q.lower().split()) for q in questions}
    assert equal == sum(" ".join(p.lower().split()) in normal for p in problems)
