"""Rows of a dataset: the temporary tables `kept` and `signals_kept`, in the order in which they are written.

`steps` declares both. `messages` of `kept` are worded as the recipe says. Keys are those of the store until
they are written, but rows are in the order of the keys that the dataset has: the order says nothing of these.
"""

from typing import Any

import polars as pl

from ...schemas.published import ALONE, FIT, OF_A_FIT
from ...schemas.recipe import Recipe
from ...schemas.tables import SIGNALS, SignalType, select_signals
from ..privacy.published_keys import write_published_sql
from ..store.chunks import join_in_chunks
from ..store.connection import Store, query, run, run_over
from ..store.temporary import make
from .choose.pairs import COIN_FLIP, NO_FIT, assign_part_sql, assign_split_sql, find_group_sql
from .steps import KEPT, SIGNALS_KEPT

_OF_A_FIT = ", ".join(column.name for column in (*OF_A_FIT, FIT))

# Narrow rows first: keys, sources and splits, in order. Texts are joined to the rows that stay.
_ABOUT = """task, "group", language, prompt_source, chosen_source"""
_PICKED = f"""
CREATE OR REPLACE TEMP TABLE picked_rows AS
SELECT CASE WHEN dropped IS NULL THEN 'preference' ELSE 'soft' END AS config, key, split, prompt, made,
    chosen_completion, rejected_completion, {_OF_A_FIT}, {_ABOUT}, rejected_source
FROM pairs WHERE part <> 'sft' AND $pairs AND (dropped IS NULL OR $soft AND dropped = '{COIN_FLIP}')
UNION ALL BY NAME
SELECT 'sft' AS config, key, split, prompt, made, completion AS chosen_completion,
    NULL AS rejected_completion, {NO_FIT}, {_ABOUT}, NULL AS rejected_source
FROM ({{examples}}) WHERE $sft"""

# Facts about a completion, except why it was chosen, are the same in all of its pairs.
_CHOSEN = f"""SELECT chosen_completion AS key, chosen_completion AS completion, split, prompt, {_ABOUT},
    min(made) AS made FROM pairs WHERE dropped IS NULL AND part <> 'preference' GROUP BY ALL"""
_CORRECTED = """SELECT key, completion, prompt, 'full' AS made, {split} AS split, {about} FROM (
    SELECT e.completion AS key, e.completion, e.prompt, q.task, {group} AS "group", q.language,
        q.source AS prompt_source, c.source AS chosen_source
    FROM examples e JOIN prompts q ON q.key = e.prompt JOIN completions c ON c.key = e.completion
    WHERE $task IS NULL OR q.task = $task
) WHERE {part} <> 'preference'"""

# Sources of the signals about a completion; its own source and its prompt's are in picked_rows.
_HEARD = f"""
CREATE OR REPLACE TEMP TABLE heard AS
WITH picked AS (
    SELECT chosen_completion AS completion FROM picked_rows
    UNION SELECT rejected_completion FROM picked_rows WHERE rejected_completion IS NOT NULL
), said AS (
    SELECT DISTINCT * FROM ({select_signals(", source")})
)
SELECT completion, list(source) AS sources FROM said SEMI JOIN picked USING (completion)
GROUP BY completion"""

_ORDERED = f"""
CREATE OR REPLACE TEMP TABLE ordered_rows AS
WITH sourced AS (
    SELECT r.* EXCLUDE (prompt_source, chosen_source, rejected_source), list_sort(list_distinct(list_concat(
        [prompt_source, chosen_source, rejected_source], a.sources, b.sources))) AS sources
    FROM picked_rows r LEFT JOIN heard a ON a.completion = r.chosen_completion
    LEFT JOIN heard b ON b.completion = r.rejected_completion
), licensed AS (
    SELECT sources, list(DISTINCT s.license ORDER BY s.license) AS licenses
    FROM (SELECT DISTINCT sources, unnest(sources) AS name FROM sourced) JOIN sources s USING (name)
    GROUP BY sources
)
SELECT r.*, l.licenses, array_to_string(l.licenses, ' AND ') AS license
FROM sourced r JOIN licensed l ON l.sources = r.sources
ORDER BY r.config, r.split, {write_published_sql("r.key")}"""

