"""Studies: learners at work on exercises, and which explanation each of them was given, by chance.

What they answer is in `reviews`, what comes of it in `outcomes`, what they say in `votes` and `ratings`.
"""

from .declare import SOURCE, Column, declare

STUDIES = declare(
    "studies",
    "a study that was put before learners; its name is a source",
    ("source",),
    SOURCE,
    Column("languages", "texts", "languages of the pages, BCP 47 codes"),
    Column("policy", "text", "how explanations are drawn at the last push: uniform or thompson"),
    Column("fit", "text", "key of the fit that probabilities were computed from", nullable=True),
    Column("seed", "int", "of the order of new exercises"),
    Column("delay_hours", "float", "from here on an answer after a pause is delayed recall", unit="hours"),
    Column("consents", "json", "text of the consent by hash and language", free_text=True),
    Column("items", "int", "exercises and cards", unit="items"),
    Column("pushed_at", "time", "when it was last pushed, UTC"),
)
PARTICIPANTS = declare(
    "participants",
    "a learner's consent to a study; another text is another row",
    ("source", "learner", "consent"),
    SOURCE,
    Column("learner", "text", "pseudonym", person=True),
    Column("first_language", "text", "as the class list has it", nullable=True),
    Column("language", "text", "of the pages they chose, BCP 47 code"),
    Column("consent", "text", "hash of the text agreed to: 20 hex digits"),
    Column("consented_at", "time", "when, UTC"),
)
ASSIGNMENTS = declare(
    "assignments",
    "an explanation that a learner was given, drawn by chance",
    ("source", "learner", "prompt"),
    SOURCE,
    Column("learner", "text", "pseudonym", person=True),
    Column("item", "text", "exercise or card after whose first answer it was given, as in reviews"),
    Column("prompt", "text", "key of the prompt"),
    Column("completion", "text", "key of the completion that was drawn"),
    Column("arm", "text", "author of the completion, or its place among the prompt's: 1, 2, …"),
    Column("propensity", "float", "probability with which it was drawn"),
    Column("chances", "json", "probability of each explanation of the prompt at the draw, by arm"),
    Column("policy", "text", "uniform or thompson"),
    Column("fit", "text", "key of the fit that the probability was computed from", nullable=True),
    Column(
        "knew", "bool", "the first answer was right before any explanation; null: not known", nullable=True
    ),
    Column("consent", "text", "hash of the text agreed to by then"),
    Column("at", "time", "when it was drawn, UTC"),
    Column("both_at", "time", "when another explanation was shown beside it, UTC", nullable=True),
    origin=True,
)
