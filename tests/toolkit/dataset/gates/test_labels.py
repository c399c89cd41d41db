"""From votes of models and people to a fit that says what the models are worth, and to a gate for labels."""

import json

import pytest

from preceptor.schemas.errors import GateError
from preceptor.schemas.recipe import Recipe
from preceptor.toolkit.dataset.build import build
from preceptor.toolkit.fusion.fuse import fuse
from preceptor.toolkit.ingest.run import ingest_files
from preceptor.toolkit.report.page import render_report
from preceptor.toolkit.store.connection import open_store, query

PROMPTS, HEARD = 12, 6  # prompts, and those whose answers people judged too
HEAD = "completion_a,completion_b,choice,annotator,kind\n"
PAIRS = [(f"{p}-{a}", f"{p}-{b}") for p in range(PROMPTS) for a, b in ("xy", "xz", "yz")]


@pytest.fixture(scope="module")
def fused(tmp_path_factory):
    folder = tmp_path_factory.mktemp("judged")
    rows = [
        {
            "id": f"p{p}",
            "task": "qa",
            "prompt": f"What is {p} times {p + 3}?",
            "completions": [{"id": f"{p}-{c}", "content": f"Answer {c} of number {p}."} for c in "xyz"],
        }
        for p in range(PROMPTS)
    ]
    (folder / "prompts.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    people = [
        f"{a},{b},{'a' if i % 5 else 'b'},person-{j},\n"
        for j in range(4)
        for i, (a, b) in enumerate(PAIRS[: 3 * HEARD], start=j)
    ]
    models = [
        f"{a},{b},{'a' if i % 4 else 'b'},gpt-{j},model\n"
        for j in range(3)
        for i, (a, b) in enumerate(PAIRS, j // 2)
    ]
    (folder / "votes.csv").write_text(HEAD + "".join(people + models))
    with open_store(folder / "s.duckdb", create=True) as con:
        ingest_files(con, "prompts", [folder / "prompts.jsonl"], "texts", license="CC0-1.0")
        ingest_files(con, "votes", [folder / "votes.csv"], "votes", license="CC0-1.0")
        fit = fuse(con, 0.0)
        yield con, fit


def recipe(**gate):
    return Recipe.model_validate(
        {"name": "x", "pairs": {"min_confidence": 0.5}, "privacy": {"look": False}, "leaks": {"near": None}}
        | ({"gates": {"judges": gate}} if gate else {})
    )


def test_a_fit_says_what_models_are_worth_and_which_are_copies(fused):
    _, fit = fused
    found = fit.findings["judges"]
    assert fit.converged
    assert [sorted(group) for group in found["copies"]] == [["gpt-0", "gpt-1"]]
    assert (found["models"], found["panels"]["votes"]["judges"], found["people"]) == (2, 2, 4 * 3 * HEARD)
    assert found["panels"]["votes"]["n_eff"]["high"] <= 2


def test_labels_that_stand_on_models_alone_stop_a_build(fused, tmp_path):
    con, _ = fused
    with pytest.raises(
        GateError, match=r"judges: the labels of \d+ of \d+ pairs stand on judgements of models"
    ):
        build(con, recipe(), tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_the_recipe_may_take_or_drop_such_labels(fused, tmp_path):
    con, _ = fused
    taken = build(con, recipe(allow_alone=True), tmp_path / "all")
    dropped = build(con, recipe(drop=True), tmp_path / "some")
    rows = [sum(one.counts["preference"].values()) for one in (taken, dropped)]
    alone = dropped.dropped["labels that stand on models alone"]
    assert alone > 0
    assert rows[0] == rows[1] + alone
    card = (tmp_path / "all" / "README.md").read_text()
    assert "Models judged too (2). They share a taste of their own" in card
    assert "No person judged" not in card


def test_p_is_wider_where_people_said_nothing(fused):
    con, fit = fused
    rows = query(
        con,
        """SELECT avg(sd) FILTER (ref_number(c.ref) < $heard), avg(sd) FILTER (ref_number(c.ref) >= $heard)
        FROM preferences p JOIN completions c ON c.key = p.completion_a WHERE fit = $fit""".replace(
            "ref_number(c.ref)", "split_part(c.ref, '-', 1)::INT"
        ),
        {"heard": HEARD, "fit": fit.key},
    ).row(0)
    assert rows[1] > 1.1 * rows[0]


def test_the_report_draws_the_panel(fused):
    con, fit = fused
    page = render_report(con, fit.key)
    assert "What the models that judged are worth" in page
    assert "votes: 2 models worth" in page
