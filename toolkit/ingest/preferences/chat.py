"""Chats and preferences about them, in the shapes that trainers and chat programs use.

    {"messages": [{"role": "user", "content": "7 x 8?"}, {"role": "assistant", "content": "Try 7 x 4."}]}
    {"prompt": "7 x 8?", "chosen": "Try 7 x 4 first.", "rejected": "56."}

OpenAI's, ShareGPT's and TRL's shapes (see `chat_shapes`) and other programs' (see `chat_dialects`), also
mixed, as JSON Lines, one JSON list or Parquet, such as a dataset that `preceptor build` wrote. Every reply of
the assistant is a completion of the dialogue so far; chosen over rejected is a vote without annotator; a
`label` is a rating on `desirable`. A row is a line, an element of the list, or a row of Parquet. Rows that
begin alike are one `group`, unless they name a group themselves. Fields that nothing is made of are noted.
"""

from collections.abc import Iterator

import polars as pl

from ....schemas.tables import COMPLETIONS, PROMPTS, RATINGS, RUBRICS, VOTES
from ...store.connection import add_key, parse_json_rows
from ..batch import Batch, Context, collect_rejects, divide, find_repeats, make_no_ids
from ..files.json_lists import read_elements
from ..files.numbered_lines import Input, OnBytes, read_lines
from ..files.table_files import list_columns, read_parquet_as_json
from ..tutoring.turns import TASK, make_tables
from .chat_dialects import FOREIGN
from .chat_shapes import ANSWER, FIELDS, PAIR, SCORES, recognise_shapes

DESIRABLE = "desirable"
_WORDING = "Is this a desirable answer? (1: no, 2: yes)"
_ABOUT = ("id", "group", "task", "language")
_SCORES_OF = {"chosen": ("score_chosen", "margin"), "rejected": ("score_rejected",), "completion": ("score",)}
_WITHHELD = ("tools", "functions", "images", "videos", "audios", "image", "video", "audio")
COLUMNS = (*_ABOUT, *FIELDS, *SCORES, *FOREIGN, *_WITHHELD)
_ASKED = ("question", "instruction", "input", "output", "response", "history")
_OF_MESSAGES = ("role", "from", "content", "value", "weight", "tool_calls", "function_call")
_READ = (
    "messages (OpenAI, TRL), conversations (ShareGPT), chosen and rejected (TRL, HH-RLHF, Orca, "
    "LLaMA-Factory), preferred_output and non_preferred_output (OpenAI), messages and rejected_response "
    "(ms-swift), prompt and completion or response, instruction and output (Alpaca)"
)
_NO_SHAPE = "holds none of the shapes that are read: " + _READ
Tables = dict[str, pl.DataFrame]


def read_chat(file: Input, context: Context, on_bytes: OnBytes = lambda _: None) -> Iterator[Batch]:
    """Read the turns, prompts, completions, votes and ratings of one file. Raises SourceError if the file
    cannot be read.
    """
    seen, unused = make_no_ids(), _find_unused_columns(file)
    for block in _rows(file, on_bytes):
        rows, bad = parse_json_rows(block, dict.fromkeys(_ABOUT, "VARCHAR"))
        rows = rows.with_columns(pl.col(_ABOUT).str.strip_chars().replace("", None))
        again, seen = find_repeats(rows.select("line", "id"), seen)
        whole = recognise_shapes(rows).join(again, on="line", how="left", maintain_order="left")
        unused |= _find_unused(whole)
        good, wrong = divide(whole, *_checks())
        yield Batch(
            rows.height + bad.height,
            good.height,
            _tables(_placed(good, file.name, context), context),
            collect_rejects([bad, wrong], file.name),
        )
    if unused:
        note = f"{file.name}: not used: {', '.join(sorted(unused))}"
        yield Batch(0, 0, {}, collect_rejects([], file.name), (note,))


def _find_unused_columns(file: Input) -> set[str]:
    """Find the columns of a Parquet file that are not read; none for JSON, whose rows name their own."""
    return set(list_columns(file)) - set(COLUMNS) if file.path.suffix.lower() == ".parquet" else set()


def _find_unused(rows: pl.DataFrame) -> set[str]:
    """Find the fields of rows, and of their messages, that nothing is made of."""
    fields = set(rows["keys"].explode().drop_nulls().unique())
    inside = set(rows["message_keys"].explode().drop_nulls().unique())
    talk = rows.filter(pl.col("kind").is_in(["messages", "conversations"]) & pl.col("has_talk"))
    beside = set(talk["keys"].explode().drop_nulls().unique())
    lost = beside & {"label", "kto_tag", "prompt", "completion", *_ASKED}
    return lost | (fields - set(COLUMNS)) | {f"{name} of messages" for name in inside - set(_OF_MESSAGES)}


