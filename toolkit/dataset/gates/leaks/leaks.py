"""Leaks: texts that a dataset is measured by must not occur in its training data.

    preference/train  k17  near    gsm8k-test  203      0.93
    sft/train         k02  prompt  preference/test k90  1.0

The sides are, in order, train, validation, test and benchmarks: earlier ones are learned from, later ones
measured by. A row leaks if it shares with a later side

    group    its group
    prompt   the normalised text of its prompt, without the recipe's wording and system messages
    answer   a chosen or rejected text of 70 characters or more, also if it is rejected there and chosen
             here; shorter ones ("Well done, can you explain?") are too common
    near     a prompt whose text is nearly the same (near_duplicates.py)

Test and benchmarks are not compared, because nothing is learned from either. A benchmark's
question leaks by prompt and near also as one message of a dialogue or as a completion. Equal prompts of
sft/train and preference/train are wanted, unless the recipe says disjoint: then sft's rows leak.
Dropping the rows of `list_leaked` removes all leaks.
"""

from collections.abc import Sequence

import polars as pl

from .....schemas.tables import Column, Table
from ....store.connection import Store, query, run
from ....store.quoting import quote_text
from ....store.temporary import drop, make
from ...choose.pairs import NORMAL
from ...steps import KEPT
from ..gate import Drop, Gate, GateResult, Inputs
from .benchmarks import BENCHMARKS, read_benchmarks
from .near_duplicates import NEAR, find_near

ANSWER = 70
"""Characters. Of MathDial's 2,189 distinct tutor turns (390 dialogues) 45 occur in dialogues on two or
more problems, and none of the 1,058 that are so long."""

_SFT, _TRAIN, _VALIDATION, _TEST, _BENCHMARK, _INSIDE = 1, 2, 4, 8, 16, 32
_LEAKY = [
    (_SFT | _TRAIN, _VALIDATION | _TEST | _BENCHMARK),
    (_VALIDATION, _TEST | _BENCHMARK),
    (_INSIDE, _BENCHMARK),
]
_SHOWN = 3
_SAID = """[m."content" FOR m IN messages IF m."role" <> 'system']"""  # a dialogue's texts, in order

_ID = Column("id", "int", "rowid in `kept`; of a benchmark's text less than 0")
_BIT = Column("bit", "int", "number of the side: 1, 2, 4, …")
_SIDE = Column("side", "text", "CONFIG/SPLIT, or name of a benchmark")
PLACED = Table(
    "placed",
    "a row of `kept` or a benchmark's text, by hashes",
    (
        _ID,
        _SIDE,
        Column("config", "text", "of the row; null of a benchmark", nullable=True),
        Column("key", "text", "of the row; of a benchmark its line"),
        Column("group", "text", "of the row; null of a benchmark", nullable=True),
        _BIT,
        Column("chosen", "hash128", "of the chosen text or a benchmark's answer; null: short", nullable=True),
        Column("rejected", "hash128", "of the rejected text; null where short or absent", nullable=True),
    ),
)
STANDS = Table(
    "stands",
    "a text that stands on a side: of a prompt, a benchmark, a message or a completion",
    (_ID, _BIT, Column("text", "text", "normalised, without the recipe's wording", nullable=True)),
)
OVERLAP_TEXTS = Table(
    "overlap_texts",
    "a text of `stands`, each once",
    (
        Column("text", "text", "normalised"),
        Column("sides", "int", "sum of the bits of the sides it stands on"),
        Column("hash", "hash128", "of the text"),
    ),
)
LEAKS = Table(
    "leaks",
    "a row of one side that shares something with another side",
    (
        Column("kind", "text", "group, prompt, answer or near"),
        Column("id", "int", "rowid in `kept`"),
        _SIDE,
        Column("config", "text", "of the row"),
        Column("key", "text", "of the row"),
        Column("other", "text", "the other side"),
        Column("other_key", "text", "least key of a row there that has the same"),
        Column("similarity", "float", "1 if equal; of near texts Jaccard of their shingles"),
    ),
)


def check_leaks(
    con: Store, wordings: Sequence[str] = (), near: float | None = 0.8, disjoint: bool = False
) -> GateResult:
    """Check that no row of `kept` leaks; the number counts leaking rows.

    Reads `benchmarks` if it exists. `wordings` are the recipe's instructions, which are removed
    from texts; `near` is the Jaccard similarity from which texts are near, None: only equal texts
    leak; `disjoint`: rows of sft/train that share something with preference/train leak, too. Makes the
    temporary table `leaks`.
    """
    leaky = [*_LEAKY, (_SFT, _TRAIN)] if disjoint else _LEAKY
    _write_sides(con, wordings)
    _write_leaks(con, leaky)
    if near is not None:
        _add_near(con, near, leaky)
    drop(con, PLACED, STANDS)
    return _verdict(con)


