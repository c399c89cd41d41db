"""Bridge: a novice tutor's reply to a mistake, and an expert's revision of it.

    [{"c_id": "4110653_19", "c_h": [{"user": "student", "text": "7?"}], "c_r": [{"user": "tutor", …}],
      "c_r_": [{"user": "tutor", "text": "Hm, not quite"}], "e": "guess", "z_what": "ask_question", …}]

The lists under outputs/responses also have "response_by": "gpt4" and "framework_by": "expert": who wrote
c_r_, and who named error, strategy and intention. Without them it was the expert.
Wang et al. (NAACL 2024). c_h is the end of the chat, c_r the novice's reply, c_r_ the expert's; several
experts may have revised one conversation, so c_id is the group. A row is an element of the list;
`line` is its number, since the file is one JSON value.
"""

from collections.abc import Iterator
from pathlib import Path

import polars as pl

from ....schemas.errors import SourceError
from ....schemas.tables import COMPLETIONS, PROMPTS, TURNS
from ...store.connection import add_key, parse_json_rows
from ..batch import Batch, Context, collect_rejects, divide
from ..files.json_lists import read_elements
from ..files.numbered_lines import Input, OnBytes
from .turns import ASSISTANT, TASK, USER, collect_histories, note_empty_turns

_TALK = "STRUCT(user VARCHAR, text VARCHAR)[]"
_SHAPE = {
    "c_id": "VARCHAR",
    "lesson_topic": "VARCHAR",
    "c_h": _TALK,
    "c_r": _TALK,
    "c_r_": _TALK,
    "e": "VARCHAR",
    "z_what": "VARCHAR",
    "z_why": "VARCHAR",
    "framework_by": "VARCHAR",
    "response_by": "VARCHAR",
}
_SPLITS = ("train", "validation", "test")
_NOVICE, _EXPERT = "novice", "expert"
_PEOPLE = (_EXPERT, _NOVICE, "human", "teacher", "tutor")
_THOUGHT = {"error": "e", "strategy": "z_what", "intention": "z_why"}


def find_bridge(path: Path) -> list[Path] | None:
    """Find the published splits of a folder. Raises SourceError if there are none."""
    if not path.is_dir():
        return None
    found = [path / f"{split}.json" for split in _SPLITS if (path / f"{split}.json").is_file()]
    if not found:
        raise SourceError(f"{path}: holds none of {', '.join(f'{split}.json' for split in _SPLITS)}")
    return found


def read_bridge(file: Input, context: Context, on_bytes: OnBytes = lambda _: None) -> Iterator[Batch]:
    """Read the turns, prompts and two completions of each element. Raises SourceError if the file cannot be
    read.
    """
    rows, bad = parse_json_rows(read_elements(file, "Bridge's conversations", on_bytes), _SHAPE)
    stated = ("response_by", "framework_by", *_THOUGHT.values())
    rows = rows.with_columns(pl.col(name).str.strip_chars().replace("", None) for name in stated)

    def empty(name: str) -> pl.Expr:
        said = pl.col(name).list.eval(pl.element().struct["text"].fill_null("").str.strip_chars() != "")
        return ~said.list.any().fill_null(False)

    good, wrong = divide(
        rows,
        (pl.col("mistyped").is_not_null(), pl.col("mistyped")),
        (pl.col("c_id").fill_null("") == "", "'c_id' is missing"),
        (empty("c_h"), "'c_h' holds no message"),
        (pl.col("c_h").list.last().struct["user"] == "tutor", "'c_h' does not end with the student"),
        (
            pl.col("c_h").list.last().struct["text"].fill_null("").str.strip_chars() == "",
            "the student's last message in 'c_h' is empty",
        ),
        (empty("c_r"), "'c_r' holds no reply of the novice"),
        (empty("c_r_"), "'c_r_' holds no reply of the expert"),
    )
    tables = _tables(good, file.name, context)
    rejects = collect_rejects([bad, wrong], file.name)
    yield Batch(rows.height + bad.height, good.height, tables, rejects, _notes(good, file.name))


def _notes(good: pl.DataFrame, path: str) -> tuple[str, ...]:
    """Say which fields are empty."""
    said = pl.concat(
        good.select(pl.col(name).explode()).unnest(name).select(pl.col("user").alias("role"), content="text")
        for name in ("c_h", "c_r", "c_r_")
    )
    found = ((name, good[name].null_count()) for name in _THOUGHT.values())
    empty = ", ".join(f"'{name}' in {n:,}" for name, n in found if n)
    thought = (
        (f"{path}: of {good.height:,} rows empty: {empty}; null in the reply's context",) if empty else ()
    )
    return (*note_empty_turns(said, path), *thought)


def _tables(good: pl.DataFrame, path: str, context: Context) -> dict[str, pl.DataFrame]:
    here = (pl.lit(context.source).alias("source"), pl.lit(path).alias("path"))
    dialogue = pl.format("{}:{}", pl.lit(path), "line")
    role = pl.when(pl.col("user") == "tutor").then(pl.lit(ASSISTANT)).otherwise(pl.lit(USER))
    thought = good.select(
        pl.struct(*(pl.col(theirs).alias(ours) for ours, theirs in _THOUGHT.items()), "framework_by")
        .struct.json_encode()
        .alias("context")
    )["context"]
    thought = thought.str.replace(r',"framework_by":null', "")
    by = pl.col("response_by").fill_null(_EXPERT)
    turns = (
        good.select(dialogue.alias("dialogue"), "line", "c_h")
        .explode("c_h")
        .unnest("c_h")
        .with_columns(
            *here,
            role.alias("role"),
            pl.col("text").fill_null("").alias("content"),
            pl.int_range(pl.len(), dtype=pl.Int64).over("line").alias("position"),
        )
    )
    dialogues = good.select(dialogue.alias("dialogue"), pl.lit(None, pl.String).alias("opening"), "line")
    prompts = add_key(
        good.select(
            *here,
            dialogue.alias("ref"),
            pl.lit(TASK).alias("task"),
            pl.lit(context.language).alias("language"),
            collect_histories(dialogues, turns).alias("messages"),
            pl.col("c_id").alias("group"),
            pl.struct("lesson_topic").struct.json_encode().alias("context"),
            "line",
        ),
        PROMPTS,
    )
    replies = [
        good.select(
            *here,
            pl.format("{}-{}", dialogue, who).alias("ref"),
            prompts["key"].alias("prompt"),
            _joined(column).alias("content"),
            pl.when(who.str.to_lowercase().is_in(_PEOPLE))
            .then(pl.lit("human"))
            .otherwise(pl.lit("model"))
            .alias("origin"),
            who.alias("author"),
            about.alias("context"),
            "line",
        )
        for who, column, about in (
            (pl.lit(_NOVICE), "c_r", pl.lit(None, pl.String)),
            (by, "c_r_", thought),
        )
    ]
    return {
        TURNS.name: turns,
        PROMPTS.name: prompts,
        COMPLETIONS.name: add_key(pl.concat(replies), COMPLETIONS),
    }


def _joined(talk: str) -> pl.Expr:
    return pl.col(talk).list.eval(pl.element().struct["text"]).list.join("\n", ignore_nulls=True)
