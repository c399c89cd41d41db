"""CIMA: tutors' replies to a student who describes in Italian where a thing is, with their actions.

    {"prepDataset": {"1": {"past_convo": ["Please try to fill in the blank in Italian. ", "e sotto il?"],
      "engPrep": "is under the", "engObj": "table", "engColor": "pink", "prep": "e sotto il", …,
      "studentActions": ["True", "False", "False", "False"], "tutorResponses": ["Almost! And pink?"],
      "tutorActions": [[true, false, true, false, false]]}}, "shapeDataset": {}}

Stasaski et al. (BEA 2020). past_convo alternates tutor and student; several tutors replied to its last
turn. Equal replies keep an id each. The content to be said (preposition, object, colour) is the group.
A row is an exercise; `line` is its number, since the file is one JSON value.
"""

from collections.abc import Iterator

import polars as pl

from ....schemas.errors import SourceError
from ....schemas.tables import COMPLETIONS, PROMPTS, TURNS
from ...store.connection import add_key, drop_nulls, open_scratch, parse_json_rows, query
from ..batch import Batch, Context, collect_rejects, divide, find_repeats, make_no_ids
from ..files.json_lists import read_json
from ..files.numbered_lines import Input, OnBytes
from .turns import ASSISTANT, TASK, USER, collect_histories, note_empty_turns

_TUTOR_ACTIONS = ("Question", "Hint/Information Reveal", "Correction", "Confirmation", "Other")
_STUDENT_ACTIONS = ("Guess", "Question", "Affirmation", "Other")
_PHRASES = {
    "prep": "preposition",
    "obj": "object",
    "color": "color",
    "engPrep": "english_preposition",
    "engObj": "english_object",
    "engColor": "english_color",
}
_ASKED = ("engPrep", "engObj", "engColor")
_SHAPE = {
    "past_convo": "VARCHAR[]",
    "tutorResponses": "VARCHAR[]",
    "tutorActions": "JSON",
    "studentActions": "JSON",
    "img": "VARCHAR",
    "grammarRules": "VARCHAR",
    **dict.fromkeys(_PHRASES, "VARCHAR"),
}

# The parts of an object side by side: json_each would carry the whole text along with each of them.
_EXERCISES = """
WITH sets AS (
    SELECT name, json_extract(text, '$.' || name) AS exercises
    FROM whole, (VALUES ('prepDataset'), ('shapeDataset')) names(name)
), each AS (
    SELECT name, unnest(json_keys(exercises)) AS k, unnest(json_extract(exercises, '$.*')::JSON[]) AS e,
        generate_subscripts(json_keys(exercises), 1) AS n FROM sets WHERE json_type(exercises) = 'OBJECT'
)
SELECT row_number() OVER (ORDER BY name, n) AS line, name || ':' || k AS ref, e::VARCHAR AS raw,
    false AS damaged
FROM each ORDER BY line"""

# Truths are JSON's own or the words True and False. The picture's name is JSON inside JSON.
_TRUTH = "CASE lower(m) WHEN 'true' THEN true WHEN 'false' THEN false END"
_READ = f"""
SELECT * EXCLUDE (tutorActions, studentActions, img),
    list_transform(json_extract(tutorActions, '$[*]'), lambda marks:
        list_transform(json_extract_string(marks, '$[*]'), lambda m: {_TRUTH})) AS replied,
    list_transform(json_extract_string(studentActions, '$[*]'), lambda m: {_TRUTH}) AS acted,
    json_type(studentActions) NOT IN ('ARRAY', 'NULL')
        OR json_array_length(studentActions) NOT IN (0, {len(_STUDENT_ACTIONS)}) AS student_unread,
    CASE WHEN json_valid(img) AND json_type(img) = 'VARCHAR' THEN img->>'$' ELSE img END AS picture
FROM rows ORDER BY line"""


def read_cima(file: Input, context: Context, on_bytes: OnBytes = lambda _: None) -> Iterator[Batch]:
    """Read the turns, prompts and the tutors' replies of each exercise. Raises SourceError if the file cannot
    be read.
    """
    exercises = _exercises(file, on_bytes)
    again, _ = find_repeats(exercises.select("line", pl.col("ref").alias("id")), make_no_ids())
    rows, bad = parse_json_rows(exercises, _SHAPE)
    with open_scratch() as con:
        con.register("rows", rows.to_arrow())
        rows = query(con, _READ)
    rows = rows.join(exercises.select("line", "ref"), on="line", maintain_order="left")
    good, wrong = divide(rows.join(again, on="line", how="left", maintain_order="left"), *_checks())
    tables = _tables(good, file.name, context)
    rejects = collect_rejects([bad, wrong], file.name)
    notes = note_empty_turns(tables[TURNS.name], file.name)
    yield Batch(rows.height + bad.height, good.height, tables, rejects, notes)


