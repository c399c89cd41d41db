"""Exercises whose keys are proven by annotators' corrections."""
