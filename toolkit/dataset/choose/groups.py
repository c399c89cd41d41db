"""Groups of learners' sentences: what one exercise asks stays on one side of a split.

    learner's text     correction         group
    он читает книга    он читает книгу    он читает книга
    он читаит книгу    он читает книгу    он читает книга

Sentences belong together if they share a text, the learner's or a full correction, or are linked by others
that do (connected components). Sentences of a document go with their document alone, since short ones occur
in many.
"""

from ....schemas.tables import Column, Table
from ...store.connection import Store, run
from ...store.temporary import make
from ..steps import PROMPT
from .pairs import NORMAL

GROUPS = Table(
    "gec_groups",
    "the group of a learner's sentence in this build",
    (PROMPT, Column("group", "text", "its document; or the first of the texts that its component shares")),
)

_LINKS = f"""
CREATE OR REPLACE TEMP TABLE gec_links AS
WITH alone AS (
    SELECT q.key AS prompt, {NORMAL("q.messages[1].content")} AS "text"
    FROM gec_prompts q JOIN gec_sentences s ON s.key = q.sentence WHERE s.by_text
)
FROM alone UNION
SELECT prompt, {NORMAL("content")} FROM gec_completions SEMI JOIN alone USING (prompt)
WHERE made = 'full' AND trim(content) <> ''"""

_WIDER = """
CREATE OR REPLACE TEMP TABLE gec_wider AS
WITH texts AS (
    SELECT "text", min("group") AS "group" FROM gec_links JOIN gec_labels USING (prompt) GROUP BY "text"
)
SELECT prompt, min("group") AS "group" FROM gec_links JOIN texts USING ("text") GROUP BY prompt"""


def group_sentences(con: Store) -> None:
    """Make `gec_groups` from gec_sentences, gec_prompts and gec_completions."""
    run(con, _LINKS)
    run(
        con,
        """CREATE OR REPLACE TEMP TABLE gec_labels AS
        SELECT prompt, min("text") AS "group" FROM gec_links GROUP BY prompt""",
    )
    while True:  # each round carries the first text one link further
        run(con, _WIDER)
        ((moved,),) = run(
            con,
            """SELECT count(*) FROM gec_wider w JOIN gec_labels l USING (prompt)
            WHERE w."group" <> l."group" """,
        )
        run(con, "CREATE OR REPLACE TEMP TABLE gec_labels AS FROM gec_wider")
        if not moved:
            break
    make(
        con,
        GROUPS,
        """SELECT q.key AS prompt, coalesce(l."group", s."group") AS "group" FROM gec_prompts q
        JOIN gec_sentences s ON s.key = q.sentence LEFT JOIN gec_labels l ON l.prompt = q.key""",
    )
    for table in ("gec_links", "gec_labels", "gec_wider"):
        run(con, f"DROP TABLE {table}")
