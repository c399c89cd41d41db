"""Recall of cards on an Anki log: ours beside FSRS-6, default and fitted, HLR and moving averages.

FSRS-6 is fitted by the package fsrs-optimizer (15 epochs, weights by recency), in an environment of its own
with PyTorch; `PRECEPTOR_BENCH_PEERS` names the folder that it lies in.
"""

import os
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from scipy.optimize import minimize
from sklearn.model_selection import TimeSeriesSplit

from preceptor.toolkit.cli.options import open_stderr
from preceptor.toolkit.ingest.run import ingest_files
from preceptor.toolkit.practice.learners.fit import fit_memory
from preceptor.toolkit.practice.learners.memory.model import SAME_DAY_WEIGHT
from preceptor.toolkit.practice.learners.memory.reviews import CardReviews, follow_cards, order_reviews
from preceptor.toolkit.store.connection import open_store, query

from ..fusion.part import Found
from ..inputs import SHARED
from .score import Floats, Ints, compare, write_lines

FOLDS = 5
ASIDE_MS = 1_744_761_600_000  # from 2025-04-16, the last 15 of 96 days; the file ends on 2025-04-30
EPOCHS = 15
COLUMNS = ("model", "log-loss", "less fitted FSRS-6's", "AUC", "calibration error", "days covered (0.90)")
_BASE = "FSRS-6 fitted, recency, 15 epochs"


def read_cards() -> CardReviews:
    """Read the shared Anki log."""
    with tempfile.TemporaryDirectory() as folder, open_store(Path(folder) / "s.duckdb", create=True) as con:
        ingest_files(con, "anki", [SHARED / "anki-revlog"], "s")
        events = query(
            con,
            """SELECT learner, item, correct, grade, duration_ms, "at", key FROM reviews
            WHERE correct IS NOT NULL ORDER BY "at", path, line""",
        )
    return order_reviews(events)


def cards(quick: bool) -> Found:
    """Fit to the past, foretell the future: five folds in time, then the days kept aside."""
    reviews = read_cards()
    rows = reviews.rows
    days, right = rows["days"].to_numpy(), rows["right"].to_numpy()
    targets = np.flatnonzero(days > 0)
    early = targets[rows["ms"].to_numpy()[targets] < ASIDE_MS]
    late = np.setdiff1d(targets, early)
    splits = [(early[a], early[b]) for a, b in TimeSeriesSplit(FOLDS).split(early)]
    told: dict[str, Floats] = {}
    for n, (past, future) in enumerate([*splits, (early, late)]):
        if quick and n:
            break
        found = _foretell(reviews, past, future, quick)
        for name, p in found.items():
            told.setdefault(name, np.full(rows.height, np.nan))[future] = p
        y = right[future]
        said = {name: round(float(-np.log(np.where(y > 0, p, 1 - p)).mean()), 4) for name, p in found.items()}
        open_stderr().print(f"fold {n}: {said}")
    base = _BASE if _BASE in told else "FSRS-6 default"
    lines: list[tuple[str, ...]] = []
    for title, some in (("five folds in time", np.concatenate([b for _, b in splits])), ("kept aside", late)):
        ok = some[np.isfinite(told["ours"][some])]
        if not len(ok):
            continue
        scores = compare(
            right[ok], {name: p[ok] for name, p in told.items()}, rows["day"].to_numpy()[ok], base
        )
        n_days = len(np.unique(rows["day"].to_numpy()[ok]))
        lines.append((f"**{title}**: {len(ok):,} reviews on {n_days} days", *[""] * 5))
        lines += write_lines(scores)
    return Found(
        "recall of cards",
        f"One person's Anki log: {rows.height:,} reviews of {reviews.cards.height:,} cards; scored are reviews a day "
        f"or more after the card's last ({len(targets):,}). Folds as TimeSeriesSplit(5) before 2025-04-16; the days "
        "from then on were kept aside (the shared file ends on 2025-04-30, so what its owner keeps from May on is not "
        "in it). Parameters from the past part, states moved by every review. Intervals: 90 %, days drawn anew 400 "
        "times.",
        COLUMNS,
        lines,
    )


