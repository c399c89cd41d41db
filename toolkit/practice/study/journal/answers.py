"""Take a learner's answer: mark it, keep it, draw the explanation, and say when the item is due again.

The same answer sent twice has the same uid: it is kept once, and its result is the first one's.
"""

from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import timedelta
from functools import cache
from typing import Any

from fsrs import Scheduler

from .....schemas.errors import StudyError
from .database import Journal
from .events import Clock, append_event, find_event, parse_moment
from .items import draw_number, find_item, list_arms
from .marking import LONGEST, mark_answer
from .schedule import AGAIN, GOOD, make_scheduler, move_card

_LATEST = timedelta(days=30)  # an answer kept on a device for longer gets the time at which it came
UNGRADED = "ungraded"  # of a card without a key, until the learner grades it


@dataclass(frozen=True)
class Rules:
    """Settings of the study that answers need."""

    secret: str
    retention: float
    vote_share: float
    """Share of explanations after which the learner is asked which of two helped more."""
    rate_every: int
    """Number of answers from one request for a rating to the next; 0: none."""


@dataclass(frozen=True)
class Answered:
    """What becomes of an answer."""

    uid: str
    verdict: str
    again: bool
    """True if it had come before."""


@cache
def _scheduler(retention: float) -> Scheduler:
    return make_scheduler(retention)


def keep_answer(
    con: Journal,
    clock: Clock,
    rules: Rules,
    person: str,
    uid: str,
    item_id: str,
    given: str,
    extra: dict[str, Any],
) -> Answered:
    """Keep an answer; `extra` is what the device says of it (took_ms, device_at). A job of the writer.

    Raises StudyError for an item that the study never had. One that was withdrawn is kept, and marked so.
    """
    if before := find_event(con, uid):
        return _answer_again(before, person)
    item = find_item(con, item_id)
    if item is None:
        raise StudyError(f"item {item_id[:40]}: this study never had it")
    given = given[:LONGEST]
    clock, extra = _settle_time(clock, extra)
    verdict = mark_answer(given, item["answers"], item["wrong"]) if item["answers"] else UNGRADED
    body = {"given": given, "verdict": verdict, **extra} | ({"withdrawn": True} if item["withdrawn"] else {})
    if verdict != UNGRADED:
        grade = AGAIN if verdict == "wrong" else GOOD
        body |= _move_card(con, clock, rules, person, item, grade)
    append_event(con, clock, person, "answer", uid, body, item_id)
    if item["prompt"]:
        knew = None if verdict == UNGRADED else verdict != "wrong"
        _draw_arm(con, clock, rules, person, item, uid, knew)
        if verdict in ("right", "near"):
            _note_learnt(con, clock, rules, person, item, uid, body["nth"])
    return Answered(uid, verdict, False)


def _settle_time(clock: Clock, extra: dict[str, Any]) -> tuple[Clock, dict[str, Any]]:
    """Take the device's time of an answer that was sent later, if it can be right."""
    said = extra.get("device_at")
    if said is None:
        return clock, extra
    with suppress(ValueError, TypeError):
        at = parse_moment(str(said))
        if clock.now - _LATEST <= at <= clock.now:
            return replace(clock, now=at), extra
    return clock, extra | {"device_clock": "wrong"}


def _answer_again(before: dict[str, Any], person: str) -> Answered:
    if before["person"] != person or before["kind"] != "answer":
        raise StudyError("this form belongs to another learner; load the page again")
    return Answered(before["uid"], before["body"]["verdict"], True)


def _move_card(
    con: Journal, clock: Clock, rules: Rules, person: str, item: dict[str, Any], grade: int
) -> dict[str, Any]:
    """Grade the learner's card of an item; return what the event keeps of it: state, nth, due."""
    row = con.execute("SELECT * FROM cards WHERE person = ? AND item = ?", [person, item["id"]]).fetchone()
    known = grade != AGAIN
    card, due, state = move_card(_scheduler(rules.retention), row["card"] if row else None, grade, clock.now)
    tries = (row["tries"] if row else 0) + 1
    con.execute(
        "INSERT OR REPLACE INTO cards VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
        [
            person,
            item["id"],
            card,
            due,
            tries,
            (row["failures"] if row else 0) + (not known),
            (row["streak"] if row else 0) + 1 if known else 0,
            (row["right"] if row else 0) + known,
        ],
    )
    return {"state": state, "nth": tries, "due": round(due, 3)}


def _draw_arm(
    con: Journal, clock: Clock, rules: Rules, person: str, item: dict[str, Any], uid: str, knew: bool | None
) -> None:
    """Draw the learner's explanation of the item's prompt, once, and keep with what probability."""
    if con.execute(
        "SELECT 1 FROM drawn WHERE person = ? AND prompt = ?", [person, item["prompt"]]
    ).fetchone():
        return
    arms = [arm for arm in list_arms(con, item["prompt"]) if arm["propensity"] > 0]
    if not arms:
        return
    whole = sum(arm["propensity"] for arm in arms)
    left = draw_number(rules.secret, person, item["prompt"]) * whole
    for chosen in arms:  # the last one where rounding leaves a little
        left -= chosen["propensity"]
        if left < 0:
            break
    body = {
        "prompt": item["prompt"],
        "completion": chosen["completion"],
        "arm": chosen["label"],
        "propensity": chosen["propensity"] / whole,
        "chances": {arm["label"]: arm["propensity"] / whole for arm in arms},
        "policy": chosen["policy"],
        "fit": chosen["fit"],
        "knew": knew,
    }
    append_event(con, clock, person, "draw", f"{uid}-draw", body, item["id"])
    row = [person, item["prompt"], item["id"], chosen["completion"], 0, 0, 0]
    con.execute("INSERT INTO drawn VALUES (?, ?, ?, ?, ?, ?, ?)", row)


