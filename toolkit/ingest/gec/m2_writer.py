"""M2 written from the store: the inverse of the M2 reader.

Canonical form: LF, one blank line after each sentence's edits, fields as ERRANT writes them.
A file in that form is written back byte for byte. M2 cannot say that an annotator lost an edit: what is left
of theirs would be read as a full correction, so none of it is written, as if they had not read the sentence.
"""

from pathlib import Path

from ....schemas.errors import StoreError
from ....schemas.support.files import open_whole_file
from ...store.connection import Store, query, run
from ...store.folders import note_written
from ...store.where import check_names

_ROWS_A_STEP = 100_000

# The annotators as M2 wants them: numbers; names are numbered in alphabetical order.
_NUMBERS = """
CREATE OR REPLACE TEMP TABLE numbers AS
SELECT annotator, CASE WHEN bool_and(regexp_full_match(annotator, '[0-9]+')) OVER () THEN annotator
    ELSE (row_number() OVER (ORDER BY annotator) - 1)::VARCHAR END AS number
FROM (SELECT DISTINCT annotator FROM edits WHERE source = $1)"""

# Annotators of a sentence who lost an edit to rejects (*: whose it was is not known).
_UNFINISHED = """
CREATE OR REPLACE TEMP TABLE unfinished AS
SELECT DISTINCT e.sentence, e.annotator FROM edits e JOIN sentences s ON s.key = e.sentence
WHERE e.source = $1 AND list_has_any(s.incomplete, [e.annotator, '*'])"""

_NOOP = "'A -1 -1|||noop|||-NONE-|||REQUIRED|||-NONE-|||'"

_BLOCKS = f"""
WITH s AS (
    SELECT key, text, path, document, position,
        row_number() OVER (ORDER BY path, position) AS n,
        document <> path AND document IS DISTINCT FROM lag(document) OVER (
            PARTITION BY path ORDER BY position) AND $headers AS opens
    FROM sentences WHERE source = $source
),
header AS (SELECT string_agg({_NOOP} || number || chr(10), '' ORDER BY number::BIGINT) AS lines FROM numbers),
lines AS (
    SELECT sentence, string_agg(concat(
        'A ', start, ' ', "end", '|||', error_type, '|||',
        coalesce(as_written, correction, CASE WHEN start = -1 THEN '-NONE-' ELSE '' END), '|||',
        CASE WHEN required THEN 'REQUIRED' WHEN start = -1 THEN '-NONE-' ELSE 'OPTIONAL' END, '|||',
        coalesce(comment, '-NONE-'), '|||', number, chr(10)), '' ORDER BY position) AS lines
    FROM edits JOIN numbers USING (annotator) ANTI JOIN unfinished USING (sentence, annotator)
    WHERE source = $source GROUP BY sentence
)
SELECT n, concat(
    CASE WHEN opens THEN concat('S # ', document, chr(10), header.lines, chr(10)) END,
    'S ', text, chr(10), lines.lines, chr(10)) AS block
FROM s LEFT JOIN lines ON lines.sentence = s.key CROSS JOIN header"""


def export_m2(con: Store, source: str, out: Path) -> tuple[int, dict[str, str], int]:
    """Write a source's sentences and edits as one M2 file, whole or not at all.

    Returns how many sentences were written, each annotator's number where the store has names, and how many
    annotations of a sentence were left out because an edit of theirs lies in rejects. Raises StoreError if
    the source has no sentences, or a text that M2 cannot hold.
    """
    have = query(con, "SELECT DISTINCT source FROM sentences ORDER BY 1")["source"]
    check_names("--source", (source,), have, "source", "with sentences")
    _check_texts(con, source)
    run(con, _NUMBERS, [source])
    run(con, _UNFINISHED, [source])
    headers = query(con, "SELECT reader FROM sources WHERE name = $1", [source]).item() == "m2"
    run(con, f"CREATE OR REPLACE TEMP TABLE blocks AS {_BLOCKS}", {"source": source, "headers": headers})
    ((total,),) = run(con, "SELECT count(*) FROM blocks")
    note_written(con, out, "export")
    with open_whole_file(out, 0o600) as stream:
        for done in range(0, total, _ROWS_A_STEP):
            part = query(
                con, f"SELECT block FROM blocks WHERE n > {done} AND n <= {done + _ROWS_A_STEP} ORDER BY n"
            )
            stream.write("".join(part["block"]).encode())
    numbers = dict(run(con, "SELECT annotator, number FROM numbers WHERE annotator <> number ORDER BY 2"))
    ((left_out,),) = run(con, "SELECT count(*) FROM unfinished")
    return int(total), numbers, int(left_out)


def _check_texts(con: Store, source: str) -> None:
    """Check a text. Raises StoreError if it would be read back as something else."""
    bad = query(
        con,
        """SELECT path, line, text FROM (
            SELECT path, line, text FROM sentences WHERE source = $1 AND (contains(text, chr(10))
                OR text LIKE ' %' OR text LIKE '% ')
            UNION ALL
            SELECT path, line, correction FROM edits e JOIN sources s ON s.name = e.source
            WHERE source = $1 AND (contains(correction, chr(10)) OR contains(correction, '|||')
                OR contains(error_type, '|||') OR contains(comment, '|||')
                OR contains(correction, '||') AND s.reader <> 'm2')
        ) LIMIT 1""",
        [source],
    ).rows()
    for path, line, text in bad:
        raise StoreError(
            f"{path}:{line}: M2 has no way to write '{text[:60]}' (line ends and '||' are its own marks); "
            "nothing was written"
        )
