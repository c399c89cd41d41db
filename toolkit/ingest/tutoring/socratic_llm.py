r"""socratic-llm: outputs of tutor models rated for the Socratic method, and the prompts they were given.

    [{"prompt": "Student: \"Professor, I have a problem, …", "output": " What is 3 x 4?", "score": 0.9,
      "raw_evaluation": "{…}", "evaluation_error": null,
      "evaluation": {"questions": "yes", "on_topic": 5.0, "helpful": 3.0, "reveal_answer": "no"}}, …]
    [{"prompt": "…", "chosen_eval": {"output": "…", …}, "rejected_eval": …, "all_evaluations": [{…}, …]}, …]
    ["<problem>\nDefine a function …", …]

Bonino et al. (2024). Each element of a list shows its kind: an output that was evaluated, by people or by a
model (the file does not name it: no annotator); an example for DPO, whose outputs a model judged; or a
prompt. A prompt is one user message, with the text that the models got; the spaces around an output are
removed. A row is an element; `line` is its number.
"""

from collections.abc import Iterator
from pathlib import Path

import polars as pl

from ....schemas.errors import SourceError
from ....schemas.tables import ANNOTATORS, COMPLETIONS, PROMPTS, RATINGS, RUBRICS
from ...store.connection import add_key, open_scratch, parse_json_rows, query
from ..batch import Batch, Context, collect_rejects, divide
from ..files.json_lists import read_elements
from ..files.numbered_lines import Input, OnBytes, read_lines
from .socratic_llm_scores import EvaluatedOutputs, list_criteria, read_evaluations
from .turns import TASK

_NAMES = ("*.json", "*.json.gz", "*.json.bz2")
_JUDGE = "judge"

# The group of a problem: MathDial's problem, the one to debug, or how a lesson of TutorChat
# opens. Prompts are remains of Python lists, in which quotes may be escaped and line ends spelt out.
_GROUP = r"""SELECT trim(regexp_replace(regexp_replace(coalesce(
    nullif(regexp_extract(prompt, '(?s)here is the text: (.*?)Here is my solution', 1), ''),
    nullif(regexp_extract(prompt, '(?s)<problem>(.*?)</problem>', 1), ''),
    nullif(regexp_extract(prompt, '(?s)^(.*?\\nassistant: .*?)\\nuser: ', 1), ''),
    prompt), '\\([''"])', '\1', 'g'), '(\\n|\s)+', ' ', 'g')) AS "group" FROM rows ORDER BY line"""


def find_socratic_llm(path: Path) -> list[Path] | None:
    """Find the JSON lists of a folder. Raises SourceError if there are none."""
    if not path.is_dir():
        return None
    found = sorted({file for name in _NAMES for file in path.rglob(name) if file.is_file()})
    lists = [file for file in found if _opens_list(file)]
    if not lists:
        raise SourceError(f"{path}: holds no *.json with a list of prompts or of evaluated outputs")
    return lists


def _opens_list(path: Path) -> bool:
    for block in read_lines(Input(path, path.name)):
        text = block["raw"].str.strip_chars()
        if (text != "").any():
            return str(text.filter(text != "")[0]).startswith("[")
    return False


def read_socratic_llm(file: Input, context: Context, on_bytes: OnBytes = lambda _: None) -> Iterator[Batch]:
    """Read the prompts, and the completions and ratings of evaluated outputs, of one list. Raises SourceError
    if the file cannot be read.
    """
    elements = read_elements(file, "prompts or evaluated outputs", on_bytes)
    texts = elements.filter(pl.col("raw").str.starts_with('"'))
    objects, bad = parse_json_rows(
        elements.filter(~pl.col("raw").str.starts_with('"')), {"prompt": "VARCHAR", "all_evaluations": "JSON"}
    )
    bad = bad.with_columns(pl.lit("expected a prompt's text, or an object with a 'prompt'").alias("reason"))
    judged = read_evaluations(objects)
    rows = pl.concat([_prompts(texts), objects.join(judged.faults, on="line", how="left")], how="diagonal")
    good, wrong = divide(
        rows.sort("line"),
        (pl.col("mistyped").is_not_null(), pl.col("mistyped")),
        (pl.col("prompt").fill_null("").str.strip_chars() == "", "the prompt is missing or empty"),
        (pl.col("fault").is_not_null(), pl.col("fault")),
    )
    judged = judged.select(good)
    tables = _tables(good, judged, file.name, context)
    notes = [*_repeated(good.join(texts, on="line", how="semi")), *judged.list_notes()]
    yield Batch(
        elements.height,
        good.height,
        tables,
        collect_rejects([bad, wrong], file.name),
        tuple(f"{file.name}: {note}" for note in notes),
    )


def _prompts(texts: pl.DataFrame) -> pl.DataFrame:
    with open_scratch() as con:
        con.register("texts", texts.to_arrow())
        return query(con, """SELECT line, "raw", "raw"::JSON->>'$' AS prompt FROM texts""")


def _repeated(prompts: pl.DataFrame) -> Iterator[str]:
    again = prompts.height - prompts["prompt"].n_unique()
    if again:
        yield f"prompts that repeat an earlier one, stored once: {again} of {prompts.height}"


def _tables(
    good: pl.DataFrame, judged: EvaluatedOutputs, path: str, context: Context
) -> dict[str, pl.DataFrame]:
    here = (pl.lit(context.source).alias("source"), pl.lit(path).alias("path"))
    with open_scratch() as con:
        con.register("rows", good.select("line", "prompt").to_arrow())
        groups = query(con, _GROUP)["group"]
    message = pl.struct(pl.lit("user").alias("role"), pl.col("prompt").alias("content"))
    prompts = add_key(
        good.select(
            *here,
            pl.format("{}:{}", pl.lit(path), "line").alias("ref"),
            pl.lit(TASK).alias("task"),
            pl.lit(context.language).alias("language"),
            pl.concat_list(message).alias("messages"),
            groups,
            "line",
        ),
        PROMPTS,
    )
    asked = prompts.select("line", pl.col("key").alias("prompt"))
    completions = add_key(
        judged.outputs.join(asked, on="line", how="left", maintain_order="left").select(
            *here,
            pl.format("{}:{}-{}", pl.lit(path), "line", "place").alias("ref"),
            "prompt",
            "content",
            pl.lit("model").alias("origin"),
            pl.lit(None, pl.String).alias("author"),
            "context",
            "line",
        ),
        COMPLETIONS,
    )
    judges = add_key(
        judged.ratings.filter("by_model")
        .head(1)
        .select("line")
        .select(
            pl.lit(_JUDGE).alias("pseudonym"),
            pl.lit(None, pl.String).alias("within"),
            pl.lit("model").alias("kind"),
        ),
        ANNOTATORS,
    )
    keys = judged.outputs.select("line", "place", completions["key"].alias("completion"))
    ratings = judged.ratings.join(keys, on=["line", "place"], how="left", maintain_order="left")
    who = pl.lit(judges["key"].first(), pl.String)
    return {
        PROMPTS.name: prompts,
        COMPLETIONS.name: completions,
        ANNOTATORS.name: judges,
        RATINGS.name: ratings.with_columns(
            *here,
            pl.when("by_model").then(who).alias("annotator"),
            pl.int_range(pl.len(), dtype=pl.Int64).over("line").alias("n"),
        ),
        RUBRICS.name: list_criteria(judged.ratings["criterion"]).with_columns(here[0]),
    }
