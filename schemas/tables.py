"""Every table of the store and of a published dataset, declared once.

The DDL, the Polars schema, the `datasets.Features` of what is published and the data dictionary
(docs/data.md) are derived from these declarations by `derive.py`. A table's key is a hash of its
identity columns, so the same input gives the same keys on every machine.
"""

from dataclasses import dataclass
from typing import Literal

from .keys import key_sql

Type = Literal["text", "int", "float", "bool", "time", "texts", "json", "messages"]

SCHEMA_VERSION = 6


@dataclass(frozen=True)
class Column:
    """One column: its type, what it means, its unit, and whether it may be null."""

    name: str
    type: Type
    meaning: str
    nullable: bool = False
    unit: str = ""
    derived: str = ""  # DuckDB expression of other columns: computed when read, never stored
    person: bool = False  # a pseudonym: no person's own id may stand here
    free_text: bool = False  # written by people: may hold personal data, which `preceptor scan` finds


@dataclass(frozen=True)
class Table:
    """One table; `identity` names the columns whose content makes a row's key."""

    name: str
    meaning: str
    columns: tuple[Column, ...]
    identity: tuple[str, ...] = ()

    @property
    def names(self) -> list[str]:
        """Column names in order."""
        return [column.name for column in self.columns]

    @property
    def stored(self) -> tuple[Column, ...]:
        """The columns that are written; the others are derived from them."""
        return tuple(column for column in self.columns if not column.derived)

    @property
    def free_texts(self) -> tuple[Column, ...]:
        """The columns that people wrote."""
        return tuple(column for column in self.columns if column.free_text)

    @property
    def placed(self) -> bool:
        """Whether a row is known by its place in the input, so that none can come twice."""
        return bool({"line", "position"} & set(self.identity))


KEY = Column("key", "text", "hash of the identity columns: 20 hex digits")
SOURCE = Column("source", "text", "name of the source the row came with")
ORIGIN = (
    Column("path", "text", "input file, relative to the folder that was ingested"),
    Column("line", "int", "line in that file, from 1; row number in Parquet"),
)


def _stored(
    name: str, meaning: str, identity: tuple[str, ...], *columns: Column, origin: bool = False
) -> Table:
    return Table(name, meaning, (KEY, *columns, *(ORIGIN if origin else ())), identity)


