"""Who judges, by which rubric, what was asked and what was answered."""

from .declare import SOURCE, Column, declare

ANNOTATORS = declare(
    "annotators",
    "who judged",
    ("pseudonym", "within"),
    Column(
        "within",
        "text",
        "source whose own number their id is, such as 3 or annotator-3; null: one person in every source",
        nullable=True,
    ),
    Column("kind", "text", "student, expert, crowd or model; of several: model, expert, student, crowd"),
    Column("pseudonym", "text", "of a person; of a model, its name and revision"),
    Column("known", "json", "what else is known of them, such as language and level", nullable=True),
    Column("excluded_at", "time", "when they were left out of fits, UTC; null: they count", nullable=True),
)
RUBRICS = declare(
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
QUESTIONS = declare(
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
ANSWERS = declare(
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
        "came_by",
        "text",
        "argilla, study, file or judge: it is withdrawn when it is gone from there",
        nullable=True,
    ),
)
REPLIES = declare(
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
