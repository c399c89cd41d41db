"""Recipes on the trainers: SFT and preference tuning, evaluation. Stands on schemas."""
