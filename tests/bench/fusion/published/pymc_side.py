"""The published SMART model in PyMC, run in an environment of its own: python pymc_side.py IN OUT.

A program that stands alone, since that environment has neither this package nor JAX. The model is that
of smart_model.py with the published likelihoods row by row (multinomials, a geometric per learner),
PyMC's own default sampler and starting points, one core. IN is an .npz of arrays:

    items (1,)  vote_first vote_second (rows,)  vote_counts (rows, 3)
    rating_item (rows,)  rating_totals (rows, levels): running totals   turns_item turns (tries,)
    seed chains draws (1,)

OUT is an .npz: draws (chains, draws, parameters), cpu_s of the sampling, cpu_compile_s before it.
"""

import resource
import sys

import numpy as np
import pymc as pm  # type: ignore[import-not-found]


def cpu_seconds() -> float:
    """CPU seconds of this process (all threads) and of the children it waited for, compilers among them."""
    uses = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(use.ru_utime + use.ru_stime for use in uses)


def main(source: str, target: str) -> None:
    """Compile, sample, and keep the draws of every parameter."""
    data = dict(np.load(source))
    seed, chains, draws = (int(data[name][0]) for name in ("seed", "chains", "draws"))
    seeds = list(range(seed * chains, (seed + 1) * chains))
    began = cpu_seconds()
    with model(data):
        points, step = pm.init_nuts(init="auto", chains=chains, random_seed=seeds, progressbar=False)
        compiled = cpu_seconds()
        trace = pm.sample(
            draws,
            tune=draws,
            chains=chains,
            cores=1,
            step=step,
            initvals=points,
            random_seed=seeds,
            progressbar=False,
            compute_convergence_checks=False,
            discard_tuned_samples=True,
        )
    done = cpu_seconds()
    sites = [trace.posterior[name].to_numpy() for name in sorted(trace.posterior.data_vars)]
    np.savez(
        target,
        draws=np.concatenate([site.reshape(*site.shape[:2], -1) for site in sites], axis=2),
        cpu_s=done - compiled,
        cpu_compile_s=compiled - began,
    )


def model(data: dict[str, np.ndarray]) -> "pm.Model":
    """The model given the data; see the docstrings of this module and of smart_model.py."""
    first, second = data["vote_first"], data["vote_second"]
    counts, totals = data["vote_counts"], data["rating_totals"]
    with pm.Model() as made:
        x = pm.Beta("x", 1, 1, shape=int(data["items"][0]))

        slope, intercept = line("vote")
        weights = [pm.math.sigmoid(slope * x[side] + intercept) for side in (first, second)]
        tie = pm.Beta("tie", 1, 1) * np.ones(len(first))
        weights = pm.math.stack([*weights, tie], axis=1)
        shares = weights / weights.sum(axis=1, keepdims=True)
        pm.Multinomial("votes", n=counts.sum(axis=1), p=shares, observed=counts)

        slope, intercept = line("rating", shape=totals.shape[1] - 1)
        scores = pm.math.sigmoid(slope * x[data["rating_item"]][:, None] + intercept)
        scores = pm.math.concatenate([np.zeros((len(totals), 1)), scores], axis=1)
        levels = pm.math.softmax(scores, axis=1)
        pm.Multinomial("ratings", n=totals.sum(axis=1), p=levels, observed=totals)

        slope, intercept = line("turns")
        success = pm.math.sigmoid(slope * x[data["turns_item"]] + intercept)
        pm.NegativeBinomial("turns", n=1, p=success, observed=data["turns"])
    return made


def line(name: str, **shape: int) -> list[object]:
    """A slope and an intercept ~ N(0, 1); the sign of the slope is free."""
    return [pm.Normal(f"{name}_{part}", 0, 1, **shape) for part in ("slope", "intercept")]


if __name__ == "__main__":
    main(*sys.argv[1:])
