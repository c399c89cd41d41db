"""Compare two explanations, or the models that wrote them: which one needs fewer turns, which is recalled?

What learners were given was drawn by chance with known probabilities, so that a difference between the two
is an effect of the explanations. Three answers:

    difference   second less first, each outcome weighted by one over the probability of its draw; 90 %
                 interval by drawing learners with replacement
    p-value      randomisation test: how often a difference as large comes of draws with the same
                 probabilities, if no explanation had any effect
    by the fit   the mean difference of what helps (observed) in the newest fit, which has all other signals
"""

from dataclasses import dataclass

import numpy as np
import polars as pl

from ....schemas.errors import StudyError
from ...store.connection import Store, query
from ...store.where import check_names

LEVEL = 0.9
_MEASURES = {"turns": "turns to the first right answer", "success": "delayed recall"}

_ROWS = """
SELECT o.measure, o.learner, a.prompt, o.value, o.censored, a.arm,
    CAST(a.chances AS MAP(VARCHAR, DOUBLE))[$first] AS p_first,
    CAST(a.chances AS MAP(VARCHAR, DOUBLE))[$second] AS p_second
FROM outcomes o JOIN assignments a
    ON a.source = o.source AND a.learner = o.learner AND a.completion = o.completion
WHERE o.source = $study AND a.arm IN ($first, $second)
ORDER BY o.key"""
_FITTED = """
SELECT count(*) AS pairs, avg(b.observed_mean - a.observed_mean) AS mean,
    sqrt(sum(a.observed_sd ** 2 + b.observed_sd ** 2)) / count(*) AS sd
FROM (SELECT DISTINCT prompt, arm, completion FROM assignments WHERE source = $study AND arm = $first) f
JOIN (SELECT DISTINCT prompt, arm, completion FROM assignments WHERE source = $study AND arm = $second) s
    USING (prompt)
JOIN effectiveness a ON a.completion = f.completion AND a.fit = $fit
JOIN effectiveness b ON b.completion = s.completion AND b.fit = $fit"""


@dataclass(frozen=True)
class Difference:
    """Second less first, of one measure."""

    measure: str
    first: float
    """Mean of the first, weighted."""
    second: float
    low: float
    high: float
    p: float
    """Of the randomisation test, two-sided."""
    n_first: int
    n_second: int
    learners: int
    censored: int
    """Of the outcomes, those of learners who had not succeeded yet: counted as they stand."""

    @property
    def value(self) -> float:
        """The difference."""
        return self.second - self.first

    @property
    def wording(self) -> str:
        """What is measured, in words."""
        return _MEASURES[self.measure]


@dataclass(frozen=True)
class FittedDifference:
    """Second less first by a fit: mean difference of what helps over prompts that have both, in log-odds."""

    fit: str
    pairs: int
    mean: float
    low: float
    high: float


@dataclass(frozen=True)
class Comparison:
    """A comparison of two arms of a study."""

    first: str
    second: str
    differences: tuple[Difference, ...]
    fitted: FittedDifference | None


def compare_arms(
    con: Store, study: str, arms: tuple[str, ...] = (), *, seed: int = 0, draws: int = 2000
) -> Comparison:
    """Compare two arms of a pulled study: those named, or the two that it has.

    Raises StudyError if the study was not pulled, two arms are neither named nor there, or no outcome is
    known for both.
    """
    have = query(con, "SELECT DISTINCT arm FROM assignments WHERE source = ? ORDER BY 1", [study])["arm"]
    if have.is_empty():
        raise StudyError(
            f"'{study}': no explanations were assigned yet; preceptor study pull --study {study}"
        )
    check_names("--arm", arms, have, "arm", "of this study")
    named = arms or tuple(have)
    if len(set(named)) != 2:
        raise StudyError(f"name two arms to compare, --arm A --arm B, of: {', '.join(have)}")
    first, second = named
    rows = query(con, _ROWS, {"study": study, "first": first, "second": second})
    found = []
    for measure in _MEASURES:
        of = rows.filter(measure=measure)
        if of.filter(arm=first).height and of.filter(arm=second).height:
            found.append(_compare(of, measure, first, seed, draws))
    if not found:
        raise StudyError(f"'{study}': no outcome of both {first} and {second} yet; let more learners study")
    return Comparison(first, second, tuple(found), _compare_fitted(con, study, first, second))


