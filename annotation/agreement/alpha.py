"""Agreement from how many annotators gave each answer to each unit, named or not.

    counts = [[3, 0, 0], [2, 1, 0]]    two units, three annotators, answers a, b, tie

Krippendorff's alpha (Content Analysis, 4th ed., 2019, ch. 12; "Computing Krippendorff's
Alpha-Reliability", 2011), Fleiss' kappa (Psychological Bulletin 76 (1971) 378-382), and how well
people foretell each other. Units with one answer say nothing about agreement and are left out.
"""

from collections.abc import Iterator

import numpy as np

from .intervals import Floats, IntervalEstimate, Ints, estimate, ratio, resampled

METRICS = ("nominal", "ordinal", "interval")
LEAST_FLEISS = 2  # answers a unit: Fleiss asks for the same number everywhere


def kinds_of_units(unit: Ints, value: Ints, size: int) -> tuple[Ints, Ints]:
    """Distinct rows of counts (kinds, size) of units with two answers or more, and how many have each.

    `unit` (answers,) numbers the units from 0, `value` (answers,) the answers from 0 to size - 1.
    """
    units = int(unit.max(initial=-1)) + 1
    table = np.bincount(unit * size + value, minlength=units * size).reshape(units, size)
    table = table[table.sum(axis=1) > 1]
    kinds, many = np.unique(table, axis=0, return_counts=True)
    return kinds.astype(np.int64), many.astype(np.int64)


def measures(
    kinds: Ints, many: Ints, values: Floats, seed: int, resamples: int
) -> dict[str, IntervalEstimate | None]:
    """Every measure below with its bootstrap interval over units, null where it is not defined.

    `kinds` (kinds, answers) and `many` (kinds,) as `kinds_of_units` gives them, `values` the number
    that each answer stands for (interval alpha). Resampling is seeded.
    """
    if not len(kinds):
        return {}
    point = _all(kinds, many[None, :].astype(np.float64), values)
    blocks = [_all(kinds, drawn, values) for drawn in resampled(many, seed, resamples)]
    return {
        name: estimate(float(found[0]), np.concatenate([block[name] for block in blocks]))
        for name, found in point.items()
    }


def _all(kinds: Ints, weights: Floats, values: Floats) -> dict[str, Floats]:
    found = {metric: alpha(kinds, weights, values, metric) for metric in METRICS}
    found |= dict(_shares(kinds, weights))
    if len({*kinds.sum(axis=1).tolist()}) == 1:
        found["fleiss"] = fleiss(kinds, weights)
    found["correlation"] = others_correlation(kinds, weights, values)
    return found


def alpha(kinds: Ints, weights: Floats, values: Floats, metric: str) -> Floats:
    """Krippendorff's alpha, one for each row of `weights` (rows, kinds): how many units are of a kind.

    1 - observed / expected disagreement. The ordinal metric is the interval metric of the answers'
    mid-ranks, so both need no table of coincidences. NaN where all answers are the same.
    """
    m = kinds.sum(axis=1)
    totals = weights @ kinds  # (rows, answers)
    n = totals.sum(axis=1)
    if metric == "nominal":
        apart = weights @ ((m**2 - (kinds**2).sum(axis=1)) / (m - 1))
        expected = ratio(n**2 - (totals**2).sum(axis=1), n - 1)
        return np.asarray(1 - ratio(apart, expected))
    ranks = np.cumsum(totals, axis=1) - totals / 2
    places = ranks if metric == "ordinal" else np.broadcast_to(values, totals.shape)
    places = places - ratio((places * totals).sum(axis=1), n)[:, None]  # centred: no cancellation
    squares = (places**2 * (weights @ (kinds * (m / (m - 1))[:, None]))).sum(axis=1)
    sums = kinds @ places.T  # (kinds, rows)
    apart = squares - (weights.T * sums**2 / (m - 1)[:, None]).sum(axis=0)
    expected = ratio(n * (totals * places**2).sum(axis=1), n - 1)
    return np.asarray(1 - ratio(np.maximum(apart, 0), expected))


def fleiss(kinds: Ints, weights: Floats) -> Floats:
    """Fleiss' kappa, where every unit has the same number of answers."""
    m = int(kinds[0].sum())
    agree = weights @ (kinds * (kinds - 1)).sum(axis=1) / (m * (m - 1)) / weights.sum(axis=1)
    chance = ((weights @ kinds / (weights.sum(axis=1) * m)[:, None]) ** 2).sum(axis=1)
    return ratio(agree - chance, 1 - chance)


def _shares(kinds: Ints, weights: Floats) -> Iterator[tuple[str, Floats]]:
    """Agreement of two, what chance would give, and the human ceiling.

    agreement   an answer drawn at random equals another annotator's about the same unit
    chance      two answers drawn from all are equal; (agreement - chance) / (1 - chance) is nominal alpha
    majority    an answer equals the most frequent one of the others (shared where several are)
    perfect     an answer equals the most frequent one of all, itself among them

    Nobody can foretell answers better than by naming each unit's likeliest one. `majority` guesses it
    from few answers, which falls short of that; `perfect` has seen the answer, which goes beyond: what
    a perfect judge could reach lies between the two.
    """
    m = kinds.sum(axis=1)
    answers = weights @ m
    yield "agreement", ratio(weights @ ((kinds * (kinds - 1)).sum(axis=1) / (m - 1)), answers)
    totals = weights @ kinds
    yield "chance", ratio((totals * (totals - 1)).sum(axis=1), answers * (answers - 1))
    yield "majority", ratio(weights @ foretold(kinds), answers)
    yield "perfect", ratio(weights @ kinds.max(axis=1), answers)


def foretold(kinds: Ints) -> Floats:
    """Answers (kinds,) that the most frequent one of the others foretells; a share where several are."""
    right = np.zeros(len(kinds))
    for answer in range(kinds.shape[1]):
        others = kinds.copy()
        others[:, answer] -= 1
        most = others.max(axis=1)
        hit = (others[:, answer] == most) / (others == most[:, None]).sum(axis=1)
        right += np.where(kinds[:, answer] > 0, kinds[:, answer] * hit, 0)
    return right


def others_correlation(kinds: Ints, weights: Floats, values: Floats) -> Floats:
    """Spearman's correlation of an answer and the mean of the others' about the same unit."""
    row, answer = np.nonzero(kinds)
    m = kinds.sum(axis=1)
    others = ((kinds @ values)[row] - values[answer]) / (m[row] - 1)
    _, place = np.unique(others.round(9), return_inverse=True)
    mass = weights[:, row] * kinds[row, answer]
    own, their = mid_ranks(mass, answer), mid_ranks(mass, place)
    total = mass.sum(axis=1, keepdims=True)
    own -= ratio((mass * own).sum(axis=1, keepdims=True), total)
    their -= ratio((mass * their).sum(axis=1, keepdims=True), total)
    spread = np.sqrt((mass * own**2).sum(axis=1) * (mass * their**2).sum(axis=1))
    return ratio((mass * own * their).sum(axis=1), spread)


def mid_ranks(mass: Floats, group: Ints) -> Floats:
    """Mid-rank (rows, members) of each member of a group, groups in order, members weighing `mass`."""
    order = np.argsort(group, kind="stable")
    starts = np.flatnonzero(np.diff(group[order], prepend=-1))
    of_group = np.add.reduceat(mass[:, order], starts, axis=1)
    ranks = np.cumsum(of_group, axis=1) - of_group / 2
    _, number = np.unique(group, return_inverse=True)
    return np.asarray(ranks[:, number])
