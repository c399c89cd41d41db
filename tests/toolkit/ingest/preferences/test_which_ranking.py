"""Which votes came from one ranking is kept, and a fit takes a ranking for one judgement."""

import json

import polars as pl
import pytest

from preceptor.schemas.licenses import read_license
from preceptor.toolkit.fusion.inputs.signals import read_signals
from preceptor.toolkit.ingest.batch import Context
from preceptor.toolkit.ingest.files import table_files
from preceptor.toolkit.ingest.formats import FORMATS
from preceptor.toolkit.ingest.run import Origin, find_inputs, ingest
from preceptor.toolkit.store.connection import query

PAIRS = "segmentId,judgeId,system1Id,system2Id,system1rank,system2rank"
WHOLE = ["7,anna,A,B,1,2", "7,anna,A,C,1,3", "7,anna,B,C,2,3"]


def load(store, path, *rows, format="votes"):
    path.write_text("\n".join(rows) + "\n")
    files = find_inputs(FORMATS[format], [path])
    ingest(store, FORMATS[format], files, Context("s"), Origin(read_license(None)))


def sizes(store):
    """Votes of each ranking of each annotator, ascending."""
    found = query(store, "SELECT count(*) FROM votes GROUP BY ranking, annotator ORDER BY 1")
    return found.to_series().to_list()


@pytest.mark.parametrize(
    ("rows", "found"),
    [
        (WHOLE, [3]),
        ([*WHOLE, "7,ben,A,B,1,2", "7,ben,A,C,1,1", "7,ben,B,C,2,1"], [3, 3]),
        # A single pair that the judge saw elsewhere is no part of the ranking.
        ([*WHOLE, "8,anna,A,B,1,1", "7,anna,A,D,2,1"], [1, 1, 3]),
        # A table in another order: all that the judge said of the segment.
        ([WHOLE[0], "8,anna,A,B,1,1", WHOLE[1], "8,ben,A,B,1,1", WHOLE[2]], [1, 1, 3]),
    ],
)
@pytest.mark.parametrize("block", [2, 200_000])
def test_rows_of_pairs_are_put_together(store, tmp_path, monkeypatch, rows, found, block):
    monkeypatch.setattr(table_files, "_BATCH_ROWS", block)
    load(store, tmp_path / "r.csv", PAIRS, *rows)
    assert sizes(store) == found
    names = query(store, "SELECT ranking FROM votes")["ranking"]
    assert not names.str.contains("anna|ben").any()


def test_a_row_of_several_systems_is_a_ranking(store, tmp_path):
    head = PAIRS.replace("system2rank", "system2rank,system3Id,system3rank")
    wide = head.replace(
        "system1Id,system2Id,system1rank,system2rank", "system1Id,system1rank,system2Id,system2rank"
    )
    load(store, tmp_path / "r.csv", wide, "7,anna,A,1,B,2,C,2", "7,anna,A,2,B,1,C,1")
    assert sizes(store) == [3, 3]
    weights = read_signals(store, [])["votes"]["weight"]
    assert weights.to_list() == pytest.approx([(2 / 3 + 3 / 4) / 2] * len(weights))


def test_ranked_replies_are_a_ranking(store, tmp_path):
    def reply(text, rank, *replies, role="assistant"):
        return {"message_id": text, "text": text, "role": role, "rank": rank, "replies": list(replies)}

    again = reply("And then?", None, reply("One", 0), reply("Two", 1), role="prompter")
    tree = reply("Why?", None, reply("Best", 0, again), reply("Good", 1), reply("Bad", 2), role="prompter")
    load(
        store,
        tmp_path / "trees.jsonl",
        json.dumps({"message_tree_id": "t", "tree_state": "ready_for_export", "prompt": tree}),
        format="chat",
    )
    assert sizes(store) == [1, 3]


def test_votes_of_a_ranking_weigh_less_the_more_answers_it_has(store, tmp_path):
    of_five = [
        f"7,anna,{a},{b},{i},{i + j + 1}" for i, a in enumerate("ABCDE", 1) for j, b in enumerate("ABCDE"[i:])
    ]
    star = [f"9,anna,A,{b},1,2" for b in "BCDE"]  # the best of five, nothing of the others
    load(store, tmp_path / "r.csv", PAIRS, *of_five, *star, "8,ben,A,B,1,2")
    votes = read_signals(store, [])["votes"]
    assert dict(votes.group_by("weight").agg(pl.col("n").sum()).rows()) == {0.45: 10, 0.4: 4, 1.0: 1}
