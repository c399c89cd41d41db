"""`preceptor annotate agreement`: do annotators agree, and which of them need a look."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import click

from ....schemas.support.numbers import format_interval, format_percent
from ....schemas.support.text import dump_json
from ..options import Common, add_source_option, common, make_table, open_stdout, say

if TYPE_CHECKING:
    from rich.console import Console

    from ....annotation.agreement.agreement import Agreement, Measures
    from ....annotation.agreement.intervals import IntervalEstimate, Share
    from ....annotation.agreement.people import Person

LISTED = 20  # annotators shown, besides those to look at; --json has all
FEW = 3  # criteria named in a note
FEW_ANSWERS = 10  # of so many on, a share is shown in percent


@click.command()
@add_source_option(
    "This source or campaign only. May be repeated. Default: all with votes or ratings.", "NAME"
)
@click.option("--seed", default=0, show_default=True, help="Random seed of the bootstrap.")
@click.option(
    "--json",
    "as_json",
    is_flag=True,
    help="Print JSON for scripts: everything, and also the agreement of every two annotators.",
)
@common
def agreement(settings: Common, sources: tuple[str, ...], seed: int, as_json: bool) -> None:
    """Measure whether annotators agree, and which of them need a look.

    For each source this prints how many pairs or completions two annotators or more judged (shared), how
    often two annotators agree, and how often they would by chance;
    Krippendorff's alpha (nominal for votes and for two levels, else ordinal); Cohen's kappa (a mean over
    pairs of annotators, with quadratic weights for levels); how often a perfect judge could be right; and a
    line for each annotator. The line shows how often the annotator answers as most others do and as the
    newest fit without their answers, which side they choose, and the seconds between answers. Brackets hold
    95 % intervals. People are shown by pseudonym. Who needs a look is tested at a false discovery rate of 5
    %.
    """
    from ...campaign.agreement import measure_agreement
    from ...store.connection import open_store

    with open_store(settings.store, read_only=True) as con:
        found = measure_agreement(con, sources, seed)
    if as_json:
        say(dump_json([asdict(one) for one in found]))
        return
    for one in found:
        _say(one)


def _kappa(m: "Measures") -> str:
    kappa = m.kappa.get("quadratic", m.kappa["unweighted"])
    return f"{kappa.value:.2f}" if kappa else ""


def _ceiling(m: "Measures") -> str:
    low, high = m.ceiling["majority"], m.ceiling["perfect"]
    return f"{format_percent(low.value, '')} to {format_percent(high.value)}" if low and high else ""


def _percent(e: "IntervalEstimate | None", *, short: bool = False) -> str:
    if e is None:
        return ""
    low, high = (None, None) if short else (e.low, e.high)
    return format_interval(e.value, low, high, lambda share: format_percent(share, ""), " %")


def _number(e: "IntervalEstimate | None") -> str:
    if e is None:
        return ""
    return format_interval(e.value, e.low, e.high, lambda value: f"{value:.2f}")


def _share(s: "Share | None") -> str:
    """In percent; as "3 of 4" where a percentage of so few would say more than is known."""
    if s is None:
        return ""
    return format_percent(s.value) if s.n >= FEW_ANSWERS else f"{s.k} of {s.n}"


# Columns of the two tables, and what a cell holds; one that nobody fills is left out.
_MEASURED: "dict[str, Callable[[Measures], str]]" = {
    "": lambda m: m.signal,
    "judgements ": lambda m: f"{m.judgements:,}",
    "shared ": lambda m: f"{m.shared_units:,} of {m.units:,}",
    "agree ": lambda m: _percent(m.agreement, short=True),
    "chance ": lambda m: _percent(m.chance, short=True),
    "alpha ": lambda m: _number(m.alpha[m.metric]),
    "kappa ": _kappa,
    "ceiling ": _ceiling,
}
_PERSON: "dict[str, Callable[[Person], str]]" = {
    "annotator": lambda p: p.annotator[:30],
    "kind": lambda p: p.kind,
    "answers ": lambda p: f"{p.votes + p.ratings:,}",
    "as most ": lambda p: _share(p.majority),
    "as fit ": lambda p: _share(p.fit),
    "reliable ": lambda p: f"{p.reliability['mean']:.2f}" if p.reliability else "",
    "first ": lambda p: _share(p.first_shown),
    "s ": lambda p: f"{p.speed.median:.0f}" if p.speed else "",
    "look": lambda p: ", ".join(reason["kind"] for reason in p.look),
}


def _say(found: "Agreement") -> None:
    """Print the agreement of one source: what was judged, annotators, who needs a look."""
    out = open_stdout()
    shared = [m for m in found.signals if m.shared_units]
    if shared:
        _tabulate(out, f"{found.source}: do annotators agree?", _MEASURED, shared)
    for line in _lines(found, shared):
        out.print(line)
    if found.annotators:
        shown = [p for i, p in enumerate(found.annotators) if i < LISTED or p.look]
        out.print()
        kinds = {p.kind for p in found.annotators}
        columns = {name: cell for name, cell in _PERSON.items() if name != "kind" or len(kinds) > 1}
        _tabulate(out, f"{found.source}: annotators", columns, shown)
        if len(shown) < len(found.annotators):
            out.print(f"and {len(found.annotators) - len(shown):,} more who need no look (--json lists all)")
        for line in _looks(found.annotators):
            out.print(line)
        if found.fit:
            out.print(f"as fit, reliable: by fit {found.fit[:8]}")
    out.print()


def _tabulate(
    out: "Console", title: str, columns: "dict[str, Callable[[Any], str]]", rows: Sequence[Any]
) -> None:
    """Print the columns that have anything in them."""
    cells = {name: [write(row) for row in rows] for name, write in columns.items()}
    filled = {name: column for name, column in cells.items() if any(column)}
    out.print(make_table(title, tuple(filled), zip(*filled.values(), strict=True)))


def _lines(found: "Agreement", shared: "Sequence[Measures]") -> Iterator[str]:
    """Write what the table means, and what it cannot say, a line each."""
    by_note: dict[str, list[Measures]] = {}
    for m in found.signals:
        for note in m.notes:
            by_note.setdefault(note, []).append(m)
    for note, those in by_note.items():
        yield f"{found.source}, {_names(those)}: {note}"
    if any(m.ceiling["majority"] for m in shared):
        yield "ceiling: how often a perfect judge of these answers could be right, at least and at most"
    if found.first_shown:
        low, high = found.first_shown.low, found.first_shown.high
        sure = low is not None and high is not None and not low <= 0.5 <= high
        yield f"position: the side shown first got {_percent(found.first_shown)} of the decided votes" + (
            "" if sure else ": no bias to be seen"
        )
    yield from (f"{found.source}: {note}" for note in found.notes)


def _names(those: "Sequence[Measures]") -> str:
    """Name the first FEW signals, with the number of judgements of all."""
    few = ", ".join(m.signal for m in those[:FEW])
    more = f" and {len(those) - FEW} more" if len(those) > FEW else ""
    return f"{few}{more} ({sum(m.judgements for m in those):,} judgements)"


def _looks(people: Sequence["Person"]) -> Iterator[str]:
    look = [p for p in people if p.look]
    for p in look:
        yield f"look at {p.annotator}: {'; '.join(reason['words'] for reason in p.look)}"
    if not look:
        yield "nobody stands out"
    few = sum(p.votes + p.ratings < FEW_ANSWERS for p in people)
    if few:
        yield f"{few:,} of {len(people):,} gave fewer than {FEW_ANSWERS} answers: too few to stand out"
