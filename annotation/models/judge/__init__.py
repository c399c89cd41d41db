"""A judge's questions, its replies and the verdicts read from them."""
