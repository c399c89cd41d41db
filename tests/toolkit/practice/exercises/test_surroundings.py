"""What stands around an exercise of a sentence: hint, the sentences before and after, band of frequency."""

import pytest

from preceptor.toolkit.practice.exercises.build import build_exercises
from preceptor.toolkit.practice.exercises.recipe import Exercises
from preceptor.toolkit.store.connection import open_store, run

DOCUMENTS = """S # 1
A -1 -1|||noop|||-NONE-|||REQUIRED|||-NONE-|||0

S I has a dog .
A 1 2|||R:VERB:SVA|||have|||REQUIRED|||-NONE-|||0
A 1 2|||R:VERB|||own|||REQUIRED|||-NONE-|||1

S He bark loud .
A 1 2|||R:VERB:SVA|||barks|||REQUIRED|||-NONE-|||0
A 2 3|||R:OTHER|||loudly|||REQUIRED|||-NONE-|||0

S We is glad .
A 1 2|||R:VERB:SVA|||are|||REQUIRED|||-NONE-|||0

S # 2
A -1 -1|||noop|||-NONE-|||REQUIRED|||-NONE-|||0

S It rain .
A 1 2|||M:OTHER|||rains|||REQUIRED|||-NONE-|||0

"""


@pytest.fixture
def rows(tmp_path, preceptor):
    (tmp_path / "d.m2").write_text(DOCUMENTS)
    (tmp_path / "s.m2").write_text(
        "S They is here .\nA 1 2|||R:XYZ|||are|||REQUIRED|||-NONE-|||0\n\nS Yes .\n\n"
    )
    for name in ("d", "s"):
        done = preceptor("ingest", "m2", f"{name}.m2", "--source", name, cwd=tmp_path)
        assert done.returncode == 0, done.stderr
    with open_store(tmp_path / "preceptor.duckdb") as con:
        build_exercises(con, Exercises(name="x", sources=["d", "s"]))
        found = run(
            con, "SELECT kind, shown, annotator, hint, before, after, band FROM exercises ORDER BY key"
        )
    return {(kind, shown): rest for kind, shown, *rest in found}


def test_neighbours_are_those_of_the_document_as_its_annotator_corrected_them(rows):
    annotator, hint, before, after, _ = rows["cloze", "He ____ loudly ."]
    assert (annotator, before, after) == ("0", "I have a dog .", "We are glad .")
    assert hint == "The verb must agree with its subject."
    assert rows["cloze", "We ____ glad ."][2:4] == ["He barks loudly .", None]
    assert rows["cloze", "It ____ ."][2:4] == [None, None]


def test_neighbours_in_a_file_of_sentences_are_none(rows):
    assert rows["cloze", "They ____ here ."][2:4] == [None, None]


def test_a_type_of_which_nothing_is_known_gives_no_hint(rows):
    assert rows["cloze", "They ____ here ."][1] is None
    assert rows["rewrite", "He bark loud ."][1] is None


def test_frequent_words_have_high_bands_and_a_lemma_counts(rows):
    pytest.importorskip("wordfreq")
    assert rows["cloze", "We ____ glad ."][4] == 6
    # barks alone is rarer than bark.
    assert rows["cloze", "He ____ loudly ."][4] == 3
    assert rows["spot", "We is glad ."][4] is None
