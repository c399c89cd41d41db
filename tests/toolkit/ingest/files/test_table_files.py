"""Tables as CSV, TSV, JSON Lines and Parquet: the same records, whatever the form."""

import bz2
import contextlib
import gzip
import json
from datetime import UTC, date, datetime
from decimal import Decimal

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from examples import few
from hypothesis import given
from hypothesis import strategies as st

from preceptor.schemas.errors import SourceError
from preceptor.toolkit.ingest.batch import divide
from preceptor.toolkit.ingest.files import numbered_lines as lines_module
from preceptor.toolkit.ingest.files import table_files
from preceptor.toolkit.ingest.files.numbered_lines import Input
from preceptor.toolkit.ingest.files.table_files import convert_to_text, list_columns, read_table

ROWS = [{"id": "x", "line": "1", "n": "2"}, {"id": 'é, "q"', "line": "7", "n": None}]


NESTED = "is a list or an object, expected text, a number, true or false"


def of(path):
    return Input(path, path.name)


def written(folder, name, rows=ROWS):
    path = folder / name
    header = list(rows[0])
    if ".parquet" in name:
        pl.DataFrame(rows).write_parquet(path)
        return path
    if "json" in name:
        text = "\n".join(json.dumps(row) for row in rows)
    else:
        text = pl.DataFrame(rows).write_csv(separator="\t" if ".tsv" in name.lower() else ",")
        assert text.startswith(header[0])
    pack = {".gz": gzip.compress, ".bz2": bz2.compress}.get(path.suffix, bytes)
    path.write_bytes(pack(text.encode()))
    return path


def whole(path, wanted):
    """All records, all rejects, and the bytes that were told of."""
    told = []
    parts = list(read_table(of(path), wanted, told.append))
    return pl.concat([r for r, _ in parts]), pl.concat([b for _, b in parts]), sum(told)


NAMES = [
    "a.csv",
    "a.TSV",
    "a.csv.gz",
    "a.tsv.bz2",
    "a.jsonl",
    "a.ndjson",
    "a.jsonl.gz",
    "a.ndjson.bz2",
    "a.parquet",
]


@pytest.mark.parametrize("name", NAMES)
def test_every_form_gives_the_same_records(tmp_path, name):
    path = written(tmp_path, name)
    records, bad, told = whole(path, ["n", "nothing", "id", "line", "id"])
    assert records.columns == ["line", "raw", "n", "id", "line "]
    assert records.drop("raw", "line").rows() == [(r["n"], r["id"], r["line"]) for r in ROWS]
    first = 2 if "sv" in name.lower() else 1
    assert records["line"].to_list() == [first, first + 1]
    assert (records.schema["raw"] == pl.Null) == (name == "a.parquet")
    assert bad.is_empty()
    assert told == path.stat().st_size
    assert sorted(list_columns(of(path))) == sorted(ROWS[0])


@pytest.mark.parametrize("name", ["a.txt", "a.json", "a", "a.parquet.gz", "csv", "a.gz"])
def test_another_ending_is_refused(tmp_path, name):
    (tmp_path / name).write_text("a\n1\n")
    with pytest.raises(SourceError, match=r"expected a file named \.csv, \.tsv, \.jsonl, \.ndjson"):
        next(read_table(of(tmp_path / name), ["a"]))


def test_json_values_are_text_and_nested_ones_are_rejected(tmp_path):
    path = tmp_path / "a.jsonl"
    rows = [
        '{"a": 1, "it\'s a/b~.c": true}',
        '{"a": 2.5}',
        '{"a": "", "later": 1}',
        '{"a": null}',
        "",
        '{"a": [1]}',
        '{"it\'s a/b~.c": {}}',
        "[1]",
        "{",
        '{"b": "\xff"}',
    ]
    path.write_bytes("\n".join(rows).encode("latin-1"))
    records, bad, _ = whole(path, ["a", "it's a/b~.c", "none"])
    assert records.drop("raw").rows() == [
        (1, "1", "true"),
        (2, "2.5", None),
        (3, None, None),
        (4, None, None),
    ]
    assert records["raw"].to_list() == rows[:4]
    assert bad.select("line", "reason").rows() == [
        (6, f"'a' {NESTED}"),
        (7, f"'it's a/b~.c' {NESTED}"),
        (8, "expected a JSON object"),
        (9, "not valid JSON"),
        (10, "not valid UTF-8"),
    ]