def list_leaked(con: Store) -> pl.DataFrame:
    """List config and key of the rows that leak; without these rows nothing leaks."""
    return query(con, "SELECT DISTINCT config, key FROM leaks ORDER BY ALL")


def count_leaks(con: Store) -> pl.DataFrame:
    """Count leaking rows. Columns: side, other (the side into which they leak), kind, rows."""
    return query(
        con,
        """SELECT side, other, kind, count(DISTINCT id) AS rows FROM leaks
        GROUP BY ALL ORDER BY ALL""",
    )


def _unworded(wordings: Sequence[str]) -> str:
    """Write the SQL of a list of messages as one text, without the recipe's wording."""
    last = "said[-1]"
    cases = [
        f"""WHEN starts_with({last}, {quote_text(before)}) AND ends_with({last}, {quote_text(after)})
            AND length({last}) > {len(before + after)}
            THEN {last}[{len(before) + 1} : length({last}) - {len(after)}]"""
        for before, _, after in (w.partition("{prompt}") for w in sorted(wordings, key=len, reverse=True))
        if before + after
    ]
    bare = f"CASE {' '.join(cases)} ELSE {last} END" if cases else last
    return NORMAL(f"""array_to_string(list_append(said[:-2], {bare}), ' ')""")


# Rows and benchmarks with their side; `said`: text of a prompt, `answer`: a text that leaks if it is long.
_ON_SIDES = f"""
SELECT rowid AS id, config || '/' || split AS side, config, key, "group",
    CASE split WHEN 'train' THEN if(config = 'sft', {_SFT}, {_TRAIN})
        WHEN 'validation' THEN {_VALIDATION} ELSE {_TEST} END::BIGINT AS bit,
    {_SAID} AS said, chosen_content AS chosen, rejected_content AS rejected
FROM kept
UNION ALL
SELECT -1 - rowid, name, NULL, line, NULL, {_BENCHMARK}::BIGINT, ["text"], answer, NULL FROM benchmarks"""


def _write_sides(con: Store, wordings: Sequence[str]) -> None:
    """Make `placed` and `stands`."""
    made = bool(run(con, "SELECT 1 FROM duckdb_tables() WHERE table_name = 'benchmarks'"))
    if not made:
        make(con, BENCHMARKS)
    # Messages and answers are compared with benchmarks alone: without any, their bands would be for nothing.
    has_benchmarks = bool(run(con, "SELECT 1 FROM benchmarks LIMIT 1"))
    long = f"if(length({{0}}) >= {ANSWER}, md5_number({{0}}), NULL)".format
    make(
        con,
        PLACED,
        f"""SELECT id, side, config, key, "group", bit, {long(NORMAL("chosen"))} AS chosen,
            {long(NORMAL("rejected"))} AS rejected FROM ({_ON_SIDES})""",
    )
    inside = f"""UNION ALL SELECT rowid, {_INSIDE}::BIGINT, {NORMAL("unnest(texts)")} FROM (
        SELECT rowid, list_concat({_SAID}, [chosen_content, rejected_content]) AS texts
        FROM kept WHERE split IN ('train', 'validation'))"""
    make(
        con,
        STANDS,
        f"""SELECT id, bit, if(bit = {_BENCHMARK}, {NORMAL("said[1]")}, {_unworded(wordings)}) AS "text"
        FROM ({_ON_SIDES}) {inside if has_benchmarks else ""}""",
    )
    if not made:
        drop(con, BENCHMARKS)


def _is_leaky(leaky: Sequence[tuple[int, int]]) -> str:
    return "(" + " OR ".join(f"(l.bit & {a} <> 0 AND r.bit & {b} <> 0)" for a, b in leaky) + ")"


# Of rows of a side that share a value, one row, by its key, represents all.
_SAME = """
WITH had AS ({had}), twice AS (
    SELECT value FROM had GROUP BY value HAVING min(bit) <> max(bit)
), r AS (
    SELECT had.value, p.side, had.bit, min(p.key) AS key FROM had SEMI JOIN twice USING (value)
    JOIN placed AS p USING (id) GROUP BY ALL
)
SELECT '{kind}' AS kind, p.id, p.side, p.config, p.key, r.side AS other, min(r.key) AS other_key,
    1.0::DOUBLE AS similarity
FROM had AS l JOIN r USING (value) JOIN placed AS p ON p.id = l.id WHERE {leaky} GROUP BY ALL"""

