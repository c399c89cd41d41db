"""The fusion model: expressed and observed preference, with diagnostics."""
