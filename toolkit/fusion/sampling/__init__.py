"""Draw from the posterior: HMC, warm starts, normal approximation, diagnostics."""
