"""`preceptor learner ID --html FILE`: one page about one learner: mastery, history, what is due, what next.

The page stands alone (no script, nothing to load), in the report's form. It is about a person: only its owner
may read the file, and `forget` names it.
"""

from collections.abc import Sequence
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

from matplotlib.axes import Axes
from matplotlib.ticker import FuncFormatter, MaxNLocator

from ...schemas.errors import StoreError
from ...schemas.support.files import write_text
from ...schemas.support.numbers import format_count
from ...schemas.support.text import clean, show_sql
from ..practice.learners.profile import STRONG_ABOVE, WEAK_BELOW, read_profile, write_context
from ..practice.learners.recommend import Recommended, Wishes, recommend
from ..store.connection import Store, query
from ..store.folders import note_written
from .intervals import IntervalLine, measure_intervals, paint_intervals
from .page import open_page_template
from .picture import PERCENT, Picture, format_decimal, format_share
from .svg import MUTED, SERIES, draw

PRIVATE = 0o600
SKILLS, CARDS = 30, 50  # drawn and listed at most
_ITEM = 150  # characters of an item's text

# Texts of exercises and of prompts that learners had as items.
_TEXTS = f"""SELECT key AS item, kind || ': ' || {show_sql("shown", "key")} AS text FROM exercises
WHERE list_contains($items, key)
UNION ALL SELECT key, {show_sql("messages[-1].content", "ref")} FROM prompts
WHERE list_contains($items, key)"""


def write_learner(con: Store, out: Path, learner: str, wishes: Wishes | None = None) -> None:
    """Write the page about a learner (a pseudonym), readable by its owner alone.

    Raises StoreError for somebody of whom the store holds nothing.
    """
    text = render_learner(con, learner, wishes or Wishes())
    note_written(con, out, "report")
    write_text(out, text, PRIVATE)


def render_learner(con: Store, learner: str, wishes: Wishes) -> str:
    """Render the page as one HTML document, with what `wishes` recommend. Raises StoreError as above."""
    now = wishes.at or datetime.now(UTC)
    found = read_profile(con, learner, now)
    recommended: list[Recommended] = []
    why_not = ""
    try:
        recommended = recommend(con, learner, wishes)
    except StoreError as error:
        why_not = str(error)
    shown = found["due"][:CARDS]
    texts = _read_texts(con, [*(row["item"] for row in shown), *(one.item for one in recommended)])
    return open_page_template("learner.html.jinja").render(
        learner=learner,
        at=f"{now:%Y-%m-%d}",
        headline=_headline(found),
        tiles=_tiles(found),
        missing=_missing(found),
        pictures=[*_draw_mastery(found["mastery"]), *_draw_history(found["history"])],
        recommended=[_describe(one, texts) for one in recommended],
        has_skills=any(skill != one.item for one in recommended for skill in one.skills),
        not_recommended=why_not,
        due=[
            {
                "item": texts.get(row["item"], clean(row["item"], _ITEM)),
                "mean": format_decimal(row["mean"]),
                "between": _between(row),
                "since": f"{row['due_at']:%Y-%m-%d}",
                "reviews": f"{row['reviews']:,}",
                "lapses": f"{row['lapses']:,}",
            }
            for row in shown
        ],
        due_in_all=len(found["due"]),
        cards=found["cards"],
        errors=found["errors"][:SKILLS],
        told=[(name.replace("_", " "), _say(value)) for name, value in write_context(found).items()],
        mastery=[
            {
                "skill": clean(row["skill"], 60),
                "mean": format_decimal(row["mean"]),
                "between": _between(row),
                "answers": f"{row['answers']:,}",
                "correct": f"{row['correct']:,}",
            }
            for row in found["mastery"]
        ],
    )


def _read_texts(con: Store, items: Sequence[str]) -> dict[str, str]:
    """Read what items that are exercises or prompts of the store show, by item; others are logs' own ids."""
    rows = query(con, _TEXTS, {"items": list(items)}).rows()
    return {item: clean(text or item, _ITEM) for item, text in rows}


def _headline(found: dict[str, Any]) -> str:
    """One sentence: what is known."""
    mastery = found["mastery"]
    parts = []
    if mastery:
        strong, weak = (sum(map(check, mastery)) for check in (_is_strong, _is_weak))
        parts.append(f"{format_count(len(mastery), 'skill')}: {strong:,} mastered, {weak:,} weak")
    if found["cards"]:
        parts.append(f"{format_count(found['cards'], 'card')}, {len(found['due']):,} of them due")
    return f"{'; '.join(parts)}." if parts else "Nothing is known yet of what this learner has mastered."


def _is_strong(row: dict[str, Any]) -> bool:
    return bool(row["low"] > WEAK_BELOW and row["mean"] > STRONG_ABOVE)


def _is_weak(row: dict[str, Any]) -> bool:
    return bool(row["high"] < STRONG_ABOVE and row["mean"] < WEAK_BELOW)


