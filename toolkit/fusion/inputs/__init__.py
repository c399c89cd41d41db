"""What a fit reads from the store: signals, judges with the same judgements, where chains ended."""
