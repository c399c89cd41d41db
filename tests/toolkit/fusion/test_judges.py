"""Models that judge share a taste: they are worth fewer votes than they are, and nothing changes without them."""

import json
from dataclasses import replace

import numpy as np
import polars as pl
import pytest

from preceptor.tests.bench.fusion.annotators.judges import (
    PEOPLE,
    call_alike,
    keep_annotators,
    run_dawid_skene,
    simulate_panel,
)
from preceptor.toolkit.cli.dataset.fuse import describe_judges
from preceptor.toolkit.fusion.findings.judges import compute_effective_judges, summarise_judges
from preceptor.toolkit.fusion.findings.posterior import draw_qualities, summarise_pairs
from preceptor.toolkit.fusion.inputs.copies import drop_copies, find_copies
from preceptor.toolkit.fusion.inputs.signals import hash_inputs, read_signals
from preceptor.toolkit.fusion.methods import fit_by
from preceptor.toolkit.fusion.model import make_arrays
from preceptor.toolkit.fusion.observations import encode
from preceptor.toolkit.fusion.sampling.fit import SamplerSettings, fit
from preceptor.toolkit.fusion.sampling.hmc import trace_shapes
from preceptor.toolkit.ingest.run import ingest_files

QUICK = SamplerSettings(draws=200, max_draws=200, warmup=200)


@pytest.fixture(scope="module")
def panel():
    return simulate_panel(0)


@pytest.fixture(scope="module")
def fitted(panel):
    return fit(panel.obs, QUICK)


def summarise(obs, posterior):
    pairs = summarise_pairs(obs, posterior, *draw_qualities(obs, posterior, 0), 0.0)
    return summarise_judges(obs, posterior, pairs)


def test_without_models_the_model_has_no_other_arrays_and_no_other_sites(panel):
    people = keep_annotators(panel.obs, PEOPLE)
    unmarked = replace(people, annotators=people.annotators.drop("kind"))
    one, other = make_arrays(people), make_arrays(unmarked)
    assert one.keys() == other.keys() == {"items", "annotators", "votes"}
    assert one["votes"].keys() == other["votes"].keys()
    assert list(trace_shapes(one)) == list(trace_shapes(other))
    assert not [site for site in trace_shapes(one) if "model" in site]


def test_models_share_one_taste_of_the_completions_that_they_judged(panel):
    shapes = trace_shapes(make_arrays(panel.obs), latent=True)
    assert shapes["z_model_taste"] == (len(panel.e),)
    half = panel.obs.votes.keep(np.arange(len(panel.e)) < 9, np.arange(len(panel.e)))
    part = replace(panel.obs, parts=(half,))
    assert trace_shapes(make_arrays(part), latent=True)["z_model_taste"] == (9,)


def test_which_rows_are_of_models_is_part_of_the_input_only_where_there_are_any():
    votes = pl.DataFrame({"completion_a": ["a"], "annotator": ["j"], "n": [1]})
    annotators = pl.DataFrame({"annotator": ["j"], "pseudonym": ["j"], "kind": ["crowd"]})
    of_person = hash_inputs({"votes": votes, "annotators": annotators})
    of_expert = hash_inputs({"votes": votes, "annotators": annotators.with_columns(kind=pl.lit("expert"))})
    of_model = hash_inputs({"votes": votes, "annotators": annotators.with_columns(kind=pl.lit("model"))})
    assert of_person == of_expert != of_model


def test_judges_alike_are_worth_what_kish_says():
    information, shared = np.full((1, 9), 1.3), np.array([0.7])
    rho = 0.7 * 1.3 / (1 + 0.7 * 1.3)
    assert compute_effective_judges(information, shared) == pytest.approx(9 / (1 + 8 * rho))
    assert compute_effective_judges(information, np.zeros(1)) == pytest.approx(9)
    assert compute_effective_judges(1e6 * information, shared) == pytest.approx(1, abs=1e-3)


