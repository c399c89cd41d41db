"""Corpora in their own formats: real ones against their figures, described ones on samples of ours."""

import json
from collections import Counter

import polars as pl
import pytest

from preceptor.schemas.errors import SourceError
from preceptor.schemas.licenses import read_license
from preceptor.toolkit.dataset.choose.corrections import select_corrections
from preceptor.toolkit.ingest.batch import Context
from preceptor.toolkit.ingest.formats import FORMATS
from preceptor.toolkit.ingest.gec.m2_writer import export_m2
from preceptor.toolkit.ingest.run import Origin, find_inputs, ingest
from preceptor.toolkit.privacy.pseudonyms import make_pseudonym, read_key
from preceptor.toolkit.store.connection import query, run


def load(store, format, *paths, **options):
    context = Context("s", options.pop("language", FORMATS[format].language), **options)
    files = find_inputs(FORMATS[format], list(paths))
    return ingest(store, FORMATS[format], files, context, Origin(read_license(None)))


def facts_of(folder):
    return json.loads((folder / "facts.json").read_text(encoding="utf-8"))


def corrections(store):
    """(document, line, annotator) -> text, in the order of the sentences."""
    made = query(
        store,
        f"SELECT s.document, s.line, c.annotator, c.text FROM ({select_corrections('true')}) c "
        "JOIN sentences s ON s.key = c.sentence ORDER BY s.path, s.position",
    )
    return made.rows()


# --- JFLEG: parallel text


def test_parallel_jfleg_gives_back_every_reference(store, shared_data):
    folder = shared_data / "jfleg" / "dev"
    facts = facts_of(shared_data / "jfleg")["parallel"]
    report = load(store, "parallel", folder)
    assert (report.rows, report.rejects) == (facts["sentences"] * 5, 0)
    found = corrections(store)
    for k, unchanged in enumerate(facts["references_equal_to_source"]):
        reference = (folder / f"dev.ref{k}").read_text().splitlines()
        made = [text for _, _, annotator, text in found if annotator == str(k)]
        assert [t.split() for t in made] == [r.split() for r in reference]
        noops = query(store, f"SELECT count(*) FROM edits WHERE start = -1 AND annotator = '{k}'").item()
        assert noops == unchanged
    assert query(store, "SELECT DISTINCT aligned_by FROM edits WHERE start >= 0")["aligned_by"][0].startswith(
        "rapidfuzz "
    )


def test_parallel_files_must_have_as_many_lines(store, tmp_path):
    (tmp_path / "a.src").write_text("one\ntwo\n")
    (tmp_path / "a.ref0").write_text("one\n")
    with pytest.raises(SourceError, match=r"a.ref0: has 1 lines, another file 2"):
        load(store, "parallel", tmp_path)


def test_parallel_rejects_what_is_empty_and_keeps_the_rest(store, tmp_path):
    (tmp_path / "a.src").write_text("I is\n\nyou are\n")
    (tmp_path / "a.ref0").write_text("I am\nx\n\n")
    (tmp_path / "a.ref1").write_text("I was\nx\nyou are\n")
    report = load(store, "parallel", tmp_path, annotator_names={"0": "anna"})
    assert (report.rows, report.rejects) == (5, 2)
    rejects = query(store, "SELECT path, line, reason FROM rejects ORDER BY path, line").rows()
    assert rejects == [("a.ref0", 3, "the correction is empty"), ("a.src", 2, "the sentence is empty")]
    assert sorted(row[1:] for row in corrections(store)) == [
        (1, "1", "I was"),
        (1, "anna", "I am"),
        (3, "1", "you are"),
    ]


def test_a_table_of_chinese_pairs_is_cut_into_characters(store, tmp_path):
    path = tmp_path / "sighan.tsv"
    path.write_text("(id=A2-1)\t我喜观你\t我喜欢你\n好的\t好的\tOK好\n没有\n", encoding="utf-8")
    report = load(store, "parallel", path, language="zh")
    assert report.rejects == 1
    assert query(store, "SELECT document, text, original FROM sentences ORDER BY line").rows() == [
        ("A2-1", "我 喜 观 你", "我喜观你"),
        ("sighan.tsv", "好 的", "好的"),
    ]
    edits = query(
        store, 'SELECT annotator, start, "end", correction FROM edits ORDER BY line, annotator'
    ).rows()
    assert edits == [("0", 2, 3, "欢"), ("0", -1, -1, None), ("1", 0, 0, "OK"), ("1", 1, 2, "")]


