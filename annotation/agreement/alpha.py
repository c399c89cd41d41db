"""Agreement from how many annotators gave each answer to each unit, named or not.

    counts = [[3, 0, 0], [2, 1, 0]]    two units, three annotators, answers a, b, tie

Krippendorff's alpha (Content Analysis, 4th ed., 2019, ch. 12; "Computing Krippendorff's
Alpha-Reliability", 2011), Fleiss' kappa (Psychological Bulletin 76 (1971) 378-382), and how well
people predict each other. Units with one answer say nothing about agreement and are left out.
"""

from collections.abc import Iterator

import numpy as np

from .intervals import Floats, IntervalEstimate, Ints, divide_or_nan, estimate_from_draws, resample

METRICS = ("nominal", "ordinal", "interval")
LEAST_FLEISS = 2  # answers a unit: Fleiss asks for the same number everywhere


def count_kinds(unit: Ints, value: Ints, size: int) -> tuple[Ints, Ints]:
    """Count the units with two answers or more by their counts: (kinds, size) distinct rows, (kinds,) units.

    `unit` (answers,) numbers the units from 0, `value` (answers,) the answers from 0 to size - 1.
    """
    units = int(unit.max(initial=-1)) + 1
    table = np.bincount(unit * size + value, minlength=units * size).reshape(units, size)
    table = table[table.sum(axis=1) > 1]
    kinds, many = np.unique(table, axis=0, return_counts=True)
    return kinds.astype(np.int64), many.astype(np.int64)


def compute_measures(
    kinds: Ints, many: Ints, values: Floats, seed: int, resamples: int
) -> dict[str, IntervalEstimate | None]:
    """Compute every measure below with its bootstrap interval over units, None if it is not defined.

    `kinds` (kinds, answers) and `many` (kinds,) as `count_kinds` returns them, `values` the number
    of each answer (interval alpha). Resampling is seeded.
    """
    if not len(kinds):
        return {}
    point = _all(kinds, many[None, :].astype(np.float64), values)
    blocks = [_all(kinds, drawn, values) for drawn in resample(many, seed, resamples)]
    return {
        name: estimate_from_draws(float(found[0]), np.concatenate([block[name] for block in blocks]))
        for name, found in point.items()
    }


def _all(kinds: Ints, weights: Floats, values: Floats) -> dict[str, Floats]:
    found = {metric: compute_alpha(kinds, weights, values, metric) for metric in METRICS}
    found |= dict(_shares(kinds, weights))
    if len({*kinds.sum(axis=1).tolist()}) == 1:
        found["fleiss"] = compute_fleiss(kinds, weights)
    found["correlation"] = correlate_with_others(kinds, weights, values)
    return found


def compute_alpha(kinds: Ints, weights: Floats, values: Floats, metric: str) -> Floats:
    """Compute Krippendorff's alpha (rows,) for each row of `weights` (rows, kinds): units of each kind.

    1 - observed / expected disagreement. The ordinal metric is the interval metric of the answers'
    mid-ranks, so both need no table of coincidences. NaN if all answers are the same.
    """
    m = kinds.sum(axis=1)
    totals = weights @ kinds  # (rows, answers)
    n = totals.sum(axis=1)
    if metric == "nominal":
        apart = weights @ ((m**2 - (kinds**2).sum(axis=1)) / (m - 1))
        expected = divide_or_nan(n**2 - (totals**2).sum(axis=1), n - 1)
        return np.asarray(1 - divide_or_nan(apart, expected))
    ranks = np.cumsum(totals, axis=1) - totals / 2
    places = ranks if metric == "ordinal" else np.broadcast_to(values, totals.shape)
    places = places - divide_or_nan((places * totals).sum(axis=1), n)[:, None]  # centred: no cancellation
    squares = (places**2 * (weights @ (kinds * (m / (m - 1))[:, None]))).sum(axis=1)
    sums = kinds @ places.T  # (kinds, rows)
    apart = squares - (weights.T * sums**2 / (m - 1)[:, None]).sum(axis=0)
    expected = divide_or_nan(n * (totals * places**2).sum(axis=1), n - 1)
    return np.asarray(1 - divide_or_nan(np.maximum(apart, 0), expected))


