"""Peers on answers to skills: boosted trees and logistic regressions on counts, moving averages, BKT by EM.

All are fitted to the training learners alone, and foretell a learner's answer from that learner's earlier
ones.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
import scipy.sparse as sp
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.linear_model import LogisticRegression

from preceptor.toolkit.practice.learners.mastery.answers import Answers

from .score import Floats, Ints, measure_loss


@dataclass(frozen=True)
class History:
    """Counts before each answer (rows, 14), the set of skills, the learner and the answer."""

    counts: Floats
    of: Ints
    learner: Ints
    right: Floats
    sets: int


def count_history(answers: Answers) -> History:
    """Count each learner's past: wins and losses on the set, in all, on its skills; moving means; gap; position."""
    skills = answers.questions["skills"].to_list()
    names = {name: k for k, name in enumerate(dict.fromkeys(answers.questions["set"]))}
    of_question = np.array([names[s] for s in answers.questions["set"]])
    rows = answers.rows
    question, learner = rows["question"].to_numpy(), rows["learner"].to_numpy()
    right = rows["right"].to_numpy()
    counts = np.zeros((len(right), 14))
    who = -1
    for i, (q, owner, y) in enumerate(zip(question, learner, right, strict=True)):
        k, own = of_question[q], skills[q]
        if owner != who:
            who, t, w, f = owner, 0, 0.0, 0.0
            won, lost, mean, last, base_won, base_lost = {}, {}, {}, {}, {}, {}  # type: ignore[var-annotated]
            slow = quick = 0.65
            before, before_set = 0.65, -1
        counts[i] = [
            *(won.get(k, 0), lost.get(k, 0), w, f, slow, mean.get(k, slow)),
            np.mean([base_won.get(s, 0) for s in own]),
            np.mean([base_lost.get(s, 0) for s in own]),
            *(
                min(t - last.get(k, t - 1) - 1, 200),
                float(k not in last),
                t,
                quick,
                before,
                float(k == before_set),
            ),
        ]
        slow, quick = slow + 0.1 * (y - slow), quick + 0.3 * (y - quick)
        mean[k] = (m := mean.get(k, slow)) + 0.25 * (y - m)
        w, f, won[k], lost[k], last[k] = w + y, f + 1 - y, won.get(k, 0) + y, lost.get(k, 0) + 1 - y, t
        for s in own:
            base_won[s], base_lost[s] = base_won.get(s, 0) + y, base_lost.get(s, 0) + 1 - y
        before, before_set, t = y, k, t + 1
    return History(counts, of_question[question], learner, right, len(names))


def _logit(p: Floats) -> Floats:
    q = np.clip(p, 0.03, 0.97)
    return np.asarray(np.log(q / (1 - q)))


def foretell(history: History, train: Any, test: Any) -> dict[str, Floats]:
    """Foretell the test rows (masks over rows) by every peer fitted to the training rows."""
    x, k, y = history.counts, history.of, history.right
    mean = y[train].mean()
    share = (np.bincount(k[train], y[train], history.sets) + 10 * mean) / (
        np.bincount(k[train], minlength=history.sets) + 10
    )
    level = np.log(share / (1 - share))
    logs = np.log1p(x[:, [0, 1, 2, 3, 6, 7]])
    hot = sp.csr_matrix((np.ones(len(k)), (np.arange(len(k)), k)), shape=(len(k), history.sets))
    means = np.c_[
        _logit((x[:, 2] + 2 * mean) / (x[:, 2] + x[:, 3] + 2)),
        _logit((x[:, 0] + 2 * mean) / (x[:, 0] + x[:, 1] + 2)),
    ]
    recent = np.c_[
        logs,
        *(_logit(x[:, c]) for c in (4, 5, 11)),
        np.log1p(x[:, 8]),
        x[:, [9, 12, 13]],
        x[:, 12] * x[:, 13],
        means,
    ]
    per_set = [sp.diags(logs[:, c]) @ hot for c in (0, 1)]
    best = sp.hstack([hot, sp.csr_matrix(recent), *per_set]).tocsr()
    regression = LogisticRegression(C=0.3, max_iter=600).fit(best[train], y[train])
    trees = HistGradientBoostingClassifier(
        max_iter=150,
        learning_rate=0.06,
        max_leaf_nodes=12,
        min_samples_leaf=60,
        l2_regularization=5.0,
        random_state=0,
    )
    wide = np.c_[x, means, level[k]]
    trees.fit(wide[train], y[train])
    return {
        "boosted trees": trees.predict_proba(wide[test])[:, 1],
        "R-PFA + Best-LR": regression.predict_proba(best[test])[:, 1],
        "BKT (own EM)": foretell_by_bkt(history, train)[test],
        "moving average, learner × skill": _average(x, k, y, share, mean, train)[test],
    }