_WITH_TEXTS = """
SELECT r.*, list_concat(list_slice(q.messages, 1, len(q.messages) - 1), [{'role': 'user',
        'content': w.before || q.messages[-1].content || w.after}]) AS messages,
    a.content AS chosen_content, b.content AS rejected_content
FROM chunk r JOIN prompts q ON q.key = r.prompt JOIN wordings w ON w.language = q.language
JOIN completions a ON a.key = r.chosen_completion LEFT JOIN completions b ON b.key = r.rejected_completion"""


def _published_sql(signal: SignalType) -> str:
    """SELECT the signals of one type as the config `signals` has them; of pairs, those within the dataset."""
    first, *second = signal.completions
    other = "".join(f", {column} AS other" for column in second)
    inside = " AND ".join(f"{column} IN (SELECT completion FROM mine)" for column in second) or "true"
    columns = "".join(f', "{column.name}"' for column in signal.published)
    rows = f"""SELECT key, '{signal.kind}' AS kind, {first} AS completion{other}{columns},
        {signal.person} AS pseudonym, source FROM {signal.name} WHERE {inside}"""
    if not signal.annotator:
        return rows
    return f"""SELECT s.* REPLACE (a.pseudonym AS pseudonym)
        FROM ({rows}) s LEFT JOIN annotators a ON a.key = s.pseudonym"""


_SIGNALS = f"""
WITH mine AS (
    SELECT chosen_completion AS completion, any_value(prompt) AS prompt, any_value("group") AS "group",
        any_value(split) AS split FROM (
            SELECT chosen_completion, prompt, "group", split FROM kept
            UNION ALL SELECT rejected_completion, prompt, "group", split FROM kept
            WHERE rejected_completion IS NOT NULL) GROUP BY 1
), said AS (
    {" UNION ALL BY NAME ".join(map(_published_sql, SIGNALS))}
)
SELECT d.* EXCLUDE (pseudonym), m.prompt, m."group", m.split, d.pseudonym AS person, s.license
FROM said d JOIN mine m USING (completion) JOIN sources s ON s.name = d.source
ORDER BY m.split, {write_published_sql("d.key")}"""


def keep_rows(con: Store, recipe: Recipe) -> None:
    """Make `kept` from `pairs` (and from `examples`), and `signals_kept` if config signals is wanted."""
    wanted = set(recipe.configs)
    examples = _CHOSEN
    if recipe.corrections:
        examples = _CORRECTED.format(
            split=assign_split_sql(recipe),
            part=assign_part_sql(recipe),
            group=find_group_sql(recipe),
            about=_ABOUT,
        )
    given: dict[str, Any] = {
        "pairs": bool(wanted - {"sft", *ALONE}),
        "soft": "soft" in wanted,
        "sft": "sft" in wanted,
    }
    select = _PICKED.format(examples=examples)
    if "$task" in select:
        given |= {"task": recipe.task}
    run(con, select, given)
    run(con, _HEARD)
    run(con, _ORDERED)
    languages = query(con, "SELECT DISTINCT language FROM prompts")["language"]
    halves = [(language, *recipe.find_wording(language).split("{prompt}", 1)) for language in languages]
    worded = pl.DataFrame(halves, schema=["language", "before", "after"], orient="row")
    run_over(con, worded, "CREATE OR REPLACE TEMP TABLE wordings AS FROM incoming")
    join_in_chunks(con, KEPT, "ordered_rows", _WITH_TEXTS)
    for table in ("picked_rows", "heard", "ordered_rows", "wordings"):
        run(con, f"DROP TABLE {table}")
    if "signals" in wanted:
        make(con, SIGNALS_KEPT, _SIGNALS)
