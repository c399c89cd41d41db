"""Dead pairs: the same tokens on both sides once the trainer has cut them teach nothing.

    prompt + chosen, prompt + rejected -> token ids -> the first max_length of each -> equal: dead

As TRL 1.16 prepares pairs for DPO (DPOTrainer._prepare_dataset, DataCollatorForPreference): prompt and
completion are tokenised as one text, by the chat template where prompts are conversations, with the
end-of-sequence token behind a plain one; then each sequence is cut to `max_length`, from its start or its
end. There is no length of prompts alone. Pairs whose prompt fills `max_length` by itself TRL drops without
counting them: those are dead too. So are texts that the tokenizer does not tell apart, cut or not.
"""

from typing import Literal

import polars as pl

from ..store import Store, run
from ..tokens import Encoder, encode
from .gate import Gate

_ROWS = 2_000  # tokenised at once
_CHUNK = 200_000  # rows between two writes

Cut = Literal["keep_start", "keep_end"]


def check_dead(con: Store, encoder: Encoder, max_length: int | None = 1024, cut: Cut = "keep_start") -> Gate:
    """Red if a preference pair of `kept` is dead; the number counts them.

    Leaves the temp table `dead` (config, key), for a build that drops them.
    """
    run(con, "CREATE OR REPLACE TEMP TABLE dead (config VARCHAR, key VARCHAR)")
    ((last,),) = run(con, "SELECT coalesce(max(rowid), -1) FROM kept")
    for first in range(0, last + 1, _CHUNK):
        pairs = f"""SELECT config, key, messages, chosen_content AS chosen, rejected_content AS rejected
            FROM kept WHERE rowid >= {first} AND rowid < {first + _CHUNK} AND rejected_content IS NOT NULL"""
        found = [
            frame.select("config", "key").filter(pl.Series(_are_dead(frame, encoder, max_length, cut)))
            for frame in (pl.DataFrame(batch) for batch in con.sql(pairs).to_arrow_reader(_ROWS))
            if frame.height
        ]
        if found:
            incoming = pl.concat(found).to_arrow()
            con.execute("INSERT INTO dead FROM incoming").fetchall()
            del incoming
    ((number, first_key),) = run(con, "SELECT count(*), min(key) FROM dead")
    to = f" cut to {max_length}" if max_length else ""
    if not number:
        return Gate("dead pairs", True, 0, f"chosen and rejected differ in every pair's tokens{to}")
    return Gate(
        "dead pairs", False, number,
        f"{number} pairs are the same tokens on both sides{to}, the first: {first_key[:16]}; "
        "raise max_length, or drop these pairs",
    )  # fmt: skip


def _are_dead(pairs: pl.DataFrame, encoder: Encoder, max_length: int | None, cut: Cut) -> list[bool]:
    prompts = pairs["messages"].to_list()
    chosen = encode(encoder, prompts, pairs["chosen"].to_list())
    rejected = encode(encoder, prompts, pairs["rejected"].to_list())
    kept = slice(None, max_length) if cut == "keep_start" else slice(-(max_length or 0) or None, None)
    equal = [a[kept] == b[kept] for a, b in zip(chosen, rejected, strict=True)]
    if cut == "keep_start":
        return equal
    # The ends may be equal where the completions that they are the ends of are not equally long: then
    # other tokens count.
    at = [i for i, same in enumerate(equal) if same and len(chosen[i]) != len(rejected[i])]
    asked = encode(encoder, [prompts[i] for i in at], None)
    for i, prompt in zip(at, asked, strict=True):
        length = min(_common(prompt, chosen[i]), _common(prompt, rejected[i]))
        counts = [min(len(ids) - length, max_length or len(ids)) for ids in (chosen[i], rejected[i])]
        equal[i] = counts[0] == counts[1]
    return equal


def _common(ids: list[int], others: list[int]) -> int:
    """How many tokens two sequences begin with alike."""
    pairs = enumerate(zip(ids, others, strict=False))
    return next((i for i, (a, b) in pairs if a != b), min(len(ids), len(others)))
