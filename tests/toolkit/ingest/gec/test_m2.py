"""M2: what is written is read; what is wrong is named with its line."""

import bz2
import gzip

import polars as pl
import pytest
from examples import few
from hypothesis import example, given
from hypothesis import strategies as st

from preceptor.schemas.errors import SourceError, StoreError
from preceptor.schemas.licenses import read_license
from preceptor.schemas.tables import EDITS
from preceptor.toolkit.dataset.choose.corrections import select_corrections
from preceptor.toolkit.ingest.batch import Context
from preceptor.toolkit.ingest.files.numbered_lines import Input
from preceptor.toolkit.ingest.formats import FORMATS
from preceptor.toolkit.ingest.gec.m2 import read_m2, split_tokens
from preceptor.toolkit.ingest.gec.m2_writer import export_m2
from preceptor.toolkit.ingest.run import Origin, find_inputs, ingest, ingest_files
from preceptor.toolkit.store.connection import query, remove_source, run

token = st.text(st.characters(categories=["L", "N", "P"]), min_size=1, max_size=6).filter(
    lambda t: "|" not in t
)


@st.composite
def block(draw):
    """A sentence and edits inside it, as (tokens, [(start, end, type, correction, annotator)])."""
    tokens = draw(st.lists(token, min_size=1, max_size=8))
    edits = []
    for _ in range(draw(st.integers(0, 4))):
        start = draw(st.integers(0, len(tokens)))
        end = draw(st.integers(start, len(tokens)))
        correction = " ".join(draw(st.lists(token, max_size=3)))
        if correction == " ".join(tokens[start:end]) or correction == "-NONE-":
            correction = "other words here"
        edits.append(
            (start, end, draw(st.sampled_from(["R:VERB", "M:DET"])), correction, draw(st.integers(0, 3)))
        )
    return tokens, edits


def written(blocks):
    lines = []
    for tokens, edits in blocks:
        lines.append("S " + " ".join(tokens))
        lines += [f"A {s} {e}|||{t}|||{c}|||REQUIRED|||-NONE-|||{a}" for s, e, t, c, a in edits]
        lines.append("")
    return "\n".join(lines)


def read(path, source="s"):
    batches = list(read_m2(Input(path, path.name), Context(source), lambda _: None))
    sentences, edits = (pl.concat([b.tables[n] for b in batches]) for n in ("sentences", "edits"))
    sentences = sentences.with_columns(split_tokens(sentences["text"]).alias("tokens"))
    return sentences, edits, pl.concat([b.rejects for b in batches])


@few()
@given(st.lists(block(), min_size=1, max_size=5), st.booleans())
@example([(["#", "0"], [])], False)  # a sentence, for no annotator said noop
def test_what_is_written_is_read(tmp_path, blocks, crlf):
    path = tmp_path / "f.m2"
    text = written(blocks)
    path.write_bytes((text.replace("\n", "\r\n") if crlf else text).encode())
    sentences, edits, rejects = read(path)
    assert rejects.is_empty()
    assert sentences["tokens"].to_list() == [tokens for tokens, _ in blocks]
    at = sentences.select(pl.col("key").alias("sentence"), pl.col("position").alias("at"))
    joined = edits.join(at, on="sentence").sort("at", "position")
    found = joined.select("at", "start", "end", "error_type", "correction", "annotator").rows()
    assert found == [
        (n, s, e, t, c, str(a)) for n, (_, edits) in enumerate(blocks) for s, e, t, c, a in edits
    ]


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("A 1 9|||R|||x|||REQUIRED|||-NONE-|||0", "edit 1-9 lies outside the sentence's 3 tokens"),
        ("A 2 1|||R|||x|||REQUIRED|||-NONE-|||0", "edit 2-1 lies outside the sentence's 3 tokens"),
        ("A 0 1|||R|||This|||REQUIRED|||-NONE-|||0", "the edit changes nothing"),
        ("A 1 1|||M||||||REQUIRED|||-NONE-|||0", "the edit changes nothing"),
        ("A x 1|||R|||x|||REQUIRED|||-NONE-|||0", "expected two token offsets after 'A '"),
        ("A 0 1|||R|||x|||REQUIRED|||0", "expected 6 fields between '|||', found 5"),
        ("A 0 1|||R|||x|||REQUIRED|||-NONE-||| ", "the annotator's id is empty"),
        ("B 0 1", "expected a line that starts with 'S ' or 'A '"),
    ],
)
def test_a_bad_line_is_rejected_and_the_rest_kept(tmp_path, line, reason):
    path = tmp_path / "f.m2"
    path.write_text(f"S This are bad\n{line}\nA 1 2|||R:VERB|||is|||REQUIRED|||-NONE-|||0\n\nS Next one\n")
    sentences, edits, rejects = read(path)
    assert rejects.select("path", "line", "raw", "reason").rows() == [("f.m2", 2, line, reason)]
    assert (sentences.height, edits.height) == (2, 1)


