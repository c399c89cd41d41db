"""Parallel texts in the wrong order are refused by their names, or said by their words."""

import pytest

from preceptor.schemas.errors import SourceError
from preceptor.toolkit.ingest.run import ingest_files
from preceptor.toolkit.store.connection import query


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ("a.ref0", "a.src"),
        ("train.correct.txt", "train.incorrect.txt"),
        ("tgt.txt", "src.txt"),
        ("x_after", "x_before"),
    ],
)
def test_names_in_the_wrong_order_are_refused(store, tmp_path, first, second):
    (tmp_path / first).write_text("He goes .\n")
    (tmp_path / second).write_text("He go .\n")
    with pytest.raises(SourceError, match="give the learners' file first, then its corrections"):
        ingest_files(store, "parallel", [tmp_path / first, tmp_path / second], "s")
    assert ingest_files(store, "parallel", [tmp_path / second, tmp_path / first], "s").notes == []
    assert query(store, "SELECT text FROM sentences")["text"].to_list() == ["He go ."]


def test_words_tell_the_order_of_jfleg(store, shared_data, tmp_path):
    folder = shared_data / "jfleg" / "dev"
    a, b = tmp_path / "a.txt", tmp_path / "b.txt"
    a.write_bytes((folder / "dev.src").read_bytes())
    b.write_bytes((folder / "dev.ref1").read_bytes())
    assert ingest_files(store, "parallel", [a, b], "right").notes == []
    (note,) = ingest_files(store, "parallel", [b, a], "wrong").notes
    assert note.startswith("b.txt: the learners' texts must come first, but the corrections seem to: 2")
    table = tmp_path / "t.tsv"
    pairs = zip(b.read_text().splitlines(), a.read_text().splitlines(), strict=True)
    table.write_text("".join(f"{one.strip()}\t{two.strip()}\n" for one, two in pairs))
    (note,) = ingest_files(store, "parallel", [table], "table").notes
    assert "the corrections seem to" in note
    assert ingest_files(store, "parallel", [folder], "named").notes == []


def test_what_nothing_tells_is_said(store, tmp_path):
    (tmp_path / "t.tsv").write_text("He go .\tHe goes .\n")
    (note,) = ingest_files(store, "parallel", [tmp_path / "t.tsv"], "s").notes
    assert note.startswith(
        "t.tsv: taken as the learners' texts since they come first; neither names nor words"
    )


def test_files_of_every_size_and_shape_of_names(store, shared_cases):
    """The small inputs of this kind: with .src and .ref, empty lines, and names that say it."""
    folder = shared_cases / "50-parallel"
    for name, files in (
        ("b", ("b.src", "b.ref0", "b.ref1")),
        ("u", ("u.src", "u.ref0")),
        ("w", ("w.src", "w.ref0")),
        ("train", ("train.incorrect.txt", "train.correct.txt")),
    ):
        report = ingest_files(store, "parallel", [folder / file for file in files], name)
        assert report.notes == []
        assert report.added["sentences"] >= 2
    assert (
        ingest_files(store, "parallel", [folder / "zh.src", folder / "zh.ref0"], "zh", language="zh").rows
        == 2
    )