def _compare(rows: pl.DataFrame, measure: str, first: str, seed: int, draws: int) -> Difference:
    # Given that it was one of the two, the first was drawn with this probability.
    p_first = (rows["p_first"] / (rows["p_first"] + rows["p_second"])).to_numpy()
    is_first = (rows["arm"] == first).to_numpy()
    y = rows["value"].to_numpy()
    people = rows["learner"].rank("dense").to_numpy().astype(np.int64) - 1
    low, high = draw_interval(y, is_first, p_first, people, seed, draws)
    mean_first, mean_second = weigh_means(y, is_first, p_first)
    prompts = rows["prompt"].rank("dense").to_numpy().astype(np.int64) - 1
    return Difference(
        measure,
        mean_first,
        mean_second,
        low,
        high,
        run_randomisation_test(y, is_first, p_first, prompts, seed, draws),
        int(is_first.sum()),
        int((~is_first).sum()),
        int(people.max()) + 1,
        int(rows["censored"].sum()),
    )


def weigh_means(y: np.ndarray, is_first: np.ndarray, p_first: np.ndarray) -> tuple[float, float]:
    """Compute each arm's mean, weighted by one over the probability of the draw; arguments of shape (n,)."""
    weights = np.where(is_first, 1 / p_first, 1 / (1 - p_first))
    return (
        float(np.average(y[is_first], weights=weights[is_first])),
        float(np.average(y[~is_first], weights=weights[~is_first])),
    )


def draw_interval(
    y: np.ndarray, is_first: np.ndarray, p_first: np.ndarray, people: np.ndarray, seed: int, draws: int
) -> tuple[float, float]:
    """Draw learners with replacement; return the quantiles that hold LEVEL of the differences.

    All arrays have the shape (n,); `people` numbers learners from 0.
    """
    random = np.random.default_rng(seed)
    weights = np.where(is_first, 1 / p_first, 1 / (1 - p_first))
    count = int(people.max()) + 1
    sums = np.zeros((4, count))
    for place, (mask, value) in enumerate(
        ((is_first, y), (is_first, None), (~is_first, y), (~is_first, None))
    ):
        np.add.at(sums[place], people[mask], weights[mask] * (value[mask] if value is not None else 1))
    times = random.multinomial(count, np.full(count, 1 / count), size=draws)
    top_first, all_first, top_second, all_second = (times @ sums.T).T
    with np.errstate(invalid="ignore", divide="ignore"):
        differences = top_second / all_second - top_first / all_first
    differences = differences[np.isfinite(differences)]
    if count < 2 or differences.size < draws / 2:
        return float("nan"), float("nan")
    low, high = np.quantile(differences, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return float(low), float(high)


def run_randomisation_test(
    y: np.ndarray, is_first: np.ndarray, p_first: np.ndarray, prompts: np.ndarray, seed: int, draws: int
) -> float:
    """Compute the p-value of no effect at all, by drawing the arms again with the same probabilities.

    The outcomes are taken less the mean of their prompt, which no effect would leave as it is: prompts that
    are hard for everybody then do not hide a difference. All arrays have the shape (n,).
    """
    random = np.random.default_rng(seed)
    means = np.bincount(prompts, weights=y) / np.bincount(prompts)
    rest = y - means[prompts]

    def difference(first: np.ndarray) -> np.ndarray:
        w_first, w_second = first / p_first, (1 - first) / (1 - p_first)
        with np.errstate(invalid="ignore", divide="ignore"):
            found = (w_second @ rest) / w_second.sum(-1) - (w_first @ rest) / w_first.sum(-1)
        return np.asarray(np.nan_to_num(found))

    seen = abs(float(difference(is_first.astype(float)[None, :])[0]))
    drawn = np.concatenate(
        [
            np.abs(difference((random.random((part, len(y))) < p_first).astype(float)))
            for part in np.diff(np.append(np.arange(0, draws, 200), draws))
        ]
    )
    return float((1 + np.sum(drawn >= seen - 1e-12)) / (1 + draws))


def _compare_fitted(con: Store, study: str, first: str, second: str) -> FittedDifference | None:
    fits = query(con, "SELECT key FROM fits WHERE converged ORDER BY fitted_at DESC, key LIMIT 1")["key"]
    if fits.is_empty():
        return None
    ((pairs, mean, sd),) = query(
        con, _FITTED, {"study": study, "first": first, "second": second, "fit": fits[0]}
    ).rows()
    if not pairs:
        return None
    wide = 1.6449 * sd
    return FittedDifference(str(fits[0]), int(pairs), float(mean), float(mean - wide), float(mean + wide))
