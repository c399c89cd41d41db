"""Metrics of tutors' turns: codes against references, over all classes."""

import json

import numpy as np
import pytest
from examples import few
from hypothesis import given
from hypothesis import strategies as st
from places import ROOT

from preceptor.schemas.licenses import read_license
from preceptor.schemas.recipe import Privacy, read_recipe
from preceptor.toolkit.dataset.build import build
from preceptor.toolkit.evaluation.config import read_config
from preceptor.toolkit.evaluation.items import read_held_out
from preceptor.toolkit.evaluation.metrics.likelihood import check_pairs, check_turns
from preceptor.toolkit.evaluation.metrics.statistics import Item, estimate
from preceptor.toolkit.evaluation.metrics.tutor_states import FIELDS, measure_states
from preceptor.toolkit.ingest.batch import Context
from preceptor.toolkit.ingest.formats import FORMATS
from preceptor.toolkit.ingest.run import Origin, find_inputs, ingest
from preceptor.toolkit.store.connection import query

KEYS = ("Evaluation of Student Response", "Action Based on Evaluation", "Step State")


def turn(evaluation="b", action="3", state="r", said="Right."):
    return json.dumps(
        dict(zip(KEYS, (evaluation, action, state), strict=True))
        | {"Step Number": "1", "Tutorbot Response": said}
    )


def items_of(*references):
    return [
        Item(
            str(n),
            str(n),
            ({"role": "user", "content": "?"},),
            "?",
            one if isinstance(one, tuple) else (one,),
        )
        for n, one in enumerate(references)
    ]


def values(items, answers):
    groups = [item.group for item in items]
    return {name: estimate(one, groups, 0).value for name, one in measure_states(items, answers).items()}


def f1_by_hand(right, made):
    """F1 of each class in `right`, as scikit-learn's f1_score(labels=…, average=None) has it."""
    found = []
    for code in sorted(set(right)):
        hits = sum(r == m == code for r, m in zip(right, made, strict=True))
        precision = hits / max(1, made.count(code))
        recall = hits / right.count(code)
        found.append(2 * precision * recall / (precision + recall) if hits else 0.0)
    return found


@pytest.fixture
def spock_items(store, shared_data):
    """The 666 turns of SPOCK's physics with what was said before, in groups of their problems."""
    format = FORMATS["spock"]
    files = find_inputs(format, [shared_data / "spock-phys"])
    ingest(store, format, files, Context("spock"), Origin(read_license(None)))
    rows = query(
        store,
        """SELECT p.key, p."group", p.messages, list(c.content ORDER BY c.key) AS found
        FROM prompts p JOIN completions c ON c.prompt = p.key GROUP BY ALL ORDER BY p.key""",
    ).rows()
    return [
        Item(key, group, tuple(messages), messages[-1]["content"], tuple(found))
        for key, group, messages, found in rows
    ]


def test_real_references_given_back_are_all_right_a_constant_one_is_not_and_rubbish_is_invalid(spock_items):
    assert sum(len(item.references) for item in spock_items) == 666
    perfect = values(spock_items, [item.references[-1] for item in spock_items])
    assert next(iter(perfect)) == "states_f1"
    assert set(perfect) == {"states_f1", "states_valid", "states_complete"} | {
        f"{field}_{figure}" for field in FIELDS for figure in ("accuracy", "f1")
    }
    assert set(perfect.values()) == {1.0}
    assert set(values(spock_items, ["I'm sorry, I can't."] * len(spock_items)).values()) == {0.0}
    constant = values(spock_items, [turn()] * len(spock_items))
    assert constant["states_valid"] == constant["states_complete"] == 1
    held = sum(
        any(json.loads(r)["Evaluation of Student Response"] == "b" for r in item.references)
        for item in spock_items
    ) / len(spock_items)
    assert constant["evaluation_accuracy"] == pytest.approx(held)
    # One of seven evaluations, ten actions, four states is ever found.
    assert constant["evaluation_f1"] == pytest.approx(2 * held / (1 + held) / 7)
    f1s = [constant[f"{field}_f1"] for field in FIELDS]
    assert constant["states_f1"] == pytest.approx(np.mean(f1s))
    assert 0.02 < constant["action_f1"] < 0.1 < constant["state_f1"] < 0.25


