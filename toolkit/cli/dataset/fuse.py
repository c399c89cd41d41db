"""`preceptor fuse`: fit the model and store what it says."""

from typing import TYPE_CHECKING, Any

import click

from ....schemas.support.numbers import format_percent
from ....schemas.support.text import SURE, clean
from ....schemas.tables import EXPRESSED, OBSERVED, SIGNALS, name_all
from ..options import Choice, Common, add_source_option, common, make_table, open_stderr, open_stdout
from .fuse_assigned import describe_assigned
from .fuse_text import add_text_options, describe_length, describe_text, open_reader

if TYPE_CHECKING:
    from ...fusion.findings.summary import PairSummary
    from ...fusion.fuse import Fit

TELLING = 3  # pairs shown that are to be annotated next
FEW = 4  # names listed in a row of the table


class _Target(click.ParamType[float]):
    """observed, expressed, or a weight of observed between 0 and 1."""

    name = "WEIGHT"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> float:
        named = {"expressed": 0.0, "observed": 1.0}.get(str(value))
        if named is not None:
            return named
        try:
            weight = float(str(value))
        except ValueError:
            weight = -1
        if not 0 <= weight <= 1:
            self.fail(f"'{value}': expected observed, expressed, or a weight from 0 to 1", param, ctx)
        return weight


HELP = f"""Fuse {name_all(signal.plural for signal in SIGNALS)} into effectiveness and preferences.

The exit code is 1 if the chains did not converge: the fit is stored and marked, and preceptor build does
not use it.
"""


@click.command(help=HELP)
@click.option(
    "--target",
    type=_Target(),
    default=0.5,
    show_default=True,
    help="Meaning of better: expressed (what people prefer), observed (what helps learners), or "
    "the weight of observed, from 0 to 1.",
)
@add_source_option("Completions of this source only. May be repeated.")
@click.option(
    "--seed", type=click.IntRange(0), default=0, show_default=True, help="Random seed of the sampler."
)
@click.option(
    "--chains",
    type=click.IntRange(2),
    default=4,
    show_default=True,
    help="Number of chains, which run side by side.",
)
@click.option(
    "--warmup",
    type=click.IntRange(100),
    default=400,
    show_default=True,
    help="Number of warm-up draws of each chain, which adapt the sampler.",
)
@click.option(
    "--max-draws",
    type=click.IntRange(50),
    default=6000,
    show_default=True,
    help="Maximum number of draws of each chain; sampling stops as soon as the diagnostics pass.",
)
@click.option(
    "--target-accept",
    type=click.FloatRange(0.5, 0.999),
    default=0.8,
    show_default=True,
    help="Target acceptance rate of the sampler. A higher rate takes smaller steps, which "
    "avoids divergences.",
)
@click.option(
    "--method",
    type=Choice(["auto", "hmc", "laplace", "map"]),
    default="auto",
    show_default=True,
    help="hmc: sample with chains. laplace: a normal approximation for very many rows, compared "
    "with chains on a part. auto: hmc up to 150,000 rows, else laplace. map: a quick look, "
    "which preceptor build does not use.",
)
@click.option(
    "--warm-start",
    is_flag=True,
    help="Start where the chains of the last converged fit of these sources ended. After a few "
    "new votes, a short warm-up is then enough.",
)
@add_text_options
@common
def fuse(
    settings: Common,
    trust_remote_code: bool,
    length_controlled: bool,
    text: str | None,
    warm_start: bool,
    method: str,
    target: float,
    sources: tuple[str, ...],
    seed: int,
    chains: int,
    warmup: int,
    max_draws: int,
    target_accept: float,
) -> None:
    """Fuse the signals of the store and print what the fit found."""
    from ...store.connection import open_store
    from ..progress import show_bar

    with open_store(settings.store) as con:
        from ...fusion.findings.summary import read_pairs
        from ...fusion.fuse import fuse as run_fuse
        from ...fusion.sampling.fit import SamplerSettings

        reading = open_reader(text, trust_remote_code)
        with show_bar("fuse", open_stderr()) as update:
            fit = run_fuse(
                con,
                target,
                sources,
                SamplerSettings(
                    seed=seed,
                    chains=chains,
                    warmup=warmup,
                    max_draws=max_draws,
                    target_accept=target_accept,
                    method=method,
                ),
                update,
                warm_start,
                reading,
                length_controlled,
            )
        pairs = read_pairs(con, fit.key, TELLING)
    _say(fit, pairs)
    if warm_start and not fit.already_there and not fit.diagnostics["warm_start"]:
        open_stdout().print("note: no converged fit of these sources to begin at, so it began cold")
    if not fit.converged:
        from ....schemas.errors import FusionError

        raise FusionError(f"fit {fit.key[:8]} did not converge: {fit.advice}")