def _exercises(file: Input, on_bytes: OnBytes) -> pl.DataFrame:
    """Exercises of both data sets of the file, as `parse_json_rows` takes them, and their ref."""
    expected = "one JSON object with CIMA's exercises under prepDataset"
    text = read_json(file, "OBJECT", expected, on_bytes)
    with open_scratch() as con:
        con.register("whole", pl.DataFrame({"text": [text]}).to_arrow())
        kind = query(
            con,
            """SELECT CASE WHEN json_valid(text) THEN json_type(text, '$.prepDataset') END AS k
                             FROM whole""",
        ).item()
        if kind != "OBJECT":
            raise SourceError(f"{file.path}: expected {expected}")
        return query(con, _EXERCISES)


def _checks() -> list[tuple[pl.Expr, pl.Expr | str]]:
    said, replies = pl.col("past_convo").list, pl.col("tutorResponses").list
    blank = pl.element().fill_null("").str.strip_chars() == ""
    marks = pl.element().list.len().fill_null(0) != len(_TUTOR_ACTIONS)
    return [
        (pl.col("mistyped").is_not_null(), pl.col("mistyped")),
        (pl.col("first") < pl.col("line"), pl.format("its key is already used by exercise {}", "first")),
        *((pl.col(n).fill_null("").str.strip_chars() == "", f"'{n}' is missing or empty") for n in _ASKED),
        (said.len().fill_null(0) == 0, "'past_convo' is missing or holds no turn"),
        (
            said.len() % 2 == 1,
            pl.format("'past_convo' holds {} turns: it does not end with the student", said.len()),
        ),
        (said.last().fill_null("").str.strip_chars() == "", "the student's last turn is empty"),
        (replies.len().fill_null(0) == 0, "'tutorResponses' is missing or empty"),
        (replies.eval(blank).list.any(), "'tutorResponses' holds an empty reply"),
        (
            pl.col("replied").list.len().fill_null(0) != replies.len(),
            pl.format(
                "'tutorActions' holds {} lists for {} replies",
                pl.col("replied").list.len().fill_null(0),
                replies.len(),
            ),
        ),
        (
            pl.col("replied")
            .list.eval(marks | pl.element().list.eval(pl.element().is_null()).list.any())
            .list.any(),
            f"'tutorActions' is not {len(_TUTOR_ACTIONS)} times true or false for each reply",
        ),
        (
            pl.col("student_unread") | pl.col("acted").list.eval(pl.element().is_null()).list.any(),
            f"'studentActions' is not {len(_STUDENT_ACTIONS)} times True or False",
        ),
    ]


def _tables(good: pl.DataFrame, path: str, context: Context) -> dict[str, pl.DataFrame]:
    here = (pl.lit(context.source).alias("source"), pl.lit(path).alias("path"))
    dialogue = pl.col("ref").alias("dialogue")
    position = pl.int_range(pl.len(), dtype=pl.Int64).over("line").alias("position")
    turns = (
        good.select(dialogue, "line", pl.col("past_convo").alias("content"))
        .explode("content")
        .with_columns(*here, position, pl.col("content").fill_null("").str.strip_chars())
        .with_columns(
            pl.when(pl.col("position") % 2 == 0).then(pl.lit(ASSISTANT)).otherwise(pl.lit(USER)).alias("role")
        )
    )
    dialogues = good.select(dialogue, pl.lit(None, pl.String).alias("opening"), "line")
    prompts = add_key(
        good.select(
            *here,
            "ref",
            pl.lit(TASK).alias("task"),
            pl.lit(context.language).alias("language"),
            collect_histories(dialogues, turns).alias("messages"),
            pl.concat_str([pl.col(name).str.strip_chars() for name in _ASKED], separator=" ").alias("group"),
            drop_nulls(_about(good)),
            "line",
        ),
        PROMPTS,
    )
    replies = (
        good.select("line", "ref", prompts["key"].alias("prompt"), "tutorResponses", "replied")
        .explode("tutorResponses", "replied")
        .with_columns(position)
    )
    completions = add_key(
        replies.select(
            *here,
            pl.format("{}-{}", "ref", "position").alias("ref"),
            "prompt",
            pl.col("tutorResponses").str.strip_chars().alias("content"),
            pl.lit("human").alias("origin"),
            pl.lit(None, pl.String).alias("author"),
            _actions().alias("context"),
            "line",
        ),
        COMPLETIONS,
    )
    return {TURNS.name: turns, PROMPTS.name: prompts, COMPLETIONS.name: completions}


def _about(good: pl.DataFrame) -> pl.Series:
    """Write the exercise's facts as JSON; missing ones are null."""
    acted = pl.struct(
        pl.col("acted").list.get(n, null_on_oob=True).alias(name) for n, name in enumerate(_STUDENT_ACTIONS)
    )
    return good.select(
        pl.struct(
            *(pl.col(theirs).alias(ours) for theirs, ours in _PHRASES.items()),
            pl.when(pl.col("acted").list.len() > 0).then(acted).alias("student_actions"),
            pl.col("grammarRules").alias("grammar_rules"),
            pl.col("picture").alias("image"),
        )
        .struct.json_encode()
        .alias("context")
    ).to_series()


def _actions() -> pl.Expr:
    """List the actions of the reply by name."""
    named = [
        pl.when(pl.col("replied").list.get(n)).then(pl.lit(name)) for n, name in enumerate(_TUTOR_ACTIONS)
    ]
    return pl.struct(pl.concat_list(named).list.drop_nulls().alias("actions")).struct.json_encode()
