"""Find oddities in signals before they are fused, and name their rows.

None of them stops a fit: the model is valid with ties only, one annotator, or groups that were never
compared. But readers of the result should know them.
"""

from collections.abc import Sequence

import numpy as np
import polars as pl
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from ....schemas.tables import SIGNALS, select_signals
from ...store.connection import Store, query
from ...store.where import match_sources

_VOTES = f"""
SELECT v.completion_a, v.completion_b, v.choice, v.annotator,
    v.source || ' ' || v.path || ':' || v.line AS place, v.source, v.path, v.line, v.key, c.prompt,
    coalesce(q.ref, q.key) AS name
FROM votes v JOIN completions c ON c.key = v.completion_a JOIN prompts q ON q.key = c.prompt
WHERE v.completion_a IN (SELECT key FROM completions WHERE {match_sources()})"""

# Questions that a campaign asks a second time are there to be answered twice: they are no oddity.
_BOTH_WAYS = f"""
WITH votes_here AS ({_VOTES} AND (v.source, v.line) NOT IN (
    SELECT (source, position) FROM questions WHERE purpose = 'repeat')
), decided AS (
    SELECT annotator, place, source, path, line, least(completion_a, completion_b) AS one,
        greatest(completion_a, completion_b) AS other,
        if(choice = 'a', completion_a, completion_b) AS better
    FROM votes_here WHERE choice <> 'tie' AND annotator IS NOT NULL
), torn AS (
    SELECT min(line) AS line, list({{'better': better, 'place': place}} ORDER BY source, path, line) AS said
    FROM decided GROUP BY annotator, one, other HAVING count(DISTINCT better) > 1
)
SELECT count(*), arg_min(said[1].place, (said[1].place, line)),
    arg_min(list_filter(said, lambda s: s.better <> said[1].better)[1].place, (said[1].place, line))
FROM torn"""


def find_oddities(con: Store, sources: Sequence[str]) -> list[str]:
    """Describe each oddity in the signals about `sources` (all if empty) in a sentence that names rows."""
    asked = {"sources": list(sources)}
    votes = query(con, f"SELECT * FROM ({_VOTES}) ORDER BY key", asked)
    return [
        *_both_ways(con, asked),
        *_ties(votes),
        *_one_annotator(votes),
        *_apart(votes),
        *_alone(con, asked),
    ]


def _both_ways(con: Store, asked: dict[str, list[str]]) -> list[str]:
    n, first, second = query(con, _BOTH_WAYS, asked).row(0)
    if not n:
        return []
    what = "1 pair was" if n == 1 else f"{n:,} pairs were"
    return [f"{what} judged both ways by one annotator, the first at {first} and {second}: both votes count"]


def _ties(votes: pl.DataFrame) -> list[str]:
    if votes.is_empty() or (votes["choice"] != "tie").any():
        return []
    return [f"all {votes.height:,} votes are ties: they tell how often people tie, not what is better"]


def _one_annotator(votes: pl.DataFrame) -> list[str]:
    people = votes["annotator"].drop_nulls()
    if people.n_unique() != 1 or len(people) < votes.height:
        return []
    return [f"all {votes.height:,} votes are by one annotator: reliability cannot be told from taste"]


def _apart(votes: pl.DataFrame) -> list[str]:
    """Find prompts whose voted completions fall into groups that no vote compares."""
    if votes.is_empty():
        return []
    ends = pl.concat([votes["completion_a"], votes["completion_b"]])
    names = ends.unique(maintain_order=True)
    numbers = ends.replace_strict(names, pl.Series(range(len(names)), dtype=pl.Int64)).to_numpy()
    a, b = np.split(numbers, 2)
    size = (len(names), len(names))
    _, group = connected_components(coo_array((np.ones(len(a)), (a, b)), shape=size), directed=False)
    parts = (
        votes.with_columns(pl.Series("group", group[a]))
        .group_by("prompt")
        .agg(pl.col("group").n_unique(), pl.col("name").first(), pl.col("key").min())
    )
    apart = parts.filter(pl.col("group") > 1).sort("key")
    if apart.is_empty():
        return []
    rest = ", ".join(signal.plural for signal in SIGNALS if not signal.compares)
    what = "1 prompt" if apart.height == 1 else f"{apart.height:,} prompts"
    return [
        f"in {what} votes compare groups of completions that nobody compared with each other, first in "
        f"'{apart['name'][0]}': between groups only {rest} and the prior speak"
    ]


def _alone(con: Store, asked: dict[str, list[str]]) -> list[str]:
    one, of = query(
        con,
        f"""SELECT count(*) FILTER (n = 1), count(*) FROM (
            SELECT prompt, count(*) AS n FROM completions WHERE prompt IN (
                SELECT prompt FROM completions WHERE key IN (SELECT completion FROM ({select_signals()}))
                    AND {match_sources()}
            ) GROUP BY prompt)""",
        asked,
    ).row(0)
    if not one:
        return []
    return [f"{one:,} of {of:,} prompts have one completion: it gets its quality, but no pair comes of it"]
