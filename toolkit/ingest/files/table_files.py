"""Tables as CSV, TSV, JSON Lines, Parquet or a sheet: blocks of records; the file's name gives its kind.

    votes.csv      completion_a,completion_b,choice
    votes.xlsx     the same columns in a sheet (sheets.py)
    votes.jsonl    {"completion_a": "p1-a", "completion_b": "p1-b", "choice": "tie"}
    votes.parquet  the same columns, each with its type

A row is a record of CSV or TSV, a line of JSON Lines, a row of Parquet or of a sheet. Parquet is streamed,
and only the columns that are wanted are read. In CSV and sheets, the header may stand below title rows
(header.py).
"""

import zipfile
from collections.abc import Iterable, Iterator, Sequence
from pathlib import PurePath

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq

from ....schemas.errors import SourceError
from ...store.connection import open_scratch, parse_json_rows, query
from ...store.quoting import quote_name, quote_pointer, quote_text
from ..batch import divide, make_no_rejects
from .delimited import find_delimiter, read_header, read_records
from .header import drop_repeats, find_twice, list_names, name_column
from .json_lists import describe_not_json_lines
from .numbered_lines import Input, OnBytes, describe_not_text, find_member, is_spreadsheet, read_lines
from .sheets.reader import list_sheet_columns, read_sheet
from .unpack.parquet_pages import PART_BYTES, divide_table, find_bounds

DELIMITERS = {".csv": ",", ".tsv": "\t"}
JSON_LINES = (".jsonl", ".ndjson")
PARQUET = ".parquet"
PACKED = (".gz", ".bz2")
SHEET = ".xlsx"
_BATCH_ROWS = 200_000
_JSON_ROWS = 20_000  # of texts, which are longer
_JSON_BYTES = 8 << 20  # of rows with lists: as JSON, and taken apart again, they take 40 times that
_BUFFER_BYTES = 1 << 20  # of each column that is read, so that a row group of any size is streamed
_DAMAGE = (pa.ArrowException, OSError, ValueError)  # errors that pyarrow raises for a damaged file
Blocks = Iterator[tuple[pl.DataFrame, pl.DataFrame]]


def read_table(file: Input, wanted: Sequence[str], on_bytes: OnBytes = lambda _: None) -> Blocks:
    """Read blocks of (records, rejects).

    records: `line` (row number from 1 in Parquet and in a sheet), `raw` (of dtype Null in these, see
    `add_raw`) and those of the columns `wanted` that the file has, as `name_column` names them; in JSON
    Lines, those that a row of this block or an earlier one has. All are text, but in Parquet, and times of a
    sheet, which keep their types; empty fields are null. rejects: line, raw, reason. Raises SourceError for
    another kind of file, and for a file that is not what its name says.
    """
    names = list(dict.fromkeys(wanted))
    match find_ending(file):
        case ".parquet":
            yield from _read_parquet(file, names, on_bytes)
        case ".jsonl" | ".ndjson":
            yield from _read_json_lines(file, names, on_bytes)
        case ending:
            if ending == SHEET:
                blocks = read_sheet(file, names, on_bytes)
            else:
                delimiter = find_delimiter(file, DELIMITERS[ending], names)
                blocks = read_records(file, delimiter, on_bytes, False, names)
            for records, bad in drop_repeats(file, blocks):
                for name in names:
                    _refuse_twice(file, name, find_twice(records.columns, name))
                here = [name_column(name) for name in names if name_column(name) in records.columns]
                yield records.select("line", "raw", *here), bad


def read_parquet_as_json(file: Input, wanted: Sequence[str], on_bytes: OnBytes) -> Iterator[pl.DataFrame]:
    """Read rows of Parquet, nested ones too, as `parse_json_rows` takes them: line, raw (JSON), damaged.

    Only the columns `wanted` are read. Raises SourceError if the file has none of them.
    """
    parquet, schema = _open(file)
    here = _present(file, wanted, schema)
    if not here:
        raise SourceError(
            f"{file.path}: has none of the fields of a chat; it has {', '.join(schema.names)} "
            "(fields of other names: --map OURS=THEIRS)"
        )
    fields = ", ".join(f"{quote_text(name)}, {quote_name(name)}" for name in here)
    done = 0
    for table in _tables(file, parquet, here, _JSON_ROWS, on_bytes, _JSON_BYTES):
        with open_scratch() as con:
            con.register(
                "rows", table.append_column("line_", pa.array(range(done + 1, done + len(table) + 1)))
            )
            yield query(
                con,
                f"""SELECT line_ AS "line", json_object({fields})::VARCHAR AS "raw", false AS damaged
                FROM rows ORDER BY 1""",
            )
        done += len(table)


