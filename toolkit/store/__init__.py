"""The project file: one DuckDB connection, its schema, its contents."""