def test_f1_is_that_of_all_classes_and_draws_are_resampled_whole():
    draw = np.random.default_rng(5)
    right = [str(code) for code in draw.choice(list("abcg"), size=80, p=[0.1, 0.5, 0.3, 0.1])]
    made = [code if draw.random() < 0.6 else str(draw.choice(list("abcdefg"))) for code in right]
    items = items_of(*(turn(evaluation=code) for code in right))
    found = measure_states(items, [turn(evaluation=code) for code in made])
    groups = [item.group for item in items]
    f1 = estimate(found["evaluation_f1"], groups, seed=1)
    assert f1.value == pytest.approx(np.mean(f1_by_hand(right, made)))
    assert abs(f1.value - np.mean(f1_by_hand(right, made)[1:])) > 0.05  # the first class counts as well
    again = np.random.default_rng(0).integers(0, len(right), size=(800, len(right)))
    draws = [np.mean(f1_by_hand([right[n] for n in one], [made[n] for n in one])) for one in again]
    assert (f1.low, f1.high) == pytest.approx(np.quantile(draws, [0.05, 0.95]), abs=0.015)


def test_codes_are_read_however_they_are_spelt_and_several_are_one_class():
    items = items_of(turn("g", "12", "p"), turn("a", "1,4"), (turn("a"), turn("c")), "no turn")
    answers = [turn("g) N/A", "N/A", "p"), turn("a", "1"), turn("c"), turn()]
    found = values(items, answers)
    assert found["evaluation_accuracy"] == 1  # the fourth reference cannot be read, so it does not count
    assert found["action_accuracy"] == pytest.approx(2 / 3)
    assert found["action_f1"] == pytest.approx((1 + 0 + 1) / 3)  # 12, "1,4", 3
    assert found["states_complete"] == 1
    fenced = values(items[:1], [f"```json\n{turn('g', '12', 'p')}\n```"])
    assert fenced["states_valid"] == fenced["evaluation_accuracy"] == 0
    half = values(items[:1], [json.dumps({"Evaluation of Student Response": "g"})])
    assert (half["states_valid"], half["states_complete"], half["evaluation_accuracy"]) == (1, 0, 1)
    assert half["state_accuracy"] == 0


JUNK = st.one_of(
    st.text(st.characters()),
    st.sampled_from(
        [
            "{" * 5000,
            "[" * 5000,
            "\ud800",
            "\0",
            '{"Action Based on Evaluation": {"a": [null]}}',
            "null",
            turn(),
            turn().replace('"b"', "1e999"),
            turn("a\0"),
            turn(state=["p", {}]),
        ]
    ),
    st.dictionaries(
        st.sampled_from([*KEYS, "Step Number"]),
        st.one_of(st.none(), st.floats(), st.text(max_size=5), st.lists(st.text(max_size=2))),
    ).map(json.dumps),
)


@few()
@given(st.lists(st.tuples(JUNK, JUNK), min_size=1, max_size=6))
def test_nothing_that_a_model_writes_raises(pairs):
    items = items_of(*(reference for _, reference in pairs))
    found = values(items, [answer for answer, _ in pairs])
    assert all(np.isnan(value) or 0 <= value <= 1 for value in found.values())
    assert 0 <= found["states_complete"] <= found["states_valid"] <= 1


def test_a_built_dataset_is_evaluated(store, shared_data, tmp_path):
    def take(format, paths, context):
        ingest(
            store, FORMATS[format], find_inputs(FORMATS[format], paths), context, Origin(read_license(None))
        )

    dialogues = sorted((shared_data / "spock-phys" / "conversation_jsons").iterdir())
    take("spock", dialogues[:20], Context("spock"))
    refs = query(store, "SELECT ref FROM prompts ORDER BY key").to_series()
    answers = [
        {"prompt": ref, "author": "m", "origin": "model", "content": turn("d", "2", "p", said=f"{n} {ref}")}
        for n, ref in enumerate(refs)
    ]
    (tmp_path / "a.jsonl").write_text("\n".join(map(json.dumps, answers)))
    take("completions", [tmp_path / "a.jsonl"], Context("answers", about="spock"))
    recipe = read_recipe(ROOT / "recipes" / "spock" / "dataset.yaml")
    build(
        store, recipe.model_copy(update={"privacy": Privacy(look=False)}), tmp_path / "dist"
    )  # it takes a while
    wanted = read_config(ROOT / "recipes" / "spock" / "evaluate.yaml", [f"dataset_name={tmp_path / 'dist'}"])
    held = read_held_out(wanted.values)
    assert held.of == len(held.items) > 5
    check_pairs(held.items)
    check_turns(held.items)
    perfect, same = ([item.references[0] for item in held.items], [item.rejected[0] for item in held.items])
    assert set(values(held.items, perfect).values()) == {1.0}
    constant = values(held.items, same)
    assert (constant["states_valid"], constant["action_accuracy"]) == (1, pytest.approx(0.02, abs=0.03))
    assert constant["states_f1"] < 0.1
    assert set(values(held.items, ["?"] * len(held.items)).values()) == {0.0}