def _say(fit: "Fit", pairs: "PairSummary") -> None:
    """Print what a fit found, from what is stored: the same words if the fit was there already."""
    out, found = open_stdout(), fit.findings
    if fit.already_there:
        out.print(f"fit {fit.key[:8]}: this input was already fitted with these settings; nothing to do")
    fused = (
        f"{', '.join(f'{found.get(signal.name, 0):,} {signal.plural}' for signal in SIGNALS)} "
        f"on {found['completions']:,} completions of {found['prompts']:,} prompts"
    )
    out.print(make_table(f"fit {fit.key[:8]}", ("", ""), [("fused", fused), *list_findings(fit, pairs)]))
    say_next(pairs, found)
    for note in found.get("notes", []):
        out.print(f"note: {note}")


def list_findings(fit: "Fit", pairs: "PairSummary") -> list[tuple[str, str]]:
    """List what a fit found and what to look at: (name, words) for a table."""
    from ...fusion.findings.summary import has_both_sides

    found = fit.findings
    return [
        ("convergence", _describe_convergence(fit.diagnostics)),
        ("rho", describe_correlation(found)),
        *([("annotators", describe_annotators(found["annotators"]))] if found["annotators"] else []),
        *([("excluded", _list_few(found["excluded"]))] if found.get("excluded") else []),
        *(
            [("first shown", _describe_first_shown(found))]
            if "first_shown_bias" in found["parameters"]
            else []
        ),
        *([("judges", describe_judges(found["judges"]))] if found.get("judges") else []),
        *([("groups", describe_groups(found["groups"]))] if found.get("groups") else []),
        *([("length", describe_length(found["length"]))] if found.get("length") else []),
        *([("text", describe_text(found))] if "text_alone" in found else []),
        *([("assigned", describe_assigned(found["assigned"]))] if found.get("assigned") else []),
        ("pairs", _describe_decided(pairs)),
        *(
            [("point apart", _describe_apart(found["apart"]))]
            if has_both_sides(found) and found.get("apart")
            else []
        ),
        ("replicated data", _describe_checks(fit.diagnostics["checks"])),
        *([("unseen votes", describe_predictions(found["predicts"]))] if found.get("predicts") else []),
    ]


def say_next(pairs: "PairSummary", found: dict[str, Any]) -> None:
    """Print what to annotate next: the pairs with the highest expected gain of one more vote."""
    out = open_stdout()
    if not pairs.telling:
        if pairs.n:
            why = "no pair would gain from one more vote" if found["votes"] else "not known without votes"
            out.print(f"annotate next: {why}")
        return
    rows = [
        (
            f"{pair['gain']:.4f}",
            f"{pair['completion_a'][:8]} {pair['completion_b'][:8]}",
            pair["prompt"],
        )
        for pair in pairs.telling
    ]
    out.print(
        make_table("annotate next: pairs whose next vote should tell most", ("gain ", "pair", "prompt"), rows)
    )
    if pairs.more:
        out.print(
            f"{pairs.more:,} more {'pairs are' if pairs.more > 1 else 'pair is'} worth asking: "
            "at least half the gain of the first"
        )


def _describe_convergence(d: dict[str, Any]) -> str:
    """Describe the verdict, R-hat, ESS and divergences."""
    a = d.get("approximation")
    if a and not a["completions"]:
        return "not sampled: a quick look that nothing was compared with"
    beside = (
        f"; normal approximation beside them on {a['completions']:,} completions: rank correlation "
        f"{a['rank_correlation']:.3f}, p apart by {a['p_difference']:.3f}"
        if a
        else ""
    )
    begun = f"; begun where fit {d['warm_start'][:8]} ended" if d.get("warm_start") else ""
    return (
        f"{'passed' if d['converged'] else 'FAILED'}: R-hat {d['r_hat_max']:.4f}, ESS {d['ess_min']:.0f}, "
        f"{d['divergences']} divergences, {d['chains']} x {d['draws']} draws{beside}{begun}"
    )


def describe_correlation(found: dict[str, Any]) -> str:
    """Describe rho with its 90 % interval and what it means."""
    from ...fusion.findings.summary import count_signals, has_both_sides

    rho = found["rho"]
    if not has_both_sides(found):
        missing = name_all(s.plural for s in (OBSERVED if count_signals(found, EXPRESSED) else EXPRESSED))
        return f"not learnt: no {missing}, so expressed is not set against observed"
    if rho["low"] > 0:
        words = "what people prefer tends to help"
    elif rho["high"] < 0:
        words = "what people prefer tends to help less"
    else:
        words = "what people prefer may say nothing about what helps"
    return f"{rho['mean']:.2f} (90 % interval {rho['low']:.2f} to {rho['high']:.2f}): {words}"


def describe_predictions(found: dict[str, Any]) -> str:
    """Describe how well votes are predicted that were left out."""
    rough = f"; {format_percent(found['refit'])} of it rough" if found["refit"] >= 0.005 else ""
    return (
        f"left out, {found['votes']:,} votes are predicted with a loss of {found['loss']:.2f} nats (guessing "
        f"{found['uniform']:.2f}); where one side won, Brier {found['brier']:.3f}, calibration error "
        f"{found['ece']:.3f}{rough}"
    )


