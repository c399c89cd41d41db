"""Recipes: data only, one folder each; YAML in the trainers' own field names."""
