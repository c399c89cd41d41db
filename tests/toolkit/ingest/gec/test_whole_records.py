"""A record is whole or out: who lost an edit to `rejects` gives no correction of that sentence, in any format."""

import json

import pytest
from examples import few
from hypothesis import given
from hypothesis import strategies as st

from preceptor.schemas.errors import SourceError
from preceptor.schemas.licenses import read_license
from preceptor.schemas.recipe import Recipe
from preceptor.schemas.tables import EDITS, REJECTS, SENTENCES
from preceptor.toolkit.dataset.build import build
from preceptor.toolkit.dataset.choose.from_edits import choose_from_edits
from preceptor.toolkit.ingest.batch import Context
from preceptor.toolkit.ingest.formats import FORMATS
from preceptor.toolkit.ingest.gec.m2_writer import export_m2
from preceptor.toolkit.ingest.run import Origin, find_inputs, ingest
from preceptor.toolkit.store.connection import count, query, remove_source

RECIPE = {
    "name": "gec",
    "configs": ["preference", "sft"],
    "corrections": {"rejected": ["learner"]},
    "splits": {"train": 1, "validation": 0, "test": 0, "shared": True},
}
WORDS = ["he", "go", "home", "with", "dog", "now", "cat", "sees"]


def load(con, format, path):
    for name in query(con, "SELECT name FROM sources")["name"]:
        remove_source(con, name)
    con.execute("DELETE FROM prompts; DELETE FROM completions")
    files = find_inputs(FORMATS[format], [path])
    return ingest(con, FORMATS[format], files, Context("s"), Origin(read_license(None)))


def full_corrections(con):
    """Learner's sentence, annotator and text of each full correction, which is chosen and an example."""
    recipe = Recipe.model_validate(RECIPE)
    choose_from_edits(con, recipe, recipe.corrections)
    found = query(
        con,
        """SELECT p.messages[1].content, c.annotator, c.content FROM gec_completions c
        JOIN gec_prompts p ON p.key = c.prompt WHERE c.made = 'full'""",
    )
    return set(found.rows())


# ---- one corpus in each format: sentences of words; edits as (sentence, annotator, word, new word)


@st.composite
def corpora(draw):
    texts = draw(
        st.lists(
            st.lists(st.sampled_from(WORDS), min_size=2, max_size=5), min_size=1, max_size=3, unique_by=tuple
        )
    )
    edits = []
    for n, words in enumerate(texts):
        for annotator in (0, 1):
            at = draw(st.lists(st.integers(0, len(words) - 1), max_size=3, unique=True))
            edits += [(n, annotator, k, f"new{k}{annotator}") for k in sorted(at)]
    return texts, edits


def write_m2(texts, edits, bad, how):
    lines = []
    for n, words in enumerate(texts):
        lines.append("S " + " ".join(words))
        for edit in edits:
            if edit[0] == n:
                _, who, k, new = edit
                line = f"A {k} {k + 1}|||R|||{new}|||REQUIRED|||-NONE-|||{who}"
                lines.append(how(line, words[k]) if edit == bad else line)
        lines.append("")
    return "\n".join(lines).encode("utf-8", "surrogateescape")


def offset(words, k):
    return sum(len(word) + 1 for word in words[:k])


def write_bea(texts, edits, bad, how):
    text, groups, starts = "\n".join(map(" ".join, texts)), [], [0]
    for words in texts:
        starts.append(starts[-1] + len(" ".join(words)) + 1)
    for who in (0, 1):
        mine, spoilt = [], False
        for edit in edits:
            n, annotator, k, new = edit
            if annotator == who:
                start = starts[n] + offset(texts[n], k)
                one = [start, start + len(texts[n][k]), new, "R"]
                if edit == bad and how is None:
                    spoilt = True
                mine.append(how(one, texts[n][k]) if edit == bad and how else one)
        groups.append({str(who): mine} if spoilt else [who, mine])
    return json.dumps({"text": text, "id": "1", "edits": groups}).encode()


def write_nucle(texts, edits, bad, how):
    paragraphs = "".join(f"<P>\n{' '.join(words)}\n</P>\n" for words in texts)
    parts = [f'<DOC nid="1">\n<TEXT>\n{paragraphs}</TEXT>\n']
    for who in (0, 1):
        parts.append(f'<ANNOTATION teacher_id="{who}">\n')
        for edit in edits:
            n, annotator, k, new = edit
            if annotator == who:
                start = offset(texts[n], k)
                one = (
                    f'<MISTAKE start_par="{n}" start_off="{start}" end_par="{n}" '
                    f'end_off="{start + len(texts[n][k])}">\n<TYPE>R</TYPE>\n'
                    f"<CORRECTION>{new}</CORRECTION>\n</MISTAKE>\n"
                )
                parts.append(how(one, texts[n][k]) if edit == bad else one)
        parts.append("</ANNOTATION>\n")
    return "".join([*parts, "</DOC>\n"]).encode()