def convert_to_text(records: pl.DataFrame, name: str) -> pl.Expr:
    """Convert a column of any type to the text that CSV would hold: trimmed, null if empty, 2.0 as 2.

    Null if there is no such column.
    """
    if name not in records.columns:
        return pl.lit(None, pl.String).alias(name)
    kind, field = records.schema[name], pl.col(name)
    if kind == pl.String:
        return field.str.strip_chars().replace("", None)
    if kind.is_float():
        number = field.fill_nan(None)
        whole = (number % 1 == 0) & (number.abs() < 2**53)
        text = pl.when(whole).then(number.cast(pl.Int64, strict=False).cast(pl.String))
        return text.otherwise(number.cast(pl.String)).alias(name)
    if isinstance(kind, pl.Datetime):
        return field.dt.to_string("%Y-%m-%dT%H:%M:%S%.6f")
    return field.cast(pl.String)


def list_columns(file: Input, wanted: Sequence[str] = ()) -> list[str]:
    """List the file's columns, for choosing among them; of JSON Lines, those of its first block.

    With the columns `wanted`, the header is found below title rows. Raises SourceError if the file cannot
    be read.
    """
    match find_ending(file):
        case ".parquet":
            return list(_open(file)[1].names)
        case ".jsonl" | ".ndjson":
            if fault := describe_not_json_lines(file):
                raise SourceError(fault)
            lines = next(read_lines(file), pl.DataFrame(schema={"raw": pl.String}))
            with open_scratch() as con:
                con.register("lines", lines.select("raw").to_arrow())
                keys = query(
                    con,
                    """SELECT DISTINCT unnest(json_keys(CASE WHEN json_valid("raw") THEN "raw" END)) AS k
                    FROM lines ORDER BY 1""",
                )
            if keys.is_empty() and lines["damaged"].any():
                raise SourceError(describe_not_text(file, lines.filter("damaged")["line"][0]))
            return keys["k"].to_list()
        case ending:
            if ending == SHEET:
                return list_names(list_sheet_columns(file, wanted))
            delimiter = find_delimiter(file, DELIMITERS[ending], wanted)
            return list_names(read_header(file, delimiter, distinct=False, wanted=wanted))


def find_ending(file: Input) -> str:
    """Find a file's kind by its name, such as .csv for votes.csv.gz; SHEET for any spreadsheet.

    Raises SourceError for other names.
    """
    name = PurePath(file.path.name.lower())
    if is_spreadsheet(file.path):
        return SHEET
    if name.suffix == ".zip":
        name = PurePath(_name_inside(file))
    packed = name.suffix in PACKED
    kind = PurePath(name.stem).suffix if packed else name.suffix
    if kind in (*DELIMITERS, *JSON_LINES) or (kind == PARQUET and not packed):
        return kind
    if name.suffix == ".numbers":
        raise SourceError(
            f"{file.path}: this spreadsheet cannot be read; export it as .xlsx, and ingest that"
        )
    text = ", ".join((*DELIMITERS, *JSON_LINES))
    raise SourceError(
        f"{file.path}: expected a file named {text} (or packed: .zip, {', '.join(PACKED)}), {PARQUET}, "
        ".xlsx or .ods; rename it to what it is"
    )


def _name_inside(file: Input) -> str:
    """The name of the file in a zip archive, in lower case."""
    try:
        with zipfile.ZipFile(file.path) as archive:
            return find_member(file.path, archive).lower()
    except (OSError, zipfile.BadZipFile) as error:
        raise SourceError(f"{file.path}: no zip archive, or damaged ({error}); fetch it again") from error