def describe_annotators(found: list[dict[str, Any]]) -> str:
    """Describe which annotators the fit doubts, and why; each person once."""
    from ....annotation.agreement.doubts import list_doubts

    doubts: dict[str, dict[str, float]] = {}
    for one in found:
        for words, p in list_doubts(one):
            those = doubts.setdefault(words, {})
            those[one["annotator"]] = max(p, those.get(one["annotator"], 0.0))
    voted = f"{len({one['annotator'] for one in found}):,} voted"
    if not doubts:
        return f"{voted}; the fit doubts none of them"
    named = (
        f"{_list_few(sorted(those, key=lambda who: -those[who]))}: {words}" for words, those in doubts.items()
    )
    return f"{voted}; the fit doubts {'; '.join(named)} (probability > {SURE})"


def describe_judges(found: dict[str, Any]) -> str:
    """Describe what models that judged are worth, what they share, and where people and they differ."""
    from ....schemas.support.numbers import format_count

    worth = "; ".join(
        f"{part.replace('votes', 'a pair')}: {format_count(panel['judges'], 'model')} worth "
        f"{panel['n_eff']['median']:.1f} independent (90 % interval {panel['n_eff']['low']:.1f} to "
        f"{panel['n_eff']['high']:.1f})"
        for part, panel in found["panels"].items()
    )
    taste, apart = found["taste"], found["apart"]
    for group in found.get("copies", []):
        worth += f"; {_list_few(group)} gave the same judgements and count as one"
    said = (
        f"{worth}; they share a taste of their own, {taste['mean']:.1f} sd of quality ({taste['low']:.1f} to "
        f"{taste['high']:.1f})"
    )
    if own := found.get("own"):
        said += f"; {describe_own(own)}"
    if not found["people"]:
        return f"{said}; no person judged the same answers, so taste cannot be told from quality: p is wide"
    if apart["pairs"]:
        said += (
            f"; their majority and people's differ in {apart['differ']:,} of {apart['pairs']:,} pairs, where "
            f"p is on people's side in {apart['with_people']:,}"
        )
    return said


def describe_own(own: dict[str, Any]) -> str:
    """Describe how much better models take what they wrote themselves to be than people do."""
    liked = own["preference"]
    return (
        f"they put what they wrote themselves {liked['mean']:+.1f} sd of quality ({liked['low']:+.1f} to "
        f"{liked['high']:+.1f}) above what people say, in {own['judgements']:,} judgements"
    )


def describe_groups(found: list[dict[str, Any]]) -> str:
    """Describe in how many pairs groups of people want different sides, and whom the labels are against."""
    said = []
    for one in found:
        against = [f"{clean(name, 30)} in {n:,}" for name, n in one["against"].items() if n]
        hidden = f"; the label is against {', '.join(against)}" if against else ""
        said.append(
            f"by {one['by']}, {_list_few(list(one['votes']))} differ in {one['differ']:,} of "
            f"{one['pairs']:,} pairs that two of them judged (probability > {SURE}){hidden}"
        )
    return "; ".join(said)


def _list_few(names: list[str]) -> str:
    """List the first FEW names and the number of the others."""
    few = ", ".join(clean(name, 30) for name in names[:FEW])
    return few + (f" and {len(names) - FEW:,} more" if len(names) > FEW else "")


def _describe_first_shown(found: dict[str, Any]) -> str:
    """Describe the advantage of the answer that was shown first, in log-odds."""
    bias = found["parameters"]["first_shown_bias"]
    sure = bias["low"] > 0 or bias["high"] < 0
    return (
        f"{bias['mean']:+.2f} log-odds for the answer shown first ({bias['low']:.2f} to {bias['high']:.2f}"
        f"{'' if sure else ': may be none'})"
    )


def _describe_decided(pairs: "PairSummary") -> str:
    """Describe how many pairs lean to one side, and how many are coin flips."""
    if not pairs.n:
        return "none: no prompt has two completions"
    sure = pairs.n - pairs.flips
    return (
        f"{pairs.n:,}: {sure:,} lean to one side ({format_percent(sure / pairs.n)}), "
        f"{pairs.flips:,} coin flips ({format_percent(pairs.flips / pairs.n)}; 0.4 < p < 0.6)"
    )


def _describe_apart(found: dict[str, int]) -> str:
    """Describe in how many pairs people and learners are on different sides."""
    if not found["pairs"]:
        return "not known: learners tried no pair on both sides"
    return (
        f"people and learners, in {found['sides']:,} of {found['pairs']:,} pairs that learners tried; "
        f"{found['sure']:,} with probability > {SURE}"
    )


def _describe_checks(checks: list[dict[str, Any]]) -> str:
    """Describe the posterior predictive checks, with the names of those that fail."""
    if not checks:
        return "no checks"
    failed = [f"{clean(c['signal'], 30)} {clean(c['category'], 12)}" for c in checks if not c["holds"]]
    return f"{len(checks) - len(failed)} of {len(checks)} checks hold" + (
        f"; the data lie outside in {_list_few(failed)}" if failed else ""
    )
