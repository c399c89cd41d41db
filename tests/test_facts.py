"""Real corpora against the figures beside them: what a correct ingest must reproduce."""

import json

import polars as pl
import pytest

from preceptor.schemas.licenses import read_license
from preceptor.toolkit.ingest.batch import Context
from preceptor.toolkit.ingest.registry import FORMATS
from preceptor.toolkit.ingest.run import Origin, find_inputs, ingest
from preceptor.toolkit.store import query


def load(store, format, path, source="s"):
    files = find_inputs(FORMATS[format], [path])
    return ingest(store, FORMATS[format], files, Context(source), Origin(read_license(None)))


def facts_of(folder):
    return json.loads((folder / "facts.json").read_text(encoding="utf-8"))


@pytest.mark.parametrize("name", ["", "wide/pairs.jsonl", "wide/pairs.csv", "wide/bayesian_data.json"])
def test_smart(store, shared_data, name):
    folder = shared_data / "smart"
    report = load(store, "smart", folder / name)
    facts = facts_of(folder)
    assert (report.rows, report.rejects) == (facts["pairs"], 0)
    votes = dict(query(store, "SELECT choice, count(*) FROM votes GROUP BY 1").rows())
    assert votes == facts["votes"]
    for side in ("a", "b"):
        ratings = query(
            store, "SELECT r.value::VARCHAR, count(*) FROM ratings r JOIN completions c "
            f"ON c.key = r.completion WHERE c.ref LIKE '%-{side}' GROUP BY 1",
        )  # fmt: skip
        assert dict(ratings.rows()) == facts["ratings"][side]["histogram"]
        outcomes = query(
            store, "SELECT o.value::BIGINT::VARCHAR, count(*) FROM outcomes o JOIN completions c "
            f"ON c.key = o.completion WHERE c.ref LIKE '%-{side}' GROUP BY 1",
        )  # fmt: skip
        assert dict(outcomes.rows()) == facts["outcomes"][side]["histogram"]
    pairs = query(
        store, "SELECT count(*)::VARCHAR, n FROM (SELECT 0), (SELECT completion_a, count(*)::VARCHAR AS n "
        "FROM votes GROUP BY 1) GROUP BY n",
    )  # fmt: skip
    assert {n: int(count) for count, n in pairs.rows()} == facts["votes_per_pair"]


@pytest.mark.parametrize(
    ("folder", "file", "path"),
    [
        ("jfleg", "EACL_exp/m2converter/dev.ref.m2", ["m2"]),
        ("relco", "errors_tagged.m2", ["errors_tagged.m2"]),
        ("cweb", "m2/CWEB-S.dev.m2", ["m2/CWEB-S.dev.m2"]),
        ("cweb", "m2/CWEB-S.dev.ann1.m2", ["m2/CWEB-S.dev.ann1.m2"]),
        ("ua-gec", "gec-only.test.m2", ["m2", "gec-only"]),
        ("ua-gec", "gec-fluency.test.m2", ["m2", "gec-fluency"]),
        ("estgec-l2", "dev/source_gold_dev.txt", ["dev/source_gold_dev.txt"]),
    ],
    ids=lambda v: v if isinstance(v, str) else "",
)
def test_m2(store, shared_data, folder, file, path):
    facts = facts_of(shared_data / folder)
    for key in path:
        facts = facts[key]
    report = load(store, "m2", shared_data / folder / file)
    edits = query(store, "SELECT * FROM edits")
    rejects = query(store, "SELECT * FROM rejects")
    sentences = query(store, "SELECT count(*) AS n FROM sentences").item()
    noop = edits.filter(pl.col("start") == -1)
    assert sentences == facts["sentences"]
    assert edits.height + rejects.height == facts["a_lines"]
    assert report.rows + report.rejects == facts["sentences"] + facts["a_lines"]
    assert noop.height == facts["noop_lines"]
    for annotator, expected in facts["per_annotator"].items():
        mine = noop.filter(pl.col("annotator") == annotator).height
        lost = rejects.filter(pl.col("raw").str.ends_with(f"|||{annotator}")).height
        assert edits.filter(pl.col("annotator") == annotator).height - mine + lost == expected["edits"]
        assert mine == expected["noop_lines"]
    types = pl.concat([edits.filter(pl.col("start") >= 0)["error_type"],
                       rejects["raw"].str.split("|||").list.get(1)])  # fmt: skip
    for name, count in facts["top5_types"]:
        assert (types == name).sum() == count


def test_the_malformed_lines_of_jfleg_lie_in_rejects(store, shared_data):
    folder = shared_data / "jfleg"
    load(store, "m2", folder / "EACL_exp" / "m2converter" / "dev.ref.m2")
    lines = query(store, "SELECT line FROM rejects ORDER BY line")["line"].to_list()
    assert lines == sorted(bad["line"] for bad in facts_of(folder)["m2"]["malformed"])
    source = (folder / "dev" / "dev.src").read_text().splitlines()
    texts = query(store, "SELECT text FROM sentences ORDER BY position")["text"].to_list()
    assert [t.split() for t in texts] == [s.split() for s in source]
