"""SPOCK: dialogues that GPT-4 made up, the tutor's turns structured, for biology and for physics.

    {"id": "conversation_104", "conversations": [
      {"from": "student", "value": "Please help me with this question: …"},
      {"from": "initial_state", "value": {"Thoughts of Tutorbot": "…", "Evaluation of Student Response":
       "g", "Action Based on Evaluation": "12", "Step Number": "1", "Step State": "q",
       "Tutorbot Response": "Let's begin with …"}}, …]}

Sonkar et al., CLASS (Findings of EMNLP 2023); keys and codes are in files/tutor_turn.py. A file is
one dialogue, a JSON list of them or JSON Lines; a tutor's value may be JSON, or a Python dictionary, as
text. A row is a dialogue; `line` is its line in JSON Lines, else its number. A text that is not JSON at
all is one row.

Turns have the text that the student sees; the tutor's steps before (deciding states, Python) are kept as
empty turns of the system, in their state. A state has the codes, and `raw`, the published object, if
that has more or other content. A completion is the text that a SPOCK model is trained to write: the
structured turn as canonical JSON, without thoughts; the messages before it are those that were seen.
Instructions before the first question are in that turn's state: a recipe gives its own. Dialogues
about one question, however it is numbered, are one group.
"""

from collections.abc import Iterator, Sequence
from pathlib import Path

import polars as pl

from ....schemas.errors import SourceError
from ...store.connection import open_scratch, query, run
from ..batch import Batch, Context, divide_named
from ..files.numbered_lines import Input, OnBytes, read_lines
from ..files.tutor_turn import check_json_sql, convert_literal_sql, read_state_sql
from ..formats.format import JSON, JSONL
from .turns import make_tables, note_empty_turns

AUTHOR = "gpt-4"
_PATTERNS = (*JSON, *JSONL)
_AT_ONCE = 32 << 20  # letters of a batch
_KEY = '"conversations"'
_NEITHER = "not valid JSON, and no JSON Lines of dialogues"

# Speaker -> role; the student never sees turns without a response.
_ROLES = {
    "user": ("student", "human", "user"),
    "assistant": (
        "initial_state",
        "no_python_state",
        "received_python_state",
        "gpt",
        "assistant",
        "tutor",
        "tutorbot",
    ),
    "system": ("deciding_state", "use_python_state", "python_output", "system"),
}
_ROLE = " ".join(f"WHEN lower(speaker) IN {names} THEN '{role}'" for role, names in _ROLES.items())

# A file is one JSON value, or JSON Lines if one of its lines is a dialogue.
_ROWS = f"""
WITH whole AS (
    SELECT path, string_agg("raw", chr(10) ORDER BY line) AS text, bool_or(damaged) AS damaged,
        coalesce(bool_or(contains("raw", '{_KEY}') AND json_valid("raw")), false) AND count(*) > 1 AS by_line
    FROM lines WHERE trim("raw", e' \\t\\r\\n') <> '' GROUP BY path
), typed AS (
    SELECT *, CASE WHEN NOT by_line AND json_valid(text) THEN json_type(text) END AS kind FROM whole
), elements AS (
    SELECT path, unnest(json_extract(text, '$[*]')::JSON[]) AS element,
        generate_subscripts(json_extract(text, '$[*]')::JSON[], 1) AS line
    FROM typed WHERE kind = 'ARRAY' AND {check_json_sql("text")}
), rows AS (
    SELECT path, line, element::VARCHAR AS "raw", false AS damaged FROM elements
    UNION ALL SELECT path, 1, text, damaged FROM typed
        WHERE NOT by_line AND NOT (coalesce(kind, '') = 'ARRAY' AND {check_json_sql("text")})
    UNION ALL SELECT path, line, "raw", l.damaged FROM lines l JOIN typed USING (path)
        WHERE by_line AND trim("raw", e' \\t\\r\\n') <> ''
), parsed AS (
    SELECT *, CASE WHEN NOT damaged AND {check_json_sql('"raw"')} THEN "raw"::JSON END AS json FROM rows
)
SELECT row_number() OVER (ORDER BY f.place, line) AS n, path, line, "raw", damaged, json,
    json_type(json) AS kind, json_type(json, '$.conversations') AS talk,
    json_merge_patch(json, '{{"conversations": null}}')::VARCHAR AS rest
FROM parsed JOIN files f USING (path) ORDER BY 1"""

