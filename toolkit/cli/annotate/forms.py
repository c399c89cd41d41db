"""`preceptor annotate export` and `import`: questions as files, for annotators without a server."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ..options import Common, add_where_options, common, make_table, open_stderr, open_stdout

if TYPE_CHECKING:
    from ...campaign.forms import ImportedForm


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
@add_where_options(language=False)
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
    license_id: str | None,
    annotators: tuple[str, ...],
    overlap: int | None,
    **how: Any,
) -> None:
    """Write a campaign's questions to a file that annotators fill in, with a guide beside it.

    In a .csv they type A, B or tie (or numbers) into a spreadsheet. A .json is for Label Studio: its
    labelling configuration is written beside it, in .xml. Nothing is overwritten.
    """
    from ...campaign.forms import ExportOptions, export_forms
    from ...campaign.questions import Selection
    from ...store.connection import open_store

    selection = Selection(how["n"], how["select"], how["seed"], where=how["where"])
    options = ExportOptions(rubric_name, selection, license_id, annotators, overlap)
    notices = open_stderr()
    with open_store(settings.store) as con:
        done = export_forms(con, campaign, out, options, lambda text: notices.print(text, markup=False))
    shown = open_stdout()
    shown.print(f"{campaign}: {done.questions:,} questions", markup=False)
    for path in done.files:
        shown.print(f"  {path}", markup=False)
    if done.long_texts:
        notices.print(
            f"note: {done.long_texts} questions have texts that are longer than a spreadsheet's cell "
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
    from ...campaign.forms import import_forms
    from ...store.connection import open_store

    with open_store(settings.store) as con:
        done = import_forms(
            con,
            campaign,
            files,
            rubric=rubric_name,
            annotator=annotator,
            kind=kind,
            on_form=lambda form: _say_taken(form, campaign),
        )
    if any(form.taken.changed for form in done):
        open_stdout().print("next: preceptor fuse")


def _say_taken(form: "ImportedForm", campaign: str) -> None:
    from rich.markup import escape

    path, filled, taken = form.path, form.filled, form.taken
    out, err = open_stdout(), open_stderr()
    rows = [
        ("answers", f"{taken.new:,} new, {taken.superseded:,} changed, {taken.unchanged:,} as they were"),
        ("annotators", f"{filled.answers['annotator'].n_unique():,}"),
        ("left empty", f"{filled.unanswered:,}"),
        ("rejected", f"{filled.rejects.height + taken.rejected:,}"),
    ]
    out.print(make_table(escape(str(path)), ("", ""), rows))
    for note in filled.notes:
        err.print(f"{path}: {note}", markup=False)
    refused = [
        f"{path}:{row['line']}: {row['reason']}" for row in filled.rejects.head(5).iter_rows(named=True)
    ]
    for line in (*refused, *taken.first_rejects):
        err.print(line, markup=False)
    if refused or taken.first_rejects:
        err.print(f"all of them: preceptor status --rejects {campaign}", markup=False)
