"""The registry of gates: what a new gate gets from it, and what follows from a red one."""

import json

import pytest
from places import ROOT
from problems import load_problems, recipe

from preceptor.schemas.errors import GateError, RecipeError
from preceptor.toolkit.dataset.build import build
from preceptor.toolkit.dataset.gates import run as run_module
from preceptor.toolkit.dataset.gates.gate import Drop, Gate, GateResult, GateSettings
from preceptor.toolkit.dataset.gates.run import list_gates
from preceptor.toolkit.dataset.steps import KEPT
from preceptor.toolkit.store.connection import query, run


class DoubtSettings(GateSettings):
    word: str = "doubt"


def check_doubt(con, inputs):
    where = f"contains(rejected_content, '{inputs.settings.word}')"
    ((n,),) = run(con, f"SELECT count(*) FROM kept WHERE {where}")
    drop = Drop(KEPT, where, "in doubt")
    return GateResult("doubts", not n, n, f"{n} rows are in doubt" if n else "no doubt", drop)


DOUBTS = Gate("doubts", check_doubt, settings=DoubtSettings)


@pytest.fixture
def problems(store, tmp_path):
    load_problems(store, tmp_path, 30)
    return store


@pytest.fixture
def add_gate(monkeypatch):
    """A function that registers one more gate."""

    def add(gate):
        every = (*list_gates(), gate)
        for place in ("gates.run", "build"):
            monkeypatch.setattr(f"preceptor.toolkit.dataset.{place}.list_gates", lambda: every)

    return add


def test_a_new_gate_stops_drops_and_is_told_in_card_and_manifest(problems, tmp_path, add_gate):
    add_gate(DOUBTS)
    done = build(problems, recipe(leaks={"near": None}), tmp_path / "none")
    assert (done.gates[-1].name, done.gates[-1].verdict) == ("doubts", "no doubt")
    red = {"doubts": {"word": "I say 7."}}
    with pytest.raises(GateError, match="doubts: 1 rows are in doubt"):
        build(problems, recipe(leaks={"near": None}, gates=red), tmp_path / "red")
    red["doubts"]["drop"] = True
    configs = ["preference", "signals"]
    out = tmp_path / "out"
    done = build(problems, recipe(leaks={"near": None}, gates=red, configs=configs), out)
    assert done.dropped == {"in doubt": 1}
    assert sum(done.counts["preference"].values()) == 29
    manifest = json.loads((out / "manifest.json").read_text())
    assert manifest["gates"][-1] == {
        "name": "doubts",
        "passed": True,
        "number": 1,
        "verdict": "dropped: 1 rows are in doubt",
    }
    assert manifest["recipe"]["gates"] == red
    card = (out / "README.md").read_text()
    assert "| doubts | 1 | passed: dropped: 1 rows are in doubt |" in card
    assert "| in doubt | 1 |" in card


def test_a_gate_may_only_warn_in_a_local_build(problems, tmp_path, add_gate):
    add_gate(Gate("doubts", check_doubt, settings=DoubtSettings, warns_locally=True))
    keys = {"leaks": {"near": None}, "gates": {"doubts": {"word": "I say 7."}}, "privacy": {"look": False}}
    done = build(problems, recipe(**keys), tmp_path / "local")
    assert done.gates[-1].entry["verdict"] == "local build: 1 rows are in doubt"
    with pytest.raises(GateError, match="doubts: 1 rows are in doubt"):
        build(problems, recipe(**keys, publish_under="MIT"), tmp_path / "out")


@pytest.mark.parametrize(
    ("gates", "said"),
    [
        ({"doutbs": {}}, "gates: unknown gate 'doutbs': did you mean 'doubts'"),
        ({"leaks": {"drop": True}}, "gates: unknown gate 'leaks'"),
        ({"doubts": {"dorp": True}}, "gates: doubts: unknown key 'dorp': did you mean 'drop'"),
        ({"doubts": {"drop": "maybe"}}, "gates: doubts: 'drop'"),
    ],
)
def test_settings_of_gates_are_checked_before_anything_is_gathered(store, tmp_path, add_gate, gates, said):
    add_gate(DOUBTS)
    with pytest.raises(RecipeError) as error:
        build(store, recipe(gates=gates), tmp_path / "out")
    assert said in str(error.value)


def test_a_gate_without_settings_is_told_from_those_that_take_some(store, tmp_path):
    with pytest.raises(RecipeError, match="gates: unknown gate 'leaks': known gates"):
        build(store, recipe(gates={"leaks": {}}), tmp_path / "out")
    assert "gates" not in recipe().model_dump()


def test_gates_that_drop_rows_come_first_and_the_docs_know_every_gate():
    gates = list_gates()
    assert len({gate.name for gate in gates}) == len(gates) == len(run_module.GATES)
    assert [g.name for g in sorted(gates, key=lambda gate: gate.order)][:2] == ["dead pairs", "leaks"]
    text = (ROOT / "docs/datasets.md").read_text(encoding="utf-8")
    assert [g.name for g in gates if f"| {g.name} |" not in text] == []


def test_signals_about_rows_that_a_gate_drops_go_with_them(problems, tmp_path, add_gate):
    add_gate(DOUBTS)
    texts = query(problems, "SELECT key, ref, content FROM completions WHERE origin = 'model'")
    made = recipe(
        leaks={"near": None},
        gates={"doubts": {"word": "I say 7.", "drop": True}},
        configs=["preference", "signals"],
    )
    run(
        problems,
        """INSERT INTO outcomes (key, source, completion, measure, value, censored, n, path, line)
        SELECT key, source, key, 'success', 1, false, 0, path, line FROM completions""",
    )
    made = made.model_copy(update={"privacy": made.privacy.model_copy(update={"learners": 1})})
    build(problems, made, tmp_path / "out")
    about = set(query(problems, "SELECT completion FROM signals_kept")["completion"])
    gone = set(texts.filter(content="I say 7.")["key"])
    assert about
    assert not about & gone