_QUESTION = "Student: "  # separates the instructions from the question in the biology dialogues

_STATE = """'from', speaker, 'evaluation', s.evaluation, 'action', s.action, 'state', s.state,
    part, s.part, 'thoughts', s.thoughts"""

_WRONG = """CASE WHEN json_type(turn) <> 'OBJECT' THEN 'expected an object of ''from'' and ''value'''
    WHEN role IS NULL THEN '''from'' is ''' || coalesce(speaker[:40], '')
        || ''', expected student, a state of the tutor, python_output, human or gpt'
    WHEN role = 'user' AND kind IS DISTINCT FROM 'VARCHAR' THEN 'what the student says is not text'
    WHEN role = 'assistant' AND NOT s.valid THEN 'the tutor''s value is not a JSON object'
    WHEN role = 'assistant' AND s.response IS NULL
        THEN 'the tutor''s turn has no response (''Tutorbot'' or ''Tutorbot Response'')' END"""

_TURNS = f"""
WITH said AS (
    SELECT n, unnest(json_extract(json, '$.conversations[*]')) AS turn,
        generate_subscripts(json_extract(json, '$.conversations[*]'), 1) - 1 AS position
    FROM rows WHERE talk = 'ARRAY' AND kind = 'OBJECT'
), spoken AS (
    SELECT n, position, turn, turn->>'$.from' AS speaker, turn->'$.value' AS value,
        turn->>'$.value' AS text, json_type(turn, '$.value') AS kind FROM said
), told AS (
    SELECT *, CASE {_ROLE} END AS role FROM spoken
), written AS (
    SELECT *, CASE WHEN role <> 'assistant' OR kind NOT IN ('OBJECT', 'VARCHAR') THEN NULL
        WHEN {check_json_sql("text")} OR NOT starts_with(ltrim(text, e' \\t\\r\\n'), '{{') THEN text
        ELSE {convert_literal_sql("text")} END AS object,
        role = 'user' AND contains(text, 'Instructions to Act as a Tutorbot')
            AND contains(text, '{_QUESTION}') AS instructed
    FROM told
), read AS (
    SELECT *, {read_state_sql("object")} AS s FROM written
), judged AS (
    SELECT *, role = 'assistant' AND (s.repaired OR text IS DISTINCT FROM object) AS repaired,
        CASE s.variant WHEN 'physics' THEN 'step' ELSE 'subproblem' END AS part FROM read
)
SELECT n, position, role, s.action AS act, s.turn, {_WRONG} AS wrong, repaired,
    role = 'assistant' AND (s.evaluation IS NULL OR s.action IS NULL OR s.state IS NULL) AS uncoded,
    CASE role WHEN 'assistant' THEN s.response WHEN 'user' THEN CASE WHEN instructed
        THEN trim(substr(text, strpos(text, '{_QUESTION}') + {len(_QUESTION)}), e'" \\r\\n') ELSE text END
        ELSE '' END AS content,
    to_json({{'evaluation': s.evaluation, 'action': s.action, 'state': s.state,
        'complete': s.complete, 'variant': s.variant}})::VARCHAR AS codes,
    CASE WHEN instructed THEN json_object('instructions', left(text, strpos(text, '{_QUESTION}') - 1))
        WHEN role = 'system' THEN json_object('from', speaker, 'value', value)
        WHEN repaired THEN json_object({_STATE}, 'raw', value)
        WHEN role = 'assistant' THEN json_object({_STATE}) END::VARCHAR AS state
FROM judged ORDER BY n, position"""


def find_spock(path: Path) -> list[Path] | None:
    """Find the files of a folder that are named conversation… or contain conversations.

    Raises SourceError if there are none.
    """
    if not path.is_dir():
        return None
    there = sorted({p for pattern in _PATTERNS for p in path.rglob(pattern) if p.is_file()})
    found = [p for p in there if p.name.startswith("conversation") or _holds_dialogues(p)]
    if not found:
        raise SourceError(
            f"{path}: holds no JSON with {_KEY}, as SPOCK's dialogues have; name the files themselves"
        )
    return found


def _holds_dialogues(path: Path) -> bool:
    """True if a file's first lines have a conversation, or it needs an --encoding to be read."""
    try:
        first = next(read_lines(Input(path, path.name)), None)
    except SourceError:
        return True
    return first is not None and bool(first["raw"].str.contains(_KEY, literal=True).any())


