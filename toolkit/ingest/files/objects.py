"""Objects of JSON Lines, or the rows of a table as such objects, as `parse_json_rows` takes them.

prompts.jsonl  {"id": "p1", "task": "tutor", "prompt": "…", "completions": []}
prompts.csv    id,task,prompt
prompts.xlsx   the same columns; in Parquet also nested ones
"""

from collections.abc import Iterator

import polars as pl

from ....schemas.errors import SourceError
from ...store.connection import open_scratch, query
from ..batch import Context, make_no_rejects
from .fields import Columns, map_names
from .header import name_column
from .numbered_lines import Input, OnBytes, is_spreadsheet, read_lines
from .table_files import DELIMITERS, PACKED, PARQUET, convert_to_text, read_parquet_as_json, read_table

_JSON = ("context", "messages", "completions")  # columns whose texts are JSON themselves


def read_objects(
    file: Input, context: Context, columns: Columns, on_bytes: OnBytes = lambda _: None
) -> Iterator[tuple[pl.DataFrame, pl.DataFrame]]:
    """Read blocks of (lines, rejects) from JSON Lines, CSV, a spreadsheet or Parquet.

    lines: line, raw (JSON) and damaged; rejects: line, raw, reason, for rows of CSV that are no records.
    `columns` are those that a table must or may have. Raises SourceError if a required one is missing, or the
    file cannot be read.
    """
    if is_table(file):
        names = map_names(file, context, columns)
        for records, bad in read_table(file, list(names.values()), on_bytes):
            yield _convert_to_objects(records, names), bad
        return
    if context.columns:
        raise SourceError(
            f"--map: {file.path} is no CSV or spreadsheet; rename its fields in the file instead"
        )
    if file.path.suffix.lower() == PARQUET:
        for rows in read_parquet_as_json(file, [*columns.required, *columns.optional], on_bytes):
            yield rows, make_no_rejects()
        return
    for block in read_lines(file, on_bytes=on_bytes):
        yield block.filter(pl.col("raw").str.strip_chars() != ""), make_no_rejects()


def is_table(file: Input) -> bool:
    """True for CSV, TSV and spreadsheets, by their name or content."""
    endings = [suffix.lower() for suffix in file.path.suffixes[-2:]]
    ending = endings[0] if len(endings) == 2 and endings[1] in PACKED else "".join(endings[-1:])
    return ending in DELIMITERS or is_spreadsheet(file.path)


def _convert_to_objects(records: pl.DataFrame, names: dict[str, str]) -> pl.DataFrame:
    """Rows as JSON of the fields that are there and filled."""
    here = [ours for ours, theirs in names.items() if name_column(theirs) in records.columns]
    texts = records.select(
        "line", *(convert_to_text(records, name_column(names[ours])).alias(ours) for ours in here)
    )
    fields = ", ".join(
        f"""'{ours}', CASE WHEN json_valid("{ours}") THEN "{ours}"::JSON ELSE to_json("{ours}") END"""
        if ours in _JSON
        else f"""'{ours}', "{ours}\""""
        for ours in here
    )
    with open_scratch() as con:
        con.register("texts", texts.to_arrow())
        return query(
            con,
            f'''SELECT "line", json_object({fields})::VARCHAR AS "raw", false AS damaged
            FROM texts ORDER BY "line"''',
        )
