"""Leaks: nothing of one split may stand in another."""

from ..pairs import NORMAL
from ..store import Store, query
from .gate import Gate


def check_leaks(con: Store) -> Gate:
    """Red if a group or a prompt's normalised text lies in two splits; the number counts them."""
    text = NORMAL("""array_to_string([m."content" FOR m IN messages], ' ')""")
    leaks = query(
        con, f"""
        SELECT 'group' AS what, "group" AS value FROM kept GROUP BY 2 HAVING count(DISTINCT split) > 1
        UNION ALL SELECT 'prompt', {text} FROM kept GROUP BY 2 HAVING count(DISTINCT split) > 1
        ORDER BY ALL""",
    )  # fmt: skip
    if leaks.is_empty():
        return Gate("leaks", True, 0, "no group and no prompt text in two splits")
    what, value = leaks.row(0)
    return Gate(
        "leaks",
        False,
        leaks.height,
        f"{leaks.height} leaks between splits, the first: {what} '{value[:60]}'; give such prompts one group",
    )
