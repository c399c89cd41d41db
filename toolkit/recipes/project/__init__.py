"""A project's own files: its sources, and what a new one begins with."""
