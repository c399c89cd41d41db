"""Chats and preferences about them, in the shapes that trainers and chat programs use.

    {"messages": [{"role": "user", "content": "7 x 8?"}, {"role": "assistant", "content": "Try 7 x 4."}]}
    {"prompt": "7 x 8?", "chosen": "Try 7 x 4 first.", "rejected": "56."}

OpenAI's, ShareGPT's and TRL's shapes (see `shapes`), other programs' (see `dialects`) and rows of several
answers (see `answers`), also mixed, as JSON Lines, one JSON list, CSV or Parquet, such as a dataset that
`preceptor build` wrote. Every reply of the assistant is a completion of the dialogue so far; chosen over
rejected is a vote without annotator; a `label` is a rating on `desirable`. A row is a line, an element of the
list, a record, or a row of Parquet. Rows that begin alike are one `group`, unless they name a group
themselves. Fields that nothing is made of are noted.
"""

from collections.abc import Iterator

import polars as pl

from .....schemas.tables import COMPLETIONS, PROMPTS, TURNS
from ....store.connection import parse_json_rows
from ...batch import FORGOTTEN_REASON, Batch, Context, collect_rejects, divide, find_repeats, make_no_ids
from ...files.fields import parse_time
from ...files.numbered_lines import Input, OnBytes
from ...files.table_files import PARQUET, list_columns
from ...people import replace_ids
from ...tutoring.turns import TASK, make_tables
from .answers import OF_PAIRS, SEVERAL, divide_answers
from .dialects import FOREIGN
from .judgements import make_judgements, write_scores
from .rows import is_table_of_chats, read_chat_rows
from .shapes import ANSWER, FIELDS, PAIR, SCORES, recognise_shapes

_ABOUT = ("id", "group", "task", "language")
_WITHHELD = ("tools", "functions", "images", "videos", "audios", "image", "video", "audio")
COLUMNS = (*_ABOUT, *FIELDS, *SCORES, *FOREIGN, *SEVERAL, *OF_PAIRS, *_WITHHELD)
_NOT_KEPT = "(not kept, since it names who judged: see the line in the file)"
_ASKED = ("question", "instruction", "input", "output", "response", "history")
_OF_MESSAGES = ("role", "from", "content", "value", "weight", "tool_calls", "function_call")
NO_SHAPE = (
    "holds none of the shapes that are read: messages; conversations; chosen, rejected; preferred_output, "
    "non_preferred_output; messages, rejected_response; prompt, completion; prompt, response; instruction, "
    "output; instruction, completions; instruction, generations, ratings; prompt with replies; "
    "conversation_a, conversation_b, winner; prompt, response_a, response_b, winner (fields of other names: "
    "--map OURS=THEIRS)"
)
Tables = dict[str, pl.DataFrame]


def read_chat(file: Input, context: Context, on_bytes: OnBytes = lambda _: None) -> Iterator[Batch]:
    """Read the turns, prompts, completions, votes and ratings of one file. Raises SourceError if the file
    cannot be read.
    """
    seen, unused = make_no_ids(), _find_unused_columns(file, context)
    odd: dict[str, int] = {}
    for block, unread in read_chat_rows(file, COLUMNS, context.columns, on_bytes):
        rows, bad = parse_json_rows(block.drop("written"), dict.fromkeys(_ABOUT, "VARCHAR"))
        rows = rows.with_columns(pl.col(_ABOUT).str.strip_chars().replace("", None))
        again, seen = find_repeats(rows.select("line", "id"), seen)
        rows = rows.join(again, on="line", how="left", maintain_order="left")
        divided = _hide_judges(divide_answers(rows, context.levels), context)
        shaped = recognise_shapes(divided.select("line", "raw", "names", "mistyped", *_ABOUT))
        extra = [name for name in divided.columns if name not in shaped.columns]
        whole = shaped.join(divided.select("line", *extra), on="line", maintain_order="left")
        unused |= _find_unused(whole)
        good, wrong = _divide_rows(whole)
        tables, found = _tables(_placed(good, file.name, context), context)
        odd = {name: odd.get(name, 0) + n for name, n in found.items()}
        yield Batch(
            rows.height + bad.height + unread.height,
            rows.height - wrong.height,
            tables,
            collect_rejects([unread, *_as_written(bad, wrong, block)], file.name),
        )
    notes = [f"not used: {', '.join(sorted(unused))}"] if unused else []
    notes += [f"{n:,} {name}" for name, n in odd.items() if n]
    if notes:
        yield Batch(0, 0, {}, collect_rejects([], file.name), tuple(f"{file.name}: {note}" for note in notes))


