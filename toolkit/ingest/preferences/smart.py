r"""SMART: pairs of mnemonics for one term, with aggregated votes, ratings and learning outcomes.

    {"pair_id": 7, "term": "Subservient", "mnemonic_a": "…", "mnemonic_b": "…",
     "direct_comparisons": [2, 2, 1], "ratings_A_cumulative": [0, 0, 1, 1, 1],
     "ratings_B_cumulative": null, "turns_A": [0, 1], "turns_B": []}

direct_comparisons counts votes for a, for b, and ties. Ratings are cumulative counts (<= 1 … <= 5)
and are differenced here. Turns are failed attempts before the first success, one per student.
Balepur et al., EMNLP 2024. Read from wide/pairs.jsonl, wide/pairs.csv or wide/bayesian_data.json
(the same facts three times; the first that is there is read). A row is a pair.
"""

from collections.abc import Iterator
from pathlib import Path

import polars as pl

from ....schemas.errors import SourceError
from ....schemas.tables import COMPLETIONS, PROMPTS
from ...store.connection import add_key, parse_json_rows
from ..batch import Batch, Context, collect_rejects, find_reason, find_repeats, make_no_ids, make_no_rejects
from ..files.delimited import read_records
from ..files.json_lists import read_json
from ..files.numbered_lines import Input, OnBytes, read_lines

CRITERION = "helpfulness"
LEVELS = 5
MOST = 100_000  # signals of a kind about one pair; more is a slip in the file
NAMES = ("pairs.jsonl", "pairs.csv", "bayesian_data.json")

_SHAPE = {
    "pair_id": "VARCHAR",
    "term": "VARCHAR",
    "mnemonic_a": "VARCHAR",
    "mnemonic_b": "VARCHAR",
    "direct_comparisons": "BIGINT[]",
    "ratings_A_cumulative": "BIGINT[]",
    "ratings_B_cumulative": "BIGINT[]",
    "turns_A": "BIGINT[]",
    "turns_B": "BIGINT[]",
}
_LISTS = ("direct_comparisons", "ratings_A_cumulative", "ratings_B_cumulative", "turns_A", "turns_B")

# The published arrays: texts of one length, then our column, its values, the places they belong to.
_TEXTS = ("term", "mnemonic_a", "mnemonic_b")
_PLACED = (
    ("direct_comparisons", "direct_comparisons", "compare_idx"),
    ("ratings_A_cumulative", "ratings_A_counts", "ratings_A_idx"),
    ("ratings_B_cumulative", "ratings_B_counts", "ratings_B_idx"),
    ("turns_A", "turn_counts_A", "learn_A_idx"),
    ("turns_B", "turn_counts_B", "learn_B_idx"),
)
_MANY = ("turns_A", "turns_B")  # one number a student, so that a place may occur again
_ARRAYS = (
    {"pair_id": "VARCHAR[]"}
    | dict.fromkeys(_TEXTS, "VARCHAR[]")
    | {values: "BIGINT[]" if name in _MANY else "BIGINT[][]" for name, values, _ in _PLACED}
    | {places: "BIGINT[]" for _, _, places in _PLACED}
)


def find_smart(path: Path) -> list[Path]:
    """Find the file of a SMART folder with the complete data. Raises SourceError if there is none."""
    if not path.is_dir():
        return [path]
    for name in NAMES:
        for candidate in (path / "wide" / name, path / name):
            if candidate.exists():
                return [candidate]
    raise SourceError(f"{path}: holds none of {', '.join(NAMES)}; name the file itself")


def read_smart(file: Input, context: Context, on_bytes: OnBytes = lambda _: None) -> Iterator[Batch]:
    """Read the prompts, completions, votes, ratings and outcomes of one SMART file.

    Raises SourceError if the file is not one of SMART's, or its arrays do not fit together.
    """
    readers = {".jsonl": _from_jsonl, ".csv": _from_csv, ".json": _from_arrays}
    kinds = [suffix.lower() for suffix in file.path.suffixes if suffix.lower() in readers]
    if not kinds:
        raise SourceError(f"{file.path}: expected one of {', '.join(NAMES)} of the SMART data")
    seen = make_no_ids()
    for pairs, bad in readers[kinds[-1]](file, on_bytes):
        again, seen = find_repeats(pairs.select("line", pl.col("pair_id").alias("id")), seen)
        marked = pairs.join(again, on="line", how="left", maintain_order="left")
        yield _batch(marked, bad, file.name, context)


