"""xAPI statements as reviews: who answered which activity, when, with what success.

    {"actor": {"mbox": "mailto:ada@example.org"},
     "verb": {"id": "http://adlnet.gov/expapi/verbs/answered"},
     "object": {"id": "https://lms.example.org/q/1"},
     "result": {"success": true, "duration": "PT12.5S"}, "timestamp": "2026-03-01T10:00:00Z"}

xAPI 1.0.3 (and IEEE 9274.1.1): a JSON list, a server's answer ({"statements": […]}) or JSON Lines. The
learner is the address without mailto:, NAME@HOMEPAGE of an account, mbox_sha1sum or openid. A row is a
statement with result.success; a note counts the others by their verb, and voided ones.
"""

from collections import Counter
from collections.abc import Iterator

import polars as pl

from ....schemas.errors import SourceError
from ....schemas.tables import REVIEWS
from ...store.connection import open_scratch, parse_json_rows, query
from ..batch import FORGOTTEN_REASON, Batch, Context, collect_rejects, find_reason
from ..files.fields import check_time, expect, parse_time, select_wrong
from ..files.json_lists import read_json, split_list
from ..files.numbered_lines import Input, OnBytes, read_lines, read_start
from ..people import hide_ids, replace_ids

_SHAPE = dict.fromkeys(("actor", "verb", "object", "result"), "JSON") | {
    "id": "VARCHAR",
    "timestamp": "VARCHAR",
    "stored": "VARCHAR",
}
_VOIDED = "http://adlnet.gov/expapi/verbs/voided"
_FIELDS = f"""SELECT "line", "raw", mistyped, id,
    nullif(trim(coalesce(regexp_replace(actor->>'$.mbox', '^mailto:', ''),
        (actor->>'$.account.name') || coalesce('@' || (actor->>'$.account.homePage'), ''),
        actor->>'$.mbox_sha1sum', actor->>'$.openid')), '') AS learner,
    actor->>'$.objectType' = 'Group' AS is_group,
    nullif(object->>'$.id', '') AS item,
    nullif(regexp_extract(verb->>'$.id', '([^/#]+)/?$', 1), '') AS kind,
    CASE WHEN verb->>'$.id' = '{_VOIDED}' THEN object->>'$.id' END AS voids,
    json_type(result, '$.success') AS success_type,
    result->>'$.success' AS success,
    result->>'$.duration' AS duration,
    coalesce("timestamp", stored) AS "at"
    FROM statements ORDER BY "line" """
_PERIOD = r"^P(?:(\d+)D)?(?:T(?:(\d+)H)?(?:(\d+)M)?(?:(\d+(?:\.\d+)?)S)?)?$"
_UNITS = (86_400_000, 3_600_000, 60_000, 1000)  # milliseconds
_SHOWN = ("learner", "item", "at", "success", "duration", "kind")


def read_xapi(file: Input, context: Context, on_bytes: OnBytes = lambda _: None) -> Iterator[Batch]:
    """Read the reviews of one file of statements.

    Raises SourceError if the file cannot be read, or no statement has result.success.
    """
    left, voided, any_row = Counter[str](), set[str](), False
    for lines in _read_statements(file):
        voids = _read_fields(lines)[0]["voids"].drop_nulls()
        voided |= set(voids)
    gone = 0
    for lines in _read_statements(file, on_bytes):
        rows, bad = _read_fields(lines)
        void = pl.col("voids").is_not_null() | pl.col("id").is_in(list(voided)).fill_null(False)
        silent = pl.col("success_type").fill_null("NULL") == "NULL"
        marked = rows.select(
            "line",
            "kind",
            void.alias("void"),
            (silent & pl.col("mistyped").is_null() & pl.col("kind").is_not_null()).alias("silent"),
        )
        gone += int(marked["void"].sum())
        others = marked.filter(pl.col("silent") & ~pl.col("void"))
        left.update(dict(others.group_by("kind").len().rows()))
        kept = rows.filter(~(marked["void"] | marked["silent"]))
        any_row = any_row or kept.height + bad.height > 0
        yield _batch(kept, bad, file.name, context)
    if left and not any_row:
        raise SourceError(f"{file.path}: none of its statements has result.success ({_list(left)})")
    notes = (
        [f"{file.name}: {left.total():,} statements without result.success left out ({_list(left)})"]
        if left
        else []
    )
    notes += [f"{file.name}: {gone:,} statements voided, or voiding others, left out"] if gone else []
    yield Batch(0, 0, {}, collect_rejects([], file.name), tuple(notes))


