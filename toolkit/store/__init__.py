"""The project file: one DuckDB connection, its schema, what it holds."""