SOURCES = _stored(
    "sources",
    "a corpus, log or campaign",
    ("name",),
    Column("name", "text", "the name given at ingest"),
    Column("kind", "text", "gec, log, dialogue, preference or generated"),
    Column("language", "text", "BCP 47 code, und where it is not known"),
    Column("license", "text", "SPDX id, LicenseRef-… or NOASSERTION where none is stated"),
    Column("redistribution", "bool", "may be passed on"),
    Column("commercial_use", "bool", "may be used commercially"),
    Column("share_alike", "bool", "derived data must carry the same licence"),
    Column("url", "text", "where it was got", nullable=True),
    Column("revision", "text", "commit or version at that place", nullable=True),
    Column("sha256", "text", "of the input bytes; of the sha256sum listing where several files"),
    Column("reader", "text", "format it was read as"),
    Column("notes", "text", "what the reader found that users should know", nullable=True),
    Column("rows", "int", "input rows taken", unit="rows"),
    Column("rejects", "int", "input rows that lie in rejects", unit="rows"),
    Column("ingested_at", "time", "when, UTC"),
)
REJECTS = _stored(
    "rejects",
    "an input row that could not be taken, so that nothing read is lost",
    ("source", "path", "line", "reason"),
    SOURCE,
    *ORIGIN,
    Column("raw", "text", "the row as it stands in the file", free_text=True),
    Column("reason", "text", "what was expected", free_text=True),
)
# A run of spaces is a token of its own in corpora tokenised by spaCy (ReLCo).
_TOKENS = (
    "CASE WHEN contains(text, '  ') THEN regexp_extract_all(text, '[^ ]+| {2,}') "
    "ELSE string_split(text, ' ') END"
)
SENTENCES = _stored(
    "sentences",
    "a learner's sentence",
    ("source", "path", "document", "position", "text"),
    SOURCE,
    Column("document", "text", "document within the source; the file's name where none is marked"),
    Column("position", "int", "order within the file, from 0"),
    Column("language", "text", "BCP 47 code"),
    Column("text", "text", "the sentence, its tokens joined by spaces", free_text=True),
    Column("tokens", "texts", "its tokens; edits count in them", derived=_TOKENS),
    Column("original", "text", "as published, where it was not tokenised", nullable=True, free_text=True),
    Column("learner", "text", "pseudonym", nullable=True, person=True),
    Column("level", "text", "CEFR level of the learner", nullable=True),
    Column("first_language", "text", "of the learner, as the source says", nullable=True),
    Column("context", "json", "what else the source says about it", nullable=True, free_text=True),
    origin=True,
)
EDITS = Table(
    "edits",
    "one annotator's edit of a sentence; noop (-1, -1): the annotator changed nothing",
    (
        Column("key", "text", "key of the sentence, a dash, position", derived="sentence || '-' || position"),
        SOURCE,
        Column("sentence", "text", "key of the sentence"),
        Column("position", "int", "order of the annotation within the sentence's block, from 0"),
        Column("annotator", "text", "the corpus's id or the name given with --annotator-names"),
        Column("start", "int", "first token", unit="tokens"),
        Column("end", "int", "one past the last token", unit="tokens"),
        Column("error_type", "text", "the corpus's own tag"),
        Column(
            "errant_type",
            "text",
            "M (missing), R (replace) or U (unnecessary), from span and "
            "correction, and ERRANT's category where the tag is known",
            nullable=True,
        ),
        Column(
            "correction",
            "text",
            "new tokens; empty: deletion; null: detected only",
            nullable=True,
            free_text=True,
        ),
        Column("required", "bool", "the annotator holds it necessary"),
        Column("comment", "text", "annotator's remark", nullable=True, free_text=True),
        Column(
            "as_written",
            "text",
            "correction as the file spells it, where M2 of ours would not",
            nullable=True,
            free_text=True,
        ),
        Column(
            "aligned_by", "text", "program that found span and type; null: the corpus has them", nullable=True
        ),
        *ORIGIN,
    ),
    ("sentence", "position"),
)
TURNS = _stored(
    "turns",
    "one turn of a dialogue",
    ("source", "path", "dialogue", "position"),
    SOURCE,
    Column("dialogue", "text", "name of the dialogue within the source"),
    Column("position", "int", "order within the dialogue, from 0"),
    Column("role", "text", "user (the learner), assistant (the tutor) or system"),
    Column("content", "text", "what was said; may be empty", free_text=True),
    Column("act", "text", "the tutor's move, as the corpus names it", nullable=True),
    Column("state", "json", "the tutor's structured fields", nullable=True, free_text=True),
    origin=True,
)
_REVIEW = ("source", "path", "line", "n")
REVIEWS = Table(
    "reviews",
    "one study event of a learner",
    (
        Column("key", "text", "hash of the identity columns: 20 hex digits", derived=key_sql(_REVIEW)),
        SOURCE,
        Column("learner", "text", "pseudonym", person=True),
        Column("item", "text", "what was studied: a card, a skill, or a completion's id in its source"),
        Column("at", "time", "when, UTC; null in logs that only keep the order", nullable=True),
        Column("kind", "text", "learn, review, relearn, filtered or manual in Anki's logs", nullable=True),
        Column("correct", "bool", "whether the learner knew it; null where nothing was asked", nullable=True),
        Column(
            "grade",
            "int",
            "the learner's own grade, as the log has it (Anki: 1 again … 4 easy)",
            nullable=True,
        ),
        Column("attempts", "int", "tries it took within the event", nullable=True, unit="tries"),
        Column(
            "duration_ms",
            "int",
            "time taken, as logged; Anki stops counting at its cap",
            nullable=True,
            unit="ms",
        ),
        Column("interval_days", "float", "until it is due again", nullable=True, unit="days"),
        Column("n", "int", "number among the events of one input line, from 0"),
        *ORIGIN,
    ),
    _REVIEW,
)
PROMPTS = _stored(
    "prompts",
    "something a tutor must answer",
    ("source", "task", "messages", "group"),
    SOURCE,
    Column("ref", "text", "the source's own id of it", nullable=True),
    Column("task", "text", "mnemonic, gec, tutor, study-plan, qa, …"),
    Column("language", "text", "BCP 47 code"),
    Column("messages", "messages", "the dialogue so far, the last turn the user's", free_text=True),
    Column("group", "text", "rows that must never be split: same term, problem or document", free_text=True),
    Column("context", "json", "what else the source says about it", nullable=True, free_text=True),
    origin=True,
)
COMPLETIONS = _stored(
    "completions",
    "one candidate answer to a prompt",
    ("source", "prompt", "content", "ref"),
    SOURCE,
    Column("ref", "text", "the source's own id of it", nullable=True),
    Column("prompt", "text", "key of the prompt"),
    Column("content", "text", "the answer", free_text=True),
    Column("origin", "text", "human, learner, reference or model"),
    Column("author", "text", "a learner's pseudonym, a role, or a model's name and revision", nullable=True),
    Column("context", "json", "sampling, edit ids, …", nullable=True, free_text=True),
    origin=True,
)
ANNOTATORS = _stored(
    "annotators",
    "who judged",
    ("source", "pseudonym"),
    Column("source", "text", "the source whose completions they judged"),
    Column("kind", "text", "student, expert, crowd or model"),
    Column("pseudonym", "text", "of a person; of a model, its name and revision"),
)
RUBRICS = _stored(
    "rubrics",
    "a criterion that completions are rated on",
    ("source", "criterion"),
    SOURCE,
    Column("criterion", "text", "its name"),
    Column("wording", "text", "as the annotators read it", nullable=True),
    Column("levels", "int", "number of levels"),
    Column("higher_is_better", "bool", "direction"),
    Column("weight", "float", "share in a summary score"),
    Column(
        "scores",
        "json",
        "what each level earns of the weight, 0 to 1, from level 1; null: evenly spaced",
        nullable=True,
    ),
)
VOTES = _stored(
    "votes",
    "expressed: a pairwise judgement",
    ("source", "path", "line", "n", "completion_a", "completion_b", "choice"),
    SOURCE,
    Column("completion_a", "text", "key of a completion"),
    Column("completion_b", "text", "key of another completion of the same prompt"),
    Column("choice", "text", "a, b or tie"),
    Column("annotator", "text", "key; null where the source is aggregated", nullable=True),
    Column("shown_first", "text", "a or b; null where not known", nullable=True),
    Column("at", "time", "when, UTC", nullable=True),
    Column("n", "int", "number among the signals of one input line, from 0"),
    origin=True,
)
RATINGS = _stored(
    "ratings",
    "expressed: a rating of one completion",
    ("source", "path", "line", "n", "completion", "criterion", "value"),
    SOURCE,
    Column("completion", "text", "key of the completion"),
    Column("criterion", "text", "name in rubrics"),
    Column("value", "int", "1..levels"),
    Column("levels", "int", "number of levels"),
    Column("annotator", "text", "key; null where the source is aggregated", nullable=True),
    Column("at", "time", "when, UTC", nullable=True),
    Column("n", "int", "number among the signals of one input line, from 0"),
    origin=True,
)
OUTCOMES = _stored(
    "outcomes",
    "observed: what a learner achieved with a completion",
    ("source", "path", "line", "n", "completion", "measure", "value"),
    SOURCE,
    Column("completion", "text", "key of the completion"),
    Column("learner", "text", "pseudonym; null where not known", nullable=True, person=True),
    Column("measure", "text", "turns (failures before success) or success (0 or 1)"),
    Column("value", "float", "turns: fewer is better; success: 0 or 1"),
    Column("censored", "bool", "still failing when the log ended"),
    Column("at", "time", "when, UTC", nullable=True),
    Column("n", "int", "number among the signals of one input line, from 0"),
    origin=True,
)
QUESTIONS = _stored(
    "questions",
    "what annotators are asked in a campaign",
    ("source", "completion_a", "completion_b", "purpose"),
    Column("source", "text", "name of the campaign, which is a source of votes and ratings"),
    Column("position", "int", "in the order of asking, from 1"),
    Column("rubric", "text", "digest of the rubric's text"),
    Column("prompt", "text", "key of the prompt"),
    Column("completion_a", "text", "key of the completion; a to the votes about a pair"),
    Column("completion_b", "text", "key of the other one; null where one is rated alone", nullable=True),
    Column("shown_first", "text", "a or b; null where one is rated alone", nullable=True),
    Column("purpose", "text", "ask; repeat: asked before, answers should agree; known: the answer is known"),
    Column("expected", "text", "answer to a known question: a, b or tie", nullable=True),
    Column("chosen_by", "text", "information, uncertain, coverage or random"),
    Column("asked_at", "time", "when it was put to annotators, UTC", nullable=True),
)
ANSWERS = _stored(
    "answers",
    "an annotator's answer to a question as it was given, also one changed since",
    ("question", "annotator", "given", "at"),
    Column("source", "text", "name of the campaign"),
    Column("question", "text", "key of the question"),
    Column("annotator", "text", "key of the annotator"),
    Column("given", "json", "value by criterion, as the rubric names them"),
    Column("comment", "text", "annotator's remark", nullable=True, free_text=True),
    Column("at", "time", "when it was submitted or changed, UTC"),
    Column(
        "superseded_at", "time", "when it was found changed or withdrawn, UTC; null: it stands", nullable=True
    ),
    Column(
        "came_by", "text", "argilla, file or judge: it is withdrawn when it is gone from there", nullable=True
    ),
)
REPLIES = _stored(
    "replies",
    "what a model sent back to one request, failures too; a reply that is there is never asked for again",
    ("model", "request", "nth"),
    Column("source", "text", "name of the source or campaign it was first asked for"),
    Column("purpose", "text", "generate or judge"),
    Column("model", "text", "back-end, name and revision"),
    Column("request", "text", "hash of all that was sent: messages, sampling, schema, number of the draw"),
    Column("nth", "int", "number among replies to this request, from 1: what is malformed is asked again"),
    Column("prompt", "text", "key of the prompt"),
    Column("completion_a", "text", "key of what was judged, or was shown first", nullable=True),
    Column("completion_b", "text", "key of what was shown second", nullable=True),
    Column("template", "text", "hash of the template and the rubric that the messages were written by"),
    Column("sampling", "json", "temperature, top_p, max_tokens, seed, draw, …"),
    Column("raw", "text", "what came back, as it stands", free_text=True),
    Column(
        "answer",
        "json",
        "what was read from it and fits the rubric; null where nothing does",
        nullable=True,
        free_text=True,
    ),
    Column("error", "text", "why it could not be used", nullable=True, free_text=True),
    Column("prompt_tokens", "int", "as the back-end counts", nullable=True, unit="tokens"),
    Column("completion_tokens", "int", "as the back-end counts", nullable=True, unit="tokens"),
    Column("cost", "float", "by the price table; null where it has no price", nullable=True, unit="USD"),
    Column("at", "time", "when, UTC"),
)
FITS = _stored(
    "fits",
    "a run of the fusion model",
    ("config", "inputs", "method", "seed", "versions"),
    Column("config", "json", "target, sources and sampler settings"),
    Column("inputs", "text", "digest of the keys of every signal and completion seen"),
    Column("method", "text", "hmc or laplace; map for a quick look"),
    Column("seed", "int", "of the sampler"),
    Column("converged", "bool", "R-hat, ESS and divergences pass"),
    Column("diagnostics", "json", "R-hat, ESS, divergences, posterior predictive checks"),
    Column("findings", "json", "rho, scales, annotators' habits, with 90 % intervals"),
    Column("versions", "json", "of the libraries that made it"),
    Column("fitted_at", "time", "when, UTC"),
)
EFFECTIVENESS = _stored(
    "effectiveness",
    "a completion under a fit, on the log-odds scale",
    ("fit", "completion"),
    Column("fit", "text", "key of the fit"),
    Column("completion", "text", "key of the completion"),
    Column("mean", "float", "posterior mean of the target", unit="log-odds"),
    Column("sd", "float", "posterior standard deviation of the target", unit="log-odds"),
    Column("low", "float", "5 % quantile of the target", unit="log-odds"),
    Column("high", "float", "95 % quantile of the target", unit="log-odds"),
    Column("expressed_mean", "float", "of what people prefer", unit="log-odds"),
    Column("expressed_sd", "float", "of what people prefer", unit="log-odds"),
    Column("observed_mean", "float", "of what helps", unit="log-odds"),
    Column("observed_sd", "float", "of what helps", unit="log-odds"),
    Column("n_votes", "int", "votes it took part in"),
    Column("n_ratings", "int", "ratings it received"),
    Column("n_outcomes", "int", "outcomes of learners with it"),
)
PREFERENCES = _stored(
    "preferences",
    "a pair of completions of one prompt under a fit",
    ("fit", "completion_a", "completion_b"),
    Column("fit", "text", "key of the fit"),
    Column("prompt", "text", "key of the prompt"),
    Column("completion_a", "text", "key"),
    Column("completion_b", "text", "key"),
    Column("p", "float", "P(a is better than b)"),
    Column("sd", "float", "of the difference of the target", unit="log-odds"),
    Column("p_expressed", "float", "P(a is preferred to b)"),
    Column("p_observed", "float", "P(a helps more than b)"),
    Column("information_gain", "float", "by how much one more vote should lower 2p(1 - p)"),
)
CHAIN_ENDS = _stored(
    "chain_ends",
    "where the chains of a fit ended, from where a fit with some more signals can go on",
    ("fit", "site", "member"),
    Column("fit", "text", "key of the fit"),
    Column("site", "text", "parameter of the model, as it is sampled"),
    Column("member", "text", "key or pseudonym of whom it belongs to; else its number, from 0"),
    Column("ends", "json", "its last value in each chain"),
    Column("covariance", "json", "its variance; of a parameter without members with all such, in order"),
)
BUILDS = _stored(
    "builds",
    "a dataset that was built",
    ("recipe", "fit", "digests"),
    Column("name", "text", "the recipe's name"),
    Column("out", "text", "folder it was written to, as given"),
    Column("recipe", "json", "the recipe, defaults filled in"),
    Column("fit", "text", "key of the fit; null where it was built without one", nullable=True),
    Column("digests", "json", "sha256 of every file"),
    Column("counts", "json", "rows kept per config and split, dropped with reasons"),
    Column("gates", "json", "each gate's verdict and number"),
    Column("built_at", "time", "when, UTC"),
)

FORGOTTEN = _stored(
    "forgotten",
    "a person whose rows were taken out and will not be taken in again",
    ("person",),
    Column("person", "text", "hash of the pseudonym, which itself is nowhere any more"),
    Column("forgotten_at", "time", "when, UTC"),
)

TABLES: dict[str, Table] = {
    table.name: table
    for table in (
        SOURCES,
        REJECTS,
        SENTENCES,
        EDITS,
        TURNS,
        REVIEWS,
        PROMPTS,
        COMPLETIONS,
        ANNOTATORS,
        RUBRICS,
        VOTES,
        RATINGS,
        OUTCOMES,
        QUESTIONS,
        ANSWERS,
        REPLIES,
        FITS,
        EFFECTIVENESS,
        PREFERENCES,
        CHAIN_ENDS,
        BUILDS,
        FORGOTTEN,
    )
}

# Tables whose rows belong to a source and leave with it.
OF_A_SOURCE = (
    REJECTS,
    SENTENCES,
    EDITS,
    TURNS,
    REVIEWS,
    PROMPTS,
    COMPLETIONS,
    ANNOTATORS,
    RUBRICS,
    VOTES,
    RATINGS,
    OUTCOMES,
    QUESTIONS,
    ANSWERS,
    REPLIES,
)
