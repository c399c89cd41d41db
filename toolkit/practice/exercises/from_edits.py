"""Make exercises of learners' sentences and annotators' edits, in SQL.

    learner             He go to school every days .
    annotator 0         He goes to school every day .

    cloze    He ____ to school every day .        goes
    choice   He ____ to school every day .        goes; not: go (what the learner wrote), …
    spot     He go to school every day .          go
    rewrite  He go to school every days .         He goes to school every day .
    order    the words of a changed order, each once

All that surrounds the gap is the annotator's correction. An answer is accepted if any annotator's correction
of that text has it there, or allows it as an alternative; what an annotator left as it was is no error. Each
other option of a choice is what learners wrote where annotators made the same correction.
"""

from ....schemas.tables import Column, Table
from ...dataset.choose.corrections import select_corrections
from ...dataset.choose.from_edits import FINISHED, find_full_corrections
from ...dataset.choose.pairs import NORMAL
from ...store.connection import Store, run
from ...store.temporary import drop, make
from .proofs import GAP, TEXT_COLUMNS, select_texts
from .recipe import Exercises, Kind

_MARK, _BEFORE, _AFTER = "\ue000", "\ue001", "\ue002"  # private use: no text of a corpus has them
_MOST_EDITS = 12  # of one annotator in a sentence

_SENTENCE = Column("sentence", "text", "key of the sentence")
_ANNOTATOR = Column("annotator", "text", "who corrected it")

# Every annotator's whole correction of every text that is exercised, from all sources of the store.
_KNOWN = Table("practice_known", "what an annotator made of a text", TEXT_COLUMNS)
_PLACES = Table(
    "practice_places",
    "an edit that can be exercised, and the corrected sentence around it",
    (
        _SENTENCE,
        _ANNOTATOR,
        Column("position", "int", "of the edit"),
        Column("same", "text", "the learner's text as compared"),
        Column("source", "text", "of the sentence"),
        Column("language", "text", "BCP 47 code"),
        Column("left_part", "text", "the corrected sentence before it"),
        Column("right_part", "text", "the corrected sentence after it"),
        Column("start", "int", "first token of the learner's text"),
        Column("end", "int", "one past the last token"),
        Column("was", "text", "the learner's words there; empty: a word is missing"),
        Column("becomes", "text", "the annotator's words; empty: deleted"),
        Column("error_type", "text", "the corpus's tag"),
    ),
)
_ACCEPTED = Table(
    "practice_accepted",
    "an answer that an annotator accepts at a place",
    (
        _SENTENCE,
        _ANNOTATOR,
        Column("position", "int", "of the edit"),
        Column("answer", "text", "the words"),
        Column("source", "text", "of who accepts it"),
    ),
)

# One sentence of each text, of the recipe's sources.
_CHOSEN = f"""
CREATE OR REPLACE TEMP TABLE practice_chosen AS
SELECT key, source, language, tokens, text, {NORMAL("text")} AS same FROM gec_sentences
WHERE len(tokens) <= $longest AND list_contains($sources::VARCHAR[], source)
    AND NOT contains(text, '{GAP}') AND NOT regexp_matches(text, '[{_MARK}{_BEFORE}{_AFTER}]')
QUALIFY row_number() OVER (PARTITION BY {NORMAL("text")} ORDER BY source, path, position) = 1"""

_SELECT_KNOWN = select_texts("SELECT key FROM practice_same")

_EACH = f"""
CREATE OR REPLACE TEMP TABLE practice_edits AS
WITH mine AS (
    SELECT e.*, count(*) OVER (PARTITION BY e.sentence, e.annotator) AS n,
        coalesce(array_to_string(s.tokens[e.start + 1 : e."end"], ' '), '') AS was
    FROM edits e JOIN practice_chosen s ON s.key = e.sentence
    WHERE {FINISHED} AND e.correction IS NOT NULL AND e.start >= 0
)
SELECT e.* REPLACE (concat_ws(chr(31), e.annotator, t.position, m.made) AS annotator,
    CASE WHEN e.position <> t.position THEN e.correction WHEN m.made = 'gap' THEN '{_MARK}'
        ELSE concat('{_BEFORE} ', t.was, ' {_AFTER}') END AS correction)
FROM mine e JOIN mine t USING (sentence, annotator) CROSS JOIN (VALUES ('gap'), ('error')) m(made)
WHERE t.n <= {_MOST_EDITS} AND (m.made = 'gap' AND t.correction <> '' OR m.made = 'error' AND t.was <> '')"""

