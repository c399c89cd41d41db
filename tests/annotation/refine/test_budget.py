"""What a refinement may take is bounded, also where a server fails, or lies about what it bills."""

import json

import pytest
from model_server import Said, serving

DIMENSIONS = json.dumps(
    {"dimensions": [{"name": "clear", "wording": "Is it clear?", "levels": ["no", "yes"]}]}
)
PRICES = "models:\n- {model: m, in: 1000, out: 1000}\n"  # USD for a million tokens


@pytest.fixture
def refine(preceptor, tmp_path):
    """Runs `preceptor rubric refine` on a server that answers as told; returns the end and what was asked."""
    (tmp_path / "outputs.jsonl").write_text(json.dumps({"prompt": "7 x 8?"}) + "\n")
    (tmp_path / "prices.yaml").write_text(PRICES)

    def run(answer, *more):
        arguments = ("rubric", "refine", "gec", "--outputs", "outputs.jsonl", "--model", "openai:m", *more)
        with serving(answer) as server:
            done = preceptor(*arguments, "--base-url", server.url, cwd=tmp_path)
            return done, server.asked

    return run


def test_a_run_stops_before_the_request_that_would_cost_too_much(refine):
    cap = ("--prices", "prices.yaml", "--max-cost", "20")
    done, asked = refine(lambda body: Said("no JSON", prompt_tokens=100, completion_tokens=8_000), *cap)
    assert done.returncode == 2, done.stderr
    assert "more than --max-cost allows" in done.stderr
    assert len(asked) == 1  # it was billed 8.10 USD, and the next could cost more than 11.90
    assert asked[0]["max_tokens"] == 8_192


def test_attempts_that_may_have_been_billed_count(refine):
    done, asked = refine(
        lambda body: Said(status=503, headers={"Retry-After": "0"}),
        "--prices",
        "prices.yaml",
        "--max-cost",
        "30",
    )
    assert done.returncode == 2
    assert "more than --max-cost allows" in done.stderr
    assert len(asked) == 2


def test_a_bill_above_what_the_request_could_cost_stops_the_run(refine, tmp_path):
    cap = ("--prices", "prices.yaml", "--max-cost", "1000")
    done, asked = refine(lambda body: Said(DIMENSIONS, completion_tokens=160_000), *cap)
    assert done.returncode == 2
    assert "--max-cost cannot hold there" in done.stderr
    assert len(asked) == 1
    assert (tmp_path / "gec-refined" / "steps" / "draft.json").exists()


def test_requests_are_counted_with_their_retries(refine):
    done, asked = refine(lambda body: Said("no JSON"), "--max-requests", "2")
    assert done.returncode == 2
    assert "stopped after 2 requests, as --max-requests says" in done.stderr
    assert len(asked) == 2


def test_a_cap_needs_a_price(refine):
    done, asked = refine(lambda body: Said(DIMENSIONS), "--max-cost", "1")
    assert done.returncode == 2
    assert "--prices" in done.stderr
    assert asked == []
