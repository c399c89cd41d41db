"""Rankings as WMT publishes them, JFLEG's among them: votes about texts that are not in the file."""

import csv
import gzip
import json

import polars as pl
import pytest
from examples import few
from hypothesis import given
from hypothesis import strategies as st

from preceptor.schemas.errors import SourceError
from preceptor.schemas.licenses import read_license
from preceptor.schemas.recipe import read_recipe
from preceptor.schemas.tables import (
    ANNOTATORS,
    COMPLETIONS,
    EFFECTIVENESS,
    PREFERENCES,
    PROMPTS,
    REJECTS,
    VOTES,
)
from preceptor.toolkit.dataset.choose.pairs import choose_judged, settle_pairs
from preceptor.toolkit.fusion.inputs.signals import read_signals
from preceptor.toolkit.fusion.observations import encode
from preceptor.toolkit.ingest.batch import Context
from preceptor.toolkit.ingest.files import numbered_lines as lines_module
from preceptor.toolkit.ingest.formats import FORMATS
from preceptor.toolkit.ingest.run import Origin, find_inputs, ingest
from preceptor.toolkit.store.connection import count, insert, query, remove_source

HEAD = "srclang,trglang,srcIndex,documentId,segmentId,judgeId,system1Id,system2Id,system1rank,system2rank"


def load(store, path, source="s", format="votes", **said):
    files = find_inputs(FORMATS[format], [path])
    return ingest(store, FORMATS[format], files, Context(source, **said), Origin(read_license(None)))


def write(path, *rows, head=HEAD, end="\r\n"):
    path.write_text(end.join((head, *rows)), newline="")
    return path


@pytest.mark.parametrize("block", [700, 8 << 20])
def test_jfleg(store, shared_data, monkeypatch, named, block):
    monkeypatch.setattr(lines_module, "BLOCK_BYTES", block)
    folder = shared_data / "jfleg"
    facts = json.loads((folder / "facts.json").read_text(encoding="utf-8"))["pairwise"]
    report = load(store, folder / "EACL_exp" / "mturk" / "pairwise.csv")
    # What the facts say of columns and of the histogram of ranks is not kept: votes have no ranks. So
    # neither are the triples of document, judge and system, nor how many of them have several ranks.
    assert (report.rows, report.rejects, count(store, VOTES)) == (facts["rows"], 0, facts["rows"])
    assert count(store, PROMPTS) == facts["documents"]
    people = query(
        store, "SELECT pseudonym, count(*) FROM votes v JOIN annotators a ON a.key = v.annotator GROUP BY 1"
    )
    assert dict(people.rows()) == {named(judge): n for judge, n in facts["judges"].items()}
    choices = dict(query(store, "SELECT choice, count(*) FROM votes GROUP BY 1").rows())
    assert choices == {
        "a": facts["votes"]["system1_better"],
        "b": facts["votes"]["system2_better"],
        "tie": facts["votes"]["tie"],
    }
    assert per_system(store) == facts["per_system"]
    judges = query(
        store,
        """SELECT judges::VARCHAR, count(*) FROM (
        SELECT count(DISTINCT annotator) AS judges FROM votes JOIN completions c ON c.key = completion_a
        GROUP BY c.prompt) GROUP BY 1""",
    )
    assert dict(judges.rows()) == facts["judges_per_document"]
    rows = query(
        store,
        """SELECT n::VARCHAR, count(*) FROM (SELECT count(*) AS n FROM votes v
        JOIN completions c ON c.key = completion_a GROUP BY c.prompt, v.annotator) GROUP BY 1""",
    )
    assert dict(rows.rows()) == facts["rows_per_document_and_judge"]
    pairs = """SELECT least(completion_a, completion_b) AS x, annotator, count(*) AS n,
        count(DISTINCT CASE WHEN choice = 'tie' THEN 'tie' WHEN (choice = 'a') = (completion_a < completion_b)
            THEN 'first' ELSE 'second' END) AS verdicts
        FROM votes GROUP BY least(completion_a, completion_b), greatest(completion_a, completion_b), annotator"""
    assert query(
        store, f"SELECT count(*), count(*) FILTER (n > 1), count(*) FILTER (verdicts > 1) FROM ({pairs})"
    ).row(0) == (
        facts["unordered_pairs"],
        facts["duplicate_rows"],
        facts["unordered_pairs_judged_in_contradiction"],
    )
    assert query(store, "SELECT DISTINCT task, language FROM prompts").rows() == [("gec", "en")]
    origins = query(store, "SELECT author FROM completions WHERE origin <> 'model' GROUP BY 1 ORDER BY 1")
    assert origins["author"].to_list() == ["orig", "turk"]
    assert "texts that were ranked are not in the file" in report.notes[0]
    assert len(report.notes) == 1


