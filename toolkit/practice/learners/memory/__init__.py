"""What learners remember: cards, review by review."""