_HAD = {
    "group": """SELECT id, bit, "group" AS value FROM placed WHERE "group" IS NOT NULL""",
    "prompt": """SELECT id, bit, md5_number("text") AS value FROM stands WHERE "text" <> ''""",
    "answer": """SELECT id, bit, chosen AS value FROM placed WHERE chosen IS NOT NULL
        UNION ALL SELECT id, bit, rejected FROM placed WHERE rejected IS NOT NULL""",
}


def _write_leaks(con: Store, leaky: Sequence[tuple[int, int]]) -> None:
    make(con, LEAKS)
    for kind, had in _HAD.items():
        run(con, "INSERT INTO leaks BY NAME " + _SAME.format(kind=kind, had=had, leaky=_is_leaky(leaky)))


def _add_near(con: Store, threshold: float, leaky: Sequence[tuple[int, int]]) -> None:
    make(
        con,
        OVERLAP_TEXTS,
        """SELECT any_value("text") AS "text", bit_or(bit) AS sides, md5_number("text") AS hash FROM stands
        WHERE "text" <> '' GROUP BY hash""",
    )
    find_near(con, OVERLAP_TEXTS.name, threshold, leaky)
    for statement in _NEAR_LEAKS:
        run(con, statement.format(leaky=_is_leaky(leaky)))
    for table in ("near_texts", "near_rows"):
        run(con, f"DROP TABLE {table}")
    drop(con, OVERLAP_TEXTS, NEAR)


# Few texts have near ones: select these first, then their rows, so that no join is large.
_NEAR_LEAKS = (
    """CREATE OR REPLACE TEMP TABLE near_texts AS
    SELECT a.hash AS a, b.hash AS b, n.similarity FROM near AS n
    JOIN (SELECT rowid AS id, hash FROM overlap_texts) AS a ON a.id = n.l
    JOIN (SELECT rowid AS id, hash FROM overlap_texts) AS b ON b.id = n.r""",
    """CREATE OR REPLACE TEMP TABLE near_rows AS
    SELECT s.id, s.bit, s.value, p.side, p.config, p.key
    FROM (SELECT id, bit, md5_number("text") AS value FROM stands) AS s
    SEMI JOIN (SELECT a AS value FROM near_texts UNION SELECT b FROM near_texts) USING (value)
    JOIN placed AS p USING (id)""",
    """INSERT INTO leaks
    WITH r AS (SELECT value, side, bit, min(key) AS key FROM near_rows GROUP BY ALL)
    SELECT 'near', l.id, l.side, l.config, l.key, r.side,
        min(r.key ORDER BY pair.similarity DESC, r.key), max(pair.similarity)
    FROM near_rows AS l JOIN near_texts AS pair ON pair.a = l.value JOIN r ON r.value = pair.b
    WHERE {leaky} GROUP BY l.id, l.side, l.config, l.key, r.side""",
)


def _verdict(con: Store) -> GateResult:
    ((rows,),) = run(con, "SELECT count(DISTINCT id) FROM leaks")
    if not rows:
        return GateResult("leaks", True, 0, "no group, prompt or answer of one side stands in another")
    first = query(
        con,
        f"""SELECT l.* EXCLUDE (id), kept.messages[-1]."content" AS "text" FROM leaks AS l
        JOIN (SELECT rowid AS id, messages FROM kept) AS kept USING (id)
        ORDER BY side, l.key, kind, other LIMIT {_SHOWN}""",
    )
    shown = "; ".join(
        f"{one['side']} {one['key'][:16]} '{' '.join(one['text'].split())[:60]}' {_shares(one)} "
        f"{one['other']} {one['other_key'][:16]}"
        for one in first.to_dicts()
    )
    found = f"{rows} rows leak into what they are measured by, the first: {shown}"
    return GateResult(
        "leaks",
        False,
        rows,
        f"{found}; give such prompts one group, or drop these rows by leaks: {{drop: true}}",
        Drop(
            KEPT,
            "(config, key) IN (SELECT (config, key) FROM leaks)",
            "leaks into what is measured by",
            found=found,
        ),
    )


def _shares(leak: dict[str, object]) -> str:
    if leak["kind"] == "near":
        return f"is {leak['similarity']:.2f} like"
    return f"has the {leak['kind']} of"


def _check(con: Store, inputs: Inputs) -> GateResult:
    recipe = inputs.recipe
    read_benchmarks(con, recipe.benchmarks)
    wordings = [recipe.instruction, *recipe.instructions.values()]
    disjoint = "sft" in recipe.configs and not recipe.splits.shared
    return check_leaks(con, wordings, recipe.leaks.near, disjoint)


GATE = Gate(
    "leaks",
    _check,
    drops=lambda inputs: inputs.recipe.leaks.drop,
    order=2,
    facts=lambda con: {"leaks": count_leaks(con).to_dicts()},
)
