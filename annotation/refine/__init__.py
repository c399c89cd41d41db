"""Refine a rubric with a model: draft, compare, advise."""
