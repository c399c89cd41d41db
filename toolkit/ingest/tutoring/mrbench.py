"""MRBench: replies of human and model tutors to a student's mistake, labelled along eight dimensions.

    [{"conversation_id": "930", "conversation_history": "Tutor: How many?␠↵␠Student: Nine.",
      "Ground_Truth_Solution": "…", "anno_llm_responses": {"Gemini": {"response": "Count again.",
        "annotation": {"Mistake_Identification": "Yes", "Tutor_Tone": "Neutral", …}}}}, …]

Maurya et al. (NAACL 2025), and the BEA 2025 shared task on the same conversations. The replies are
under anno_llm_responses (V1, V2) or tutor_responses (V3); a reply without annotation has no ratings.
␠ is a no-break space: runs of it around a line end are layout. Every reply answers the student, so
a last turn marked Tutor is taken as the student's in the prompt, and noted; turns keep the mark.

Ids are not unique, and conversations share problems: those with an id, a solution or a history in
common, but for case and white space, or linked by others, are one group. A row is an element of a list;
`line` is its number.
"""

from collections.abc import Iterator, Sequence
from pathlib import Path

import polars as pl

from ....schemas.errors import SourceError
from ....schemas.tables import COMPLETIONS, PROMPTS, RATINGS, RUBRICS, TURNS
from ...store.connection import add_key, open_scratch, parse_json_rows, query
from ..batch import Batch, Context, collect_rejects, divide
from ..files.json_lists import read_elements
from ..files.numbered_lines import Input, OnBytes
from .mrbench_labels import RUBRIC, extract_replies, find_wrong_replies
from .turns import ASSISTANT, TASK, USER, collect_histories, note_empty_turns

_NAMES = ("*.json", "*.json.gz", "*.json.bz2")
_SHAPE = {
    "conversation_id": "VARCHAR",
    "conversation_history": "VARCHAR",
    "Ground_Truth_Solution": "VARCHAR",
    "anno_llm_responses": "JSON",
    "tutor_responses": "JSON",
}
_LINE_END = "\u00a0*\n\u00a0*"
_SPEAKER = r"(?:^|\n)\s*(Tutor|Student)\s*:"
# Unicode keeps these two code points for a program's own use: no text has them.
_TURN, _SAID = "\ufdd0", "\ufdd1"


def find_mrbench(path: Path) -> list[Path] | None:
    """Find the lists of a folder that are named after MRBench. Raises SourceError if there are none."""
    if not path.is_dir():
        return None
    named = {found for name in _NAMES for found in path.rglob(name) if "mrbench" in found.name.lower()}
    if not named:
        raise SourceError(f"{path}: holds no MRBench*.json; name the files themselves")
    return sorted(named)


def read_mrbench(
    files: Sequence[Input], context: Context, on_bytes: OnBytes = lambda _: None
) -> Iterator[Batch]:
    """Read the turns, prompts, completions and ratings of each file; groups run across the files. Raises
    SourceError if a file cannot be read.
    """
    parts = []
    for file in files:
        rows, bad = parse_json_rows(read_elements(file, "MRBench's conversations", on_bytes), _SHAPE)
        good, wrong = _checked(rows)
        parts.append((file.name, good, [bad, wrong], rows.height + bad.height))
    groups = _groups(pl.concat(good for _, good, _, _ in parts))
    start = 0
    for name, good, rejects, read in parts:
        here = good.with_columns(groups[start : start + good.height])
        start += good.height
        tables = _tables(here, name, context)
        yield Batch(
            read,
            good.height,
            tables,
            collect_rejects(rejects, name),
            (*_notes(here, name), *note_empty_turns(tables[TURNS.name], name)),
        )