def _hide_judges(rows: pl.DataFrame, context: Context) -> pl.DataFrame:
    """Replace judges by pseudonyms, add `gone` (the judge was forgotten) and `time` (of `at`)."""
    return parse_time(replace_ids(rows, context, ["judge"]))


def _find_unused_columns(file: Input, context: Context) -> set[str]:
    """Find the columns of a table that are not read; none for JSON, whose rows name their own."""
    if file.path.suffix.lower() != PARQUET and not is_table_of_chats(file):
        return set()
    return (
        set(list_columns(file, [*COLUMNS, *context.columns.values()]))
        - set(COLUMNS)
        - set(context.columns.values())
    )


def _find_unused(rows: pl.DataFrame) -> set[str]:
    """Find the fields of rows, and of their messages and answers, that nothing is made of."""
    fields = set(rows["names"].explode().drop_nulls().unique())
    inside = set(rows["message_keys"].explode().drop_nulls().unique())
    answers = set(rows["inner_keys"].explode().drop_nulls().unique())
    talk = rows.filter(pl.col("kind").is_in(["messages", "conversations"]) & pl.col("has_talk"))
    beside = set(talk["names"].explode().drop_nulls().unique())
    lost = beside & {"label", "kto_tag", "prompt", "completion", *_ASKED}
    several = rows.filter(pl.col("several") | pl.col("arena"))["names"].explode().drop_nulls().unique()
    simple = rows.filter(~pl.col("several") & ~pl.col("arena"))["names"].explode().drop_nulls().unique()
    lost |= (set(simple) & set(SEVERAL)) - set(several)
    return (
        lost
        | (fields - set(COLUMNS))
        | {f"{name} of messages" for name in inside - set(_OF_MESSAGES)}
        | {f"{name} of answers" for name in answers}
    )


def _divide_rows(rows: pl.DataFrame) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Divide rows, wholly: the answers of rows without a fault; line and reason of the others, `line` as in
    the file.
    """
    _, wrong = divide(rows, *_checks())
    arenas = rows.filter("arena").select("line")
    sides = (
        pl.col("reason")
        .str.replace_all("'chosen'", "'conversation_a'")
        .str.replace_all("'rejected'", "'conversation_b'")
    )
    wrong = pl.concat(
        [
            wrong.join(arenas, on="line", how="anti"),
            wrong.join(arenas, on="line", how="semi").with_columns(sides),
        ]
    ).sort("line")
    wrong = (
        wrong.join(rows.select("line", "row"), on="line", maintain_order="left")
        .select(pl.col("row").alias("line"), "reason")
        .unique("line", keep="first", maintain_order=True)
    )
    good = rows.join(wrong.select(pl.col("line").alias("row")), on="row", how="anti", maintain_order="left")
    return good.with_columns(line="row"), wrong


def _as_written(bad: pl.DataFrame, wrong: pl.DataFrame, block: pl.DataFrame) -> list[pl.DataFrame]:
    """Rejected rows as in the file: line, raw and reason; those that name a judge without the name."""
    named = pl.col("raw").str.contains('"judge"', literal=True)
    shown = block.select(
        "line",
        pl.when(named).then(pl.lit(_NOT_KEPT)).otherwise("written").alias("raw"),
    )
    return [
        part.select("line", "reason").join(shown, on="line").select("line", "raw", "reason")
        for part in (bad, wrong)
    ]


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
        (pl.col("gone"), FORGOTTEN_REASON),
        (pl.col("fault").is_not_null(), pl.col("fault")),
        (kind.is_null(), NO_SHAPE),
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
        (
            pl.col("at").is_not_null() & pl.col("time").is_null(),
            pl.format("the time is '{}', expected ISO 8601 or a number since 1970", "at"),
        ),
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


def _tables(rows: pl.DataFrame, context: Context) -> tuple[Tables, dict[str, int]]:
    judged = pl.col("kind").is_in([PAIR, ANSWER])
    told = rows.filter(~judged)
    talk = _talk(told, context)
    answered, odd = make_judgements(rows.filter(judged))
    said = talk[TURNS.name].filter(pl.col("role").is_in(["user", "assistant"]))
    odd["messages are empty: in no prompt, and no completions"] = said.filter(
        pl.col("content").fill_null("").str.strip_chars() == ""
    ).height
    odd["conversations hold no answer to a user: only their turns are stored"] = told.join(
        talk[COMPLETIONS.name], on="line", how="anti"
    ).height
    shared = {
        name: pl.concat([talk[name], answered[name]], how="diagonal")
        for name in (PROMPTS.name, COMPLETIONS.name)
    }
    return talk | answered | shared, odd


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
        write_scores("completion"),
        "task",
        "language",
        "path",
        "line",
    )
    return make_tables(dialogues, turns, context, origin="model")
