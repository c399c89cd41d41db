"""Choose the questions of a campaign: table `questions`.

information  pairs whose next vote has the largest information gain (preferences.information_gain)
uncertain    pairs whose p is nearest to 0.5; of a rating rubric both mean the largest posterior sd
coverage     pairs whose completions have the fewest votes, over as many prompts as there are
random       any

Each further pair of the same prompt counts a fifth less than the one before (for coverage, an open
question counts as a vote), so that a batch covers many prompts if gains are nearly equal. A share of the
questions is golden, to check annotators: some are repeated with the other side first, and some are of pairs
whose answer is known.
"""

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import numpy as np
import polars as pl

from ...schemas.errors import AnnotationError
from ...schemas.rubric import Rubric
from ...schemas.support.nearest import suggest
from ...schemas.tables import QUESTIONS
from ..store.connection import Store, insert, query, run, transaction
from ..store.temporary import make
from ..store.where import EVERYWHERE, Where, check_where
from .campaigns import begin, check_same_rubric, list_campaigns
from .sql.questions import (
    SELECT_ASKED_ABOUT,
    SELECT_GOLDEN,
    SELECT_TEXTS,
    SELECT_UNHEARD,
    make_candidates_sql,
)
from .sql.steps import ASKED_ABOUT, GOLDEN, TEXTS, UNHEARD

BY_FIT = ("information", "uncertain")
SELECTS = (*BY_FIT, "coverage", "random")
NEW = 200  # questions of a new campaign
Frame = pl.DataFrame


@dataclass(frozen=True)
class Golden:
    """Shares of a campaign's questions that check the annotators (0.05 is 5 %)."""

    known: float = 0.05
    repeat: float = 0.05


@dataclass(frozen=True)
class Selection:
    """Total number of questions in a campaign, and how missing ones are chosen."""

    n: int | None = None
    """Default: 200 for a new campaign, else the present number."""
    by: str | None = None
    """One of SELECTS; default: `find_default_select`."""
    seed: int = 0
    golden: Golden = Golden()
    where: Where = EVERYWHERE


@dataclass(frozen=True)
class Chosen:
    """Questions added to a campaign, by purpose, and its total now."""

    added: dict[str, int]
    total: int
    by: str
    fit: str | None  # key of the fit that chose
    notes: tuple[str, ...]  # why there are fewer than asked for


def find_default_select(con: Store) -> str:
    """Find the default of --select: information if a fit has any for some pair, else coverage.

    On real judgements, for pairs that are asked about, information needs 0.75 of the votes that random
    order needs, coverage 0.95; for other pairs the two are equal (docs/measurements/fusion.md).
    """
    fit = _newest_fit(con)
    return "information" if fit and _informed(con, fit["key"]) else "coverage"


def extend_campaign(con: Store, campaign: str, rubric: Rubric, selection: Selection) -> Chosen:
    """Begin a campaign, or add questions to it, as `selection` says, in one transaction.

    Raises AnnotationError as `choose_questions` does.
    """
    there = campaign in list_campaigns(con)
    if selection.n is None and there:
        check_same_rubric(con, campaign, rubric)
        ((total,),) = run(con, "SELECT count(*) FROM questions WHERE source = ?", [campaign])
        return Chosen({}, int(total), "", None, ())
    n, by = selection.n or NEW, selection.by or find_default_select(con)
    return choose_questions(con, campaign, rubric, n, by, selection.seed, selection.golden, selection.where)


def choose_questions(
    con: Store,
    campaign: str,
    rubric: Rubric,
    n: int,
    chosen_by: str,
    seed: int = 0,
    golden: Golden = Golden(),
    where: Where = EVERYWHERE,
) -> Chosen:
    """Add questions to a campaign until it has `n`, in one transaction; existing ones are kept.

    Raises AnnotationError if `chosen_by` needs a fit and there is none, nothing matches `where`, or the
    campaign was begun with another rubric.
    """
    with transaction(con):
        return add_questions(con, campaign, rubric, n, chosen_by, seed, golden, where)


