"""When an item is due again: spaced repetition by FSRS, with the package's own default parameters."""

import json
from datetime import datetime

from fsrs import Card, Rating, Scheduler, State

AGAIN, HARD, GOOD, EASY = (int(rating) for rating in (Rating.Again, Rating.Hard, Rating.Good, Rating.Easy))
_KINDS = {State.Learning: "learn", State.Review: "review", State.Relearning: "relearn"}


def make_scheduler(retention: float) -> Scheduler:
    """Make a scheduler that aims at this probability of recall; intervals are not randomised."""
    return Scheduler(desired_retention=retention, enable_fuzzing=False)


def move_card(scheduler: Scheduler, card: str | None, grade: int, at: datetime) -> tuple[str, float, str]:
    """Move an item's card on (null: the first time) by a grade; return card, due and the kind of review.

    Due is in seconds since 1970; the review is learn, review or relearn.
    """
    before = Card.from_dict(json.loads(card)) if card else Card(card_id=1, due=at)
    after, _ = scheduler.review_card(before, Rating(grade), at)
    return json.dumps(after.to_dict()), after.due.timestamp(), _KINDS[before.state]
