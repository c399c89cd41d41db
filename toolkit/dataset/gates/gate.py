"""Describe a gate, a check of a dataset before it is written, its result and its consequences.

A gate is a file here with a `Gate`, and a line in `run.GATES`. `run.check_all` runs all of them, drops
rows where the recipe says so, and lets a local build pass with a warning where the gate allows that.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from ....schemas.recipe import Recipe, Section
from ....schemas.tables import Table
from ...store.connection import Store


class GateSettings(Section):
    """Keys of a gate's section under `gates:` in a recipe; a gate with more keys extends it."""

    drop: bool = False
    """Drop such rows, counted, instead of stopping."""


@dataclass(frozen=True)
class Drop:
    """Rows that a red gate would drop."""

    table: Table
    """KEPT or SIGNALS_KEPT."""
    where: str
    """Condition, in SQL, that is true of these rows."""
    reason: str
    """Reason in the counts of card and manifest."""
    said: str = "dropped"
    """First word of the verdict once they are dropped."""
    found: str = ""
    """The verdict without ways to mend it, for when they are dropped; empty: the verdict."""


@dataclass(frozen=True)
class GateResult:
    """A gate's verdict with its number; a gate that did not pass stops the build."""

    name: str
    passed: bool
    number: float
    verdict: str
    drop: Drop | None = None
    """Rows without which the gate passes; None if dropping rows does not help."""
    local: str = ""
    """Verdict in a local build, which only warns; empty: `local build: VERDICT`."""

    @property
    def entry(self) -> dict[str, Any]:
        """Name, passed, number and verdict, for the manifest and the card."""
        return {
            "name": self.name,
            "passed": self.passed,
            "number": self.number,
            "verdict": self.verdict,
        }


@dataclass(frozen=True)
class Inputs:
    """Input of a gate, besides the tables `kept` and `signals_kept`."""

    recipe: Recipe
    fit: dict[str, Any] | None = None
    """The fit that labels come from: a row of `fits`, its JSON read."""
    dropped: dict[str, int] = field(default_factory=dict)
    """Number of pairs or rows dropped so far, by reason."""
    settings: Any = field(default_factory=GateSettings)
    """The gate's own section of the recipe: an instance of its `Gate.settings`."""


@dataclass(frozen=True)
class Gate:
    """A gate: its check, order, settings and consequences."""

    name: str
    check: Callable[[Store, Inputs], GateResult]
    applies: Callable[[Inputs], bool] = lambda _inputs: True
    """If false, the gate is not run, and neither card nor manifest has it."""
    drops: Callable[[Inputs], bool] = lambda inputs: bool(inputs.settings.drop)
    """True if the recipe wants rows of a red gate dropped."""
    settings: type[GateSettings] | None = None
    """The gate's section under `gates:` in a recipe; None: it has none."""
    warns_locally: bool = False
    """True: a red gate only warns in a local build, whose texts are not published."""
    order: int = 9
    """Gates run in this order, those of the same order as registered: the first may drop rows."""
    facts: Callable[[Store], dict[str, Any]] = lambda _con: {}
    """Facts for the manifest beyond the verdict."""
