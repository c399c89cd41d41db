"""`preceptor fuse`: fit the model and store what it says."""

from typing import Any

import click

from .options import Common, common, stderr, stdout, table


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


@click.command()
@click.option(
    "--target",
    type=_Target(),
    default=0.5,
    show_default=True,
    help="What better means: observed, expressed, or the weight of observed.",
)
@click.option("--source", "sources", multiple=True, help="Completions of this source only; repeat.")
@click.option("--seed", type=click.IntRange(0), default=0, show_default=True, help="Of the sampler.")
@click.option("--chains", type=click.IntRange(2), default=4, show_default=True, help="Run side by side.")
@click.option("--warmup", type=click.IntRange(100), default=400, show_default=True, help="Draws to adapt.")
@click.option(
    "--max-draws",
    type=click.IntRange(50),
    default=6000,
    show_default=True,
    help="Per chain, at most; it stops as soon as the diagnostics pass.",
)
@click.option(
    "--target-accept",
    type=click.FloatRange(0.5, 0.999),
    default=0.8,
    show_default=True,
    help="Higher takes smaller steps; against divergences.",
)
@common
def fuse(
    settings: Common,
    target: float,
    sources: tuple[str, ...],
    seed: int,
    chains: int,
    warmup: int,
    max_draws: int,
    target_accept: float,
) -> None:
    """Fuse votes, ratings and outcomes into effectiveness and preferences.

    Ends with exit code 1 if the chains did not converge; the fit is stored and marked, and no
    build will take it.
    """  # fmt: skip
    from ..progress import bar
    from ..store import open_store, run

    with open_store(settings.store) as con:
        from ..fuse import fuse as run_fuse
        from ..fusion.fit import Settings

        with bar("fuse", stderr()) as update:
            fit = run_fuse(
                con,
                target,
                sources,
                Settings(
                    seed=seed,
                    chains=chains,
                    warmup=warmup,
                    max_draws=max_draws,
                    target_accept=target_accept,
                ),
                update,
            )
        (decided,) = run(
            con,
            "SELECT count(*), count(*) FILTER (p BETWEEN 0.4 AND 0.6) FROM preferences WHERE fit = ?",
            [fit.key],
        )
    say(fit.key, fit.diagnostics, fit.findings, decided, fit.already_there)
    if not fit.converged:
        from ...schemas.errors import FusionError

        raise FusionError(f"fit {fit.key[:8]} did not converge: {fit.advice}")


def say(
    key: str,
    diagnostics: dict[str, Any],
    found: dict[str, Any],
    decided: tuple[int, ...],
    already_there: bool,
) -> None:
    """The short table that ends a fit."""
    from rich.markup import escape

    out = stdout()
    if already_there:
        out.print(f"fit {key[:8]}: this input was already fitted with these settings; nothing to do")
    pairs, flips = decided
    checks = diagnostics["checks"]
    rows = [
        ("fused", f"{found['votes']:,} votes, {found['ratings']:,} ratings, {found['outcomes']:,} outcomes "
                  f"on {found['completions']:,} completions of {found['prompts']:,} prompts"),
        ("convergence", convergence(diagnostics)),
        ("rho", f"{correlation(found)}: expressed against observed"),
        ("pairs", f"{pairs:,}, of which {flips:,} coin flips (0.4 < p < 0.6)"),
        ("replicated data", f"{sum(c['holds'] for c in checks)} of {len(checks)} checks hold"),
    ]  # fmt: skip
    if found["annotators"]:
        rows.append(("annotators to look at", ", ".join(doubtful(found)) or "none"))
    out.print(table(f"fit {key[:8]}", ("", ""), rows))
    for note in found.get("notes", []):
        out.print(f"note: {escape(note)}")


def convergence(d: dict[str, Any]) -> str:
    """R-hat, ESS and divergences in a few words."""
    return (
        f"R-hat {d['r_hat_max']:.4f}, ESS {d['ess_min']:.0f}, {d['divergences']} divergences, "
        f"{d['chains']} x {d['draws']} draws"
    )


def correlation(found: dict[str, Any]) -> str:
    """Rho with its interval."""
    rho = found["rho"]
    return f"{rho['mean']:.2f} (90 % interval {rho['low']:.2f} to {rho['high']:.2f})"


def doubtful(found: dict[str, Any]) -> list[str]:
    """Annotators whose reliability is below a half with probability above 0.9."""
    return [a["annotator"] for a in found["annotators"] if a["p_below_half"] > 0.9]
