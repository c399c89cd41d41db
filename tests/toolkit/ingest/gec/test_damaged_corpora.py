"""Damaged corpora: bytes dropped, lines swapped; rows + rejects = rows read, and no crash."""

import json

import pytest
from examples import few
from hypothesis import given
from hypothesis import strategies as st

from preceptor.schemas.errors import SourceError
from preceptor.schemas.licenses import read_license
from preceptor.schemas.tables import REJECTS
from preceptor.toolkit.dataset.choose.corrections import select_corrections
from preceptor.toolkit.ingest.batch import Context
from preceptor.toolkit.ingest.files import numbered_lines as lines_module
from preceptor.toolkit.ingest.files.numbered_lines import Input
from preceptor.toolkit.ingest.formats import FORMATS
from preceptor.toolkit.ingest.run import Origin, ingest
from preceptor.toolkit.store.connection import count, query, remove_source

RELCO = "automatically_extracted_errors/grammatical_errors/"
# Format -> real files, as lines of them that are mutated; the first of them is.
REAL = {
    "m2 jfleg": ("m2", ["jfleg/EACL_exp/m2converter/dev.ref.m2"]),
    "m2 estgec": ("m2", ["estgec-l2/dev/source_gold_dev.txt"]),
    "m2 ua-gec": ("m2", ["ua-gec/gec-only.test.m2"]),
    "ua-gec": (
        "ua-gec",
        ["ua-gec/gec-fluency/annotated/0006.a1.ann", "ua-gec/gec-fluency/annotated/0006.a2.ann"],
    ),
    "relco": ("relco", [RELCO + "gram_err.csv", RELCO + "correct_gram_err.csv"]),
    "relco m2": ("relco", ["errors_tagged.m2", RELCO + "gram_err.csv", RELCO + "correct_gram_err.csv"]),
    "relco by hand": ("relco", ["manually_annotated_sent.csv"]),
    "parallel": ("parallel", ["jfleg/dev/dev.ref1", "jfleg/dev/dev.src"]),
    "c4-200m": ("c4-200m", ["c4-200m-sample/edits.tsv", "c4-200m-sample/target_sentences.tsv"]),
}
OURS = {
    "bea-json": "\n".join(
        json.dumps(
            {
                "text": "I has dog.\nIt bark é",
                "id": str(n),
                "userid": "u",
                "cefr": "A1",
                "edits": [[0, [[2, 5, "have", "R:VERB"], [6, 6, "a ", "M:DET"], [14, 18, None, "UNK"]]]],
            }
        )
        for n in range(4)
    ),
    "nucle-sgml": '<DOC nid="1">\n<TEXT>\n<P>\nI has a dog .\n</P>\n</TEXT>\n<ANNOTATION teacher_id="8">\n'
    '<MISTAKE start_par="0" start_off="2" end_par="0" end_off="5">\n<TYPE>SVA</TYPE>\n'
    "<CORRECTION>have</CORRECTION>\n</MISTAKE>\n</ANNOTATION>\n</DOC>\n" * 3,
    "mathdial": "\n".join(
        json.dumps(
            {
                "qid": n,
                "question": "?",
                "student_incorrect_solution": "é",
                "conversation": "Teacher: (focus)Hi|EOM|Ann: No|EOM|Teacher: (telling)Yes",
            }
        )
        for n in range(4)
    ),
    "bridge": json.dumps(
        [
            {
                "c_id": str(n),
                "c_h": [{"user": "student", "text": "7?"}],
                "e": "guess",
                "c_r": [{"user": "tutor", "text": "No"}],
                "c_r_": [{"user": "tutor", "text": "é"}],
            }
            for n in range(3)
        ],
        indent=0,
    ),
    "rulec-sents": "2_15_7[Это важно .\n2_15_8[Да ]\n" * 3,
}
ROWS = 40  # lines of a real file, from a place of its own


PIECES = [b"\xff", b"|||", b"__", b"++", b"{", b"=>", b"\t", b"|", b"  "]


