"""`preceptor annotate agreement`: do annotators agree, and which of them need a look."""

import difflib
import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import click

from ....schemas.errors import AnnotationError
from ..options import Common, common, stdout, table

if TYPE_CHECKING:
    from ....annotation.agreement import Agreement, Heard, Measures
    from ....annotation.intervals import Estimate, Share
    from ....annotation.people import Person
    from ...store import Store

LISTED = 20  # annotators shown, besides those to look at; --json has all
PLAIN = ("unweighted", "quadratic")  # kappa shown: the last of these that there is


@click.command()
@click.option(
    "--source",
    "sources",
    metavar="NAME",
    multiple=True,
    help="Only this source or campaign; may be repeated. All with votes or ratings if left out.",
)
@click.option("--seed", default=0, show_default=True, help="Of the bootstrap.")
@click.option("--json", "as_json", is_flag=True, help="For scripts: everything, also every two annotators.")
@common
def agreement(settings: Common, sources: tuple[str, ...], seed: int, as_json: bool) -> None:
    """Do annotators agree, and which of them need a look?

    For each source: how often two annotators agree and what chance would give, Krippendorff's alpha,
    Cohen's kappa, what another person or a perfect judge could foretell, and a line for each annotator.
    Numbers in brackets are 95 % intervals; people are shown by pseudonym.
    """
    from ....annotation.agreement import agreement as measure
    from ...store import open_store

    with open_store(settings.store, read_only=True) as con:
        found = [measure(name, _heard(con, name), seed) for name in _sources(con, sources)]
    if as_json:
        click.echo(json.dumps([asdict(one) for one in found], indent=1, ensure_ascii=False))
        return
    for one in found:
        _say(one)


def _sources(con: "Store", asked: Sequence[str]) -> list[str]:
    """The sources to look at, in order."""
    from ...store import query

    have = query(con, "SELECT source FROM votes UNION SELECT source FROM ratings ORDER BY 1")[
        "source"
    ].to_list()
    for name in asked:
        if name not in have:
            near = difflib.get_close_matches(name, have, n=1)
            hint = f"did you mean {near[0]}?" if near else f"there are {', '.join(have) or 'none'}"
            raise AnnotationError(f"--source {name}: no votes or ratings of that name; {hint}")
    if not have:
        raise AnnotationError(
            "the store holds no votes and no ratings: ingest some, or take answers in first"
        )
    return list(dict.fromkeys(asked)) or have


def _heard(con: "Store", source: str) -> "Heard":
    """Rows of one source, and what the newest converged fit of its pairs says about them."""
    from ....annotation.agreement import Heard
    from ...store import query

    votes, ratings, known = (query(con, sql, [source]) for sql in (_VOTES, _RATINGS, _KNOWN))
    annotators = query(
        con, """SELECT key, kind, pseudonym FROM annotators WHERE key IN (
        SELECT annotator FROM votes WHERE source = $1 UNION SELECT annotator FROM ratings WHERE source = $1)
        ORDER BY pseudonym, key""", [source],
    )  # fmt: skip
    fit, slope, reliability = _fit(con, source)
    return Heard(votes, ratings, annotators, known, query(con, _CONSENSUS, [source, fit, slope]), reliability)


def _fit(con: "Store", source: str) -> tuple[str | None, float, dict[str, dict[str, float]]]:
    """The newest converged fit that has pairs of the source: its key, slope of votes, reliabilities."""
    from ...store import run

    rows = run(
        con, """SELECT key, findings FROM fits WHERE converged AND key IN (
        SELECT fit FROM effectiveness WHERE completion IN (SELECT completion_a FROM votes WHERE source = ?))
        ORDER BY fitted_at DESC, key LIMIT 1""", [source],
    )  # fmt: skip
    if not rows:
        return None, 1.0, {}
    found = json.loads(rows[0][1])
    slope = found["parameters"].get("vote_slope", {"mean": 1.0})["mean"]
    return rows[0][0], slope, {a["annotator"]: a["reliability"] for a in found["annotators"]}


_VOTES = """SELECT completion_a, completion_b, choice, annotator, shown_first, "at", path, line, n
FROM votes WHERE source = ?"""
_RATINGS = """SELECT completion, criterion, value, levels, annotator, "at", path, line, n
FROM ratings WHERE source = ?"""
_KNOWN = """SELECT completion_a, completion_b, expected FROM questions
WHERE source = ? AND purpose = 'known' AND expected IS NOT NULL"""