def _rows(file: Input, on_bytes: OnBytes) -> Iterator[pl.DataFrame]:
    """Rows as `parse_json_rows` takes them, of whichever form the file has."""
    if file.path.suffix.lower() == ".parquet":
        yield from read_parquet_as_json(file, COLUMNS, on_bytes)
        return
    start = next(read_lines(file), pl.DataFrame(schema={"raw": pl.String}))
    filled = start.filter(pl.col("raw").str.strip_chars() != "")
    if filled.height and filled["raw"][0].lstrip().startswith("["):
        yield read_elements(file, "chats", on_bytes)
        return
    for block in read_lines(file, on_bytes=on_bytes):
        yield block.filter(pl.col("raw").str.strip_chars() != "")


def _checks() -> list[tuple[pl.Expr, pl.Expr | str]]:
    """List the checks of a row with their reasons, in the order in which they are reported."""
    kind, pair = pl.col("kind"), pl.col("kind") == PAIR
    judged = kind.is_in([PAIR, ANSWER])

    def type_of(field: str) -> pl.Expr:
        return pl.col(f"{field}_type").fill_null("NULL")

    def neither(field: str) -> tuple[pl.Expr, str]:
        wrong = ~type_of(field).is_in(["VARCHAR", "ARRAY", "NULL"])
        return judged & wrong, f"'{field}' is neither text nor a list of messages"

    def missing(field: str, of: str) -> tuple[pl.Expr, str]:
        return (kind == of) & (type_of(field) == "NULL"), f"'{field}' is missing"

    found = pl.format("'{}' is not a list of messages", kind)
    return [
        (pl.col("mistyped").is_not_null(), pl.col("mistyped")),
        (pl.col("first").is_not_null(), pl.format("the id is already used on line {}", "first")),
        (pl.col("tools"), "has tools, which are not read: what is said about them would have no meaning"),
        (pl.col("media"), "has images, sound or video, which are not read"),
        (kind.is_null(), _NO_SHAPE),
        (~type_of("system").is_in(["VARCHAR", "NULL"]), "'system' is not text"),
        (pl.col("two_systems"), "'system' differs from the system's own first message; keep one of them"),
        *(((kind == name) & (type_of(name) != "ARRAY"), found) for name in ("messages", "conversations")),
        missing("chosen", PAIR),
        missing("rejected", PAIR),
        missing("prompt", ANSWER),
        *(neither(field) for field in ("prompt", "chosen", "rejected", "completion")),
        (pl.col("problem").is_not_null(), pl.col("problem")),
        (~judged & ~pl.col("talks").fill_null(False), "nobody says anything"),
        (
            pair
            & (type_of("prompt") == "NULL")
            & pl.any_horizontal(type_of(field) == "VARCHAR" for field in ("chosen", "rejected")),
            "'prompt' is missing; only lists of messages in 'chosen' and 'rejected' can hold it",
        ),
        *_of_answers(judged, pair),
        (
            (kind == ANSWER) & ~type_of("label").is_in(["BOOLEAN", "NULL"]),
            "'label' is not true or false",
        ),
    ]


def _of_answers(judged: pl.Expr, pair: pl.Expr) -> list[tuple[pl.Expr, pl.Expr | str]]:
    """List the checks of conversations that end in an answer."""

    def last_but(name: str, back: int) -> pl.Expr:
        return pl.col(name).list.get(-back, null_on_oob=True)

    def not_by(name: str, back: int, role: str) -> pl.Expr:
        return last_but(name, back).struct["role"].ne_missing(role)

    better = pl.when(pair).then(pl.lit("chosen")).otherwise(pl.lit("completion"))
    asked = pl.col("last_asked")
    return [
        (judged & not_by("best", 1, "assistant"), pl.format("'{}' does not end with the assistant", better)),
        (pair & not_by("worst", 1, "assistant"), "'rejected' does not end with the assistant"),
        (judged & not_by("best", 2, "user"), "what is answered does not end with the user"),
        (
            judged & asked.is_not_null() & (last_but("best", 2) != asked),
            pl.format("'{}' does not go on from 'prompt'", better),
        ),
        (
            pair & ~pl.col("shared").fill_null(False),
            "'chosen' and 'rejected' differ before their last message",
        ),
        (judged & pl.col("blank"), "a message is empty"),
        (pair & (_bare("answer") == _bare("worse")), "'chosen' equals 'rejected'"),
    ]


def _bare(name: str) -> pl.Expr:
    return pl.col(name).str.strip_chars()


