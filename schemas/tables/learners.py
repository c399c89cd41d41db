"""Tables of learner models: fits, what each has mastered and remembers, and what that says of outcomes."""

from .declare import Column, declare

_FIT = Column("fit", "text", "key in learner_fits")
_LEARNER = Column("learner", "text", "pseudonym", person=True)

LEARNER_FITS = declare(
    "learner_fits",
    "a fit of a learner model: parameters that all learners share",
    ("kind", "config", "inputs", "versions"),
    Column("kind", "text", "mastery (learner × skill) or memory (learner × card)"),
    Column("config", "json", "sources and settings"),
    Column("inputs", "text", "digest of every answer seen"),
    Column("parameters", "json", "of the model, by name; of skills and questions in their order"),
    Column("answers", "int", "answers seen", unit="answers"),
    Column("learners", "int", "learners seen"),
    Column("loss", "float", "mean log-loss of answers, each foretold from those before it", unit="nats"),
    Column("notes", "text", "what was odd in the logs", nullable=True),
    Column("versions", "json", "of the libraries that made it"),
    Column("fitted_at", "time", "when, UTC"),
)
_CHANCE = (
    Column("mean", "float", "probability of success"),
    Column("low", "float", "5 % quantile of that probability"),
    Column("high", "float", "95 % quantile of that probability"),
)
MASTERY = declare(
    "mastery",
    "a skill that a learner has met, after the learner's last answer",
    ("fit", "learner", "skill"),
    _FIT,
    _LEARNER,
    Column("skill", "text", "as reviews name it"),
    *_CHANCE,
    Column("logit", "float", "mean of what an answer depends on", unit="log-odds"),
    Column("sd", "float", "its standard deviation", unit="log-odds"),
    Column("answers", "int", "answers that took the skill"),
    Column("correct", "int", "of these right"),
    Column("last_at", "time", "last of them, UTC", nullable=True),
)
LEARNER_STATES = declare(
    "learner_states",
    "all that the next answer of a learner is foretold from, beside the fit's parameters",
    ("fit", "learner"),
    _FIT,
    _LEARNER,
    Column("components", "json", "name -> answers, turn and day of the last; in the order of the state"),
    Column("turn", "int", "answers so far"),
    Column("state", "bytes", "mean, then covariance by rows, of ability, form and components: 8 bytes each"),
)
MEMORY = declare(
    "memory",
    "a card of a learner, at the time of the last review of all",
    ("fit", "learner", "item"),
    _FIT,
    _LEARNER,
    Column("item", "text", "the card, as reviews name it"),
    *_CHANCE,
    Column("due_at", "time", "when that probability falls to 0.9, UTC"),
    Column("reviews", "int", "reviews of the card"),
    Column("lapses", "int", "of these failed"),
    Column("last_at", "time", "last review, UTC"),
    Column("stability", "float", "by FSRS-6", unit="days"),
    Column("difficulty", "float", "by FSRS-6, 1 to 10"),
    Column("strength", "float", "mean beside FSRS-6", unit="log-odds"),
    Column("trait", "float", "mean of how the card differs for good"),
    Column("strength_variance", "float", "of strength"),
    Column("covariance", "float", "of strength and trait"),
    Column("trait_variance", "float", "of trait"),
)
OUTCOME_OFFSETS = declare(
    "outcome_offsets",
    "what an outcome owes to its learner, the item and the moment, and not to the completion",
    ("fit", "outcome", "learner"),
    _FIT,
    Column("outcome", "text", "key of the outcome"),
    _LEARNER,
    Column("offset", "float", "expected log-odds of success at that moment, less the mean", unit="log-odds"),
    Column("sd", "float", "its standard deviation", unit="log-odds"),
)
