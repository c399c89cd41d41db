"""`preceptor judge audit`: is a model judge worth its votes?"""

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ....schemas.support.text import dump_json
from ..options import (
    Common,
    add_option_record,
    add_source_option,
    common,
    make_table,
    open_stderr,
    open_stdout,
    say,
)

if TYPE_CHECKING:
    from ...campaign.judge_audit import JudgeAudits

SAID = 5  # rejected lines that are shown
WIDTH = 84  # of a table whose numbers are all negative


@dataclass(frozen=True)
class _AuditArguments:
    """The command's options as they are given."""

    sources: tuple[str, ...]
    people: tuple[str, ...]
    judges: tuple[str, ...]
    by_model: tuple[str, ...]
    same: tuple[str, ...]
    rubric: str | None
    judgements: Path | None
    seed: int


_OPTIONS = (
    add_source_option("Judgements of models in this source or campaign only. May be repeated.", "NAME"),
    click.option(
        "--people",
        "people",
        metavar="NAME",
        multiple=True,
        help="Judgements of people in this source only. May be repeated.",
    ),
    click.option(
        "--judge", "judges", metavar="NAME", multiple=True, help="This judge only. May be repeated."
    ),
    click.option(
        "--by-model",
        metavar="SOURCE",
        multiple=True,
        help="Judgements of this source that name no annotator are a model's. May be repeated.",
    ),
    click.option(
        "--same",
        metavar="OURS=THEIRS",
        multiple=True,
        help="Compare the judge's criterion OURS with people's criterion THEIRS. May be repeated. "
        "Criteria of the same name need no --same.",
    ),
    click.option(
        "--rubric", help="Rubric of the summary score. Default: the campaign's, if it is one of Preceptor's."
    ),
    click.option(
        "--judgements",
        type=click.Path(path_type=Path, dir_okay=False),
        help="Judgements of another system's judge, as CSV or JSON Lines, instead of those in the "
        "store: item, first, second, choice (first, second, tie) and, if known, judge, "
        "first_length and second_length.",
    ),
    click.option("--seed", default=0, show_default=True, help="Random seed of the bootstrap."),
)


@click.command()
@add_option_record("given", _AuditArguments, *_OPTIONS)
@click.option("--json", "as_json", is_flag=True, help="Print JSON for scripts: everything.")
@click.option(
    "--out",
    type=click.Path(path_type=Path, file_okay=False),
    help="Folder to write audit.md and its figures (SVG and PNG) to.",
)
@common
def audit(settings: Common, /, given: _AuditArguments, as_json: bool, out: Path | None) -> None:
    """Measure whether a model judge is worth its votes.

    For every model that judged, this prints how often it chooses by the position of a completion, whether
    longer completions win and whether people prefer them too, and how far it agrees with people, by
    criterion and for votes, beside how far people agree with each other. The model and people are compared
    where they judged the same text, in any source. Brackets hold 95 % intervals.
    """
    made = _audits(settings.store, given)
    found = [asdict(one) for one in made.audits]
    _say_rejects(made.rejects)
    if as_json:
        say(dump_json({"audits": found, "rejects": made.rejects, "own": made.own}))
    else:
        for one in found:
            _say(one)
        if made.own:
            from ..dataset.fuse import describe_own

            open_stdout().print(f"fit {made.own['fit'][:8]} of models: {describe_own(made.own)}")
    if out:
        from ...report.judge_audit import write_audit

        files = write_audit(out, found, made.rejects, given.seed)
        open_stderr().print(f"written: {files[0]} and {len(files) - 1} figures beside it")


def _audits(store: Path, given: _AuditArguments) -> "JudgeAudits":
    """Audit the judges of the file that is given, or of the store."""
    from ....annotation.rubrics.rubric import read_rubric
    from ...campaign.judge_audit import AuditOptions, audit_judgement_file, audit_judges
    from ...store.connection import open_store

    if given.judgements:
        about = {
            "--source": given.sources,
            "--people": given.people,
            "--by-model": given.by_model,
            "--same": given.same,
            "--rubric": given.rubric,
        }
        if wrong := [name for name, value in about.items() if value]:
            raise click.UsageError(f"{wrong[0]} is about the store; --judgements reads a file")
        return audit_judgement_file(given.judgements, AuditOptions(judges=given.judges, seed=given.seed))
    rubric = read_rubric(given.rubric) if given.rubric else None
    same = _pairs(given.same)
    options = AuditOptions(
        given.sources, given.people, given.judges, given.by_model, same, rubric, given.seed
    )
    with open_store(store, read_only=True) as con:
        return audit_judges(con, options)


def _pairs(same: Sequence[str]) -> dict[str, str]:
    pairs = [(ours.strip(), theirs.strip()) for ours, _, theirs in (one.partition("=") for one in same)]
    for given, (ours, theirs) in zip(same, pairs, strict=True):
        if not (ours and theirs):
            raise click.UsageError(f"--same {given}: expected OURS=THEIRS, two names of criteria")
    return dict(pairs)


def _say_rejects(rejects: Sequence[str]) -> None:
    notices = open_stderr()
    for line in rejects[:SAID]:
        notices.print(f"not taken: {line}")
    if len(rejects) > SAID:
        notices.print(f"and {len(rejects) - SAID:,} more lines (--json and --out list all)")


def _say(found: dict[str, Any]) -> None:
    """Print the audit of one judge: tables, what they mean, what cannot be said."""
    from ...report.judge_audit_text import (
        describe_size,
        list_audit_notes,
        list_measures,
        list_positions,
        write_sentences,
    )

    out = open_stdout()
    out.print(f"{found['judge']}: {describe_size(found)}", style="bold")
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
        *(f"note: {n}" for n in list_audit_notes(found)),
    ):
        out.print(line)
    out.print()


def _tabulate(title: str, columns: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    cells = [list(row) for row in rows]
    filled = [i for i in range(len(columns)) if any(row[i] for row in cells)]
    shown = ([row[i] for i in filled] for row in cells)
    open_stdout().print(make_table(title, [columns[i] for i in filled], shown))
