"""Rubrics: their files, checks and the packaged ones."""
