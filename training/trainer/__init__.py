"""Additions to TRL: soft labels, a watch on likelihoods, logs."""
