"""Read the signals of a store that a fit sees, and what it leaves out."""

import hashlib
from collections.abc import Sequence

import polars as pl

from ...schemas.tables import SIGNALS, select_signals
from ..store.connection import Store, query
from ..store.where import check_names, match_sources
from .likelihoods.registry import LIKELIHOODS

_TWO = "SELECT prompt FROM completions WHERE key IN ({mine}) GROUP BY prompt HAVING count(*) > 1"


def read_signals(con: Store, sources: Sequence[str], unjudged: bool = False) -> dict[str, pl.DataFrame]:
    """Read the tables that `encode` takes: completions of prompts with any signal, annotators, signals.

    A person who judged completions of several sources has a key of each, and is one annotator here.
    Of completions of `sources`, of all if empty; with `unjudged`, also those of prompts without a signal, if
    there are two to compare. Raises StoreError for a source without completions.
    """
    have = query(con, "SELECT DISTINCT source FROM completions ORDER BY 1")["source"]
    check_names("--source", sources, have, "source", "with completions")
    asked = {"sources": list(sources)}
    mine = f"SELECT key FROM completions WHERE {match_sources()}"
    signals = {
        signal.name: query(con, LIKELIHOODS[signal.name].read.format(mine=mine), asked) for signal in SIGNALS
    }
    pairs = f"\n            UNION {_TWO.format(mine=mine)}" if unjudged else ""
    completions = query(
        con,
        f"""SELECT key AS completion, prompt, author FROM completions
        WHERE key IN ({mine}) AND prompt IN
            (SELECT c.prompt FROM completions c JOIN ({select_signals()}) s ON s.completion = c.key{pairs})
        ORDER BY key""",
        asked,
    )
    judged = " UNION ALL ".join(
        f"SELECT {s.annotator} AS annotator, key FROM {s.name}" for s in SIGNALS if s.annotator
    )
    annotators = query(
        con,
        f"""SELECT a.key AS annotator, pseudonym FROM annotators a JOIN ({judged}) j ON j.annotator = a.key
        GROUP BY ALL ORDER BY min(j.key)""",
    )
    annotators = annotators.with_columns(one=pl.col("annotator").first().over("pseudonym"))
    if annotators["pseudonym"].n_unique() < annotators.height:
        signals |= {
            s.name: _name_once(signals[s.name], s.annotator, annotators) for s in SIGNALS if s.annotator
        }
    used = pl.concat(signals[s.name][s.annotator] for s in SIGNALS if s.annotator).drop_nulls().unique()
    return {
        "completions": completions,
        "annotators": annotators.filter(pl.col("annotator").is_in(used.implode())).drop("one"),
        **signals,
    }


def note_left_out(con: Store, sources: Sequence[str]) -> list[str]:
    """Note signals that compare a completion of these sources with one of another, which is not fitted."""
    notes = []
    for signal in (s for s in SIGNALS if sources and len(s.completions) > 1):
        here = [f"{side} IN (SELECT key FROM mine)" for side in signal.completions]
        sides = ", ".join(signal.completions)
        rows = query(
            con,
            f"""WITH mine AS (SELECT key FROM completions WHERE {match_sources()}),
            parted AS (FROM {signal.name} WHERE ({" OR ".join(here)}) AND NOT ({" AND ".join(here)}))
            SELECT count(DISTINCT parted.key) AS n, list(DISTINCT c.source ORDER BY c.source) AS others
            FROM parted JOIN completions c ON c.key IN ({sides}) WHERE c.key NOT IN (SELECT key FROM mine)""",
            {"sources": list(sources)},
        )
        for n, others in rows.filter(pl.col("n") > 0).rows():
            more = " ".join(f"--source {name}" for name in others)
            notes.append(
                f"{n:,} {signal.plural} left out: one side is a completion of another source; add {more}"
            )
    return notes


def _name_once(rows: pl.DataFrame, column: str, annotators: pl.DataFrame) -> pl.DataFrame:
    """Rows with the first key of each person, `one`, in place of all their keys."""
    keys = annotators.select(pl.col("annotator").alias(column), "one")
    joined = rows.join(keys, on=column, how="left", maintain_order="left")
    return joined.with_columns(pl.col("one").alias(column)).drop("one")


_PEOPLE = ("annotator", "learner", "author")  # columns of `read_signals`


def hash_inputs(signals: dict[str, pl.DataFrame]) -> str:
    """Hash everything that a fit reads, row order included.

    People are numbered in the order of the rows, so that another key for their pseudonyms changes nothing.
    """
    state = hashlib.sha256()
    for name in sorted(signals.keys() - {"annotators"}):
        frame = signals[name]
        people = [_by_order(frame[column]) for column in _PEOPLE if column in frame.columns]
        state.update(f"{name}\n{frame.with_columns(people).write_csv()}".encode())
    return state.hexdigest()


def _by_order(people: pl.Series) -> pl.Series:
    names = people.drop_nulls().unique(maintain_order=True)
    return people.replace_strict(names, pl.Series(range(len(names)), dtype=pl.Int64), default=None)
