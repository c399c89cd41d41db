"""Preceptor: preference datasets for AI tutors, from what learners do and annotators say."""

__version__ = "0.1.0"