def compute_fleiss(kinds: Ints, weights: Floats) -> Floats:
    """Compute Fleiss' kappa (rows,), where every unit has the same number of answers."""
    m = int(kinds[0].sum())
    agree = weights @ (kinds * (kinds - 1)).sum(axis=1) / (m * (m - 1)) / weights.sum(axis=1)
    chance = ((weights @ kinds / (weights.sum(axis=1) * m)[:, None]) ** 2).sum(axis=1)
    return divide_or_nan(agree - chance, 1 - chance)


def _shares(kinds: Ints, weights: Floats) -> Iterator[tuple[str, Floats]]:
    """Agreement of two, what chance would give, and the human ceiling.

    agreement   an answer drawn at random equals another annotator's about the same unit
    chance      two answers drawn from all are equal; (agreement - chance) / (1 - chance) is nominal alpha
    majority    an answer equals the most frequent one of the others (shared where several are)
    perfect     an answer equals the most frequent one of all, itself among them

    The best prediction is each unit's likeliest answer. `majority` estimates it from few answers and is
    too low; `perfect` has seen the answer and is too high: a perfect judge lies between the two.
    """
    m = kinds.sum(axis=1)
    answers = weights @ m
    yield "agreement", divide_or_nan(weights @ ((kinds * (kinds - 1)).sum(axis=1) / (m - 1)), answers)
    totals = weights @ kinds
    yield "chance", divide_or_nan((totals * (totals - 1)).sum(axis=1), answers * (answers - 1))
    yield "majority", divide_or_nan(weights @ count_foretold(kinds), answers)
    yield "perfect", divide_or_nan(weights @ kinds.max(axis=1), answers)


def count_foretold(kinds: Ints) -> Floats:
    """Count answers (kinds,) that equal the most frequent one of the others; a share of 1 if tied."""
    right = np.zeros(len(kinds))
    for answer in range(kinds.shape[1]):
        others = kinds.copy()
        others[:, answer] -= 1
        most = others.max(axis=1)
        hit = (others[:, answer] == most) / (others == most[:, None]).sum(axis=1)
        right += np.where(kinds[:, answer] > 0, kinds[:, answer] * hit, 0)
    return right


def correlate_with_others(kinds: Ints, weights: Floats, values: Floats) -> Floats:
    """Compute Spearman's correlation (rows,) of an answer and the others' mean about the same unit."""
    row, answer = np.nonzero(kinds)
    m = kinds.sum(axis=1)
    others = ((kinds @ values)[row] - values[answer]) / (m[row] - 1)
    _, place = np.unique(others.round(9), return_inverse=True)
    mass = weights[:, row] * kinds[row, answer]
    own, their = compute_mid_ranks(mass, answer), compute_mid_ranks(mass, place)
    total = mass.sum(axis=1, keepdims=True)
    own -= divide_or_nan((mass * own).sum(axis=1, keepdims=True), total)
    their -= divide_or_nan((mass * their).sum(axis=1, keepdims=True), total)
    spread = np.sqrt((mass * own**2).sum(axis=1) * (mass * their**2).sum(axis=1))
    return divide_or_nan((mass * own * their).sum(axis=1), spread)


def compute_mid_ranks(mass: Floats, group: Ints) -> Floats:
    """Compute the mid-rank (rows, members) of each member of a group; members weigh `mass`."""
    order = np.argsort(group, kind="stable")
    starts = np.flatnonzero(np.diff(group[order], prepend=-1))
    of_group = np.add.reduceat(mass[:, order], starts, axis=1)
    ranks = np.cumsum(of_group, axis=1) - of_group / 2
    _, number = np.unique(group, return_inverse=True)
    return np.asarray(ranks[:, number])