def per_system(store):
    rows = query(
        store,
        """WITH sides AS (
            SELECT completion_a AS key, choice = 'a' AS won, choice = 'b' AS lost FROM votes
            UNION ALL SELECT completion_b, choice = 'b', choice = 'a' FROM votes)
        SELECT author, count(*), count(*) FILTER (won), count(*) FILTER (NOT won AND NOT lost),
            count(*) FILTER (lost) FROM sides JOIN completions USING (key) GROUP BY 1""",
    )
    return {
        author: {"comparisons": n, "wins": wins, "ties": ties, "losses": losses}
        for author, n, wins, ties, losses in rows.rows()
    }


def test_the_lower_rank_wins_and_equal_ranks_tie(store, tmp_path, named):
    path = write(
        tmp_path / "a.csv", "gug,gug,7,7,7,ann,X,Y,1,2", "gug,gug,7,7,7,ann,X,Z,3,1", "gug,gug,7,7,7,,Z,Y,2,2"
    )
    report = load(store, path, language="de")
    ann = named("ann")
    assert (report.rows, report.rejects) == (3, 0)
    assert query(
        store,
        """SELECT v.line, n, a.ref, b.ref, choice, pseudonym FROM votes v
        JOIN completions a ON a.key = completion_a JOIN completions b ON b.key = completion_b
        LEFT JOIN annotators p ON p.key = v.annotator ORDER BY v.line""",
    ).rows() == [
        (2, 0, "7:X", "7:Y", "a", ann),
        (3, 0, "7:X", "7:Z", "b", ann),
        (4, 0, "7:Z", "7:Y", "tie", None),
    ]
    assert query(store, 'SELECT ref, "group", language, task FROM prompts').rows() == [
        ("7", "7", "de", "gec")
    ]
    assert query(store, "SELECT DISTINCT content, origin FROM completions").rows() == [("", "model")]
    assert load(store, path, language="de").already_there


def test_a_row_of_wmt_ranks_several_systems(store, tmp_path):
    head = (
        "srclang,trglang,srcIndex,documentId,segmentId,judgeId,system1Number,system1Id,system2Number,system2Id,"
        "system3Number,system3Id,system1rank,system2rank,system3rank"
    )
    path = write(
        tmp_path / "a.csv",
        "cs,en,12,-1,12,j,1,A,2,B,3,C,2,1,2",
        "cs,en,12,news,13,j,1,A,2,B,3,C,1,-1,2",
        "de,en,12,-1,12,j,1,A,2,B,3,C,1,-1,-1",
        "de,en,12,-1,12,j,1,A,2,B,3,,1,1,",
        head=head,
    )
    report = load(store, path)
    assert (report.rows, report.rejects, count(store, VOTES)) == (3, 1, 5)
    assert query(store, "SELECT line, reason FROM rejects").rows() == [
        (4, "fewer than two systems have a rank")
    ]
    assert query(
        store,
        """SELECT v.line, n, a.ref, b.ref, choice FROM votes v
        JOIN completions a ON a.key = completion_a JOIN completions b ON b.key = completion_b
        ORDER BY v.line, n""",
    ).rows() == [
        (2, 0, "cs-en/12:A", "cs-en/12:B", "b"),
        (2, 1, "cs-en/12:A", "cs-en/12:C", "tie"),
        (2, 2, "cs-en/12:B", "cs-en/12:C", "a"),
        (3, 0, "cs-en/news/13/12:A", "cs-en/news/13/12:C", "a"),
        (5, 0, "de-en/12:A", "de-en/12:B", "tie"),
    ]
    assert query(store, "SELECT ref, language, task FROM prompts ORDER BY ref").rows() == [
        ("cs-en/12", "cs", "translation"),
        ("cs-en/news/13/12", "cs", "translation"),
        ("de-en/12", "de", "translation"),
    ]