_MADE = f"""
CREATE OR REPLACE TEMP TABLE practice_texts AS
SELECT sentence, string_split(annotator, chr(31))[1] AS annotator,
    string_split(annotator, chr(31))[2]::BIGINT AS position, string_split(annotator, chr(31))[3] AS made, text
FROM ({select_corrections("true", "practice_edits")})"""

# A place counts where the key put into the gap gives the annotator's own text, letter by letter.
_SELECT_PLACES = f"""
SELECT t.sentence, t.annotator, t.position, s.same, s.source, s.language,
    string_split(t.text, '{_MARK}')[1] AS left_part, string_split(t.text, '{_MARK}')[2] AS right_part,
    e.start, e."end", coalesce(array_to_string(s.tokens[e.start + 1 : e."end"], ' '), '') AS was,
    e.correction AS becomes, e.error_type
FROM practice_texts t JOIN edits e USING (sentence, annotator, position)
JOIN practice_chosen s ON s.key = t.sentence
JOIN practice_known k ON k.sentence = t.sentence AND k.annotator = t.annotator
WHERE t.made = 'gap' AND contains(t.text, '{_MARK}') AND replace(t.text, '{_MARK}', e.correction) = k.text"""

# Answers: what stands in the gap in any annotator's text; another correction, or alternative, of the same
# words; and the learner's own words where an annotator left them.
_SELECT_ACCEPTED = """
WITH known AS (
    SELECT p.sentence, p.annotator, p.position, regexp_replace(p.left_part, ' +', ' ', 'g') AS left_part,
        regexp_replace(p.right_part, ' +', ' ', 'g') AS right_part,
        regexp_replace(k.text, ' +', ' ', 'g') AS text, p.start, p."end", p.was,
        k.sentence AS other, k.annotator AS who, o.source, o.text = s.text AS same_tokens
    FROM practice_places p JOIN practice_known k USING (same) JOIN sentences o ON o.key = k.sentence
    JOIN practice_chosen s ON s.key = p.sentence
), texts AS (
    SELECT sentence, annotator, position, source, substr(text, length(left_part) + 1,
        length(text) - length(left_part) - length(right_part)) AS answer
    FROM known WHERE length(text) >= length(left_part) + length(right_part)
        AND starts_with(lower(text), lower(left_part)) AND ends_with(lower(text), lower(right_part))
), spans AS (
    SELECT k.sentence, k.annotator, k.position, k.source, unnest(CASE WHEN contains(e.as_written, '||')
        THEN list_transform(string_split(e.as_written, '||'),
            lambda o: CASE WHEN o = '-NONE-' THEN '' ELSE o END) ELSE [e.correction] END) AS answer
    FROM known k JOIN edits e ON e.sentence = k.other AND e.annotator = k.who
        AND e.start = k.start AND e."end" = k."end"
    WHERE same_tokens AND e.correction IS NOT NULL
), left_alone AS (
    SELECT k.sentence, k.annotator, k.position, k.source, k.was AS answer FROM known k
    WHERE same_tokens AND NOT EXISTS (FROM edits e WHERE e.sentence = k.other AND e.annotator = k.who
        AND e.start >= 0 AND e.start <= k."end" AND e."end" >= k.start
        AND (k.start = k."end" OR e.start < k."end" AND e."end" > k.start))
)
SELECT DISTINCT sentence, annotator, position, trim(answer) AS answer, source
FROM (FROM texts UNION ALL BY NAME FROM spans UNION ALL BY NAME FROM left_alone)"""

