"""The reliability curve on the report: drawn where a fit predicted votes that it had not seen."""

import polars as pl
import pytest

from preceptor.toolkit.report.panels.panel import FitView
from preceptor.toolkit.report.panels.predicts import PANEL

FOUND = {
    "votes": 50,
    "left_out": 40,
    "refit": 0.1,
    "loss": 0.6,
    "uniform": 1.1,
    "decided": 44,
    "brier": 0.123,
    "ece": 0.045,
    "curve": [{"said": 0.6, "happened": 0.5, "n": 20}, {"said": 0.93, "happened": 1.0, "n": 24}],
}


def view(findings):
    return FitView(None, {"findings": findings}, pl.Series([0.6]))


def test_the_curve_is_drawn_with_its_numbers():
    assert PANEL.applies(view({"predicts": FOUND}))
    (picture,) = PANEL.draw(view({"predicts": FOUND}), 0)
    assert "44 votes with a winner" in picture.caption
    assert "Brier score 0.123, expected calibration error 0.045" in picture.caption
    assert "are rough" in picture.caption
    assert "<svg" in picture.svg


@pytest.mark.parametrize("findings", [{}, {"predicts": None}, {"predicts": FOUND | {"curve": []}}])
def test_fits_without_predictions_have_no_panel(findings):
    assert not PANEL.applies(view(findings))