BAD = {
    ",,,,,j,X,Y,1,2": "'segmentId' (or 'srcIndex') is empty",
    "a,a,7,7,7,j,X,Y,first,2": "system1rank is 'first', expected a whole number from 1",
    "a,a,7,7,7,j,X,Y,1,0": "system2rank is '0', expected a whole number from 1",
    "a,a,7,7,7,j,X,Y,1,1.5": "system2rank is '1.5', expected a whole number from 1",
    "a,a,7,7,7,j,X,,1,2": "'system2Id' is empty",
    "a,a,7,7,7,j,X,Y,1,": "fewer than two systems have a rank",
    "a,a,7,7,7,j,X,Y,1,-1": "fewer than two systems have a rank",
    "a,a,7,7,7,j,X,X,1,2": "a system is ranked against itself",
    "a,a,7,7,7,j,X,Y,1": "expected 10 fields, found 9",
}


@pytest.mark.parametrize("form", ["csv", "parquet"])
def test_what_rankings_reject(store, tmp_path, named, form):
    path = write(tmp_path / "a.csv", "a,a,7,7,7,j,X,Y,1,2", *BAD)
    expected = list(enumerate(BAD.values(), start=3))
    if form == "parquet":
        rows = list(csv.DictReader(path.read_text().splitlines()[:-1]))
        pl.DataFrame(rows).write_parquet(tmp_path / "a.parquet")
        path, expected = tmp_path / "a.parquet", [(line - 1, reason) for line, reason in expected[:-1]]
    report = load(store, path)
    assert (report.rows, report.rejects) == (1, len(expected))
    found = query(store, "SELECT line, raw, reason FROM rejects ORDER BY line")
    assert found.select("line", "reason").rows() == expected
    if form == "csv":
        # As they stand in the file, but for those that name a judge.
        for raw, line in zip(found["raw"], BAD, strict=True):
            assert raw == line or "see the line" in raw or json.loads(raw)["judgeId"] == named("j")
    else:
        assert set(json.loads(found["raw"][0])) == set(HEAD.split(","))


@pytest.mark.parametrize("form", ["tsv", "jsonl", "parquet"])
def test_other_forms_with_types(store, tmp_path, form):
    rows = [
        {"segmentId": n, "judgeId": 5, "system1Id": "X", "system2Id": "Y", "system1rank": 1, "system2rank": n}
        for n in (1, 2)
    ]
    path = tmp_path / f"a.{form}"
    if form == "jsonl":
        path.write_text("\n".join(map(json.dumps, rows)))
    elif form == "tsv":
        pl.DataFrame(rows).write_csv(path, separator="\t")
    else:
        pl.DataFrame(rows).write_parquet(path)
    load(store, path)
    assert query(store, "SELECT choice FROM votes ORDER BY line")["choice"].to_list() == ["tie", "a"]
    assert query(store, "SELECT ref FROM completions ORDER BY ref")["ref"].to_list() == [
        "1:X",
        "1:Y",
        "2:X",
        "2:Y",
    ]


def test_rankings_about_texts_of_another_source(store, tmp_path):
    answers = [{"id": f"7:{name}", "content": name} for name in "XY"]
    prompt = {"id": "7", "task": "gec", "prompt": "He go .", "completions": answers}
    other = {"id": "8", "task": "gec", "prompt": "?", "completions": [{"id": "7:W", "content": "w"}]}
    (tmp_path / "p.jsonl").write_text(json.dumps(prompt) + "\n" + json.dumps(other))
    load(store, tmp_path / "p.jsonl", "texts", "prompts")
    path = write(tmp_path / "a.csv", "a,a,7,7,7,j,X,Y,1,2", "a,a,7,7,7,j,X,Z,1,2", "a,a,7,7,7,j,X,W,1,2")
    report = load(store, path, about="texts")
    assert (report.rows, report.rejects, report.notes) == (1, 2, [])
    assert query(store, "SELECT reason FROM rejects ORDER BY line")["reason"].to_list() == [
        "completion: '7:Z' is no completion of source 'texts'",
        "the completions answer different prompts",
    ]
    assert count(store, COMPLETIONS) == 3
    assert query(store, "SELECT within FROM annotators").item() == "texts"
    with pytest.raises(SourceError, match="--about: 'nothing' holds no completions"):
        load(store, path, "t", about="nothing")


