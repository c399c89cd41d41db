"""Check answers to a campaign's questions and compare them with the valid ones, in SQL.

The temporary tables are declared in steps.py.
"""

from ....annotation.models.backends.hf_likelihood import KIND
from ....schemas.keys import hash_key_sql
from ....schemas.tables import ANNOTATORS, ANSWERS, RATINGS, REJECTS, VOTES, Table
from ...ingest.batch import FORGOTTEN_REASON
from .steps import SAID_RATINGS, SAID_VOTES

# One row for each criterion of an answer; none for an answer that is no JSON object.
_ENTRIES = """
entries AS (
    SELECT nth, c AS criterion,
        given->('/' || replace(replace(c, '~', '~0'), '/', '~1')) AS value
    FROM (SELECT nth, given, unnest(json_keys(given)) AS c FROM given_rows
        WHERE CASE WHEN json_valid(given) THEN json_type(given) END = 'OBJECT')
), checked AS (
    SELECT e.*, levels, CASE
        WHEN r.criterion IS NULL THEN printf('no criterion ''%s'' was asked for', e.criterion)
        WHEN q.completion_b IS NOT NULL
            AND value::VARCHAR NOT IN ('"a"', '"b"', if(levels > 2, '"tie"', '"a"'))
            THEN printf('%s is %s, expected a%s', e.criterion, value::VARCHAR,
                if(levels > 2, ', b or tie', ' or b: the rubric has no tie'))
        WHEN q.completion_b IS NULL AND NOT coalesce(json_type(value) IN ('BIGINT', 'UBIGINT')
            AND TRY_CAST(value::VARCHAR AS BIGINT) BETWEEN 1 AND levels, false)
            THEN printf('%s is %s, expected a whole number from 1 to %d', e.criterion, value::VARCHAR, levels)
        END AS wrong
    FROM entries e JOIN given_rows i USING (nth)
    JOIN questions q ON q.source = $campaign AND q.key = i.question
    LEFT JOIN rubrics r ON r.source = $campaign AND r.criterion = e.criterion
), whole AS (
    SELECT nth, min(wrong) AS wrong,
        printf('{%s}', string_agg(to_json(criterion)::VARCHAR || ': ' || value::VARCHAR, ', '
            ORDER BY criterion)) AS clean
    FROM checked GROUP BY nth
)"""

SELECT_JUDGED = f"""
WITH {_ENTRIES}
SELECT i.* EXCLUDE (given), coalesce(clean, given) AS given, q.position, q.completion_b,
    CASE WHEN gone THEN '{FORGOTTEN_REASON}'
        WHEN q.key IS NULL THEN printf('''%s'' is no question of the campaign', coalesce(question, ''))
        WHEN i.pseudonym IS NULL THEN 'no annotator is named'
        WHEN i."at" IS NULL THEN 'no time is given'
        WHEN NOT coalesce(json_valid(given), false) THEN 'not valid JSON'
        WHEN w.nth IS NULL THEN 'expected a JSON object with a value for each criterion'
        ELSE w.wrong END AS reason
FROM given_rows i LEFT JOIN questions q ON q.source = $campaign AND q.key = i.question
LEFT JOIN whole w USING (nth)"""

SELECT_PEOPLE = f"""
SELECT *, {hash_key_sql(ANNOTATORS.identity)} AS key FROM (
    SELECT DISTINCT pseudonym, NULL::VARCHAR AS within FROM judged WHERE reason IS NULL)"""
NEW_PEOPLE = """INSERT INTO annotators (key, kind, pseudonym)
SELECT key, coalesce($kind, 'crowd'), pseudonym FROM people
WHERE key NOT IN (SELECT key FROM annotators)"""
OF_KIND = """UPDATE annotators SET kind = $kind WHERE key IN (SELECT key FROM people) AND kind <> $kind"""