def test_findings_say_how_many_votes_the_panel_was_worth(panel, fitted):
    found = summarise(panel.obs, fitted)
    worth = found["panels"]["votes"]
    assert (found["models"], worth["judges"], worth["judgements"]) == (9, 9, 9 * 36)
    assert 1 < worth["n_eff"]["low"] < worth["n_eff"]["median"] < worth["n_eff"]["high"] < 9
    assert worth["n_eff"]["median"] < 4.5
    assert found["people"] == PEOPLE * 30
    assert 0 < found["apart"]["with_people"] <= found["apart"]["differ"] < found["apart"]["pairs"]
    json.dumps(found)
    said = describe_judges(found | {"copies": [["j1", "j2"]]})
    assert "a pair: 9 models worth" in said
    assert "j1, j2 gave the same judgements and count as one" in said


def test_models_taken_for_people_foretell_the_truth_worse(panel, fitted):
    def measure_loss(posterior):
        e = posterior.flatten("e")
        p = np.clip((e[:, panel.first] > e[:, panel.second]).mean(axis=0), 0.001, 0.999)
        better = panel.e[panel.first] > panel.e[panel.second]
        return -np.log(np.where(better, p, 1 - p)).mean()

    assert measure_loss(fit(call_alike(panel.obs), QUICK)) > measure_loss(fitted) + 0.1


def test_without_people_taste_is_not_told_from_quality(panel, fitted):
    rows = panel.obs.votes.annotator >= PEOPLE
    votes = panel.obs.votes
    arrays = {k: getattr(votes, k)[rows] for k in ("first", "second", "annotator", "shown_first", "counts")}
    alone = replace(panel.obs, parts=(replace(votes, **arrays),))
    posterior = fit(alone, QUICK)
    found = summarise(alone, posterior)
    assert found["people"] == 0
    assert "no person judged the same answers" in describe_judges(found)
    assert posterior.flatten("e").std(axis=0).mean() > fitted.flatten("e").std(axis=0).mean()


def test_a_normal_approximation_knows_the_taste_too(panel):
    posterior = fit_by(panel.obs, SamplerSettings(method="map"))
    assert posterior.flatten("model_taste").shape[1] == len(panel.e)
    assert summarise(panel.obs, posterior)["panels"]["votes"]["n_eff"]["median"] < 6


def tables(copies, turned=False):
    names = [f"{i:02d}{side}" for i in range(24) for side in "ab"]
    rows = [(f"{i:02d}a", f"{i:02d}b", "ab"[i % 2], f"gpt-{c}") for c in range(copies) for i in range(24)]
    if turned:  # the last says the same of sides in the other order
        rows[-24:] = [(b, a, {"a": "b", "b": "a"}[choice], who) for a, b, choice, who in rows[-24:]]
    people = [(f"{i:02d}a", f"{i:02d}b", "a", "ana") for i in range(24)]
    who = [*(f"gpt-{c}" for c in range(copies)), "ana", "ben"]
    votes = [*rows, *people, *((a, b, choice, "ben") for a, b, choice, _ in people)]
    return {
        "completions": pl.DataFrame({"completion": names, "prompt": [name[:2] for name in names]}),
        "annotators": pl.DataFrame(
            {"annotator": who, "pseudonym": who, "kind": ["model"] * copies + ["crowd"] * 2}
        ),
        "votes": pl.DataFrame(
            votes, schema=["completion_a", "completion_b", "choice", "annotator"], orient="row"
        ).with_columns(shown_first=pl.lit(None, pl.String)),
    }


def test_copies_of_a_judge_count_as_one_and_people_never_do():
    one, five = tables(1), tables(5, turned=True)
    assert find_copies(one) == []
    assert find_copies(five) == [[f"gpt-{c}" for c in range(5)]]
    for name, frame in drop_copies(five).items():
        assert frame.equals(one[name])


def test_judges_of_few_judgements_are_no_copies():
    few = tables(3)
    few["votes"] = few["votes"].filter(pl.col("completion_a") < "10")
    assert find_copies(few) == []


