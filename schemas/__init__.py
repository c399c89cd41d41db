"""Definitions of data: tables, keys, recipes and errors. Imports nothing else of Preceptor."""