def _from_jsonl(file: Input, on_bytes: OnBytes) -> Iterator[tuple[pl.DataFrame, pl.DataFrame]]:
    for block in read_lines(file, on_bytes=on_bytes):
        lines = block.filter(pl.col("raw").str.strip_chars() != "")
        yield parse_json_rows(lines, _SHAPE)


def _from_csv(file: Input, on_bytes: OnBytes) -> Iterator[tuple[pl.DataFrame, pl.DataFrame]]:
    """pairs.csv: one column per count; turns separated by spaces."""
    for records, bad in read_records(file, on_bytes=on_bytes):
        cumulative = {side: [f"rating_{side}_leq_{k}" for k in range(1, LEVELS + 1)] for side in "ab"}
        wanted = [
            "pair_id",
            "term",
            "mnemonic_a",
            "mnemonic_b",
            "votes_a",
            "votes_b",
            "votes_tie",
            *cumulative["a"],
            *cumulative["b"],
            "turns_a",
            "turns_b",
        ]
        missing = [name for name in wanted if name not in records.columns]
        if missing:
            raise SourceError(f"{file.path}:1: no column '{missing[0]}'; expected SMART's pairs.csv")

        def counts(names: list[str]) -> pl.Expr:
            empty = pl.all_horizontal(pl.col(n).is_null() for n in names)
            numbers = pl.concat_list(pl.col(n).cast(pl.Int64, strict=False) for n in names)
            return pl.when(~empty).then(numbers)

        def turns(name: str) -> pl.Expr:
            numbers = pl.col(name).str.extract_all(r"\S+").cast(pl.List(pl.Int64), strict=False)
            return numbers.fill_null([])

        yield (
            records.select(
                "line",
                "raw",
                "pair_id",
                *_TEXTS,
                pl.lit(None, pl.String).alias("mistyped"),
                counts(["votes_a", "votes_b", "votes_tie"]).alias("direct_comparisons"),
                counts(cumulative["a"]).alias("ratings_A_cumulative"),
                counts(cumulative["b"]).alias("ratings_B_cumulative"),
                turns("turns_a").alias("turns_A"),
                turns("turns_b").alias("turns_B"),
            ),
            bad,
        )


def _from_arrays(file: Input, on_bytes: OnBytes) -> Iterator[tuple[pl.DataFrame, pl.DataFrame]]:
    """bayesian_data.json: arrays of texts, and of signals beside the place of their pair.

    The file has one line, so `line` is the pair's place in the arrays, from 1.
    """
    whole = _arrays(file, on_bytes)
    pairs = whole.select(_TEXTS).explode(_TEXTS).with_row_index("at")
    ids = whole["pair_id"][0]
    pairs = pairs.with_columns(
        pl.Series("pair_id", ids if ids is not None else [str(i) for i in range(pairs.height)])
    )
    for name, values, places in _PLACED:
        part = whole.select(pl.col(values).alias(name), pl.col(places).alias("at")).explode(name, "at")
        if name in _MANY:
            part = part.group_by("at", maintain_order=True).agg(name)
        part = part.with_columns(pl.col("at").cast(pl.UInt32))
        pairs = pairs.join(part, on="at", how="left", maintain_order="left")
    shown = pl.struct("pair_id", *_TEXTS, *_LISTS).struct.json_encode()
    yield (
        pairs.select(
            (pl.col("at").cast(pl.Int64) + 1).alias("line"),
            shown.alias("raw"),
            pl.lit(None, pl.String).alias("mistyped"),
            *_SHAPE,
        ),
        make_no_rejects(),
    )