SELECT_LATEST = f"""
WITH fitting AS (
    SELECT j.*, p.key AS annotator,
        row_number() OVER (PARTITION BY question, p.key ORDER BY j."at" DESC, nth DESC) = 1 AS is_last
    FROM judged j JOIN people p ON p.pseudonym = j.pseudonym WHERE reason IS NULL
), keyed AS (SELECT *, {hash_key_sql(ANSWERS.identity)} AS key FROM fitting)
SELECT k.*, s.key AS standing,
    CASE WHEN NOT is_last THEN 'older' WHEN s.key IS NULL THEN 'new'
        WHEN s.given::VARCHAR = k.given AND s.comment IS NOT DISTINCT FROM k.comment THEN 'unchanged'
        WHEN k."at" >= s."at" THEN 'superseded' ELSE 'older' END AS status
FROM keyed k LEFT JOIN answers s
    ON s.question = k.question AND s.annotator = k.annotator AND s.superseded_at IS NULL"""

# Only answers that came the same way can be withdrawn.
SELECT_WITHDRAWN = """
SELECT a.key, p.pseudonym FROM answers a JOIN annotators p ON p.key = a.annotator
WHERE a.source = $campaign AND a.superseded_at IS NULL AND a.came_by = $came_by
    AND list_contains($questions::VARCHAR[], a.question)
    AND list_contains($pseudonyms::VARCHAR[], p.pseudonym)
    AND ($pairs::VARCHAR[] IS NULL OR list_contains($pairs::VARCHAR[], a.question || ' ' || p.pseudonym))
    AND NOT EXISTS (FROM latest l WHERE l.question = a.question AND l.annotator = a.annotator)"""

SUPERSEDE = """UPDATE answers SET superseded_at = $now WHERE superseded_at IS NULL AND key IN (
    SELECT standing FROM latest WHERE status = 'superseded' UNION ALL SELECT key FROM withdrawn)"""
REVIVE = """UPDATE answers SET superseded_at = NULL, comment = l.comment, came_by = $came_by
FROM latest l WHERE l.key = answers.key AND l.status IN ('new', 'superseded')"""
ADD = """INSERT INTO answers (key, source, question, annotator, given, comment, "at", superseded_at, came_by)
SELECT DISTINCT ON (key) key, $campaign, question, annotator, given, comment, "at",
    if(status = 'older', $now, NULL), $came_by
FROM latest WHERE status <> 'unchanged' AND key NOT IN (SELECT key FROM answers)
ORDER BY key, status <> 'older' DESC"""

_STANDING = """FROM answers a JOIN questions q ON q.key = a.question JOIN annotators p ON p.key = a.annotator
    WHERE a.source = $campaign AND a.superseded_at IS NULL"""
_PLACE = (
    "$campaign AS source, $campaign || '/' || p.pseudonym AS path, q.position AS line, a.annotator, a.\"at\""
)
# A model sees a pair in both orders, or in none. One that only says how likely texts are has one number a
# completion, so its votes on a prompt are one ranking.
_VOTES = f"""SELECT {_PLACE}, 0::BIGINT AS n, q.completion_a, q.completion_b,
    a.given->>'preference' AS choice, if(p.kind = 'model', NULL, q.shown_first) AS shown_first,
    if(p.kind = 'model' AND starts_with(p.pseudonym, '{KIND}:'), 'likelihood ' || q.prompt, NULL) AS ranking
    {_STANDING} AND q.completion_b IS NOT NULL"""
_RATINGS = f"""SELECT {_PLACE}, r.n, q.completion_a AS completion, r.criterion, r.levels,
    (a.given->('/' || replace(replace(r.criterion, '~', '~0'), '/', '~1')))::BIGINT AS value
    FROM (SELECT *, row_number() OVER (ORDER BY criterion) - 1 AS n FROM rubrics WHERE source = $campaign) r,
    answers a JOIN questions q ON q.key = a.question JOIN annotators p ON p.key = a.annotator
    WHERE a.source = $campaign AND a.superseded_at IS NULL AND q.completion_b IS NULL
        AND list_contains(json_keys(a.given), r.criterion)"""


