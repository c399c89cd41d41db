"""Find texts of one split, or of a benchmark, in another."""
