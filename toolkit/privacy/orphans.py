"""Remove what is left of texts and people that left the store with their source."""

from ...schemas.tables import SIGNALS
from ..store.connection import Store, run


def remove_orphans(con: Store) -> None:
    """Remove replies of models about texts that no longer exist, and annotators of whom nothing is left.

    An annotator who is left out of fits stays, so that they are left out when their rows come again; so do
    all while a dataset was built that has signals with who gave them, so that they can be forgotten there.
    """
    run(
        con,
        """DELETE FROM replies WHERE prompt NOT IN (SELECT key FROM prompts)
        OR completion_a NOT IN (SELECT key FROM completions)
        OR completion_b NOT IN (SELECT key FROM completions)""",
    )
    judged = " UNION ALL ".join(f"SELECT {s.annotator} AS key FROM {s.name}" for s in SIGNALS if s.annotator)
    run(
        con,
        f"""DELETE FROM annotators WHERE excluded_at IS NULL AND NOT EXISTS (
        FROM ({judged} UNION ALL SELECT annotator FROM answers) j WHERE j.key = annotators.key)
        AND NOT EXISTS (FROM builds WHERE list_contains((recipe->>'$.configs')::VARCHAR[], 'signals'))""",
    )
