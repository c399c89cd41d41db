"""SQL of `pull`: what becomes of the journal's rows in the store.

An outcome is what the explanation did for a learner who did not know the item before it: `turns`, failures
from there to the first right answer, and `success`, the first answer after a pause (delayed recall). What
comes after another explanation was shown beside it counts for neither.
"""

_LATER = """
WITH later AS (
    SELECT a.*, r.at AS answered, r.correct,
        r.at - coalesce(lag(r.at) OVER (PARTITION BY a.key ORDER BY r.at), a.at) AS pause,
        count(*) FILTER (r.correct) OVER (PARTITION BY a.key ORDER BY r.at
            ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING) AS right_before
    FROM assignments a JOIN reviews r ON r.source = a.source AND r.learner = a.learner AND r.item = a.item
    WHERE a.source = $study AND r.correct IS NOT NULL AND r.at > a.at
        AND (a.both_at IS NULL OR r.at < a.both_at) AND NOT coalesce(a.knew, false)
)"""

# Answers after the first right one say nothing of the way there.
SELECT_OUTCOMES = f"""{_LATER}
SELECT source, completion, learner, 'turns' AS measure, count(*) FILTER (NOT correct)::DOUBLE AS value,
    NOT bool_or(correct) AS censored, max(answered) AS at, path, line, 0 AS n
FROM later WHERE right_before = 0 GROUP BY key, source, completion, learner, path, line
UNION ALL
SELECT source, completion, learner, 'success', first(correct ORDER BY answered)::INTEGER::DOUBLE, false,
    min(answered), path, line, 1
FROM later WHERE pause >= to_seconds($delay_hours * 3600)
GROUP BY key, source, completion, learner, path, line
ORDER BY ALL"""

UPDATE_ASSIGNMENTS = """
UPDATE assignments SET knew = i.knew, both_at = i.both_at FROM incoming i
WHERE assignments.key = i.key
    AND (assignments.knew IS DISTINCT FROM i.knew OR assignments.both_at IS DISTINCT FROM i.both_at)"""

COUNT_SOURCE = """
UPDATE sources SET ingested_at = $now, rows = a.rows, sha256 = a.digest
FROM (SELECT count(*) AS rows, sha256(coalesce(string_agg(key, chr(10) ORDER BY key), '')) AS digest
    FROM (SELECT key FROM reviews WHERE source = $study UNION ALL SELECT key FROM assignments
        WHERE source = $study UNION ALL SELECT key FROM votes WHERE source = $study
        UNION ALL SELECT key FROM ratings WHERE source = $study)) a
WHERE name = $study AND sha256 <> a.digest"""

LAST_PULLED = """
SELECT path, max(line) AS line FROM (SELECT path, line FROM reviews WHERE source = $study
    UNION ALL SELECT path, line FROM assignments WHERE source = $study
    UNION ALL SELECT path, line FROM votes WHERE source = $study
    UNION ALL SELECT path, line FROM ratings WHERE source = $study) GROUP BY path"""
