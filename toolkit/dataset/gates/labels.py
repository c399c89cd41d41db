"""What labels stand on: chains that agree, and more than judgements of models.

Without people, what models like cannot be told from what is good: p is wide, and may lean to their taste.
"""

from typing import Any

from ....schemas.tables import SIGNALS
from ...store.connection import Store, run
from ..steps import KEPT
from .gate import Drop, Gate, GateResult, GateSettings, Inputs

MODEL = "model"
_BY_MODEL = {
    signal.name: f"coalesce(a.kind = '{MODEL}', false)" if signal.annotator else "false" for signal in SIGNALS
}
_HEARD = " UNION ALL ".join(
    f"SELECT {name} AS key, {_BY_MODEL[signal.name]} AS by_model FROM {signal.name} s"
    + (f" LEFT JOIN annotators a ON a.key = s.{signal.annotator}" if signal.annotator else "")
    + (" WHERE a.excluded_at IS NULL" if signal.annotator else "")
    for signal in SIGNALS
    for name in signal.completions
)
_ALONE = f"""SELECT key FROM ({_HEARD}) GROUP BY key HAVING bool_and(by_model)"""
_OF_PEOPLE = f"SELECT key FROM ({_HEARD}) WHERE NOT by_model"
_WHERE = f"""rejected_completion IS NOT NULL
    AND (chosen_completion IN ({_ALONE}) OR rejected_completion IN ({_ALONE}))
    AND chosen_completion NOT IN ({_OF_PEOPLE}) AND rejected_completion NOT IN ({_OF_PEOPLE})"""


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


CONVERGENCE_GATE = Gate("convergence", _check, applies=lambda inputs: inputs.fit is not None)


class JudgesSettings(GateSettings):
    """Keys of the gate's section in a recipe."""

    allow_alone: bool = False
    """Take labels that stand on judgements of models alone."""


def check_judges(con: Store, allow_alone: bool = False) -> GateResult:
    """Check that people or learners judged an answer of each pair of `kept`; the number counts the others.

    Pairs about which nobody said anything, models neither, are no matter of this gate.
    """
    ((alone, n),) = run(
        con,
        f"SELECT count(*) FILTER ({_WHERE}), count(*) FILTER (rejected_completion IS NOT NULL) FROM kept",
    )
    if not alone:
        return GateResult("judges", True, 0, "people or learners judged an answer of every pair")
    found = f"the labels of {alone:,} of {n:,} pairs stand on judgements of models alone"
    if allow_alone:
        return GateResult("judges", True, alone, f"allowed: {found}")
    return GateResult(
        "judges",
        False,
        alone,
        f"{found}, whose taste cannot be told from quality there; ask people about some of them (preceptor "
        "annotate push), drop such pairs by gates: {judges: {drop: true}}, or take them by allow_alone: true "
        "there",
        Drop(KEPT, _WHERE, "labels that stand on models alone", found=found),
    )


JUDGES_GATE = Gate(
    "judges",
    lambda con, inputs: check_judges(con, inputs.settings.allow_alone),
    applies=lambda inputs: bool(inputs.fit and inputs.fit["findings"].get("judges")),
    settings=JudgesSettings,
    order=3,
)