def _read_json_lines(file: Input, names: list[str], on_bytes: OnBytes) -> Blocks:
    present: set[str] = set()
    any_row = False
    for block in read_lines(file, on_bytes=on_bytes):
        rows, bad = parse_json_rows(block.filter(pl.col("raw").str.strip_chars() != ""), {})
        fields = _fields(rows, names)
        any_row = any_row or rows.height > 0
        present |= {n for i, n in enumerate(names) if fields[f"type_{i}"].null_count() < rows.height}
        here = [(i, name) for i, name in enumerate(names) if name in present or not any_row]
        good, wrong = divide(
            fields,
            *((pl.col(f"type_{i}").is_in(["ARRAY", "OBJECT"]), _nested(name)) for i, name in here),
        )
        yield (
            good.select("line", "raw", *(pl.col(f"field_{i}").alias(name_column(name)) for i, name in here)),
            pl.concat([bad, wrong]).sort("line"),
        )


def _nested(name: str) -> str:
    return f"'{name}' is a list or an object, expected text, a number, true or false"


def _fields(rows: pl.DataFrame, names: list[str]) -> pl.DataFrame:
    """line, raw, and per name its text `field_0` … (null if it is empty) and JSON type `type_0` …"""
    pointers = [quote_pointer(name) for name in names]
    picked = "".join(
        f""", nullif("raw"->>{pointer}, '') AS field_{i}, json_type("raw", {pointer}) AS type_{i}"""
        for i, pointer in enumerate(pointers)
    )
    with open_scratch() as con:
        con.register("rows", rows.to_arrow())
        return query(con, f'SELECT "line", "raw"{picked} FROM rows ORDER BY "line"')


def _read_parquet(file: Input, names: list[str], on_bytes: OnBytes) -> Blocks:
    parquet, schema = _open(file)
    here = _present(file, names, schema)
    types = {name: _plain_type(file, name, schema) for name in here}
    done = 0
    for table in _tables(file, parquet, here, _BATCH_ROWS, on_bytes):
        try:
            arrays = [_cast(table[name], types[name]) for name in here]
        except _DAMAGE as error:
            raise _damaged(file, error) from error
        values = pl.DataFrame(pl.from_arrow(pa.table(arrays, names=[name_column(name) for name in here])))
        yield (
            pl.select(
                pl.int_range(done + 1, done + len(table) + 1, dtype=pl.Int64).alias("line"),
                pl.lit(None).alias("raw"),
            ).hstack(values),
            make_no_rejects(),
        )
        done += len(table)


def _present(file: Input, names: Sequence[str], schema: pa.Schema) -> list[str]:
    """The names that the file has; SourceError for one that it has twice."""
    for name in names:
        _refuse_twice(file, name, schema.names.count(name))
    return [name for name in names if name in schema.names]


def _refuse_twice(file: Input, name: str, count: int) -> None:
    """Raise SourceError if several columns have the name of one that is read."""
    if count > 1:
        raise SourceError(f"{file.path}: has {count} columns '{name}'; rename all but one of them")


