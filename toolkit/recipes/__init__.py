"""Recipes: those that come with Preceptor, a start for one's own, checks, and schemas for editors."""