def _arrays(file: Input, on_bytes: OnBytes) -> pl.DataFrame:
    """The arrays in one row. SourceError if they do not fit together: no pair could be trusted."""

    def refuse(what: str) -> SourceError:
        return SourceError(f"{file.path}: {what}; expected SMART's arrays, as published, as one JSON object")

    text = read_json(file, "OBJECT", "SMART's arrays, as published, as one JSON object", on_bytes)
    whole, bad = parse_json_rows(pl.DataFrame({"line": [1], "raw": [text], "damaged": [False]}), _ARRAYS)
    wrong = bad["reason"].to_list() or whole["mistyped"].drop_nulls().to_list()
    if wrong:
        raise refuse(wrong[0])
    for name in _ARRAYS:
        if name != "pair_id" and whole[name][0] is None:
            raise refuse(f"'{name}' is missing")
    size = len(whole["term"][0])
    ids = [] if whole["pair_id"][0] is None else ["pair_id"]
    for one, other in [*(("term", n) for n in (*_TEXTS, *ids)), *((v, p) for _, v, p in _PLACED)]:
        if len(whole[one][0]) != len(whole[other][0]):
            raise refuse(f"'{one}' and '{other}' differ in length")
    for name, _, places in _PLACED:
        at = whole[places][0]
        if at.null_count() or not at.is_between(0, size - 1).all():
            raise refuse(f"'{places}' points outside the {size} pairs")
        if name not in _MANY and at.n_unique() < len(at):
            raise refuse(f"'{places}' names a pair twice")
    return whole


def _batch(pairs: pl.DataFrame, bad: pl.DataFrame, path: str, context: Context) -> Batch:
    checked = pairs.with_columns(_reason())
    good = checked.filter(pl.col("reason").is_null()).with_columns(
        pl.lit(context.source).alias("source"), pl.lit(path).alias("path")
    )
    prompts = add_key(_prompts(good, context.language), PROMPTS)
    sides = _sides(good.with_columns(prompts["key"].alias("prompt")))
    completions = add_key(_completions(sides), COMPLETIONS)
    sides = sides.with_columns(completions["key"].alias("completion"))
    return Batch(
        read=pairs.height + bad.height,
        taken=good.height,
        tables={
            "prompts": prompts,
            "completions": completions,
            "rubrics": _rubric(context.source),
            "votes": _votes(sides),
            "ratings": _ratings(sides),
            "outcomes": _outcomes(sides),
        },
        rejects=collect_rejects([bad, checked.filter(pl.col("reason").is_not_null())], path),
    )


def _reason() -> pl.Expr:
    """Why a pair cannot be taken, or null."""
    texts = ("pair_id", "term", "mnemonic_a", "mnemonic_b")
    votes = pl.col("direct_comparisons")
    checks: list[tuple[pl.Expr, pl.Expr | str]] = [(pl.col("mistyped").is_not_null(), pl.col("mistyped"))]
    checks += [
        (pl.col(name).fill_null("").str.strip_chars() == "", f"'{name}' is missing or empty")
        for name in texts
    ]
    checks += [
        (pl.col("first").is_not_null(), pl.format("pair_id is already used on line {}", "first")),
        (votes.list.len() != 3, "direct_comparisons: expected votes for a, for b and ties"),
    ]
    for name in _LISTS:
        numbers = pl.col(name).list
        broken = numbers.eval(~pl.element().is_between(0, MOST).fill_null(False)).list.any()
        checks.append((broken, f"{name}: expected whole numbers from 0 to {MOST}"))
    for side in "AB":
        name = f"ratings_{side}_cumulative"
        numbers = pl.col(name).list
        checks += [
            (numbers.len() != LEVELS, f"{name}: expected {LEVELS} cumulative counts"),
            (numbers.diff(null_behavior="drop").list.min() < 0, f"{name}: cumulative counts fall"),
        ]
    return find_reason(*checks)


