"""Dead pairs: both sides have the same tokens once the trainer has truncated them, so nothing is learned.

    prompt + chosen, prompt + rejected -> token ids -> the first max_length of each -> equal: dead

As TRL 1.16 prepares pairs for DPO (DPOTrainer._prepare_dataset, DataCollatorForPreference): prompt and
completion are tokenised as one text, by the chat template where prompts are conversations, with the
end-of-sequence token behind a plain one; then each sequence is cut to `max_length`, from its start or its
end. There is no limit for prompts alone. Pairs whose prompt alone fills `max_length` are dropped by TRL
without a count: those are dead too. So are texts that have the same tokens, truncated or not.

Rows whose conversation the chat template refuses, such as one that begins with the assistant, are found too.
"""

from typing import Literal
from unicodedata import is_normalized

import numpy as np
import polars as pl

from ....schemas.errors import GateError
from ....schemas.support.chat_template import Messages
from ....schemas.tables import Column, Table
from ...store.connection import Store, run
from ...store.temporary import add_frames, make
from ..steps import KEPT
from .gate import Drop, Gate, GateResult, Inputs
from .tokens import Encoder, encode, read_encoder, render_texts

_ROWS = 2_000  # tokenised at once
_CHUNK = 200_000  # rows between two writes
_SAID = 120  # characters of a template's message
_ADDED = 8  # maximum number of tokens that a tokenizer adds

DEAD = Table(
    "dead",
    "a pair that is the same tokens on both sides, or a row that the chat template refuses",
    (
        Column("config", "text", "its config in `kept`"),
        Column("key", "text", "its key in `kept`"),
        Column("refused", "text", "what the chat template says; null for a dead pair", nullable=True),
    ),
)

Cut = Literal["keep_start", "keep_end"]


def check_same_tokens(
    con: Store, encoder: Encoder, max_length: int | None = 1024, cut: Cut = "keep_start"
) -> GateResult:
    """Check that no pair of `kept` is dead, and no row refused by the template; the number counts those.

    Makes the temporary table `dead`.
    """
    make(con, DEAD)
    ((begin, last),) = run(con, "SELECT coalesce(min(rowid), 0), coalesce(max(rowid), -1) FROM kept")
    rows_of = "" if encoder.render else "AND rejected_content IS NOT NULL"
    for first in range(begin, last + 1, _CHUNK):
        pairs = f"""SELECT config, key, messages, chosen_content AS chosen, rejected_content AS rejected
            FROM kept WHERE rowid >= {first} AND rowid < {first + _CHUNK} {rows_of}"""
        dead = [
            _find_dead(frame, encoder, max_length, cut)
            for frame in (pl.DataFrame(batch) for batch in con.sql(pairs).to_arrow_reader(_ROWS))
            if frame.height
        ]
        add_frames(con, DEAD, dead)
    ((number, first_key, refused, first_refused, said),) = run(
        con,
        """SELECT count(*) FILTER (refused IS NULL), min(key) FILTER (refused IS NULL),
            count(refused), arg_min(key, key) FILTER (refused IS NOT NULL),
            arg_min(refused, key) FROM dead""",
    )
    to = f" cut to {max_length}" if max_length else ""
    if not number + refused:
        return GateResult("dead pairs", True, 0, f"chosen and rejected differ in every pair's tokens{to}")
    found, remedies, reasons = [], [], []
    if number:
        found.append(f"{number} pairs are the same tokens on both sides{to}, the first: {first_key[:16]}")
        remedies.append("raise max_length, or drop these pairs by tokenizer: {drop: true}")
        reasons.append("the same tokens once they are cut")
    if refused:
        found.append(f"the chat template refuses {refused} rows, the first: {first_refused[:16]} ({said})")
        remedies.append(
            "name a tokenizer whose template takes them, or drop these rows by tokenizer: {drop: true}"
        )
        reasons.append("refused by the chat template")
    verdict = "; ".join(f"{what}; {remedy}" for what, remedy in zip(found, remedies, strict=True))
    dropped = Drop(
        KEPT,
        "(config, key) IN (SELECT (config, key) FROM dead)",
        " or ".join(reasons),
        found="; ".join(found),
    )
    return GateResult("dead pairs", False, number + refused, verdict, dropped)


