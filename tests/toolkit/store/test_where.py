"""Rows of sources, a task and a language: the condition selects them, the check names the nearest."""

import polars as pl
import pytest

from preceptor.schemas.errors import AnnotationError, FusionError
from preceptor.toolkit.store.connection import open_scratch, query, run
from preceptor.toolkit.store.where import Where, check_names, check_where, match_sources, match_where

ROWS = [("a", "tutor", "en"), ("a", "gec", "pl"), ("b", "tutor", "pl"), ("a'b", "gec", None)]


@pytest.fixture
def con():
    with open_scratch() as made:
        made.register("rows", pl.DataFrame(ROWS, ["source", "task", "language"], orient="row").to_arrow())
        run(made, "CREATE OR REPLACE TEMP TABLE prompts AS FROM rows")
        yield made


@pytest.mark.parametrize(
    ("where", "places"),
    [
        (Where(), [0, 1, 2, 3]),
        (Where(("a",)), [0, 1]),
        (Where(("b", "a'b")), [2, 3]),
        (Where(task="gec"), [1, 3]),
        (Where(("a", "b"), "tutor", "pl"), [2]),
        (Where(("none",)), []),
    ],
)
def test_the_condition_selects_what_a_loop_would(con, where, places):
    for table in ("", "p"):
        found = query(
            con, f"SELECT * FROM prompts {table} WHERE {match_where(table)}", where.parameters
        ).rows()
        assert sorted(found, key=str) == sorted((ROWS[i] for i in places), key=str)


def test_sources_alone_need_one_parameter(con):
    sql = f"SELECT count(*) AS n FROM prompts WHERE {match_sources()}"
    assert [query(con, sql, {"sources": s})["n"][0] for s in ([], ["a"], ["x"])] == [4, 2, 0]


def test_a_wrong_name_is_answered_with_the_nearest_and_the_caller_s_error(con):
    with pytest.raises(
        FusionError, match=r"^--source sprng: no source of that name here; did you mean 'spring'\?"
    ):
        check_names("--source", ["autumn", "sprng"], ["spring", "autumn"], "source", "here", FusionError)
    with pytest.raises(
        AnnotationError, match=r"^--source-of x: no source of that name with prompts; there are a, a'b, b$"
    ):
        check_where(con, Where(("a", "x")), "--source-of")
    with pytest.raises(AnnotationError, match=r"^--task tuto: .*'tutor'"):
        check_where(con, Where(task="tuto"))
    check_where(con, Where(("a", "b"), "gec", "pl"))