def _note_learnt(
    con: Journal, clock: Clock, rules: Rules, person: str, item: dict[str, Any], uid: str, nth: int
) -> None:
    """Note that the item was answered after its explanation; offer two explanations to compare, now and then.

    Not before: what a learner saw of the other explanation would count for this one.
    """
    drawn = find_drawn(con, person, item["prompt"])
    if drawn is None or drawn["item"] != item["id"] or drawn["learnt"] or nth < 2:
        return
    con.execute("UPDATE drawn SET learnt = 1 WHERE person = ? AND prompt = ?", [person, item["prompt"]])
    others = [
        a["completion"] for a in list_arms(con, item["prompt"]) if a["completion"] != drawn["completion"]
    ]
    if not others or draw_number(rules.secret, "vote", person, item["prompt"]) >= rules.vote_share:
        return
    other = others[int(draw_number(rules.secret, "other", person, item["prompt"]) * len(others))]
    pair = [drawn["completion"], other]
    if draw_number(rules.secret, "side", person, item["prompt"]) < 0.5:
        pair.reverse()
    body = {"prompt": item["prompt"], "first": pair[0], "second": pair[1]}
    append_event(con, clock, person, "both", f"{uid}-both", body, item["id"])
    con.execute("UPDATE drawn SET both = 1 WHERE person = ? AND prompt = ?", [person, item["prompt"]])


def find_drawn(con: Journal, person: str, prompt: str) -> dict[str, Any] | None:
    """Find the explanation that a learner was given for a prompt."""
    row = con.execute("SELECT * FROM drawn WHERE person = ? AND prompt = ?", [person, prompt]).fetchone()
    return dict(row) if row else None


def take_grade(con: Journal, clock: Clock, rules: Rules, person: str, uid: str, grade: int) -> None:
    """Take a learner's own grade, 1 to 4, of a card without a key; the first counts.

    Raises StudyError for another answer.
    """
    answer = _find_own(con, person, uid)
    if answer["body"]["verdict"] != UNGRADED or grade not in range(1, 5):
        raise StudyError("this answer is not one to grade")
    if find_event(con, f"{uid}-grade"):
        return
    item = find_item(con, answer["item"])
    if item is None:
        raise StudyError("this study never had the item")
    kept = _move_card(con, clock, rules, person, item, grade)
    append_event(con, clock, person, "grade", f"{uid}-grade", {"of": uid, "grade": grade} | kept, item["id"])
    if item["prompt"] and grade != AGAIN:
        _note_learnt(con, clock, rules, person, item, uid, kept["nth"])


def take_claim(con: Journal, clock: Clock, rules: Rules, person: str, uid: str) -> None:
    """Take "I was right" about an answer marked wrong: kept as such, asked again as if it were right.

    Raises StudyError for another answer.
    """
    answer = _find_own(con, person, uid)
    if answer["body"]["verdict"] != "wrong":
        raise StudyError("only an answer that was marked wrong can be claimed")
    if find_event(con, f"{uid}-claim"):
        return
    append_event(con, clock, person, "claim", f"{uid}-claim", {"of": uid}, answer["item"])
    item = find_item(con, answer["item"])
    if item is not None:
        _move_card(con, clock, rules, person, item, GOOD)


def take_vote(con: Journal, clock: Clock, person: str, uid: str, choice: str) -> None:
    """Take which of the two explanations shown after an answer helped more: first, second or tie.

    Raises StudyError where none were shown.
    """
    both = find_event(con, f"{uid}-both")
    if both is None or both["person"] != person or choice not in ("first", "second", "tie"):
        raise StudyError("these explanations are not ones to compare")
    if find_event(con, f"{uid}-vote"):
        return
    sides = both["body"]
    body = {"of": f"{uid}-both", "choice": choice, "first": sides["first"], "second": sides["second"]}
    append_event(con, clock, person, "vote", f"{uid}-vote", body, both["item"])


def take_rating(
    con: Journal, clock: Clock, person: str, uid: str, completion: str, values: dict[str, int]
) -> None:
    """Take ratings of the explanation shown after an answer: value by criterion.

    Raises StudyError for another explanation.
    """
    answer = _find_own(con, person, uid)
    item = find_item(con, answer["item"])
    drawn = find_drawn(con, person, item["prompt"]) if item and item["prompt"] else None
    if drawn is None or drawn["completion"] != completion:
        raise StudyError("this explanation is not one to rate")
    if values and not find_event(con, f"{uid}-rating"):
        body = {"completion": completion, "values": values}
        append_event(con, clock, person, "rating", f"{uid}-rating", body, answer["item"])


def _find_own(con: Journal, person: str, uid: str) -> dict[str, Any]:
    found = find_event(con, uid)
    if found is None or found["person"] != person or found["kind"] != "answer":
        raise StudyError("there is no such answer of this learner")
    return found
