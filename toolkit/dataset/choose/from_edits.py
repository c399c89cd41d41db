"""Grammar correction as prompts and completions: from annotators' edits to pairs, in SQL.

A prompt is a learner's sentence. Its completions are each annotator's correction, the learner's own
text, and for each annotator:

partial  a stated share of the edits left out, by a seeded hash of their keys
over     one word of the corrected text, changed as annotators often change it elsewhere

Chosen is an annotator's full correction; rejected is one of the others, unless it equals some
annotator's correction, or a combination of the alternatives that one allows. These pairs need no fit.
The completions are stored, so that people can vote.
"""

import polars as pl

from ....schemas.recipe import Corrections, Recipe
from ....schemas.tables import COMPLETIONS, PROMPTS, Column, Table
from ...store.connection import Store, add_key, insert, query, run
from ...store.temporary import make, make_from_frame
from ...store.where import match_sources
from ..steps import CANDIDATES, EXAMPLES, PROMPT
from .corrections import MOST_VARIANTS, VARIANTS, select_corrections
from .groups import group_sentences
from .pairs import NO_FIT, NORMAL

TASK = "gec"
_LEARNER = "learner"
_ORIGINS = {"full": "human", "learner": "learner"}  # the others are made here
_CHOICES_A_WORD = 20  # number of most frequent corrections of a word that an over-correction may use

_SENTENCE = Column("sentence", "text", "key of the sentence")
_ANNOTATOR = Column("annotator", "text", "who corrected it; null: the learner's own text", nullable=True)
_MADE = Column("made", "text", "full, partial, over or learner")

_SENTENCES = Table(
    "gec_sentences",
    "a sentence of the recipe's sources",
    (
        Column("key", "text", "key of the sentence"),
        Column("source", "text", "its source"),
        Column("path", "text", "its file"),
        Column("line", "int", "its line, from 1"),
        Column("position", "int", "order within the file, from 0"),
        Column("language", "text", "BCP 47 code"),
        Column("learner", "text", "pseudonym", nullable=True),
        Column("tokens", "texts", "its tokens"),
        Column("text", "text", "its tokens joined by spaces"),
        Column("shown", "text", "its text as published"),
        Column("unspaced", "bool", "true if it is published without spaces between tokens"),
        Column("group", "text", "its document; without one its normalised text"),
        Column("by_text", "bool", "true if the group is its text"),
        Column("incomplete", "texts", "annotators who lost an edit to rejects", nullable=True),
        Column("first_of_its_text", "bool", "false if a sentence before it has the same text"),
    ),
)
_UNFINISHED = Table(
    "gec_unfinished",
    "an annotator without a full correction of a sentence",
    (
        _SENTENCE,
        Column("annotator", "text", "as in edits; *: it is not known who"),
        Column("lost", "bool", "true: an edit lies in rejects; false: an error was marked, not corrected"),
    ),
)
_TEXTS = Table(
    "gec_texts",
    "what an annotator made of a sentence, or the learner's own text",
    (
        _SENTENCE,
        _ANNOTATOR,
        _MADE,
        Column("text", "text", "tokens joined by spaces"),
        Column("changed", "bool", "true if it differs from the learner's"),
    ),
)
_PROMPTS = Table(
    "gec_prompts",
    "a prompt: a learner's sentence",
    (
        Column("key", "text", "key of the prompt"),
        Column("messages", "messages", "the sentence, as the user's"),
        Column("sentence", "text", "key of the sentence"),
    ),
)
_ALLOWED = Table(
    "gec_allowed",
    "a text that an annotator allows, by alternatives of single edits",
    (
        _SENTENCE,
        Column(
            "same", "text", "the text as compared; null: more combinations than are compared", nullable=True
        ),
    ),
)
_COMPLETIONS = Table(
    "gec_completions",
    "a completion of such a prompt",
    (
        Column("key", "text", "key of the completion"),
        PROMPT,
        _ANNOTATOR,
        _MADE,
        Column("content", "text", "its text"),
    ),
)