def _find_dead(rows: pl.DataFrame, encoder: Encoder, max_length: int | None, cut: Cut) -> pl.DataFrame:
    """Return the rows of `dead` that are among these rows of `kept`."""
    refused: list[str | None] = [None] * rows.height
    try:
        dead = _are_dead(rows, encoder, max_length, cut)
    except GateError:  # which rows the template refuses, each alone shows
        refused = _find_refused(rows, encoder)
        taken = [i for i, said in enumerate(refused) if said is None]
        found = _are_dead(rows[taken], encoder, max_length, cut)
        dead = [False] * rows.height
        for i, one in zip(taken, found, strict=True):
            dead[i] = one
    marked = rows.select("config", "key", refused=pl.Series(refused, dtype=pl.String))
    return marked.filter(pl.Series(dead, dtype=pl.Boolean) | pl.col("refused").is_not_null())


def _find_refused(rows: pl.DataFrame, encoder: Encoder) -> list[str | None]:
    """Return for each row what the chat template says against it; None if it takes the row."""
    said: list[str | None] = []
    for messages, *sides in rows.select("messages", "chosen", "rejected").iter_rows():
        try:
            for side in sides:
                if side is not None:
                    list(render_texts(encoder, [messages], [side]))
            said.append(None)
        except GateError as error:
            said.append(str(error).rpartition("refuses a prompt: ")[2][:_SAID] or "no reason given")
    return said


def _are_dead(pairs: pl.DataFrame, encoder: Encoder, max_length: int | None, cut: Cut) -> list[bool]:
    """Return for each row whether it is a dead pair; GateError if the template refuses any of the rows."""
    at = pairs["rejected"].is_not_null()
    alone = pairs.filter(~at & pairs["chosen"].is_not_null())
    for _ in render_texts(encoder, alone["messages"].to_list(), alone["chosen"].to_list()):
        pass
    dead = np.zeros(pairs.height, bool)
    dead[at.to_numpy()] = _are_pairs_dead(pairs.filter(at), encoder, max_length, cut)
    return dead.tolist()


def _are_pairs_dead(pairs: pl.DataFrame, encoder: Encoder, max_length: int | None, cut: Cut) -> list[bool]:
    prompts = pairs["messages"].to_list()
    texts = [list(render_texts(encoder, prompts, pairs[side].to_list())) for side in ("chosen", "rejected")]
    at = [
        i for i, (a, b) in enumerate(zip(*texts, strict=True)) if not _differ(encoder, a, b, max_length, cut)
    ]
    chosen, rejected = (encode(encoder, [side[i] for i in at]) for side in texts)
    kept = slice(None, max_length) if cut == "keep_start" else slice(-(max_length or 0) or None, None)
    dead = [False] * len(prompts)
    for i, a, b in zip(at, chosen, rejected, strict=True):
        dead[i] = a[kept] == b[kept] and (
            cut == "keep_start" or len(a) == len(b) or _count_alike(encoder, prompts[i], a, b, max_length)
        )
    return dead


def _differ(encoder: Encoder, a: str, b: str, max_length: int | None, cut: Cut) -> bool:
    """Return true if two texts surely differ once they are cut, without tokenising them.

    If every token has at least one byte, equal tokens up to the cut mean equal texts for as many bytes,
    except for tokens that the tokenizer adds.
    """
    if not (encoder.faithful and is_normalized("NFC", a) and is_normalized("NFC", b)):
        return False
    if max_length is None:
        return a != b
    length = max(max_length - _ADDED, 0)
    kept = slice(None, length) if cut == "keep_start" else slice(-length or None, None)
    return length > 0 and a.encode()[kept] != b.encode()[kept]


def _count_alike(
    encoder: Encoder, prompt: Messages, chosen: list[int], rejected: list[int], max_length: int | None
) -> bool:
    """Return true if both completions have the same number of tokens, given equal ends of the sequences.

    The completion begins where the prompt alone and both sides begin to differ.
    """
    (alone,) = encode(encoder, list(render_texts(encoder, [prompt], None)))
    start = min(_common(alone, chosen), _common(alone, rejected))
    counts = [min(len(ids) - start, max_length or len(ids)) for ids in (chosen, rejected)]
    return counts[0] == counts[1]


def _common(ids: list[int], others: list[int]) -> int:
    """Count the tokens with which two sequences begin alike."""
    pairs = enumerate(zip(ids, others, strict=False))
    return next((i for i, (a, b) in pairs if a != b), min(len(ids), len(others)))


def _check(con: Store, inputs: Inputs) -> GateResult:
    wanted = inputs.recipe.tokenizer
    if wanted is None:
        raise ValueError("no tokenizer is named")
    encoder = read_encoder(wanted.name, inputs.recipe.format == "conversational")
    return check_same_tokens(con, encoder, wanted.max_length, wanted.cut)


GATE = Gate(
    "dead pairs",
    _check,
    applies=lambda inputs: inputs.recipe.tokenizer is not None,
    drops=lambda inputs: inputs.recipe.tokenizer is not None and inputs.recipe.tokenizer.drop,
    order=1,
)
