"""Practice: exercises with proven keys for learners."""