def test_detection_only_noop_and_deletion(tmp_path):
    path = tmp_path / "f.m2"
    path.write_text(
        "S a b c\nA 0 1|||UNK||||||REQUIRED|||-NONE-|||0\nA 1 2|||Um|||x|||REQUIRED|||odd|||0\n"
        "A 1 2|||U|||-NONE-|||OPTIONAL|||-NONE-|||0\nA -1 -1|||noop|||-NONE-|||REQUIRED|||-NONE-|||1\n"
    )
    _, edits, rejects = read(path)
    assert rejects.is_empty()
    assert edits.select("start", "correction", "required", "comment", "annotator").rows() == [
        (0, None, True, None, "0"),
        (1, None, True, "odd", "0"),
        (1, "", False, None, "0"),
        (-1, None, True, None, "1"),
    ]


def test_an_edit_before_any_sentence_and_after_a_damaged_one(tmp_path):
    path = tmp_path / "f.m2"
    edit = b"A 0 1|||R|||x|||REQUIRED|||-NONE-|||0\n"
    path.write_bytes(edit + b"S good one\n" + edit + b"S bad \xff\n" + edit)
    sentences, edits, rejects = read(path)
    assert (sentences.height, edits.height) == (1, 1)
    assert rejects.select("line", "reason").rows() == [
        (1, "an edit without a sentence that could be read"),
        (4, "not valid UTF-8"),
        (5, "an edit without a sentence that could be read"),
    ]


def test_edits_below_a_damaged_s_line_are_not_given_to_the_sentence_before(tmp_path):
    path = tmp_path / "f.m2"
    edit = "A 0 1|||R|||x|||REQUIRED|||-NONE-|||0\n"
    path.write_text(f"S one two\n{edit}\nSthree four\n{edit}")
    _, edits, rejects = read(path)
    assert edits["line"].to_list() == [2]
    assert rejects["line"].to_list() == [4, 5]


@pytest.mark.parametrize(("suffix", "pack"), [(".gz", gzip.compress), (".bz2", bz2.compress)])
def test_packed_files(tmp_path, suffix, pack):
    text = written([(["a", "b"], [(0, 1, "R:VERB", "c", 0)])] * 3).encode()
    path = tmp_path / f"f.m2{suffix}"
    path.write_bytes(pack(text))
    assert [frame.height for frame in read(path)] == [3, 3, 0]
    path.write_bytes(pack(text)[:-9])
    with pytest.raises(SourceError, match="damaged archive"):
        read(path)


def test_utf16_without_a_mark_is_named_with_the_remedy(tmp_path):
    path = tmp_path / "f.m2"
    path.write_bytes("S a\n".encode("utf-16-le"))
    with pytest.raises(SourceError, match="--encoding utf-16-le"):
        read(path)


@few()
@given(st.lists(block(), min_size=1, max_size=5))
def test_m2_comes_back_byte_for_byte(opened, tmp_path, blocks):
    path = tmp_path / "f.m2"
    text = written(blocks) + "\n"
    path.write_text(text, encoding="utf-8")
    remove_source(opened, "s")
    files = find_inputs(FORMATS["m2"], [path])
    ingest(opened, FORMATS["m2"], files, Context("s"), Origin(read_license(None)))
    export_m2(opened, "s", tmp_path / "out.m2")
    assert (tmp_path / "out.m2").read_text(encoding="utf-8") == text