def read_spock(
    files: Sequence[Input], context: Context, on_bytes: OnBytes = lambda _: None
) -> Iterator[Batch]:
    """Read the turns, prompts and completions; small files are read together. Raises SourceError if a file
    cannot be read.
    """
    waiting: list[pl.DataFrame] = []
    size = 0
    for file in files:
        for block in read_lines(file, on_bytes=on_bytes):
            waiting.append(block.with_columns(path=pl.lit(file.name)))
            size += int(block["raw"].str.len_bytes().sum())
        if size > _AT_ONCE:
            yield _batch(pl.concat(waiting), context)
            waiting, size = [], 0
    if waiting:
        yield _batch(pl.concat(waiting), context)


def _batch(lines: pl.DataFrame, context: Context) -> Batch:
    files = lines.select("path").unique(maintain_order=True).with_row_index("place")
    with open_scratch() as con:
        con.register("lines", lines.to_arrow())
        con.register("files", files.to_arrow())
        run(con, f"CREATE TEMP TABLE rows AS {_ROWS}")
        rows = query(con, "SELECT * REPLACE (json::VARCHAR AS json) FROM rows ORDER BY n")
        turns = query(con, _TURNS)
    wrong = turns.filter(pl.col("wrong").is_not_null()).group_by("n", maintain_order=True).first()
    reasons = wrong.select("n", pl.format("conversations[{}]: {}", "position", "wrong").alias("reason"))
    good, rejects = divide_named(
        rows.join(reasons, on="n", how="left", maintain_order="left"),
        (pl.col("damaged"), "not valid UTF-8"),
        (pl.col("json").is_null() & pl.col("raw").str.contains("\n", literal=True), _NEITHER),
        (pl.col("json").is_null(), "not valid JSON"),
        (pl.col("kind") != "OBJECT", "expected a dialogue, an object of 'id' and 'conversations'"),
        (pl.col("talk").fill_null("") != "ARRAY", "'conversations' is missing or not a list"),
        (pl.col("reason").is_not_null(), pl.col("reason")),
        (~pl.col("n").is_in(turns["n"].implode()), "'conversations' is empty"),
    )
    named = good.with_columns(dialogue=pl.format("{}:{}", "path", "line"))
    kept = turns.join(named.select("n", "dialogue"), on="n", maintain_order="left")
    return Batch(rows.height, good.height, _tables(named, kept, context), rejects, _notes(kept))


def _tables(rows: pl.DataFrame, turns: pl.DataFrame, context: Context) -> dict[str, pl.DataFrame]:
    asked = turns.filter(pl.col("role") == "user").group_by("dialogue", maintain_order=True).first()
    groups = asked.select("dialogue", _question().alias("group"))
    dialogues = rows.join(groups, on="dialogue", how="left", maintain_order="left").select(
        "dialogue",
        pl.lit(None, pl.String).alias("opening"),
        pl.col("group").replace("", None).fill_null(pl.col("dialogue")),
        pl.col("rest").alias("context"),
        "path",
        "line",
    )
    written = turns.filter(pl.col("role") == "assistant").select(
        "dialogue",
        pl.col("position").alias("first"),
        pl.col("turn").alias("content"),
        pl.col("codes").alias("context"),
    )
    said = turns.select("dialogue", "position", "role", "content", "act", "state")
    return make_tables(dialogues, said, context, origin="model", author=AUTHOR, written=written)


def _question() -> pl.Expr:
    """The question a dialogue is about, without how it is asked for and numbered."""
    text = pl.col("content").str.to_lowercase().str.replace_all(r"\s+", " ")
    asked = text.str.replace(r"^\W*(?:please )?help me with this question\b", "")
    numbered = r"^\W*(?:q(?:uestion)?(?: ?\d+)?\b)?[\W\d]*"
    return asked.str.replace(numbered, "").str.strip_chars('" ')


def _notes(turns: pl.DataFrame) -> tuple[str, ...]:
    found = (
        (int(turns["repaired"].sum()), "have a key or code of another form; 'raw' in their state has it"),
        (int(turns["uncoded"].sum()), "lack a code that can be recognised; it is null in their state"),
    )
    odd = tuple(f"{count:,} of the tutor's turns {what}" for count, what in found if count)
    return (*odd, *note_empty_turns(turns, "all files"))
