"""What `preceptor fuse` says when it ends, and the numbers behind it."""

import json
import os
import re
from types import SimpleNamespace

import numpy as np
import polars as pl
import pytest

from preceptor.toolkit.cli.dataset.fuse import describe_annotators, describe_correlation, say_next
from preceptor.toolkit.cli.demo.draw import CARELESS
from preceptor.toolkit.fusion.findings.checks import check_predictions
from preceptor.toolkit.fusion.findings.posterior import count_apart, summarise_pairs
from preceptor.toolkit.fusion.findings.summary import PairSummary, read_pairs
from preceptor.toolkit.fusion.likelihoods.outcomes import count_tries
from preceptor.toolkit.fusion.observations import encode
from preceptor.toolkit.fusion.sampling.fit import Posterior
from preceptor.toolkit.fusion.sampling.rank_histograms import BINS, compute_band, count_ranks
from preceptor.toolkit.store.connection import open_store, query

HOSTILE = "[red]Why?[/] \x1b[31m\u202eand\nwhy " + "so very long a question, " * 12
NARROW = os.environ | {"COLUMNS": "80"}


@pytest.fixture(scope="module")
def fused(demo, tmp_path_factory, preceptor):
    """The demo's store with prompts as bad as texts can be, and what `fuse` says of the fit in it."""
    folder = tmp_path_factory.mktemp("fused")
    (folder / "preceptor.duckdb").write_bytes((demo.out / "preceptor.duckdb").read_bytes())
    with open_store(folder / "preceptor.duckdb") as con:
        con.execute("UPDATE prompts SET messages = [{'role': 'user', 'content': ?}]", [HOSTILE])
    done = preceptor("fuse", cwd=folder, env=NARROW)
    assert done.returncode == 0, done.stderr
    return SimpleNamespace(folder=folder, stdout=done.stdout)


@pytest.fixture
def stored(fused):
    with open_store(fused.folder / "preceptor.duckdb") as con:
        yield con


def squeezed(text):
    return " ".join(text.split())


@pytest.mark.slow
def test_the_table_says_what_is_stored(fused, stored, named):
    said = squeezed(fused.stdout)
    assert re.search(r"convergence passed: R-hat 1\.0\d+, ESS \d+, 0 divergences, 4 x \d+ draws", said)
    assert re.search(r"annotators 20 voted; the fit doubts \w+, \w+: reliability below a half", said)
    assert all(careless in said for careless in named(*CARELESS))
    ((found, diagnostics),) = query(stored, "SELECT findings, diagnostics FROM fits").rows()
    found, diagnostics = json.loads(found), json.loads(diagnostics)
    rho = found["rho"]
    assert f"rho {rho['mean']:.2f} (90 % interval {rho['low']:.2f} to {rho['high']:.2f})" in said
    pairs = query(stored, "SELECT * FROM preferences")
    flips = pairs.filter(pl.max_horizontal("p", 1 - pl.col("p")) < 0.6).height
    assert 0 < flips < pairs.height
    assert f"pairs {pairs.height}: {pairs.height - flips} lean to one side" in said
    assert f"{flips} coin flips" in said
    apart = found["apart"]
    assert 0 < apart["sure"] < apart["sides"] < apart["pairs"] < pairs.height
    assert f"in {apart['sides']} of {apart['pairs']} pairs that learners tried; {apart['sure']} with" in said
    held = sum(c["holds"] for c in diagnostics["checks"])
    assert f"{held} of {len(diagnostics['checks'])} checks hold" in said
    signals = {c["signal"] for c in diagnostics["checks"]}
    assert signals == {"votes", "ratings:helpful", "outcomes:success", "outcomes:turns"}
    watched = [one["parameter"] for one in diagnostics["ranks"]]
    assert watched[0] == "rho"
    assert {"vote_slope", "rating_slope:helpful", "outcome_slope:turns"} <= set(watched)
    assert all(np.sum(one["counts"]) == 4 * diagnostics["draws"] for one in diagnostics["ranks"])


