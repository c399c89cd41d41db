"""Temporary tables between the steps of a build: each is declared, and no name means two things."""

import importlib
import json
import pkgutil
import sys
from collections import defaultdict

import pytest
from problems import TERMS, load_problems, recipe

import preceptor.toolkit
from preceptor.schemas.tables import TABLES, Table
from preceptor.toolkit.dataset.build import build
from preceptor.toolkit.ingest.batch import Context
from preceptor.toolkit.ingest.formats import FORMATS
from preceptor.toolkit.ingest.run import find_inputs, ingest
from preceptor.toolkit.store.connection import run

M2 = """S This are a sentence with an error .
A 1 2|||R:VERB:SVA|||is|||REQUIRED|||-NONE-|||0
A 3 4|||R:NOUN|||sentences|||REQUIRED|||-NONE-|||0
A 1 2|||R:VERB:SVA|||was|||REQUIRED|||-NONE-|||1

S Here something are odd .
A 1 2|||UNK||||||REQUIRED|||-NONE-|||0

S They was here .
A 1 2|||R:VERB:SVA|||were|||REQUIRED|||-NONE-|||0
"""


@pytest.fixture
def problems(store, tmp_path):
    """A store with 40 problems, a right and a wrong answer to each."""
    load_problems(store, tmp_path)
    return store


def test_the_gate_on_near_duplicates_leaves_the_builds_candidates_alone(problems, tmp_path):
    build(problems, recipe(leaks={"near": 0.8, "drop": True}), tmp_path / "out")
    assert run(problems, "SELECT count(*), count(DISTINCT prompt) FROM candidates") == [(40, 40)]


def declarations():
    """{name: declarations of temporary tables}, of all rooms of the toolkit."""
    found = defaultdict(set)
    for module in pkgutil.walk_packages(preceptor.toolkit.__path__, "preceptor.toolkit."):
        if ".cli" not in module.name:
            for one in vars(importlib.import_module(module.name)).values():
                if isinstance(one, Table) and one is not TABLES.get(one.name):
                    found[one.name].add(one)
    return dict(found)


def test_no_name_means_two_tables():
    found = declarations()
    assert {name for name, tables in found.items() if len(tables) > 1 or name in TABLES} == set()
    assert {"candidates", "pairs", "kept", "signals_kept", "labels", "leaks", "near", "gec_texts"} <= set(
        found
    )


class Watched:
    """A connection that notes which function makes a temporary table that is not declared.

    `astray` holds tables, with their makers, that a statement found after their makers had returned.
    """

    def __init__(self, con, declared):
        self.con, self.declared = con, declared
        self.last, self.makers = None, {}
        self.astray, self.seen = set(), set()

    def __getattr__(self, name):
        if name in ("execute", "sql"):
            self.look()
            frame = sys._getframe(1)
            while ".toolkit.store." in frame.f_globals["__name__"]:
                frame = frame.f_back
            self.last = frame
        return getattr(self.con, name)

    def look(self):
        """After a statement, before the next one."""
        there = {name for (name,) in self.con.execute(TEMPORARY).fetchall()}
        self.seen |= there
        for name in there - self.declared:
            self.makers.setdefault(name, self.last)
        running, frame = set(), sys._getframe()
        while frame:
            running.add(frame)
            frame = frame.f_back
        for name in [name for name in self.makers if name not in there]:
            del self.makers[name]
        self.astray |= {(n, f.f_code.co_name) for n, f in self.makers.items() if f not in running}


TEMPORARY = "SELECT table_name FROM duckdb_tables() WHERE temporary"


def build_watched(con, declared, made, out):
    watched = Watched(con, declared)
    build(watched, made, out)
    watched.look()
    return watched


