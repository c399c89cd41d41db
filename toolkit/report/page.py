"""`preceptor report`: one HTML page with pictures about a fit.

The page stands alone (no script, nothing to load) and holds no time: the same store gives the
same bytes. Every word and number comes from the store; `panels` draws.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import polars as pl
from jinja2 import Environment, PackageLoader, StrictUndefined, Template

from ...annotation.agreement.doubts import list_doubts
from ...schemas.support.text import clean, show_sql
from ...schemas.tables import EXPRESSED, OBSERVED, SignalType, name_all, select_signals
from ..dataset.build import Build, find_fit
from ..fusion.findings.summary import COIN_FLIP, count_signals, has_both_sides
from ..fusion.likelihoods.registry import LIKELIHOODS
from ..fusion.sampling.diagnostics import ESS_MIN, R_HAT_MAX
from ..store.connection import Store, query
from .panels.agreement import write_tried
from .panels.panel import FitView, draw_all
from .panels.registry import PANELS
from .picture import PERCENT, format_decimal, format_share

MOST_TELLING = 10  # pairs listed for the next vote
DISPUTED = 5  # pairs listed where people and learners disagree
GONE = "(no longer in the store)"

# Prefix of a parameter's name, and its meaning.
PARAMETERS = {
    "rho": "correlation of expressed and observed effectiveness",
    "tau_text": "how much of expressed effectiveness these features of texts explain",
    "text_share": "share of what is a completion's own in expressed effectiveness that texts explain",
    **{name: words for likelihood in LIKELIHOODS.values() for name, words in likelihood.parameters.items()},
}

Tile = tuple[str, str, str, bool]  # label, value, note, whether it warns


def open_page_template(name: str) -> Template:
    """Open a template of this room for a page; texts are escaped, and a name not given is an error."""
    environment = Environment(
        loader=PackageLoader("preceptor.toolkit.report", ""),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.get_template(name)


def render_report(
    con: Store,
    fit: str,
    built: Build | None = None,
    recovered: pl.DataFrame | None = None,
    agreed: Sequence[Mapping[str, Any]] = (),
) -> str:
    """Render the page about `fit`, a full key in `fits`, as one HTML document.

    `built` adds the dataset's rows, dropped pairs and gates; `recovered` (completion, mean, low, high, truth)
    a picture of inferred against known values; `agreed`, what `preceptor annotate agreement --json` prints,
    pictures of annotators. Raises StoreError if there is no such fit.
    """
    row = find_fit(con, fit)
    found, diagnostics = row["findings"], row["diagnostics"]
    surer = query(
        con, "SELECT greatest(p, 1 - p) AS surer FROM preferences WHERE fit = ? ORDER BY 1", [row["key"]]
    )["surer"]
    return open_page_template("report.html.jinja").render(
        fit=row,
        diagnostics=diagnostics,
        headline=_headline(found, found["n_annotators"]),
        verdict=_verdict(diagnostics),
        target=_target(row["config"]["target"]),
        tiles=_tiles(found, diagnostics, surer, built, recovered),
        pictures=draw_all(PANELS, FitView(con, row, surer, built, recovered, agreed)),
        missing=_missing(found, surer.len()),
        built=built,
        listings=_listings(con, row["key"], found),
        sources=_sources(con, row["key"]),
        parameters=_parameters(found),
    )


def _headline(found: dict[str, Any], annotators: int) -> str:
    """One sentence: what was fused."""
    said = _numbers(found, EXPRESSED)
    if said:
        said += f" by {_some(annotators, 'annotator')}" if annotators else " by unnamed annotators"
    seen = _numbers(found, OBSERVED)
    if seen:
        seen += f" of {_some(found['learners'], 'learner')}" if found["learners"] else " of unnamed learners"
    signals = ", together with ".join(part for part in (said, seen) if part) or "no signals"
    return (
        f"{signals}, fused into the effectiveness of {_some(found['completions'], 'completion')} "
        f"of {_some(found['prompts'], 'prompt')}."
    )


def _numbers(found: dict[str, Any], signals: Sequence[SignalType]) -> str:
    """Say how many signals of each type were fused; empty if none."""
    present = [_some(found[signal.name], signal.kind) for signal in signals if found.get(signal.name)]
    return name_all(present) if present else ""


def _some(n: int, what: str) -> str:
    return f"{n:,} {what}" + ("" if n == 1 else "s")


def _verdict(diagnostics: dict[str, Any]) -> str:
    """The diagnostics and their limits."""
    divergences = diagnostics["divergences"]
    return (
        f"R-hat at most {diagnostics['r_hat_max']:.4f} (limit {R_HAT_MAX}), effective sample size at "
        f"least {diagnostics['ess_min']:,.0f} (limit {ESS_MIN}), "
        f"{_some(divergences, 'divergence') if divergences else 'no divergences'}"
    )


def _target(weight: float) -> str:
    """The meaning of better in this fit, in words."""
    if weight in (0, 1):
        return "what helps learners" if weight else "what people prefer"
    return f"{weight:g} × what helps learners + {1 - weight:g} × what people prefer"


def _tiles(
    found: dict[str, Any],
    diagnostics: dict[str, Any],
    surer: pl.Series,
    built: Build | None,
    recovered: pl.DataFrame | None,
) -> list[Tile]:
    """Key numbers; a missing number has no tile."""
    tiles = _sampling_tiles(diagnostics)
    held, n = sum(c["holds"] for c in diagnostics["checks"]), len(diagnostics["checks"])
    if n:
        tiles.append(("checks that hold", f"{held} of {n}", "posterior predictive", held < n))
    if has_both_sides(found):
        rho = found["rho"]
        between = f"90{PERCENT} interval {format_decimal(rho['low'])} to {format_decimal(rho['high'])}"
        tiles.append(("correlation ρ", format_decimal(rho["mean"]), between, False))
    if surer.len():
        flips = int((surer.round(6) < COIN_FLIP).sum())
        share = format_share(flips / surer.len())
        tiles.append(("coin flips", share, f"of {_some(surer.len(), 'pair')}", False))
    if found.get("length"):
        tiles.append(_tell_length(found["length"]))
    if found["annotators"]:
        voted = {a["annotator"] for a in found["annotators"]}
        doubtful = {a["annotator"] for a in found["annotators"] if list_doubts(a)}
        tiles.append(("annotators in doubt", f"{len(doubtful):,}", f"of {len(voted):,} who voted", False))
    if built:
        pairs = built.counts.get("preference", {})
        tiles.append(
            ("pairs in the dataset", f"{sum(pairs.values()):,}", f"in {_some(len(pairs), 'split')}", False)
        )
    if recovered is not None and recovered.height:
        inside = int(recovered["truth"].is_between(recovered["low"], recovered["high"]).sum())
        share = format_share(inside / recovered.height)
        tiles.append(("known values found", share, f"in their 90{PERCENT} interval", False))
    return tiles


def _tell_length(found: dict[str, Any]) -> Tile:
    """Make the tile of what a doubling of length is worth to annotators."""
    by_votes = "votes" in found
    worth = found["votes" if by_votes else "expressed"]
    between = f"90{PERCENT} interval {format_decimal(worth['low'])} to {format_decimal(worth['high'])}"
    unit = "log-odds of a vote" if by_votes else "of expressed effectiveness"
    taken = "; taken out of the target" if found["controlled"] else ""
    return "a doubling of length", format_decimal(worth["mean"]), f"{unit}; {between}{taken}", False


def _sampling_tiles(diagnostics: dict[str, Any]) -> list[Tile]:
    r_hat, ess, n = (diagnostics[name] for name in ("r_hat_max", "ess_min", "divergences"))
    return [
        ("largest R-hat", f"{r_hat:.4f}", f"at most {R_HAT_MAX}", not r_hat <= R_HAT_MAX),
        ("smallest sample size", f"{ess:,.0f}", f"effective; at least {ESS_MIN}", not ess >= ESS_MIN),
        ("divergences", f"{n:,}", f"in {diagnostics['chains'] * diagnostics['draws']:,} draws", n > 0),
    ]


def _missing(found: dict[str, Any], pairs: int) -> list[str]:
    """List why a figure or a table is missing."""
    notes = []
    if not count_signals(found, EXPRESSED):
        none = " and no ".join(signal.plural for signal in EXPRESSED)
        notes.append(f"No {none} were fused: nothing is known of what people prefer.")
    if not count_signals(found, OBSERVED):
        none = " and no ".join(signal.plural for signal in OBSERVED)
        notes.append(f"No {none} were fused: what helps is only guessed from what people prefer.")
    if not has_both_sides(found):
        notes.append("So ρ is not learnt here, and expressed is not set against observed.")
    if found["votes"] and not found["annotators"]:
        notes.append("The votes name fewer than two annotators, so reliability is not known.")
    if found.get("excluded"):
        notes.append(f"Left out on request (preceptor annotate exclude): {', '.join(found['excluded'])}.")
    if not pairs:
        notes.append("No prompt has two completions, so there are no pairs.")
    return notes


def _listings(con: Store, fit: str, found: dict[str, Any]) -> list[dict[str, Any]]:
    """The two tables of pairs: title, what to see, rows."""
    telling = _pairs(con, fit, "p.information_gain > 0", "p.information_gain DESC", MOST_TELLING)
    disputed = _pairs(
        con,
        fit,
        f"(p.p_expressed - 0.5) * (p.p_observed - 0.5) < 0 AND {write_tried('ea')} AND {write_tried('eb')}",
        "least(abs(p.p_expressed - 0.5), abs(p.p_observed - 0.5)) DESC",
        DISPUTED,
    )
    return [
        {
            "title": "Where one more vote tells most",
            "words": "Ask annotators about these pairs next. Each row gives the probability that its first "
            "answer is better, is preferred by people and helps learners more, and the information that "
            "one more vote of an average annotator should bring.",
            "none": "None of the pairs would gain from one more vote."
            if found["votes"]
            else "Without votes in the fit, the worth of one more vote is not known.",
            "rows": telling,
        },
        {
            "title": "Where people and learners disagree most",
            "words": "People prefer one answer, learners do better with the other: read these before "
            f"trusting either alone.{_apart(found.get('apart'))}",
            "none": "There is no pair that learners tried on both sides where the two point apart.",
            "rows": disputed,
        },
    ]


def _apart(apart: dict[str, int] | None) -> str:
    """Number of such pairs; empty for fits of earlier versions, which lack it."""
    if not apart or not apart["pairs"]:
        return ""
    return (
        f" The two lie on different sides in {apart['sides']:,} of {_some(apart['pairs'], 'pair')} that "
        f"learners tried, in {apart['sure']:,} of them with more than 90{PERCENT} probability."
    )


def _pairs(con: Store, fit: str, condition: str, order: str, limit: int) -> list[dict[str, Any]]:
    """Pairs in the given order, the likelier better answer first, texts shortened."""
    rows = query(
        con,
        f"""SELECT q.task, {show_sql("q.messages[-1].content", "q.ref")} AS prompt,
        {show_sql("a.content", "a.author")} AS a, {show_sql("b.content", "b.author")} AS b,
        p.p, p.p_expressed AS people, p.p_observed AS learners, p.information_gain AS gain
        FROM preferences p JOIN effectiveness ea ON ea.fit = p.fit AND ea.completion = p.completion_a
        JOIN effectiveness eb ON eb.fit = p.fit AND eb.completion = p.completion_b
        LEFT JOIN prompts q ON q.key = p.prompt LEFT JOIN completions a ON a.key = p.completion_a
        LEFT JOIN completions b ON b.key = p.completion_b
        WHERE p.fit = $fit AND {condition} ORDER BY {order}, p.key LIMIT {limit}""",
        {"fit": fit},
    )
    shares = ("p", "people", "learners")
    listed = []
    for row in rows.iter_rows(named=True):
        swap = row["p"] < 0.5
        better, worse = ("b", "a") if swap else ("a", "b")
        listed.append(
            {
                "task": row["task"] or "",
                "prompt": clean(row["prompt"] or GONE, 170),
                "better": clean(row[better] or GONE, 200),
                "worse": clean(row[worse] or GONE, 200),
                "gain": f"{row['gain']:.4f}",
            }
            | {name: _probability(1 - row[name] if swap else row[name]) for name in shares}
        )
    return listed


def _probability(p: float) -> str:
    """In percent; a share of draws is never certain, even if it is all of them."""
    return format_share(min(max(p, 0.001), 0.999))


def _sources(con: Store, fit: str) -> list[dict[str, Any]]:
    """Sources of the fit's texts and of the signals about them."""
    rows: Sequence[dict[str, Any]] = query(
        con,
        f"""WITH mine AS (SELECT completion FROM effectiveness WHERE fit = $fit), heard AS (
            SELECT source FROM completions WHERE key IN (FROM mine)
            UNION SELECT source FROM ({select_signals(", source")}) WHERE completion IN (FROM mine))
        SELECT name, kind, language, license, redistribution, commercial_use, share_alike, url,
            revision, sha256, rows FROM sources WHERE name IN (SELECT source FROM heard) ORDER BY name""",
        {"fit": fit},
    ).to_dicts()
    # A link only for web addresses, since the source's address is not ours.
    return [row | {"link": (row["url"] or "").startswith(("https://", "http://"))} for row in rows]


def _parameters(found: dict[str, Any]) -> list[dict[str, Any]]:
    """Single-valued parameters with their 90 % intervals and what they mean, rho first."""
    return [
        {"name": name, "meaning": PARAMETERS.get(name.partition(":")[0], "")}
        | {part: format_decimal(value[part]) for part in ("mean", "low", "high")}
        for name, value in [("rho", found["rho"]), *sorted(found["parameters"].items())]
    ]
