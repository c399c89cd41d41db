"""The likelihood of every type of signal, by the name of its table."""

from . import outcomes, ratings, votes
from .likelihood import Likelihood

LIKELIHOODS: dict[str, Likelihood] = {
    module.LIKELIHOOD.signal: module.LIKELIHOOD for module in (votes, ratings, outcomes)
}
