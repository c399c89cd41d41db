"""Privacy: no personal data in what is published, and no learner who stands alone.

privacy       12 rows hold personal data: 9 email, 3 phone; …
small groups  2 of 140 completions have outcomes of fewer than 5 learners; …
"""

from collections.abc import Sequence
from dataclasses import replace

import polars as pl

from ....schemas.errors import PrivacyError
from ....schemas.tables import SIGNALS, name_all
from ...privacy.recognisers import KINDS, Wanted, make_finder
from ...privacy.scan import texts_worth_a_look
from ...store.connection import Store, query, run
from .gate import Gate

OF_LEARNERS = tuple(signal for signal in SIGNALS if signal.learner)

# Every text of a row, as readers will see it.
_TEXTS = """SELECT rowid AS id, config, split, key, unnest(list_concat(
    [m."content" FOR m IN messages], [chosen_content, rejected_content])) AS "text" FROM kept"""


def check_privacy(con: Store, allow: Sequence[str] = (), wanted: Wanted | None = None) -> Gate:
    """Red if a text of `kept` holds personal data; the number counts such rows.

    Kinds in `allow` are not looked for, so that what stands inside one (an address of e-mail in a url)
    is found all the same. Needs Presidio: PrivacyError without it, and for a kind that is none.
    """
    for kind in allow:
        if kind not in KINDS:
            raise PrivacyError(f"privacy: allow: '{kind}' is no kind; there are {', '.join(KINDS)}")
    wanted = wanted or Wanted()
    wanted = replace(wanted, kinds=[kind for kind in wanted.kinds if kind not in allow])
    find = make_finder(wanted)
    found = [
        (text, one.kind, f"{text[one.start]}…[{one.end - one.start}]")
        for text in texts_worth_a_look(con, _TEXTS, wanted)
        for one in find(text)
    ]
    accepted = f" (not looked for: {', '.join(allow)})" if allow else ""
    if not found:
        return Gate("privacy", True, 0, f"no personal data found{accepted}")
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
    shown = "; ".join(f"{side} {key[:16]} {kind} {text}" for side, key, kind, text in first.rows())
    return Gate(
        "privacy",
        False,
        number,
        f"{number} rows hold personal data: {counts}{accepted}; the first: {shown}; run preceptor scan "
        "--mask on the store, or accept a kind by privacy: allow",
    )


def check_small_groups(con: Store, k: int = 5) -> Gate:
    """Red if outcomes of a completion come from fewer than `k` learners; the number counts such completions.

    As in k-anonymity (Samarati and Sweeney 1998), and as tables about pupils suppress small cells: what
    is published of a completion must be true of at least k learners, else who knows one that used it
    learns how they did. Reads the temp table `signals_kept`. Outcomes whose learner is unknown may all be
    one learner's. Leaves the temp table `small_groups` (kind, completion, learners), whose signals the
    build may leave out. Of several completions whose sum is published elsewhere, leaving out one gives it
    away.
    """
    kinds = ", ".join(f"'{signal.kind}'" for signal in OF_LEARNERS)
    run(
        con,
        f"""CREATE OR REPLACE TEMP TABLE small_groups AS
        SELECT kind, completion, count(DISTINCT person) + max((person IS NULL)::INT)
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
        return Gate("small groups", True, 0, f"every {each} stands among those of {k} learners or more")
    several = name_all((signal.plural for signal in OF_LEARNERS), "or")
    return Gate(
        "small groups",
        False,
        number,
        f"{number} of {whole} completions have {several} of fewer than {k} learners; leave their {several} "
        "out, or bring in more learners",
    )
