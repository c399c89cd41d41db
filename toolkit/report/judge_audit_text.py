"""An audit of a judge (annotation/audit, as a dict) in words and tables, for the terminal and audit.md.

the first slot twice    194    38.8 % (34.5 to 43.2)
"""

from collections.abc import Callable, Iterator
from typing import Any

from ...schemas.support.numbers import format_interval

Found = dict[str, Any]
Cells = tuple[str, ...]

POSITION = {
    "consistent": "the same choice in both orders",
    "first_twice": "the first slot twice",
    "second_twice": "the second slot twice",
    "both_tie": "a tie in both orders",
    "one_tie": "a tie in one order only",
}
MEASURES = {
    "exact": "exact",
    "kappa": "kappa",
    "alpha": "alpha",
    "pearson": "Pearson",
    "spearman": "Spearman",
}


def format_rate(found: Found | None, *, sign: bool = False) -> str:
    """Format a share in percent with its interval; empty for None."""
    if found is None:
        return ""
    return _interval(found, lambda x: f"{100 * x:{'+' if sign else ''}.1f}", " %")


def format_measure(found: Found | None, *, sign: bool = False) -> str:
    """Format a number with its interval; empty for None."""
    if found is None:
        return ""
    return _interval(found, lambda x: f"{x:{'+' if sign else ''}.2f}")


def _interval(found: Found, form: Callable[[float], str], unit: str = "") -> str:
    return format_interval(found["value"], found["low"], found["high"], form, unit).replace("-", "−")


def list_positions(position: Found) -> list[Cells]:
    """List what happened to pairs in both orders: words, count, share. Ties only if there are any."""
    return [
        (words, f"{position[name]['k']:,}", format_rate(position[name]))
        for name, words in POSITION.items()
        if position[name]["k"] or not name.endswith("tie")
    ]


def list_measures(signals: list[Found], *, short: bool = False) -> list[Cells]:
    """List signal, units, measure, judge, people, difference; only a signal's first row has its name."""
    rows: list[Cells] = []
    for signal in signals:
        name, units = signal["signal"], f"{signal['units']:,}"
        for kind, measure in signal["measures"].items():
            if measure["judge"] is None and measure["people"] is None:
                continue
            label = MEASURES[kind] + (f" ({signal['metric']})" if kind == "alpha" and not short else "")
            rows.append(
                (
                    name,
                    units,
                    label,
                    format_measure(measure["judge"]),
                    format_measure(measure["people"]),
                    format_measure(measure["difference"], sign=True),
                )
            )
            name = units = ""
    return rows


def describe_size(found: Found) -> str:
    """Say how many judgements, ratings and pairs there are."""
    counts = (
        ("judgement of a pair", "judgements of pairs", found["judgements"]),
        ("rating", "ratings", found["ratings"]),
        ("request without a usable reply", "requests without a usable reply", found["failed"]),
    )
    said = [f"{count:,} {one if count == 1 else more}" for one, more, count in counts if count]
    return ", ".join(said) or "nothing was judged"


def list_audit_notes(found: Found) -> list[str]:
    """List notes of the audit and of its signals, each once, with the signals it is about."""
    of_signals: dict[str, list[str]] = {}
    for signal in found["signals"]:
        for note in signal["notes"]:
            of_signals.setdefault(note, []).append(signal["signal"])
    return [*found["notes"], *(f"{', '.join(names)}: {note}" for note, names in of_signals.items())]


def write_sentences(found: Found) -> Iterator[str]:
    """Write the conclusions of an audit in sentences, as far as the intervals support them."""
    yield from _of_position(found)
    yield from _of_length(found["length"])
    yield from _of_signals(found["signals"])


def _of_position(found: Found) -> Iterator[str]:
    position = found["position"]
    first = position["first"] if position else found["first"]
    if position:
        steady = position["consistent"]
        yield (
            f"Shown a pair in both orders, it made the same choice in {format_rate(steady)} of "
            f"{position['pairs']:,}; the others count as ties."
        )
    if first:
        lean = _beside(first, 0.5)
        told = {
            1: "it leans to the first slot" if position else "more than half",
            -1: "it leans to the second slot" if position else "fewer than half",
            0: "no lean to either slot can be seen",
        }[lean]
        yield f"The first slot got {format_rate(first)} of its decided judgements: {told}."


def _of_length(length: Found | None) -> Iterator[str]:
    if length is None:
        return
    lean = {1: "it favours the longer one", -1: "it favours the shorter one", 0: "no lean can be seen"}
    yield (
        f"The longer completion won {format_rate(length['longer'])} of {length['pairs']:,} decided pairs: "
        f"{lean[_beside(length['longer'], 0.5)]}."
    )
    people = length["people"]
    if people:
        apart = people["difference"]
        told = {
            1: "it likes length more than people do",
            -1: "it likes length less than people do",
            0: "no difference from people can be seen",
        }
        yield (
            f"On the {people['pairs']:,} of them that people decided as well the longer one won "
            f"{format_rate(people['judge'])} with the judge and {format_rate(people['people'])} "
            f"with people, a difference of {format_rate(apart, sign=True)}: {told[_beside(apart, 0)]}."
        )
    slope = length["slope"]
    if slope and slope["low"] is not None:
        odds = {name: 2.0 ** slope[name] for name in ("value", "low", "high")}
        yield (
            f"Twice the length multiplies the odds of being chosen by {format_measure(odds)} "
            f"(slope {format_measure(slope)} on the log length ratio, the slot held fixed)."
        )


def _of_signals(signals: list[Found]) -> Iterator[str]:
    """Agreement with people; signals with the same conclusion in one sentence."""
    said: dict[tuple[str, str], list[str]] = {}
    for signal in signals:
        for words, detail in _of_signal(signal):
            said.setdefault(words, []).append(detail)
    for (before, after), details in said.items():
        yield f"{before}{', '.join(details)}{after}."


def _of_signal(signal: Found) -> Iterator[tuple[tuple[str, str], str]]:
    """The words before and after the signals with this conclusion, and this signal's name and numbers."""
    name, measure = signal["signal"], signal["measures"]["alpha"]
    judge, people, apart = measure["judge"], measure["people"], measure["difference"]
    if judge is None:
        yield ("All answers are the same, so that agreement is not defined: ", ""), name
        return
    beyond = {1: "better than chance", -1: "worse than chance", 0: "no better than chance, as far as seen,"}
    before = f"It agrees with people {beyond[_beside(judge, 0)]} on "
    detail = f"{name} (alpha {format_measure(judge)}"
    if people is None or apart is None:
        yield (before, "; how far people agree among themselves is not known"), f"{detail})"
        return
    among = {
        1: "people agree less among themselves",
        -1: "people agree more among themselves",
        0: "no difference from how people agree among themselves can be seen",
    }
    detail += f", people {format_measure(people)}, difference {format_measure(apart, sign=True)})"
    yield (before, f"; {among[_beside(apart, 0)]}"), detail


def _beside(found: Found, middle: float) -> int:
    """1 or -1 where the whole interval lies above or below, else 0."""
    if found["low"] is None:
        return 0
    return int(found["low"] > middle) - int(found["high"] < middle)
