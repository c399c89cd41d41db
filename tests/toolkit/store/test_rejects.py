"""Rejects are counted by value and reason, whatever reader wrote them."""

import polars as pl
from hypothesis import given
from hypothesis import strategies as st

from preceptor.schemas.tables import REJECTS
from preceptor.toolkit.store.connection import insert, open_store, run
from preceptor.toolkit.store.rejects import count_rejects, list_rejects


def put(con, reasons, source="s"):
    lines = range(2, len(reasons) + 2)
    rows = {"source": source, "path": "f.csv", "line": list(lines), "raw": "", "reason": reasons}
    insert(con, REJECTS, pl.DataFrame(rows, schema_overrides={"reason": pl.String, "line": pl.Int64}))


def counted(con, source="s"):
    return count_rejects(con, source).select("value", "rows", "first", "reason").rows()


def test_equal_reasons_are_counted_together(store):
    put(
        store,
        [
            "choice is 'x', expected a, b or tie",
            *["choice is 'I don't know', expected a, b or tie"] * 3,
            "choice is '', expected a, b or tie",
            "'item' is empty",
            "'learner' is empty",
            "expected 3 fields, found 2",
            "expected 3 fields, found 4",
            "'messages' (or 'prompt') is missing",
            "'helpful' is 'much', expected 1 to 5",
            "id 'm' is already used on line 3",
        ],
    )
    assert counted(store) == [
        ("I don't know", 3, "f.csv:3", "choice is '…', expected a, b or tie"),
        ("", 2, "f.csv:9", "expected N fields, found N"),
        ("much", 1, "f.csv:12", "'helpful' is '…', expected 1 to 5"),
        ("", 1, "f.csv:7", "'item' is empty"),
        ("", 1, "f.csv:8", "'learner' is empty"),
        ("", 1, "f.csv:11", "'messages' (or 'prompt') is missing"),
        ("(empty)", 1, "f.csv:6", "choice is '…', expected a, b or tie"),
        ("x", 1, "f.csv:2", "choice is '…', expected a, b or tie"),
        ("m", 1, "f.csv:13", "id '…' is already used on line 3"),
    ]
    lines = list_rejects(count_rejects(store, "s"))
    assert lines[1].split() == [
        "I",
        "don't",
        "know",
        "3",
        "f.csv:3",
        *["choice", "is", "'…',", "expected", "a,", "b", "or", "tie"],
    ]
    assert len(lines) == 10
    assert lines[-1] == "and 1 more rows of 1 kinds"


def test_rare_values_share_a_line_and_sources_stay_apart(store):
    put(store, [f"completion: 'z{n}' is no completion of source 't'" for n in range(40)])
    put(store, ["completion: 'z' is no completion of source 't'"], "other")
    reason = "completion: '…' is no completion of source 't'"
    assert counted(store) == [("40 values", 40, "f.csv:2", reason)]
    assert counted(store, "other") == [("z", 1, "f.csv:2", reason)]
    assert set(count_rejects(store)["source"]) == {"s", "other"}


@given(st.lists(st.text(st.characters(exclude_categories=["Cs", "Cc"]), max_size=8), max_size=30))
def test_any_value_is_cut_out_and_counted(tmp_path_factory, values):
    with open_store(tmp_path_factory.mktemp("s") / "s.duckdb", create=True) as con:
        run(con, "DELETE FROM rejects")
        put(con, [f"choice is '{value}', expected a, b or tie" for value in values])
        counts = count_rejects(con, "s")
        assert counts["rows"].sum() == len(values)
        assert set(counts["reason"]) <= {"choice is '…', expected a, b or tie"}