def test_errant_is_for_english_and_names_its_extra(store, tmp_path):
    (tmp_path / "a.src").write_text("я есть\n", encoding="utf-8")
    (tmp_path / "a.ref0").write_text("я\n", encoding="utf-8")
    with pytest.raises(SourceError, match="ERRANT knows English, not ru"):
        load(store, "parallel", tmp_path, language="ru", align="errant")


def test_errant_aligns_and_types_english(store, tmp_path):
    (tmp_path / "a.src").write_text("This are a sentence .\nFine .\n")
    (tmp_path / "a.ref0").write_text("This is a sentence .\nFine .\n")
    load(store, "parallel", tmp_path, align="errant")
    edits = query(
        store, "SELECT start, error_type, errant_type, correction, aligned_by FROM edits ORDER BY line"
    )
    assert edits.rows() == [
        (1, "R:VERB:SVA", "R:VERB:SVA", "is", "errant 3.0.2"),
        (-1, "noop", None, None, None),
    ]


# --- UA-GEC


@pytest.mark.parametrize("layer", ["gec-only", "gec-fluency"])
def test_ua_gec_documents_give_back_source_and_target(store, shared_data, layer):
    folder = shared_data / "ua-gec"
    facts = facts_of(folder)["annotated"][layer]
    report = load(store, "ua-gec", folder / layer)
    documents = query(store, "SELECT DISTINCT document FROM sentences")["document"].to_list()
    assert len(documents) == facts_of(folder)["documents_as_text"]
    assert report.rows + report.rejects == facts["files"] + facts["annotations"]
    assert query(store, "SELECT count(*) FROM sentences WHERE learner IS NULL").item() == 0
    for name in documents:
        lines = query(store, "SELECT text FROM sentences WHERE document = $1 ORDER BY position", [name])[
            "text"
        ]
        source = (folder / layer / "source" / f"{name}.src.txt").read_text(encoding="utf-8")
        assert " ".join("\n".join(lines).split()) == " ".join(source.split())
    compared = 0
    made: dict[tuple[str, str], str] = {}
    for document, _, annotator, text in corrections(store):
        made[document, annotator] = made.get((document, annotator), "") + text + "\n"
    for (document, annotator), text in made.items():
        target = (folder / layer / "target" / f"{document}.a{annotator}.txt").read_text(encoding="utf-8")
        assert text.split() == target.split()
        compared += 1
    assert compared == facts["target_side_reproduces_target_file"]


def test_ua_gec_types_are_those_of_its_figures(shared_data):
    from preceptor.toolkit.ingest.gec.ua_gec import _parse

    for layer in ("gec-only", "gec-fluency"):
        facts = facts_of(shared_data / "ua-gec")["annotated"][layer]
        found = [
            edit
            for file in (shared_data / "ua-gec" / layer / "annotated").glob("*.ann")
            for edit in _parse(file.read_text(encoding="utf-8"))[1]
        ]
        types = Counter(edit["error_type"] for edit in found)
        assert (len(found), len(types)) == (facts["annotations"], facts["types"])
        assert [list(pair) for pair in types.most_common(5)] == facts["top5_types"]
        assert sum(edit["start"] == edit["end"] for edit in found) == facts["insertions"]
        assert sum(edit["correction"] == "" for edit in found) == facts["deletions"]


def test_two_layers_of_ua_gec_are_two_sources(shared_data):
    with pytest.raises(SourceError, match="several layers over the same texts"):
        find_inputs(FORMATS["ua-gec"], [shared_data / "ua-gec"])


def test_ua_gec_marks(store, tmp_path):
    (tmp_path / "0001.a1.ann").write_text(
        "Як {справа:::error_type=G/Case} у {тебе=>вас|Вас:::error_type=F/Style}{=>?:::error_type=Punctuation}\n"
        "{a\\nb=>c:=>d\n",
        encoding="utf-8",
    )
    load(store, "ua-gec", tmp_path)
    edits = query(
        store,
        "SELECT start, correction, error_type, errant_type, as_written FROM edits "
        "WHERE start >= 0 ORDER BY position",
    ).rows()
    assert edits == [
        (1, None, "G/Case", None, None),
        (3, "вас?", "F/Style+Punctuation", "R", "вас?||Вас?"),
    ]
    assert query(store, "SELECT line, reason FROM rejects").rows() == [
        (2, "expected {source=>correction:::error_type=…}")
    ]


# --- ReLCo


