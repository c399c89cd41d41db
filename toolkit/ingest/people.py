"""Replace people's ids by pseudonyms before anything else reads them.

Rejected rows have no ids either: a readable row is stored as its fields with the pseudonym, an unreadable
one as its file and line alone.
"""

import re
from collections.abc import Sequence
from dataclasses import replace

import polars as pl

from ...schemas.errors import SourceError
from .batch import Context
from .files.numbered_lines import Input

# Ids that say who it is in one source alone: 3, annotator-3, A2, rater B. Longer numbers are a platform's.
_NUMBER = (
    r"(?i)^\W*(annotator|rater|judge|labell?er|coder|worker|user|person|participant|student|teacher|tutor|"
    r"expert|[a-z])?[\W_]*(\d{1,4}|[a-z])?\W*$"
)
_WITHHELD = "(not kept, since it may name a person: see the line in the file)"


def replace_ids(rows: pl.DataFrame, context: Context, columns: Sequence[str]) -> pl.DataFrame:
    """Replace the ids in `columns` by pseudonyms; adds `gone`: true if one of them is forgotten."""
    there = [name for name in columns if name in rows.columns]
    named = rows.with_columns(context.pseudonyms(rows[name]).alias(name) for name in there)
    gone = [context.forgotten(named[name]).alias(f"gone:{name}") for name in there]
    marked = named.with_columns(gone).with_columns(pl.any_horizontal(s.name for s in gone).alias("gone"))
    return marked.drop(s.name for s in gone)


def find_numbered(ids: pl.Series, pseudonyms: pl.Series) -> frozenset[str]:
    """Find the pseudonyms of ids that are a source's own numbers, such as 3, annotator-3 or B.

    The same number in another source is somebody else. `ids` and `pseudonyms` have the same order.
    """
    return frozenset(pseudonyms.filter(ids.cast(pl.String).str.contains(_NUMBER).fill_null(False)).unique())


def replace_learners(rows: pl.DataFrame, context: Context) -> pl.DataFrame:
    """Replace `author` by a pseudonym where `origin` is learner; adds `gone`: true if that one is forgotten.

    Other authors are roles or models, and stay.
    """
    learner = pl.col("origin").str.strip_chars() == "learner"
    ids = rows.select(pl.when(learner).then("author")).to_series()
    if ids.null_count() == len(ids):
        return rows.with_columns(pl.lit(False).alias("gone"))
    named = context.pseudonyms(ids)
    return rows.with_columns(
        pl.coalesce(named, "author").alias("author"), context.forgotten(named).alias("gone")
    )


def withhold_learners(wrong: pl.DataFrame) -> pl.DataFrame:
    """Withhold the text (column raw) of rejected lines of JSON that mention a learner."""
    personal = pl.col("raw").str.contains('"learner"', literal=True)
    return wrong.with_columns(pl.when(personal).then(pl.lit(_WITHHELD)).otherwise("raw").alias("raw"))


def hide_ids(
    unread: pl.DataFrame, wrong: pl.DataFrame, named: pl.DataFrame, columns: Sequence[str]
) -> list[pl.DataFrame]:
    """Hide ids in rejected rows: line, raw and reason of unreadable rows and of rows with a reason.

    `named` are all rows as `replace_ids` returns them, by line, with the fields to show; `columns` are those
    that name people in this file. Without any, nothing is hidden.
    """
    if not columns:
        return [unread, wrong]
    fields = [name for name in named.columns if name not in ("line", "raw", "gone")]
    anybody = pl.any_horizontal(pl.col(name).is_not_null() for name in columns)
    shown = named.join(wrong.select("line"), on="line", how="semi").select(
        "line",
        pl.when("gone")
        .then(pl.lit(""))
        .when(anybody)
        .then(pl.struct(fields).struct.json_encode())
        .alias("shown"),
    )
    hidden = wrong.join(shown, on="line", how="left", maintain_order="left")
    return [
        unread.with_columns(pl.lit(_WITHHELD).alias("raw")),
        hidden.with_columns(pl.coalesce("shown", "raw").alias("raw")).drop("shown"),
    ]


def name_learners(files: Sequence[Input], context: Context) -> list[Input]:
    """Find each file's learner in its path, and put the pseudonym into the file's name in the source.

    `context.learner_from_path` is a piece of the path with {learner} for the id, such as user_id={learner}/
    or {learner}.csv; * is any text of a name. Without it the files stay as they are. Raises SourceError for
    a pattern without {learner}, and a file that does not match.
    """
    pattern = context.learner_from_path
    if not pattern:
        return list(files)
    if pattern.count(_PLACE) != 1:
        raise SourceError(f"--learner-from-path {pattern}: expected one {_PLACE} in it, such as {_PLACE}.csv")
    if context.learner:
        raise SourceError(
            "--learner-from-path: --learner names one learner for all files; leave one of them out"
        )
    piece = (
        re.escape(pattern.strip("/")).replace(re.escape("*"), "[^/]*").replace(re.escape(_PLACE), "([^/]+?)")
    )
    # Of the path as it was given, the last place: the folder above may be called likewise.
    wanted = re.compile(rf"^(?:.*/)?{piece}(?=/{'.' if pattern.endswith('/') else '|$'})")
    found = [wanted.match(file.path.as_posix()) for file in files]
    for file, match in zip(files, found, strict=True):
        if match is None:
            raise SourceError(
                f"{file.path}: does not match --learner-from-path '{pattern}'; mend the pattern"
            )
    ids = [match[1] for match in found if match]
    names = context.pseudonyms(pl.Series(ids, dtype=pl.String)).to_list()
    return [
        replace(file, learner=id, name=_hide_learner(file, match.start(1), id, name))
        for file, match, id, name in zip(files, found, ids, names, strict=True)
        if match
    ]


_PLACE = "{learner}"


def _hide_learner(file: Input, start: int, id: str, name: str) -> str:
    """The file's name in the source, with the pseudonym in place of the id at `start` of its path."""
    path = file.path.as_posix()
    at = start - (len(path) - len(file.name))
    if at < 0:
        return file.name
    return f"{file.name[:at]}{name}{file.name[at + len(id) :]}"
