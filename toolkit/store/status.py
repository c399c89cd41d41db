"""Summarise a store: sources, signals, campaigns, fits and builds, as plain data."""

import json
from collections.abc import Iterator
from typing import Any

from ...schemas.tables import ANNOTATORS, OF_A_SOURCE, REJECTS
from .connection import Store, count, query
from .folders import locate_folder, shorten_path
from .rejects import count_rejects


def status(con: Store) -> dict[str, Any]:
    """Collect sources, rejects by reason, rows per table, people, campaigns, fits and builds, for JSON.

    `excluded` lists the annotators who are left out of fits.

    Of a campaign: questions, those asked and those begun (with one answer or more), answers that are valid,
    the fewest and most answers to one question that was asked, annotators.
    """
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
        count(*) AS questions, count(*) FILTER (asked_at IS NOT NULL) AS asked,
        count(*) FILTER (answers > 0) AS begun, sum(answers)::BIGINT AS answers,
        min(answers) FILTER (asked_at IS NOT NULL) AS fewest,
        max(answers) FILTER (asked_at IS NOT NULL) AS most,
        len(list_distinct(flatten(list(people)))) AS annotators
        FROM (SELECT q.source, q.asked_at, count(a.key) AS answers, list(p.pseudonym)
                FILTER (p.pseudonym IS NOT NULL) AS people
            FROM questions q LEFT JOIN answers a ON a.question = q.key AND a.superseded_at IS NULL
            LEFT JOIN annotators p ON p.key = a.annotator GROUP BY q.key, q.source, q.asked_at) q
        JOIN sources s ON s.name = q.source GROUP BY q.source ORDER BY q.source""",
    )
    people = query(con, f"SELECT {', '.join(_count_people())}")
    builds = query(
        con,
        """SELECT name, out, fit, counts, gates, strftime(built_at, '%Y-%m-%dT%H:%M:%SZ') AS built_at
        FROM builds ORDER BY builds.built_at, key""",
    ).to_dicts()
    return {
        "sources": sources.to_dicts(),
        "tables": {t.name: count(con, t) for t in (*OF_A_SOURCE, ANNOTATORS) if t is not REJECTS},
        "rejects": count_rejects(con).to_dicts(),
        "people": people.row(0, named=True),
        "excluded": query(
            con, "SELECT DISTINCT pseudonym FROM annotators WHERE excluded_at IS NOT NULL ORDER BY 1"
        )["pseudonym"].to_list(),
        "campaigns": campaigns.to_dicts(),
        "fits": [_read(fit, "config", "diagnostics", "findings") for fit in fits],
        "builds": [
            _read(build, "counts", "gates") | {"out": shorten_path(locate_folder(con, build["out"]))}
            for build in builds
        ],
    }


def _count_people() -> Iterator[str]:
    """Write an expression for the number of annotators, and of learners: each person once."""
    yield "(SELECT count(*) FROM annotators) AS annotators"
    learners = " UNION ALL ".join(
        f"SELECT learner AS who FROM {t.name}" for t in OF_A_SOURCE if "learner" in t.names
    )
    yield f"(SELECT count(DISTINCT who) FROM ({learners})) AS learners"


def _read(row: dict[str, Any], *columns: str) -> dict[str, Any]:
    return row | {name: json.loads(row[name]) for name in columns}