def test_votes_still_want_completions(store, tmp_path):
    path = tmp_path / "v.csv"
    path.write_text("completion_a,completion_b,choice\na,b,a\n")
    with pytest.raises(SourceError, match="none yet; ingest prompts first"):
        load(store, path)
    ranking = write(tmp_path / "a.csv", "a,a,7,7,7,j,X,Y,1,2")
    with pytest.raises(SourceError, match="none yet; ingest prompts first"):
        load(store, ranking, columns={"completion_a": "system1Id"})
    assert count(store, ANNOTATORS) == 0


def test_rankings_are_fused_but_never_published(store, tmp_path):
    load(store, write(tmp_path / "a.csv", "a,a,7,7,7,j,X,Y,1,2", "a,a,8,8,8,j,X,Y,1,2"))
    obs = encode(read_signals(store, []))
    assert obs.votes.counts.sum() == 2
    of_fit = {"fit": "f", "sd": 0.1, "p": 0.9, "p_expressed": 0.9, "p_observed": 0.9, "information_gain": 0.0}
    pairs = query(
        store, "SELECT prompt, min(key) AS completion_a, max(key) AS completion_b FROM completions GROUP BY 1"
    )
    insert(store, PREFERENCES, pairs.with_columns(**{k: pl.lit(v) for k, v in of_fit.items()}))
    numbers = ("mean", "sd", "low", "high", "expressed_mean", "expressed_sd", "observed_mean", "observed_sd")
    judged = query(
        store,
        "SELECT key AS completion, 'f' AS fit, 1 AS n_votes, 0 AS n_ratings, 0 AS n_outcomes "
        "FROM completions",
    )
    insert(store, EFFECTIVENESS, judged.with_columns(pl.lit(0.0).alias(name) for name in numbers))
    (tmp_path / "r.yaml").write_text("name: r\npairs: {policy: all}\n")
    recipe = read_recipe(tmp_path / "r.yaml")
    choose_judged(store, "f", recipe)
    assert settle_pairs(store, recipe) == {"text not published": 2}
    assert query(store, "FROM pairs")["dropped"].null_count() == 0


PIECES = [b"\xff", b"\0", b'"', b"\n", b"\r\n", b",", b"-1", b"9", b""]
SEED = "\r\n".join(
    (HEAD, *(f"a,b,{n},{n},{n},j{n % 2},{x},{y},{n},2" for n in (1, 2, 3) for x, y in ("XY", "YZ")))
).encode()


@few()
@given(
    st.lists(
        st.tuples(st.integers(0, len(SEED) - 1), st.integers(0, 9), st.sampled_from(PIECES)), max_size=5
    ),
    st.sampled_from([16, 150, 1 << 20]),
)
def test_damaged_rankings_balance(opened, tmp_path, changes, block):
    content = SEED
    for at, taken, put in changes:
        content = content[:at] + put + content[at + taken :]
    (tmp_path / "a.csv").write_bytes(content)
    remove_source(opened, "s")
    old, lines_module.BLOCK_BYTES = lines_module.BLOCK_BYTES, block
    try:
        report = load(opened, tmp_path / "a.csv")
    except SourceError:
        return
    finally:
        lines_module.BLOCK_BYTES = old
    assert (report.rows, report.rejects) == (count(opened, VOTES), count(opened, REJECTS))
    orphans = "SELECT count(*) FROM votes WHERE completion_a NOT IN (SELECT key FROM completions)"
    assert query(opened, orphans).item() == 0


