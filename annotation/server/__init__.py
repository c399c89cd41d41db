"""Argilla's server on this machine: environment, accounts, process."""
