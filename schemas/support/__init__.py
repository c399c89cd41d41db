"""Helpers that know nothing of tutors: files, texts, versions, settings."""