def _prompts(good: pl.DataFrame, language: str) -> pl.DataFrame:
    message = pl.struct(pl.lit("user").alias("role"), pl.col("term").alias("content"))
    return good.select(
        "source",
        pl.col("pair_id").alias("ref"),
        pl.lit("mnemonic").alias("task"),
        pl.lit(language).alias("language"),
        pl.concat_list(message).alias("messages"),
        pl.col("term").str.to_lowercase().alias("group"),
        pl.struct("pair_id", "term").struct.json_encode().alias("context"),
        "path",
        "line",
    )


def _sides(good: pl.DataFrame) -> pl.DataFrame:
    """Two rows per pair, all a before all b, with each side's text and signals."""
    return pl.concat(
        good.select(
            "source",
            "path",
            "line",
            "prompt",
            pl.lit(side).alias("side"),
            pl.concat_str("pair_id", pl.lit(f"-{side}")).alias("ref"),
            pl.col(f"mnemonic_{side}").alias("content"),
            pl.col("direct_comparisons").alias("votes"),
            pl.col(f"ratings_{side.upper()}_cumulative").alias("cumulative"),
            pl.col(f"turns_{side.upper()}").alias("turns"),
        )
        for side in "ab"
    )


def _completions(sides: pl.DataFrame) -> pl.DataFrame:
    return sides.select(
        "source",
        "ref",
        "prompt",
        "content",
        pl.lit("model").alias("origin"),
        pl.lit(None, pl.String).alias("author"),
        "path",
        "line",
    )


def _rubric(source: str) -> pl.DataFrame:
    return pl.DataFrame(
        {
            "source": [source],
            "criterion": [CRITERION],
            "wording": ["How helpful is the mnemonic for learning the term?"],
            "levels": [LEVELS],
            "higher_is_better": [True],
            "weight": [1.0],
        }
    )


def _votes(sides: pl.DataFrame) -> pl.DataFrame:
    """One row per vote; the source names no annotators and no order."""
    a, b = sides.filter(pl.col("side") == "a"), sides.filter(pl.col("side") == "b")
    counted = a.select(
        "source",
        "path",
        "line",
        pl.col("completion").alias("completion_a"),
        "votes",
        b["completion"].alias("completion_b"),
    ).with_columns(pl.lit(["a", "b", "tie"], pl.List(pl.String)).alias("choice"))
    each = (
        counted.drop_nulls("votes")
        .explode("votes", "choice")
        .with_columns(pl.col("choice").repeat_by(pl.col("votes")))
    )
    rows = each.filter(pl.col("votes") > 0).explode("choice").drop("votes")
    return _numbered(rows)


def _ratings(sides: pl.DataFrame) -> pl.DataFrame:
    """Cumulative counts differenced into one row per rating."""
    counts = (
        pl.col("cumulative") - pl.col("cumulative").list.eval(pl.element().shift(1, fill_value=0))
    ).alias("count")
    levels = pl.lit(list(range(1, LEVELS + 1)), pl.List(pl.Int64)).alias("value")
    each = sides.drop_nulls("cumulative").with_columns(counts, levels).explode("count", "value")
    rows = each.filter(pl.col("count") > 0).with_columns(pl.col("value").repeat_by("count")).explode("value")
    return _numbered(
        rows.select(
            "source",
            "path",
            "line",
            "completion",
            pl.lit(CRITERION).alias("criterion"),
            "value",
            pl.lit(LEVELS, pl.Int64).alias("levels"),
        )
    )


def _outcomes(sides: pl.DataFrame) -> pl.DataFrame:
    """One row per student: failed attempts before success; the source has no censored rows."""
    rows = sides.filter(pl.col("turns").list.len() > 0).explode("turns")
    return _numbered(
        rows.select(
            "source",
            "path",
            "line",
            "completion",
            pl.lit("turns").alias("measure"),
            pl.col("turns").cast(pl.Float64).alias("value"),
            pl.lit(False).alias("censored"),
        )
    )


def _numbered(rows: pl.DataFrame) -> pl.DataFrame:
    return rows.with_columns(pl.int_range(pl.len(), dtype=pl.Int64).over("line").alias("n"))