@st.composite
def damaged(draw, contents, paired=False):
    """A part of each file; in the first, bytes dropped or put in and lines swapped, doubled, taken out.

    Of paired files the parts are the same lines, and stay as many.
    """
    files = [content.split(b"\n") for content in contents]
    heads = [lines[:1] if lines[0].startswith(b"id|") else [] for lines in files]
    first = draw(st.integers(len(heads[0]), max(len(heads[0]), len(files[0]) - ROWS)))
    parts = [
        h + lines[first : first + ROWS] if paired or n == 0 else lines
        for n, (h, lines) in enumerate(zip(heads, files, strict=True))
    ]
    lines, start = parts[0], len(heads[0])
    for _ in range(draw(st.integers(0, 3))):
        i, j = (draw(st.integers(start, max(start, len(lines) - 1))) for _ in range(2))
        what = "swap" if paired else draw(st.sampled_from(["swap", "double", "drop"]))
        if what == "swap" and max(i, j) < len(lines):
            lines[i], lines[j] = lines[j], lines[i]
        elif what == "double":
            lines[i:i] = lines[j : j + 2]
        elif what == "drop":
            del lines[i : i + 1]
    for _ in range(draw(st.integers(0, 4)) if len(lines) > start else 0):
        i = draw(st.integers(start, len(lines) - 1))
        place = draw(st.integers(0, len(lines[i])))
        if draw(st.booleans()):
            lines[i] = lines[i][:place] + lines[i][place + draw(st.integers(1, 12)) :]
        else:
            piece = draw(st.sampled_from(PIECES if paired else [*PIECES, b"\r\n", b"\n"]))
            lines[i] = lines[i][:place] + piece + lines[i][place:]
    return [b"\n".join(part) for part in parts]


def check(con, format, files):
    """Ingest into an emptied store: every row is taken or rejected, and what is taken can be used."""
    for name in query(con, "SELECT name FROM sources")["name"]:
        remove_source(con, name)
    try:
        report = ingest(con, FORMATS[format], files, Context("s"), Origin(read_license(None)))
    except SourceError:
        return  # nothing of it can be used, and it says why
    assert report.rejects == count(con, REJECTS)
    assert query(con, "SELECT count(*) = count(DISTINCT key) FROM sentences").item()
    assert query(con, "SELECT count(*) = count(DISTINCT key) FROM edits").item()
    outside = query(
        con,
        "SELECT count(*) FROM edits e JOIN sentences s ON s.key = e.sentence "
        'WHERE e."end" > len(s.tokens) OR e.start > e."end"',
    ).item()
    assert outside == 0
    assert (
        query(con, "SELECT count(*) FROM edits WHERE sentence NOT IN (SELECT key FROM sentences)").item() == 0
    )
    texts = query(con, select_corrections("e.source = 's'"))
    assert texts["text"].null_count() == 0


@pytest.mark.slow
@pytest.mark.parametrize("name", REAL)
def test_damaged_real_files_balance(opened, shared_data, tmp_path, name):
    format, paths = REAL[name]
    paths = [p if (shared_data / p).exists() else f"relco/{p}" for p in paths]
    whole = [(shared_data / path).read_bytes() for path in paths]

    @few(5)
    @given(st.data(), st.sampled_from([64, 1000, 1 << 20]))
    def run(data, block):
        parts = data.draw(damaged(whole, paired=name in ("relco", "parallel")))
        for path, part in zip(paths, parts, strict=True):
            (tmp_path / path.rpartition("/")[2]).write_bytes(part)
        names = [path.rpartition("/")[2] for path in paths]
        names = sorted(names, key=lambda n: ".src" not in n)
        old, lines_module.BLOCK_BYTES = (
            lines_module.BLOCK_BYTES,
            block if len(whole[0]) < 1 << 19 else 1 << 20,
        )
        try:
            check(opened, format, [Input(tmp_path / n, n) for n in names])
        finally:
            lines_module.BLOCK_BYTES = old

    run()


@pytest.mark.parametrize("name", OURS)
def test_damaged_samples_balance(opened, tmp_path, name):
    path = tmp_path / "f.txt"

    @few(5)
    @given(damaged([OURS[name].encode()]), st.sampled_from([16, 300, 1 << 20]))
    def run(parts, block):
        path.write_bytes(parts[0])
        old, lines_module.BLOCK_BYTES = lines_module.BLOCK_BYTES, block
        try:
            check(opened, name, [Input(path, "f.txt")])
        finally:
            lines_module.BLOCK_BYTES = old

    run()
