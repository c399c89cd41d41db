"""Metrics of answers, one file each, and their statistics."""
