"""Read benchmarks that a dataset must not contain: files of texts, named in the recipe, by DuckDB.

    benchmarks:
      - {name: gsm8k-test, path: benchmarks/gsm8k/test.jsonl, column: question, answer: answer}
      - {name: house, path: benchmarks/house}         # a folder: its files, each with one column

JSON Lines or a JSON list, CSV, TSV, Parquet: `column` names the text, and may be left out where there
is only one. Plain text (.txt): a text a line. All but Parquet may be packed (.gz, .zst).
"""

from collections.abc import Sequence
from pathlib import Path, PurePath

import duckdb

from .....schemas.allowance import Allowance
from .....schemas.errors import SourceError
from .....schemas.recipe import Benchmark
from .....schemas.tables import Column, Table
from ....store.connection import Store, open_files, query, read_frames, run, run_over
from ....store.quoting import quote_name, quote_text
from ....store.temporary import make

BENCHMARKS = Table(
    "benchmarks",
    "a text that the dataset must not hold",
    (
        Column("name", "text", "of the benchmark, as in the recipe"),
        Column("line", "text", "row of the file, from 1; in a folder FILE:ROW"),
        Column("text", "text", "the question"),
        Column("answer", "text", "null where the recipe names no column of answers", nullable=True),
    ),
)

_READ = {
    ".jsonl": "read_json({0}, union_by_name = true)",
    ".ndjson": "read_json({0}, union_by_name = true)",
    ".json": "read_json({0}, union_by_name = true)",
    ".csv": "read_csv({0}, all_varchar = true, header = true)",
    ".tsv": "read_csv({0}, all_varchar = true, header = true, delim = '\t')",
    ".parquet": "read_parquet({0})",
    ".txt": """(SELECT rtrim(unnest(string_split("content", chr(10))), chr(13)) AS "text"
        FROM read_text({0}))""",
}
_PACKED = (".gz", ".zst")


def read_benchmarks(con: Store, benchmarks: Sequence[Benchmark]) -> dict[str, int]:
    """Make the temporary table `benchmarks`; return the number of texts per benchmark.

    Raises SourceError for a missing path, a file of another kind or that cannot be read, a missing column,
    and a benchmark without texts.
    """
    make(con, BENCHMARKS)
    counts = {}
    for one in benchmarks:
        if one.name in counts:
            raise SourceError(f"benchmarks: two are named {one.name}; give each a name of its own")
        files = _files(one)
        for file in files:
            _read(con, one, file, several=len(files) > 1)
        ((counts[one.name],),) = run(con, "SELECT count(*) FROM benchmarks WHERE name = ?", [one.name])
        if not counts[one.name]:
            raise SourceError(f"{_where(one, one.path)} holds no text; point path at the benchmark's rows")
    return counts


def _where(one: Benchmark, path: Path) -> str:
    return f"benchmarks: {one.name}: {path}"


def _kind(path: Path) -> str:
    name = PurePath(path.name.lower())
    return PurePath(name.stem).suffix if name.suffix in _PACKED else name.suffix


def _files(one: Benchmark) -> list[Path]:
    known = ", ".join(_READ)
    if one.path.is_dir():
        files = sorted(file for file in one.path.rglob("*") if file.is_file() and _kind(file) in _READ)
        if not files:
            raise SourceError(f"{_where(one, one.path)}: the folder holds no {known}")
        return files
    if not one.path.is_file():
        raise SourceError(f"{_where(one, one.path)}: there is no such file or folder; mend path")
    if _kind(one.path) not in _READ:
        raise SourceError(f"{_where(one, one.path)}: expected a file named {known}, or a folder of such")
    return [one.path]


def _read(con: Store, one: Benchmark, file: Path, several: bool) -> None:
    rows = _READ[_kind(file)].format(quote_text(str(file)))
    before = f"{file.relative_to(one.path).as_posix()}:" if several else ""
    allowance = Allowance(remedy="save its rows as JSON Lines or CSV, not packed")
    try:
        with open_files([file]) as apart:
            run(apart, "SET memory_limit = '2GB'")
            columns = query(apart, f"DESCRIBE SELECT * FROM {rows}")["column_name"].to_list()
            text, answer = _column(one, file, one.column, columns), "NULL"
            if one.answer is not None:
                answer = f"{_column(one, file, one.answer, columns)}::VARCHAR"
            # Measured first: DuckDB repeats no text of a Parquet file's dictionary, as rows that are read do.
            lengths = f"sum(strlen({text}::VARCHAR)) + coalesce(sum(strlen({answer})), 0)"
            ((size,),) = run(apart, f"SELECT coalesce({lengths}, 0)::BIGINT FROM {rows}")
            allowance.count(file, size)
            for frame in read_frames(
                apart,
                f"""SELECT $name AS name, $before || line AS line, "text", answer FROM (
                    SELECT row_number() OVER () AS line, {text}::VARCHAR AS "text", {answer} AS answer
                    FROM {rows}
                ) WHERE trim("text") <> '' """,
                {"name": one.name, "before": before},
            ):
                run_over(con, frame, "INSERT INTO benchmarks SELECT name, line, text, answer FROM incoming")
    except duckdb.Error as error:
        first = str(error).splitlines()[0]
        raise SourceError(f"{_where(one, file)} cannot be read as {_kind(file)}: {first}") from error


def _column(one: Benchmark, file: Path, name: str | None, columns: list[str]) -> str:
    """Return the column, quoted as SQL; the only one if none is named."""
    if name is None and len(columns) == 1:
        name = columns[0]
    if name not in columns:
        asked = f"has no column '{name}'" if name else "has several columns; say which by column"
        raise SourceError(f"{_where(one, file)}: {asked}; it has {', '.join(columns)}")
    return quote_name(name)