def test_export_names_what_m2_cannot_hold(store, tmp_path):
    path = tmp_path / "f.m2"
    path.write_text(
        "S a b\nA 0 1|||R|||c|||REQUIRED|||-NONE-|||anna\nA 1 2|||R|||x||y|||OPTIONAL|||odd|||ben\n"
    )
    files = find_inputs(FORMATS["m2"], [path])
    ingest(store, FORMATS["m2"], files, Context("s"), Origin(read_license(None)))
    assert export_m2(store, "s", tmp_path / "out.m2") == (1, {"anna": "0", "ben": "1"}, 0)
    assert (tmp_path / "out.m2").read_text() == (
        "S a b\nA 0 1|||R|||c|||REQUIRED|||-NONE-|||0\nA 1 2|||R|||x||y|||OPTIONAL|||odd|||1\n\n"
    )
    with pytest.raises(StoreError, match="--source t: no source of that name with sentences; there are s"):
        export_m2(store, "t", tmp_path / "no.m2")
    run(store, f"UPDATE {EDITS.name} SET correction = 'a|||b' WHERE start = 0")
    with pytest.raises(StoreError, match=r"f.m2:2: M2 has no way to write 'a\|\|\|b'"):
        export_m2(store, "s", tmp_path / "no.m2")
    assert not list(tmp_path.glob("*no.m2*"))


def test_edits_that_put_errors_into_right_sentences_are_said(opened, tmp_path):
    """The same sentences, once held right and once with an edit: such edits go the wrong way."""

    def write(name, pairs):
        blocks = [
            f"S {n} all is well .\nA {'-1 -1|||noop|||-NONE-' if right else '1 2|||R|||al'}|||REQUIRED|||-NONE-|||0\n"
            for n, right in pairs
        ]
        (tmp_path / name).write_text("\n".join(blocks))
        remove_source(opened, "s")
        return ingest_files(opened, "m2", [tmp_path / name], "s").notes

    turned = [(n % 20, n >= 20) for n in range(40)]
    (note,) = write("turned.m2", turned)
    assert note.startswith(
        "turned.m2: 20 of 20 corrected sentences are ones that the same annotator holds right"
    )
    assert "(lines 1 and 61)" in note
    assert write("plain.m2", [(n, n >= 20) for n in range(40)]) == []
    assert write("seldom.m2", [*turned[:25], *((n, False) for n in range(40, 90))]) == []


@pytest.mark.parametrize(
    ("name", "rejects", "corrected"),
    [
        ("crlf.m2", 0, [("0", "He goes home .")]),
        ("noop.m2", 1, [("0", "He go home ."), ("1", "He goes home .")]),
        ("overlap.m2", 0, [("0", "He went there ."), ("0", "She go to now home .")]),
        ("tab.m2", 0, [("0", "A B D C ."), ("0", "He\tgo goes .")]),
    ],
)
def test_odd_files_give_these_texts(store, shared_cases, name, rejects, corrected):
    report = ingest_files(store, "m2", [shared_cases / "60-m2-odd" / name], "s")
    assert (report.rejects, report.notes) == (rejects, [])
    complete = "NOT coalesce(list_has_any(s.incomplete, [c.annotator, '*']), false)"
    made = query(
        store,
        f"""SELECT c.annotator, c.text FROM ({select_corrections("true")}) c
        JOIN sentences s ON s.key = c.sentence WHERE {complete} ORDER BY ALL""",
    )
    assert made.rows() == corrected


def test_marks_of_sgml_in_a_text_are_text(store, shared_cases):
    report = ingest_files(store, "nucle-sgml", [shared_cases / "61-nucle" / "n.sgml"], "s")
    assert (report.rows, report.rejects) == (3, 0)
    made = query(store, f"SELECT text FROM ({select_corrections('true')}) ORDER BY 1")["text"].to_list()
    assert made == ["It is so .", "R & D has grown < 5 % ."]
    assert query(store, "SELECT comment FROM edits WHERE error_type = 'SVA'").item() == "a & b"
