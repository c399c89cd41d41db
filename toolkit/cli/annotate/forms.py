"""`preceptor annotate export` and `import`: questions as files, for annotators without a server."""

from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import click

from ....schemas.errors import AnnotationError
from ....schemas.support.nearest import nearest
from ..options import Common, common, stderr, stdout, table

if TYPE_CHECKING:
    import polars as pl

    from ....annotation.forms.forms import FilledForm
    from ....schemas.rubric import Rubric
    from ...campaign.answers import Taken
    from ...store.connection import Store


@click.command("export")
@click.option("--campaign", required=True, help="Its name; one that is not there is begun.")
@click.option(
    "--out",
    required=True,
    type=click.Path(path_type=Path, dir_okay=False),
    help="forms.csv (spreadsheet), forms.jsonl, or forms.json (Label Studio).",
)
@click.option(
    "--rubric",
    "rubric_name",
    metavar="RUBRIC",
    help="What is asked (a name or a .yaml file); may be left out for a campaign that is there "
    "and asked by a rubric of Preceptor's.",
)
@click.option(
    "--n", type=click.IntRange(1), help="Questions that the campaign shall have; 200 for a new one."
)
@click.option(
    "--select",
    type=click.Choice(["information", "uncertain", "coverage", "random"]),
    help="How new questions are chosen: by information if a fit knows any.",
)
@click.option("--source", "sources", multiple=True, help="Prompts of this source only; repeat.")
@click.option("--task", help="Prompts of this task only.")
@click.option("--seed", type=click.IntRange(0), default=0, show_default=True, help="Of sides and lots.")
@click.option("--license", "license_id", help="Of the answers: SPDX id; without one they are not published.")
@click.option(
    "--annotator",
    "annotators",
    multiple=True,
    metavar="NAME",
    help="One form for each, forms-NAME.csv, with the name filled in; repeat.",
)
@click.option(
    "--overlap", type=click.IntRange(1), help="Annotators who get each question; all of them if left out."
)
@common
def export(
    settings: Common,
    /,
    campaign: str,
    out: Path,
    rubric_name: str | None,
    n: int | None,
    select: str | None,
    sources: tuple[str, ...],
    task: str | None,
    seed: int,
    license_id: str | None,
    annotators: tuple[str, ...],
    overlap: int | None,
) -> None:
    """Write a campaign's questions to a file that annotators fill in, with a guide beside it.

    In a .csv they type A, B or tie (or numbers) into a spreadsheet. A .json is for Label Studio: its
    labelling configuration is written beside it, in .xml. Nothing is overwritten.
    """
    from ....annotation.forms.files import suffix_of
    from ....schemas.licenses import read_license
    from ...campaign.campaigns import set_license
    from ...campaign.questions import choose_questions, default_select, mark_asked, read_questions
    from ...store.connection import open_store
    from ...store.where import Where

    suffix_of(out)
    license = read_license(license_id)
    if overlap and overlap > len(annotators):
        raise click.BadParameter(f"--overlap {overlap} needs as many --annotator (now {len(annotators)})")
    if len(set(annotators)) < len(annotators):
        raise click.BadParameter("an --annotator is named twice")
    with open_store(settings.store) as con:
        rubric = _rubric_of(con, campaign, rubric_name)
        if n is not None or not _is_there(con, campaign):
            by = select or default_select(con)
            chosen = choose_questions(con, campaign, rubric, n or 200, by, seed, where=Where(sources, task))
            for note in chosen.notes:
                stderr().print(f"note: {note}", markup=False)
        if license_id:
            set_license(con, campaign, license)
        questions = read_questions(con, campaign)
        written = _write(out, questions, rubric, annotators, overlap)
        mark_asked(con, campaign, questions["key"])
    _say_written(out, questions, written, campaign)


def _is_there(con: "Store", campaign: str) -> bool:
    from ...campaign.campaigns import campaign_names

    return campaign in campaign_names(con)


def _rubric_of(con: "Store", campaign: str, given: str | None) -> "Rubric":
    """The rubric that is given, or the one of ours that the campaign was begun with."""
    from ....annotation.rubrics.rubric import read_rubric, rubric_names
    from ...campaign.campaigns import campaign_names, check_rubric
    from ...store.connection import run

    if given is not None:
        rubric = read_rubric(given)
        check_rubric(con, campaign, rubric)
        return rubric
    if not _is_there(con, campaign):
        hint = nearest(campaign, campaign_names(con), "campaigns")
        raise AnnotationError(f"no campaign '{campaign}': {hint} (export --rubric NAME begins one)")
    digests = [
        digest for (digest,) in run(con, "SELECT DISTINCT rubric FROM questions WHERE source = ?", [campaign])
    ]
    ours = (read_rubric(name) for name in rubric_names())
    found = next((rubric for rubric in ours if rubric.digest in digests), None)
    if found is None:
        ((notes,),) = run(con, "SELECT notes FROM sources WHERE name = ?", [campaign])
        raise AnnotationError(
            f"campaign '{campaign}': {notes}, which does not come with Preceptor; "
            "give its file with --rubric FILE.yaml"
        )
    return found


