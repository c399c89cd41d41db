"""Explain each type of signal by the qualities of completions: one file a type."""