def test_a_json_column_is_there_once_a_row_has_it(tmp_path, monkeypatch):
    monkeypatch.setattr(lines_module, "BLOCK_BYTES", 16)
    path = tmp_path / "a.jsonl"
    path.write_text('not json at all\n{"a": 1}\n{"a": 2, "b": 3}\n{"a": 4}\n')
    parts = [records for records, _ in read_table(of(path), ["a", "b"])]
    assert next(part.columns for part in parts if part.height) == ["line", "raw", "a"]
    assert pl.concat(parts, how="diagonal").drop("raw").rows() == [
        (2, "1", None),
        (3, "2", "3"),
        (4, "4", None),
    ]


TYPED = pa.table(
    {
        "flag": [True, None],
        "n": pa.array([1, None], pa.int8()),
        "x": [0.5, float("nan")],
        "day": [date(2026, 5, 4), None],
        "exact": [Decimal("1.50"), None],
        "empty": pa.nulls(2),
        "fine": pa.array([1_500, None], pa.timestamp("ns")),
        "zoned": pa.array([datetime(2026, 5, 4, tzinfo=UTC), None], pa.timestamp("s", "+02:00")),
        "kind": pa.array(["é", None]).dictionary_encode(),
        "bytes": pa.array([b"ok", None]),
        "list": [[1], None],
        "object": [{"a": 1}, None],
        "id": pa.array([b"1234", None], pa.binary(4)),
    }
)


def test_parquet_keeps_its_types(tmp_path):
    path = tmp_path / "a.parquet"
    pq.write_table(TYPED, path)
    plain = [name for name in TYPED.column_names if name not in ("list", "object", "id")]
    records, _, _ = whole(path, plain)
    assert records.drop("line", "raw").schema == pl.Schema(
        {
            "flag": pl.Boolean,
            "n": pl.Int8,
            "x": pl.Float64,
            "day": pl.Date,
            "exact": pl.Float64,
            "empty": pl.Null,
            "fine": pl.Datetime("us"),
            "zoned": pl.Datetime("us", "UTC"),
            "kind": pl.String,
            "bytes": pl.String,
        }
    )
    assert records["fine"][0] == datetime(1970, 1, 1, microsecond=1)
    assert records["zoned"][0] == datetime(2026, 5, 4, tzinfo=UTC)
    for name in ("list", "object", "id"):
        with pytest.raises(SourceError, match=f"column '{name}' is .* expected text, numbers"):
            whole(path, ["n", name])


def test_every_type_has_the_text_that_csv_would_hold(tmp_path):
    path = tmp_path / "a.parquet"
    pq.write_table(TYPED, path)
    records, _, _ = whole(path, ["flag", "n", "x", "day", "exact", "empty", "fine", "zoned", "kind"])
    texts = records.select(convert_to_text(records, name) for name in records.columns[2:])
    assert texts.rows() == [
        (
            "true",
            "1",
            "0.5",
            "2026-05-04",
            "1.5",
            None,
            "1970-01-01T00:00:00.000001",
            "2026-05-04T00:00:00.000000",
            "é",
        ),
        (None,) * 9,
    ]
    numbers = pl.DataFrame({"x": [2.0, -0.5, 1e300, float("inf")]})
    assert numbers.select(convert_to_text(numbers, "x"))["x"].to_list() == ["2", "-0.5", "1e+300", "inf"]


def test_rejected_rows_of_parquet_show_their_fields(tmp_path):
    path = tmp_path / "a.parquet"
    pq.write_table(TYPED.slice(0, 1), path)
    records, _, _ = whole(path, ["flag", "n", "x", "kind", "day", "zoned", "empty"])
    good, bad = divide(records, (pl.col("n") < 2, "too small"), (pl.col("x") > 0, "too large"))
    assert good.is_empty()
    ((line, raw, reason),) = bad.rows()
    assert (line, reason) == (1, "too small")
    assert json.loads(raw) == {
        "flag": True,
        "n": 1,
        "x": 0.5,
        "kind": "é",
        "day": "2026-05-04",
        "empty": None,
        "zoned": json.loads(raw)["zoned"],
    }
    assert json.loads(raw)["zoned"].startswith("2026-05-04")
    assert divide(records, (pl.col("n") > 2, "too large"))[0].height == 1