def _tables(
    file: Input,
    parquet: pq.ParquetFile,
    names: list[str],
    size: int,
    on_bytes: OnBytes,
    most_bytes: int = PART_BYTES,
) -> Iterator[pa.Table]:
    """The named columns (one of any, for its rows, where none is), `size` rows at a time."""
    names = names or parquet.schema_arrow.names[:1]
    rows, bytes_ = parquet.metadata.num_rows, file.path.stat().st_size
    done = told = unpacked = 0
    try:
        bounds = find_bounds(file.path, parquet, names, size, file.allowance)
        if bounds.dictionaries:
            parquet = _open_parquet(file, bounds.dictionaries)
        for table in _gather(parquet.iter_batches(bounds.rows, columns=names), names, size, most_bytes):
            table.validate(full=True)
            unpacked += table.nbytes
            file.allowance.count(file.path, unpacked)
            yield table
            done += len(table)
            on_bytes(bytes_ * done // max(rows, done) - told)
            told = bytes_ * done // max(rows, done)
    except SourceError:
        raise
    except _DAMAGE as error:
        raise _damaged(file, error) from error
    if done != rows:
        raise _damaged(file, f"{done} of its {rows} rows could be read")
    on_bytes(bytes_ - told)


def _gather(
    batches: Iterator[pa.RecordBatch], names: list[str], size: int, most_bytes: int
) -> Iterator[pa.Table]:
    """The same rows, `size` at a time, or fewer where they are long."""
    parts, rows, large = list[pa.RecordBatch](), 0, 0
    for batch in batches:
        for part in divide_table(batch.select(names), most_bytes):
            plain = pa.record_batch([_write_out(column) for column in part.columns], names=names)
            parts.append(plain)
            rows, large = rows + plain.num_rows, large + plain.nbytes
            if rows >= size or large >= most_bytes:
                yield pa.Table.from_batches(parts)
                parts, rows, large = [], 0, 0
    if parts:
        yield pa.Table.from_batches(parts)


def _write_out(array: pa.Array) -> pa.Array:
    """Write out the texts of a dictionary, which was read as such to know how long they are."""
    plain = _without_dictionaries(array.type)
    if plain == array.type:
        return array
    # A slice of lists still has the texts of all rows, and the cast would write them out.
    own = array.take(pa.array(range(len(array)))) if pa.types.is_nested(array.type) else array
    return own.cast(plain)


def _without_dictionaries(kind: pa.DataType) -> pa.DataType:
    if pa.types.is_dictionary(kind):
        return kind.value_type
    if pa.types.is_struct(kind):
        return pa.struct([field.with_type(_without_dictionaries(field.type)) for field in kind])
    if pa.types.is_list(kind):
        return pa.list_(kind.value_field.with_type(_without_dictionaries(kind.value_type)))
    if pa.types.is_large_list(kind):
        return pa.large_list(kind.value_field.with_type(_without_dictionaries(kind.value_type)))
    return kind


def _open(file: Input) -> tuple[pq.ParquetFile, pa.Schema]:
    """The file and its schema, which is read now rather than later: it may be damaged."""
    try:
        parquet = _open_parquet(file, [])
        return parquet, parquet.schema_arrow
    except _DAMAGE as error:
        raise _damaged(file, error) from error


def _open_parquet(file: Input, dictionaries: list[str]) -> pq.ParquetFile:
    # With pre-buffering, all that was read of the file would stay in memory.
    return pq.ParquetFile(
        file.path,
        buffer_size=_BUFFER_BYTES,
        pre_buffer=False,
        page_checksum_verification=True,
        read_dictionary=dictionaries,
    )


def _damaged(file: Input, why: object) -> SourceError:
    return SourceError(f"{file.path}: not Parquet, or damaged ({str(why).strip()}); fetch it again")


def _plain_type(file: Input, name: str, schema: pa.Schema) -> pa.DataType:
    """Find the type to read a column as. Raises SourceError if the column has no plain values."""
    kind = schema.field(name).type
    if pa.types.is_dictionary(kind):
        kind = kind.value_type
    if pa.types.is_timestamp(kind):
        return pa.timestamp("us", "UTC" if kind.tz else None)
    if _is_text(kind):
        return pa.large_string()
    if pa.types.is_decimal(kind) or pa.types.is_float16(kind):
        return pa.float64()
    if pa.types.is_primitive(kind) or pa.types.is_null(kind):
        return kind
    raise SourceError(f"{file.path}: column '{name}' is {kind}; expected text, numbers, true/false or times")


def _is_text(kind: pa.DataType) -> bool:
    tests: Iterable[bool] = (
        pa.types.is_string(kind),
        pa.types.is_large_string(kind),
        pa.types.is_string_view(kind),
        pa.types.is_binary(kind),
        pa.types.is_large_binary(kind),
    )
    return any(tests)


def _cast(array: pa.Array, kind: pa.DataType) -> pa.Array:
    """Cast to that type; times are cut to microseconds."""
    finer = pa.types.is_timestamp(array.type) and array.type.unit == "ns"
    return array.cast(kind, safe=not finer)
