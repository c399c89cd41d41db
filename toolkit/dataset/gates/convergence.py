"""Convergence: no label without chains that agree."""

from typing import Any

from ...store.connection import Store
from .gate import Gate, GateResult, Inputs


def check_convergence(fit: str, diagnostics: dict[str, Any]) -> GateResult:
    """Check for R-hat <= 1.01, ESS >= 400 and no divergences; the number is the largest R-hat."""
    r_hat, ess = diagnostics["r_hat_max"], diagnostics["ess_min"]
    passed = bool(diagnostics["converged"])
    verdict = (
        f"R-hat at most {r_hat:.4f}, ESS at least {ess:.0f}, {diagnostics['divergences']} divergences"
        if passed
        else f"fit {fit} did not converge: {diagnostics['advice']}, then preceptor fuse again"
    )
    return GateResult("convergence", passed, round(float(r_hat), 4), verdict)


def _check(_con: Store, inputs: Inputs) -> GateResult:
    fit = inputs.fit or {}
    return check_convergence(fit["key"], fit["diagnostics"])


GATE = Gate("convergence", _check, applies=lambda inputs: inputs.fit is not None)