# What learners wrote at the place, then what others wrote where the same correction was made; none that an
# annotator accepts there, in any spelling of case.
_OPTIONS = """
CREATE OR REPLACE TEMP TABLE practice_options AS
WITH written AS (
    SELECT language, error_type, lower(becomes) AS becomes, was, count(*) AS n,
        list(DISTINCT source) AS sources
    FROM practice_places WHERE was <> '' GROUP BY ALL
), offered AS (
    SELECT sentence, annotator, position, was AS answer, 0 AS turn, 1 AS n, [source] AS sources
    FROM practice_places WHERE was <> ''
    UNION ALL
    SELECT p.sentence, p.annotator, p.position, w.was, 1, w.n, w.sources
    FROM practice_places p JOIN written w
        ON w.language = p.language AND w.error_type = p.error_type AND w.becomes = lower(p.becomes)
), wrong AS (
    SELECT sentence, annotator, position,
        min(struct_pack(turn := turn, less := -n, answer := answer)) AS best,
        flatten(list(sources)) AS sources
    FROM offered o ANTI JOIN practice_accepted a ON a.sentence = o.sentence AND a.annotator = o.annotator
        AND a.position = o.position AND lower(trim(a.answer)) = lower(trim(o.answer))
    GROUP BY sentence, annotator, position, lower(answer)
), ranked AS (
    SELECT *, row_number() OVER (PARTITION BY sentence, annotator, position ORDER BY best) AS nth FROM wrong
)
SELECT sentence, annotator, position, list(best.answer ORDER BY nth) AS distractors,
    flatten(list(sources)) AS sources FROM ranked
WHERE nth <= $most GROUP BY ALL"""

# Gaps that must be filled: no annotator leaves them empty.
_GAPS = f"""
CREATE OR REPLACE TEMP TABLE practice_gaps AS
WITH allowed AS (
    SELECT sentence, annotator, position, list(DISTINCT answer ORDER BY answer) AS allowed,
        list(DISTINCT source ORDER BY source) AS sources
    FROM practice_accepted GROUP BY ALL HAVING NOT bool_or(answer = '')
)
SELECT p.*, concat(left_part, '{GAP}', right_part) AS shown, list_concat([becomes],
    list_filter(allowed, lambda a: a <> becomes)) AS accepted, sources
FROM practice_places p JOIN allowed USING (sentence, annotator, position)"""

