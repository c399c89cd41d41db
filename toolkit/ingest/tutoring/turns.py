"""Turns of dialogues -> turns, and every tutor turn as a completion of the dialogue so far.

    Teacher: (probing)How many are left?|EOM|Student: Nine.

Turns of one role that follow each other are one message of a prompt, and one completion: chat
models take turns. The opening of a dialogue (the problem) is a message of the learner. Turns of the
system before it come first, as one message.
"""

import polars as pl

from ....schemas.tables import COMPLETIONS, PROMPTS, TURNS
from ...store.connection import add_key, open_scratch, query
from ..batch import Context

TASK = "tutor"
USER, ASSISTANT = "user", "assistant"

# One row a message: the opening first, then runs of turns; empty turns say nothing.
_RUNS = """
said AS (
    SELECT dialogue, position, role, content, act FROM turns WHERE trim(content) <> ''
    UNION ALL SELECT dialogue, -1, 'user', opening, NULL FROM dialogues WHERE opening IS NOT NULL
), changes AS (
    SELECT *, role IS DISTINCT FROM lag(role) OVER (PARTITION BY dialogue ORDER BY position) AS changed
    FROM said WHERE role <> 'system'
), runs AS (
    SELECT *, count(*) FILTER (changed) OVER (PARTITION BY dialogue ORDER BY position) AS run FROM changes
), messages AS (
    SELECT dialogue, run, any_value(role) AS role, min(position) AS first,
        string_agg(content, chr(10) ORDER BY position) AS content,
        list(act ORDER BY position) FILTER (act IS NOT NULL) AS acts
    FROM runs GROUP BY dialogue, run
), told AS (
    SELECT m.dialogue, m.run, [{'role': 'system',
        'content': string_agg(s.content, chr(10) ORDER BY s.position)}] AS system
    FROM messages m JOIN said s ON s.dialogue = m.dialogue AND s.role = 'system' AND s.position < m.first
    GROUP BY m.dialogue, m.run
)"""

_ANSWERS = f"""
WITH {_RUNS}, so_far AS (
    SELECT *, list({{'role': role, 'content': content}}) OVER (PARTITION BY dialogue ORDER BY run
        ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING) AS messages FROM messages
)
SELECT s.dialogue, s.first, s.content, s.acts, list_concat(t.system, s.messages) AS messages,
    d."group", d.task, d.language, d.context, d.path, d.line
FROM so_far s JOIN dialogues d USING (dialogue) LEFT JOIN told t ON t.dialogue = s.dialogue AND t.run = s.run
WHERE s.role = 'assistant' AND s.messages[-1].role = 'user' ORDER BY d.path, d.line, s.run"""

_HISTORY = f"""
WITH {_RUNS}, whole AS (
    SELECT dialogue, list({{'role': role, 'content': content}} ORDER BY run) AS messages
    FROM messages GROUP BY dialogue
)
SELECT dialogue, w.messages FROM dialogues LEFT JOIN whole w USING (dialogue) ORDER BY line"""


def make_tables(
    dialogues: pl.DataFrame,
    turns: pl.DataFrame,
    context: Context,
    *,
    origin: str = "human",
    author: str | None = None,
    written: pl.DataFrame | None = None,
) -> dict[str, pl.DataFrame]:
    """Make the tables turns, prompts and completions, these by `author`.

    `dialogues`: dialogue, opening (or null), group, context (JSON), path, line; it may have task and
    language. `turns`: dialogue, position, role, content, act (or null), state (JSON or null). `written`:
    dialogue, first (position of a turn), content, context (JSON): what the tutor wrote, if that is more than
    the learner sees; then only these turns are completions.
    """
    usual = {"task": TASK, "language": context.language}
    dialogues = dialogues.with_columns(
        pl.lit(value).alias(name) for name, value in usual.items() if name not in dialogues.columns
    )
    where = dialogues.select("dialogue", "path", "line")
    stored = turns.join(where, on="dialogue", how="left", maintain_order="left")
    answers = _over(dialogues, turns, _ANSWERS)
    acts = pl.struct(pl.col("acts").alias("act")).struct.json_encode()
    answers = answers.with_columns(pl.when(pl.col("acts").list.len() > 0).then(acts).alias("about"))
    if written is not None:
        instead = written.rename({"context": "about"})
        answers = answers.drop("content", "about").join(
            instead, on=["dialogue", "first"], maintain_order="left"
        )
    source = pl.lit(context.source).alias("source")
    ref = pl.format("{}-{}", "dialogue", "first").alias("ref")
    prompts = add_key(
        answers.select(source, ref, "task", "language", "messages", "group", "context", "path", "line"),
        PROMPTS,
    )
    completions = add_key(
        answers.select(
            source,
            ref,
            prompts["key"].alias("prompt"),
            "content",
            pl.lit(origin).alias("origin"),
            pl.lit(author, pl.String).alias("author"),
            pl.col("about").alias("context"),
            "path",
            "line",
        ),
        COMPLETIONS,
    )
    return {TURNS.name: stored.with_columns(source), PROMPTS.name: prompts, COMPLETIONS.name: completions}


def collect_histories(dialogues: pl.DataFrame, turns: pl.DataFrame) -> pl.Series:
    """Collect the messages of each dialogue, in the dialogues' order; null if a dialogue has none.

    `dialogues`: dialogue, opening (or null), line. `turns`: dialogue, position, role, content.
    """
    return _over(dialogues, turns.with_columns(pl.lit(None, pl.String).alias("act")), _HISTORY)["messages"]


def note_empty_turns(turns: pl.DataFrame, path: str) -> tuple[str, ...]:
    """Say how many turns (role, content) of learners and tutors have no text, and so are in no prompt."""
    empty = turns.filter(
        (pl.col("role") != "system") & (pl.col("content").fill_null("").str.strip_chars() == "")
    )
    if empty.is_empty():
        return ()
    return (f"{path}: turns without text, which are in no prompt and no completion: {empty.height:,}",)


def _over(dialogues: pl.DataFrame, turns: pl.DataFrame, sql: str) -> pl.DataFrame:
    with open_scratch() as con:
        con.register("dialogues", dialogues.to_arrow())
        con.register("turns", turns.to_arrow())
        return query(con, sql)