def test_relco_pairs_give_back_what_was_expected(store, shared_data):
    folder = shared_data / "relco"
    facts = facts_of(folder)
    pairs = folder / "automatically_extracted_errors"
    report = load(store, "relco", pairs)
    assert query(store, "SELECT count(*), count(DISTINCT learner) FROM sentences").row(0) == (
        facts["gram_err"]["rows"],
        facts["gram_err"]["learners"],
    )
    attempts = query(
        store, "SELECT coalesce(context->>'attempt', '(empty)') AS a, count(*) FROM sentences GROUP BY 1"
    )
    assert dict(attempts.rows()) == facts["gram_err"]["attempt"]
    others = set(facts["gram_err"]["rows_whose_text_outside_the_marks_differs"])
    aligned = query(store, "SELECT DISTINCT line FROM edits WHERE aligned_by IS NOT NULL")["line"].to_list()
    assert set(aligned) <= others
    expected = (
        (pairs / "grammatical_errors" / "correct_gram_err.csv").read_text(encoding="utf-8").splitlines()
    )
    differing = [
        line
        for _, line, _, text in corrections(store)
        if text.split() != expected[line - 1].split("|")[3].replace("__", "").split()
    ]
    assert differing == []
    noops = query(store, "SELECT line FROM edits WHERE start = -1 ORDER BY 1")["line"].to_list()
    assert set(facts["gram_err"]["rows_identical_in_both_files"]) == set(noops)
    assert report.rejects < len(others)  # changes of white space alone


@pytest.mark.parametrize(
    "learner", ["Они __сурово__ люди .__ люди .", "Они __сурово__", "__Они__ сурово__ люди__ ."]
)
def test_marks_of_a_relco_sentence_that_do_not_pair_are_no_error_of_the_program(store, tmp_path, learner):
    head = "id|time|attempt|sentence"
    (tmp_path / "gram_err.csv").write_text(f"{head}\n7|149963.9||{learner}\n")
    (tmp_path / "correct_gram_err.csv").write_text(f"{head}\n7|149963.9||Они __суровые__ люди .\n")
    load(store, "relco", tmp_path)
    (row,) = query(store, "SELECT text FROM sentences").rows()
    assert row[0].split() == learner.replace("__", "").split()
    ((corrected,),) = run(store, f"SELECT text FROM ({select_corrections('true')})")
    assert corrected.split() == ["Они", "суровые", "люди", "."]


def test_relco_by_hand(store, shared_data):
    folder = shared_data / "relco"
    facts = facts_of(folder)["manually_annotated_sent"]
    load(store, "relco", folder / "manually_annotated_sent.csv")
    assert query(store, "SELECT count(*) FROM sentences").item() == facts["rows"]
    edits = query(store, "SELECT line, error_type, correction, comment FROM edits WHERE start >= 0")
    assert edits["correction"].null_count() == edits.height
    per_row = Counter(Counter(edits["line"].to_list()).values())
    expected = {int(n): count for n, count in facts["marked_words_per_row"].items() if n != "0"}
    assert per_row == expected
    silent = query(store, "SELECT line FROM edits WHERE start = -1 ORDER BY 1")["line"].to_list()
    assert silent == facts["unmarked_rows"]


def test_relco_m2_is_turned_round_where_the_pairs_say_so_and_that_is_reported(store, shared_data):
    folder = shared_data / "relco"
    facts = facts_of(folder)["errors_tagged.m2"]
    report = load(store, "relco", folder)
    (note,) = report.notes
    assert note.startswith(f"errors_tagged.m2: from line {facts['first_noop_line'] - 1 + 1} on")
    assert query(store, "SELECT notes FROM sources").item() == note
    path = "errors_tagged.m2"
    counts = query(
        store,
        f"SELECT count(*) FILTER (start >= 0), count(*) FILTER (start < 0) FROM edits WHERE path = '{path}'",
    ).row(0)
    assert counts == (facts["edits"], facts["noop_lines"])
    written = {}
    for line in (folder / path).read_text(encoding="utf-8").splitlines():
        if line.startswith("S "):
            written.setdefault(len(written) + 1, line[2:])
    made = query(
        store,
        f"SELECT s.position, c.text FROM ({select_corrections('true')}) c JOIN sentences s "
        f"ON s.key = c.sentence WHERE s.path = '{path}' ORDER BY s.position",
    )
    after = made.filter(pl.col("position") >= facts["blocks_before_first_noop"])
    assert [t.split() for t in after["text"]] == [
        written[position + 1].split() for position in after["position"]
    ]


