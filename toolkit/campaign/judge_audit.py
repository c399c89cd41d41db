"""Read judgements of models and of people from the store, and audit the models.

    completion    criterion  value  levels  annotator  by_model
    9f…           helpful    4      5       4be1…      true        in campaign week-1
    9f…           helpful    5      5       null       false       in source socratic-llm

Completions of equal text and prompt are one, also across sources.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import polars as pl

from ...annotation.audit.audit import Evidence, JudgeAudit, add_lengths, audit_evidence, make_evidence
from ...annotation.audit.files import read_judgements
from ...annotation.rubrics.rubric import list_rubric_names, read_rubric
from ...schemas.errors import AnnotationError
from ...schemas.rubric import Rubric
from ..store.connection import Store, query
from ..store.where import check_names, match_sources

_ALIKE = """WITH about AS (
    SELECT completion_a AS key FROM votes UNION SELECT completion_b FROM votes
    UNION SELECT completion FROM ratings UNION SELECT completion_a FROM replies WHERE purpose = 'judge'
    UNION SELECT completion_b FROM replies WHERE purpose = 'judge'
)
SELECT c.key, min(c.key) OVER (PARTITION BY p.messages, c.content) AS alike, length(c.content) AS length,
    lower(c.author) AS author
FROM about JOIN completions c USING (key) JOIN prompts p ON p.key = c.prompt"""
_WHO = """,
    coalesce(a.pseudonym, if(list_contains($by_model::VARCHAR[], s.source), s.source, NULL)) AS annotator,
    coalesce(a.kind = 'model', list_contains($by_model::VARCHAR[], s.source)) AS by_model"""
_VOTES = f"""SELECT s.source, completion_a, completion_b, choice, shown_first,
    s."at", s.path, s.line, s.n {_WHO}
FROM votes s LEFT JOIN annotators a ON a.key = s.annotator"""
_RATINGS = f"""SELECT s.source, completion, criterion, value, levels, s."at", s.path, s.line, s.n {_WHO}
FROM ratings s LEFT JOIN annotators a ON a.key = s.annotator"""
# Of a request the last reply that could be used counts; each draw of a pair is an item of its own (what the
# back-end said of itself is of the reply, not of the draw).
_SHOWN = f"""SELECT model, prompt || ' ' || template || ' ' || coalesce(
        json_merge_patch(sampling, '{{"said": null}}')::VARCHAR, '') AS item,
    completion_a AS first, completion_b AS second, answer->>'preference' AS choice
FROM replies r WHERE purpose = 'judge' AND completion_b IS NOT NULL
    AND answer->>'preference' IN ('first', 'second', 'tie')
    AND ({match_sources()} OR EXISTS (
        FROM questions q WHERE {match_sources("q.source")}
        AND q.completion_b IS NOT NULL
        AND least(q.completion_a, q.completion_b) = least(r.completion_a, r.completion_b)
        AND greatest(q.completion_a, q.completion_b) = greatest(r.completion_a, r.completion_b)))
QUALIFY row_number() OVER (PARTITION BY model, request ORDER BY nth DESC) = 1 ORDER BY "at", key"""
_FAILED = f"""SELECT model, count(*) AS failed FROM (
    SELECT model, request FROM replies WHERE purpose = 'judge'
        AND {match_sources()}
    GROUP BY ALL HAVING bool_and(answer IS NULL))
GROUP BY 1"""

# Sources that anything was judged in.
_JUDGED = """SELECT source FROM votes UNION SELECT source FROM ratings
UNION SELECT source FROM replies WHERE purpose = 'judge' ORDER BY 1"""


@dataclass(frozen=True)
class AuditOptions:
    """Options of an audit: judges and people."""

    sources: tuple[str, ...] = ()
    """Sources and campaigns of models' judgements; default: all."""
    people: tuple[str, ...] = ()
    """Sources of people's judgements; default: all."""
    judges: tuple[str, ...] = ()
    """Names of judges; default: all."""
    by_model: tuple[str, ...] = ()
    """Sources whose judgements without annotator are a model's."""
    same: Mapping[str, str] = field(default_factory=dict)
    """People's names of criteria by the judge's names."""
    rubric: Rubric | None = None
    """Rubric of the summary score; None: the campaign's, if it is a packaged one."""
    seed: int = 0
    """Random seed of the bootstrap."""


@dataclass(frozen=True)
class JudgeAudits:
    """Audits by judge, in the order of their names, and rejected lines of a file.

    own: how the newest fit says that models judge what they wrote themselves (`findings.judges.own`, with the
    fit's key); None where it says nothing.
    """

    audits: tuple[JudgeAudit, ...]
    rejects: tuple[str, ...] = ()
    own: dict[str, Any] | None = None


def audit_judges(con: Store, options: AuditOptions = AuditOptions()) -> JudgeAudits:
    """Audit every model that judged in the store: position, length, agreement with people.

    Raises AnnotationError for an unknown source, judge or criterion, with the nearest known one, and if no
    model judged anything.
    """
    have = query(con, _JUDGED)["source"]
    for option, names in (
        ("--source", options.sources),
        ("--people", options.people),
        ("--by-model", options.by_model),
    ):
        check_names(option, names, have, "source", "with judgements", AnnotationError)
    judged = read_stored_judgements(con, options.sources, options.by_model)
    if not judged.models:
        where = f" in {', '.join(options.sources)}" if options.sources else ""
        raise AnnotationError(
            f"no model judged anything{where}: run preceptor judge, ingest judgements of a model (--by-model "
            "SOURCE where the source does not name it), or give --judgements FILE"
        )
    evidence = [_make_evidence(judged, model, options) for model in judged.models]
    return JudgeAudits(_audit(evidence, options), own=_read_own(con))


