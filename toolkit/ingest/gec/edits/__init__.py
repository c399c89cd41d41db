"""Edits: alignment, offsets, error types."""