@pytest.mark.slow
def test_what_to_annotate_next_are_the_pairs_of_largest_gain(fused, stored):
    best = query(
        stored,
        "SELECT completion_a AS a, completion_b AS b, information_gain AS gain FROM preferences "
        "ORDER BY 3 DESC LIMIT 3",
    ).rows()
    at = [fused.stdout.index(f"{gain:.4f}   {a[:8]} {b[:8]}") for a, b, gain in best]
    assert at == sorted(at)
    worth = query(
        stored,
        "SELECT count(*) AS n FROM preferences WHERE information_gain >= "
        "(SELECT max(information_gain) / 2 FROM preferences)",
    )["n"][0]
    more = re.search(r"(\d+) more pairs? (?:are|is) worth asking", fused.stdout)
    assert (int(more[1]) if more else 0) == max(0, worth - 3)
    assert len(read_pairs(stored, query(stored, "SELECT key FROM fits")["key"][0], 2).telling) == 2


@pytest.mark.slow
def test_texts_are_one_line_unmarked_and_fit_eighty_columns(fused):
    _, table = fused.stdout.split("\n", 1)
    assert max(map(len, table.splitlines())) <= 80
    assert "[red]Why?[/]" in table
    assert "\x1b" not in fused.stdout
    assert "\u202e" not in fused.stdout


@pytest.mark.slow
def test_the_same_fit_again_says_the_same(demo, fused):
    """The demo prints the table when it has just fitted, `fuse` of what is stored."""
    assert "already fitted" in fused.stdout.splitlines()[0]
    rows = demo.stdout.partition("convergence")[2].partition("known values")[0]
    assert rows.count("\n") > 5
    assert squeezed(rows) in squeezed(fused.stdout)
    keys = re.findall(r"0\.\d{4}   \w{8} \w{8}", demo.stdout)
    assert len(keys) == 3
    assert keys == re.findall(r"0\.\d{4}   \w{8} \w{8}", fused.stdout)


@pytest.mark.slow
def test_a_fit_of_an_earlier_version_is_said_without_what_it_lacks(fused, preceptor, tmp_path):
    (tmp_path / "preceptor.duckdb").write_bytes((fused.folder / "preceptor.duckdb").read_bytes())
    with open_store(tmp_path / "preceptor.duckdb") as con:
        ((found, diagnostics),) = query(con, "SELECT findings, diagnostics FROM fits").rows()
        found, diagnostics = json.loads(found), json.loads(diagnostics)
        del found["apart"], diagnostics["ranks"]
        for annotator in found["annotators"]:
            del annotator["tie_habit"], annotator["p_ties_often"], annotator["p_ties_seldom"]
        con.execute(
            "UPDATE fits SET findings = ?, diagnostics = ?", [json.dumps(found), json.dumps(diagnostics)]
        )
        con.execute("DELETE FROM prompts")
    said = preceptor("fuse", cwd=tmp_path)
    assert said.returncode == 0, said.stderr
    assert "point apart" not in said.stdout
    assert "(no longer in the store)" in said.stdout
    assert preceptor("report", cwd=tmp_path).returncode == 0


@pytest.mark.slow
def test_an_unconverged_fit_says_failed(fused, preceptor, tmp_path):
    (tmp_path / "preceptor.duckdb").write_bytes((fused.folder / "preceptor.duckdb").read_bytes())
    with open_store(tmp_path / "preceptor.duckdb") as con:
        diagnostics = json.loads(query(con, "SELECT diagnostics FROM fits")["diagnostics"][0])
        diagnostics |= {"converged": False, "advice": "try a longer --warmup"}
        con.execute("UPDATE fits SET converged = false, diagnostics = ?", [json.dumps(diagnostics)])
    said = preceptor("fuse", cwd=tmp_path)
    assert said.returncode == 1
    assert "FAILED: R-hat" in said.stdout
    assert "annotate next" in said.stdout
    assert "did not converge: try a longer --warmup" in said.stderr