def _average(x: Floats, k: Ints, y: Floats, share: Floats, mean: float, train: Any) -> Floats:
    own = (x[:, 2] + 3 * mean) / (x[:, 2] + x[:, 3] + 3)
    start = 1 / (1 + np.exp(-(_logit(own) + np.log(share / (1 - share))[k] - np.log(mean / (1 - mean)))))

    def shrunk(n: int) -> Floats:
        return np.asarray((x[:, 0] + n * start) / (x[:, 0] + x[:, 1] + n))

    return min(
        (shrunk(n) for n in (1, 2, 4, 8, 16, 32)), key=lambda p: measure_loss(y[train], p[train]).mean()
    )


def foretell_by_bkt(history: History, train: Any, rounds: int = 40) -> Floats:
    """Foretell by Bayesian knowledge tracing, one chain a learner and set, its parameters by EM with weak priors."""
    k, y, m = history.of, history.right, history.sets
    key = history.learner * m + k
    order = np.argsort(key, kind="stable")
    chains, first, length = np.unique(key[order], return_index=True, return_counts=True)
    row = np.empty(len(y), int)
    row[order] = np.repeat(np.arange(len(chains)), length)
    at = np.empty(len(y), int)
    at[order] = np.arange(len(y)) - np.repeat(first, length)
    table = np.full((len(chains), length.max()), -1.0)
    table[row, at] = y
    of = chains % m
    mine = np.zeros(len(chains), bool)
    mine[row[train]] = True
    theta = np.repeat([[0.4], [0.15], [0.25], [0.12]], m, axis=1)  # known at first, learnt, guess, slip
    for _ in range(rounds):
        theta = _improve(theta, table[mine], of[mine], m)
    return _walk(theta, table, of)[0][row, at]


def _walk(theta: Floats, table: Floats, of: Ints) -> tuple[Floats, Floats]:
    """P(right) before, and P(known) before, each answer of each chain."""
    start, learn, guess, slip = theta[:, of]
    known = np.empty(table.shape)
    p = np.empty(table.shape)
    now = start
    for t in range(table.shape[1]):
        known[:, t] = now
        p[:, t] = now * (1 - slip) + (1 - now) * guess
        after = np.where(
            table[:, t] == 1, now * (1 - slip) / p[:, t], now * slip / np.maximum(1 - p[:, t], 1e-9)
        )
        now = np.where(table[:, t] >= 0, after + (1 - after) * learn, now)
    return p, known


def _improve(theta: Floats, table: Floats, of: Ints, m: int) -> Floats:
    """One round of EM: forward and backward over all chains at once."""
    _, learn, guess, slip = theta[:, of]
    there = table >= 0
    hit = np.where(table == 1, 1 - slip[:, None], np.where(there, slip[:, None], 1.0))
    miss = np.where(table == 1, guess[:, None], np.where(there, 1 - guess[:, None], 1.0))
    _, known = _walk(theta, table, of)
    ahead = np.ones((*table.shape, 2))  # likelihood of what follows, if known and if not
    for t in range(table.shape[1] - 2, -1, -1):
        k1, k0 = hit[:, t + 1] * ahead[:, t + 1, 0], miss[:, t + 1] * ahead[:, t + 1, 1]
        ahead[:, t, 0], ahead[:, t, 1] = k1, learn * k1 + (1 - learn) * k0
        ahead[:, t] /= ahead[:, t].sum(1, keepdims=True)
    one = known * hit * ahead[..., 0]
    zero = (1 - known) * miss * ahead[..., 1]
    smooth = one / (one + zero)
    stay = (1 - known[:, :-1]) * miss[:, :-1]
    moved = stay * learn[:, None] * hit[:, 1:] * ahead[:, 1:, 0]
    kept = stay * (1 - learn)[:, None] * miss[:, 1:] * ahead[:, 1:, 1]
    had = known[:, :-1] * hit[:, :-1] * hit[:, 1:] * ahead[:, 1:, 0]
    total = np.maximum(moved + kept + had, 1e-300)
    gone, left = (np.where(there[:, 1:], part / total, 0).sum(1) for part in (moved, kept))

    def add(values: Floats) -> Floats:
        return np.asarray(np.bincount(of, values, m), float)

    new = np.stack(
        [
            (add(smooth[:, 0]) + 0.8) / (add(np.ones(len(of))) + 2),
            (add(gone) + 0.3) / (add(gone + left) + 2),
            (add(((1 - smooth) * (table == 1)).sum(1)) + 0.5) / (add(((1 - smooth) * there).sum(1)) + 2),
            (add((smooth * (table == 0)).sum(1)) + 0.25) / (add((smooth * there).sum(1)) + 2),
        ]
    )
    new = np.clip(new, 1e-3, 0.999)
    new[2], new[3] = np.minimum(new[2], 0.5), np.minimum(new[3], 0.4)
    return new
