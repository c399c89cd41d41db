"""The journal of a study: one SQLite file that has every answer on disk before it is confirmed."""
