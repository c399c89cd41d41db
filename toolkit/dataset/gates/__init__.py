"""Gates: one file per check that a dataset must pass before it is written."""