M2_DAMAGE = {
    "outside": lambda a, _: a.replace("|||", "9|||", 1),
    "negative": lambda a, _: a.replace("A ", "A -", 1).replace("A -0", "A -7"),
    "no number": lambda a, _: a.replace("A ", "A x", 1),
    "no span": lambda a, _: "A " + a.partition("|||")[2],
    "a field too few": lambda a, _: a.replace("|||-NONE-", ""),
    "a field too many": lambda a, _: a + "|||0",
    "two bars": lambda a, _: a.replace("|||", "||", 1),
    "no annotator": lambda a, _: a[:-1],
    "no A": lambda a, _: a[2:],
    "small a": lambda a, _: "a" + a[1:],
    "not UTF-8": lambda a, _: a.replace("new", "n\udcffw"),
    "cut": lambda a, _: a[:9],
    "changes nothing": lambda a, old: a.replace(a.split("|||")[2], old),
    "after a blank line": lambda a, _: "\n" + a[1:],
}
BEA_DAMAGE = {
    "outside": lambda e, _: [e[0], 999, *e[2:]],
    "negative": lambda e, _: [-1, *e[1:]],
    "swapped": lambda e, _: [e[1], e[0], *e[2:]],
    "no number": lambda e, _: ["x", *e[1:]],
    "fraction": lambda e, _: [e[0], e[1] + 0.5, *e[2:]],
    "text is a number": lambda e, _: [e[0], e[1], 7, "R"],
    "text is a list": lambda e, _: [e[0], e[1], ["a"], "R"],
    "type is a number": lambda e, _: [*e[:3], 7],
    "too short": lambda e, _: e[:2],
    "too long": lambda e, _: [*e, "R"],
    "an object": lambda e, _: {"start": e[0]},
    "a text": lambda e, _: "edit",
    "null": lambda *_: None,
    "changes nothing": lambda e, old: [e[0], e[1], old, "R"],
    "a group that is an object": None,
}
NUCLE_DAMAGE = {
    "outside": lambda m, _: m.replace('end_off="', 'end_off="99'),
    "no number": lambda m, _: m.replace('start_off="', 'start_off="x'),
    "no offset": lambda m, _: m.replace("start_off", "strt_off"),
    "no such paragraph": lambda m, _: m.replace('start_par="', 'start_par="9'),
    "no tag": lambda m, _: m.replace("<MISTAKE", "<MSTAKE"),
    "no bracket": lambda m, _: m.replace("<MISTAKE", "MISTAKE"),
    "no correction": lambda m, _: m.replace("<CORRECTION>", "<CORECTION>"),
    "changes nothing": lambda m, old: m.replace(m.split("CORRECTION>")[1][:-2], old),
}
FORMATS_AND_DAMAGE = {
    "m2": (write_m2, M2_DAMAGE),
    "bea-json": (write_bea, BEA_DAMAGE),
    "nucle-sgml": (write_nucle, NUCLE_DAMAGE),
}


@pytest.mark.parametrize("format", FORMATS_AND_DAMAGE)
def test_who_lost_an_edit_gives_no_other_correction(opened, tmp_path, format):
    write, damage = FORMATS_AND_DAMAGE[format]
    path = tmp_path / "f.txt"

    @few(30)
    @given(corpora(), st.data())
    def run(corpus, data):
        texts, edits = corpus
        if not edits:
            return
        bad = data.draw(st.sampled_from(edits))
        how = damage[data.draw(st.sampled_from(sorted(damage)))]
        path.write_bytes(write(texts, edits, None, None))
        assert load(opened, format, path).rejects == 0
        whole = full_corrections(opened)
        path.write_bytes(write(texts, edits, bad, how))
        try:
            report = load(opened, format, path)
        except SourceError:
            return
        assert report.rejects == count(opened, REJECTS)
        left = full_corrections(opened)
        assert left <= whole
        lost = (" ".join(texts[bad[0]]), str(bad[1]))
        assert lost not in {(text, annotator) for text, annotator, _ in left}

    run()


