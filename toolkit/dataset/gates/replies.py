"""Replies: no completion of a model was cut off or filtered, or holds a block of reasoning.

    context {"finish": "length"}         cut off
    context {"finish": "content_filter"} filtered
    "<think>A hint?</think> Try 7 x 4."  reasoning
    "Try 7 x 4.<|im_end|>"               tokens of a chat template

A model that is trained on the first two learns to stop midway, on the third to think aloud, and on the last
to write the token as text. How a completion ended stands in its context (as finish, finish_reason or
stop_reason), or in the reply that it was made from.
"""

from ....schemas.tables import Column, Table
from ...store.connection import Store, run
from ...store.temporary import make
from ..steps import KEPT
from .gate import Drop, Gate, GateResult, GateSettings, Inputs

CUT = ("length", "max_tokens", "model_length")
"""Finish reasons, in lower case, of a reply that was cut off."""
FILTERED = (
    "content_filter",
    "safety",
    "recitation",
    "prohibited_content",
    "refusal",
    "error",
    "abort",
    "cancelled",
    "reasoning",
)
"""Finish reasons, in lower case, of other replies that did not end by themselves."""
REASONING = r"(?i)</?(seed:)?think(ing)?>|\[/?THINK\]|◁/?think▷"
"""Marks of reasoning, as a regular expression of DuckDB."""
TOKENS = (
    r"<\|(im_start|im_end|eot_id|eom_id|endoftext|end_of_text|start|end|channel|message|return|call"
    r"|start_header_id|end_header_id|END_OF_TURN_TOKEN)\|>|<(start|end)_of_turn>|<｜end▁of▁sentence｜>|</s>\s*$"
)
"""Tokens of chat templates, as a regular expression of DuckDB."""

MARKED = "marked"
"""Entry of a manifest: number of completions with such marks that people wrote, which the gate lets pass."""

UNFINISHED = Table(
    "unfinished",
    "a completion of a model that is no whole answer",
    (
        Column("key", "text", "its key"),
        Column("why", "text", "cut off, filtered, reasoning or tokens of a chat template"),
    ),
)
_USED = """SELECT chosen_completion AS key FROM kept
    UNION SELECT rejected_completion FROM kept WHERE rejected_completion IS NOT NULL"""
_FINISH = "coalesce({0}->>'unfinished', {0}->>'finish', {0}->>'finish_reason', {0}->>'stop_reason')"


class RepliesSettings(GateSettings):
    """Keys of the gate's section in a recipe."""

    allow_cut: bool = False
    """Take completions that were cut off."""


def check_replies(con: Store, allow_cut: bool = False) -> GateResult:
    """Check that no completion of `kept` is known to be cut off or filtered, or holds reasoning.

    The number counts such completions. Only completions of models are looked at. Makes the temporary table
    `unfinished`.
    """
    make(
        con,
        UNFINISHED,
        f"""WITH used AS ({_USED}), written AS (
            SELECT key, content, author, context->>'request' AS request, {_FINISH.format("context")} AS finish
            FROM completions SEMI JOIN used USING (key) WHERE origin = 'model'
        ), said AS (
            SELECT request, model, raw, max({_FINISH.format("(sampling->'said')")}) AS finish
            FROM replies WHERE answer IS NOT NULL AND request IN (SELECT request FROM written)
            GROUP BY ALL
        ), ended AS (
            SELECT w.key, content, lower(coalesce(w.finish, said.finish)) AS finish FROM written w
            LEFT JOIN said ON said.request = w.request AND said.model = w.author AND said.raw = w.content
        ), found AS (
            SELECT key, CASE
                WHEN finish IN (SELECT unnest($cut::VARCHAR[])) THEN 'cut off'
                WHEN finish IN (SELECT unnest($filtered::VARCHAR[])) THEN 'filtered'
                WHEN regexp_matches(content, $reasoning) THEN 'reasoning'
                WHEN regexp_matches(content, $tokens) THEN 'tokens of a chat template' END AS why
            FROM ended
        )
        SELECT DISTINCT key, why FROM found WHERE why IS NOT NULL""",
        {
            "cut": [] if allow_cut else list(CUT),
            "filtered": list(FILTERED),
            "reasoning": REASONING,
            "tokens": TOKENS,
        },
    )
    counted = run(con, "SELECT why, count(*), min(key) FROM unfinished GROUP BY why ORDER BY why")
    number = sum(n for _, n, _ in counted)
    if not number:
        return GateResult("replies", True, 0, "no completion of a model is known to be cut off or filtered")
    each = ", ".join(f"{n:,} {why} (the first: {key[:16]})" for why, n, key in counted)
    cut = ", or take those cut off by allow_cut: true there" if counted[0][0] == "cut off" else ""
    found = f"{number:,} completions of models are no whole answers: {each}"
    return GateResult(
        "replies",
        False,
        number,
        f"{found}; generate them again, or drop their rows by gates: {{replies: {{drop: true}}}}{cut}",
        Drop(
            KEPT,
            """chosen_completion IN (SELECT key FROM unfinished)
            OR coalesce(rejected_completion IN (SELECT key FROM unfinished), false)""",
            "replies cut off, filtered, with reasoning or tokens of a chat template",
            found=found,
        ),
    )


def _check(con: Store, inputs: Inputs) -> GateResult:
    return check_replies(con, inputs.settings.allow_cut)


def count_marked(con: Store) -> int:
    """Count the completions of `kept`, whoever wrote them, with reasoning or tokens in their texts there."""
    ((marked,),) = run(
        con,
        """SELECT count(DISTINCT key) FROM (
            SELECT chosen_completion AS key, chosen_content AS content FROM kept UNION ALL
            SELECT rejected_completion, rejected_content FROM kept)
        WHERE regexp_matches(content, $reasoning) OR regexp_matches(content, $tokens)""",
        {"reasoning": REASONING, "tokens": TOKENS},
    )
    return int(marked)


GATE = Gate(
    "replies",
    _check,
    settings=RepliesSettings,
    order=3,
    facts=lambda con: {MARKED: marked} if (marked := count_marked(con)) else {},
)
