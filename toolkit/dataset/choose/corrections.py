"""Apply an annotator's edits to a learner's sentence, in SQL.

An edit inside a longer one of the same annotator is part of it (EstGEC nests token edits in word
order edits) and left out; so is an insertion at the edge of a word order edit that adds its words itself.
Detected errors are left as they are.
"""

from ...store.connection import Store, query

# Edits of these sentences, without those at the edge of a word order edit that belong to it.
_SPANS = """
spans AS (
    SELECT e.sentence, e.annotator, e.position, e.start, e."end",
        CASE WHEN s.reader = 'm2' AND contains(e.correction, ' ')
            THEN trim(regexp_replace(e.correction, ' +', ' ', 'g'))
            ELSE e.correction END AS correction, e.error_type
    FROM {edits} e JOIN sources s ON s.name = e.source
    WHERE e.correction IS NOT NULL AND {which}
),
outer_spans AS (
    SELECT sentence, annotator, start, "end", string_split(correction, ' ') AS words,
        s.tokens[start + 1 : "end"] AS before
    FROM spans JOIN (SELECT key, tokens FROM sentences) s ON s.key = sentence
    WHERE start < "end" AND list_contains(string_split(error_type, ':'), 'WO')
),
alone AS (
    SELECT * FROM spans i WHERE NOT (start = "end" AND EXISTS (
        FROM outer_spans o WHERE o.sentence = i.sentence AND o.annotator = i.annotator
        AND i.start IN (o.start, o."end") AND len(list_filter(string_split(i.correction, ' '),
            lambda w: len(list_filter(o.words, lambda x: x = w))
                <= len(list_filter(o.before, lambda x: x = w)))) = 0))
)"""

# Sorted so, each edit is kept that starts at or after the end of the one kept last.
_ORDER = 'start, start < "end", "end" DESC, position'
_KEPT = f"""
ordered AS (
    SELECT *, max("end") OVER (PARTITION BY sentence, annotator ORDER BY {_ORDER}
        ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING) > start AS clashes FROM alone
),
tangled AS (SELECT DISTINCT sentence, annotator FROM ordered WHERE clashes),
untangled AS (
    SELECT sentence, annotator, list_reduce(
        list({{'start': start, 'end': "end", 'kept': [position]}} ORDER BY {_ORDER}),
        lambda last, e: CASE WHEN e.start >= last."end"
            THEN {{'start': e.start, 'end': e."end", 'kept': list_concat(last.kept, e.kept)}} ELSE last END
        ).kept AS kept
    FROM ordered SEMI JOIN tangled USING (sentence, annotator) GROUP BY sentence, annotator
),
kept_edits AS (
    SELECT * FROM ordered ANTI JOIN tangled USING (sentence, annotator)
    UNION ALL
    SELECT o.* FROM ordered o JOIN untangled u USING (sentence, annotator)
    WHERE list_contains(u.kept, o.position)
)"""


# Of a list of tokens, null if it is empty.
_JOINED = "nullif(array_to_string({}, ' '), '')"

# Runs of spaces inside a correction of M2 are slips; in texts that keep their own spacing they are not.
_PIECES = f"""
pieces AS (
    SELECT k.*, s.tokens,
        coalesce(lag("end") OVER (PARTITION BY sentence, annotator ORDER BY {_ORDER}), 0) AS done
    FROM kept_edits k JOIN (SELECT key, tokens FROM sentences) s ON s.key = k.sentence
),
joined AS (
    SELECT sentence, annotator, coalesce(concat_ws(' ',
        string_agg(nullif(concat_ws(' ', {_JOINED.format("tokens[done + 1 : start]")},
            nullif(correction, '')), ''), ' ' ORDER BY {_ORDER}),
        {_JOINED.format('any_value(tokens)[max("end") + 1 :]')}), '') AS text
    FROM pieces GROUP BY sentence, annotator
),
changed AS (  -- a run of spaces that is a token of its own is not given two more
    SELECT sentence, annotator, CASE WHEN contains(text, '    ')
        THEN regexp_replace(text, ' ( {{2,}}) ', '\\1', 'g') ELSE text END AS text
    FROM joined
)"""


def select_corrections(which: str, edits: str = "edits") -> str:
    """Write the SELECT of corrected sentences, from the edits `e` for which the condition `which` holds.

    `edits` is the table of edits, or one with the columns that are read here: `VARIANTS` has every
    combination of alternatives under an annotator of its own.
    Columns: sentence, annotator, text, changed (true if the text differs from the learner's). One row
    for each annotator of each sentence.
    """
    return f"""
WITH {_SPANS.format(which=which, edits=edits)}, {_KEPT}, {_PIECES},
annotated AS (SELECT DISTINCT e.sentence, e.annotator FROM {edits} e WHERE {which})
SELECT a.sentence, a.annotator,
    CASE WHEN c.sentence IS NULL THEN s.text ELSE coalesce(c.text, '') END AS text,
    CASE WHEN c.sentence IS NULL THEN s.text ELSE coalesce(c.text, '') END <> s.text AS changed
FROM annotated a JOIN sentences s ON s.key = a.sentence
LEFT JOIN changed c ON c.sentence = a.sentence AND c.annotator = a.annotator"""


MOST_VARIANTS = 256  # combinations of one annotator's alternatives in a sentence that are compared

# Edits of annotators who allow alternatives, once for each combination; `annotator` ends with its number.
# `total` is the number of combinations; of more than MOST_VARIANTS none are made.
VARIANTS = """
WITH several AS (
    SELECT DISTINCT e.sentence, e.annotator FROM edits e WHERE contains(e.as_written, '||')
        AND e.correction IS NOT NULL AND {which}
), options AS (
    SELECT e.*, CASE WHEN contains(as_written, '||')
        THEN list_transform(string_split(as_written, '||'),
            lambda o: CASE WHEN o = '-NONE-' THEN '' ELSE o END)
        ELSE [correction] END AS allowed
    FROM edits e SEMI JOIN several USING (sentence, annotator) WHERE correction IS NOT NULL
), counted AS (
    SELECT *, product(len(allowed)) OVER (PARTITION BY sentence, annotator) AS total,
        coalesce(product(len(allowed)) OVER (PARTITION BY sentence, annotator ORDER BY position
            ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING), 1) AS stride
    FROM options
), numbered AS (
    SELECT *, unnest(range(total::BIGINT)) AS n FROM counted WHERE total <= {most}
)
SELECT source, sentence, annotator || chr(31) || n AS annotator, position, start, "end", error_type,
    allowed[1 + (n // stride::BIGINT) % len(allowed)] AS correction FROM numbered"""


def correct_sentence(con: Store, sentence: str, annotator: str) -> str | None:
    """Return a sentence (by key) as an annotator corrected it; None if they did not annotate it."""
    found = query(con, select_corrections("e.sentence = $1 AND e.annotator = $2"), [sentence, annotator])
    text: str | None = found["text"][0] if found.height else None
    return text
