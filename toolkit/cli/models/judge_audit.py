"""`preceptor judge audit`: is a model judge worth its votes?"""

import json
from collections.abc import Iterable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ....schemas.errors import AnnotationError
from ....schemas.support.nearest import nearest
from ..options import Common, common, stderr, stdout, table

if TYPE_CHECKING:
    from ....annotation.audit.audit import Evidence
    from ....schemas.rubric import Rubric
    from ...campaign.judge_audit import Judged

SAID = 5  # rejected lines that are shown
WIDTH = 84  # of a table whose numbers are all negative


@click.command()
@click.option(
    "--source",
    "sources",
    metavar="NAME",
    multiple=True,
    help="Judgements of models in this source or campaign only; may be repeated.",
)
@click.option(
    "--people",
    "people",
    metavar="NAME",
    multiple=True,
    help="Judgements of people in this source only; may be repeated.",
)
@click.option("--judge", "judges", metavar="NAME", multiple=True, help="This judge only; may be repeated.")
@click.option(
    "--by-model",
    metavar="SOURCE",
    multiple=True,
    help="Judgements of this source that name nobody are a model's.",
)
@click.option(
    "--same",
    metavar="OURS=THEIRS",
    multiple=True,
    help="The judge's criterion OURS is people's THEIRS; those called alike meet.",
)
@click.option("--rubric", help="Rubric of the summary score; a campaign's own is known.")
@click.option(
    "--judgements",
    type=click.Path(path_type=Path, dir_okay=False),
    help="CSV or JSON Lines of another system's judge, in place of the store: item, first, second, "
    "choice (first, second, tie); if known judge, first_length and second_length.",
)
@click.option("--seed", default=0, show_default=True, help="Of the bootstrap.")
@click.option("--json", "as_json", is_flag=True, help="For scripts: everything.")
@click.option(
    "--out",
    type=click.Path(path_type=Path, file_okay=False),
    help="Folder for audit.md and the figures (SVG and PNG).",
)
@common
def audit(
    settings: Common,
    sources: tuple[str, ...],
    people: tuple[str, ...],
    judges: tuple[str, ...],
    by_model: tuple[str, ...],
    same: tuple[str, ...],
    rubric: str | None,
    judgements: Path | None,
    seed: int,
    as_json: bool,
    out: Path | None,
) -> None:
    """Is a model judge worth its votes?

    Of every model that judged: how often it chooses by the place a completion is shown in, whether longer
    ones win and whether people like them too, and how far it agrees with people, by criterion and for votes,
    beside how far people agree among themselves. People and models meet where they judged the same text, in
    whatever sources. Brackets hold 95 % intervals.
    """
    from ....annotation.audit.audit import audit as measure

    if judgements:
        given = {
            "--source": sources,
            "--people": people,
            "--by-model": by_model,
            "--same": same,
            "--rubric": rubric,
        }
        if wrong := [name for name, value in given.items() if value]:
            raise click.UsageError(f"{wrong[0]} is about the store; --judgements reads a file")
        evidence, rejects = _of_file(judgements)
    else:
        evidence, rejects = _of_store(settings, sources, people, by_model, rubric), []
    chosen = _chosen(evidence, judges)
    found = [asdict(measure(one, same=_pairs(same), seed=seed)) for one in chosen]
    _say_rejects(rejects)
    if as_json:
        click.echo(json.dumps({"audits": found, "rejects": rejects}, indent=1, ensure_ascii=False))
    else:
        for one in found:
            _say(one)
    if out:
        from ...report.judge_audit import write_audit

        files = write_audit(out, found, rejects, seed)
        stderr().print(f"written: {files[0]} and {len(files) - 1} figures beside it", markup=False)


def _of_file(path: Path) -> "tuple[list[Evidence], list[str]]":
    from ....annotation.audit.audit import of_judgements
    from ....annotation.audit.files import read_judgements

    rows, rejects = read_judgements(path)
    return of_judgements(rows, path.stem), rejects


