"""Read the answers that learner models are made of, and name what is odd in them.

A source's answers tell of mastery if its items have skills, or if it has no times at all: then its items are
the skills. Answers with a time tell of memory: each item is a card. Where outcomes were made of a source, its
items are completions, and the skill is what their prompt is about (its group).
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

import polars as pl

from ....schemas.errors import StoreError
from ....schemas.support.numbers import format_count
from ...store.connection import Store, query
from ...store.where import check_names, match_sources
from .memory.reviews import LONGEST_DAYS

MOST_SKILLS = 1000  # of one learner: the state grows with their square

_READ = f"""WITH kinds AS (
    SELECT source, bool_or(skills IS NOT NULL) OR bool_and("at" IS NULL) AS of_skills,
        source IN (SELECT r.source FROM reviews r JOIN outcomes o USING (learner, path, line, n)) AS explained
    FROM reviews GROUP BY source
), groups AS (
    SELECT c.ref AS item, min(p."group") AS term FROM completions c JOIN prompts p ON p.key = c.prompt
    WHERE c.ref IS NOT NULL GROUP BY c.ref
)
SELECT r.key, r.learner, r.item,
    CASE WHEN k.explained AND r.skills IS NULL AND g.term IS NOT NULL THEN [g.term] ELSE r.skills END
        AS skills, r.correct, r.grade, r.duration_ms, r."at",
    k.of_skills OR k.explained AS of_skills,
    r."at" < max(r."at") OVER (PARTITION BY r.learner, r.path ORDER BY r.line, r.n
        ROWS UNBOUNDED PRECEDING) AS back,
    (epoch_us(r."at") - lag(epoch_us(r."at")) OVER (PARTITION BY r.learner, r.item ORDER BY r."at"))
        / 86400000000 AS since_days
FROM reviews r JOIN kinds k ON k.source = r.source LEFT JOIN groups g ON k.explained AND g.item = r.item
WHERE r.correct IS NOT NULL AND {match_sources("r.source")}
ORDER BY r.learner, r."at" NULLS LAST, r.source, r.path, r.line, r.n"""
_UNASKED = f"SELECT count(*) FROM reviews WHERE correct IS NULL AND {match_sources()}"


@dataclass(frozen=True)
class Log:
    """Answers for the two models, each learner's in order, and notes on what is odd."""

    mastery: pl.DataFrame
    memory: pl.DataFrame
    notes: list[str]


def read_log(con: Store, sources: Sequence[str] = ()) -> Log:
    """Read the answers of these sources (all if empty).

    Raises StoreError for a source without reviews, if nothing was answered, and for a learner with too many
    skills.
    """
    have = query(con, "SELECT DISTINCT source FROM reviews ORDER BY 1")["source"]
    check_names("--source", sources, have, "source", "with reviews")
    asked = {"sources": list(sources)}
    rows = query(con, _READ, asked)
    if rows.is_empty():
        raise StoreError(
            "no review of the store says whether the learner was right; ingest a study log first "
            "(preceptor ingest reviews --help)"
        )
    unasked = query(con, _UNASKED, asked).item()
    mastery = rows.filter("of_skills")
    memory = rows.filter(pl.col("at").is_not_null())
    _check_size(mastery)
    return Log(mastery, memory, _note_oddities(rows, unasked))


def _check_size(mastery: pl.DataFrame) -> None:
    used = mastery.select("learner", pl.coalesce("skills", pl.concat_list("item")).alias("skill"))
    sizes = used.explode("skill").group_by("learner").agg(pl.col("skill").n_unique().alias("n"))
    worst = int(sizes["n"].max() or 0)  # type: ignore[arg-type]
    if worst > MOST_SKILLS:
        raise StoreError(
            f"a learner has met {worst:,} skills, at most {MOST_SKILLS:,} can be followed; say with --map "
            "skills=COLUMN at ingest which skills an item takes"
        )


def _note_oddities(rows: pl.DataFrame, unasked: int) -> list[str]:
    each = rows.group_by("learner").agg(pl.len().alias("n"), pl.col("correct").mean().alias("share"))
    long = rows.filter(pl.col("since_days") > LONGEST_DAYS).height
    timeless = rows.filter(pl.col("at").is_null() & ~pl.col("of_skills")).height
    silent = rows.filter(pl.col("at").is_null() & pl.col("of_skills")).height
    back = int(rows["back"].sum() or 0)
    once = each.filter(n=1).height
    same = each.filter((pl.col("n") > 1) & pl.col("share").is_in([0.0, 1.0])).height
    said = (
        (unasked, f"{format_count(unasked, 'review')} asked nothing and are left out"),
        (
            silent,
            f"{format_count(silent, 'answer')} without a time: in the order of the log, no memory",
        ),
        (
            timeless,
            f"{format_count(timeless, 'answer')} without a time or skills left out, in a log with times",
        ),
        (
            back,
            f"{format_count(back, 'answer')} earlier than a line before: a clock ran backwards",
        ),
        (
            long,
            f"{format_count(long, 'gap')} of more than ten years between reviews of an item, taken as ten",
        ),
        (once, f"{format_count(once, 'learner')} with one answer alone: known little beyond the average"),
        (same, f"{format_count(same, 'learner')} always right or always wrong: bounded by what others did"),
    )
    return [text for n, text in said if n]


def hash_answers(rows: pl.DataFrame) -> str:
    """Hash answers in their order; people are numbered, so that another key for names changes nothing."""
    plain = rows.with_columns(pl.col("learner").rle_id(), pl.col("skills").list.join("\x1f")).drop(
        "of_skills"
    )
    return hashlib.sha256(plain.write_csv().encode()).hexdigest()
