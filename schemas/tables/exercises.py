"""What learners are asked: exercises, and the terms of lexicons."""

from .declare import SOURCE, Column, declare

EXERCISES = declare(
    "exercises",
    "an exercise for learners, whose key is proven by what annotators, teachers or authors wrote",
    ("recipe", "kind", "sentence", "annotator", "position", "prompt", "completion", "term"),
    SOURCE,
    Column("recipe", "text", "name of the recipe that made it"),
    Column("kind", "text", "cloze, choice, spot, rewrite, order, flashcard, problem, move or question"),
    Column("language", "text", "BCP 47 code"),
    Column("shown", "text", "what the learner sees; ____ is the gap", free_text=True),
    Column("answers", "texts", "every accepted answer, the key first; of a flashcard there may be none"),
    Column(
        "distractors",
        "texts",
        "wrong answers that learners gave, moves that were too early, or what a model made up",
    ),
    Column("words", "texts", "of an exercise in order, the words to put in order"),
    Column(
        "error_type", "text", "the corpus's tag of the error; null where there are several", nullable=True
    ),
    Column("hint", "text", "what kind of error it is about, in English, where that is known", nullable=True),
    Column(
        "before", "text", "the sentence before, corrected; null if unknown", nullable=True, free_text=True
    ),
    Column("after", "text", "the sentence after, corrected; null if unknown", nullable=True, free_text=True),
    Column(
        "band",
        "int",
        "how frequent the rarest word of the key (of a flashcard: of the term) is; null if unknown",
        nullable=True,
        unit="Zipf, rounded down: 7 the, 3 one in a million words, 0 rarer than any list has",
    ),
    Column("level", "text", "CEFR level of the learner who wrote it", nullable=True),
    Column("sentence", "text", "key of the sentence it is made of", nullable=True),
    Column("annotator", "text", "whose correction the key is", nullable=True),
    Column(
        "position", "int", "of the edit within the sentence; null: all of them, or no edit", nullable=True
    ),
    Column("prompt", "text", "key of the prompt it is made of", nullable=True),
    Column("completion", "text", "key of the completion that the key is read from", nullable=True),
    Column("term", "text", "key of the lexicon's term it asks for", nullable=True),
    Column("arms", "texts", "keys of the completions that explain it: one is shown, A or B", nullable=True),
    Column("sources", "texts", "sources of all texts in it, sorted; all their licences apply"),
)
LEXICON = declare(
    "lexicon",
    "a term of a list of words or idioms",
    ("source", "language", "term", "gloss"),
    SOURCE,
    Column("language", "text", "BCP 47 code"),
    Column("term", "text", "the word or idiom"),
    Column("gloss", "text", "what it means", nullable=True, free_text=True),
    Column("frequency", "float", "how often it occurs in texts", nullable=True, unit="per million words"),
    origin=True,
)
