"""Hygiene: texts that are not as a person would write them; counted, and refused or dropped on request.

"“Try 7 x 4.”"                 quotes        "Tutor: Try 7 x 4."      speaker
"Try(no-break)7 x 4."          spaces        " Try 7 x 4."            untrimmed
"Well done, [STUDENT]!"         placeholder   "Well done , Ada ."      tokenised
"7"                             short         the same row again       duplicate
assistant: "Hi!", user: "Hi."   assistant first
"""

from typing import Literal

from ...store.connection import Store, query
from ...store.quoting import quote_text
from ..clean import INVISIBLE, ODD_SPACE, QUOTED, SPEAKER, TOKENISED, TWICE
from ..steps import KEPT
from .gate import Drop, Gate, GateResult, GateSettings, Inputs

Kind = Literal[
    "quotes",
    "speaker",
    "spaces",
    "untrimmed",
    "placeholder",
    "tokenised",
    "short",
    "assistant first",
    "duplicate",
]
_PLACEHOLDER = r"\[(?:[A-Z]{3,}[A-Z_ ]*)\]|<[A-Z][A-Z_]{2,}>|\{\{ *\w+ *\}\}"


class HygieneSettings(GateSettings):
    """Keys of the gate's section in a recipe."""

    stop: bool = False
    """Stop the build if such a row is found; without it and `drop` rows are only counted."""
    allow: list[Kind] = []  # noqa: RUF012  pydantic copies it
    """Kinds that may occur: they are counted, and neither stop the build nor are dropped."""


def _any_answer(pattern: str) -> str:
    quoted = quote_text(pattern)
    return (
        f"(regexp_matches(chosen_content, {quoted}) "
        f"OR coalesce(regexp_matches(rejected_content, {quoted}), false))"
    )


_KINDS: dict[Kind, tuple[str, str, str]] = {
    "quotes": (_any_answer(QUOTED), "wholly in quotes", "quotes"),
    "speaker": (_any_answer(SPEAKER), "with a speaker's name before an answer", "speaker"),
    "spaces": (_any_answer(f"{ODD_SPACE}|{INVISIBLE}"), "with no-break or invisible spaces", "spaces"),
    "untrimmed": (_any_answer(r"^\s|\s$"), "with spaces around an answer", "trim"),
    "placeholder": (_any_answer(_PLACEHOLDER), "with placeholders such as [NAME]", ""),
    "tokenised": (
        f"NOT starts_with(lower(language), 'fr') AND {_any_answer(TOKENISED)}",
        "with spaces before punctuation",
        "detokenise",
    ),
    "short": (
        "length(trim(chosen_content)) < 2 OR coalesce(length(trim(rejected_content)) < 2, false)",
        "with an empty or one-character answer",
        "",
    ),
    "assistant first": (
        """list_filter(messages, lambda m: m."role" <> 'system')[1]."role" = 'assistant'""",
        "in which the assistant speaks first",
        "",
    ),
    "duplicate": (TWICE, "with the same texts as another row", "duplicates"),
}
"""By kind: condition on a row of `kept`, its words, and the step of `clean` that mends it."""


def check_hygiene(con: Store, refuse: bool = False, allow: list[Kind] | None = None) -> GateResult:
    """Count rows of `kept` by what is unusual in their texts; the number counts such rows.

    Exercises are left out: they are what learners wrote, in the corpus's own spacing, and no tutor's answer.
    Red only if `refuse`, and a kind that is not in `allow` is found.
    """
    counts = ", ".join(
        f"""count_if({where}) AS "{kind}", min(key) FILTER ({where}) AS "{kind} key" """
        for kind, (where, _, _) in _KINDS.items()
    )
    refused = [kind for kind in _KINDS if kind not in (allow or [])]
    bad = " OR ".join(f"({_KINDS[kind][0]})" for kind in refused) or "false"
    anything = " OR ".join(f"({where})" for where, _, _ in _KINDS.values())
    (found,) = query(
        con,
        f"""SELECT {counts}, count_if({anything}) AS rows, count_if({bad}) AS bad FROM kept
        WHERE config <> 'exercises'""",
    ).to_dicts()
    if not found["rows"]:
        return GateResult("hygiene", True, 0, "no text is in quotes, padded, tokenised or the like")
    there = [kind for kind in _KINDS if found[kind]]
    said = ", ".join(
        f"{found[kind]:,} {_KINDS[kind][1]} (the first: {found[f'{kind} key'][:16]})" for kind in there
    )
    steps = ", ".join(dict.fromkeys(_KINDS[kind][2] for kind in there if _KINDS[kind][2]))
    ways = [f"clean: [{steps}] in the recipe cleans texts"] if steps else []
    if not refuse or not found["bad"]:
        return GateResult("hygiene", True, int(found["rows"]), "; ".join((f"rows: {said}", *ways)))
    kinds = ", ".join(kind for kind in there if kind in refused)
    ways += [
        "gates: {hygiene: {drop: true}} drops such rows",
        f"gates: {{hygiene: {{allow: [{kinds}]}}}} takes them",
    ]
    return GateResult(
        "hygiene",
        False,
        int(found["bad"]),
        "; ".join((f"rows: {said}", *ways)),
        Drop(
            KEPT,
            f"config <> 'exercises' AND ({bad})",
            "texts in quotes, padded, tokenised or the like",
            found=f"rows: {said}",
        ),
    )


def _check(con: Store, inputs: Inputs) -> GateResult:
    settings: HygieneSettings = inputs.settings
    return check_hygiene(con, settings.stop or settings.drop, settings.allow)


GATE = Gate("hygiene", _check, settings=HygieneSettings, order=4)
