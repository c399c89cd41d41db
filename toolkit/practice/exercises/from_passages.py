"""Questions about passages, written by a model and kept only if they hold: `preceptor exercises write NAME`.

    passage   Tallinn is the capital of Estonia. It lies on the Gulf of Finland.
    reply     {"question": "Where does Tallinn lie?", "answer": "on the Gulf of Finland",
               "wrong": "on the Gulf of Riga"}

Kept is a question whose answer stands in the passage, and not in the question; whose wrong answer is another
one; that no fact contradicts; and of which a judge, shown both answers in both orders, takes the same one for
right both times. Passages are the last messages of prompts; the replies are completions of a source of their
own.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import polars as pl

from ....annotation.models.asking import AS_USUAL, AskOptions, CostEstimate, Spent, ask_missing, check_limits
from ....annotation.models.backends.backend import Backend
from ....annotation.models.budget import Limits
from ....annotation.models.fence import make_fence
from ....annotation.models.judge.answers import find_json
from ....annotation.models.requests import Request, Sampling, hash_request
from ....annotation.models.templates import Template, read_template, render
from ....schemas.derive import derive_absent_sql
from ....schemas.errors import AnnotationError, GateError
from ....schemas.licenses import License
from ....schemas.tables import EXERCISES, Column, Table
from ...campaign.generate import GenerateOptions, GenerateResult, generate
from ...campaign.replies import ReplyTable
from ...store.connection import Store, insert_select, query, run, transaction
from ...store.temporary import drop, make_from_frame
from ...store.where import Where, match_where
from .facts import FACTS, FIND_CONTRADICTED, WORDS, make_facts, match_words
from .proofs import Proof, prove

KIND, TASK = "question", "passage"
PASSAGES = Where(task=TASK)
_SAMPLING = Sampling(temperature=1.0)
_PARTS = ("question", "answer", "wrong")
_SIDES = ("first", "second", "neither")
_FORM = {
    "type": "object",
    "properties": {"answer": {"type": "string", "enum": list(_SIDES)}},
    "required": ["answer"],
    "additionalProperties": False,
}
QUESTIONS = Table(
    "practice_questions",
    "a question that a model wrote",
    (
        Column("id", "text", "key of the completion"),
        Column("prompt", "text", "key of the passage"),
        Column("source", "text", "of the passage"),
        Column("language", "text", "BCP 47 code"),
        Column("passage", "text", "its text"),
        *(Column(name, "text", "as the model wrote it; null if it cannot be read") for name in _PARTS),
    ),
)
_CANDIDATES = f"""SELECT c.key AS id, c.content, q.key AS prompt, q.source, q.language,
    q.messages[-1].content AS passage
FROM completions c JOIN prompts q ON q.key = c.prompt
WHERE c.source = $own AND c.author = $author AND c.context->>'template' = $template
    AND {match_where("q")} ORDER BY c.prompt, c.line, c.key"""
# Why a question is dropped; the first reason that holds counts.
_DROPPED = f"""
WITH worded AS (
    SELECT id, prompt, question IS NULL AS unread, {WORDS("passage")} AS passage,
        {", ".join(f"{WORDS(name)} AS {name}" for name in _PARTS)} FROM practice_questions
), contradicted AS ({FIND_CONTRADICTED("worded")})
SELECT id, CASE WHEN unread THEN 'no question, answer and wrong answer could be read'
    WHEN NOT {match_words("passage", "answer")} THEN 'the answer does not stand in the passage'
    WHEN {match_words("question", "answer")} THEN 'the answer stands in the question'
    WHEN {match_words("wrong", "answer")} OR {match_words("answer", "wrong")} OR wrong = ''
        THEN 'the wrong answer is no other one'
    WHEN id IN (SELECT id FROM contradicted) THEN 'a fact contradicts the answer'
    WHEN row_number() OVER (PARTITION BY prompt, question ORDER BY id) > 1 THEN 'asked twice' END AS dropped
