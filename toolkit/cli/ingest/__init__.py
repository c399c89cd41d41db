"""`preceptor ingest …` and `preceptor start`: bring data in."""
