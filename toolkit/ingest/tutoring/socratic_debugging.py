"""Socratic Debugging Benchmark: tutors lead students to their bug, with alternatives to each turn.

    <problem>                     and likewise bug_code, bug_desc, bug_fixes, unit_tests, stu_desc
    Write a function `substr_len` …
    </problem>
    <dialogue>
    User: My code does not stop, can you help?
    Assistant: Sure. What is the role of the variable `start`?
        <alt>Sure. What does your code do, line by line?
    </dialogue>

Al-Hossami et al. (SIGCSE 2024). Not XML: code contains < and &. A section ends at its last closing tag
before the next one opens. Code between lines <code> and </code> belongs to the turn above, also if
alternatives are in between; it is fenced as Markdown. A tutor first sees problem and code; the rest is
context of the prompt. Files are named problem_bug_name_kind.txt: the problem is the group.
A row is a file, which is one dialogue.
"""

import re
from collections.abc import Iterator, Sequence
from pathlib import Path

import polars as pl

from ....schemas.errors import SourceError
from ....schemas.tables import COMPLETIONS, PROMPTS, TURNS
from ...store.connection import add_key, drop_nulls
from ..batch import Batch, Context, divide_named
from ..files.numbered_lines import Input, OnBytes, read_lines
from .turns import ASSISTANT, USER, make_tables, note_empty_turns

_SECTIONS = ("problem", "bug_code", "bug_desc", "bug_fixes", "unit_tests", "stu_desc", "dialogue")
_ABOUT = ("bug_desc", "bug_fixes", "unit_tests", "stu_desc")
_NAME = re.compile(r"^\d+_\d+_.*\.txt$")
_SPEAKERS = {
    "User": USER,
    "Student": USER,
    "Assistant": ASSISTANT,
    "Instructor": ASSISTANT,
    "Tutor": ASSISTANT,
}
_USUAL = ("User", "Assistant")
_ALTERNATIVE = r"^\s*<alt>"
_FENCE = "```"


def find_socratic_debugging(path: Path) -> list[Path] | None:
    """Find the dialogues of a folder, by their names. Raises SourceError if there are none."""
    if not path.is_dir():
        return None
    found = sorted(file for file in path.rglob("*.txt") if _NAME.match(file.name))
    if not found:
        raise SourceError(f"{path}: holds no dialogues named like 0_5_fibonacci_socratic_dialogue.txt")
    return found


def read_socratic_debugging(
    files: Sequence[Input], context: Context, on_bytes: OnBytes = lambda _: None
) -> Iterator[Batch]:
    """Read the turns, prompts, tutors' turns and their alternatives of all files. Raises SourceError if a
    file cannot be read.
    """
    lines = mark_sections(read_files(files, on_bytes))
    spoken = mark_turns(lines)
    rows = _rows(files, lines, spoken)
    good, bad = divide_named(
        rows,
        (pl.col("damaged"), "not valid UTF-8"),
        (pl.col("opened") == 0, "no line <dialogue>; expected a file of the benchmark"),
        (pl.col("opened") > 1, "several lines <dialogue>; expected one dialogue a file"),
        (pl.col("turns") == 0, "the dialogue holds no turn 'User: …' or 'Assistant: …'"),
        (pl.col("before") > 0, "the dialogue does not begin with 'User: ' or 'Assistant: '"),
    )
    taken = good.select("path")
    turns, others = _turns(spoken.join(taken, on="path", how="semi", maintain_order="left"))
    tables = _tables(good, turns, others, context)
    notes = _notes(lines.join(taken, on="path", how="semi"), turns)
    notes = (*notes, *note_empty_turns(turns, "all files"))
    yield Batch(rows.height, good.height, tables, bad, notes)


def read_files(files: Sequence[Input], on_bytes: OnBytes = lambda _: None) -> pl.DataFrame:
    """Read every line: path, line, raw, damaged. Raises SourceError if a file cannot be read."""
    blocks = [
        block.with_columns(pl.lit(file.name).alias("path"))
        for file in files
        for block in read_lines(file, on_bytes=on_bytes)
    ]
    empty = pl.DataFrame(
        schema={"line": pl.Int64, "raw": pl.String, "damaged": pl.Boolean, "path": pl.String}
    )
    return pl.concat([empty, *blocks])


def mark_sections(lines: pl.DataFrame) -> pl.DataFrame:
    """Add `opens` and `closes` (a section's name on its tags) and `section` (on the lines inside)."""
    names = "|".join(_SECTIONS)
    tagged = lines.with_columns(
        pl.col("raw").str.extract(rf"^\s*<({names})>\s*$").alias("opens"),
        pl.col("raw").str.extract(rf"^\s*</({names})>\s*$").alias("closes"),
    ).with_columns(pl.col("opens").forward_fill().over("path").alias("within"))
    part = (pl.col("path"), pl.col("opens").is_not_null().cum_sum().over("path"))
    last = pl.when(pl.col("closes") == pl.col("within")).then("line").max().over(*part)
    inside = (
        pl.col("opens").is_null() & pl.col("closes").is_null() & (last.is_null() | (pl.col("line") < last))
    )
    return tagged.with_columns(pl.when(inside).then("within").alias("section")).drop("within")


