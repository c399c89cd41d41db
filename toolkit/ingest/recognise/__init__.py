"""Recognise what a file is."""