@pytest.mark.parametrize(
    ("header", "columns"),
    [
        (
            "srclang,trglang,srcIndex,documentId,segmentId,judgeID,system1ID,system2id,SYSTEM1RANK,system2rank",
            {},
        ),
        (
            "srclang,trglang,srcIndex,documentId,segmentId,who,system1Id,system2Id,r1,system2rank",
            {"judgeId": "who", "system1rank": "r1"},
        ),
        (
            "srclang,trglang,srcIndex,documentId,segmentId,who,system1Id,system2Id,system1rank,system2rank",
            {"annotator": "who"},
        ),
    ],
)
def test_columns_of_another_name_or_in_other_letters(store, tmp_path, header, columns):
    (tmp_path / "a.csv").write_text(f"{header}\na,a,7,7,7,j,X,Y,1,2\n")
    report = load(store, tmp_path / "a.csv", columns=columns)
    assert (report.rows, report.rejects) == (1, 0)
    assert query(store, "SELECT choice FROM votes").item() == "a"
    assert count(store, ANNOTATORS) == 1


@pytest.mark.parametrize(
    ("columns", "said"),
    [
        ({"judgId": "x"}, "--map judgId=…: not a column of rankings; did you mean 'judgeId'"),
        ({"srclang": "lang"}, "no column 'lang' for srclang; the file has srclang, trglang"),
    ],
)
def test_maps_of_rankings_are_checked(store, tmp_path, columns, said):
    path = write(tmp_path / "a.csv", "a,a,7,7,7,j,X,Y,1,2")
    with pytest.raises(SourceError, match=said):
        load(store, path, columns=columns)


WMT = """<WMT15-results>
<HIT source-language="deu" target-language="eng" hit-id="1">
<ranking-task id="5">
  <ranking-result duration="00:00:35" user="anna">
    <translation system="A" rank="2" />
    <translation system="B,C" rank="1"/>
  </ranking-result>
</ranking-task>
<ranking-task id="6">
  <ranking-result user="ben"><translation system="A" rank="x"/><translation system="B" rank="1"/></ranking-result>
</ranking-task>
</HIT>
</WMT15-results>
"""
GEC = """<?xml version="1.0" encoding="UTF-8"?>
<r><ranking-item doc-id="d" id="321" src-id="307" user="anna">
  <translation rank="4" system="CAMB"/><translation rank="2" system="RAC SJTU"/>
</ranking-item></r>"""


@pytest.mark.parametrize("block", [40, 8 << 20])
@pytest.mark.parametrize("name", ["r.xml", "r.xml.gz"])
def test_rankings_in_xml(store, tmp_path, monkeypatch, block, name):
    monkeypatch.setattr(lines_module, "BLOCK_BYTES", block)
    data = WMT.encode()
    (tmp_path / name).write_bytes(gzip.compress(data) if name.endswith("gz") else data)
    report = load(store, tmp_path / name)
    assert (report.rows, report.rejects) == (1, 1)
    assert query(
        store,
        """SELECT a.ref AS a, b.ref AS b, choice, v.line FROM votes v JOIN completions a ON a.key = completion_a
        JOIN completions b ON b.key = completion_b ORDER BY v.n""",
    ).rows() == [
        (a, b, choice, 4)
        for a, b, choice in [
            ("deu-eng/5:A", "deu-eng/5:B", "b"),
            ("deu-eng/5:A", "deu-eng/5:C", "b"),
            ("deu-eng/5:B", "deu-eng/5:C", "tie"),
        ]
    ]
    assert query(store, "SELECT line, reason FROM rejects").rows() == [
        (10, "system1rank is 'x', expected a whole number from 1")
    ]
    assert "anna" not in str(query(store, "SELECT * FROM annotators").rows())


def test_rankings_of_corrections_in_xml(store, tmp_path):
    (tmp_path / "j.xml").write_text(GEC)
    assert load(store, tmp_path / "j.xml").rows == 1
    assert query(store, "SELECT count(*) FROM votes").item() == 3
    assert set(query(store, "SELECT ref FROM completions")["ref"]) == {"307:CAMB", "307:RAC", "307:SJTU"}


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (WMT[:200], "no XML, or cut off"),
        ("oops", "no XML, or cut off"),
        ("<a/>", "holds no rows"),
        ('<!DOCTYPE a [<!ENTITY e "x">]>' + GEC[39:], "declares entities"),
    ],
)
def test_other_xml_is_refused(store, tmp_path, text, said):
    (tmp_path / "r.xml").write_text(text)
    with pytest.raises(SourceError, match=said):
        load(store, tmp_path / "r.xml")