def _checked(rows: pl.DataFrame) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Rows with their `turns` and `replies` that can be taken, and line, raw, reason of the others."""
    text = pl.col("conversation_history").str.replace_all(_LINE_END, "\n")
    turns = text.str.replace_all(_SPEAKER, f"{_TURN}$1{_SAID}").str.split(_TURN)
    rows = rows.with_columns(
        pl.when(turns.list.first().str.strip_chars() == "")
        .then(turns.list.slice(1))
        .otherwise(turns)
        .alias("turns"),
        pl.coalesce(pl.col("anno_llm_responses", "tutor_responses").cast(pl.String)).alias("replies"),
    )
    rows = rows.with_columns(find_wrong_replies(rows))

    def says(turn: pl.Expr, who: str = "Tutor|Student") -> pl.Expr:
        return turn.str.contains(rf"^(?:{who}){_SAID}\s*\S")

    return divide(
        rows,
        (pl.col("mistyped").is_not_null(), pl.col("mistyped")),
        *(
            (pl.col(name).fill_null("").str.strip_chars() == "", f"'{name}' is missing or empty")
            for name in ("conversation_id", "conversation_history")
        ),
        (
            pl.col("turns").list.eval(~pl.element().str.contains(_SAID)).list.any(),
            "'conversation_history' does not begin with who speaks, 'Tutor: ' or 'Student: '",
        ),
        (
            ~pl.col("turns").list.eval(says(pl.element(), "Student")).list.any(),
            "the student says nothing in 'conversation_history'",
        ),
        (~says(pl.col("turns").list.last()), "the last turn of 'conversation_history' is empty"),
        (pl.col("wrong").is_not_null(), pl.col("wrong")),
    )


def _groups(rows: pl.DataFrame) -> pl.Series:
    """The group of each row: rows that share an id, a solution or a history, directly or by others.

    Each pass hands the smallest row number on along every link, until none changes.
    """
    solution = pl.col("Ground_Truth_Solution").str.strip_chars()
    known = (solution != "") & (solution.str.to_lowercase() != "not available")
    rows = rows.select(
        pl.int_range(pl.len(), dtype=pl.Int64).alias("row"),
        pl.col("conversation_id").alias("id"),
        pl.when(known).then(solution).alias("solution"),
        pl.col("conversation_history").str.strip_chars().alias("history"),
    ).with_columns(pl.col("row").alias("whole"))
    links = ("id", "solution", "history")
    same = pl.col(links).str.replace_all(r"[\s\p{Z}]+", " ").str.strip_chars().str.to_lowercase()
    names, rows = rows.select("id", "solution"), rows.with_columns(same)
    while True:
        nearest = (
            pl.when(pl.col(link).is_null()).then("whole").otherwise(pl.col("whole").min().over(link))
            for link in links
        )
        wider = rows.with_columns(pl.min_horizontal(*nearest).alias("whole"))
        if wider["whole"].equals(rows["whole"]):
            break
        rows = wider
    # Named after its content, so that its part in another file has the same name.
    name = pl.coalesce(pl.col("solution").min(), pl.col("id").min()).over("whole")
    return rows.select("whole").hstack(names).select(name.alias("group"))["group"]


def _tables(good: pl.DataFrame, path: str, context: Context) -> dict[str, pl.DataFrame]:
    here = (pl.lit(context.source).alias("source"), pl.lit(path).alias("path"))
    good = good.with_columns(pl.format("{}:{}", pl.lit(path), "line").alias("dialogue"), _marked_tutor())
    turns = _turns(good)
    last = pl.col("position") == pl.col("position").max().over("dialogue")
    said = turns.with_columns(pl.when(last).then(pl.lit(USER)).otherwise("role").alias("role"))
    opened = good.select("dialogue", pl.lit(None, pl.String).alias("opening"), "line")
    prompts = add_key(
        good.select(
            *here,
            pl.col("dialogue").alias("ref"),
            pl.lit(TASK).alias("task"),
            pl.lit(context.language).alias("language"),
            collect_histories(opened, said).alias("messages"),
            "group",
            _about(good),
            "line",
        ),
        PROMPTS,
    )
    replies, labels = extract_replies(good)
    asked = good.select("line", prompts["key"].alias("prompt"))
    human = pl.col("tutor").str.to_lowercase().is_in(["expert", "novice"])
    completions = add_key(
        replies.join(asked, on="line", how="left", maintain_order="left").select(
            *here,
            pl.format("{}:{}-{}", pl.lit(path), "line", "tutor").alias("ref"),
            "prompt",
            pl.col("response").str.strip_chars().alias("content"),
            pl.when(human).then(pl.lit("human")).otherwise(pl.lit("model")).alias("origin"),
            pl.col("tutor").alias("author"),
            "context",
            "line",
        ),
        COMPLETIONS,
    )
    keys = replies.select("line", "tutor", completions["key"].alias("completion"))
    ratings = labels.join(keys, on=["line", "tutor"], how="left", maintain_order="left").with_columns(
        *here, (pl.int_range(pl.len(), dtype=pl.Int64).over("line")).alias("n")
    )
    scales = ratings.select("source", "criterion", "levels").unique(maintain_order=True)
    rubrics = scales.join(RUBRIC, on="criterion", how="left", maintain_order="left").with_columns(
        pl.col("higher_is_better").fill_null(True), pl.lit(1.0).alias("weight")
    )
    return {
        TURNS.name: turns.with_columns(*here),
        PROMPTS.name: prompts,
        COMPLETIONS.name: completions,
        RATINGS.name: ratings,
        RUBRICS.name: rubrics,
    }


def _marked_tutor() -> pl.Expr:
    last = pl.col("turns").list.last()
    return last.str.starts_with("Tutor").alias("marked_tutor")


def _turns(good: pl.DataFrame) -> pl.DataFrame:
    speaks = pl.col("turn").str.starts_with("Tutor")
    said = pl.col("turn").str.splitn(_SAID, 2).struct.field("field_1")
    return (
        good.select("dialogue", "line", pl.col("turns").alias("turn"))
        .explode("turn")
        .select(
            "dialogue",
            "line",
            pl.int_range(pl.len(), dtype=pl.Int64).over("dialogue").alias("position"),
            pl.when(speaks).then(pl.lit(ASSISTANT)).otherwise(pl.lit(USER)).alias("role"),
            said.str.strip_chars().alias("content"),
        )
    )


def _about(good: pl.DataFrame) -> pl.Series:
    """Write the row's other facts about its conversation as JSON."""
    with open_scratch() as con:
        con.register("rows", good.select("line", "raw", "marked_tutor").to_arrow())
        return query(
            con,
            """SELECT json_merge_patch("raw", '{"conversation_history": null, "anno_llm_responses": null,
                "tutor_responses": null}', if(marked_tutor, '{"last_turn_marked": "Tutor"}', '{}'))::VARCHAR
                AS context FROM rows ORDER BY line""",
        )["context"]


def _notes(good: pl.DataFrame, path: str) -> tuple[str, ...]:
    lines = good.filter(_marked_tutor())["line"]
    if lines.is_empty():
        return ()
    return (
        f"{path}: last turns marked Tutor that the replies answer, taken as the student's in prompts: "
        f"{len(lines)}, the first in row {lines[0]}",
    )
