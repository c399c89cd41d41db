"""Kappa over pairs of annotators."""

import numpy as np
import polars as pl
import pytest

from preceptor.annotation.agreement.kappa import compare_pairs

# ---- kappa over pairs of annotators


def test_kappa_weighs_what_two_share():
    rng = np.random.default_rng(0)
    truth = rng.integers(0, 3, 100)
    said = {"x": truth, "y": truth.copy(), "z": rng.integers(0, 3, 100)}
    rows = [(u, who, int(v[u])) for who, v in said.items() for u in range(100 if who != "z" else 50)]
    judged = pl.DataFrame(rows, schema=["unit", "annotator", "value"], orient="row")
    found = compare_pairs(judged, 3, ("unweighted",), 0, 200)
    by = {(r["first"], r["second"]): r for r in found.people.iter_rows(named=True)}
    assert by["x", "y"]["unweighted"] == 1
    assert by["x", "z"]["n"] == 50
    mean = (100 * 1 + 50 * by["x", "z"]["unweighted"] + 50 * by["y", "z"]["unweighted"]) / 200
    assert found.mean["unweighted"].value == pytest.approx(mean)
    assert found.mean["unweighted"].low < mean < found.mean["unweighted"].high
    few = compare_pairs(judged.filter(pl.col("unit") < 9), 3, ("unweighted",), 0, 10)
    assert few.people.is_empty()
    assert few.mean == {"unweighted": None}
