"""The gate of replies: red for what a model did not end by itself, or thought aloud; for nothing else."""

import json

import pytest
from model_server import Said, serving
from problems import load_problems, recipe

from preceptor.annotation.models.asking import AskOptions
from preceptor.annotation.models.backends.endings import CUT as CUT_OFF
from preceptor.annotation.models.backends.endings import FAILED
from preceptor.annotation.models.backends.endings import FILTERED as FILTERED_OUT
from preceptor.annotation.models.backends.registry import find_backend
from preceptor.schemas.errors import GateError, RecipeError
from preceptor.toolkit.campaign.generate import GenerateOptions, generate
from preceptor.toolkit.dataset.build import build
from preceptor.toolkit.dataset.gates.replies import CUT, FILTERED, check_replies
from preceptor.toolkit.store.connection import query, run

BAD = [
    ("context", '{"finish": "length"}', "cut off"),
    ("context", '{"finish_reason": "MAX_TOKENS"}', "cut off"),
    ("context", '{"stop_reason": "max_tokens"}', "cut off"),
    ("context", '{"finish": "content_filter"}', "filtered"),
    ("content", "<think>A hint?</think> Try 7 x 4.", "reasoning"),
    ("content", "A hint?</think> Try 7 x 4.", "reasoning"),
    ("content", "<Think>The form is", "reasoning"),
    ("content", "[THINK]A hint?[/THINK] Try 7 x 4.", "reasoning"),
    *(
        ("content", text, "tokens of a chat template")
        for text in (
            "Try 7 x 4.<|im_end|>",
            "Try 7 x 4.<|eot_id|>\n",
            "<|channel|>analysis<|message|>A hint?",
            "Try 7 x 4.</s>",
        )
    ),
]
GOOD = [
    ("context", '{"finish": "stop"}'),
    ("context", '{"note": "length"}'),
    ("content", "I think 1 < 2, and 2 > 1."),
    ("content", "<s>7</s> 14 <|endless|>"),
]


@pytest.fixture
def problems(store, tmp_path):
    load_problems(store, tmp_path, 30)
    return store


def change(con, column, value, side, origin="model"):
    """Change one completion: the wrong one of a pair is rejected, the right one chosen."""
    text = "I say 7." if side == "rejected" else "It is 14."
    new = "json_merge_patch(context, ?::JSON)" if column == "context" else "?"
    sql = f"UPDATE completions SET origin = ?, {column} = {new} WHERE content = ? RETURNING key"
    assert len(run(con, sql, [origin, value, text])) == 1


def made(con, out, **settings):
    return build(con, recipe(leaks={"near": None}, gates={"replies": settings}), out)


@pytest.mark.parametrize("side", ["chosen", "rejected"])
@pytest.mark.parametrize(("column", "value", "why"), BAD)
def test_what_is_no_whole_answer_stops_the_build_or_is_dropped(problems, tmp_path, side, column, value, why):
    change(problems, column, value, side)

    with pytest.raises(
        GateError, match=rf"1 completions of models are no whole answers: 1 {why} \(the first"
    ):
        made(problems, tmp_path / "red")
    done = made(problems, tmp_path / "out", drop=True)
    assert done.dropped["replies cut off, filtered, with reasoning or tokens of a chat template"] == 1
    assert sum(done.counts["preference"].values()) == 29


@pytest.mark.parametrize(("column", "value"), GOOD)
def test_what_ended_by_itself_passes(problems, tmp_path, column, value):
    change(problems, column, value, "rejected")
    assert sum(made(problems, tmp_path / "out").counts["preference"].values()) == 30


def test_only_models_are_looked_at_and_cut_ones_may_be_taken(problems, tmp_path):
    change(problems, "context", '{"finish": "length"}', "chosen")
    assert sum(made(problems, tmp_path / "out", allow_cut=True).counts["preference"].values()) == 30
    change(problems, "content", "<think> is a tag of HTML, I say", "rejected")
    run(problems, "UPDATE completions SET origin = 'human'")
    assert made(problems, tmp_path / "human").gates  # none is red
    with pytest.raises(RecipeError, match="allow_cuts"):
        made(problems, tmp_path / "wrong", allow_cuts=True)


def test_the_gate_knows_every_ending_that_is_no_answer():
    assert {name.lower() for name in CUT_OFF} <= set(CUT)
    assert {name.lower() for name in FILTERED_OUT | FAILED} <= set(FILTERED)


def test_how_a_completion_ended_is_found_in_its_reply_too(store, tmp_path):
    """As `generate --allow-cut` stores it, also where the context says nothing any more."""
    load_problems(store, tmp_path, 2)
    with serving(lambda body: Said(f"Try {body['seed']}", finish="length")) as server:
        backend = find_backend("openai:m", server.url)
        generate(store, backend, GenerateOptions(draws=2), AskOptions(allow_cut=True))
    first, second = query(
        store, "SELECT key FROM completions WHERE author = 'openai:m' ORDER BY prompt LIMIT 2"
    )["key"]
    run(
        store,
        "UPDATE completions SET context = json_object('request', context->>'request') WHERE author = 'openai:m'",
    )
    kept = f"SELECT '{first}' AS chosen_completion, '{second}' AS rejected_completion"
    run(store, f"CREATE OR REPLACE TEMP TABLE kept AS {kept}")
    try:
        result = check_replies(store)
        assert (result.passed, result.number) == (False, 2)
        assert check_replies(store, allow_cut=True).passed
    finally:
        run(store, "DROP TABLE temp.kept")
        run(store, "DROP TABLE IF EXISTS temp.unfinished")
    assert (
        json.loads(query(store, "SELECT sampling FROM replies")["sampling"][0])["said"]["finish"] == "length"
    )