def test_relco_m2_alone_keeps_its_direction_and_says_that_it_was_not_checked(store, shared_data):
    report = load(store, "relco", shared_data / "relco" / "errors_tagged.m2")
    assert report.notes[0].startswith(
        "errors_tagged.m2: which way its edits go was not checked: the csv files"
    )
    assert "925 of 2,082 corrected sentences are ones that the same annotator holds right" in report.notes[1]
    assert "частносте" in query(store, "SELECT string_agg(correction, ' ') FROM edits").item()


# --- C4_200M


def test_c4_gives_back_both_sentences(store, shared_data):
    folder = shared_data / "c4-200m-sample"
    report = load(store, "c4-200m", folder)
    facts = facts_of(folder)
    assert (report.rows, report.rejects) == (facts["sentences"] + facts["edits"], 0)
    pairs = [line.split("\t") for line in (folder / "sentence_pairs.expected.tsv").read_text().splitlines()]
    assert query(store, "SELECT text FROM sentences ORDER BY position")["text"].to_list() == [
        p[0] for p in pairs
    ]
    assert [text for *_, text in corrections(store)] == [p[1] for p in pairs]
    assert query(store, "SELECT kind FROM sources").item() == "generated"


def test_c4_as_printed_lost_its_spaces_and_does_not_give_the_pairs(store, shared_data):
    folder = shared_data / "c4-200m-sample"
    load(store, "c4-200m", folder / "edits.as_printed.tsv", folder / "target_sentences.tsv")
    pairs = [line.split("\t") for line in (folder / "sentence_pairs.expected.tsv").read_text().splitlines()]
    made = query(store, "SELECT text FROM sentences ORDER BY position")["text"].to_list()
    assert all(text != pair[0] for text, pair in zip(made, pairs, strict=True))
    assert [text for *_, text in corrections(store)] == [p[1] for p in pairs]  # the clean ones are safe


def test_c4_offsets_are_bytes_and_shards_may_come_in_any_order(store, tmp_path):
    one, two = "a" * 32, "b" * 32
    (tmp_path / "edits.tsv-00000-of-00002").write_text(
        f"{two}\t0\t2\tE\n{one}\t3\t3\t x\nnot an md5\t1\t2\t\n"
    )
    (tmp_path / "edits.tsv-00001-of-00002").write_text(
        f"{one}\t1\t2\t\n{'c' * 32}\t0\t1\tq\n{one}\t0\t99\tq\n"
    )
    (tmp_path / "target_sentences.tsv").write_text(f"{two}\tÉté ici\n{one}\tété\n", encoding="utf-8")
    report = load(store, "c4-200m", tmp_path)
    assert query(store, "SELECT document, text FROM sentences ORDER BY document").rows() == [
        (one, "ét xé"),
        (two, "Eté ici"),
    ]
    assert [text for *_, text in sorted(corrections(store))] == ["été", "Été ici"]
    assert sorted(query(store, "SELECT line, reason FROM rejects").rows()) == [
        (1, "an offset inside a character"),
        (2, "an edit without a text that could be read"),
        (3, "edit 0-99 lies outside the text's 3 characters"),
        (3, "expected a line that starts with an md5"),
    ]
    assert report.rows + report.rejects == 8


def test_c4_needs_both_of_its_files(store, tmp_path):
    (tmp_path / "edits.tsv").write_text(f"{'a' * 32}\t0\t1\tx\n")
    with pytest.raises(SourceError, match="files named target_sentences"):
        load(store, "c4-200m", tmp_path)
    empty = tmp_path / "empty"
    empty.mkdir()
    with pytest.raises(SourceError, match=r"holds no edits\.tsv"):
        load(store, "c4-200m", empty)


# --- described formats, samples of ours


