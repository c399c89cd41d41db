"""Manage campaigns: questions to annotators by one rubric, and the source of their votes and ratings.

sources   name: week-1, kind: preference, reader: annotate, rows: valid answers
rubrics   week-1, preference, 3 levels (2 without ties); or the criteria of a rating rubric
"""

import json
from datetime import UTC, datetime

import polars as pl

from ...schemas.errors import AnnotationError
from ...schemas.licenses import License, read_license
from ...schemas.rubric import PREFERENCE, Rubric
from ...schemas.tables import RUBRICS, SOURCES
from ..store.connection import Store, insert, query, run, transaction
from ..store.where import word_absence

READER = "annotate"


def list_campaigns(con: Store) -> list[str]:
    """List every campaign of the store, by name."""
    return list(query(con, "SELECT name FROM sources WHERE reader = ? ORDER BY 1", [READER])["name"])


def list_pushed_and_exported(con: Store) -> tuple[list[str], list[str]]:
    """List the campaigns that were pushed to Argilla, and those that were only exported as forms."""
    rows = run(
        con,
        """SELECT name, url IS NOT NULL FROM sources WHERE reader = ?
        AND (url IS NOT NULL OR name IN (SELECT source FROM questions WHERE asked_at IS NOT NULL))
        ORDER BY 1""",
        [READER],
    )
    return [name for name, pushed in rows if pushed], [name for name, pushed in rows if not pushed]


def check_campaign(con: Store, name: str) -> None:
    """Raise AnnotationError if there is no campaign of that name, with the nearest one."""
    names = list_campaigns(con)
    if name not in names:
        begin = "" if names else "; preceptor annotate push --campaign NAME --rubric NAME begins one"
        raise AnnotationError(f"--campaign {name}: {word_absence(name, names, 'campaign')}{begin}")


def begin(con: Store, name: str, rubric: Rubric, language: str) -> None:
    """Insert the campaign's row of `sources` and its rubric's criteria, unless they exist.

    Within the caller's transaction. Raises AnnotationError if the name belongs to another source, or the
    campaign was begun with another rubric.
    """
    check_name("--campaign", name)
    taken = query(con, "SELECT reader FROM sources WHERE name = ?", [name])["reader"]
    if len(taken) and taken[0] != READER:
        raise AnnotationError(
            f"'{name}' is a source read as {taken[0]}, not a campaign; choose another --campaign"
        )
    check_same_rubric(con, name, rubric)
    if not len(taken):
        insert(con, SOURCES, _source_row(name, rubric, language))
        insert(con, RUBRICS, _criteria(name, rubric))


def check_name(option: str, name: str) -> None:
    """Raise AnnotationError if a name is not valid for a source."""
    if not name.strip() or name != name.strip() or "/" in name:
        raise AnnotationError(f"{option} '{name}': expected a name without a slash or spaces around it")


def check_same_rubric(con: Store, name: str, rubric: Rubric) -> None:
    """Raise AnnotationError if the campaign's questions were chosen for another rubric."""
    begun = query(con, "SELECT DISTINCT rubric FROM questions WHERE source = ?", [name])["rubric"]
    if len(begun) and begun[0] != rubric.digest:
        ((notes,),) = run(con, "SELECT notes FROM sources WHERE name = ?", [name])
        raise AnnotationError(
            f"campaign '{name}' was begun with another rubric ({notes}), this one is "
            f"'{rubric.name}' ({rubric.digest[:8]}): give that rubric, unchanged, or begin another --campaign"
        )


def set_license(con: Store, name: str, license: License) -> None:
    """Set the licence of the campaign's answers."""
    with transaction(con):
        run(
            con,
            """UPDATE sources SET license = ?, redistribution = ?, commercial_use = ?, share_alike = ?
            WHERE name = ? AND license <> ?""",
            [
                license.id,
                license.redistribution,
                license.commercial_use,
                license.share_alike,
                name,
                license.id,
            ],
        )


def set_url(con: Store, name: str, url: str) -> None:
    """Store the address where the campaign is answered."""
    with transaction(con):
        run(
            con,
            "UPDATE sources SET url = $url WHERE name = $name AND url IS DISTINCT FROM $url",
            {"url": url, "name": name},
        )


def _source_row(name: str, rubric: Rubric, language: str) -> pl.DataFrame:
    license = read_license(None)
    return pl.DataFrame(
        {
            "name": [name],
            "kind": ["preference"],
            "language": [language],
            "license": [license.id],
            "redistribution": [license.redistribution],
            "commercial_use": [license.commercial_use],
            "share_alike": [license.share_alike],
            "sha256": [""],
            "reader": [READER],
            "notes": [f"asked by the rubric '{rubric.name}' ({rubric.digest[:8]})"],
            "rows": [0],
            "rejects": [0],
            "ingested_at": [datetime.now(UTC)],
        }
    )


def _criteria(name: str, rubric: Rubric) -> pl.DataFrame:
    """Rows of `rubrics`; a pairwise rubric's only criterion has a level for each possible answer."""
    rows: list[tuple[str, str, int, bool, float, str | None]]
    if rubric.kind == "pairwise":
        rows = [(PREFERENCE, rubric.title, 3 if rubric.tie else 2, True, 1.0, None)]
    else:
        rows = [
            (c.name, c.wording, len(c.levels), c.higher_is_better, c.weight, json.dumps(c.scores))
            for c in rubric.criteria
        ]
    columns = ["criterion", "wording", "levels", "higher_is_better", "weight", "scores"]
    return pl.DataFrame(rows, schema=columns, orient="row").with_columns(pl.lit(name).alias("source"))