def _read_own(con: Store) -> dict[str, Any] | None:
    """Read what the newest fit says of models that judged what they wrote."""
    rows = query(
        con, "SELECT key, findings->'$.judges.own' AS own FROM fits ORDER BY fitted_at DESC LIMIT 1"
    ).to_dicts()
    return {"fit": rows[0]["key"], **json.loads(rows[0]["own"])} if rows and rows[0]["own"] else None


def audit_judgement_file(path: Path, options: AuditOptions = AuditOptions()) -> JudgeAudits:
    """Audit the judges of another system's file: position and length; only the options judges and seed apply.

    Raises AnnotationError for a file that cannot be read, and a judge that it lacks.
    """
    rows, rejects = read_judgements(path)
    return JudgeAudits(_audit(make_evidence(rows, path.stem), options), tuple(rejects))


def _audit(evidence: Sequence[Evidence], options: AuditOptions) -> tuple[JudgeAudit, ...]:
    have = [one.judge for one in evidence]
    check_names("--judge", options.judges, have, "judge", error=AnnotationError)
    chosen = [one for one in evidence if not options.judges or one.judge in options.judges]
    return tuple(audit_evidence(one, same=dict(options.same), seed=options.seed) for one in chosen)


def _make_evidence(judged: "StoredJudgements", model: str, options: AuditOptions) -> Evidence:
    """Gather the store's data about one judge and about people."""
    mine = pl.col("by_model") & (pl.col("annotator") == model)
    of_people = pl.col("source").is_in(list(options.people)) if options.people else pl.lit(value=True)
    theirs = ~pl.col("by_model") & of_people
    ratings = judged.ratings.filter(mine)
    shown = judged.shown.filter(model=model)
    return Evidence(
        model,
        add_lengths(shown.drop("model"), judged.lengths),
        judged.votes.filter(mine),
        ratings,
        judged.votes.filter(theirs),
        judged.ratings.filter(theirs),
        judged.rubrics,
        judged.lengths,
        options.rubric or _find_rubric(judged, ratings["source"].unique().to_list()),
        judged.failed.get(model, 0),
        judged.authors.filter(author=model.lower())["completion"],
    )


def _find_rubric(judged: "StoredJudgements", sources: Sequence[str]) -> Rubric | None:
    """The rubric of the judge's campaigns, if it is a packaged one."""
    asked = {digest for source, digest in judged.campaigns.rows() if source in sources}
    known = [one for one in map(read_rubric, list_rubric_names()) if one.digest in asked]
    return known[0] if len(asked) == 1 and known else None


@dataclass(frozen=True)
class StoredJudgements:
    """Votes and ratings with annotator (pseudonym; of a model its name) and by_model."""

    votes: pl.DataFrame
    ratings: pl.DataFrame
    shown: pl.DataFrame  # model, item, first, second, choice: single answers of models about an order
    failed: dict[str, int]  # by model: requests without a usable reply
    lengths: pl.DataFrame  # completion, length in characters
    rubrics: pl.DataFrame  # source, criterion, levels, higher_is_better
    campaigns: pl.DataFrame  # source, rubric: digests of the rubrics used
    authors: pl.DataFrame  # completion, author (in lower case) where known
    same_text: int  # votes about two completions of one text, left out

    @property
    def models(self) -> list[str]:
        """All models that judged."""
        judges = [rows.filter("by_model")["annotator"] for rows in (self.votes, self.ratings)]
        return sorted({name for names in (*judges, self.shown["model"]) for name in names} | {*self.failed})


def read_stored_judgements(
    con: Store, sources: Sequence[str] = (), by_model: Sequence[str] = ()
) -> StoredJudgements:
    """Read all judgements of the store; those of models only from `sources`, if any are named.

    `by_model`: sources whose judgements without annotator are those of a model, named like the source.
    """
    given = {"by_model": list(by_model)}
    alike = query(con, _ALIKE)
    one = dict(alike.filter(pl.col("key") != pl.col("alike")).select("key", "alike").rows())
    of_models = ~pl.col("by_model") | (
        pl.col("source").is_in(list(sources)) if sources else pl.lit(value=True)
    )
    votes, ratings = (query(con, sql, given).filter(of_models) for sql in (_VOTES, _RATINGS))
    shown = query(con, _SHOWN, {"sources": list(sources)})
    failed = dict(query(con, _FAILED, {"sources": list(sources)}).rows())
    votes = votes.with_columns(pl.col("completion_a", "completion_b").replace(one))
    shown = shown.with_columns(pl.col("first", "second").replace(one))
    kept = votes.filter(pl.col("completion_a") != pl.col("completion_b"))
    return StoredJudgements(
        kept,
        ratings.with_columns(pl.col("completion").replace(one)),
        shown.filter(pl.col("first") != pl.col("second")),
        failed,
        alike.select(completion="alike", length="length").unique("completion"),
        query(con, "SELECT source, criterion, levels, higher_is_better FROM rubrics"),
        query(con, "SELECT DISTINCT source, rubric FROM questions ORDER BY ALL"),
        alike.select(completion="alike", author="author").drop_nulls().unique(),
        votes.height - kept.height,
    )