def _tiles(found: dict[str, Any]) -> list[tuple[str, str, str, bool]]:
    """Key numbers: label, value, note, whether it warns."""
    history = found["history"]
    answers, right = (sum(day[name] for day in history) for name in ("answers", "correct"))
    days = [day["day"] for day in history if day["day"]]
    tiles = [("answers", f"{answers:,}", f"on {format_count(len(days), 'day')}" if days else "", False)]
    if answers:
        tiles.append(("right", format_share(right / answers), f"{right:,} of {answers:,}", False))
    if found["cards"]:
        late = len(found["due"])
        tiles.append(("cards due", f"{late:,}", f"of {found['cards']:,}", late > found["cards"] / 2))
    if days:
        tiles.append(("last seen", f"{max(days):%Y-%m-%d}", f"first {min(days):%Y-%m-%d}", False))
    if found["level"]:
        tiles.append(("level", clean(found["level"], 20), "as the sentences' source says", False))
    if found["first_language"]:
        tiles.append(("first language", clean(found["first_language"], 20), "", False))
    return tiles


def _missing(found: dict[str, Any]) -> list[str]:
    """List why a figure is missing."""
    notes = []
    if not found["mastery"]:
        notes.append(
            "No fit knows this learner's skills: run preceptor learn, on a log whose items have skills."
        )
    undated = sum(day["answers"] for day in found["history"] if not day["day"])
    if undated:
        notes.append(f"{format_count(undated, 'answer')} without a time: not in the history.")
    return notes


def _draw_mastery(mastery: Sequence[dict[str, Any]]) -> list[Picture]:
    """Draw P(right) of the weakest skills with intervals."""
    if not mastery:
        return []
    rows = [
        IntervalLine(clean(row["skill"], 24), row["low"], row["mean"], row["high"], _is_weak(row))
        for row in mastery[:SKILLS]
    ]

    def paint(axes: Axes) -> None:
        for at in (WEAK_BELOW, STRONG_ABOVE):
            axes.axvline(at, color=MUTED, linewidth=1, linestyle=(0, (3, 3)))
        paint_intervals(axes, rows)
        axes.set(xlim=(0, 1), xlabel="probability that an answer is right  →")

    more = f" The {SKILLS} weakest of {len(mastery):,}." if len(mastery) > SKILLS else ""
    title = "Mastery by skill"
    return [
        Picture(
            "mastery",
            title,
            f"Probability that an answer to a question of the skill is right, with its 90{PERCENT} interval; "
            f"the weakest first. A cross is a weak skill: below {WEAK_BELOW:g}, and its interval below "
            f"{STRONG_ABOVE:g} (dashed lines).{more}",
            draw(
                "mastery",
                title,
                "; ".join(f"{row.label} {row.value:.2f} ({row.low:.2f} to {row.high:.2f})" for row in rows)
                + ".",
                measure_intervals(len(rows)),
                paint,
            ),
        )
    ]


def _draw_history(history: Sequence[dict[str, Any]]) -> list[Picture]:
    """Draw answers by day, right ones below the others."""
    days = [day for day in history if day["day"]]
    if not days:
        return []
    at = [day["day"].toordinal() for day in days]
    right = [day["correct"] for day in days]
    rest = [day["answers"] - day["correct"] for day in days]
    span = max(at) - min(at) + 1

    def paint(axes: Axes) -> None:
        width = max(0.85, span / 150)
        axes.bar(at, right, width, color=SERIES[0], linewidth=0)
        axes.bar(at, rest, width, bottom=right, color=SERIES[1], linewidth=0, alpha=0.55)
        axes.set_xlim(min(at) - 1 - span * 0.02, max(at) + 1 + span * 0.02)
        axes.xaxis.set_major_locator(MaxNLocator(4, integer=True))
        axes.xaxis.set_major_formatter(FuncFormatter(_format_day))
        axes.yaxis.set_major_locator(MaxNLocator(5, integer=True))
        axes.grid(visible=False, axis="x")
        axes.set_title("↑  answers a day")

    title = "History"
    return [
        Picture(
            "history",
            title,
            "Answers by day: right ones at the foot of each bar (blue), the others above them (orange).",
            draw(
                "history",
                title,
                f"{sum(right):,} right answers and {sum(rest):,} others on {len(days):,} days, from "
                f"{days[0]['day']} to {days[-1]['day']}.",
                300,
                paint,
            ),
        )
    ]


def _format_day(at: float, _place: int | None = None) -> str:
    return f"{date.fromordinal(int(at)):%Y-%m-%d}"


def _describe(one: Recommended, texts: dict[str, str]) -> dict[str, str]:
    skills = ", ".join(clean(skill, 40) for skill in one.skills if skill != one.item)
    return {
        "item": texts.get(one.item, clean(one.item, _ITEM)),
        "skills": skills,
        "p": format_decimal(one.p),
        "gain": f"+{one.gain:.3f}",
        "because": one.because,
    }


def _between(row: dict[str, Any]) -> str:
    return f"{row['low']:.2f}–{row['high']:.2f}"


def _say(value: Any) -> str:
    return (
        ", ".join(clean(str(one), 40) for one in value) if isinstance(value, list) else clean(str(value), 40)
    )
