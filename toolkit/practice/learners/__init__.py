"""Learner models: what each has mastered, what each remembers, and what to do next."""
