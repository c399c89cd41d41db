"""Check every row with the real tokenizer before a run."""
