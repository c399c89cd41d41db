"""Summarise a store: sources, signals, campaigns, fits and builds, as plain data."""

import json
from typing import Any

from ...schemas.tables import OF_A_SOURCE, REJECTS
from .connection import Store, count, query
from .rejects import count_rejects


def status(con: Store) -> dict[str, Any]:
    """Collect sources, counts of rejects, rows per table, campaigns, fits and builds; ready for JSON."""
    sources = query(
        con,
        """SELECT name, kind, language, license, redistribution, commercial_use, share_alike, url,
        revision, sha256, reader, notes, rows, rejects,
        strftime(ingested_at, '%Y-%m-%dT%H:%M:%SZ') AS ingested_at
        FROM sources ORDER BY name""",
    )
    fits = query(
        con,
        """SELECT key, config, inputs, method, seed, converged, diagnostics, findings,
        strftime(fitted_at, '%Y-%m-%dT%H:%M:%SZ') AS fitted_at FROM fits ORDER BY fits.fitted_at, key""",
    ).to_dicts()
    campaigns = query(
        con,
        """SELECT q.source AS name, any_value(s.notes) AS rubric, any_value(s.url) AS url,
        count(DISTINCT q.key) AS questions, count(DISTINCT q.key) FILTER (asked_at IS NOT NULL) AS asked,
        count(DISTINCT a.question) AS answered, count(DISTINCT a.key) AS answers,
        count(DISTINCT p.pseudonym) AS annotators
        FROM questions q JOIN sources s ON s.name = q.source
        LEFT JOIN answers a ON a.question = q.key AND a.superseded_at IS NULL
        LEFT JOIN annotators p ON p.key = a.annotator GROUP BY q.source ORDER BY q.source""",
    )
    builds = query(
        con,
        """SELECT name, out, fit, counts, gates, strftime(built_at, '%Y-%m-%dT%H:%M:%SZ') AS built_at
        FROM builds ORDER BY builds.built_at, key""",
    ).to_dicts()
    return {
        "sources": sources.to_dicts(),
        "tables": {t.name: count(con, t) for t in OF_A_SOURCE if t is not REJECTS},
        "rejects": count_rejects(con).to_dicts(),
        "campaigns": campaigns.to_dicts(),
        "fits": [_read(fit, "config", "diagnostics", "findings") for fit in fits],
        "builds": [_read(build, "counts", "gates") for build in builds],
    }


def _read(row: dict[str, Any], *columns: str) -> dict[str, Any]:
    return row | {name: json.loads(row[name]) for name in columns}
