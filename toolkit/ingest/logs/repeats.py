"""Merge problems that a log repeats once per skill, with the same answer, into events with sets of skills.

    1,24,41,31        one problem of skills 24 and 41: the second row only copies the answer
    1,1,1,0

A model that sees the answer before gains points for nothing: on ASSISTments' file a boosted tree has an AUC
of 0.795 so, and of 0.744 once it is repaired. Two items in this order are a repeat if their answers agree so
often that copying explains it better than chance. Rows are neighbours in the order of time, then of the file;
in logs with times, both must have the same.
"""

from typing import Any

from ....schemas.tables import REVIEWS
from ...store.connection import Store, query, run
from ..batch import Context

COPIED = 0.99  # copies agree this often; the rest are slips of the log
ALIKE = 0.70  # neighbouring answers of one learner agree about this often without any copying
PRIOR_ODDS = 9  # against copying, that agreement must outweigh
_MOST_ALIKE = 0.98

_NEIGHBOURS = """CREATE OR REPLACE TEMP TABLE repeat_rows AS
SELECT rowid AS row, learner, item, correct, skills IS NULL AS plain, "at",
    row_number() OVER w AS nth, lag(item) OVER w AS before, lag(correct) OVER w AS answer_before,
    coalesce(lag("at") OVER w IS NOT DISTINCT FROM "at", false) AND skills IS NULL
        AND lag(skills) OVER w IS NULL AND nth > 1 AS together
FROM (SELECT rowid, *, row_number() OVER v AS nth FROM reviews
    WHERE source = $source AND correct IS NOT NULL WINDOW v AS (PARTITION BY learner ORDER BY
    "at" NULLS LAST, path, line, n))
WINDOW w AS (PARTITION BY learner ORDER BY nth)"""

# Log odds of copying against agreement by chance, by the shares of right answers to both items.
_PAIRS = f"""CREATE OR REPLACE TEMP TABLE repeat_pairs AS
WITH easy AS (SELECT item, avg(correct::INT) AS p FROM repeat_rows GROUP BY item),
counted AS (
    SELECT before, item, count(*) AS n, count(*) FILTER (answer_before = correct) AS same
    FROM repeat_rows WHERE together AND before <> item GROUP BY ALL
), chance AS (
    SELECT c.*, least({_MOST_ALIKE}, greatest({ALIKE}, a.p * b.p + (1 - a.p) * (1 - b.p))) AS q
    FROM counted c JOIN easy a ON a.item = c.before JOIN easy b ON b.item = c.item
)
SELECT before, item, n, same FROM chance
WHERE same * ln({COPIED} / q) + (n - same) * ln((1 - {COPIED}) / (1 - q)) > ln({PRIOR_ODDS})"""

# An event ends where the next row is no repeat of this one, or its item is in the event already.
_EVENTS = """CREATE OR REPLACE TEMP TABLE repeat_events AS
WITH marked AS (
    SELECT r.*, sum((p.item IS NULL OR NOT r.together OR r.correct <> r.answer_before)::INT)
        OVER (PARTITION BY learner ORDER BY nth) AS run
    FROM repeat_rows r LEFT JOIN repeat_pairs p ON p.before = r.before AND p.item = r.item
), again AS (
    SELECT *, row_number() OVER (PARTITION BY learner, run, item ORDER BY nth) AS time FROM marked
), parted AS (
    SELECT *, max(time) OVER (PARTITION BY learner, run ORDER BY nth) AS part FROM again
)
SELECT arg_min(row, nth) AS row, list(row ORDER BY nth) AS rows, list(item ORDER BY nth) AS skills
FROM parted GROUP BY learner, run, part HAVING count(*) > 1"""


def merge_repeats(con: Store, context: Context, added: dict[str, int]) -> list[str]:
    """Merge the repeats of a source's reviews, inside the caller's transaction; returns a note with counts.

    The first row stays, with all items as its `skills`; `added` loses the others. Nothing happens with
    `context.keep_repeats`, or where no two items are a repeat: then the list is empty.
    """
    if context.keep_repeats:
        return []
    try:
        run(con, _NEIGHBOURS, {"source": context.source})
        run(con, _PAIRS)
        found = query(
            con, "SELECT count(*) AS pairs, sum(n)::BIGINT AS n, sum(same)::BIGINT AS same FROM repeat_pairs"
        ).row(0, named=True)
        if not found["pairs"]:
            return []
        run(con, _EVENTS)
        ((events, gone),) = run(
            con, "SELECT count(*), coalesce(sum(len(rows) - 1), 0)::BIGINT FROM repeat_events"
        )
        run(con, "UPDATE reviews SET skills = e.skills FROM repeat_events e WHERE reviews.rowid = e.row")
        run(
            con,
            """DELETE FROM reviews WHERE rowid IN (SELECT u.row FROM
            (SELECT row AS first, unnest(rows) AS row FROM repeat_events) u WHERE u.row <> u.first)""",
        )
    finally:
        for name in ("rows", "pairs", "events"):
            run(con, f"DROP TABLE IF EXISTS repeat_{name}")
    added[REVIEWS.name] -= gone
    return [_describe(found, events, gone)]


def _describe(found: dict[str, Any], events: int, gone: int) -> str:
    pairs, share = found["pairs"], found["same"] / found["n"]
    return (
        f"{gone:,} rows repeat the row before them for another skill, with the same answer ({pairs:,} "
        f"ordered {'pair' if pairs == 1 else 'pairs'} of items; {share:.1%} of their {found['n']:,} "
        f"neighbouring rows agree); merged into {events:,} events with a set of skills, since a model that "
        "sees the first answer knows the second (--keep-repeats keeps all rows)"
    )
