"""Replace people's ids by pseudonyms before anything else reads them.

Rejected rows have no ids either: a readable row is stored as its fields with the pseudonym, an unreadable
one as its file and line alone. Models that judged keep their names:

    completion_a,completion_b,choice,annotator,kind
    p1-a,p1-b,a,gpt-x,model
    p1-a,p1-b,b,ana,student

`--by-model` says it of all rows of a file; a row of a model without a name is by one named like the source.
A name is either a person's or a model's, in the whole store.
"""

import re
from collections.abc import Sequence
from dataclasses import replace

import polars as pl

from ...schemas.errors import SourceError
from ...schemas.support.text import clean
from ...schemas.tables import ANNOTATORS, SIGNALS
from ..store.connection import Store, query, run_over
from .batch import Context
from .files.numbered_lines import Input

MODEL = "model"
KINDS = ("student", "expert", "crowd", MODEL)
DEFAULT = "crowd"
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
    unsaid = ["kind"] if "kind" in named.columns and named["kind"].null_count() == named.height else []
    fields = [name for name in named.columns if name not in ("line", "raw", "gone", *unsaid)]
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


def name_annotators(rows: pl.DataFrame, context: Context, column: str = "annotator") -> pl.DataFrame:
    """Replace people's ids in a column by pseudonyms, keep models' names; add `gone` as `replace_ids` does.

    The column `kind`, added where the file has none, is in lower case; by --by-model it is model where it is
    empty. Rows whose kind is model and whose name is empty get the source's name.
    """
    kind = pl.col("kind") if "kind" in rows.columns else pl.lit(None, pl.String)
    rows = rows.with_columns(kind.cast(pl.String).str.strip_chars().str.to_lowercase().alias("kind"))
    if context.by_model:
        rows = rows.with_columns(pl.col("kind").fill_null(MODEL))
    by_model = pl.col("kind") == MODEL
    if not rows.select(by_model.any()).item():
        return replace_ids(rows, context, [column])
    own = pl.col(column) if column in rows.columns else pl.lit(None, pl.String)
    names = rows.select(pl.when(by_model).then(pl.coalesce(own.cast(pl.String), pl.lit(context.source))))
    people = rows.with_columns(pl.when(~by_model.fill_null(False)).then(own.cast(pl.String)).alias(column))
    hidden = replace_ids(people, context, [column])
    return hidden.with_columns(pl.coalesce(names.to_series(), pl.col(column)).alias(column))


def check_kind(context: Context) -> tuple[tuple[pl.Expr, pl.Expr | str], ...]:
    """Check for kinds that are none, and people's kinds in a file of models: masks and reasons."""
    said = pl.format("kind is '{}', expected {}", "kind", pl.lit(", ".join(KINDS[:-1]) + f" or {MODEL}"))
    unknown = (~pl.col("kind").is_in(KINDS), said)
    if not context.by_model:
        return (unknown,)
    of_person = pl.format("kind is '{}', but --by-model says that models judged", "kind")
    return unknown, (pl.col("kind") != MODEL, of_person)


_JUDGED = " UNION ".join(f"SELECT {s.annotator} AS key FROM {s.name}" for s in SIGNALS if s.annotator)
_STORED = f"""SELECT DISTINCT pseudonym, kind FROM annotators
WHERE key IN ({_JUDGED} UNION SELECT annotator FROM answers)"""
_UPDATE = """UPDATE annotators SET kind = incoming.kind FROM incoming
WHERE annotators.pseudonym = incoming.pseudonym AND annotators.kind <> incoming.kind"""


def settle_kinds(con: Store, annotators: pl.DataFrame, context: Context, table: str) -> pl.DataFrame:
    """Give annotators of unsaid kind one, and stored ones of unsaid kind (crowd) the kind that is said now.

    `annotators` has pseudonym and kind, null where the file does not say; rows of any other `table` stay.
    Raises SourceError for a name that is a person's and a model's, and for a person who is a student and an
    expert.
    """
    if table != ANNOTATORS.name or annotators.is_empty():
        return annotators
    said = annotators.select("pseudonym", pl.col("kind").fill_null(DEFAULT))
    everyone = pl.concat([said, query(con, _STORED)], how="vertical_relaxed").unique(maintain_order=True)
    _check_apart(everyone, context)
    known = everyone.filter(pl.col("kind") != DEFAULT).unique(maintain_order=True)
    twice = known.filter(pl.col("pseudonym").is_duplicated())
    if twice.height:
        who = twice["pseudonym"][0]
        two = " and ".join(sorted(twice.filter(pseudonym=who)["kind"]))
        raise SourceError(f"annotator {clean(who, 40)} is {two}; a person has one kind: mend column kind")
    run_over(con, known, _UPDATE)
    kinds = dict(known.rows())
    return annotators.with_columns(
        pl.col("pseudonym").replace_strict(kinds, default=DEFAULT, return_dtype=pl.String).alias("kind")
    )


def _check_apart(everyone: pl.DataFrame, context: Context) -> None:
    """Raise SourceError for a name of a model and of a person; `everyone` has pseudonym and kind."""
    models = everyone.filter(pl.col("kind") == MODEL)["pseudonym"].unique(maintain_order=True)
    people = everyone.filter(pl.col("kind") != MODEL)["pseudonym"].implode()
    both = models.is_in(people)
    if context.names_people and len(models):
        both |= context.pseudonyms(models).is_in(people)
    if both.any():
        raise SourceError(
            f"annotator '{clean(models.filter(both)[0], 40)}' is marked as a model and as a person; mark all "
            "judgements under this name alike (column kind, or --by-model), with --replace for a source "
            "that is there"
        )
