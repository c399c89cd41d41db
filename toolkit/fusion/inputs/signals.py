"""Read the signals of a store that a fit sees, and what it leaves out."""

import hashlib
from collections.abc import Mapping, Sequence

import polars as pl

from ....schemas.tables import SIGNALS, select_signals
from ...store.connection import Store, query
from ...store.where import check_names, match_sources
from ..likelihoods.registry import LIKELIHOODS
from ..observations import MODEL

WITHIN = " in "  # between a pseudonym and the source that numbered the annotator

_TWO = "SELECT prompt FROM completions WHERE key IN ({mine}) GROUP BY prompt HAVING count(*) > 1"


def read_signals(con: Store, sources: Sequence[str], unjudged: bool = False) -> dict[str, pl.DataFrame]:
    """Read the tables that `encode` takes: completions of prompts with any signal, annotators, signals.

    Annotators of sources that number their own alike are named with the source: 91ab… in week-1.
    Excluded annotators are left out. Of completions of `sources`, of all if empty; with `unjudged`, also
    those of prompts without a signal, if there are two to compare. Raises StoreError for a source without
    completions.
    """
    have = query(con, "SELECT DISTINCT source FROM completions ORDER BY 1")["source"]
    check_names("--source", sources, have, "source", "with completions")
    asked = {"sources": list(sources)}
    mine = f"SELECT key FROM completions WHERE {match_sources()}"
    signals = {
        signal.name: drop_absent(
            query(con, LIKELIHOODS[signal.name].read.format(mine=mine), asked),
            LIKELIHOODS[signal.name].optional,
        )
        for signal in SIGNALS
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
        f"SELECT {s.annotator} AS annotator, key, {'source' if s.compares else 'NULL'} AS source "
        f"FROM {s.name}"
        for s in SIGNALS
        if s.annotator
    )
    annotators = query(
        con,
        f"""SELECT a.key AS annotator, pseudonym, within, kind, known, min(j.source) AS campaign
        FROM annotators a JOIN ({judged}) j ON j.annotator = a.key GROUP BY ALL ORDER BY min(j.key)""",
    )
    signals |= leave_out_annotators(
        signals, query(con, "SELECT key FROM annotators WHERE excluded_at IS NOT NULL")["key"]
    )
    annotators = _name_writers(annotators, completions["author"])
    used = pl.concat(signals[s.name][s.annotator] for s in SIGNALS if s.annotator).drop_nulls().unique()
    return {
        "completions": completions,
        "annotators": _name_apart(annotators.filter(pl.col("annotator").is_in(used.implode()))),
        **signals,
    }


def drop_absent(rows: pl.DataFrame, optional: Sequence[str]) -> pl.DataFrame:
    """Drop those of the optional columns that are null in all rows, as if they had never been asked for."""
    return rows.drop(name for name in optional if rows[name].null_count() == rows.height)


def leave_out_annotators(
    signals: Mapping[str, pl.DataFrame], annotators: pl.Series
) -> dict[str, pl.DataFrame]:
    """Leave out the signals of annotators, by their keys; returns the types of signal that name any."""
    if annotators.is_empty():
        return {}
    return {
        s.name: signals[s.name].filter(~pl.col(s.annotator).is_in(annotators.implode()).fill_null(False))
        for s in SIGNALS
        if s.annotator
    }


def list_excluded(con: Store, sources: Sequence[str]) -> list[str]:
    """List the pseudonyms of excluded annotators who judged completions of `sources` (all if empty)."""
    judged = " UNION ALL ".join(
        f"SELECT {s.annotator} AS annotator, {s.completions[0]} AS completion FROM {s.name}"
        for s in SIGNALS
        if s.annotator
    )
    return query(
        con,
        f"""SELECT DISTINCT pseudonym FROM annotators a JOIN ({judged}) j ON j.annotator = a.key
        JOIN completions c ON c.key = j.completion
        WHERE excluded_at IS NOT NULL AND {match_sources("c.source")} ORDER BY 1""",
        {"sources": list(sources)},
    )["pseudonym"].to_list()


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


def _name_writers(annotators: pl.DataFrame, authors: pl.Series) -> pl.DataFrame:
    """Add the `author` that a model is, under which it also wrote; no column where none wrote."""
    named = authors.drop_nulls().unique(maintain_order=True).to_frame("author")
    models = annotators.filter(pl.col("kind") == MODEL).select("annotator", name=pl.col("pseudonym"))
    same = models.join(
        named, left_on=pl.col("name").str.to_lowercase(), right_on=pl.col("author").str.to_lowercase()
    ).unique("annotator", keep="first", maintain_order=True)
    if same.is_empty():
        return annotators
    return annotators.join(
        same.select("annotator", "author"), on="annotator", how="left", maintain_order="left"
    )


def _name_apart(annotators: pl.DataFrame) -> pl.DataFrame:
    """Annotators with their pseudonyms, and with the source that numbered them where two have the same."""
    same = pl.col("pseudonym").is_duplicated() & pl.col("within").is_not_null()
    name = pl.when(same).then(pl.format("{}" + WITHIN + "{}", "pseudonym", "within")).otherwise("pseudonym")
    return annotators.with_columns(name.alias("pseudonym")).drop("within")


_PEOPLE = ("annotator", "learner", "author")  # columns of `read_signals`


def hash_inputs(signals: dict[str, pl.DataFrame]) -> str:
    """Hash everything that a fit reads, row order included.

    People are numbered in the order of the rows, so that another key for their pseudonyms changes nothing.
    Which rows are of models is hashed where any are.
    """
    state = hashlib.sha256()
    models = signals["annotators"].filter(pl.col("kind") == MODEL)["annotator"]
    for name in sorted(signals.keys() - {"annotators"}):
        frame = signals[name]
        people = [_by_order(frame[column]) for column in _PEOPLE if column in frame.columns]
        state.update(f"{name}\n{frame.with_columns(people).write_csv()}".encode())
        if "annotator" in frame.columns and frame["annotator"].is_in(models.implode()).any():
            by_model = frame.select(pl.col("annotator").is_in(models.implode()).alias("by_model"))
            state.update(by_model.write_csv().encode())
            state.update(_list_own(frame, signals).encode())
    return state.hexdigest()


def _list_own(frame: pl.DataFrame, signals: dict[str, pl.DataFrame]) -> str:
    """List which rows are of a model about what it wrote itself; empty where none did."""
    if "author" not in signals["annotators"].columns:
        return ""
    wrote = signals["annotators"].select("annotator", "author")
    by = frame.select("annotator").join(wrote, on="annotator", how="left", maintain_order="left")["author"]
    of = signals["completions"].select("completion", of="author")
    columns = [name for name in ("completion", "completion_a", "completion_b") if name in frame.columns]
    own = {
        name: frame.select(completion=name).join(of, on="completion", how="left", maintain_order="left")["of"]
        == by
        for name in columns
    }
    return pl.DataFrame(own).write_csv()


def _by_order(people: pl.Series) -> pl.Series:
    names = people.drop_nulls().unique(maintain_order=True)
    return people.replace_strict(names, pl.Series(range(len(names)), dtype=pl.Int64), default=None)
