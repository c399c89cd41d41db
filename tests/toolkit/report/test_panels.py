"""Panels: those that apply are drawn in their order, two beside each other as high, and each is listed."""

from pathlib import Path

import polars as pl
import pytest
from markupsafe import Markup
from places import ROOT

from preceptor.toolkit.report.panels.panel import FitView, Panel, draw_all
from preceptor.toolkit.report.panels.registry import PANELS
from preceptor.toolkit.report.picture import Picture
from preceptor.toolkit.store.connection import open_store


@pytest.fixture
def view(tmp_path: Path):
    with open_store(tmp_path / "s.duckdb", create=True) as con:
        yield FitView(con, {"key": "k", "findings": {}, "diagnostics": {}}, pl.Series([], dtype=pl.Float64))


def panel(name, own=None, beside=(), applies=True):
    """A panel whose caption is the height that it is drawn in."""
    return Panel(
        name,
        lambda _: applies,
        lambda _, height: [Picture(name, name, f"{height:g}", Markup(""))],
        None if own is None else lambda _: own,
        beside,
    )


def drawn(view, *panels):
    return [(picture.name, picture.caption) for picture in draw_all(panels, view)]


def test_panels_that_apply_are_drawn_in_order(view):
    assert drawn(view, panel("b"), panel("a", applies=False), panel("c")) == [("b", "0"), ("c", "0")]


def test_a_panel_may_have_several_pictures(view):
    several = Panel("p", lambda _: True, lambda v, h: [Picture(f"p-{i}", "", "", Markup("")) for i in (0, 1)])
    assert [picture.name for picture in draw_all([several], view)] == ["p-0", "p-1"]


@pytest.mark.parametrize(
    ("others", "heights"),
    [
        ((), "0"),
        ((panel("people", 170),), "170 170"),
        ((panel("people", 70),), "100 100"),
        ((panel("people", 180),), "0 0"),  # the smaller one would look empty
        ((panel("people", 170), panel("ranks", 120)), "170 170 0"),
        ((panel("people", 170, applies=False), panel("ranks", 120)), "120 120"),
    ],
)
def test_a_panel_is_as_high_as_the_first_one_beside_it(view, others, heights):
    checks = panel("checks", 100, ("people", "ranks"))
    assert " ".join(caption for _, caption in drawn(view, checks, *others)) == heights


def test_every_panel_is_listed_under_its_file_s_name():
    files = {file.stem for file in (ROOT / "toolkit" / "report" / "panels").glob("*.py")}
    assert sorted(panel.name for panel in PANELS) == sorted(files - {"__init__", "panel", "registry"})
    measured = {panel.name for panel in PANELS if panel.measure}
    for one in PANELS:
        assert not one.beside or {one.name, *one.beside} <= measured