@pytest.fixture
def every_gate(problems, tmp_path, tokenizer_folder):
    """A recipe with every config, whose gates all run and of which some drop rows."""
    (tmp_path / "benchmark.txt").write_text("Anna has 3 apples and Ben gives her 3 more of them. How many?\n")
    lines = ["completion,criterion,value,levels,annotator"]
    refs = [ref for (ref,) in run(problems, "SELECT ref FROM completions WHERE origin = 'model' ORDER BY 1")]
    lines += [f"{ref},clear,{1 + i % 5},5,ann{i % 3}" for i, ref in enumerate(refs)]
    (tmp_path / "r.csv").write_text("\n".join(lines) + "\n")
    inputs = find_inputs(FORMATS["ratings"], [tmp_path / "r.csv"])
    ingest(problems, FORMATS["ratings"], inputs, Context("said", about="gsm"), TERMS)
    return {
        "configs": ["preference", "sft", "unpaired", "signals"],
        "leaks": {"near": 0.9, "drop": True},
        "benchmarks": [{"name": "b", "path": str(tmp_path / "benchmark.txt")}],
        "tokenizer": {"name": tokenizer_folder, "max_length": 200, "drop": True},
        "privacy": {"drop": True},
        "splits": {"train": 0.5, "validation": 0.25, "test": 0.25},
    }


@pytest.fixture
def tokenizer_folder(tmp_path):
    tokenizers = pytest.importorskip("tokenizers")
    one = tokenizers.Tokenizer(tokenizers.models.WordLevel({"[UNK]": 0, "It": 1}, unk_token="[UNK]"))
    one.pre_tokenizer = tokenizers.pre_tokenizers.Whitespace()
    one.save(str(tmp_path / "tokenizer.json"))
    template = "{% for m in messages %}{{ m.content }}{% endfor %}"
    config = {"eos_token": "</s>", "chat_template": template}
    (tmp_path / "tokenizer_config.json").write_text(json.dumps(config))
    return str(tmp_path)


@pytest.mark.parametrize("policy", ["right-over-wrong", "best-over-worst-score"])
def test_what_a_build_hands_on_is_declared_and_as_declared(problems, every_gate, tmp_path, policy):
    pairs = {"policy": policy, "eligible": "chosen_length > 0"}
    watched = build_watched(
        problems, set(declarations()), recipe(**every_gate | {"pairs": pairs}), tmp_path / "out"
    )
    assert watched.astray == set()
    assert {
        "near_candidates",
        "near_bands",
        "placed",
        "stands",
        "scores",
        "dead",
        "ordered_rows",
    } <= watched.seen
    assert as_declared(problems) > {"candidates", "pairs", "kept", "signals_kept", "labels", "unpaired"}


def test_what_is_made_of_edits_is_declared_and_as_declared(store, tmp_path):
    (tmp_path / "a.m2").write_text(M2)
    ingest(store, FORMATS["m2"], find_inputs(FORMATS["m2"], [tmp_path / "a.m2"]), Context("mine"), TERMS)
    made = recipe(corrections={}, pairs={}, configs=["preference", "sft"], leaks={"drop": True})
    watched = build_watched(store, set(declarations()), made, tmp_path / "out")
    assert watched.astray == set()
    assert as_declared(store) > {"examples", "gec_sentences", "gec_texts", "gec_prompts", "gec_completions"}


def as_declared(con):
    """Names of the temporary tables that are left: none is undeclared, none has a null that is not declared."""
    declared = declarations()
    names = {name for (name,) in run(con, TEMPORARY)}
    for name in names:
        (table,) = declared[name]
        for column in table.columns:
            if not column.nullable:
                sql = f'SELECT count(*) FROM "{name}" WHERE "{column.name}" IS NULL'
                assert run(con, sql) == [(0,)], (name, column.name)
    return names


def test_a_table_that_outlives_its_function_is_found(store):
    """The watch itself: a table made and read by one function passes, one that is left behind does not."""
    watched = Watched(store, {"known"})

    def use():
        run(watched, "CREATE TEMP TABLE known AS SELECT 1")
        run(watched, "CREATE TEMP TABLE inside AS SELECT 1")
        run(watched, "FROM inside")
        run(watched, "DROP TABLE inside")
        run(watched, "CREATE TEMP TABLE left_behind AS SELECT 1")

    use()
    watched.look()
    assert watched.astray == {("left_behind", "use")}
