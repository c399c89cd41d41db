"""Who leaves is forgotten in the store, and whom the store forgot is taken out of the journal."""

from datetime import UTC, datetime
from pathlib import Path

import polars as pl

from ....schemas.tables import FORGOTTEN
from ...privacy.forget import forget
from ...privacy.pseudonyms import Naming, write_mark_sql
from ...store.connection import Store, insert, query, run
from .journal.database import Journal, write_at_once
from .journal.people import forget_bytes, withdraw


def forget_withdrawn(con: Store, journal: Journal, name: Naming) -> tuple[int, tuple[tuple[Path, str], ...]]:
    """Forget in the store who withdrew; who was never pulled is noted, so that no copy brings them."""
    rows = [row[0] for row in journal.execute("SELECT person FROM withdrawals WHERE NOT told")]
    found: dict[Path, str] = {}
    for person, pseudonym in zip(rows, name(pl.Series(rows, dtype=pl.String)), strict=True):
        has = "SELECT 1 FROM {0} WHERE learner = $who"
        known = query(
            con,
            f"""{has.format("participants")} UNION ALL {has.format("reviews")}
            UNION ALL SELECT 1 FROM annotators WHERE pseudonym = $who""",
            {"who": pseudonym},
        )
        if known.height:
            found |= dict(forget(con, pseudonym).traces.found)
        else:
            ((mark,),) = run(con, f"SELECT {write_mark_sql('$who')}", {"who": pseudonym})
            insert(con, FORGOTTEN, pl.DataFrame({"person": [mark], "forgotten_at": [datetime.now(UTC)]}))
        with write_at_once(journal):
            journal.execute("UPDATE withdrawals SET told = 1 WHERE person = ?", [person])
    return len(rows), tuple(found.items())


def remove_forgotten(journal: Journal, people: list[str]) -> None:
    """Take learners whom the store forgot out of the journal, with their bytes."""
    if not people:
        return
    with write_at_once(journal):
        for person in people:
            withdraw(journal, person, datetime.now(UTC))
            journal.execute("UPDATE withdrawals SET told = 1 WHERE person = ?", [person])
    forget_bytes(journal)