def _write(
    out: Path, questions: "pl.DataFrame", rubric: "Rubric", annotators: tuple[str, ...], overlap: int | None
) -> list[Path]:
    """One form, or one for each annotator; where any is there already, none."""
    from ....annotation.forms.files import form_texts, write_texts
    from ....annotation.forms.forms import shared_out

    if not annotators:
        return write_texts(form_texts(out, questions, rubric, None))
    texts: dict[Path, str] = {}
    for who, part in shared_out(questions, annotators, overlap or len(annotators)).items():
        made = form_texts(out.with_name(f"{out.stem}-{_plain(who)}{out.suffix}"), part, rubric, who)
        if twice := texts.keys() & made.keys():
            raise AnnotationError(f"two --annotator have the same file, {min(twice)}; name one otherwise")
        texts |= made
    return write_texts(texts)


def _plain(name: str) -> str:
    """A name as part of a file's."""
    return "".join(c if c.isalnum() or c in "-_.@+" else "_" for c in name)


def _say_written(out: Path, questions: "pl.DataFrame", written: list[Path], campaign: str) -> None:
    from ....annotation.forms.files import long_texts

    shown = stdout()
    shown.print(f"{campaign}: {questions.height:,} questions", markup=False)
    for path in written:
        shown.print(f"  {path}", markup=False)
    if out.suffix.lower() == ".csv" and (long := long_texts(questions)):
        stderr().print(
            f"note: {long} questions have texts that are longer than a spreadsheet's cell "
            "(32,767 characters); give those annotators .jsonl",
            markup=False,
        )
    shown.print(
        f"when they are filled in: preceptor annotate import FILE --campaign {campaign}", markup=False
    )


@click.command("import")
@click.argument(
    "files", metavar="FILE", nargs=-1, required=True, type=click.Path(path_type=Path, dir_okay=False)
)
@click.option("--campaign", required=True, help="Whose questions are answered.")
@click.option(
    "--rubric", "rubric_name", metavar="RUBRIC", help="The campaign's, if it is a file of your own."
)
@click.option("--annotator", metavar="NAME", help="Who answered, where the form does not say.")
@click.option(
    "--kind",
    type=click.Choice(["student", "expert", "crowd"]),
    help="Who the annotators are; crowd if never said.",
)
@common
def import_(
    settings: Common,
    /,
    files: tuple[Path, ...],
    campaign: str,
    rubric_name: str | None,
    annotator: str | None,
    kind: str | None,
) -> None:
    """Take the answers of filled-in forms, as votes and ratings of annotators under pseudonyms.

    FILE is a form that export wrote (.csv as any spreadsheet saves it, .jsonl), or Label Studio's JSON
    export. The same form again changes nothing; an answer that was edited takes the place of the old
    one, which stays in the history. A row that is left empty says nothing, also of earlier answers.
    """
    from ....annotation.forms.files import read_form
    from ...campaign.answers import take_answers
    from ...campaign.forms import store_form_rejects
    from ...store.connection import open_store, query

    with open_store(settings.store) as con:
        rubric = _rubric_of(con, campaign, rubric_name)
        questions = query(con, "SELECT key, shown_first FROM questions WHERE source = ?", [campaign])
        now = datetime.now(UTC)
        forms = {path: read_form(path, questions, rubric, annotator, now) for path in files}
        changed = False
        for path, filled in forms.items():
            taken = take_answers(con, campaign, filled.answers, kind=kind, came_by="file")
            who = [*filled.answers["annotator"], *([annotator] if annotator else [])]
            store_form_rejects(con, campaign, path.name, filled.rejects, who)
            _say_taken(path, filled, taken, campaign)
            changed |= taken.changed
    if changed:
        stdout().print("next: preceptor fuse")


def _say_taken(path: Path, filled: "FilledForm", taken: "Taken", campaign: str) -> None:
    from rich.markup import escape

    out, err = stdout(), stderr()
    rows = [
        ("answers", f"{taken.new:,} new, {taken.superseded:,} changed, {taken.unchanged:,} as they were"),
        ("annotators", f"{filled.answers['annotator'].n_unique():,}"),
        ("left empty", f"{filled.unanswered:,}"),
        ("rejected", f"{filled.rejects.height + taken.rejected:,}"),
    ]
    out.print(table(escape(str(path)), ("", ""), rows))
    for note in filled.notes:
        err.print(f"{path}: {note}", markup=False)
    refused = [
        f"{path}:{row['line']}: {row['reason']}" for row in filled.rejects.head(5).iter_rows(named=True)
    ]
    for line in (*refused, *taken.first_rejects):
        err.print(line, markup=False)
    if refused or taken.first_rejects:
        err.print(f"all of them: preceptor status --rejects {campaign}", markup=False)
