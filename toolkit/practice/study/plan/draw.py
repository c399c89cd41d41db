"""With what probability each explanation of a prompt is drawn.

uniform    all alike
thompson   as probable as it is, by a fit, that it is the best of its prompt, and no less than a floor;
           prompts whose best one the fit knows well enough come after those where it does not

Probabilities change at a push alone, so what is kept with an answer is what it was drawn by.
"""

import numpy as np
import polars as pl

from .....schemas.errors import StudyError
from ....store.connection import Store, query

UNIFORM, THOMPSON = "uniform", "thompson"
POLICIES = (UNIFORM, THOMPSON)
FLOOR = 0.1  # share that is drawn uniformly, so that no explanation is given up for good
MARGIN, SURE = 0.2, 0.95  # a prompt is settled if its choice is within so many log-odds of the best, surely
_DRAWS = 4000


def find_newest_fit(con: Store, fit: str | None = None) -> str:
    """Find the newest fit that converged, or the one whose key begins so. Raises StudyError without one."""
    keys = query(
        con,
        """SELECT key FROM fits WHERE converged AND ($fit::VARCHAR IS NULL OR starts_with(key, $fit))
        ORDER BY fitted_at DESC, key LIMIT 1""",
        {"fit": fit},
    )["key"]
    if keys.is_empty():
        raise StudyError(
            f"--assign thompson: no fit{f' {fit}' if fit else ''} that converged; preceptor fuse makes one, "
            "or begin with --assign uniform"
        )
    return str(keys[0])


def compute_propensities(
    con: Store, arms: pl.DataFrame, policy: str, fit: str | None, seed: int
) -> pl.DataFrame:
    """Add `propensity`, `policy`, `fit` and `settled` to arms (prompt, completion, …).

    The propensities of a prompt add up to 1.

    A prompt with explanations that the fit does not know is drawn uniformly. Raises StudyError for a missing
    fit.
    """
    if policy == UNIFORM:
        alike = (1 / pl.len()).over("prompt")
        return arms.with_columns(
            alike.alias("propensity"),
            pl.lit(UNIFORM).alias("policy"),
            pl.lit(None, pl.String).alias("fit"),
            pl.lit(False).alias("settled"),
        )
    key = find_newest_fit(con, fit)
    known = query(con, "SELECT completion, mean, sd FROM effectiveness WHERE fit = ?", [key])
    joined = arms.join(known, on="completion", how="left", maintain_order="left").sort("prompt", "completion")
    random = np.random.default_rng(seed)
    parts = []
    for _, rows in joined.group_by("prompt", maintain_order=True):
        unknown = rows["mean"].null_count() > 0
        means, sds = rows["mean"].fill_null(0).to_numpy(), rows["sd"].fill_null(1).to_numpy()
        shares = np.full(rows.height, 1 / rows.height) if unknown else compute_shares(means, sds, random)
        parts.append(
            rows.drop("mean", "sd").with_columns(
                pl.Series("propensity", shares),
                pl.lit(UNIFORM if unknown else THOMPSON).alias("policy"),
                pl.lit(None if unknown else key, pl.String).alias("fit"),
                pl.lit(not unknown and is_settled(means, sds, random)).alias("settled"),
            )
        )
    return pl.concat(parts)


def is_settled(means: np.ndarray, sds: np.ndarray, random: np.random.Generator) -> bool:
    """True if the arm with the highest mean is surely about as good as the best; shape (arms,) each."""
    sample = random.normal(means, sds, (_DRAWS, len(means)))
    return bool((sample[:, int(means.argmax())] >= sample.max(1) - MARGIN).mean() >= SURE)


def compute_shares(means: np.ndarray, sds: np.ndarray, random: np.random.Generator) -> np.ndarray:
    """Compute probabilities of being drawn from normal posteriors: shape (arms,), they add up to 1.

    Half of the draws go to the best one of a sample, half to its best rival (top-two sampling): the best
    alone would leave too few to compare it with.
    """
    if len(means) == 1:
        return np.ones(1)
    sample = random.normal(means, sds, (_DRAWS, len(means)))
    best = np.bincount(sample.argmax(1), minlength=len(means)) / _DRAWS
    best = (best + 1e-3) / (best + 1e-3).sum()
    # The rival is drawn again until it is another one: its chance is that of the best among the others.
    rival = sum(
        best[k] * np.where(np.arange(len(best)) == k, 0, best) / (1 - best[k]) for k in range(len(best))
    )
    shares = (best + rival) / 2
    return np.asarray((1 - FLOOR) * shares + FLOOR / len(best))
