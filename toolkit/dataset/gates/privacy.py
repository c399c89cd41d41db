"""Privacy: no personal data in what is published, and no outcomes of single learners.

privacy       12 rows hold personal data: 9 email, 3 phone; …
small groups  2 of 140 completions have outcomes of fewer than 5 learners; …
"""

from collections.abc import Collection, Sequence
from dataclasses import replace

import polars as pl

from ....schemas.errors import PrivacyError
from ....schemas.support.nearest import suggest
from ....schemas.tables import SIGNALS, Column, Table, name_all
from ...privacy.recognisers import KINDS, Wanted, make_finder
from ...privacy.scan import find_likely_texts
from ...store.connection import Store, query, run
from ...store.temporary import make
from ..steps import COMPLETION, SIGNALS_KEPT
from .gate import Drop, Gate, GateResult, Inputs

OF_LEARNERS = tuple(signal for signal in SIGNALS if signal.learner)

# Every text of a row, as published.
_TEXTS = """SELECT rowid AS id, config, split, key, unnest(list_concat(
    [m."content" FOR m IN messages], [chosen_content, rejected_content])) AS "text" FROM kept"""


SMALL_GROUPS = Table(
    "small_groups",
    "a completion about which signals of a type come from few learners",
    (
        Column("kind", "text", "the type of signal"),
        COMPLETION,
        Column("learners", "int", "number of learners; all unknown ones count as one"),
    ),
)


def check_privacy(con: Store, allow: Sequence[str] = (), wanted: Wanted | None = None) -> GateResult:
    """Check texts of `kept` for personal data; the number counts rows that have some.

    Kinds in `allow` are ignored; other kinds inside them (an e-mail address in a url) still are.
    Raises PrivacyError without Presidio, and for an unknown kind.
    """
    check_kinds(allow)
    wanted = wanted or Wanted()
    wanted = replace(wanted, kinds=[kind for kind in wanted.kinds if kind not in allow])
    find = make_finder(wanted)
    found = [
        (text, one.kind, f"{text[one.start]}…[{one.end - one.start}]")
        for text in find_likely_texts(con, _TEXTS, wanted)
        for one in find(text)
    ]
    accepted = f" (not looked for: {', '.join(allow)})" if allow else ""
    if not found:
        return GateResult("privacy", True, 0, f"no personal data found{accepted}")
    schema = {"text": pl.String, "kind": pl.String, "shown": pl.String}
    con.register("found", pl.DataFrame(found, schema=schema, orient="row").to_arrow())
    try:
        rows = f"""(SELECT id, config || '/' || split AS side, key, kind, shown
            FROM ({_TEXTS}) JOIN found USING ("text"))"""
        kinds = query(con, f"SELECT kind, count(DISTINCT id) AS n FROM {rows} GROUP BY 1 ORDER BY 1").rows()
        ((number,),) = run(con, f"SELECT count(DISTINCT id) FROM {rows}")
        first = query(
            con, f"SELECT side, key, kind, min(shown) FROM {rows} GROUP BY ALL ORDER BY ALL LIMIT 3"
        )
    finally:
        con.unregister("found")
    counts = ", ".join(f"{n} {kind}" for kind, n in kinds)
    all_kinds = _list_kinds({text for text, *_ in found}, wanted, [kind for kind, _ in kinds])
    shown = "; ".join(f"{side} {key[:16]} {kind} {text}" for side, key, kind, text in first.rows())
    return GateResult(
        "privacy",
        False,
        number,
        f"{number} rows hold personal data: {counts}{accepted}; the first: {shown}; run preceptor scan "
        f"--mask on the store, or accept them by privacy: {{allow: [{', '.join([*allow, *all_kinds])}]}}",
    )


def _list_kinds(texts: Collection[str], wanted: Wanted, found: list[str]) -> list[str]:
    """List the kinds without which nothing is found: those found, and those inside (a url in an email)."""
    rest = replace(wanted, kinds=[kind for kind in wanted.kinds if kind not in found])
    find = make_finder(rest)
    more = sorted({one.kind for text in texts for one in find(text)}) if rest.kinds else []
    return _list_kinds(texts, wanted, [*found, *more]) if more else found


def check_kinds(allow: Sequence[str]) -> None:
    """Raise PrivacyError for a name that is no kind of personal data."""
    for kind in allow:
        if kind not in KINDS:
            raise PrivacyError(
                f"privacy: allow: '{kind}' is no kind; {suggest(kind, KINDS, 'there are', ' ')}"
            )


def _check_texts(con: Store, inputs: Inputs) -> GateResult:
    """Check texts as the recipe says; without Presidio the gate is red, and a local build warned."""
    privacy = inputs.recipe.privacy
    if not privacy.look:
        return GateResult("privacy", True, 0, "the recipe says not to look for personal data")
    check_kinds(privacy.allow)
    try:
        return check_privacy(con, privacy.allow)
    except PrivacyError as error:
        missing = f"NOT LOOKED FOR: {error}"
        way = "or write privacy: {look: false} into the recipe"
        return GateResult("privacy", False, 0, f"{missing}; {way}", local=missing)


TEXTS_GATE = Gate("privacy", _check_texts, warns_locally=True)


def check_small_groups(con: Store, k: int = 5) -> GateResult:
    """Fail if a completion has outcomes of fewer than `k` learners; the number counts such completions.

    This is k-anonymity (Samarati and Sweeney 1998), as official tables suppress small cells: otherwise
    whoever knows a learner that used the completion learns how that learner did. Outcomes of unknown
    learners count as one learner's. If the sum over several completions is published elsewhere, leaving
    out one completion reveals its outcomes.

    Reads the temporary table `signals_kept`. Leaves the temporary table `small_groups` (kind, completion,
    learners), whose signals the build may leave out.
    """
    kinds = ", ".join(f"'{signal.kind}'" for signal in OF_LEARNERS)
    make(
        con,
        SMALL_GROUPS,
        f"""SELECT kind, completion, count(DISTINCT person) + max((person IS NULL)::INT)
            AS learners
        FROM signals_kept WHERE kind IN ({kinds}) GROUP BY kind, completion""",
    )
    ((number, whole),) = run(
        con,
        """SELECT count(DISTINCT completion) FILTER (learners < ?), count(DISTINCT completion)
        FROM small_groups""",
        [k],
    )
    run(con, "DELETE FROM small_groups WHERE learners >= ?", [k])
    if not number:
        each = name_all((signal.kind for signal in OF_LEARNERS), "or")
        verdict = f"every {each} stands among those of {k} learners or more"
        return GateResult("small groups", True, 0, verdict)
    several = name_all((signal.plural for signal in OF_LEARNERS), "or")
    found = f"{number} of {whole} completions have {several} of fewer than {k} learners"
    return GateResult(
        "small groups",
        False,
        number,
        f"{found}; leave their {several} out by privacy: {{drop: true}}, or bring in more learners",
        Drop(
            SIGNALS_KEPT,
            "(kind, completion) IN (SELECT (kind, completion) FROM small_groups)",
            f"signals: {several} of few learners",
            "left out",
            found,
        ),
    )


GROUPS_GATE = Gate(
    "small groups",
    lambda con, inputs: check_small_groups(con, inputs.recipe.privacy.learners),
    applies=lambda inputs: "signals" in inputs.recipe.configs,
    drops=lambda inputs: inputs.recipe.privacy.drop,
    warns_locally=True,
)
