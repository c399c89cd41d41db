"""Argilla's server as one process: its own SQL database is the search index; no Elasticsearch, no Redis.

Runs in the server's own environment (`python annotation/server/embedded --home DIR --socket FD`), where
Preceptor is not installed: modules here import the standard library, what argilla-server brings, and each
other.
"""
