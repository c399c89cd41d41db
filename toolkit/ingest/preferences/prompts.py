"""Prompts with their completions, one prompt a line: Preceptor's own way in for new texts.

    {"id": "mn-01", "task": "mnemonic", "group": "candid", "language": "en",
     "messages": [{"role": "user", "content": "…"}],
     "completions": [{"id": "mn-01-a", "content": "…", "origin": "human", "author": "writer-1"}]}

Or a table (CSV, .xlsx, .ods) of id, task, prompt and so on, without completions, or with a column for each:

    term,mnemonic_1,mnemonic_2        --map prompt=term --set task=mnemonic --wide 'mnemonic_{n}'

Its completions are TERM-1 and TERM-2; a prompt without id has its text for one.

`prompt`: "…" may stand for a single user message. Votes, ratings and outcomes name a completion
by its id. `group` defaults to the prompt's id, `origin` to human; completions may be [], for prompts that are
still to be completed. A row is a line.
"""

from collections.abc import Iterator

import polars as pl

from ....schemas.tables import COMPLETIONS, PROMPTS
from ...store.connection import add_key, parse_json_rows
from ..batch import Batch, Context, collect_rejects, find_reason, find_repeats, make_no_ids
from ..files.fields import Columns
from ..files.numbered_lines import Input, OnBytes
from ..files.objects import is_table, read_objects
from ..people import replace_learners, withhold_learners

ORIGINS = ("human", "learner", "reference", "model")

_SHAPE = {
    "id": "VARCHAR",
    "task": "VARCHAR",
    "group": "VARCHAR",
    "language": "VARCHAR",
    "prompt": "VARCHAR",
    "messages": "STRUCT(role VARCHAR, content VARCHAR)[]",
    "context": "JSON",
    "completions": "STRUCT(id VARCHAR, content VARCHAR, origin VARCHAR, author VARCHAR, context JSON)[]",
}


_REQUIRED = ("id", "task", "prompt")
PROMPT_COLUMNS = Columns(
    _REQUIRED,
    tuple(name for name in _SHAPE if name not in _REQUIRED),
    value="completions",
    extra=("n", "author"),
    extra_only=True,
    asked=("id",),
)


def read_prompts(file: Input, context: Context, on_bytes: OnBytes = lambda _: None) -> Iterator[Batch]:
    """Read the prompts and completions of one JSON Lines file, or the prompts of a table.

    Raises SourceError if the file cannot be read.
    """
    seen = make_no_ids()
    table = is_table(file)
    for lines, unread in read_objects(file, context, PROMPT_COLUMNS, on_bytes):
        rows, bad = parse_json_rows(lines, _SHAPE)
        if table:
            rows = rows.with_columns(pl.col("completions").fill_null([]))
        bad = pl.concat([bad, unread])
        again, seen = find_repeats(_ids(rows), seen)
        rows = rows.join(again, on="line", how="left", maintain_order="left")
        yield _batch(rows, bad, file.name, context)


def _ids(rows: pl.DataFrame) -> pl.DataFrame:
    """Ids of prompts and of completions, with their line."""
    of_completions = pl.col("completions").list.eval(pl.element().struct["id"]).alias("id")
    return pl.concat([rows.select("line", "id"), rows.select("line", of_completions).explode("id")])


def _batch(rows: pl.DataFrame, bad: pl.DataFrame, path: str, context: Context) -> Batch:
    message = pl.struct(pl.lit("user").alias("role"), pl.col("prompt").alias("content"))
    rows = (
        rows.with_columns(pl.col("group", "language").replace("", None))
        .with_columns(
            pl.when(pl.col("messages").is_null() & pl.col("prompt").is_not_null())
            .then(pl.concat_list(message))
            .otherwise("messages")
            .alias("messages")
        )
        .with_columns(_reason())
    )
    good = rows.filter(pl.col("reason").is_null())
    prompts = add_key(
        good.select(
            pl.lit(context.source).alias("source"),
            pl.col("id").alias("ref"),
            "task",
            pl.col("language").fill_null(context.language),
            "messages",
            pl.coalesce("group", "id").alias("group"),
            "context",
            pl.lit(path).alias("path"),
            "line",
        ),
        PROMPTS,
    )
    completions, forgotten = _completions(good, prompts["key"], path, context)
    return Batch(
        read=rows.height + bad.height,
        taken=good.height,
        tables={"prompts": prompts, "completions": completions},
        rejects=collect_rejects([bad, withhold_learners(rows.filter(pl.col("reason").is_not_null()))], path),
        notes=(f"{path}: {forgotten:,} completions of forgotten learners left out",) if forgotten else (),
    )


def _completions(
    good: pl.DataFrame, asked: pl.Series, path: str, context: Context
) -> tuple[pl.DataFrame, int]:
    """The completions of each line's prompt (its key), and how many of forgotten learners were left out."""
    each = good.select("completions", "line").with_columns(asked.alias("prompt"))
    each = each.filter(pl.col("completions").list.len() > 0)
    answers = replace_learners(each.explode("completions").unnest("completions"), context)
    kept = answers.filter(~pl.col("gone"))
    completions = add_key(
        kept.select(
            pl.lit(context.source).alias("source"),
            pl.col("id").alias("ref"),
            "prompt",
            "content",
            pl.col("origin").fill_null("human"),
            "author",
            "context",
            pl.lit(path).alias("path"),
            "line",
        ),
        COMPLETIONS,
    )
    return completions, answers.height - kept.height


def _reason() -> pl.Expr:
    """Why a line cannot be taken, or null."""
    answers, turns = pl.col("completions").list, pl.col("messages").list

    def empty(name: str) -> pl.Expr:
        return pl.col(name).fill_null("").str.strip_chars() == ""

    def field(of: pl.Expr, name: str) -> pl.Expr:
        return of.list.eval(pl.element().struct[name])

    origin = field(pl.col("completions"), "origin").list.eval(
        pl.element().is_not_null() & ~pl.element().is_in(ORIGINS)
    )
    roles = field(pl.col("messages"), "role").list.eval(
        ~pl.element().fill_null("").is_in(["system", "user", "assistant"])
    )
    blank = pl.element().fill_null("").str.strip_chars() == ""
    return find_reason(
        (pl.col("mistyped").is_not_null(), pl.col("mistyped")),
        (empty("id"), "'id' is missing"),
        (empty("task"), "'task' is missing, such as mnemonic, gec or tutor"),
        (
            turns.len().fill_null(0) == 0,
            "'messages' (or 'prompt') is missing or not a list of {role, content}",
        ),
        (roles.list.any(), "a message's role is none of system, user, assistant"),
        (field(pl.col("messages"), "content").list.eval(blank).list.any(), "a message is empty"),
        (
            turns.last().struct["role"] != "user",
            "the last message must be the user's; what follows it is a completion",
        ),
        (
            answers.len().is_null(),
            "'completions' is missing or not a list of {id, content}; [] where there are none yet",
        ),
        (field(pl.col("completions"), "id").list.eval(blank).list.any(), "a completion has no 'id'"),
        (field(pl.col("completions"), "content").list.eval(blank).list.any(), "a completion is empty"),
        (origin.list.any(), f"a completion's origin is none of {', '.join(ORIGINS)}"),
        (pl.col("twice"), "an id is used twice in this line"),
        (pl.col("first").is_not_null(), pl.format("an id is already used on line {}", "first")),
    )
