"""Readers of study logs."""
