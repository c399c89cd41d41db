"""Objects of JSON Lines, or the rows of a table as such objects, as `parse_json_rows` takes them.

prompts.jsonl  {"id": "p1", "task": "tutor", "prompt": "…", "completions": []}
prompts.csv    id,task,prompt
prompts.xlsx   the same columns; in Parquet also nested ones
"""

from collections.abc import Iterator

import polars as pl

from ....schemas.errors import SourceError
from ...store.connection import open_scratch, query
from ...store.quoting import quote_text
from ..batch import Context, make_no_rejects
from .fields import Columns, map_names
from .header import name_column
from .numbered_lines import Input, OnBytes, is_spreadsheet, read_lines
from .table_files import (
    DELIMITERS,
    PACKED,
    PARQUET,
    convert_to_text,
    list_columns,
    read_parquet_as_json,
    read_table,
)
from .wide import check_pattern, find_cells, note_unused

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
        check_pattern(context.wide, columns)
        names = map_names(file, context, columns)
        have = list_columns(file, list(names.values()))
        cells = find_cells(file, context.wide, have, list(names.values()))
        read = [*names.values(), *(cells["column"] if cells is not None else [])]
        file.notes.extend(note_unused(have, read))
        for records, bad in read_table(file, read, on_bytes):
            yield _convert_to_objects(_fill(records, names, context), cells), bad
        return
    given = {"--map": context.columns, "--set": context.constants, "--wide": context.wide}
    for option in (name for name, value in given.items() if value):
        raise SourceError(
            f"{option}: {file.path} is no CSV or spreadsheet; leave it out, and write its fields as "
            "preceptor ingest --help shows"
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


def _fill(records: pl.DataFrame, names: dict[str, str], context: Context) -> pl.DataFrame:
    """Texts under our names, with the user's constants; the file's other columns under theirs."""
    here = {name_column(theirs): ours for ours, theirs in names.items()}
    texts = records.select(
        "line", *(convert_to_text(records, name).alias(here.get(name, name)) for name in _filled(records))
    )
    absent = [pl.lit(None, pl.String).alias(n) for n in context.constants if n not in texts.columns]
    return texts.with_columns(absent).with_columns(
        pl.col(name).fill_null(pl.lit(value)) for name, value in context.constants.items()
    )


def _filled(records: pl.DataFrame) -> list[str]:
    return [name for name in records.columns if name not in ("line", "raw")]


def _convert_to_objects(texts: pl.DataFrame, cells: pl.DataFrame | None) -> pl.DataFrame:
    """Rows as JSON of their fields; each cell of a wide table that is filled is a completion of its row.

    A row without id has its prompt's text for one, and its completions have that and what their column says.
    """
    if cells is not None and "id" not in texts.columns:
        texts = texts.with_columns(pl.col("prompt").alias("id"))
    wide = {} if cells is None else {name_column(row["column"]): row for row in cells.to_dicts()}
    fields = [
        f"""'{ours}', CASE WHEN json_valid("{ours}") THEN "{ours}"::JSON ELSE to_json("{ours}") END"""
        if ours in _JSON
        else f"""'{ours}', "{ours}\""""
        for ours in texts.columns
        if ours != "line" and ours not in wide
    ]
    numbered = {name: f"cell_{i}" for i, name in enumerate(wide)}
    if wide:
        each = ", ".join(_write_completion(f"cell_{i}", row) for i, row in enumerate(wide.values()))
        fields.append(f"'completions', to_json(list_filter([{each}], lambda x: x IS NOT NULL))")
    with open_scratch() as con:
        con.register("texts", texts.rename(numbered).to_arrow())
        return query(
            con,
            f'''SELECT "line", json_object({", ".join(fields)})::VARCHAR AS "raw", false AS damaged
            FROM texts ORDER BY "line"''',
        )


def _write_completion(cell: str, named: dict[str, str]) -> str:
    """SQL of a completion's JSON; null where the cell is empty."""
    ending = "-".join(value for name, value in named.items() if name != "column")
    author = named.get("author", "")
    by = f", 'author', {quote_text(author)}" if author else ""
    return f"""CASE WHEN "{cell}" IS NOT NULL THEN
        json_object('id', "id" || {quote_text("-" + ending)}, 'content', "{cell}"{by}) END"""