def test_bea_json(store, tmp_path, key_file):
    path = tmp_path / "a.json"
    texts = [
        {
            "text": "I has dog. \nIt bark",
            "id": "1-1",
            "userid": "u7",
            "cefr": "A1.i",
            "task": "pets",
            "edits": [
                [0, [[2, 5, "have", "R:VERB:SVA"], [6, 6, "a ", "M:DET"], [15, 19, None, "UNK"]]],
                [1, [[2, 5, "had", "R:VERB:TENSE"]]],
            ],
        },
        {"text": "Fine", "id": "1-2", "edits": [[0, []]]},
        {
            "text": "Odd",
            "id": "1-3",
            "edits": [[0, [[0, 9, "x", "R"], [0, 1.5, "x", "R"], [1], [0, 1, 7, "R"]]]],
        },
        {"id": "1-4", "edits": []},
        {"text": "No", "edits": {"a": 1}},
    ]
    path.write_text("\n".join(json.dumps(text) for text in texts) + "\n{broken\n")
    report = load(store, "bea-json", path, annotator_names={"0": "anna", "9": "nobody"})
    u7 = make_pseudonym("u7", read_key(key_file))
    assert query(
        store, "SELECT document, text, learner, level, context FROM sentences ORDER BY position"
    ).rows() == [
        ("1-1", "I has dog.", u7, "A1.i", '{"task":"pets"}'),
        ("1-1", "It bark", u7, "A1.i", '{"task":"pets"}'),
        ("1-2", "Fine", None, None, None),
        ("1-3", "Odd", None, None, None),
    ]
    edits = query(
        store,
        'SELECT line, annotator, start, "end", correction, errant_type FROM edits '
        "ORDER BY line, sentence, annotator, start",
    ).rows()
    assert sorted(edits, key=str) == sorted(
        [
            (1, "1", 1, 2, "had", "R:VERB:TENSE"),
            (1, "anna", 1, 2, "have", "R:VERB:SVA"),
            (1, "anna", 2, 2, "a", "M:DET"),
            (1, "anna", 1, 2, None, None),
            (1, "1", -1, -1, None, None),
            (2, "anna", -1, -1, None, None),  # of line 3 anna's edits lie in rejects: no noop is made up
        ],
        key=str,
    )
    assert query(store, "SELECT line, reason FROM rejects ORDER BY line, reason").rows() == [
        (3, "edit 0-9 lies outside the text's 3 characters"),
        (3, "expected [start, end, correction or null] or [start, end, correction or null, type]"),
        (3, "expected two character offsets"),
        (3, "the correction is neither text nor null"),
        (4, "'text' is missing or empty"),
        (5, "'edits' is not a list"),
        (6, "not valid JSON"),
    ]
    assert report.notes == ["no annotator '9' occurs, so the name nobody was not given"]
    export_m2(store, "s", tmp_path / "out.m2")
    assert (
        (tmp_path / "out.m2")
        .read_text()
        .startswith("S I has dog.\nA 1 2|||R:VERB:TENSE|||had|||REQUIRED|||-NONE-|||0\n")
    )


NUCLE = """<DOC nid="12">
<TEXT>
<TITLE>
A title &amp; more
</TITLE>
<P>
I has a dog .
</P>
<P>
It bark .
</P>
</TEXT>
<ANNOTATION teacher_id="8">
<MISTAKE start_par="1" start_off="2" end_par="1" end_off="5">
<TYPE>SVA</TYPE>
<CORRECTION>have</CORRECTION>
</MISTAKE>
<MISTAKE start_par="2" start_off="0" end_par="2" end_off="2">
<TYPE>Um</TYPE>
<CORRECTION/>
</MISTAKE>
<MISTAKE start_par="2" start_off="3" end_par="2" end_off="99">
<TYPE>Vt</TYPE>
<CORRECTION>barks</CORRECTION>
</MISTAKE>
</ANNOTATION>
</DOC>
"""


def test_nucle_sgml(store, tmp_path):
    path = tmp_path / "nucle.sgml"
    path.write_text(NUCLE + '<DOC nid="13"><P>no text</P></DOC>\n' + NUCLE.split("</TEXT>", maxsplit=1)[0])
    report = load(store, "nucle-sgml", path)
    assert query(store, "SELECT document, text FROM sentences ORDER BY position").rows() == [
        ("12", "A title & more"),
        ("12", "I has a dog ."),
        ("12", "It bark ."),
    ]
    edits = query(
        store,
        "SELECT line, annotator, start, correction, error_type, errant_type FROM edits "
        "WHERE start >= 0 ORDER BY line",
    ).rows()
    assert edits == [(14, "8", 1, "have", "SVA", "R:VERB:SVA"), (18, "8", 0, None, "Um", None)]
    assert query(store, "SELECT line, reason FROM rejects ORDER BY line").rows() == [
        (22, "paragraph 2, character 99 lies outside the document's text"),
        (28, "expected <DOC …> with a <TEXT> of paragraphs"),
        (29, "expected <DOC …> … </DOC>, found no end of the document"),
    ]
    assert report.rows + report.rejects == 6


def test_rulec_sents(store, tmp_path):
    path = tmp_path / "a.sents"
    path.write_text("2_15_7[Это важно .\n2_15_8[Да ]\nno head\n3_1_1[\n", encoding="utf-8")
    report = load(store, "rulec-sents", path)
    assert query(
        store, "SELECT document, text, language, context->>'annotator' FROM sentences ORDER BY line"
    ).rows() == [("15", "Это важно .", "ru", "2"), ("15", "Да", "ru", "2")]
    assert (report.rows, report.rejects) == (2, 2)
