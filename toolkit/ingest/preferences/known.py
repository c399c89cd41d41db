"""Find the texts of another source that rows may name, such as the completions that votes are about."""

from dataclasses import replace

from ....schemas.errors import SourceError
from ...store.connection import Store, query
from ..batch import Context, make_known
from .pairs import find_sides

# Texts that rows may name. A prompt without id is named by its key; an id of two prompts names none.
_NAMED = {
    "completions": "SELECT source, ref, key AS completion, prompt FROM completions WHERE ref IS NOT NULL",
    "prompts": """SELECT source, coalesce(ref, key) AS ref, NULL AS completion,
        CASE WHEN count(*) = 1 THEN min(key) END AS prompt FROM prompts GROUP BY 1, 2""",
}


def add_known(con: Store, context: Context, what: str) -> Context:
    """Add the completions or prompts that rows may name.

    Their source is `context.about`, or the only one that has any. Raises SourceError if there is no such
    source, or several and none is named.
    """
    sources = query(con, f"SELECT DISTINCT source FROM ({_NAMED[what]}) ORDER BY 1")
    names: list[str] = sources["source"].to_list()
    about = context.about or (names[0] if len(names) == 1 else "")
    if about not in names:
        have = ", ".join(names) or "none yet; ingest prompts first"
        said = f"'{about}' holds no {what}" if about else f"say which {what} these are about"
        raise SourceError(f"--about: {said}; sources with {what}: {have}")
    rows = query(con, f"SELECT ref, completion, prompt FROM ({_NAMED[what]}) WHERE source = ?", [about])
    sides = find_sides(con, about) if "{prompt}" in context.wide else context.sides
    return replace(context, about=about, known=rows.cast(make_known([]).schema), sides=sides)
