"""Alpha and kappa: published examples, other libraries, properties, intervals."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from preceptor.annotation.agreement.alpha import compute_measures, count_kinds
from preceptor.annotation.agreement.intervals import compute_exact_interval
from preceptor.annotation.agreement.kappa import compute_kappa

# Krippendorff, "Computing Krippendorff's Alpha-Reliability" (2011), examples A, B and C: units by columns.
WITH_GAPS = [
    [1, 2, 3, 3, 2, 1, 4, 1, 2, None, None, None],
    [1, 2, 3, 3, 2, 2, 4, 1, 2, 5, None, 3],
    [None, 3, 3, 3, 2, 3, 4, 2, 2, 5, 1, None],
    [1, 2, 3, 3, 2, 4, 4, 1, 2, 5, 1, None],
]
BINARY = [[0, 1, 0, 0, 0, 0, 0, 0, 1, 0], [1, 1, 1, 0, 0, 1, 0, 0, 0, 0]]
LETTERS = [list("aabbdcccedda"), list("babbbccceddd")]


def alphas(table, resamples=1):
    """Alpha by metric of a table whose rows are annotators, numbers or letters, None where missing."""
    said = [(u, v) for row in table for u, v in enumerate(row) if v is not None]
    levels = sorted({v for _, v in said})
    unit = np.array([u for u, _ in said], dtype=np.int64)
    value = np.array([levels.index(v) for _, v in said], dtype=np.int64)
    numbers = np.array([v if not isinstance(v, str) else i for i, v in enumerate(levels)], dtype=float)
    kinds, many = count_kinds(unit, value, len(levels))
    return compute_measures(kinds, many, numbers, 0, resamples)


def test_krippendorffs_published_examples():
    found = alphas(WITH_GAPS)
    published = {"nominal": 0.743, "ordinal": 0.815, "interval": 0.849}
    assert {name: round(found[name].value, 3) for name in published} == published
    assert round(alphas(BINARY)["nominal"].value, 3) == 0.095
    assert round(alphas(LETTERS)["nominal"].value, 3) == 0.692


# Fleiss (1971), table 1: 30 patients, 6 diagnoses each; published kappa 0.430.
FLEISS = """0 0 0 6 0|0 3 0 0 3|0 1 4 0 1|0 0 0 0 6|0 3 0 3 0|2 0 4 0 0|0 0 4 0 2|2 0 3 1 0|2 0 0 4 0|0 0 0 0 6
1 0 0 5 0|1 1 0 4 0|0 3 3 0 0|1 0 0 5 0|0 2 0 3 1|0 0 5 0 1|3 0 0 1 2|5 1 0 0 0|0 2 0 4 0|1 0 2 0 3
0 0 0 0 6|0 1 0 5 0|0 2 0 1 3|2 0 0 4 0|1 0 0 4 1|0 5 0 1 0|4 0 0 0 2|0 2 0 4 0|1 0 5 0 0|0 0 0 0 6"""
DIAGNOSES = np.array([[int(x) for x in row.split()] for row in FLEISS.replace("\n", "|").split("|")])


def test_fleiss_published_example():
    kinds, many = np.unique(DIAGNOSES, axis=0, return_counts=True)
    found = compute_measures(kinds, many, np.arange(5.0), 0, 200)
    assert found["fleiss"].value == pytest.approx(0.430, abs=5e-4)
    assert found["fleiss"].low < 0.430 < found["fleiss"].high


def test_cohens_kappa_by_hand():
    # Agreement 35 of 50, by chance 25 of 50: (0.7 - 0.5) / (1 - 0.5).
    assert compute_kappa(np.array([[20.0, 5], [10, 15]])) == pytest.approx(0.4)
    assert np.isnan(compute_kappa(np.array([[7.0, 0], [0, 0]])))
    assert compute_kappa(np.diag([3.0, 4, 5]), "quadratic") == 1


def reliability(rng, annotators, units, levels, missing=0.3):
    truth = rng.integers(0, levels, units)
    table = (truth + rng.integers(-1, 2, (annotators, units))).clip(0, levels - 1)
    return [[None if rng.random() < missing else int(v) for v in row] for row in table]


@pytest.mark.parametrize("seed", range(5))
def test_equal_to_the_krippendorff_library(seed):
    krippendorff = pytest.importorskip("krippendorff")
    rng = np.random.default_rng(seed)
    table = reliability(rng, 2 + seed, 40, 2 + seed)
    found = alphas(table)
    matrix = np.array([[np.nan if v is None else v for v in row] for row in table])
    for metric in ("nominal", "ordinal", "interval"):
        other = krippendorff.alpha(reliability_data=matrix, level_of_measurement=metric)
        assert found[metric].value == pytest.approx(other, abs=1e-6)


@pytest.mark.parametrize("seed", range(5))
def test_equal_to_statsmodels(seed):
    rater = pytest.importorskip("statsmodels.stats.inter_rater")
    rng = np.random.default_rng(seed)
    table = rng.integers(0, 9, (4, 4))
    for name, wt in (("unweighted", None), ("linear", "linear"), ("quadratic", "quadratic")):
        other = rater.cohens_kappa(table, wt=wt, return_results=False)
        assert compute_kappa(table.astype(float), name) == pytest.approx(other, abs=1e-6)
    counts = rng.multinomial(5, [0.5, 0.3, 0.2], size=30)
    kinds, many = np.unique(counts, axis=0, return_counts=True)
    ours = compute_measures(kinds, many, np.arange(3.0), 0, 1)["fleiss"].value
    assert ours == pytest.approx(rater.fleiss_kappa(counts), abs=1e-6)


# ---- properties

TABLES = st.lists(
    st.lists(st.one_of(st.none(), st.integers(1, 4)), min_size=6, max_size=6), min_size=2, max_size=4
)


@given(TABLES)
def test_people_have_no_order_and_alpha_has_its_bounds(table):
    found, turned = alphas(table), alphas(table[::-1])
    for metric in ("nominal", "ordinal", "interval"):
        one, other = found.get(metric), turned.get(metric)
        assert (one is None) == (other is None)
        if one:
            assert one.value == pytest.approx(other.value)
            assert one.value <= 1 + 1e-12
    nominal = found.get("nominal")
    if nominal:
        agree, chance = found["agreement"].value, found["chance"].value
        assert (agree - chance) / (1 - chance) == pytest.approx(nominal.value)
        assert agree <= found["perfect"].value + 1e-12
        assert found["majority"].value <= found["perfect"].value + 1e-12


@given(st.lists(st.integers(1, 5), min_size=2, max_size=12).filter(lambda row: len(set(row)) > 1))
def test_perfect_agreement_is_one(row):
    found = alphas([row, row, row])
    for name in ("nominal", "ordinal", "interval", "fleiss", "agreement", "majority", "perfect"):
        assert found[name].value == pytest.approx(1)


def test_units_twice_over_change_nothing_but_the_interval():
    rng = np.random.default_rng(1)
    table = reliability(rng, 4, 60, 4)
    once, twice = alphas(table, 500), alphas([row + row for row in table], 500)
    for metric, close in (("nominal", 0.01), ("ordinal", 0.01), ("interval", 0.01)):
        assert twice[metric].value == pytest.approx(once[metric].value, abs=close)
        width = once[metric].high - once[metric].low
        assert (twice[metric].high - twice[metric].low) / width == pytest.approx(0.5**0.5, abs=0.12)


def test_answers_by_chance_agree_by_chance():
    rng = np.random.default_rng(3)
    found = alphas(rng.integers(1, 4, (3, 400)).tolist(), 500)
    for metric in ("nominal", "ordinal", "interval"):
        assert abs(found[metric].value) < 0.06
        assert found[metric].low < 0 < found[metric].high
    assert found["agreement"].value == pytest.approx(found["chance"].value, abs=0.04)
    assert found["majority"].value < 0.42 < found["perfect"].value


def test_nothing_to_compare_is_no_number():
    assert alphas([[1, None, 2], [None, 3, None]]) == {}
    same = alphas([[2, 2], [2, 2]])
    assert same["nominal"] is None
    assert same["ordinal"] is None
    assert same["agreement"].value == 1


def test_exact_intervals():
    low, high = compute_exact_interval(np.array([0, 5, 10]), np.array([10, 10, 10]))
    assert low == pytest.approx([0, 0.1871, 0.6915], abs=1e-4)
    assert high == pytest.approx([0.3085, 0.8129, 1], abs=1e-4)


@pytest.mark.slow
def test_bootstrap_intervals_cover_the_truth():
    """Of 300 samples of 150 units, about 95 % of the intervals hold the alpha of all units."""
    rng = np.random.default_rng(7)

    def draw(units):
        truth = rng.integers(0, 3, units)
        wrong = rng.random((3, units)) < 0.35
        return np.where(wrong, rng.integers(0, 3, (3, units)), truth)

    exact = alphas(draw(200_000).tolist())["nominal"].value
    hits = 0
    for _ in range(300):
        found = alphas(draw(150).tolist(), 300)["nominal"]
        hits += found.low <= exact <= found.high
    assert 0.91 <= hits / 300 <= 0.985
