"""Audit judges: position, length, criteria, beside people."""
