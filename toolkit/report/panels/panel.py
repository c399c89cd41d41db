"""Describe a panel: what draws it from a fit, and when; one file and one line of the registry each.

PANEL = Panel("confidence", lambda view: view.surer.len() > 0, draw)
draw(view, 0)       # the pictures as SVG, with title and caption
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import polars as pl

from ...dataset.build import Build
from ...store.connection import Store
from ..picture import Picture


@dataclass(frozen=True)
class FitView:
    """Everything that a panel may draw: the store, one of its fits and what the page got beside it."""

    con: Store
    fit: Mapping[str, Any]
    """The row of `fits`, its JSON read: key, config, diagnostics, findings, versions …"""
    surer: pl.Series
    """max(p, 1 - p) of each pair of the fit, in ascending order; shape (pairs,)."""
    built: Build | None = None
    """A dataset built from the fit."""
    recovered: pl.DataFrame | None = None
    """Inferred and known effectiveness: completion, mean, low, high, truth."""
    agreed: Sequence[Mapping[str, Any]] = ()
    """What `preceptor annotate agreement --json` prints, one for each source."""

    @property
    def findings(self) -> Mapping[str, Any]:
        """The findings of the fit."""
        found: Mapping[str, Any] = self.fit["findings"]
        return found

    @property
    def diagnostics(self) -> Mapping[str, Any]:
        """The diagnostics of the fit."""
        found: Mapping[str, Any] = self.fit["diagnostics"]
        return found


@dataclass(frozen=True)
class Panel:
    """One or more pictures of a fit, and when they are drawn."""

    name: str
    applies: Callable[[FitView], bool]
    """True if the fit has data for it."""
    draw: Callable[[FitView, float], Sequence[Picture]]
    """Draw it at least this high, in points; 0: as high as it is by itself."""
    measure: Callable[[FitView], float] | None = None
    """Its own height in points; only for panels that are made as high as another."""
    beside: tuple[str, ...] = ()
    """Names of panels, of which the first that applies is made as high. Both have `measure`."""


def draw_all(panels: Sequence[Panel], view: FitView) -> list[Picture]:
    """Draw the panels that apply, in their order."""
    shown = {panel.name: panel for panel in panels if panel.applies(view)}
    heights = dict.fromkeys(shown, 0.0)
    for name, panel in shown.items():
        other = next((shown[one] for one in panel.beside if one in shown), None)
        if other:
            heights[name] = heights[other.name] = _match_heights(panel, other, view)
    return [picture for name, panel in shown.items() for picture in panel.draw(view, heights[name])]


def _match_heights(one: Panel, other: Panel, view: FitView) -> float:
    """The larger height, if they are close; 0, each its own, where one would look empty."""
    heights = [panel.measure(view) for panel in (one, other) if panel.measure]
    return max(heights) if max(heights) < 1.8 * min(heights) else 0
