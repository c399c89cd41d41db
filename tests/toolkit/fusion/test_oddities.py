"""Signals that are odd: fused all the same, and said with the rows they stand on."""

import json
from datetime import UTC, datetime

import invented
import polars as pl
import pytest

from preceptor.schemas.licenses import read_license
from preceptor.schemas.tables import VOTES
from preceptor.toolkit.campaign.answers import take_answers
from preceptor.toolkit.campaign.questions import Golden, choose_questions
from preceptor.toolkit.fusion.findings.oddities import find_oddities
from preceptor.toolkit.fusion.fuse import fuse
from preceptor.toolkit.fusion.inputs.signals import read_signals
from preceptor.toolkit.fusion.observations import encode
from preceptor.toolkit.fusion.sampling.fit import SamplerSettings
from preceptor.toolkit.ingest.batch import Context
from preceptor.toolkit.ingest.formats import FORMATS
from preceptor.toolkit.ingest.run import Origin, find_inputs, ingest, ingest_files
from preceptor.toolkit.store.connection import insert, open_store, query


def load(con, format, path, source):
    files = find_inputs(FORMATS[format], [path])
    ingest(con, FORMATS[format], files, Context(source, about="mine"), Origin(read_license(None)))


def fill(con, folder, votes, ratings=()):
    """Prompts p (four completions), q (two) and r (one), and what was said of them."""
    prompts = [
        {
            "id": p,
            "task": "qa",
            "prompt": p,
            "completions": [{"id": f"{p}-{x}", "content": f"{p}{x}"} for x in xs],
        }
        for p, xs in (("p", "abcd"), ("q", "ab"), ("r", "a"))
    ]
    (folder / "p.jsonl").write_text("\n".join(map(json.dumps, prompts)))
    (folder / "v.csv").write_text("\n".join(["completion_a,completion_b,choice,annotator", *votes]))
    load(con, "prompts", folder / "p.jsonl", "mine")
    load(con, "votes", folder / "v.csv", "votes")
    if ratings:
        (folder / "r.csv").write_text("\n".join(["completion,criterion,value,levels", *ratings]))
        load(con, "ratings", folder / "r.csv", "ratings")


def test_questions_that_are_asked_twice_on_purpose_are_no_oddity(store, tmp_path):
    invented.fill(store, tmp_path, prompts=6, completions=3)
    choose_questions(store, "week-1", invented.Rubric(), 12, "coverage", 1, Golden(0, 0.25))
    asked = query(store, "SELECT key, purpose FROM questions ORDER BY position")
    assert asked["purpose"].to_list().count("repeat") == 3
    answer = {"ask": '{"preference": "a"}', "repeat": '{"preference": "b"}'}
    take_answers(
        store,
        "week-1",
        asked.select(
            question="key",
            annotator=pl.lit("anna"),
            given=pl.col("purpose").replace_strict(answer),
            at=pl.lit(datetime(2026, 11, 1, tzinfo=UTC)),
        ),
    )
    assert not any("judged both ways" in one for one in find_oddities(store, []))
    # The same person says so elsewhere, unasked: that is one.
    row = query(store, "SELECT completion_a AS a, completion_b AS b FROM questions WHERE purpose = 'repeat'")
    (a, b) = row.row(0)
    refs = dict(query(store, "SELECT key, ref FROM completions").rows())
    (tmp_path / "v.csv").write_text(
        f"completion_a,completion_b,choice,annotator\n{refs[a]},{refs[b]},b,anna\n{refs[a]},{refs[b]},a,anna\n"
    )
    files = find_inputs(FORMATS["votes"], [tmp_path / "v.csv"])
    context = Context("votes", about="prompts")
    ingest(store, FORMATS["votes"], files, context, Origin(read_license(None)))
    (said,) = (one for one in find_oddities(store, []) if "judged both ways" in one)
    assert said.startswith("1 pair was judged both ways by one annotator, the first at ")


