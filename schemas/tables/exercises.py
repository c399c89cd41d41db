"""What learners are asked: exercises, and the terms of lexicons."""

from .declare import SOURCE, Column, declare

EXERCISES = declare(
    "exercises",
    "an exercise for learners, whose key is proven by what annotators, teachers or authors wrote",
    ("recipe", "kind", "sentence", "annotator", "position", "prompt", "completion", "term"),
    SOURCE,
    Column("recipe", "text", "name of the recipe that made it"),
    Column("kind", "text", "cloze, choice, spot, rewrite, order, flashcard, problem or move"),
    Column("language", "text", "BCP 47 code"),
    Column("shown", "text", "what the learner sees; ____ is the gap", free_text=True),
    Column("answers", "texts", "every accepted answer, the key first; of a flashcard there may be none"),
    Column("distractors", "texts", "wrong answers that learners gave, or moves that were too early"),
    Column("words", "texts", "of an exercise in order, the words to put in order"),
    Column(
        "error_type", "text", "the corpus's tag of the error; null where there are several", nullable=True
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
