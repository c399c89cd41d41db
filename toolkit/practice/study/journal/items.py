"""Read what is asked: items, the next one of a learner, and the explanations of its prompt."""

import hashlib
import json
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from .database import Journal

AHEAD = timedelta(minutes=20)  # an item due so soon is asked now rather than nothing
_LISTS = ("answers", "wrong", "options", "skills", "sources")


@dataclass(frozen=True)
class Next:
    """What a learner does now: an item, or none until `again` (None: nothing is left)."""

    item: dict[str, Any] | None
    again: datetime | None = None


def find_item(con: Journal, id: str) -> dict[str, Any] | None:
    """Find an item, its lists read; None if the study never had it."""
    row = con.execute("SELECT * FROM items WHERE id = ?", [id]).fetchone()
    return None if row is None else dict(row) | {name: json.loads(row[name]) for name in _LISTS}


def choose_items(con: Journal, person: str, at: datetime, daily: int, most: int = 1) -> list[dict[str, Any]]:
    """Choose the items to ask now, most urgent first: what is due, then new ones, then what is due soon.

    New items come at most `daily` a day, in the order that the push computed (`places`), else in one of the
    learner's own; first those whose best explanation is not settled yet.
    """
    due = _list_due(con, person, at, most)
    if len(due) < most:
        due += _list_new(con, person, at, daily, most - len(due))
    if len(due) < most:
        soon = _list_due(con, person, at + AHEAD, most)
        due += [id for id in soon if id not in due][: most - len(due)]
    return [item for id in due if (item := find_item(con, id)) is not None]


def choose_next(con: Journal, person: str, at: datetime, daily: int) -> Next:
    """Choose what to ask now, or tell when something is due again."""
    if chosen := choose_items(con, person, at, daily):
        return Next(chosen[0])
    row = con.execute(
        "SELECT min(due) FROM cards JOIN items ON id = item WHERE person = ? AND NOT withdrawn", [person]
    ).fetchone()
    again = None if row[0] is None else datetime.fromtimestamp(row[0], at.tzinfo)
    if _list_new(con, person, at, 1 << 30, 1):  # more of them tomorrow
        tomorrow = at.replace(hour=0, minute=0, second=0, microsecond=0) + timedelta(days=1)
        again = min(again or tomorrow, tomorrow)
    return Next(None, again)


def _list_due(con: Journal, person: str, at: datetime, most: int) -> list[str]:
    rows = con.execute(
        """SELECT item FROM cards JOIN items ON id = item
        WHERE person = ? AND due <= ? AND NOT withdrawn ORDER BY due LIMIT ?""",
        [person, at.timestamp(), most],
    )
    return [row[0] for row in rows]


def _list_new(con: Journal, person: str, at: datetime, daily: int, most: int) -> list[str]:
    day = at.strftime("%Y-%m-%d")
    ((begun,),) = con.execute(
        """SELECT count(*) FROM (SELECT item, min(at) AS first FROM events
        WHERE person = ? AND kind = 'answer' GROUP BY item) WHERE first >= ?""",
        [person, day],
    ).fetchall()
    room = min(most, daily - begun)
    if room <= 0:
        return []
    rows = con.execute(
        """SELECT id, settled, coalesce(mine.place, others.place, 0) AS place FROM items
        LEFT JOIN places mine ON mine.person = $who AND mine.item = id
        LEFT JOIN places others ON others.person = '' AND others.item = id
        WHERE NOT withdrawn AND id NOT IN (SELECT item FROM cards WHERE person = $who)""",
        {"who": person},
    )
    order = sorted((row["settled"], row["place"], draw_number(person, row["id"]), row["id"]) for row in rows)
    return [id for *_, id in order[:room]]


def draw_number(*parts: str) -> float:
    """Draw a number from 0 to 1 by chance, the same for the same parts."""
    digest = hashlib.sha256("\0".join(parts).encode()).digest()
    return int.from_bytes(digest[:8], "big") / 2**64


def list_arms(con: Journal, prompt: str) -> list[dict[str, Any]]:
    """List the explanations of a prompt that can be drawn, in a fixed order."""
    rows = con.execute("SELECT * FROM arms WHERE prompt = ? ORDER BY label, completion", [prompt])
    return [dict(row) for row in rows]


def find_arm(con: Journal, completion: str) -> dict[str, Any] | None:
    """Find an explanation by its key, also one that is not drawn any more."""
    row = con.execute("SELECT * FROM arms WHERE completion = ?", [completion]).fetchone()
    return dict(row) if row else None


def list_options(item: dict[str, Any], person: str) -> list[str]:
    """List what is offered: options in an order of the learner's own; words of an order as they are."""
    if item["answers"] and item["options"] and item["kind"] != "order":
        offered = {item["answers"][0], *item["options"]}
        return sorted(offered, key=lambda option: draw_number(person, item["id"], option))
    return list(item["options"])
