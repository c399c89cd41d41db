"""Make groups of features for the prior mean: centred in their prompt, standardised, or whitened components.

What is the same for all completions of a prompt says nothing of which is better, so each feature is less the
mean of its prompt's completions. A group is scaled so that the mean squared length of its rows is 1: then its
scale in the model says what share of quality it explains, however many columns it has.
"""

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

COMPONENTS = 16  # of hidden states; 32 were no better on whole pairs, and worse on whole prompts
_FLAT = 1e-9  # standard deviation of a column that says nothing


def subtract_means(features: Floats, prompt: Ints) -> Floats:
    """Subtract the mean over each prompt's completions; `features` is (items, columns), `prompt` (items,)."""
    n = int(prompt.max()) + 1
    counts = np.bincount(prompt, minlength=n)[:, None]
    sums = np.zeros((n, features.shape[1]))
    np.add.at(sums, prompt, features)
    centred: Floats = features - (sums / np.maximum(counts, 1))[prompt]
    return centred


def standardise(features: Floats) -> Floats:
    """Divide each column of (items, columns) by its standard deviation; one that says nothing becomes 0."""
    spread = features.std(axis=0)
    return np.where(spread > _FLAT, features / np.maximum(spread, _FLAT), 0.0)


def make_components(features: Floats, count: int = COMPONENTS) -> Floats:
    """Take the first principal components, each with variance 1: (items, count) or fewer.

    The sign of a component is that of its largest loading, so that equal input gives equal columns.
    """
    covariance = features.T @ features / max(len(features), 1)
    values, vectors = np.linalg.eigh(covariance)
    kept = [k for k in range(len(values) - 1, -1, -1)[:count] if values[k] > _FLAT * max(values[-1], 1)]
    loadings = vectors[:, kept]
    largest = np.abs(loadings).argmax(axis=0)
    loadings = loadings * np.sign(loadings[largest, np.arange(len(kept))])
    components: Floats = features @ loadings / np.sqrt(values[kept])
    return components


def take_out(features: Floats, known: Floats) -> Floats:
    """Subtract from each column what the column `known` (items, 1) explains of it by least squares."""
    size = float(np.square(known).sum())
    return features - known * (known.T @ features) / size if size > _FLAT else features


def scale_group(features: Floats) -> Floats:
    """Scale (items, columns) so that the mean squared length of the rows is 1."""
    size = np.square(features).sum(axis=1).mean() if features.size else 0.0
    return features / np.sqrt(size) if size > _FLAT else features