def mark_turns(lines: pl.DataFrame) -> pl.DataFrame:
    """Select the dialogues' lines that are not blank, and blank ones in code, and number their turns.

    Adds speaker (on a turn's first line), alternative (true on an alternative's first line), code (true
    inside a block of code), turn (from 1; 0 before the first) and part (of a turn: 0, alternatives from 1).
    """
    raw = pl.col("raw")
    said = lines.filter(pl.col("section") == "dialogue").with_columns(
        raw.str.extract(rf"^({'|'.join(_SPEAKERS)}):").alias("speaker"),
        raw.str.contains(_ALTERNATIVE).alias("alternative"),
        raw.str.contains(r"^\s*<code>\s*$").alias("starts"),
        raw.str.contains(r"^\s*</code>\s*$").alias("ends"),
    )
    first = pl.col("speaker").is_not_null()
    change = pl.when("starts").then(True).when(first | pl.col("alternative")).then(False)
    after = pl.when(pl.col("ends").shift(1).over("path")).then(False)
    code = pl.coalesce(change, after).forward_fill().over("path").fill_null(False)
    alternatives = pl.col("alternative").cum_sum().over("path", "turn").cast(pl.Int64)
    part = pl.when(first | pl.col("starts")).then(0).when("alternative").then(alternatives)
    return (
        said.with_columns(code.alias("code"), first.cum_sum().over("path").cast(pl.Int64).alias("turn"))
        .with_columns(part.forward_fill().over("path").fill_null(0).alias("part"))
        .filter((raw.str.strip_chars() != "") | pl.col("code"))
    )


def _rows(files: Sequence[Input], lines: pl.DataFrame, spoken: pl.DataFrame) -> pl.DataFrame:
    """Make one row per file: its sections as texts, and its dialogue."""
    text = {
        name: pl.col("raw").filter(pl.col("section") == name).str.join("\n").str.strip_chars("\n\r \t")
        for name in _SECTIONS[:-1]
    }
    whole = (
        lines.group_by("path")
        .agg(
            pl.col("raw").str.join("\n"),
            pl.col("damaged").any(),
            (pl.col("opens") == "dialogue").sum().alias("opened"),
            pl.coalesce(
                pl.col("line").filter(pl.col("damaged")).first(),
                pl.col("line").filter(pl.col("opens") == "dialogue").first(),
            ).alias("line"),
            **text,
        )
        .with_columns(pl.col(name).replace("", None) for name in text)
    )
    talk = spoken.group_by("path").agg(
        pl.col("turn").max().alias("turns"), (pl.col("turn") == 0).sum().alias("before")
    )
    return (
        pl.DataFrame({"path": [file.name for file in files]}, schema={"path": pl.String})
        .join(whole, on="path", how="left", maintain_order="left")
        .join(talk, on="path", how="left", maintain_order="left")
        .with_columns(
            pl.coalesce("line", pl.lit(1)),
            pl.col("raw").fill_null(""),
            pl.col("damaged").fill_null(False),
            pl.col("opened", "turns", "before").fill_null(0),
        )
    )


