"""JSON of strangers, strictly, and JSON Lines that grow during a run."""
