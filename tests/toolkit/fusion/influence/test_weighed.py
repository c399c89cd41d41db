"""A vote that is part of a ranking weighs in influence what it weighs in the fit."""

import numpy as np
import polars as pl

from preceptor.toolkit.fusion.influence.left_out import compute_likelihoods, hold
from preceptor.toolkit.fusion.observations import encode


def observe(weight):
    """One annotator's vote on each of two pairs, of that weight."""
    texts = ["p1-a", "p1-b", "p2-a", "p2-b"]
    return encode(
        {
            "completions": pl.DataFrame({"completion": texts, "prompt": ["p1", "p1", "p2", "p2"]}),
            "annotators": pl.DataFrame({"annotator": ["k"], "pseudonym": ["ada"], "kind": ["crowd"]}),
            "votes": pl.DataFrame(
                {
                    "completion_a": ["p1-a", "p2-a"],
                    "completion_b": ["p1-b", "p2-b"],
                    "choice": ["a", "tie"],
                    "annotator": ["k", "k"],
                    "shown_first": [None, None],
                    "weight": [weight] * 2,
                },
                schema_overrides={"shown_first": pl.String},
            ),
        }
    )


def test_a_ranked_vote_counts_in_influence_as_in_the_fit():
    found = {}
    for weight in (1.0, 0.45):
        obs = observe(weight)
        size = hold(obs, None).sampler.size
        at = np.random.default_rng(0).normal(size=(5, size)).astype(np.float32)
        found[weight] = compute_likelihoods(hold(obs, at), {"votes": obs.votes.counts})["votes"]
    assert found[1.0].shape == (5, 2)
    np.testing.assert_allclose(found[0.45], 0.45 * found[1.0], rtol=1e-5)
