"""Convergence: no label without chains that agree."""

from typing import Any

from .gate import Gate


def check_convergence(fit: str, diagnostics: dict[str, Any]) -> Gate:
    """Red unless R-hat <= 1.01, ESS >= 400 and no divergences; the number is the worst R-hat."""
    r_hat, ess = diagnostics["r_hat_max"], diagnostics["ess_min"]
    passed = bool(diagnostics["converged"])
    verdict = (
        f"R-hat at most {r_hat:.4f}, ESS at least {ess:.0f}, {diagnostics['divergences']} divergences"
        if passed
        else f"fit {fit} did not converge: {diagnostics['advice']}, then preceptor fuse again"
    )
    return Gate("convergence", passed, round(float(r_hat), 4), verdict)