def test_dawid_and_skene_follow_the_better_judges():
    share = np.array([[1, 1, 0, 0, 1, 0], [1, 1, 0, 0, 1, 0], [1, 1, 0, 0, 1, 0], [0, 1, 1, 0, 0, 1]], float)
    assert (run_dawid_skene(share) > 0.5).tolist() == [True, True, False, False, True, False]


def test_a_fit_says_how_much_models_like_what_they_wrote(panel):
    """Three models wrote a third of the answers each, and put their own 1.5 sd higher."""
    rng = np.random.default_rng(3)
    wrote = np.arange(len(panel.e)) % 3
    votes = panel.obs.votes
    seen = panel.e + 0.4 * rng.normal(size=len(panel.e))
    rows = [[votes.first[votes.annotator < PEOPLE]], [votes.second[votes.annotator < PEOPLE]]]
    rows += [[votes.annotator[votes.annotator < PEOPLE]], [votes.counts[votes.annotator < PEOPLE]]]
    for j in range(3):
        mine = seen + 1.5 * (wrote == j)
        eta = 2 * (mine[panel.first] - mine[panel.second])
        first = rng.random(len(eta)) < 1 / (1 + np.exp(-eta))
        counts = np.stack([first, ~first, np.zeros(len(eta))], axis=1).astype(float)
        for column, values in zip(
            rows, (panel.first, panel.second, np.full(len(eta), PEOPLE + j), counts), strict=True
        ):
            column.append(values)
    first, second, who, counts = (np.concatenate(column) for column in rows)
    few = panel.obs.annotators.head(PEOPLE + 3)
    names = [None] * PEOPLE + ["m0", "m1", "m2"]
    obs = replace(
        panel.obs,
        annotators=few.with_columns(author=pl.Series(names, dtype=pl.String)),
        author=wrote.astype(np.int64),
        authors=("m0", "m1", "m2"),
        parts=(replace(votes, first=first, second=second, annotator=who, shown_first=np.zeros(len(first)),
                       counts=counts, weight=None),),
    )  # fmt: skip
    own = summarise(obs, fit(obs, QUICK))
    assert own["own"]["preference"]["low"] < 1.5 < own["own"]["preference"]["high"] < 3
    assert own["own"]["preference"]["low"] > 0.3
    assert own["own"]["judgements"] == 3 * 24  # of a prompt's three pairs two have the model's own on a side
    assert "put what they wrote themselves +" in describe_judges(own)
    without = replace(obs, annotators=obs.annotators.drop("author"))
    assert "self_preference" not in trace_shapes(make_arrays(without))


@pytest.mark.parametrize("authors", [("gpt-x", "Ana"), ("gpt-y", "Ana")])
def test_a_model_is_known_as_the_author_of_what_it_wrote(store, tmp_path, authors):
    prompts = [
        {
            "id": f"p{i}",
            "task": "qa",
            "prompt": f"why {i}?",
            "completions": [
                {"id": f"{i}-{side}", "content": f"{side} {i}", "author": author}
                for side, author in zip("ab", authors, strict=True)
            ],
        }
        for i in range(3)
    ]
    (tmp_path / "p.jsonl").write_text("\n".join(map(json.dumps, prompts)))
    rows = [
        f"{i}-a,{i}-b,a,{who},{kind}" for i in range(3) for who, kind in (("GPT-x", "model"), ("b", "crowd"))
    ]
    (tmp_path / "v.csv").write_text("\n".join(["completion_a,completion_b,choice,annotator,kind", *rows]))
    ingest_files(store, "prompts", [tmp_path / "p.jsonl"], "mine")
    ingest_files(store, "votes", [tmp_path / "v.csv"], "votes")
    signals = read_signals(store, [])
    obs = encode(signals)
    arrays = make_arrays(obs)["votes"]
    if authors[0] == "gpt-x":
        assert sorted(arrays["own_first"] + arrays["own_second"]) == [0, 0, 0, 1, 1, 1]
        plain = signals | {"annotators": signals["annotators"].drop("author")}
        assert hash_inputs(signals) != hash_inputs(plain)
    else:
        assert not {"own_first", "own_second"} & arrays.keys()
        assert "author" not in signals["annotators"].columns
