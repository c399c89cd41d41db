"""Readers of grammatical error corpora, and the writer of M2."""