def add_questions(
    con: Store, campaign: str, rubric: Rubric, n: int, chosen_by: str, seed: int, golden: Golden, where: Where
) -> Chosen:
    """Add questions within the caller's transaction; arguments and AnnotationError as `choose_questions`."""
    if chosen_by not in SELECTS:
        raise AnnotationError(f"--select {chosen_by}: {suggest(chosen_by, SELECTS, 'known')}")
    fit = _fit_for(con, chosen_by, rubric)
    _look_at(con, where, fit if chosen_by in BY_FIT else None)
    begin(con, campaign, rubric, _language(con))
    have = dict(run(con, "SELECT purpose, count(*) FROM questions WHERE source = ? GROUP BY 1", [campaign]))
    missing = n - sum(have.values())
    if missing <= 0:
        return Chosen({}, sum(have.values()), chosen_by, None, ())
    given = {"campaign": campaign, "seed": str(seed)}
    pairs = rubric.kind == "pairwise"
    wanted = {
        "known": min(missing, max(0, _round(golden.known * n) - have.get("known", 0))) if pairs else 0,
        "repeat": max(0, _round(golden.repeat * n) - have.get("repeat", 0)),
    }
    known = _known(con, fit, given | {"missing": wanted["known"]})
    repeats = min(wanted["repeat"], missing - known.height)
    asks = _asks(con, chosen_by, pairs, fit, given | {"missing": missing - known.height - repeats})
    rng = np.random.default_rng([seed, sum(have.values())])
    fresh = _with_sides(pl.concat([asks, known], how="diagonal"), rng, pairs)
    again = _again(con, campaign, fresh, repeats, rng)
    rows = _in_order(pl.concat([fresh, again], how="diagonal"), rng, _last_position(con, campaign))
    if rows.is_empty() and not have:
        raise AnnotationError(_nothing(con, chosen_by, pairs, where))
    insert(
        con,
        QUESTIONS,
        rows.with_columns(source=pl.lit(campaign), rubric=pl.lit(rubric.digest), chosen_by=pl.lit(chosen_by)),
    )
    added = dict(rows.group_by("purpose").len().rows())
    notes = _notes(n, sum(have.values()) + rows.height, wanted, added, chosen_by)
    return Chosen(added, sum(have.values()) + rows.height, chosen_by, fit["key"] if fit else None, notes)


def mark_asked(con: Store, campaign: str, keys: pl.Series) -> int:
    """Mark questions as asked now, unless they are marked; return how many were unmarked."""
    with transaction(con):
        ((marked,),) = run(
            con,
            """UPDATE questions SET asked_at = $now WHERE source = $campaign AND asked_at IS NULL
            AND list_contains($keys::VARCHAR[], key)""",
            {"now": datetime.now(UTC), "campaign": campaign, "keys": keys.to_list()},
        )
    return int(marked)


def read_questions(con: Store, campaign: str) -> Frame:
    """Read a campaign's questions with the texts shown, in the order of asking.

    Columns: those of `questions`; messages; content_a, content_b (null if one is rated alone); of
    the prompt source_of, task and language; p (P(a is preferred to b) by the newest fit, or null) and
    fit (its key).
    """
    return query(
        con,
        """WITH fit AS (SELECT key FROM fits ORDER BY fitted_at DESC, key LIMIT 1)
        SELECT q.*, m.messages, a.content AS content_a, b.content AS content_b, m.source AS source_of,
            m.task, m.language, coalesce(f.p_expressed, 1 - r.p_expressed) AS p, (FROM fit) AS fit
        FROM questions q JOIN prompts m ON m.key = q.prompt JOIN completions a ON a.key = q.completion_a
        LEFT JOIN completions b ON b.key = q.completion_b
        LEFT JOIN preferences f ON f.fit = (FROM fit)
            AND f.completion_a = q.completion_a AND f.completion_b = q.completion_b
        LEFT JOIN preferences r ON r.fit = (FROM fit)
            AND r.completion_a = q.completion_b AND r.completion_b = q.completion_a
        WHERE q.source = ? ORDER BY q.position""",
        [campaign],
    )


def _newest_fit(con: Store) -> dict[str, Any] | None:
    rows = query(
        con, "SELECT key, converged, fitted_at FROM fits ORDER BY fitted_at DESC, key LIMIT 1"
    ).to_dicts()
    return rows[0] if rows else None


def _informed(con: Store, fit: str) -> bool:
    """True if some pair has positive information gain (false for fits without votes)."""
    return bool(run(con, "SELECT 1 FROM preferences WHERE fit = ? AND information_gain > 0 LIMIT 1", [fit]))


def _fit_for(con: Store, chosen_by: str, rubric: Rubric) -> dict[str, Any] | None:
    """The newest fit; raise AnnotationError if the way of choosing needs one and there is none."""
    fit = _newest_fit(con)
    if chosen_by not in BY_FIT:
        return fit
    if fit is None:
        raise AnnotationError(
            f"--select {chosen_by} needs a fit, and there is none: run preceptor fuse first, "
            "or use --select coverage"
        )
    if chosen_by == "information" and rubric.kind == "pairwise" and not _informed(con, fit["key"]):
        raise AnnotationError(
            f"--select information: fit {fit['key'][:8]} knows of no pair that would gain by one more vote "
            "(without votes it cannot tell): use --select coverage or uncertain"
        )
    return fit


def _look_at(con: Store, where: Where, fit: dict[str, Any] | None) -> None:
    """Make the temporary tables `asked_about`, `texts` and `unheard` (see sql/steps.py)."""
    check_where(con, where)
    make(con, ASKED_ABOUT, SELECT_ASKED_ABOUT, where.parameters)
    make(con, TEXTS, SELECT_TEXTS)
    make(con, UNHEARD, SELECT_UNHEARD, {"since": fit["fitted_at"] if fit else None})


def _language(con: Store) -> str:
    """The language of the prompts, und if there are several."""
    have = query(con, "SELECT DISTINCT language FROM prompts WHERE key IN (FROM asked_about)")["language"]
    return have[0] if len(have) == 1 else "und"


def _round(share: float) -> int:
    return int(share + 0.5)