def _placed(good: pl.DataFrame, path: str, context: Context) -> pl.DataFrame:
    """Add source and path to the rows, and defaults for missing fields."""
    code = pl.col("language").str.contains("^[A-Za-z]{2,3}(-[A-Za-z0-9]+)*$")
    return good.with_columns(
        pl.lit(context.source).alias("source"),
        pl.lit(path).alias("path"),
        pl.col("id").fill_null(pl.format("{}:{}", pl.lit(path), "line")).alias("name"),
        pl.coalesce("group", "opening").alias("group"),
        pl.col("task").fill_null(TASK),
        pl.when(code).then("language").otherwise(pl.lit(context.language)).alias("language"),
    )


def _tables(rows: pl.DataFrame, context: Context) -> Tables:
    judged = pl.col("kind").is_in([PAIR, ANSWER])
    talk, answered = _talk(rows.filter(~judged), context), _answered(rows.filter(judged))
    shared = {
        name: pl.concat([talk[name], answered[name]], how="diagonal")
        for name in (PROMPTS.name, COMPLETIONS.name)
    }
    return talk | answered | shared


def _talk(rows: pl.DataFrame, context: Context) -> Tables:
    """Turns of dialogues, and the assistant's as completions."""
    nothing = pl.lit(None, pl.String)
    turns = (
        rows.select(pl.col("name").alias("dialogue"), "messages")
        .explode("messages")
        .unnest("messages")
        .with_columns(
            pl.int_range(pl.len(), dtype=pl.Int64).over("dialogue").alias("position"),
            nothing.alias("act"),
            nothing.alias("state"),
        )
    )
    dialogues = rows.select(
        pl.col("name").alias("dialogue"),
        nothing.alias("opening"),
        "group",
        _scores("completion"),
        "task",
        "language",
        "path",
        "line",
    )
    return make_tables(dialogues, turns, context, origin="model")


def _answered(rows: pl.DataFrame) -> Tables:
    """Prompts and their judged completions, with the vote or the rating."""
    prompts = add_key(
        rows.select(
            "source", pl.col("id").alias("ref"), "task", "language", "messages", "group", "path", "line"
        ),
        PROMPTS,
    )
    rows = rows.with_columns(prompts["key"].alias("prompt"))
    pairs, single = rows.filter(pl.col("kind") == PAIR), rows.filter(pl.col("kind") == ANSWER)
    chosen, rejects = _completions(pairs, "answer", "chosen"), _completions(pairs, "worse", "rejected")
    answers = _completions(single, "answer", "completion")
    place = ("source", "path", "line")
    votes = chosen.select(
        *place,
        pl.col("key").alias("completion_a"),
        rejects["key"].alias("completion_b"),
        pl.lit("a").alias("choice"),
        pl.lit(0).alias("n"),
    )
    ratings = answers.select(
        *place,
        pl.col("key").alias("completion"),
        pl.lit(DESIRABLE).alias("criterion"),
        pl.when(single["desirable"]).then(2).otherwise(1).alias("value"),
        pl.lit(2).alias("levels"),
        pl.lit(0).alias("n"),
    ).filter(single["label_type"] == "BOOLEAN")
    return {
        PROMPTS.name: prompts.unique("key", keep="first", maintain_order=True),
        COMPLETIONS.name: pl.concat([chosen, rejects, answers]).unique(
            "key", keep="first", maintain_order=True
        ),
        VOTES.name: votes,
        RATINGS.name: ratings,
        RUBRICS.name: _rubric(ratings),
    }


def _completions(rows: pl.DataFrame, text: str, field: str) -> pl.DataFrame:
    """Equal texts of one prompt are one completion, unless their rows have ids."""
    return add_key(
        rows.select(
            "source",
            pl.format("{}-{}", "id", pl.lit(field)).alias("ref"),
            "prompt",
            pl.col(text).alias("content"),
            pl.lit("model").alias("origin"),
            pl.lit(None, pl.String).alias("author"),
            _scores(field),
            "path",
            "line",
        ),
        COMPLETIONS,
    )


def _scores(field: str) -> pl.Expr:
    """Write a row's scores of an answer as JSON; null if it has none."""
    names = _SCORES_OF[field]
    found = pl.any_horizontal(pl.col(name).is_not_null() for name in names)
    return pl.when(found).then(pl.struct(names).struct.json_encode()).alias("context")


def _rubric(ratings: pl.DataFrame) -> pl.DataFrame:
    return (
        ratings.select("source", "criterion", "levels")
        .unique()
        .with_columns(
            pl.lit(_WORDING).alias("wording"),
            pl.lit(True).alias("higher_is_better"),
            pl.lit(1.0).alias("weight"),
        )
    )