def _list(verbs: Counter[str]) -> str:
    shown = [f"{verb} {n:,}" for verb, n in verbs.most_common(5)]
    return ", ".join([*shown, *(["…"] if len(verbs) > 5 else [])])


def _read_statements(file: Input, on_bytes: OnBytes = lambda _: None) -> Iterator[pl.DataFrame]:
    """Statements as `parse_json_rows` takes them; numbered from 1 in a list, by line in JSON Lines."""
    start = read_start(file).lstrip()
    first = start.partition("\n")[0]
    if start.startswith("["):
        yield split_list(read_json(file, "ARRAY", "xAPI statements", on_bytes))
    elif '"actor"' in first and '"statements"' not in first.partition('"actor"')[0]:
        for block in read_lines(file, on_bytes=on_bytes):
            yield block.filter(pl.col("raw").str.strip_chars() != "")
    else:
        yield split_list(read_json(file, "OBJECT", "xAPI statements", on_bytes), "$.statements[*]")


def _read_fields(lines: pl.DataFrame) -> tuple[pl.DataFrame, pl.DataFrame]:
    """The fields that are read of each statement; rejects: line, raw, reason."""
    rows, bad = parse_json_rows(lines, _SHAPE)
    with open_scratch() as con:
        con.register("statements", rows.to_arrow())
        return query(con, _FIELDS), bad


def _batch(rows: pl.DataFrame, bad: pl.DataFrame, path: str, context: Context) -> Batch:
    named = replace_ids(rows, context, ["learner"])
    parts = [pl.col("duration").str.extract(_PERIOD, n).cast(pl.Float64).fill_null(0) for n in range(1, 5)]
    length = sum((part * unit for part, unit in zip(parts, _UNITS, strict=True)), start=pl.lit(0.0))
    there = pl.col("duration").str.contains(_PERIOD) & pl.col("duration").str.contains(r"\d")
    judged = parse_time(named).with_columns(
        pl.when(there).then(length.round().cast(pl.Int64)).alias("duration_ms")
    )
    judged = judged.with_columns(
        find_reason(
            (pl.col("gone"), FORGOTTEN_REASON),
            (pl.col("mistyped").is_not_null(), pl.col("mistyped")),
            (pl.col("kind").is_null(), "no xAPI statement: verb has no id"),
            (pl.col("is_group"), "the actor is a group, not one learner"),
            (pl.col("learner").is_null(), "actor has no mbox, account, mbox_sha1sum or openid"),
            (pl.col("item").is_null(), "object has no id"),
            (pl.col("success_type") != "BOOLEAN", "result.success is neither true nor false"),
            (
                pl.col("duration").is_not_null() & pl.col("duration_ms").is_null(),
                expect("duration", "days to seconds by ISO 8601, such as PT1M12.5S"),
            ),
            check_time(),
        )
    )
    wrong = judged.filter(pl.col("reason").is_not_null()).select("line", "reason")
    shown = judged.select("line", *_SHOWN, "gone")
    return Batch(
        read=rows.height + bad.height,
        taken=judged.height - wrong.height,
        tables={REVIEWS.name: _reviews(judged.filter(pl.col("reason").is_null()), path, context)},
        rejects=collect_rejects(hide_ids(bad, select_wrong(rows, wrong), shown, ["learner"]), path),
    )


def _reviews(good: pl.DataFrame, path: str, context: Context) -> pl.DataFrame:
    empty = {"grade": pl.Int64, "attempts": pl.Int64, "interval_days": pl.Float64}
    return good.select(
        pl.lit(context.source).alias("source"),
        "learner",
        "item",
        pl.col("time").alias("at"),
        "kind",
        (pl.col("success") == "true").alias("correct"),
        "duration_ms",
        *(pl.lit(None, kind).alias(name) for name, kind in empty.items()),
        pl.lit(0, pl.Int64).alias("n"),
        pl.lit(path).alias("path"),
        "line",
    )