def derive_sql() -> list[tuple[Table, str, str, str]]:
    """Write how votes and ratings are derived from valid answers.

    For each the temporary table, the SELECT of its rows, and the statements that delete and insert.
    """
    made = []
    for said, table, select in ((SAID_VOTES, VOTES, _VOTES), (SAID_RATINGS, RATINGS, _RATINGS)):
        name, columns = table.name, ", ".join(f'"{c.name}"' for c in table.columns)
        made.append(
            (
                said,
                f"SELECT *, {hash_key_sql(table.identity)} AS key FROM ({select})",
                f"DELETE FROM {name} WHERE source = $campaign "
                f'AND (key, "at") NOT IN (SELECT (key, "at") FROM said_{name})',
                f"INSERT INTO {name} ({columns}) SELECT {columns} FROM said_{name} "
                f"WHERE key NOT IN (SELECT key FROM {name} WHERE source = $campaign)",
            )
        )
    return made


# Rows rejected before that fit now are removed; forgotten persons occur in no path and no text.
SELECT_REFUSED = f"""
SELECT *, {hash_key_sql(REJECTS.identity)} AS key FROM (
    SELECT DISTINCT $campaign AS source, coalesce(position, 0) AS line, reason,
        if(gone OR pseudonym IS NULL, $campaign, $campaign || '/' || pseudonym) AS path,
        if(gone, '', json_object('question', question, 'given', given, 'comment', comment,
            'at', "at"::VARCHAR)::VARCHAR) AS raw
    FROM judged WHERE reason IS NOT NULL)"""
DROP_REFUSED = """DELETE FROM rejects WHERE source = $campaign AND key NOT IN (SELECT key FROM refused)
    AND (path, line) IN (SELECT ($campaign || '/' || pseudonym, position) FROM judged)"""
ADD_REFUSED = """INSERT INTO rejects (key, source, path, line, raw, reason)
SELECT DISTINCT ON (key) key, source, path, line, raw, reason FROM refused
WHERE key NOT IN (SELECT key FROM rejects WHERE source = $campaign) ORDER BY key"""

COUNT = """SELECT count(*) FILTER (status = 'new'), count(*) FILTER (status IN ('unchanged', 'older')),
    count(*) FILTER (status = 'superseded'), (SELECT count(*) FROM withdrawn),
    (SELECT count(*) FROM judged WHERE reason IS NOT NULL) FROM latest"""
BY_ANNOTATOR = """WITH stands AS (
    SELECT p.pseudonym, count(*) AS total FROM answers a JOIN annotators p ON p.key = a.annotator
    WHERE a.source = $campaign AND a.superseded_at IS NULL GROUP BY 1
), moved AS (
    SELECT pseudonym, status FROM latest UNION ALL SELECT pseudonym, 'withdrawn' FROM withdrawn
), counted AS (
    SELECT pseudonym, count(*) FILTER (status = 'new') AS new,
        count(*) FILTER (status = 'superseded') AS superseded,
        count(*) FILTER (status = 'withdrawn') AS withdrawn FROM moved GROUP BY 1
)
SELECT pseudonym AS annotator, coalesce(new, 0) AS new, coalesce(superseded, 0) AS superseded,
    coalesce(withdrawn, 0) AS withdrawn, coalesce(total, 0) AS total
FROM stands FULL JOIN counted USING (pseudonym) ORDER BY 1"""
FIRST_REFUSED = """SELECT coalesce(position, 0) AS position, reason FROM judged WHERE reason IS NOT NULL
ORDER BY nth LIMIT 5"""
SOURCE_ROW = """UPDATE sources SET ingested_at = $now, rows = a.rows, sha256 = a.digest,
    rejects = (SELECT count(*) FROM rejects WHERE source = $campaign)
FROM (SELECT count(*) AS rows, sha256(coalesce(string_agg(key, chr(10) ORDER BY key), '')) AS digest
    FROM answers WHERE source = $campaign AND superseded_at IS NULL) a
WHERE name = $campaign"""