def choose_from_edits(con: Store, recipe: Recipe, wanted: Corrections) -> dict[str, int]:
    """Make `candidates`, `examples` and `gec_groups` from edits of the recipe's sources; store prompts and
    completions.

    Returns the number of sentences that were left out, by reason.
    """
    find_full_corrections(con, recipe.sources)
    _texts(con, wanted)
    _allowed(con)
    prompts, completions = _store(con, wanted)
    make_from_frame(con, _COMPLETIONS, completions)
    make_from_frame(con, _PROMPTS, prompts)
    group_sentences(con)
    make(con, CANDIDATES, _PAIRS, {"rejected": list(wanted.rejected)})
    _limit_over(con, wanted)
    make(con, EXAMPLES, _EXAMPLES)
    ((repeated,),) = run(con, "SELECT count(*) FROM gec_sentences WHERE NOT first_of_its_text")
    unfinished = dict(run(con, "SELECT lost, count(*) FROM gec_unfinished GROUP BY lost"))
    others = {
        "a sentence that stands there before": repeated,
        "an error seen, not corrected": unfinished.get(False, 0),
        "an annotator whose edit lies in rejects": unfinished.get(True, 0),
    }
    return {reason: n for reason, n in others.items() if n}


def find_full_corrections(con: Store, sources: list[str]) -> None:
    """Make `gec_sentences`, the sentences of the sources, and `gec_unfinished`, who gives no full correction.

    The edits `e` for which FINISHED holds are full corrections.
    """
    make(
        con,
        _SENTENCES,
        f"""SELECT s.key, s.source, s.path, s.line, s.position, s.language, s.learner, s.tokens, s.text,
            coalesce(s.original, s.text) AS shown, s.original IS NOT NULL AS unspaced,
            CASE WHEN s.document <> s.path THEN s.source || ':' || s.document
                ELSE {NORMAL("s.text")} END AS "group", s.document = s.path AS by_text, s.incomplete,
            row_number() OVER (PARTITION BY {NORMAL("coalesce(s.original, s.text)")}
                ORDER BY s.source, s.path, s.position) = 1 AS first_of_its_text
        FROM sentences s WHERE {match_sources("s.source")}""",
        {"sources": sources},
    )
    make(con, _UNFINISHED, _LACKING)


# An annotator has no full correction who marked an error without correcting it, or lost an edit to rejects.
_LACKING = """
WITH lost AS (
    SELECT key AS sentence, unnest(incomplete) AS annotator FROM gec_sentences
), everyone AS (  -- whose edit it was is not known: it may be anybody's
    SELECT l.sentence, coalesce(e.annotator, l.annotator) AS annotator
    FROM lost l LEFT JOIN edits e ON l.annotator = '*' AND e.sentence = l.sentence
)
SELECT sentence, annotator, bool_or(lost) AS lost FROM (
    SELECT sentence, annotator, true AS lost FROM everyone
    UNION ALL
    SELECT sentence, annotator, false FROM edits
    WHERE correction IS NULL AND start >= 0 AND sentence IN (SELECT key FROM gec_sentences)
) GROUP BY sentence, annotator"""
FINISHED = "(e.sentence, e.annotator) NOT IN (SELECT (sentence, annotator) FROM gec_unfinished)"
_MINE = f"e.sentence IN (SELECT key FROM gec_sentences WHERE first_of_its_text) AND {FINISHED}"


def _texts(con: Store, wanted: Corrections) -> None:
    """Make `gec_texts`."""
    full = select_corrections(_MINE)
    make(con, _TEXTS)
    run(con, f"INSERT INTO gec_texts SELECT sentence, annotator, 'full', text, changed FROM ({full})")
    if "partial" in wanted.rejected:
        run(
            con,
            f"""CREATE OR REPLACE TEMP TABLE gec_edits_kept AS
            SELECT key FROM (
                SELECT e.key, row_number() OVER (PARTITION BY e.sentence, e.annotator
                        ORDER BY md5($seed || ':' || e.key), e.key) AS nth,
                    count(*) OVER (PARTITION BY e.sentence, e.annotator) AS n
                FROM edits e WHERE e.correction IS NOT NULL AND {_MINE}
            ) WHERE n > 1 AND nth > least(greatest(round($share * n), 1), n - 1)""",
            {"seed": str(wanted.seed), "share": wanted.left_out},
        )
        some = select_corrections("e.key IN (SELECT key FROM gec_edits_kept)")
        run(con, f"INSERT INTO gec_texts SELECT sentence, annotator, 'partial', text, changed FROM ({some})")
        run(con, "DROP TABLE gec_edits_kept")
    if "over" in wanted.rejected:
        run(con, _OVER, {"seed": str(wanted.seed), "choices": _CHOICES_A_WORD})
    run(
        con,
        """INSERT INTO gec_texts SELECT key, NULL, 'learner', text, false FROM gec_sentences
        WHERE first_of_its_text AND key IN (SELECT sentence FROM gec_texts)""",
    )