@pytest.mark.parametrize(
    ("votes", "ratings", "said"),
    [
        (["p-a,p-b,a,x", "q-a,q-b,b,y", "p-a,p-b,tie,x"], [], []),
        (
            ["p-a,p-b,a,x", "q-a,q-b,b,y", "p-b,p-a,a,x", "p-a,p-b,tie,x"],
            [],
            [
                "1 pair was judged both ways by one annotator, the first at votes v.csv:2 and votes v.csv:4: "
                "both votes count"
            ],
        ),
        (["p-a,p-b,a,x", "p-a,p-b,b,y", "p-a,p-b,b,", "p-a,p-b,a,"], [], []),  # people may differ
        (
            ["p-a,p-b,tie,x", "q-a,q-b,tie,y"],
            [],
            ["all 2 votes are ties: they tell how often people tie, not what is better"],
        ),
        (
            ["p-a,p-b,a,x", "q-a,q-b,b,x"],
            [],
            ["all 2 votes are by one annotator: reliability cannot be told from taste"],
        ),
        (
            ["p-a,p-b,a,x", "p-c,p-d,b,y", "q-a,q-b,b,y"],
            [],
            [
                "in 1 prompt votes compare groups of completions that nobody compared with each other, first in "
                "'p': between groups only ratings, outcomes and the prior speak"
            ],
        ),
        (["p-a,p-b,a,x", "p-c,p-d,b,y", "p-b,p-d,b,y"], [], []),
        (
            ["q-a,q-b,b,y", "q-a,q-b,a,x"],
            ["r-a,good,4,5"],
            ["1 of 2 prompts have one completion: it gets its quality, but no pair comes of it"],
        ),
    ],
)
def test_oddities_are_said_with_their_rows(store, tmp_path, votes, ratings, said):
    fill(store, tmp_path, votes, ratings)
    assert find_oddities(store, []) == said
    assert find_oddities(store, ["mine"]) == said
    assert find_oddities(store, ["other"]) == []


def test_ties_by_one_annotator_are_fused_without_a_nan(tmp_path, preceptor):
    with open_store(tmp_path / "preceptor.duckdb", create=True) as con:
        fill(con, tmp_path, ["p-a,p-b,tie,x", "p-c,p-d,tie,x", "q-a,q-b,tie,x"], ["r-a,good,5,5"])
    done = preceptor("fuse", "--max-draws", "2000", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    for word in ("are ties", "by one annotator", "nobody compared", "have one completion"):
        assert word in done.stdout
    with open_store(tmp_path / "preceptor.duckdb", read_only=True) as con:
        numbers = query(con, "SELECT mean, sd, low, high FROM effectiveness").to_numpy()
        assert numbers.shape == (7, 4)
        assert (abs(numbers) < 10).all()  # which no NaN is
        p = query(con, "SELECT p, information_gain FROM preferences").to_numpy()
        assert p.shape == (7, 2)  # six pairs of p, one of q
        assert ((p >= 0) & (p <= 1)).all()
        (notes,) = query(con, "SELECT findings->'notes' AS n FROM fits")["n"]
        assert len(json.loads(notes)) == 4


def test_votes_between_sources_are_fused_with_both_and_left_out_with_one(store, tmp_path):
    for source, sides in (("mine", "ab"), ("run", "mn")):
        completions = [{"id": side, "content": side} for side in sides]
        prompt = {"id": "p", "task": "qa", "prompt": "?", "completions": completions}
        (tmp_path / f"{source}.jsonl").write_text(json.dumps(prompt))
        ingest_files(store, "prompts", [tmp_path / f"{source}.jsonl"], source)
    keys = dict(query(store, "SELECT ref, key FROM completions").rows())
    pairs = [("a", "b"), ("a", "m"), ("m", "b"), ("m", "n")]
    votes = pl.DataFrame(
        {
            "source": ["v"] * 4,
            "path": ["v.csv"] * 4,
            "line": [1, 2, 3, 4],
            "n": [0] * 4,
            "completion_a": [keys[a] for a, _ in pairs],
            "completion_b": [keys[b] for _, b in pairs],
            "choice": ["a"] * 4,
        }
    )
    insert(store, VOTES, votes)

    def fused(sources):
        return encode(read_signals(store, sources)).votes.counts.sum()

    assert fused(["mine", "run"]) == fused([]) == 4
    assert fused(["mine"]) == fused(["run"]) == 1
    fit = fuse(store, sources=["mine"], settings=SamplerSettings(method="map"))
    assert fit.findings["votes"] == 1
    assert (
        "2 votes left out: one side is a completion of another source; add --source run"
        in fit.findings["notes"]
    )
    assert not any(
        "left out" in note for note in fuse(store, settings=SamplerSettings(method="map")).findings["notes"]
    )
