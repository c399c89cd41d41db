"""A small store of problems with a right and a wrong answer each, for tests of builds that need no fit."""

import json

import polars as pl

from preceptor.schemas.licenses import read_license
from preceptor.schemas.recipe import Recipe
from preceptor.toolkit.ingest.batch import Context
from preceptor.toolkit.ingest.formats import FORMATS
from preceptor.toolkit.ingest.run import Origin, find_inputs, ingest
from preceptor.toolkit.privacy.pseudonyms import find_key_file, read_key
from preceptor.toolkit.privacy.published_keys import KEYED, find_stored_keys, make_dataset_key

TERMS = Origin(read_license("MIT"))


def load_problems(con, folder, n=40):
    """Ingest `n` problems, as source gsm; the texts of each are nearly those of the next."""
    lines = [
        {
            "question": f"Anna has {k} apples and Ben gives her {k} more of them. How many has she now?",
            "ground_truth": f"#### {2 * k}",
            "6b": {"is_correct": True, "solution": f"It is {2 * k}."},
            "175b": {"is_correct": False, "solution": f"I say {k}."},
        }
        for k in range(n)
    ]
    (folder / "p.jsonl").write_text("\n".join(map(json.dumps, lines)) + "\n")
    ingest(con, FORMATS["gsm8k"], find_inputs(FORMATS["gsm8k"], [folder / "p.jsonl"]), Context("gsm"), TERMS)


def recipe(**keys):
    """A recipe for these problems."""
    return Recipe.model_validate({"name": "x", "pairs": {"policy": "right-over-wrong"}, **keys})


def restore_keys(con, rows, name="x"):
    """Rows of a dataset's table with the store's keys in place of those of the dataset `name`."""
    key = make_dataset_key(read_key(find_key_file()), name)
    keys = " UNION ".join(
        [
            *(
                f"SELECT key FROM {table}"
                for table in ("completions", "prompts", "fits", "votes", "ratings", "outcomes")
            ),
            'SELECT "group" FROM prompts',
            "SELECT source || ':' || \"group\" FROM prompts",
        ]
    )
    for column in {*KEYED} & {*rows.columns}:
        known = find_stored_keys(
            con, rows[column].unique().to_list(), key, f"SELECT DISTINCT key FROM ({keys})"
        )
        rows = rows.with_columns(pl.col(column).replace(known))
    return rows