_NONE = "[]::VARCHAR[]"
_MARKED = f"concat('{_BEFORE} ', p.was, ' {_AFTER}')"
_ERROR_LEFT = f"replace(t.text, {_MARKED}, p.was)"
_CORRECTED = f"trim(replace(replace(t.text, {_MARKED}, p.becomes), '  ', ' '))"
_OF_A_PLACE = "p.source, p.language, p.error_type, p.sentence, p.annotator, p.position"
_KINDS: dict[Kind, str] = {
    "cloze": f"""SELECT 'cloze' AS kind, {_OF_A_PLACE}, shown, accepted AS answers, {_NONE} AS distractors,
        {_NONE} AS words, sources FROM practice_gaps p""",
    "choice": f"""SELECT 'choice' AS kind, {_OF_A_PLACE}, shown, accepted AS answers, distractors,
        {_NONE} AS words, list_sort(list_distinct(list_concat(p.sources, o.sources))) AS sources
        FROM practice_gaps p JOIN practice_options o USING (sentence, annotator, position)""",
    # The error is the only one that is left, and no annotator holds it for right.
    "spot": f"""
        SELECT 'spot' AS kind, {_OF_A_PLACE}, {_ERROR_LEFT} AS shown, [p.was] AS answers,
            {_NONE} AS distractors, {_NONE} AS words, [p.source] AS sources
        FROM practice_texts t JOIN (SELECT e.sentence, e.annotator, e.position, c.source, c.language,
                e.error_type, array_to_string(c.tokens[e.start + 1 : e."end"], ' ') AS was,
                e.correction AS becomes, e.start, e."end", c.same, c.text
            FROM edits e JOIN practice_chosen c ON c.key = e.sentence) p USING (sentence, annotator, position)
        JOIN practice_known k ON k.sentence = t.sentence AND k.annotator = t.annotator
        WHERE t.made = 'error' AND contains(t.text, {_MARKED}) AND {_CORRECTED} = k.text
            AND len(string_split(concat(' ', {_ERROR_LEFT}, ' '), concat(' ', p.was, ' '))) = 2
            AND NOT EXISTS (FROM practice_known o WHERE o.same = p.same AND o.text = {_ERROR_LEFT})
            AND NOT EXISTS (FROM practice_known o JOIN sentences q ON q.key = o.sentence
                WHERE o.same = p.same AND (q.text <> p.text OR NOT EXISTS (FROM edits e
                    WHERE e.sentence = o.sentence AND e.annotator = o.annotator AND e.start >= 0
                        AND e.start < p."end" AND e."end" > p.start)))""",
    # Everybody who corrected the text changed it.
    "rewrite": f"""
        SELECT 'rewrite' AS kind, source, language, NULL AS error_type, sentence, key.annotator AS annotator,
            NULL::BIGINT AS position, shown,
            list_concat([key.text], list_filter(texts, lambda t: t <> key.text)) AS answers,
        {_NONE} AS distractors, {_NONE} AS words, sources
        FROM (SELECT s.source, s.language, s.key AS sentence, s.text AS shown,
            min(struct_pack(annotator := k.annotator, text := k.text)) FILTER (k.sentence = s.key) AS key,
            list(DISTINCT k.text ORDER BY k.text) AS texts,
            list(DISTINCT o.source ORDER BY o.source) AS sources
            FROM practice_chosen s JOIN practice_known k USING (same) JOIN sentences o ON o.key = k.sentence
            GROUP BY s.source, s.language, s.key, s.text
            HAVING NOT bool_or(k.text = s.text OR trim(k.text) = '') AND bool_or(k.sentence = s.key))""",
    "order": f"""
        SELECT 'order' AS kind, {_OF_A_PLACE}, shown,
            list_filter(accepted, lambda a: list_sort(string_split(lower(a), ' ')) = letters) AS answers,
            {_NONE} AS distractors, words, sources
        FROM (SELECT *, list_sort(string_split(lower(becomes), ' ')) AS letters,
            list_transform(list_sort(list_transform(string_split(becomes, ' '), lambda w, i:
                [md5(concat_ws(':', $seed, sentence, position, i, w)), w])), lambda x: x[2]) AS words
            FROM practice_gaps) p
        WHERE list_contains(string_split(error_type, ':'), 'WO') AND len(letters) BETWEEN 3 AND 9
            AND list_sort(string_split(lower(was), ' ')) = letters
            AND NOT list_contains(list_transform(accepted, lambda a: lower(a)),
                lower(array_to_string(words, ' ')))""",
}


def choose_exercises(con: Store, recipe: Exercises) -> str:
    """Make the temporary tables of places and accepted answers; return the SELECT of the exercises.

    Its columns are those of the table `exercises` but key, recipe and level; some nullable ones are missing.
    Parameter: $seed.
    """
    find_full_corrections(con, [])
    run(con, _CHOSEN, {"longest": recipe.longest, "sources": recipe.sources})
    run(
        con,
        f"""CREATE OR REPLACE TEMP TABLE practice_same AS SELECT key FROM gec_sentences
        WHERE {NORMAL("text")} IN (SELECT same FROM practice_chosen)""",
    )
    make(con, _KNOWN, _SELECT_KNOWN)
    run(con, _EACH)
    run(con, _MADE)
    make(con, _PLACES, _SELECT_PLACES)
    make(con, _ACCEPTED, _SELECT_ACCEPTED)
    run(con, _OPTIONS, {"most": recipe.distractors})
    run(con, _GAPS)
    return " UNION ALL BY NAME ".join(
        _KINDS[kind] for kind in dict.fromkeys(recipe.exercises) if kind in _KINDS
    )


def drop_tables(con: Store) -> None:
    """Drop the temporary tables."""
    drop(con, _KNOWN, _PLACES, _ACCEPTED)
    for name in ("chosen", "same", "edits", "texts", "options", "gaps"):
        run(con, f"DROP TABLE temp.practice_{name}")
