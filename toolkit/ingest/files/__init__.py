"""Bytes to rows: lines, delimited text, tables, JSON, each with its place in the file."""
