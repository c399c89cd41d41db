"""What models and people judged, side by side: votes, ratings and replies of the store.

    completion    criterion  value  levels  annotator  by_model
    9f…           helpful    4      5       4be1…      true        in campaign week-1
    9f…           helpful    5      5       null       false       in source socratic-llm

Completions of the same text under the same prompt are one, in whatever sources they lie.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import polars as pl

from ...annotation.audit.audit import Evidence, JudgeAudit, add_lengths, audit_evidence, make_evidence
from ...annotation.audit.files import read_judgements
from ...annotation.rubrics.rubric import read_rubric, rubric_names
from ...schemas.errors import AnnotationError
from ...schemas.rubric import Rubric
from ..store.connection import Store, query
from ..store.where import check_names, in_sources

_ALIKE = """WITH about AS (
    SELECT completion_a AS key FROM votes UNION SELECT completion_b FROM votes
    UNION SELECT completion FROM ratings UNION SELECT completion_a FROM replies WHERE purpose = 'judge'
    UNION SELECT completion_b FROM replies WHERE purpose = 'judge'
)
SELECT c.key, min(c.key) OVER (PARTITION BY p.messages, c.content) AS alike, length(c.content) AS length
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
    AND ({in_sources()} OR EXISTS (
        FROM questions q WHERE {in_sources("q.source")}
        AND q.completion_b IS NOT NULL
        AND least(q.completion_a, q.completion_b) = least(r.completion_a, r.completion_b)
        AND greatest(q.completion_a, q.completion_b) = greatest(r.completion_a, r.completion_b)))
QUALIFY row_number() OVER (PARTITION BY model, request ORDER BY nth DESC) = 1 ORDER BY "at", key"""
_FAILED = f"""SELECT model, count(*) AS failed FROM (
    SELECT model, request FROM replies WHERE purpose = 'judge'
        AND {in_sources()}
    GROUP BY ALL HAVING bool_and(answer IS NULL))
GROUP BY 1"""

# Sources that anything was judged in.
_JUDGED = """SELECT source FROM votes UNION SELECT source FROM ratings
UNION SELECT source FROM replies WHERE purpose = 'judge' ORDER BY 1"""


@dataclass(frozen=True)
class AuditOptions:
    """Which judges are audited beside which people."""

    sources: tuple[str, ...] = ()
    """Sources and campaigns of models' judgements; all where none is named."""
    people: tuple[str, ...] = ()
    """Sources of people's judgements; all where none is named."""
    judges: tuple[str, ...] = ()
    """Names of judges; all where none is named."""
    by_model: tuple[str, ...] = ()
    """Sources whose judgements that name nobody are a model's."""
    same: Mapping[str, str] = field(default_factory=dict)
    """Names of people's criteria by those of the judge that are the same."""
    rubric: Rubric | None = None
    """Of the summary score; None: the campaign's, where it is one of Preceptor's own."""
    seed: int = 0
    """Random seed of the bootstrap."""


@dataclass(frozen=True)
class JudgeAudits:
    """Audits by judge, in the order of their names, and lines of a file that were not taken."""

    audits: tuple[JudgeAudit, ...]
    rejects: tuple[str, ...] = ()


def audit_judges(con: Store, options: AuditOptions = AuditOptions()) -> JudgeAudits:
    """Audit every model that judged in the store: position, length, agreement with people.

    Raises AnnotationError for a source, a judge or a criterion that is not there, with the nearest, and
    where no model judged anything.
    """
    have = query(con, _JUDGED)["source"]
    for option, names in (
        ("--source", options.sources),
        ("--people", options.people),
        ("--by-model", options.by_model),
    ):
        check_names(option, names, have, "nothing was judged there", AnnotationError)
    judged = read_stored_judgements(con, options.sources, options.by_model)
    if not judged.models:
        where = f" in {', '.join(options.sources)}" if options.sources else ""
        raise AnnotationError(
            f"no model judged anything{where}: run preceptor judge, ingest judgements of a model (--by-model "
            "SOURCE where the source does not name it), or give --judgements FILE"
        )
    evidence = [_make_evidence(judged, model, options) for model in judged.models]
    return JudgeAudits(_audit(evidence, options))


def audit_judgement_file(path: Path, options: AuditOptions = AuditOptions()) -> JudgeAudits:
    """Audit the judges of another system's file: position and length; of the options judges and seed count.

    Raises AnnotationError for a file that cannot be read, and a judge that is not in it.
    """
    rows, rejects = read_judgements(path)
    return JudgeAudits(_audit(make_evidence(rows, path.stem), options), tuple(rejects))


def _audit(evidence: Sequence[Evidence], options: AuditOptions) -> tuple[JudgeAudit, ...]:
    have = [one.judge for one in evidence]
    check_names("--judge", options.judges, have, "no such judge", AnnotationError)
    chosen = [one for one in evidence if not options.judges or one.judge in options.judges]
    return tuple(audit_evidence(one, same=dict(options.same), seed=options.seed) for one in chosen)


def _make_evidence(judged: "StoredJudgements", model: str, options: AuditOptions) -> Evidence:
    """What the store has about one judge and about people."""
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
    )


def _find_rubric(judged: "StoredJudgements", sources: Sequence[str]) -> Rubric | None:
    """The rubric of the judge's campaigns, where it is one of Preceptor's own."""
    asked = {digest for source, digest in judged.campaigns.rows() if source in sources}
    known = [one for one in map(read_rubric, rubric_names()) if one.digest in asked]
    return known[0] if len(asked) == 1 and known else None


@dataclass(frozen=True)
class StoredJudgements:
    """Votes and ratings with annotator (pseudonym; of a model its name) and by_model."""

    votes: pl.DataFrame
    ratings: pl.DataFrame
    shown: pl.DataFrame  # model, item, first, second, choice: single answers of models about an order
    failed: dict[str, int]  # by model: requests without any reply that could be used
    lengths: pl.DataFrame  # completion, length in characters
    rubrics: pl.DataFrame  # source, criterion, levels, higher_is_better
    campaigns: pl.DataFrame  # source, rubric: digests of the rubrics that were asked by
    same_text: int  # votes about two completions of one text, left out

    @property
    def models(self) -> list[str]:
        """Every model that judged."""
        judges = [rows.filter("by_model")["annotator"] for rows in (self.votes, self.ratings)]
        return sorted({name for names in (*judges, self.shown["model"]) for name in names} | {*self.failed})


def read_stored_judgements(
    con: Store, sources: Sequence[str] = (), by_model: Sequence[str] = ()
) -> StoredJudgements:
    """Read all judgements of the store, those of models only of `sources` where any are named.

    `by_model` are sources whose judgements that name nobody are a model's; it is called as the source.
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
        votes.height - kept.height,
    )
