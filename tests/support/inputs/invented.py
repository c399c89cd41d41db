"""A store with something to ask about, for the tests of annotation; every text in it is invented."""

import itertools
import json
from dataclasses import dataclass, field
from datetime import UTC, datetime

import numpy as np
import polars as pl

from preceptor.schemas.licenses import read_license
from preceptor.schemas.tables import EFFECTIVENESS, FITS, PREFERENCES
from preceptor.toolkit.ingest.batch import Context
from preceptor.toolkit.ingest.formats import FORMATS
from preceptor.toolkit.ingest.run import Origin, find_inputs, ingest
from preceptor.toolkit.store.connection import add_key, count, insert, query


@dataclass(frozen=True)
class Criterion:
    name: str
    levels: tuple = ("no", "somewhat", "yes")
    wording: str = "Is it so?"
    higher_is_better: bool = True
    weight: float = 1.0
    scores: tuple = (0, 0.5, 1)


@dataclass(frozen=True)
class Rubric:
    """Stands for schemas.rubric.Rubric where only the store's side is looked at."""

    name: str = "preference"
    title: str = "Which answer is better?"
    kind: str = "pairwise"
    criteria: tuple = ()
    tie: bool = True
    digest: str = "d" * 20
    guidelines: str = field(default="Look closely.")


RATING = Rubric("clarity", "How clear?", "rating", (Criterion("brief"), Criterion("clear")), digest="e" * 20)


def prompts_file(path, prompts=30, completions=4, task="mnemonic"):
    rows = [
        {
            "id": f"p{i}",
            "task": task,
            "prompt": f"How do I remember word {i}?",
            "group": f"g{i}",
            "completions": [
                {"id": f"p{i}-{j}", "content": f"Think of picture {j} beside word {i}."}
                for j in range(completions)
            ],
        }
        for i in range(prompts)
    ]
    path.write_text("\n".join(map(json.dumps, rows)) + "\n")
    return path


def fill(con, folder, source="prompts", **how):
    """Prompts with completions of different texts under CC-BY-4.0."""
    path = prompts_file(folder / f"{source}.jsonl", **how)
    files = find_inputs(FORMATS["prompts"], [path])
    ingest(con, FORMATS["prompts"], files, Context(source), Origin(read_license("CC-BY-4.0")))


def with_fit(con, p, gain, votes=3, converged=True, sd=np.ones):
    """A fit that says p(a better) and gain of each pair, functions of how many pairs there are."""
    rows = query(con, "SELECT key, prompt FROM completions ORDER BY prompt, key").rows()
    pairs = [
        (prompt, a, b)
        for prompt, keys in itertools.groupby(rows, key=lambda row: row[1])
        for (a, _), (b, _) in itertools.combinations(list(keys), 2)
    ]
    fit = pl.DataFrame(
        {
            "config": ["{}"],
            "inputs": ["i"],
            "method": ["hmc"],
            "seed": [0],
            "converged": [converged],
            "diagnostics": ["{}"],
            "findings": ['{"parameters": {}, "annotators": []}'],
            "versions": [json.dumps(count(con, FITS))],
            "fitted_at": [datetime.now(UTC)],
        }
    )
    fit = add_key(fit, FITS)
    name = pl.lit(fit["key"][0]).alias("fit")
    insert(con, FITS, fit)
    n = len(pairs)
    frame = pl.DataFrame(pairs, schema=["prompt", "completion_a", "completion_b"], orient="row")
    insert(
        con,
        PREFERENCES,
        frame.with_columns(
            name,
            p=pl.Series(p(n)),
            p_expressed=pl.Series(p(n)),
            p_observed=pl.lit(0.5),
            sd=pl.lit(1.0),
            information_gain=pl.Series(gain(n)),
        ),
    )
    zeros = {
        c: pl.lit(0.0) for c in ("mean", "low", "high", "expressed_mean", "observed_mean", "observed_sd")
    }
    insert(
        con,
        EFFECTIVENESS,
        pl.DataFrame(rows, schema=["completion", "prompt"], orient="row").with_columns(
            name,
            sd=pl.lit(1.0),
            expressed_sd=pl.Series(sd(len(rows))),
            n_votes=pl.lit(votes),
            n_ratings=pl.lit(0),
            n_outcomes=pl.lit(0),
            **zeros,
        ),
    )
    return fit["key"][0]