def _of_store(
    settings: Common,
    sources: Sequence[str],
    people: Sequence[str],
    by_model: Sequence[str],
    rubric: str | None,
) -> "list[Evidence]":
    from ....annotation.rubrics.rubric import read_rubric
    from ...campaign.judge_audit import check_sources, read_judged
    from ...store.connection import open_store

    named = read_rubric(rubric) if rubric else None
    with open_store(settings.store, read_only=True) as con:
        for option, names in (("--source", sources), ("--people", people), ("--by-model", by_model)):
            check_sources(con, option, names)
        judged = read_judged(con, sources, by_model)
    if not judged.models:
        where = f" in {', '.join(sources)}" if sources else ""
        raise AnnotationError(
            f"no model judged anything{where}: run preceptor judge, ingest judgements of a model (--by-model "
            "SOURCE where the source does not name it), or give --judgements FILE"
        )
    return [_evidence(judged, model, people, named) for model in judged.models]


def _evidence(judged: "Judged", model: str, people: Sequence[str], rubric: "Rubric | None") -> "Evidence":
    """What the store has about one judge and about people."""
    import polars as pl

    from ....annotation.audit.audit import Evidence, with_lengths

    mine = pl.col("by_model") & (pl.col("annotator") == model)
    theirs = ~pl.col("by_model") & (pl.col("source").is_in(list(people)) if people else pl.lit(value=True))
    ratings = judged.ratings.filter(mine)
    shown = judged.shown.filter(model=model)
    return Evidence(
        model,
        with_lengths(shown.drop("model"), judged.lengths),
        judged.votes.filter(mine),
        ratings,
        judged.votes.filter(theirs),
        judged.ratings.filter(theirs),
        judged.rubrics,
        judged.lengths,
        rubric or _rubric_of(judged, ratings["source"].unique().to_list()),
        judged.failed.get(model, 0),
    )


def _rubric_of(judged: "Judged", sources: Sequence[str]) -> "Rubric | None":
    """The rubric of the judge's campaigns, where it is one of Preceptor's own."""
    from ....annotation.rubrics.rubric import read_rubric, rubric_names

    asked = {digest for source, digest in judged.campaigns.rows() if source in sources}
    known = [one for one in map(read_rubric, rubric_names()) if one.digest in asked]
    return known[0] if len(asked) == 1 and known else None


def _chosen(evidence: "list[Evidence]", judges: Sequence[str]) -> "list[Evidence]":

    have = [one.judge for one in evidence]
    for name in judges:
        if name not in have:
            raise AnnotationError(f"--judge {name}: no such judge; {nearest(name, have, 'there are')}")
    return [one for one in evidence if not judges or one.judge in judges]


def _pairs(same: Sequence[str]) -> dict[str, str]:
    pairs = [(ours.strip(), theirs.strip()) for ours, _, theirs in (one.partition("=") for one in same)]
    for given, (ours, theirs) in zip(same, pairs, strict=True):
        if not (ours and theirs):
            raise click.UsageError(f"--same {given}: expected OURS=THEIRS, two names of criteria")
    return dict(pairs)


def _say_rejects(rejects: Sequence[str]) -> None:
    notices = stderr()
    for line in rejects[:SAID]:
        notices.print(f"not taken: {line}", markup=False)
    if len(rejects) > SAID:
        notices.print(f"and {len(rejects) - SAID:,} more lines (--json and --out list all)")


def _say(found: dict[str, Any]) -> None:
    """One judge: tables, what to make of them, what cannot be told."""
    from ...report.judge_audit_text import (
        describe_size,
        list_measures,
        list_notes,
        list_positions,
        write_sentences,
    )

    out = stdout()
    out.print(f"{found['judge']}: {describe_size(found)}", markup=False, emoji=False, style="bold")
    if found["position"]:
        _tabulate(
            "Position", ("a pair in both orders", "pairs ", "share "), list_positions(found["position"])
        )
    for signal in found["signals"]:
        rows = [row[2:] for row in list_measures([signal], short=True)]
        title = f"Beside people: {signal['signal']} ({signal['units']:,} judged by both)"
        _tabulate(title, ("", "judge ", "people ", "difference "), rows)
    for line in (
        *(f"- {line}" for line in write_sentences(found)),
        *(f"note: {n}" for n in list_notes(found)),
    ):
        out.print(line, markup=False, emoji=False)
    out.print()


def _tabulate(title: str, columns: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    from rich.markup import escape

    cells = [[escape(cell) for cell in row] for row in rows]
    filled = [i for i in range(len(columns)) if any(row[i] for row in cells)]
    shown = ([row[i] for i in filled] for row in cells)
    out = stdout()
    out.width = max(out.width, WIDTH)
    out.print(table(escape(title), [columns[i] for i in filled], shown))