def _known(con: Store, fit: dict[str, Any] | None, given: dict[str, Any]) -> Frame:
    """Pairs whose answer is known; also make the temporary table `golden`, which keeps them out of asks."""
    converged = fit["key"] if fit and fit["converged"] else None
    make(con, GOLDEN, SELECT_GOLDEN, given | {"fit": converged})
    return query(con, "SELECT *, 'known' AS purpose FROM golden")


def _asks(
    con: Store, chosen_by: str, pairs: bool, fit: dict[str, Any] | None, given: dict[str, Any]
) -> Frame:
    sql = make_candidates_sql(chosen_by, pairs)
    known: dict[str, Any] = {"fit": fit["key"]} if fit else {}
    used = {name: value for name, value in (given | known).items() if f"${name}" in sql}
    return query(con, sql, used).with_columns(pl.lit("ask").alias("purpose"))


def _with_sides(rows: Frame, rng: np.random.Generator, pairs: bool) -> Frame:
    """Randomise which side is shown first, balanced between a and b."""
    if not pairs:
        return rows.with_columns(pl.lit(None, pl.String).alias("shown_first"))
    sides = rng.permutation(np.resize(rng.permutation(["a", "b"]), rows.height))
    return rows.with_columns(pl.Series("shown_first", sides.tolist(), pl.String))


def _again(con: Store, campaign: str, fresh: Frame, n: int, rng: np.random.Generator) -> Frame:
    """Questions to be asked again, the other side first: a random sample of those that were asked."""
    columns = ["prompt", "completion_a", "completion_b", "shown_first"]
    earlier = query(
        con,
        """SELECT prompt, completion_a, completion_b, shown_first FROM questions q
        WHERE source = $campaign AND purpose = 'ask' AND NOT EXISTS (FROM questions r
            WHERE r.source = $campaign AND r.purpose = 'repeat' AND r.completion_a = q.completion_a
            AND r.completion_b IS NOT DISTINCT FROM q.completion_b) ORDER BY position""",
        {"campaign": campaign},
    )
    every = pl.concat([earlier, fresh.filter(pl.col("purpose") == "ask").select(columns)])
    picked = np.sort(rng.choice(every.height, size=min(n, every.height), replace=False))
    other = pl.col("shown_first").replace({"a": "b", "b": "a"})
    return every[picked].with_columns(other, pl.lit("repeat").alias("purpose"))


def _in_order(rows: Frame, rng: np.random.Generator, last: int) -> Frame:
    """Positions after the `last`: asks in their order, golden ones anywhere among them, repeats late.

    Late is after the middle, and after the question itself.
    """
    asks, known, repeat = ((rows["purpose"] == name).to_numpy() for name in ("ask", "known", "repeat"))
    place = np.zeros(rows.height)
    place[asks] = (np.arange(asks.sum()) + 0.5) / max(1, asks.sum())
    lots = rng.random(rows.height)
    place[known] = lots[known]
    pair = ["completion_a", "completion_b"]
    first = rows.filter(asks).select(*pair, pl.Series("first", place[asks]))
    after = rows.filter(repeat).join(first, on=pair, how="left", nulls_equal=True, maintain_order="left")
    begin = after["first"].fill_null(0.0).clip(lower_bound=0.5).to_numpy()
    place[repeat] = begin + (1 - begin) * lots[repeat] + 1e-9
    ordered = rows.with_columns(pl.Series("place", place)).sort("place", maintain_order=True)
    return ordered.drop("place").with_row_index("position", offset=last + 1)


def _last_position(con: Store, campaign: str) -> int:
    ((last,),) = run(con, "SELECT coalesce(max(position), 0) FROM questions WHERE source = ?", [campaign])
    return int(last)


def _nothing(con: Store, chosen_by: str, pairs: bool, where: Where) -> str:
    """Error message for an empty selection."""
    what = "pair of completions with two different published texts" if pairs else "completion with a text"
    of = [f"{option} {value}" for option, value, _ in where.name_options()]
    elsewhere = f"; {chosen_by} knows only what the newest fit does, --select coverage takes any"
    ((prompts,),) = run(con, "SELECT count(*) FROM asked_about")
    return (
        f"nothing to ask: no {what} among {prompts:,} prompts{' of ' + ' '.join(of) if of else ''}"
        f"{elsewhere if chosen_by in BY_FIT else '; ingest prompts with completions'}"
    )


def _notes(
    n: int, total: int, wanted: dict[str, int], added: dict[str, int], chosen_by: str
) -> tuple[str, ...]:
    """Notes: which questions are fewer than requested, and why."""
    notes = []
    if total < n:
        more = "; --select coverage also takes what the fit does not know" if chosen_by in BY_FIT else ""
        notes.append(f"{total:,} questions, not {n:,}: there is nothing else to ask{more}")
    if wanted["known"] > (there := added.get("known", 0)):
        notes.append(
            f"{there or 'no'} questions with a known answer, not {wanted['known']}: they are pairs that a "
            "converged fit of many votes is sure of, or that their source marks right and wrong"
        )
    return tuple(notes)
