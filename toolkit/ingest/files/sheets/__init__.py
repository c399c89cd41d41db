"""Spreadsheets: a sheet as rows of texts, read in a process of its own."""
