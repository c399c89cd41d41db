"""Readers: one file per format, bytes to rows of tables."""
