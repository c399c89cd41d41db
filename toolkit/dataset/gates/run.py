"""Run all gates of a build; on a red one drop rows, warn, or stop."""

from collections.abc import Mapping
from dataclasses import replace
from functools import cache
from importlib import import_module
from typing import Any

from pydantic import ValidationError

from ....schemas.errors import RecipeError
from ....schemas.recipe import Recipe
from ....schemas.support.nearest import suggest
from ....schemas.support.settings_files.faults import explain_faults
from ...store.connection import Store, run
from ..steps import KEPT
from .gate import Drop, Gate, GateResult, GateSettings, Inputs

GATES = (
    "labels:CONVERGENCE_GATE",
    "labels:JUDGES_GATE",
    "contents:GATE",
    "leaks.leaks:GATE",
    "licence:GATE",
    "privacy:TEXTS_GATE",
    "privacy:GROUPS_GATE",
    "replies:GATE",
    "same_tokens:GATE",
    "length:GATE",
    "hygiene:GATE",
)
"""MODULE:NAME of each `Gate`, in the order in which card and manifest list them."""


@cache
def list_gates() -> tuple[Gate, ...]:
    """Return the gates of GATES, in its order."""
    found = []
    for place in GATES:
        module, _, name = place.partition(":")
        found.append(getattr(import_module(f".{module}", __package__), name))
    return tuple(found)


def read_gate_settings(recipe: Recipe) -> dict[str, GateSettings]:
    """Return {gate's name: its settings} of the gates that take a section under `gates:`.

    Raises RecipeError for a section of another name, and for what a gate's section does not take.
    """
    known = {gate.name: gate.settings for gate in list_gates() if gate.settings}
    for name in recipe.gates:
        if name not in known:
            hint = (
                f": {suggest(name, known, 'known gates')}" if known else ", and no gate takes settings here"
            )
            raise RecipeError(f"gates: unknown gate '{name}'{hint}")
    found = {}
    for name, settings in known.items():
        try:
            found[name] = settings.model_validate(recipe.gates.get(name, {}))
        except ValidationError as error:
            raise RecipeError(f"gates: {name}: {explain_faults(error, settings)}") from error
    return found


def check_all(
    con: Store,
    recipe: Recipe,
    fit: dict[str, Any] | None,
    dropped: dict[str, int],
    settings: Mapping[str, GateSettings],
) -> list[GateResult]:
    """Run the gates on `kept` and `signals_kept`; return their results in the registry's order.

    Rows that the recipe wants dropped are taken out of these tables, and counted in `dropped` by reason.
    """
    results = {}
    for gate in sorted(list_gates(), key=lambda gate: gate.order):
        inputs = Inputs(recipe, fit, dropped, settings.get(gate.name, GateSettings()))
        if gate.applies(inputs):
            results[gate.name] = _decide(con, gate, inputs)
    return [results[gate.name] for gate in list_gates() if gate.name in results]


def _decide(con: Store, gate: Gate, inputs: Inputs) -> GateResult:
    """Run one gate. If it is red, drop its rows or let a local build pass, as recipe and gate say."""
    result = gate.check(con, inputs)
    if result.passed:
        return result
    if result.drop and gate.drops(inputs):
        n = _drop(con, result.drop, inputs.recipe)
        inputs.dropped[result.drop.reason] = inputs.dropped.get(result.drop.reason, 0) + n
        return replace(
            result,
            passed=True,
            verdict=f"{result.drop.said}: {result.drop.found or result.verdict}",
            drop=None,
        )
    if gate.warns_locally and inputs.recipe.publish_under is None:
        return replace(result, passed=True, verdict=result.local or f"local build: {result.verdict}")
    return result


def _drop(con: Store, rows: Drop, recipe: Recipe) -> int:
    """Delete the rows, and signals about completions that are no longer in `kept`; the order stays."""
    ((n,),) = run(con, f'DELETE FROM "{rows.table.name}" WHERE {rows.where}')
    if rows.table is KEPT and "signals" in recipe.configs:
        run(con, _FORGET_UNKEPT)
    if rows.table is KEPT and "exercises" in recipe.configs:
        run(
            con,
            "DELETE FROM exercises_kept WHERE key NOT IN (SELECT key FROM kept WHERE config = 'exercises')",
        )
    return int(n)


_COMPLETIONS = """SELECT chosen_completion FROM kept
    UNION SELECT rejected_completion FROM kept WHERE rejected_completion IS NOT NULL"""
_FORGET_UNKEPT = f"""DELETE FROM signals_kept WHERE completion NOT IN ({_COMPLETIONS})
    OR other IS NOT NULL AND other NOT IN ({_COMPLETIONS})"""
