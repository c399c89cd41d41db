"""Alternatives in M2: the first is the correction, any is allowed and never rejected, the bytes come back."""

import pytest

from preceptor.schemas.licenses import read_license
from preceptor.schemas.recipe import Recipe
from preceptor.toolkit.dataset.choose.from_edits import choose_from_edits
from preceptor.toolkit.ingest.batch import Context
from preceptor.toolkit.ingest.formats import FORMATS
from preceptor.toolkit.ingest.gec.m2_writer import export_m2
from preceptor.toolkit.ingest.run import Origin, find_inputs, ingest
from preceptor.toolkit.store.connection import query


def load(con, path):
    files = find_inputs(FORMATS["m2"], [path])
    return ingest(con, FORMATS["m2"], files, Context("s"), Origin(read_license(None)))


def pairs(con):
    keys = {"name": "gec", "corrections": {"rejected": ["learner", "partial", "over"]}}
    recipe = Recipe.model_validate(keys | {"splits": {"train": 1, "validation": 0, "test": 0}})
    choose_from_edits(con, recipe, recipe.corrections)
    return query(
        con,
        """SELECT c.content AS chosen, r.content AS rejected, d.dropped FROM candidates d
        JOIN gec_completions c ON c.key = d.chosen JOIN gec_completions r ON r.key = d.rejected""",
    ).rows()


@pytest.mark.parametrize("name", ["01-m2-alternatives/a.m2", "01b-over/a.m2", "01c-alt-rejected/a.m2"])
def test_alternatives_are_split_and_come_back(store, shared_cases, tmp_path, name):
    assert load(store, shared_cases / name).rejects == 0
    assert query(store, "SELECT count(*) FROM edits WHERE contains(correction, '|')").item() == 0
    found = pairs(store)
    assert not [t for pair in found for t in pair[:2] if "|" in t or "NONE" in t]
    built = {rejected for _, rejected, dropped in found if dropped is None}
    assert not built & {"He had go home .", "He had gone home .", "He has home .", "He had home ."}
    export_m2(store, "s", tmp_path / "out.m2")
    assert (tmp_path / "out.m2").read_text().rstrip() == (shared_cases / name).read_text().rstrip()


def test_the_learners_text_may_be_one_of_them(store, tmp_path):
    path = tmp_path / "a.m2"
    path.write_text(
        "S He have gone .\nA 1 2|||V|||has||have|||REQUIRED|||-NONE-|||0\n\n"
        "S She go out now .\nA 1 2|||V|||go||went|||REQUIRED|||-NONE-|||0\n"
        "A 3 4|||A|||-NONE-||today|||REQUIRED|||-NONE-|||0\n"
    )
    assert load(store, path).rejects == 0
    found = pairs(store)
    assert {chosen for chosen, _, _ in found} == {"He has gone .", "She go out ."}
    assert ("He has gone .", "He have gone .", "an annotator allows the rejected text") in found
    assert ("She go out .", "She go out now .", None) in found


def test_lines_of_cherrant_are_counted_once(store, shared_cases):
    report = load(store, shared_cases / "02-cherrant-m2" / "dev.m2")
    assert (report.rows, report.rejects) == (5, 0)
    (note,) = report.notes
    assert "3 lines T0-A0" in note