def test_annotators_are_named_with_the_reason_the_worst_first_and_few():
    one = {"annotator": "x", "p_below_half": 0.1, "p_ties_often": 0.2, "p_ties_seldom": 0.2}
    assert describe_annotators([one]) == "1 voted; the fit doubts none of them"
    said = describe_annotators([one, one | {"annotator": "t", "p_ties_often": 0.95}])
    assert said == "2 voted; the fit doubts t: ties at least twice as readily as most (probability > 0.9)"
    # A person is counted once, however many rows an earlier fit has of them.
    twice = describe_annotators([one | {"p_below_half": 0.95}, one | {"p_below_half": 0.99}, one])
    assert twice == "1 voted; the fit doubts x: reliability below a half (probability > 0.9)"
    many = describe_annotators(
        [one | {"annotator": f"a{i}", "p_below_half": 0.9 + 0.01 * i} for i in range(8)]
    )
    assert "the fit doubts a7, a6, a5, a4 and 3 more: reliability below a half" in many


def test_rho_is_not_said_to_be_learnt_from_one_side():
    rho = {"mean": 0.01, "low": -0.7, "high": 0.7}
    assert "no outcomes" in describe_correlation({"rho": rho, "votes": 5, "ratings": 0, "outcomes": 0})
    assert "no votes and ratings" in describe_correlation(
        {"rho": rho, "votes": 0, "ratings": 0, "outcomes": 5}
    )
    assert "may say nothing" in describe_correlation({"rho": rho, "votes": 0, "ratings": 1, "outcomes": 5})


def test_without_votes_nothing_is_known_of_the_next(capsys):
    say_next(PairSummary(3, 1, [], 0), {"votes": 0})
    say_next(PairSummary(3, 1, [], 0), {"votes": 2})
    say_next(PairSummary(0, 0, [], 0), {"votes": 2})
    said = capsys.readouterr().out.splitlines()
    assert said == [
        "annotate next: not known without votes",
        "annotate next: no pair would gain from one more vote",
    ]


def turns(rows):
    """Signals of turns alone; rows are (completion, learner, failures, censored)."""
    text, none = pl.String, {"annotator": pl.String}
    outcomes = pl.DataFrame(
        rows, {"completion": text, "learner": text, "value": pl.Float64, "censored": pl.Boolean}, orient="row"
    ).with_columns(measure=pl.lit("turns"))
    names = outcomes["completion"].unique().sort()
    return {
        "completions": pl.DataFrame({"completion": names, "prompt": names}),
        "annotators": pl.DataFrame(schema={**none, "pseudonym": text}),
        "votes": pl.DataFrame(
            schema={"completion_a": text, "completion_b": text, "choice": text, **none, "shown_first": text}
        ),
        "ratings": pl.DataFrame(
            schema={
                "completion": text,
                "criterion": text,
                "value": pl.Int64,
                "levels": pl.Int64,
                **none,
                "higher_is_better": pl.Boolean,
            }
        ),
        "outcomes": outcomes,
    }


def test_tries_are_counted_by_turn_and_the_censored_end_where_they_stopped():
    tables = turns(
        [
            ("a", "l", 0, False),
            ("a", "l", 2, True),
            ("a", None, 5, False),
            ("b", None, 3, True),
            ("b", "m", 4, True),
            ("b", "m", 0, True),
        ]
    )
    obs = encode(tables)
    (y,) = obs.outcomes
    tries, successes = count_tries(y, tables["outcomes"], obs.members)
    rows = {
        (int(i), int(j)): (t.tolist(), s.tolist())
        for i, j, t, s in zip(y.item, y.learner, tries, successes, strict=True)
    }
    assert rows == {
        (0, -1): ([1, 1, 1, 3], [0, 0, 0, 1]),  # five failures, then a success: six tries
        (0, 0): ([2, 1, 0, 0], [1, 0, 0, 0]),  # at once, and two failures without a third try
        (1, -1): ([1, 1, 1, 0], [0, 0, 0, 0]),
        (1, 1): ([1, 1, 1, 1], [0, 0, 0, 0]),  # a row of no tries adds none
    }
    assert tries.sum(axis=1).tolist() == (y.successes + y.failures).tolist()
    assert successes.sum(axis=1).tolist() == y.successes.tolist()