def _allowed(con: Store) -> None:
    """Make `gec_allowed` from every combination of annotators' alternatives."""
    variants = VARIANTS.format(which=_MINE, most=MOST_VARIANTS)
    run(con, f"CREATE OR REPLACE TEMP TABLE gec_variants AS {variants}")
    content = "CASE WHEN p.unspaced THEN replace(t.text, ' ', '') ELSE t.text END"
    make(
        con,
        _ALLOWED,
        f"""SELECT DISTINCT t.sentence, {NORMAL(content)} AS same
        FROM ({select_corrections("true", "gec_variants")}) t JOIN gec_sentences p ON p.key = t.sentence
        UNION ALL
        SELECT DISTINCT e.sentence, NULL FROM edits e WHERE contains(e.as_written, '||')
            AND e.correction IS NOT NULL AND {_MINE}
            AND e.sentence NOT IN (SELECT sentence FROM gec_variants)""",
    )
    run(con, "DROP TABLE gec_variants")


# A change is drawn as often as the corpus makes it (-ln(u) / n is least with a probability in proportion to
# n), among those of the error type that a word's corrections mostly have, and where the corpus has the new
# word beside one of its neighbours; where no place of the sentence is so, among changes made more than once.
_OVER = """
INSERT INTO gec_texts
WITH counted AS (
    SELECT p.language, p.tokens[e.start + 1] AS word, e.correction AS instead, e.error_type, count(*) AS n
    FROM edits e JOIN gec_sentences p ON p.key = e.sentence
    WHERE e."end" = e.start + 1 AND e.correction <> '' AND NOT contains(e.correction, ' ')
        AND regexp_full_match(p.tokens[e.start + 1], '[\\p{L}]+') AND e.correction <> p.tokens[e.start + 1]
    GROUP BY ALL
), usual AS (
    SELECT language, word, error_type FROM counted GROUP BY language, word, error_type
    QUALIFY row_number() OVER (PARTITION BY language, word ORDER BY sum(n) DESC, error_type) = 1
), changes AS (
    SELECT language, word, instead, n FROM counted SEMI JOIN usual USING (language, word, error_type)
    QUALIFY row_number() OVER (PARTITION BY language, word ORDER BY n DESC, instead) <= $choices
), words AS (
    SELECT t.sentence, t.annotator, p.language, string_split(t.text, ' ') AS tokens
    FROM gec_texts t JOIN gec_sentences p ON p.key = t.sentence
    WHERE t.made = 'full' AND NOT contains(t.text, '  ')
), places AS (
    SELECT *, unnest(range(1, len(tokens) + 1)) AS nth FROM words
), beside AS (
    SELECT DISTINCT language, tokens[nth] AS one, tokens[nth + 1] AS next FROM places WHERE nth < len(tokens)
), found AS (
    SELECT p.*, c.instead, c.n, l.one IS NOT NULL OR r.one IS NOT NULL AS fits
    FROM places p JOIN changes c ON c.language = p.language AND c.word = p.tokens[p.nth]
    LEFT JOIN beside l ON p.nth > 1 AND l.language = p.language AND l.one = p.tokens[p.nth - 1]
        AND l.next = c.instead
    LEFT JOIN beside r ON r.language = p.language AND r.one = c.instead AND r.next = p.tokens[p.nth + 1]
), one AS (
    SELECT sentence, annotator, arg_min({'nth': nth, 'tokens': tokens, 'instead': instead},
        if(fits, 0, 1e9) - ln((('0x' || left(
            md5(concat_ws(':', $seed, sentence, annotator, nth, instead)), 13))::UBIGINT + 1) / pow(2, 52))
            / n) AS pick
    FROM found WHERE fits OR n > 1 GROUP BY sentence, annotator
)
SELECT sentence, annotator, 'over', array_to_string(list_concat(list_append(
    pick.tokens[: pick.nth - 1], pick.instead), pick.tokens[pick.nth + 1 :]), ' '), true FROM one"""


