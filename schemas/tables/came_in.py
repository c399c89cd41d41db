"""Tables of input: sources, rejects, texts, edits, dialogues, study events, prompts and completions."""

from ..keys import hash_key_sql
from .declare import ORIGIN, SOURCE, Column, Table, declare

SOURCES = declare(
    "sources",
    "a corpus, log or campaign",
    ("name",),
    Column("name", "text", "the name given at ingest"),
    Column("kind", "text", "gec, log, dialogue, preference, lexicon or generated"),
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
REJECTS = declare(
    "rejects",
    "an input row that could not be taken, so that nothing read is lost",
    ("source", "path", "line", "reason"),
    SOURCE,
    *ORIGIN,
    Column("raw", "text", "the row as it stands in the file", free_text=True),
    Column("reason", "text", "what was expected", free_text=True),
)
# A run of spaces is a separate token in corpora tokenised by spaCy (ReLCo).
_TOKENS = (
    "CASE WHEN contains(text, '  ') THEN regexp_extract_all(text, '[^ ]+| {2,}') "
    "ELSE string_split(text, ' ') END"
)
SENTENCES = declare(
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
    Column(
        "incomplete",
        "texts",
        "annotators of whom an edit lies in rejects (*: it is not known whose), so that they give no full "
        "correction",
        nullable=True,
    ),
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
            "correction as the file spells it, where M2 of ours would not; alternatives stand between ||",
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
TURNS = declare(
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
        Column("key", "text", "hash of the identity columns: 20 hex digits", derived=hash_key_sql(_REVIEW)),
        SOURCE,
        Column("learner", "text", "pseudonym", person=True),
        Column("item", "text", "what was studied: a card, a skill, or a completion's id in its source"),
        Column("skills", "texts", "skills that it takes; null: the item is the skill itself", nullable=True),
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
        Column(
            "completion",
            "text",
            "key of the explanation that is shown with the item, where the log says (an exported deck)",
            nullable=True,
        ),
        Column("n", "int", "number among the events of one input line, from 0"),
        *ORIGIN,
    ),
    _REVIEW,
)
PROMPTS = declare(
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
COMPLETIONS = declare(
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
