"""Studies: exercises and explanations on pages for learners, and what they answered."""