def _limit_over(con: Store, wanted: Corrections) -> None:
    """Drop over-corrections beyond the recipe's share of the pairs, by a seeded hash of their keys.

    Where nothing else is asked for they are all of the pairs.
    """
    if set(wanted.rejected) == {"over"}:
        return
    run(
        con,
        """UPDATE candidates SET dropped = 'beyond the share of over-corrections' WHERE rowid IN (
            SELECT rowid FROM candidates WHERE made = 'over' AND dropped IS NULL
            QUALIFY row_number() OVER (ORDER BY md5($seed || ':' || rejected), rejected, chosen) >
                (SELECT floor(count(*) * $share / (1 - $share) + 1e-9) FROM candidates
                WHERE made <> 'over' AND dropped IS NULL)
        )""",
        {"seed": str(wanted.seed), "share": wanted.share},
    )


def _store(con: Store, wanted: Corrections) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Insert prompts and completions; return both, keyed, completions with annotator and made."""
    found = query(
        con,
        """SELECT p.* EXCLUDE (tokens, text, position, incomplete, by_text), t.annotator, t.made, t.changed,
            CASE WHEN p.unspaced THEN replace(t.text, ' ', '') ELSE t.text END AS content
        FROM gec_texts t JOIN gec_sentences p ON p.key = t.sentence
        ORDER BY p.source, p.path, p.position, t.annotator NULLS FIRST, t.made""",
    )
    message = pl.struct(pl.lit("user").alias("role"), pl.col("shown").alias("content"))
    rows = found.with_columns(pl.lit(TASK).alias("task"), pl.concat_list(message).alias("messages"))
    keyed = add_key(rows.rename({"key": "sentence"}), PROMPTS)
    prompts = keyed.unique("key", keep="first", maintain_order=True)
    partial = f"-partial-{wanted.left_out:g}-{wanted.seed}"
    how = pl.col("made").replace_strict({"partial": partial, "over": f"-over-{wanted.seed}"}, default="")
    settings = pl.struct("made", pl.lit(wanted.seed).alias("seed"), pl.lit(wanted.left_out).alias("left_out"))
    completions = keyed.rename({"key": "prompt"}).with_columns(
        pl.concat_str("sentence", pl.lit("-"), pl.col("annotator").fill_null(_LEARNER), how).alias("ref"),
        pl.col("made").replace_strict(_ORIGINS, default="model").alias("origin"),
        pl.when(pl.col("made") == "learner")
        .then("learner")
        .when(pl.col("made") == "full")
        .then("annotator")
        .otherwise(pl.format("preceptor {}", "made"))
        .alias("author"),
        settings.struct.json_encode().alias("context"),
    )
    completions = add_key(completions, COMPLETIONS)
    insert(con, PROMPTS, prompts.with_columns(pl.col("sentence").alias("ref")))
    insert(con, COMPLETIONS, completions)
    return prompts, completions


_BEST = f"""
full_ones AS (  -- annotators who agree are one
    SELECT prompt, {NORMAL("content")} AS same, arg_min(key, annotator) AS key, min(annotator) AS annotator,
        arg_min(content, annotator) AS content FROM gec_completions
    WHERE made = 'full' AND content <> '' GROUP BY ALL
)"""
_PAIRS = f"""
WITH {_BEST}
SELECT f.prompt, f.key AS chosen, m.key AS rejected, m.made, {NO_FIT}, CASE
    WHEN m.content = '' THEN 'an empty text'
    WHEN {NORMAL("m.content")} = f.same THEN 'equal texts'
    WHEN {NORMAL("m.content")} IN (SELECT o.same FROM full_ones o WHERE o.prompt = f.prompt)
        THEN 'an annotator holds the rejected text right'
    WHEN {NORMAL("m.content")} IN (SELECT a.same FROM gec_allowed a WHERE a.sentence = q.sentence)
        THEN 'an annotator allows the rejected text'
    WHEN q.sentence IN (SELECT a.sentence FROM gec_allowed a WHERE a.same IS NULL)
        THEN 'more combinations of alternatives than are compared'
    WHEN m.made <> 'learner' AND {NORMAL("m.content")} = {NORMAL("q.messages[1].content")}
        THEN 'the learner''s text again' END AS dropped
FROM full_ones f JOIN gec_completions m ON m.prompt = f.prompt
    AND (m.made = 'learner' OR m.made <> 'full' AND m.annotator = f.annotator)
JOIN gec_prompts q ON q.key = f.prompt WHERE list_contains($rejected, m.made)"""
_EXAMPLES = f"""
WITH {_BEST} SELECT prompt, key AS completion FROM full_ones"""
