"""Score forecasts of answers: log-loss, AUC, calibration, coverage by learner, and paired differences."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

DRAWS = 400  # of clusters, anew
_LEAST_ANSWERS = 20  # of a learner whose sum is looked at


@dataclass(frozen=True)
class Scores:
    """Scores of one model; `difference` is of log-loss to the base, with its 90 % interval by clusters."""

    loss: float
    auc: float
    calibration: float
    covered: float
    difference: tuple[float, float, float]


def measure_loss(right: Floats, p: Floats) -> Floats:
    """Compute the log-loss of each answer, in nats."""
    q = np.clip(p, 1e-4, 1 - 1e-4)
    return -(right * np.log(q) + (1 - right) * np.log1p(-q))


def measure_auc(right: Floats, p: Floats) -> float:
    """Compute P(a right answer has a higher forecast than a wrong one)."""
    _, group = np.unique(p, return_inverse=True)
    won = np.bincount(group, right)
    lost = np.bincount(group, 1 - right)
    below = np.cumsum(lost) - lost
    return float((won * (below + lost / 2)).sum() / (won.sum() * lost.sum()))


def measure_calibration(right: Floats, p: Floats, bins: int = 15) -> float:
    """Compute the expected calibration error over bins of equal count."""
    place = np.empty(len(p), int)
    place[np.argsort(p, kind="stable")] = np.arange(len(p)) * bins // len(p)
    return float(np.abs(np.bincount(place, right) - np.bincount(place, p)).sum() / len(p))


def measure_coverage(right: Floats, p: Floats, cluster: Ints) -> tuple[float, int]:
    """Share of clusters of 20 answers or more whose sum of (y - p) is within 1.645 sd; and how many they are.

    If forecasts are honest, the sum is a martingale with variance sum of p (1 - p), and the share is 0.90.
    """
    n = np.bincount(cluster)
    total, variance = np.bincount(cluster, right - p), np.bincount(cluster, p * (1 - p))
    some = n >= _LEAST_ANSWERS
    return float((np.abs(total[some]) < 1.6449 * np.sqrt(variance[some])).mean()), int(some.sum())


def compare(
    right: Floats, forecasts: Mapping[str, Floats], cluster: Ints, base: str, seed: int = 0
) -> dict[str, Scores]:
    """Score every model, and compare its log-loss with the base's on the same draws of clusters."""
    _, cluster = np.unique(cluster, return_inverse=True)
    size = int(cluster.max()) + 1
    rng = np.random.default_rng(seed)
    weights = np.stack([np.bincount(rng.integers(0, size, size), minlength=size) for _ in range(DRAWS)])
    counts = np.bincount(cluster, minlength=size)
    reference = measure_loss(right, forecasts[base])
    found = {}
    for name, p in forecasts.items():
        apart = np.bincount(cluster, measure_loss(right, p) - reference, size)
        drawn = (weights @ apart) / (weights @ counts)
        low, high = np.quantile(drawn, [0.05, 0.95])
        found[name] = Scores(
            float(measure_loss(right, p).mean()),
            measure_auc(right, p),
            measure_calibration(right, p),
            measure_coverage(right, p, cluster)[0],
            (float(apart.sum() / counts.sum()), float(low), float(high)),
        )
    return found


def write_lines(found: Mapping[str, Scores]) -> list[tuple[str, ...]]:
    """Write a table's lines: model, log-loss, difference and interval, AUC, calibration, coverage."""

    def apart(d: tuple[float, float, float]) -> str:
        return f"{d[0]:+.4f} ({d[1]:+.4f} to {d[2]:+.4f})" if any(d) else "—"

    return [
        (n, f"{s.loss:.4f}", apart(s.difference), f"{s.auc:.4f}", f"{s.calibration:.4f}", f"{s.covered:.3f}")
        for n, s in found.items()
    ]


def mix(*forecasts: Any) -> Floats:
    """Average forecasts on the logit scale."""
    logits = [np.log(q / (1 - q)) for q in (np.clip(p, 1e-4, 1 - 1e-4) for p in forecasts)]
    return np.asarray(1 / (1 + np.exp(-np.mean(logits, axis=0))))