FROM worded"""
UNWRITTEN = "the writer gave no usable reply"
UNSURE, UNJUDGED = "the judge did not take it for right in both orders", "the judge gave no usable verdict"


@dataclass(frozen=True)
class WriteOptions:
    """Options of writing questions about passages."""

    where: Where = PASSAGES
    """The prompts whose last messages are the passages."""
    draws: int = 1
    """Questions about each passage."""
    sampling: Sampling = _SAMPLING
    source: str | None = None
    """Name of the source of the model's replies; None: NAME-questions."""
    license: License | None = None
    """Licence of what the model writes."""
    facts: Path | None = None
    """File of triples: subject, relation, object."""
    dry_run: bool = False


@dataclass(frozen=True)
class WrittenQuestions:
    """Questions that were asked for, how many were dropped by reason, and how many are kept and proven."""

    asked: int
    dropped: dict[str, int]
    kept: int
    facts: int
    spent: tuple[Spent, ...]
    """Of the writer and of the judge; without who was not asked."""
    estimate: CostEstimate | None = None
    """Of a dry run, for the writer; the judge gets two requests for each question that holds."""
    proof: Proof | None = None


def write_questions(
    con: Store,
    name: str,
    writer: Backend,
    judge: Backend,
    options: WriteOptions = WriteOptions(),
    asking: AskOptions = AS_USUAL,
) -> WrittenQuestions:
    """Let a model write questions about passages, and store those that hold as the exercises `name`.

    Limits are those of the whole run: what the writer spent is not left for the judge. Replies are kept, and
    never asked for again. Exercises are stored all at once, in place of earlier ones of the name, once every
    question is judged; if none holds, nothing changes. Raises AnnotationError if the models cannot be asked,
    or a limit stopped the run; SourceError for facts that cannot be read; GateError if a key is not proven.
    """
    check_limits(judge, asking.limits)
    _check_name(con, name)
    facts = make_facts(con, options.facts)
    source = options.source or f"{name}-questions"
    asked = _ask_writer(con, source, writer, options, asking)
    if options.dry_run:
        drop(con, FACTS)
        return WrittenQuestions(0, {}, 0, facts, (), asked.estimate)
    found = _read_questions(con, source, writer.name, options)
    make_from_frame(con, QUESTIONS, found)
    reasons: dict[str, str | None] = dict(run(con, _DROPPED))
    judged = found.filter(pl.col("id").replace_strict(reasons, return_dtype=pl.String).is_null())
    verdicts, spent = _ask_judge(con, source, judge, judged, _subtract(asking, asked.spent))
    reasons |= verdicts
    kept = [id for id, reason in reasons.items() if reason is None]
    proof = _store(con, name, source, kept) if kept else None
    drop(con, QUESTIONS, FACTS)
    counts = pl.Series("reason", list(reasons.values()), pl.String).drop_nulls().value_counts(sort=True)
    silent = max(0, asked.counts.wanted - found.height)
    dropped = ({UNWRITTEN: silent} if silent else {}) | dict(counts.rows())
    took = tuple(one for one in (asked.spent, spent) if one)
    return WrittenQuestions(found.height + silent, dropped, len(kept), facts, took, proof=proof)


def _check_name(con: Store, name: str) -> None:
    """Raise AnnotationError if the exercises of that name are not questions of a model."""
    if run(con, "SELECT 1 FROM exercises WHERE recipe = ? AND kind <> ? LIMIT 1", [name, KIND]):
        raise AnnotationError(f"{name}: exercises of that name were built by a recipe; choose another name")


def _ask_writer(
    con: Store, source: str, writer: Backend, options: WriteOptions, asking: AskOptions
) -> GenerateResult:
    asked = generate(
        con,
        writer,
        GenerateOptions(
            where=options.where,
            draws=options.draws,
            sampling=options.sampling,
            template="write-question",
            source=source,
            license=options.license,
            dry_run=options.dry_run,
        ),
        asking,
    )
    _check_whole(asked.spent, "passages")
    return asked


def _check_whole(spent: Spent | None, what: str) -> None:
    if spent and spent.left_out:
        raise AnnotationError(
            f"a limit was reached before {spent.left_out:,} requests about {what}: no exercise was stored; "
            "what was answered is kept, and the same command goes on"
        )


def _read_questions(con: Store, source: str, author: str, options: WriteOptions) -> pl.DataFrame:
    """Read the model's replies, with the columns of QUESTIONS; null stands for what cannot be read."""
    template = read_template("write-question").digest
    given = {"own": source, "author": author, "template": template} | options.where.parameters
    rows = query(con, _CANDIDATES, given)
    parts = [_read_parts(content) for content in rows["content"]]
    schema = dict.fromkeys(_PARTS, pl.String)
    return rows.drop("content").hstack(pl.DataFrame(parts, schema=schema, orient="row"))