def test_parquet_is_read_in_batches_and_tells_its_progress(tmp_path, monkeypatch):
    monkeypatch.setattr(table_files, "_BATCH_ROWS", 100)
    path = tmp_path / "a.parquet"
    pl.DataFrame({"n": range(1050), "other": ["x"] * 1050}).write_parquet(path, row_group_size=500)
    for wanted in (["n"], []):
        told = []
        parts = [records for records, _ in read_table(of(path), wanted, told.append)]
        assert pl.concat(parts)["line"].to_list() == list(range(1, 1051))
        assert max(part.height for part in parts) == 100
        assert len(told) >= 11
        assert sum(told) == path.stat().st_size
        assert max(told) < path.stat().st_size / 5
    assert pl.concat([records for records, _ in read_table(of(path), ["n"])])["n"].to_list() == list(
        range(1050)
    )


def test_parquet_without_rows_and_with_equal_names(tmp_path):
    path = tmp_path / "a.parquet"
    pl.DataFrame(schema={"n": pl.Int64}).write_parquet(path)
    told = []
    assert sum(r.height for r, _ in read_table(of(path), ["n"], told.append)) == 0
    assert sum(told) == path.stat().st_size
    pq.write_table(pa.table([[1], [2]], names=["n", "n"]), path)
    with pytest.raises(SourceError, match="2 columns 'n'; rename all but one"):
        whole(path, ["n"])


@pytest.mark.parametrize("content", [b"", b"PAR1", b"a,b\n1,2\n"])
def test_what_is_not_parquet_says_so(tmp_path, content):
    path = tmp_path / "a.parquet"
    path.write_bytes(content)
    for read in (lambda: whole(path, ["a"]), lambda: list_columns(of(path))):
        with pytest.raises(SourceError, match=r"a\.parquet: not Parquet, or damaged"):
            read()


@few()
@given(st.data())
def test_damaged_parquet_is_refused_or_read(tmp_path, data):
    path = tmp_path / "a.parquet"
    pl.DataFrame({"a": ["x", "é"] * 50, "n": range(100)}).write_parquet(path, compression="zstd")
    content = bytearray(path.read_bytes())
    at = data.draw(st.integers(0, len(content) - 1))
    if data.draw(st.booleans()):
        content = content[:at]
    else:
        content[at] ^= data.draw(st.integers(1, 255))
    path.write_bytes(content)
    refused = []
    try:
        records, _, _ = whole(path, ["a", "n"])
        assert records["line"].to_list() == list(range(1, 101))
    except SourceError as error:
        refused.append(str(error))
    assert all(str(path) in said for said in refused)


@few()
@given(st.data(), st.sampled_from([7, 40, 1 << 20]))
def test_damaged_json_lines_lose_no_row(tmp_path, data, block):
    path = tmp_path / "a.jsonl"
    content = "".join(
        json.dumps({"a": n, "b": {"x": "é"} if n % 3 else "é"}) + "\n" for n in range(6)
    ).encode()
    for _ in range(data.draw(st.integers(0, 5))):
        at = data.draw(st.integers(0, len(content) - 1))
        piece = data.draw(
            st.sampled_from([b"\xff", b"\0", b'"', b"\n", b"\r\n", b"[", b"{", b"\\u0000", b"\\ud800"])
        )
        content = content[:at] + piece + content[at + data.draw(st.integers(0, 9)) :]
    path.write_bytes(content)
    old, lines_module.BLOCK_BYTES = lines_module.BLOCK_BYTES, block
    try:
        parts = list(read_table(of(path), ["a", "b"]))
        with contextlib.suppress(SourceError):  # refused if no line has a column
            list_columns(of(path))
    finally:
        lines_module.BLOCK_BYTES = old
    filled = [line for line in content.split(b"\n") if line.decode(errors="replace").strip()]
    assert sum(good.height + bad.height for good, bad in parts) == len(filled)


def test_json_lines_without_any_wanted_name(tmp_path):
    path = tmp_path / "a.jsonl"
    path.write_text('{"c": 1}\n[]\n')
    records, bad, _ = whole(path, ["a"])
    assert (records.columns, records.height, bad.height) == (["line", "raw"], 1, 1)