def _turns(spoken: pl.DataFrame) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Make the turns and their alternatives: dialogue, position, n, content, line."""
    raw = pl.col("raw").str.strip_chars_end()
    text = (
        pl.when(pl.col("speaker").is_not_null())
        .then(raw.str.replace(r"^\w+:\s*", ""))
        .when("alternative")
        .then(raw.str.replace(_ALTERNATIVE, "").str.strip_chars())
        .when("starts")
        .then(pl.lit(_FENCE))
        .when("ends", "code")
        .then(pl.lit(_FENCE))
        .when("code")
        .then("raw")
        .otherwise(raw)
    )
    parts = (
        spoken.with_columns(text.alias("text"))
        .group_by(
            pl.col("path").alias("dialogue"),
            (pl.col("turn") - 1).alias("position"),
            pl.col("part").alias("n"),
            maintain_order=True,
        )
        .agg(
            pl.col("text").str.join("\n").str.strip_chars("\n").alias("content"),
            pl.col("speaker").first(),
            pl.col("line").first(),
            pl.col("code").any(),
        )
    )
    main, others = parts.filter(pl.col("n") == 0), parts.filter(pl.col("n") > 0)
    role = pl.col("speaker").replace_strict(_SPEAKERS, return_dtype=pl.String)
    main = main.with_columns(role.alias("role"), pl.lit(None, pl.String).alias("act"))
    return main, others.drop("speaker", "code")


def _tables(
    good: pl.DataFrame, turns: pl.DataFrame, others: pl.DataFrame, context: Context
) -> dict[str, pl.DataFrame]:
    code = pl.format(_FENCE + "\n{}\n" + _FENCE, "bug_code")
    number = pl.col("path").str.extract(r"(?:^|/)(\d+)_[^/]*$")
    about = good.select(pl.struct(_ABOUT).struct.json_encode().alias("context")).to_series()
    opening = pl.concat_str(["problem", code], separator="\n\n", ignore_nulls=True).replace("", None)
    dialogues = good.select(
        pl.col("path").alias("dialogue"),
        opening.alias("opening"),
        pl.coalesce(number, "problem", "path").alias("group"),
        drop_nulls(about),
        "path",
        pl.int_range(pl.len(), dtype=pl.Int64).alias("line"),  # the files' order; rows get their own below
    )
    said = turns.select(
        "dialogue", "position", "role", "content", "act", pl.lit(None, pl.String).alias("state")
    )
    tables = make_tables(dialogues, said, context)
    at = pl.format("{}-{}", "dialogue", "position").alias("ref")
    places = turns.select(at, "line", "dialogue", "position")
    prompts, answers = (
        tables[name].drop("line").join(places, on="ref", how="left", maintain_order="left")
        for name in (PROMPTS.name, COMPLETIONS.name)
    )
    shown = pl.col("content").str.contains(_FENCE, literal=True)
    marked = pl.when(shown).then(pl.lit('{"code":true}')).alias("context")
    more = _alternatives(others, answers, context)
    left = others.join(more, on=["dialogue", "position"], how="anti")
    kept = ["source", "ref", "prompt", "content", "origin", "author", "context", "path", "line"]
    completions = pl.concat([answers.with_columns(marked).select(kept), more.select(kept)])
    return {
        TURNS.name: _with_state(tables[TURNS.name], turns, left),
        PROMPTS.name: prompts.drop("dialogue", "position"),
        COMPLETIONS.name: add_key(completions, COMPLETIONS),
    }


def _alternatives(others: pl.DataFrame, answers: pl.DataFrame, context: Context) -> pl.DataFrame:
    """Select the alternatives to tutors' turns that answer the user."""
    answered = answers.select("prompt", "origin", "author", "path", "dialogue", "position")
    where = pl.format("{}-{}-{}", "dialogue", "position", "n")
    return others.join(
        answered, on=["dialogue", "position"], how="inner", maintain_order="left"
    ).with_columns(
        pl.lit(context.source).alias("source"),
        where.alias("ref"),
        pl.struct(pl.col("n").alias("alternative")).struct.json_encode().alias("context"),
    )


def _with_state(stored: pl.DataFrame, turns: pl.DataFrame, left: pl.DataFrame) -> pl.DataFrame:
    """Turns with their own line; alternatives that answer no prompt, and an unusual speaker, as state."""
    at = ["dialogue", "position"]
    unusual = pl.when(~pl.col("speaker").is_in(_USUAL)).then("speaker").alias("speaker")
    extra = turns.select(*at, "line", unusual).join(
        left.sort(*at, "n").group_by(at, maintain_order=True).agg(pl.col("content").alias("alternatives")),
        on=at,
        how="left",
        maintain_order="left",
    )
    state = extra.select(pl.struct("speaker", "alternatives").struct.json_encode().alias("state")).to_series()
    own = extra.select(*at, "line").with_columns(drop_nulls(state))
    return stored.drop("line", "state").join(own, on=at, how="left", maintain_order="left")


def _notes(lines: pl.DataFrame, turns: pl.DataFrame) -> tuple[str, ...]:
    """Describe oddities of the files that were read."""
    found = []
    by_tag = count_tags(lines).group_by("tag", maintain_order=True)
    for name, opened, closed in by_tag.agg("opened", "closed").rows():
        pairs = list(zip(opened, closed, strict=True))
        found += [
            (sum(o == 0 for o, _ in pairs), f"files without <{name}>"),
            (
                sum(0 < o != c for o, c in pairs),
                f"files that do not open and close <{name}> as often: it was taken up to its last end",
            ),
        ]
    under = turns.filter((pl.col("role") == ASSISTANT) & pl.col("code")).height
    unusual = turns.filter(~pl.col("speaker").is_in(_USUAL)).height
    found += [
        (
            under,
            "tutors' turns with code, most likely the student's next one: "
            'those completions have {"code": true} as context',
        ),
        (unusual, "turns of another speaker than User or Assistant, named in the turn's state"),
    ]
    return tuple(f"{n} {what}" for n, what in found if n)


def count_tags(lines: pl.DataFrame) -> pl.DataFrame:
    """Count how often each file opens and closes each section: path, tag, opened, closed."""
    counts = [
        lines.group_by("path", maintain_order=True).agg(
            pl.lit(name).alias("tag"),
            (pl.col("opens") == name).sum().cast(pl.Int64).alias("opened"),
            (pl.col("closes") == name).sum().cast(pl.Int64).alias("closed"),
        )
        for name in _SECTIONS
    ]
    return pl.concat(counts)
