"""Clean texts, as the recipe's `clean` says: every step treats prompts and both answers the same way.

    spaces      "Try(no-break)7 x 4." -> "Try 7 x 4."
    trim        "  Try 7 x 4. "       -> "Try 7 x 4."
    quotes      an answer "“Why 5?”"   -> "Why 5?"
    speaker     an answer "Tutor: Why?" -> "Why?"
    detokenise  "I do n't know ."      -> "I don't know."
    duplicates  rows with the same texts as one before are dropped

Keys stay those of the texts in the store, so that every row can be traced back. A row whose answers a step
would make equal or empty keeps its texts.
"""

from collections.abc import Callable
from typing import NamedTuple

import polars as pl

from ...schemas.recipe import Clean, Recipe
from ...schemas.tables import Column, Table
from ..store.connection import Store, run
from ..store.quoting import quote_text
from ..store.temporary import make, make_from_frame
from .steps import KEPT

ODD_SPACE = r"[\x{00A0}\x{1680}\x{2000}-\x{200A}\x{202F}\x{205F}\x{3000}]"
INVISIBLE = r"[\x{200B}\x{2060}\x{FEFF}]"
QUOTED = r'^\s*(?:"[^"]+"|“[^“”]+”|«[^«»]+»|„[^„“”]+[“”])\s*$'
SPEAKER = r"^\s*(?i:tutor|teacher|assistant|bot|ai|response|answer|викладач|вчитель|учитель)\s*:\s+"
TOKENISED = r" [,.;:!?]( |$)| n['’]t\b"
"""Marks of hygiene, as regular expressions of DuckDB; the gate counts them and the steps here remove them."""

_NO_SPACED = ("fr",)  # languages that write a space before ; : ! ?

STEPS: dict[Clean, str] = {
    "spaces": "no-break spaces became spaces; invisible characters were removed",
    "trim": "spaces around texts were removed",
    "quotes": "quotes around whole answers were removed",
    "speaker": "the speaker's name before answers (Tutor:) was removed",
    "detokenise": "spaces that a tokeniser put before punctuation and inside words were removed",
    "duplicates": "of rows with the same texts the first was kept",
}
"""Every step, in the order in which they are taken, and what it did, in words."""

Write = Callable[[str, str], str]


class _Step(NamedTuple):
    """A step: how it writes a text and its language as SQL, and whether prompts are treated, too."""

    write: Write
    prompts: bool


def _replace(text: str, pattern: str, by: str) -> str:
    return f"regexp_replace({text}, {quote_text(pattern)}, {quote_text(by)}, 'g')"


def write_detokenised_sql(text: str, language: str) -> str:
    """Write the SQL of a text without the spaces that a tokeniser put before punctuation and inside words.

    Safe in every language with spaces: commas, full stops and brackets. In English also n't, 's and their
    kin, amounts and percentages; in others than French also ; : ! ? and pairs of straight quotes.
    """
    said = text
    for pattern, by in (
        (r"(^| )([(\[]) ", r"\1\2"),
        (r" ([)\]])", r"\1"),
        *[(r" ([,.]+|…)( |$|[)\]\"”»])", r"\1\2")] * 2,  # twice: a space between two marks is of both
    ):
        said = _replace(said, pattern, by)
    spaced = said
    for pattern, by in (
        *[(r" ([,.;!?…]+)( |$|[)\]\"”»])", r"\1\2"), (r" (:)( |$)", r"\1\2")] * 2,
        (r"(^|[ (])(?:``|\") ([^\"`]*[^\"` ]) (?:''|\")( |$|[,.;:!?)])", r'\1"\2"\3'),
    ):
        spaced = _replace(spaced, pattern, by)
    english = spaced
    for pattern, by in (
        (r"(\p{L}) (n['’]t|['’](?:s|re|ve|ll|d|m))\b", r"\1\2"),
        (r"(\p{L}) (N['’]T|['’](?:S|RE|VE|LL|D|M))\b", r"\1\2"),
        (r"(\d) %", r"\1%"),
        (r"([$£€]) (\d)", r"\1\2"),
    ):
        english = _replace(english, pattern, by)
    languages = ", ".join(f"'{name}'" for name in _NO_SPACED)
    base = f"lower(split_part({language}, '-', 1))"
    return (
        f"CASE WHEN {base} = 'en' THEN {english} WHEN {base} IN ({languages}) THEN {said} ELSE {spaced} END"
    )


def _unquote(text: str, _: str) -> str:
    bare = f"trim({text}, ' \t\n')"
    return f"if(regexp_matches({text}, '{QUOTED}'), trim({bare}[2:-2]), {text})"


_STEPS: dict[Clean, _Step] = {
    "spaces": _Step(lambda text, _: _replace(_replace(text, INVISIBLE, ""), ODD_SPACE, " "), True),
    "trim": _Step(lambda text, _: _replace(text, r"^\s+|\s+$", ""), True),
    "quotes": _Step(_unquote, False),
    "speaker": _Step(lambda text, _: _replace(text, SPEAKER, ""), False),
    "detokenise": _Step(write_detokenised_sql, True),
}
TWICE = """rowid IN (SELECT id FROM (SELECT rowid AS id, row_number() OVER (
    PARTITION BY config, messages, chosen_content, rejected_content ORDER BY rowid) AS nth FROM kept)
    WHERE nth > 1)"""


"""Condition that is true of rows of `kept` with the same texts as one before."""
CLEANED = Table(
    "cleaned",
    "a step that a recipe takes",
    (Column("step", "text", "its name"), Column("rows", "int", "number of rows that it changed")),
)


def clean_rows(con: Store, recipe: Recipe) -> dict[str, int]:
    """Clean the texts of `kept`, step by step, in the order above; make `cleaned`.

    Returns the number of rows dropped by reason.
    """
    changed = [(name, _take(con, step)) for name, step in _STEPS.items() if name in recipe.clean]
    make_from_frame(
        con, CLEANED, pl.DataFrame(changed, schema={"step": pl.String, "rows": pl.Int64}, orient="row")
    )
    if "duplicates" not in recipe.clean:
        return {}
    ((n,),) = run(con, f"DELETE FROM kept WHERE {TWICE}")
    return {"the same texts as another row": int(n)} if n else {}


def _take(con: Store, step: _Step) -> int:
    """Take one step; return the number of rows that it changed."""
    content = step.write('m."content"', "language")
    messages = f"""[{{'role': m."role", 'content': {content}}} FOR m IN messages]"""
    new = f"""SELECT *, {messages if step.prompts else "messages"} AS new_messages,
        {step.write("chosen_content", "language")} AS new_chosen,
        {step.write("rejected_content", "language")} AS new_rejected FROM kept"""
    fits = "new_chosen <> '' AND coalesce(new_rejected <> '' AND new_chosen <> new_rejected, true)"
    differs = """(new_messages <> messages OR new_chosen <> chosen_content
        OR coalesce(new_rejected <> rejected_content, false))"""
    ((changed,),) = run(con, f"SELECT count_if({fits} AND {differs}) FROM ({new})")
    if changed:
        make(
            con,
            KEPT,
            f"""SELECT * EXCLUDE (new_messages, new_chosen, new_rejected) REPLACE (
                if({fits}, new_messages, messages) AS messages,
                if({fits}, new_chosen, chosen_content) AS chosen_content,
                if({fits}, new_rejected, rejected_content) AS rejected_content) FROM ({new})""",
        )
    return int(changed or 0)  # of no rows there is no sum
