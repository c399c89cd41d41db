"""Make outcomes of learners with completions from study logs, by the recipe's rule, in SQL.

turns    failed events before the first success of a learner with a completion; where the log ends
         before it, all of them, and the outcome is censored
success  1 or 0: the first event that came at least `after_days` after the learner's last one with it

An item of the log is the id of a completion, or its row says which explanation was shown. Events of one
learner with one completion are taken in the order of their time, then of the log; those without a time come
last. Events that asked nothing (neither right nor wrong) do not count.
"""

import hashlib
import json
from dataclasses import dataclass
from datetime import UTC, datetime

import polars as pl

from ...schemas.errors import SourceError
from ...schemas.recipe import Recipe, ReviewOutcomes
from ...schemas.support.nearest import suggest
from ...schemas.tables import OUTCOMES, SOURCES
from ..store.connection import (
    Store,
    insert,
    insert_select,
    limit_memory,
    query,
    remove_source,
    run,
    transaction,
)

READER = "outcomes"

# Each learner's events with each completion, in order.
_EVENTS = """
events AS (
    SELECT r.learner, r.about AS completion, r.correct, r."at" AS time, r.path, r.line, r.n,
        row_number() OVER w AS nth, r."at" - lag(r."at") OVER w AS since
    FROM (SELECT r.*, c.key AS about FROM reviews r JOIN completions c ON c.ref = r.item
        WHERE c.source = $about AND r.completion IS NULL
        UNION ALL SELECT r.*, c.key FROM reviews r JOIN completions c ON c.key = r.completion
        WHERE c.source = $about) r
    WHERE r.source = $reviews AND r.correct IS NOT NULL
    WINDOW w AS (PARTITION BY r.learner, r.about ORDER BY r."at" NULLS LAST, r.path, r.line, r.n)
)"""
_COLUMNS = """$name AS source, completion, learner, '{measure}' AS measure, value, censored,
    decided.time AS "at", decided.n AS n, decided.path AS path, decided.line AS line"""
_RULES = {
    "turns": f"""
WITH {_EVENTS}, done AS (
    SELECT learner, completion, min(nth) FILTER (correct) AS success, max(nth) AS last,
        arg_min({{'time': time, 'path': path, 'line': line, 'n': n}}, (NOT correct, if(correct, nth, -nth)))
            AS decided
    FROM events GROUP BY learner, completion
)
SELECT {_COLUMNS.format(measure="turns")}
FROM (SELECT *, coalesce(success - 1, last)::DOUBLE AS value, success IS NULL AS censored FROM done)""",
    "success": f"""
WITH {_EVENTS}, done AS (
    SELECT learner, completion, arg_min({{'time': time, 'path': path, 'line': line, 'n': n}}, nth) AS decided,
        arg_min(correct, nth) AS correct
    FROM events WHERE since >= to_microseconds(($days * 86400 * 1000000)::BIGINT) GROUP BY learner, completion
)
SELECT {_COLUMNS.format(measure="success")}
FROM (SELECT *, correct::DOUBLE AS value, false AS censored FROM done)""",
}


@dataclass(frozen=True)
class Made:
    """Outcomes of one rule: source, number, number censored, and number of items that are no completions."""

    source: str
    outcomes: int
    censored: int
    unknown: int


def make_outcomes(con: Store, recipe: Recipe) -> list[Made]:
    """Make outcomes by every rule of the recipe, in one transaction.

    They replace what an earlier run made. Each rule's outcomes are a separate source, under the log's
    licence. Raises SourceError if the recipe has no rules, if a rule names no log or no completions, or if
    none of the log's items is a completion.
    """
    if not recipe.outcomes:
        raise SourceError(f"recipe '{recipe.name}' has no outcomes: say which reviews are about which source")
    with limit_memory(con), transaction(con):
        return [_make(con, rule) for rule in recipe.outcomes]


def _make(con: Store, rule: ReviewOutcomes) -> Made:
    log = query(con, "SELECT * FROM sources WHERE name = ?", [rule.reviews])
    unknown = _check(con, rule, log)
    interval = f"-after-{rule.after_days:g}-days" if rule.after_days else ""
    name = f"{rule.reviews}-{rule.measure}{interval}"
    given: dict[str, str | float] = {"name": name, "about": rule.about, "reviews": rule.reviews}
    given |= {"days": rule.after_days} if rule.after_days else {}
    rule_text = json.dumps(rule.model_dump(), sort_keys=True)
    sha256 = hashlib.sha256(f"{log['sha256'][0]}\n{rule_text}".encode()).hexdigest()
    taken = query(con, "SELECT reader FROM sources WHERE name = ?", [name])
    if taken.height and taken["reader"][0] != READER:
        raise SourceError(f"source '{name}' holds other input; ingest that under another --source")
    remove_source(con, name)
    added = insert_select(con, OUTCOMES, _RULES[rule.measure], given)
    if not added:
        raise SourceError(
            f"{rule.reviews}: no learner came back to a completion after {rule.after_days:g} days, "
            "as far as the times of the log say; choose a shorter after_days"
        )
    insert(
        con,
        SOURCES,
        log.drop("key").with_columns(
            name=pl.lit(name),
            kind=pl.lit("log"),
            reader=pl.lit(READER),
            sha256=pl.lit(sha256),
            rows=pl.lit(added),
            rejects=pl.lit(0),
            ingested_at=pl.lit(datetime.now(UTC)),
            notes=pl.lit(f"made from the reviews of {rule.reviews} by the rule {rule_text}"),
        ),
    )
    ((censored,),) = run(con, "SELECT count(*) FILTER (censored) FROM outcomes WHERE source = ?", [name])
    return Made(name, added, censored, unknown)


def _check(con: Store, rule: ReviewOutcomes, log: pl.DataFrame) -> int:
    """Count the log's items that are no completions. Raises SourceError if all are, or a source is
    missing.
    """
    logs = query(con, "SELECT DISTINCT source FROM reviews ORDER BY 1")["source"].to_list()
    if rule.reviews not in logs or log.is_empty():
        raise SourceError(
            f"reviews: '{rule.reviews}' holds no reviews; {suggest(rule.reviews, logs, 'there are', ' ')}"
        )
    abouts = query(
        con,
        """SELECT DISTINCT source FROM completions
        WHERE ref IS NOT NULL OR key IN (SELECT completion FROM reviews) ORDER BY 1""",
    )["source"]
    if rule.about not in abouts:
        raise SourceError(
            f"about: '{rule.about}' holds no completions; {suggest(rule.about, abouts, 'there are', ' ')}"
        )
    ((reviews, unknown, item),) = run(
        con,
        """SELECT count(*), count(*) FILTER (c.name IS NULL), any_value(r.item)
        FROM (SELECT item, coalesce(completion, item) AS name FROM reviews WHERE source = $reviews
            GROUP BY ALL) r
        LEFT JOIN (SELECT ref AS name FROM completions WHERE source = $about UNION
            SELECT key FROM completions WHERE source = $about) c ON c.name = r.name""",
        {"reviews": rule.reviews, "about": rule.about},
    )
    if reviews == unknown:
        raise SourceError(
            f"none of the {unknown:,} items of '{rule.reviews}', such as '{item}', is the id of a completion "
            f"of '{rule.about}'; say with --map item=COLUMN which column of the log names it"
        )
    return int(unknown)
