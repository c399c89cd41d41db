"""UA-GEC as it is published: train and test, layers, authors, alternatives; each text equals its target."""

import csv
from itertools import product

import pytest
from click.testing import CliRunner
from examples import few
from hypothesis import given
from hypothesis import strategies as st

from preceptor.schemas.errors import SourceError
from preceptor.toolkit.cli.main import cli
from preceptor.toolkit.dataset.choose.corrections import VARIANTS, select_corrections
from preceptor.toolkit.ingest.run import ingest_files
from preceptor.toolkit.store.connection import query, remove_source

MARK = "{%s=>%s:::error_type=Spelling}"


@pytest.fixture
def published(tmp_path):
    """A corpus of two layers with train and test, and its metadata beside the layers."""
    data = tmp_path / "data"
    for layer in ("gec-only", "gec-fluency"):
        for part, name in (("train", "0001"), ("train", "0002"), ("test", "0003")):
            folder = data / layer / part / "annotated"
            folder.mkdir(parents=True, exist_ok=True)
            (folder / f"{name}.a1.ann").write_text(f"{name} {MARK % ('так', layer)} .\n", encoding="utf-8")
    (data / "metadata.csv").write_text("id,author_id,partition\n0001,x,train\n0003,y,test\n")
    return data


def test_a_layer_with_train_and_test_is_read_with_its_authors(store, published):
    report = ingest_files(store, "ua-gec", [published / "gec-only"], "s")
    assert (report.rows, report.rejects) == (6, 0)
    rows = query(
        store, "SELECT document, context->>'partition', learner IS NULL FROM sentences ORDER BY document"
    ).rows()
    assert rows == [("0001", "train", False), ("0002", "train", True), ("0003", "test", False)]
    (note,) = report.notes
    assert note.startswith("metadata.csv: names no author of 1 of 3 documents, the first 0002")


@pytest.mark.parametrize("inside", ["gec-only/train", "gec-only/train/annotated"])
def test_metadata_is_found_from_any_folder_of_the_corpus(store, published, inside):
    ingest_files(store, "ua-gec", [published / inside], "s")
    found = query(store, "SELECT document, learner IS NULL FROM sentences ORDER BY document").rows()
    assert found == [("0001", False), ("0002", True)]


def test_missing_metadata_is_said_and_can_be_given(store, published, tmp_path):
    table = tmp_path / "elsewhere" / "metadata.csv"
    table.parent.mkdir()
    (published / "metadata.csv").rename(table)
    run = CliRunner().invoke
    command = ["ingest", "ua-gec", str(published / "gec-only")]
    said = run(cli, ["--store", str(tmp_path / "c.duckdb"), *command, "--source", "one"])
    assert said.exit_code == 0
    assert "no metadata.csv found beside or above the documents" in " ".join(said.stderr.split())
    report = ingest_files(store, "ua-gec", [published / "gec-only", table], "two")
    assert query(store, "SELECT count(learner) FROM sentences WHERE source = 'two'").item() == 2
    assert "names no author" in report.notes[0]
    partitions = query(store, "SELECT DISTINCT context->>'partition' AS p FROM sentences ORDER BY 1")
    assert partitions["p"].to_list() == ["test", "train"]


def test_two_layers_are_not_one_source_however_they_are_given(store, published):
    with pytest.raises(SourceError, match=r"ingest each as a source: .*gec-fluency, .*gec-only$"):
        ingest_files(store, "ua-gec", [published], "s")
    with pytest.raises(SourceError, match="one document by one annotator"):
        ingest_files(store, "ua-gec", [published / "gec-only", published / "gec-fluency"], "s")


PLAIN = st.text(st.sampled_from("аб, \n"), max_size=4)
SIDE = st.text(st.sampled_from(["а", "в", ",", "—", " "]), max_size=3)
PIECES = st.lists(
    st.one_of(PLAIN, st.tuples(SIDE, SIDE).filter(lambda pair: pair[0] != pair[1])), min_size=1, max_size=7
)


@few(60)
@given(PIECES)
def test_applied_marks_give_the_annotators_text(opened, tmp_path_factory, pieces):
    """Wherever a mark stands: beside others, in white space at the ends of lines, inside words."""
    source = "".join(piece if isinstance(piece, str) else piece[0] for piece in pieces)
    target = "".join(piece if isinstance(piece, str) else piece[1] for piece in pieces)
    if not source.strip():
        return
    path = tmp_path_factory.mktemp("u") / "0001.a1.ann"
    marked = "".join(piece if isinstance(piece, str) else MARK % piece for piece in pieces)
    path.write_bytes(marked.encode())
    remove_source(opened, "s")
    ingest_files(opened, "ua-gec", [path], "s")
    made = query(
        opened,
        f"SELECT string_agg(c.text, chr(10) ORDER BY s.position) AS text FROM ({select_corrections('true')}) c "
        "JOIN sentences s ON s.key = c.sentence",
    ).item()
    assert made.split() == target.split()


OPTIONS = st.lists(SIDE.filter(lambda t: "\n" not in t), min_size=1, max_size=3, unique=True)


@few(40)
@given(st.lists(st.one_of(st.sampled_from(["а", " ", "а б", ","]), st.tuples(SIDE, OPTIONS)), max_size=5))
def test_any_combination_of_alternatives_is_allowed(opened, tmp_path_factory, pieces):
    pieces = ["б ", *pieces, " б"]
    marks = [p for p in pieces if not isinstance(p, str) and set(p[1]) != {p[0]}]
    pieces = [p if isinstance(p, str) or p in marks else p[0] for p in pieces]
    path = tmp_path_factory.mktemp("u") / "0001.a1.ann"
    marked = "".join(p if isinstance(p, str) else MARK % (p[0], "|".join(p[1])) for p in pieces)
    path.write_bytes(marked.encode())
    remove_source(opened, "s")
    ingest_files(opened, "ua-gec", [path], "s")
    wanted = {
        " ".join("".join(each).split())
        for each in product(*([p] if isinstance(p, str) else p[1] for p in pieces))
    }
    opened.execute("CREATE OR REPLACE TEMP TABLE v AS " + VARIANTS.format(which="true", most=256))
    rows = query(opened, f"SELECT text FROM ({select_corrections('true')})")
    rows = rows.vstack(query(opened, f"SELECT text FROM ({select_corrections('true', 'v')})"))
    assert {" ".join(text.split()) for text in rows["text"]} == wanted


def test_no_suggestions_is_an_error_without_a_correction(store, tmp_path):
    (tmp_path / "0001.a1.ann").write_text(f"Ось {MARK % ('слоо', 'NO_SUGGESTIONS')} .\n", encoding="utf-8")
    ingest_files(store, "ua-gec", [tmp_path], "s")
    assert query(store, "SELECT start, correction FROM edits").rows() == [(1, None)]


def test_every_document_has_the_partition_of_its_table(store, shared_data):
    folder = shared_data / "ua-gec"
    ingest_files(store, "ua-gec", [folder / "gec-only"], "s")
    with (folder / "metadata.csv").open(encoding="utf-8") as stream:
        table = {row["id"]: row["partition"] for row in csv.DictReader(stream)}
    rows = query(store, "SELECT DISTINCT document, context->>'partition' FROM sentences").rows()
    assert rows
    assert all(table[name] == part for name, part in rows)