def turns_checks(values, stop, p):
    """Checks of turns against a posterior that is sure of success with p at every try."""
    tables = turns([("a", f"l{i}", min(v, stop), v >= stop) for i, v in enumerate(values)])
    obs = encode(tables)
    log_probs = np.log(np.broadcast_to([1 - p, p], (200, len(values), 2)))
    return check_predictions(obs, Posterior({}, {"outcomes:turns": log_probs}, None), tables, 0)


def test_geometric_turns_pass_however_early_learners_stop():
    """The checks hold in at least 98 % of cases by design; 40 data sets of 4 categories each."""
    rng = np.random.default_rng(0)
    held = [
        c["holds"]
        for stop in (1, 2, 4, 50)
        for _ in range(10)
        for c in turns_checks(rng.geometric(0.4, 300) - 1, stop, 0.4)
    ]
    assert len(held) == 10 * (1 + 2 + 4 + 4)
    assert np.mean(held) > 0.93


def test_turns_that_are_not_geometric_fail():
    """Who fails once fails for long: half at once, the others never before the fourth try."""
    checks = {c["category"]: c for c in turns_checks([0] * 150 + [3] * 75 + [6] * 75, 50, 0.25)}
    assert list(checks) == ["0", "1", "2", "3+"]
    assert not any(checks[k]["holds"] for k in ("0", "1", "2"))
    assert checks["0"]["data"] == 0.5
    assert all(c["low"] <= c["band"][0] <= c["band"][1] <= c["high"] for c in checks.values())


def test_pairs_point_apart_where_the_qualities_differ():
    """Three completions of one prompt, the third never tried; four draws."""
    tables = turns([("a", "l", 0, False), ("b", "l", 1, False)])
    tables["completions"] = pl.DataFrame({"completion": ["a", "b", "c"], "prompt": ["p"] * 3})
    obs = encode(tables)
    e = np.array([[1.0, 0, -1]] * 4)
    o = np.array([[0.0, 1, 2], [0, 1, 2], [0, 1, 2], [2, 1, 0]])
    pairs = summarise_pairs(obs, Posterior({}, {}, None), e, o, 0.5)
    assert pairs["p_apart"].to_list() == [0.75, 0.75, 0.75]
    assert count_apart(obs, pairs) == {"pairs": 1, "sides": 1, "sure": 0}
    surely = summarise_pairs(obs, Posterior({}, {}, None), e[:3], o[:3], 0.5)
    assert count_apart(obs, surely) == {"pairs": 1, "sides": 1, "sure": 1}


def test_rank_counts_see_a_chain_that_has_been_elsewhere():
    rng = np.random.default_rng(0)
    draws = rng.normal(size=(4, 1000))
    even = np.array(count_ranks(draws))
    low, high = compute_band(even.tolist(), 4000)
    assert even.shape == (4, BINS)
    assert even.sum(axis=0).tolist() == [200] * BINS  # ranks are of all chains together
    assert 0.8 < ((even >= low) & (even <= high)).mean() < 0.98
    draws[0] += 1
    moved = np.array(count_ranks(draws))[0]
    assert (moved[:3] < low).all()
    assert (moved[-3:] > high).all()
    assert count_ranks(np.zeros((2, 10)))[0][BINS // 2 - 1 : BINS // 2 + 1] in ([10, 0], [0, 10])


def test_nine_in_ten_counts_lie_in_the_band():
    """400 parameters of four independent chains: the share is known to about 0.3 %."""
    rng = np.random.default_rng(1)
    inside = []
    for _ in range(400):
        counts = count_ranks(rng.normal(size=(4, 500)))
        low, high = compute_band(counts, 2000)
        inside.append(((np.array(counts) >= low) & (np.array(counts) <= high)).mean())
    assert np.mean(inside) == pytest.approx(0.9, abs=0.025)