@few(30)
@given(corpora(), st.data())
def test_who_lost_an_edit_that_is_turned_round_gives_no_correction(opened, tmp_path, corpus, data):
    """ReLCo's M2 from its first noop on: the learner's text is made from the edits."""
    texts, edits = corpus
    texts = [[f"s{n}", *words] for n, words in enumerate(texts)]
    edits = [(n, who, k + 1, new) for n, who, k, new in edits if not who]
    if not edits:
        return
    bad = data.draw(st.sampled_from(edits))
    how = M2_DAMAGE[data.draw(st.sampled_from(sorted(M2_DAMAGE)))]
    head = ["id|time|attempt|sentence"]
    words = sorted({(new, texts[n][k]) for n, _, k, new in edits})
    for name, side in (("gram_err.csv", 0), ("correct_gram_err.csv", 1)):
        rows = [f"7|1.5||p{n} __{pair[side]}__ ." for n, pair in enumerate(words)]
        (tmp_path / name).write_text("\n".join([*head, *rows, ""]))
    noop = b"S right\nA -1 -1|||noop|||-NONE-|||REQUIRED|||-NONE-|||0\n\n"
    path = tmp_path / "errors_tagged.m2"
    path.write_bytes(noop + write_m2(texts, edits, None, None))
    assert load(opened, "relco", tmp_path).rejects == 0
    whole = full_corrections(opened)
    path.write_bytes(noop + write_m2(texts, edits, bad, how))
    report = load(opened, "relco", tmp_path)
    assert report.rejects == count(opened, REJECTS) > 0
    left = full_corrections(opened)
    assert left <= whole
    right = " ".join(texts[bad[0]])
    assert right in {content for _, _, content in whole}
    assert right not in {content for _, _, content in left}


@few(30)
@given(st.data())
def test_a_mark_that_is_not_closed_takes_its_annotator_out(opened, tmp_path, data):
    """UA-GEC's marks stand in the text: without a part of one even the learner's text is not known."""
    words = data.draw(st.lists(st.sampled_from(WORDS), min_size=1, max_size=4))
    marks = [f"{{{word}=>new{n}:::error_type=Spelling}}" for n, word in enumerate(words)]
    folder = tmp_path / "gec-only"
    folder.mkdir(exist_ok=True)
    for file, content in (("0006.a1.ann", marks), ("0006.a2.ann", words)):
        (folder / file).write_text(" ".join(content))
    load(opened, "ua-gec", folder)
    whole = full_corrections(opened)
    n = data.draw(st.integers(0, len(marks) - 1))
    lost = data.draw(st.sampled_from(["{", "}", ":", "=>"]))
    marks[n] = marks[n].replace(lost, "", 1)
    (folder / "0006.a1.ann").write_text(" ".join(marks))
    load(opened, "ua-gec", folder)
    left = full_corrections(opened)
    assert {row for row in left if row[1] == "1"} <= whole


@few(30)
@given(corpora(), st.data())
def test_m2_written_again_gives_the_same_full_corrections(opened, tmp_path, corpus, data):
    """Who lost an edit gives none before `export m2`, and none after it."""
    texts, edits = corpus
    bad = data.draw(st.sampled_from([*edits, None]))
    how = M2_DAMAGE[data.draw(st.sampled_from(sorted(M2_DAMAGE)))]
    path, again = tmp_path / "f.m2", tmp_path / "again.m2"
    path.write_bytes(write_m2(texts, edits, bad, how))
    try:
        load(opened, "m2", path)
    except SourceError:
        return
    before = full_corrections(opened)
    sentences, _, left_out = export_m2(opened, "s", again)
    kept, lost = query(
        opened,
        """SELECT count(*) FILTER (NOT coalesce(list_has_any(incomplete, [annotator, '*']), false)),
            count(DISTINCT (sentence, annotator)) FILTER (list_has_any(incomplete, [annotator, '*']))
        FROM edits JOIN sentences s ON s.key = sentence""",
    ).row(0)
    assert left_out == lost
    assert load(opened, "m2", again).rejects == 0
    assert (count(opened, SENTENCES), count(opened, EDITS)) == (sentences, kept)
    assert full_corrections(opened) == before


def test_a_partial_annotator_is_counted_and_never_built(store, shared_cases, tmp_path):
    report = load(store, "m2", shared_cases / "06-partial-annotator" / "a.m2")
    assert report.rejects == 2
    assert query(store, "SELECT text, incomplete FROM sentences ORDER BY position").rows() == [
        ("This are a sentense .", ["0"]),
        ("He go home .", ["0"]),
    ]
    more = tmp_path / "more.m2"
    more.write_text("S Whole one are .\nA 2 3|||R:VERB|||is|||REQUIRED|||-NONE-|||0\n")
    ingest(store, FORMATS["m2"], find_inputs(FORMATS["m2"], [more]), Context("m"), Origin(read_license(None)))
    done = build(store, Recipe.model_validate(RECIPE), tmp_path / "out")
    assert done.counts["sft"]["train"] == done.counts["preference"]["train"] == 1
    assert done.dropped["an annotator whose edit lies in rejects"] == 2


def test_edits_of_three_elements_are_read(store, shared_cases):
    report = load(store, "bea-json", shared_cases / "05-bea-json-3" / "A.dev.json")
    assert (report.rows, report.rejects) == (5, 0)
    edits = query(store, "SELECT start, correction, error_type FROM edits ORDER BY start").rows()
    assert edits == [(1, "have", ""), (3, "dog. It", ""), (4, "is", ""), (5, None, "")]
    assert full_corrections(store) == set()
