"""Texts of exercises, explanations and guidelines as HTML."""