# Completions of a pair are taken as independent, since a fit keeps no covariance: what pulls both up or
# down together is part of the sd here, so that votes count a little more than they did.
_CONSENSUS = """
WITH pairs AS (
    SELECT DISTINCT least(completion_a, completion_b) AS a, greatest(completion_a, completion_b) AS b
    FROM votes WHERE source = $1
)
SELECT a AS completion_a, b AS completion_b, $3 * (x.expressed_mean - y.expressed_mean) AS lead,
    $3 * sqrt(x.expressed_sd ** 2 + y.expressed_sd ** 2) AS sd
FROM pairs JOIN effectiveness x ON x.completion = a AND x.fit = $2
JOIN effectiveness y ON y.completion = b AND y.fit = $2 ORDER BY a, b"""


_MEASURED = ("", "judgements ", "units ", "shared ", "agree ", "chance ", "alpha ", "", "kappa ",
             "foretold ", "perfect ")  # fmt: skip
_PERSON = ("annotator", "kind", "answers ", "as most ", "as the fit ", "reliability ", "first shown ",
           "s an answer ", "look")  # fmt: skip


def _say(found: "Agreement") -> None:
    """One source: what was judged, annotators, what to look at."""
    from rich.markup import escape

    out = stdout()
    title = f"{escape(found.source)}: do annotators agree?"
    out.print(table(title, _MEASURED, map(_measured, found.signals)))
    for line in _lines(found):
        out.print(escape(line))
    out.print()
    if found.annotators:
        title = f"{escape(found.source)}: annotators"
        shown = _shown(found.annotators)
        out.print(table(title, _PERSON, map(_person, shown)))
        if len(shown) < len(found.annotators):
            out.print(f"and {len(found.annotators) - len(shown):,} more who need no look (--json lists all)")
        for line in _looks(found.annotators):
            out.print(escape(line))
        out.print()


def _measured(m: "Measures") -> tuple[str, ...]:
    from rich.markup import escape

    kappa = next((m.kappa[name] for name in reversed(PLAIN) if m.kappa.get(name)), None)
    return (
        escape(m.signal), f"{m.judgements:,}", f"{m.units:,}", f"{m.shared_units:,}", _percent(m.agreement),
        _percent(m.chance), _number(m.alpha[m.metric]), m.metric, _number(kappa),
        _percent(m.ceiling["majority"]), _percent(m.ceiling["perfect"]),
    )  # fmt: skip


def _lines(found: "Agreement") -> Iterator[str]:
    """What the table says in words, and what it cannot say."""
    for m in found.signals:
        for note in m.notes:
            yield f"{m.signal}: {note}"
        if m.ceiling["majority"] and m.ceiling["perfect"]:
            yield (
                f"{m.signal}: one annotator foretells another in {_percent(m.agreement)}, most of the others "
                f"do in {_percent(m.ceiling['majority'])}; a perfect judge could reach that or more, "
                f"at most {_percent(m.ceiling['perfect'])}"
            )
    if found.first_shown:
        low, high = found.first_shown.low, found.first_shown.high
        sure = low is not None and high is not None and not low <= 0.5 <= high
        yield f"position: the side shown first got {_percent(found.first_shown)} of the decided votes" + (
            "" if sure else ": no bias to be seen"
        )
    yield from found.notes


def _shown(people: Sequence["Person"]) -> list["Person"]:
    return [p for i, p in enumerate(people) if i < LISTED or p.look]


def _person(p: "Person") -> tuple[str, ...]:
    from rich.markup import escape

    reliability = f"{p.reliability['mean']:.2f}" if p.reliability else ""
    return (
        escape(p.annotator[:30]), p.kind, f"{p.votes + p.ratings:,}", _share(p.majority), _share(p.fit),
        reliability, _share(p.first_shown), f"{p.speed.median:.0f}" if p.speed else "",
        ", ".join(reason["kind"] for reason in p.look),
    )  # fmt: skip


def _looks(people: Sequence["Person"]) -> Iterator[str]:
    look = [p for p in people if p.look]
    if not look:
        yield "nobody needs a look (5 % false discoveries)"
    for p in look:
        yield f"look at {p.annotator}: {'; '.join(reason['words'] for reason in p.look)}"


def _percent(e: "Estimate | None") -> str:
    return _range(e, lambda x: f"{100 * x:.0f}", " %")


def _number(e: "Estimate | None") -> str:
    return _range(e, lambda x: f"{x:.2f}", "")


def _range(e: "Estimate | None", write: Any, unit: str) -> str:
    """A value and its interval, as 71 % (68-74)."""
    if e is None:
        return ""
    between = f" ({write(e.low)} to {write(e.high)})" if e.low is not None and e.high is not None else ""
    return f"{write(e.value)}{unit}{between}"


def _share(s: "Share | None") -> str:
    return f"{100 * s.value:.0f} % of {s.n:,}" if s else ""