def _read_parts(content: str) -> tuple[str | None, ...]:
    try:
        found = find_json(content)
    except ValueError:
        return (None,) * len(_PARTS)
    texts = [found.get(name) for name in _PARTS]
    if not all(isinstance(text, str) and text.strip() for text in texts):
        return (None,) * len(_PARTS)
    return tuple(str(text).strip() for text in texts)


def _subtract(asking: AskOptions, spent: Spent | None) -> AskOptions:
    """Return the options with what is left of the limits."""
    if spent is None:
        return asking
    most, cost = asking.limits.max_requests, asking.limits.max_cost
    left = Limits(
        asking.limits.concurrency,
        None if most is None else max(0, most - spent.requests),
        None if cost is None else max(0.0, cost - (spent.cost or 0.0) - spent.unsure),
    )
    return replace(asking, limits=left)


def _ask_judge(
    con: Store, source: str, judge: Backend, questions: pl.DataFrame, asking: AskOptions
) -> tuple[dict[str, str | None], Spent | None]:
    """Ask the judge about each question in both orders; return why it is dropped, or None, by its id."""
    template = read_template("judge-question")
    requests: dict[tuple[str, str], Request] = {}
    for row in questions.iter_rows(named=True):
        for right in _SIDES[:2]:
            requests[row["id"], right] = _make_request(template, row, right)
    memory = ReplyTable(con, judge.name, source, "judge", template.digest, ("prompt", "completion_a"))
    asked = ask_missing(judge, list(requests.values()), memory, _read_verdict, asking)
    _check_whole(asked.spent, "questions")
    answers = asked.known.read_answers()
    verdicts: dict[str, str | None] = {}
    for id in questions["id"]:
        said = [answers.get(hash_request(requests[id, right])) for right in _SIDES[:2]]
        agreed = all(one and one["answer"] == right for one, right in zip(said, _SIDES[:2], strict=True))
        verdicts[id] = None if agreed else UNSURE if all(said) else UNJUDGED
    return verdicts, asked.spent


def _make_request(template: Template, row: Mapping[str, Any], right: str) -> Request:
    """Make the judge's request with the answer as the `right` side."""
    sides = (row["answer"], row["wrong"]) if right == "first" else (row["wrong"], row["answer"])
    fence = make_fence([row["passage"], row["question"], *sides])
    messages = render(
        template,
        mark=fence.mark,
        passage=fence.wrap("the passage", row["passage"]),
        question=fence.wrap("the question", row["question"]),
        first=fence.wrap("the first answer", sides[0]),
        second=fence.wrap("the second answer", sides[1]),
    )
    return Request(messages, schema=_FORM, about=(row["prompt"], row["id"]))


def _read_verdict(content: str) -> dict[str, Any]:
    answer = find_json(content).get("answer")
    if answer not in _SIDES:
        raise ValueError(f"answer is {json.dumps(answer)[:60]}, expected {', '.join(_SIDES)}")
    return {"answer": answer}


def _store(con: Store, name: str, source: str, kept: list[str]) -> Proof:
    """Store the questions in place of earlier ones of the name, and prove them, all or nothing."""
    nothing = derive_absent_sql(column for column in EXERCISES.stored if column.nullable)
    none = "[]::VARCHAR[]"
    select = f"""SELECT * FROM (SELECT {nothing} WHERE false) UNION ALL BY NAME
        SELECT '{KIND}' AS kind, $name AS recipe, source, language,
            passage || chr(10) || chr(10) || question AS shown, [answer] AS answers,
            [wrong] AS distractors, {none} AS words, prompt, id AS completion,
            list_sort(list_distinct([source, $own])) AS sources
        FROM practice_questions WHERE list_contains($kept::VARCHAR[], id)"""
    with transaction(con):
        run(con, "DELETE FROM exercises WHERE recipe = ?", [name])
        insert_select(con, EXERCISES, select, {"name": name, "own": source, "kept": kept})
        proof = prove(con, name)
        if proof.faults:
            raise GateError(f"exercises of {name}: {proof.describe()}; nothing was stored")
    return proof
