"""Define what readers get and yield: context, batches, rejects."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

import polars as pl

from ...schemas.errors import StoreError

Naming = Callable[[pl.Series], pl.Series]
FORGOTTEN_REASON = "the learner was forgotten (preceptor forget)"


@dataclass(frozen=True)
class Batch:
    """Rows read from an input: `taken` went into `tables`, the others into `rejects`."""

    read: int
    taken: int
    tables: dict[str, pl.DataFrame]
    rejects: pl.DataFrame  # path, line, raw, reason
    notes: tuple[str, ...] = ()  # notes about the input for users
    values: pl.DataFrame | None = None  # counts of what the rows say (lopsided.count_values)
    met: frozenset[tuple[str, str]] = frozenset()  # of Context.values: columns and words that occurred


def _unnamed(_: pl.Series) -> pl.Series:
    raise StoreError("a reader met people's ids, but its format does not say so; please report this defect")


def _nobody(pseudonyms: pl.Series) -> pl.Series:
    return pl.repeat(False, len(pseudonyms), dtype=pl.Boolean, eager=True)


@dataclass(frozen=True)
class Context:
    """Options of the user about the input, and data of the store that a reader needs."""

    source: str
    language: str = "en"
    about: str = ""  # source whose completions or prompts the rows name
    known: pl.DataFrame = field(default_factory=lambda: make_known([]))
    columns: dict[str, str] = field(default_factory=dict)  # our column name -> the file's
    values: dict[str, dict[str, str]] = field(default_factory=dict)  # our column -> the file's word -> ours
    constants: dict[str, str] = field(default_factory=dict)  # our column -> its value where the file has none
    wide: str = ""  # names of columns with a value each, such as 'Which is better: {prompt}'
    split: str = ""  # what separates several values of one field, such as ;
    scale: tuple[float, float] | None = None  # lowest and highest value of ratings that are no levels
    sides: pl.DataFrame = field(default_factory=pl.DataFrame)  # completions of prompts that have two
    by_model: bool = False  # models judged, in all rows
    levels: int | None = None  # of ratings, where the file has no such column
    align: str = "minimal"  # how edits are found between parallel texts
    annotator_names: dict[str, str] = field(default_factory=dict)  # the corpus's id -> name
    learner: str = ""  # whose log it is, where the log is one person's
    learner_from_path: str = ""  # a piece of each file's path, such as user_id={learner}/
    one_learner: bool = False  # several files are the log of `learner`
    keep_repeats: bool = False  # of a problem that a log has once for each skill
    passing: int | None = None  # lowest grade that counts as correct, where no column says
    date_format: str = ""  # of times as text, such as %d.%m.%Y; by default ISO 8601 and like forms
    allow_rejects: bool = False  # although all rows of a value are rejected, or most rows
    sheet: str = ""  # of a spreadsheet, where several have rows
    encoding: str = ""  # of text files, where it is neither UTF-8 nor marked UTF-16
    max_unpacked: int | None = None  # bytes that packed files may unpack to; by default by their size
    pseudonyms: Naming = field(default=_unnamed)  # of people's ids
    numbered: frozenset[str] = frozenset()  # pseudonyms of ids that are a source's own numbers
    forgotten: Naming = field(default=_nobody)  # true if a pseudonym is of a forgotten person

    @property
    def names_people(self) -> bool:
        """True if the format names people, so that pseudonyms can be made."""
        return self.pseudonyms is not _unnamed


def make_known(rows: list[tuple[str, str, str]]) -> pl.DataFrame:
    """Make the frame of texts that rows may name: ref (its id), completion (null for a prompt) and prompt."""
    names = ("ref", "completion", "prompt")
    return pl.DataFrame(rows, schema=dict.fromkeys(names, pl.String), orient="row")


def collect_rejects(parts: Iterable[pl.DataFrame], path: str) -> pl.DataFrame:
    """Join rejects of several kinds in line order; each part has line, raw, reason."""
    frames = [part.select(pl.col("line").cast(pl.Int64), "raw", "reason") for part in parts]
    rows = pl.concat(frames) if frames else make_no_rejects()
    return rows.select(pl.lit(path).alias("path"), "line", "raw", "reason").sort("line")


def make_no_rejects() -> pl.DataFrame:
    """Make an empty frame of line, raw, reason."""
    return pl.DataFrame(schema={"line": pl.Int64, "raw": pl.String, "reason": pl.String})


def make_no_ids() -> pl.DataFrame:
    """Make an empty frame of id and first, for `find_repeats` at the start of an input."""
    return pl.DataFrame(schema={"id": pl.String, "first": pl.Int64})


def find_repeats(ids: pl.DataFrame, seen: pl.DataFrame) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Find lines with an id that an earlier line has; also returns all ids seen so far.

    `ids` has line and id. The first frame has, per line, `first` (the earlier line, null if there is none)
    and `twice` (the line itself uses an id twice).
    """
    ids = ids.drop_nulls("id")
    here = ids.group_by("id").agg(pl.col("line").min().alias("first"))
    seen = pl.concat([seen, here]).group_by("id").agg(pl.col("first").min())
    found = (
        ids.join(seen, on="id")
        .group_by("line")
        .agg(
            pl.col("first").filter(pl.col("first") < pl.col("line")).min(),
            pl.col("id").is_duplicated().any().alias("twice"),
        )
    )
    return found, seen


def divide(rows: pl.DataFrame, *checks: tuple[pl.Expr, pl.Expr | str]) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Divide rows: those that pass every check; line, raw and reason of the others (see `find_reason`)."""
    if not checks:
        return rows, make_no_rejects()
    wrong = rows.select(pl.any_horizontal(check.fill_null(False) for check, _ in checks)).to_series()
    if not wrong.any():
        return rows, make_no_rejects()
    bad = rows.filter(wrong)
    return rows.filter(~wrong), add_raw(bad).select("line", "raw", bad.select(find_reason(*checks))["reason"])


def add_raw(rows: pl.DataFrame) -> pl.DataFrame:
    """Add the fields as JSON in `raw` if the input has no text (Parquet: dtype Null)."""
    if rows.schema["raw"] != pl.Null:
        return rows
    fields = [name for name in rows.columns if name not in ("line", "raw")]
    return rows.with_columns(pl.struct(fields).struct.json_encode().alias("raw"))


def divide_named(
    rows: pl.DataFrame, *checks: tuple[pl.Expr, pl.Expr | str]
) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Divide rows of several files, as `divide` does; the second frame has path, line, raw and reason."""
    numbered = rows.with_row_index("row_")
    good, bad = divide(numbered.with_columns(line="row_", line_="line"), *checks)
    where = numbered.select("row_", "path", "line").join(bad.rename({"line": "row_"}), on="row_")
    return (
        good.with_columns(line="line_").drop("row_", "line_"),
        where.select("path", "line", "raw", "reason"),
    )


def find_reason(*checks: tuple[pl.Expr, pl.Expr | str]) -> pl.Expr:
    """Find the reason of the first check whose condition holds, null if none does.

    Each check is (condition, reason); a condition that is null counts as not met.
    """
    reasons = [
        pl.when(condition).then(pl.lit(reason) if isinstance(reason, str) else reason)
        for condition, reason in checks
    ]
    return pl.coalesce(reasons).alias("reason")
