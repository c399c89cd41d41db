"""Studies: what adaptive draws save, whether comparisons say what is so, and how fast the pages are."""
