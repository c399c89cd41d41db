"""Edits by character offset: applied in tokens they give what they give in characters."""

import json
import re

import polars as pl
from examples import few
from hypothesis import given
from hypothesis import strategies as st

from preceptor.schemas.licenses import read_license
from preceptor.schemas.tables import EDITS, SENTENCES, SOURCES
from preceptor.toolkit.dataset.choose.corrections import select_corrections
from preceptor.toolkit.ingest.batch import Context
from preceptor.toolkit.ingest.formats import FORMATS
from preceptor.toolkit.ingest.gec.edits.character_edits import apply_edits, make_batch
from preceptor.toolkit.ingest.run import Origin, find_inputs, ingest
from preceptor.toolkit.store.connection import insert, query, remove_source, run

NOTHING = pl.DataFrame(schema={"path": pl.String, "line": pl.Int64, "raw": pl.String, "reason": pl.String})
EDIT = {
    "doc": pl.Int64,
    "start": pl.Int64,
    "end": pl.Int64,
    "correction": pl.String,
    "annotator": pl.String,
    "error_type": pl.String,
    "path": pl.String,
    "line": pl.Int64,
    "raw": pl.String,
}


def document(text, annotators=("0",), doc=0):
    return {"doc": doc, "document": "d", "text": text, "annotators": list(annotators), "path": "p", "line": 1}


def edits_of(spans, annotator="0"):
    rows = [(0, s, e, c, annotator, "X", "p", 1, f"{s}-{e} {c}") for s, e, c in spans]
    return pl.DataFrame(rows, schema=EDIT, orient="row")


def batch(text, spans):
    return make_batch(pl.DataFrame([document(text)]), edits_of(spans), NOTHING, Context("s"), 0)


def rows(text, spans):
    edits = batch(text, spans).tables["edits"]
    return edits.select("start", "end", "correction").rows()


def test_an_edit_is_widened_to_whole_tokens():
    assert rows("I have alot dogs.", [(8, 8, " "), (16, 16, "!!")]) == [(2, 3, "a lot"), (3, 4, "dogs!!.")]
    assert rows("Goes for it", [(0, 5, "is ")]) == [(0, 1, "is")]
    assert rows("a cat", [(2, 2, "big ")]) == [(1, 1, "big")]
    assert rows("every one", [(5, 6, "")]) == [(0, 2, "everyone")]


def test_edits_in_one_token_become_one_and_keep_their_types():
    made = batch("dog barks", [(3, 3, "s"), (3, 3, "!")]).tables["edits"]
    assert made.select("start", "end", "correction", "error_type", "errant_type").rows() == [
        (0, 1, "dogs!", "X", "M")
    ]


def test_a_line_is_a_sentence_unless_an_edit_reaches_over_its_end():
    made = batch("one two\n\nthree\nfour", [(14, 15, ", "), (9, 9, "x")])
    assert made.tables["sentences"]["text"].to_list() == ["one two", "three\nfour"]
    edits = made.tables["edits"].select("start", "end", "correction").rows()
    assert edits == [(-1, -1, None), (0, 1, "xthree, four")]


def test_what_tokens_cannot_show_is_rejected():
    made = batch("a  b", [(1, 2, ""), (4, 9, "x"), (0, 1, "a")])
    assert made.rejects["reason"].to_list() == [
        "edit 4-9 lies outside the text's 4 characters",
        "the edit changes nothing",
        "changes only white space between words, which tokens do not show",
    ]
    assert (made.read, made.taken) == (4, 1)


def test_who_changed_nothing_has_a_noop():
    document_ = pl.DataFrame([document("a b\nc d", ["0", "1"])])
    made = make_batch(
        document_, edits_of([(0, 1, "x")]), NOTHING, Context("s", annotator_names={"1": "ben"}), 0
    )
    found = made.tables["edits"].sort("line", "sentence", "annotator").select("annotator", "start").rows()
    assert sorted(found) == [("0", -1), ("0", 0), ("ben", -1), ("ben", -1)]


@st.composite
def text_and_edits(draw):
    """A text without runs of spaces and edits in it that do not overlap."""
    words = draw(st.lists(st.text("abcдеї'.,", min_size=1, max_size=5), min_size=1, max_size=6))
    text = words[0] + "".join(draw(st.sampled_from([" ", " ", " ", "\n"])) + word for word in words[1:])
    cuts = sorted(draw(st.lists(st.integers(0, len(text)), max_size=6)))
    spans = [(cuts[i], cuts[i + 1], draw(st.text("xyz .", max_size=4))) for i in range(0, len(cuts) - 1, 2)]
    return text, [span for span in spans if text[span[0] : span[1]] != span[2]]


def apply(text, spans):
    for start, end, correction in reversed(spans):
        text = text[:start] + correction + text[end:]
    return text


@few(30)
@given(text_and_edits())
def test_corrections_equal_the_edited_text_but_for_white_space(opened, case):
    text, spans = case
    made = batch(text, spans)
    assert made.read == made.taken + made.rejects.height
    remove_source(opened, "s")
    for table in (SENTENCES, EDITS):
        insert(opened, table, made.tables[table.name])
    run(
        opened,
        f"INSERT INTO {SOURCES.name} BY NAME SELECT 's' AS \"key\", 's' AS name, 'gec' AS kind, 'en' AS "
        "language, 'MIT' AS license, true AS redistribution, true AS commercial_use, false AS share_alike, "
        "'0' AS sha256, 'bea-json' AS reader, 1 AS rows, 0 AS rejects, now() AS ingested_at",
    )
    found = query(
        opened,
        f"SELECT s.position, c.text FROM ({select_corrections('true')}) c JOIN sentences s "
        "ON s.key = c.sentence ORDER BY s.position",
    )
    applied = apply(text, spans)
    assert re.split(r"\s+", "\n".join(found["text"]).strip()) == re.split(r"\s+", applied.strip())


@few(150)
@given(text_and_edits())
def test_turned_edits_lead_back(case):
    text, spans = case
    documents, back, bad = apply_edits(pl.DataFrame([document(text)]), edits_of(spans))
    assert bad.is_empty()
    assert documents["text"][0] == apply(text, spans)
    ways = back.sort("start", "end", maintain_order=True).select("start", "end", "correction").rows()
    assert apply(documents["text"][0], ways) == text


def test_an_edit_in_a_lines_leading_white_space_is_that_lines(store, tmp_path):
    text = "One is.\n  two is.\n\t three"
    edits = [[8, 11, "T", "R"], [18, 20, "The ", "M"]]
    (tmp_path / "a.json").write_text(json.dumps({"text": text, "id": "1", "edits": [[0, edits]]}))
    files = find_inputs(FORMATS["bea-json"], [tmp_path / "a.json"])
    ingest(store, FORMATS["bea-json"], files, Context("s"), Origin(read_license(None)))
    made = query(store, f"{select_corrections('true')} ORDER BY s.position")["text"].to_list()
    assert made == ["One is.", "Two is.", "The three"]