def _foretell(reviews: CardReviews, past: Ints, future: Ints, quick: bool) -> dict[str, Floats]:
    rows = reviews.rows
    days, right = rows["days"].to_numpy(), rows["right"].to_numpy()
    weights = np.zeros(rows.height)
    weights[past] = 1.0
    same = (days == 0) & (rows["nth"].to_numpy() > 0) & (np.arange(rows.height) < future[0])
    weights[same] = SAME_DAY_WEIGHT
    found = {}
    for name, times in (("ours", True), ("ours without answer times", False)):
        p, _ = fit_memory(reviews, weights, times=times, steps=5 if quick else 150)
        used = (
            reviews
            if times
            else CardReviews(reviews.cards, rows.with_columns(pl.lit(0.0).alias("slowness")), reviews.clocks)
        )
        found[name] = follow_cards(p, used)[0].p[future]
    found["FSRS-6 default"] = 1 / (1 + np.exp(-rows["before"].to_numpy()[future]))
    found["HLR"] = _half_life(rows, past, future)
    found["moving average"] = _average(right, past, future)
    if os.environ.get("PRECEPTOR_BENCH_PEERS"):
        found[_BASE] = _fit_fsrs(rows, past, future, 1 if quick else EPOCHS)
    return found


def _average(right: Floats, past: Ints, future: Ints) -> Floats:
    """A moving average over the reviews that are scored, its step chosen on the past."""
    both = np.concatenate([past, future])

    def run(step: float) -> Floats:
        means, now = np.empty(len(both)), 0.9
        for n, row in enumerate(both):
            means[n] = now
            now += step * (right[row] - now)
        return means

    def lose(p: Floats) -> float:
        return float(-np.log(np.where(right[past] > 0, p[: len(past)], 1 - p[: len(past)])).mean())

    return min(map(run, (0.003, 0.01, 0.03, 0.1)), key=lose)[len(past) :]


def _half_life(rows: pl.DataFrame, past: Ints, future: Ints) -> Floats:
    """Half-life regression: 2^(-days / h), log2 h linear in roots of past successes and failures."""
    counted = rows.select(
        (pl.col("right").cum_sum().over("card") - pl.col("right")).alias("won"), "nth", "days", "right"
    )
    won, nth = counted["won"].to_numpy(), counted["nth"].to_numpy()
    x = np.c_[np.ones(len(won)), np.sqrt(won), np.sqrt(nth - won), np.log1p(nth)]
    days, y = counted["days"].to_numpy(), counted["right"].to_numpy()

    def recall(w: Floats, of: Ints) -> Floats:
        return np.asarray(np.clip(2.0 ** (-days[of] / 2.0 ** np.clip(x[of] @ w, -3, 14)), 1e-4, 1 - 1e-4))

    def lose(w: Floats) -> float:
        p = recall(w, past)
        return float(-np.log(np.where(y[past] > 0, p, 1 - p)).mean() + 1e-5 * (w @ w))

    best = minimize(lose, np.array([4.0, 0.5, -0.3, 0.2]), method="Nelder-Mead", options={"maxiter": 800})
    return recall(best.x, future)


def _fit_fsrs(rows: pl.DataFrame, past: Ints, future: Ints, epochs: int) -> Floats:
    """FSRS-6 with parameters fitted to the past, later reviews weighing more, as fsrs-optimizer trains it."""
    if os.environ["PRECEPTOR_BENCH_PEERS"] not in sys.path:
        sys.path.append(os.environ["PRECEPTOR_BENCH_PEERS"])
    import pandas as pd
    import torch
    from fsrs_optimizer.fsrs_optimizer import (
        DEFAULT_PARAMETER,
        Collection,
        Trainer,
        power_forgetting_curve,
    )

    histories: dict[int, list[list[float]]] = {}
    tensors: list[Any] = []
    for card, days, grade in rows.select("card", "days", "grade").rows():
        history = histories.setdefault(card, [])
        tensors.append(torch.tensor(history, dtype=torch.float32) if history else None)
        history.append([days, grade])
    days, y = rows["days"].to_numpy().astype(float), rows["right"].to_numpy()

    def frame(of: Ints) -> Any:
        return pd.DataFrame({"tensor": [tensors[i] for i in of], "delta_t": days[of], "y": y[of], "i": of})

    train = frame(past)
    train["weights"] = 0.25 + 0.75 * np.linspace(0, 1, len(train)) ** 3
    torch.manual_seed(1)
    trainer = Trainer(train, None, list(DEFAULT_PARAMETER), n_epoch=epochs, lr=4e-2, batch_size=512)
    w = [float(x) for x in trainer.train(verbose=False)]
    stability, _ = Collection(w).batch_predict(frame(future))
    return np.asarray(power_forgetting_curve(days[future], np.array(stability), -w[20]))
