"""Self-preference of a judge: more for its own completions than people have."""

import json

import numpy as np
import polars as pl
import pytest

from preceptor.annotation.audit.own import describe_own, measure_own
from preceptor.toolkit.campaign.judge_audit import audit_judges
from preceptor.toolkit.ingest.run import ingest_files
from preceptor.toolkit.store.connection import open_store


def verdicts(chosen, n, tie=0):
    """`n` pairs own-i against other-i; the judge chooses its own in `chosen`, ties in `tie`."""
    said = ["low"] * chosen + ["tie"] * tie + ["high"] * (n - chosen - tie)
    return pl.DataFrame(
        {"low": [f"a{i}" for i in range(n)], "high": [f"b{i}" for i in range(n)], "verdict": said}
    )


def votes_of_people(n, for_own):
    pairs = verdicts(0, max(n, 1)).head(n)
    return pairs.select("low", "high", for_low=pl.lit(for_own), for_high=pl.lit(10 - for_own))


OWN = pl.Series([f"a{i}" for i in range(100)])


def test_a_judge_that_chooses_its_own_more_than_people_do():
    found = measure_own(verdicts(80, 100), votes_of_people(100, 5), OWN, 0, 500)
    assert (found.pairs, found.people_pairs) == (100, 100)
    assert (found.own.value, found.people.value, found.difference.value) == pytest.approx((0.8, 0.5, 0.3))
    assert 0.15 < found.difference.low < 0.3 < found.difference.high < 0.42
    assert "prefers its own by +30.0 % (" in describe_own(found)


def test_ties_are_half_and_sides_do_not_matter():
    found = measure_own(verdicts(40, 100, tie=20), votes_of_people(100, 5), OWN, 0, 100)
    assert found.own.value == pytest.approx(0.5)
    swapped = (
        verdicts(40, 100, tie=20)
        .rename({"low": "high", "high": "low"})
        .with_columns(verdict=pl.col("verdict").replace({"low": "high", "high": "low"}))
    )
    assert measure_own(swapped, votes_of_people(0, 5), OWN, 0, 100).own.value == pytest.approx(0.5)


def test_without_people_whether_its_own_are_better_is_not_told():
    found = measure_own(verdicts(80, 100), votes_of_people(0, 5), OWN, 0, 100)
    assert found.difference is None
    assert "no person judged these" in describe_own(found)


def test_pairs_of_two_of_its_own_or_of_none_say_nothing():
    both = pl.Series([*OWN, *(f"b{i}" for i in range(100))])
    assert measure_own(verdicts(80, 100), votes_of_people(100, 5), both, 0, 100) is None


def test_intervals_hold_the_truth():
    rng = np.random.default_rng(0)
    held = 0
    for seed in range(200):
        found = measure_own(verdicts(int(rng.binomial(60, 0.7)), 60), votes_of_people(0, 5), OWN, seed, 300)
        held += found.own.low <= 0.7 <= found.own.high
    assert 178 <= held <= 199  # 95 % of 200, within four standard errors


def test_the_audit_knows_a_judge_by_the_author_of_completions(tmp_path):
    prompts = [
        {
            "id": f"p{i}",
            "task": "qa",
            "prompt": f"{i} x 8?",
            "completions": [
                {"id": f"{i}-own", "content": f"Try {i}.", "author": "GPT-x", "origin": "model"},
                {"id": f"{i}-other", "content": f"Say {i}.", "origin": "human"},
            ],
        }
        for i in range(30)
    ]
    texts = tmp_path / "prompts.jsonl"
    texts.write_text("".join(json.dumps(row) + "\n" for row in prompts))
    head = "completion_a,completion_b,choice,annotator,kind\n"
    rows = [f"{i}-own,{i}-other,{'a' if i < 24 else 'b'},gpt-x,model\n" for i in range(30)]
    rows += [f"{i}-own,{i}-other,{'ab'[i % 2]},ana,\n" for i in range(30)]
    votes = tmp_path / "votes.csv"
    votes.write_text(head + "".join(rows))
    with open_store(tmp_path / "s.duckdb", create=True) as con:
        ingest_files(con, "prompts", [texts], "texts")
        ingest_files(con, "votes", [votes], "votes")
        (audit,) = audit_judges(con).audits
    assert (audit.own.pairs, audit.own.own.value, audit.own.people.value) == (30, 0.8, 0.5)
    assert any("of 30 pairs with one completion that it wrote" in note for note in audit.notes)
