"""`preceptor annotate export` and `import`: questions as files, for annotators without a server."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ....schemas.support.numbers import format_count
from ..options import (
    MAX_UNPACKED,
    Choice,
    Common,
    add_where_options,
    common,
    make_table,
    open_stderr,
    open_stdout,
    read_encoding,
)

if TYPE_CHECKING:
    from ...campaign.forms import ImportedForm


@click.command("export")
@click.option("--campaign", required=True, help="Name of the campaign; a new name begins a campaign.")
@click.option(
    "--out",
    required=True,
    type=click.Path(path_type=Path, dir_okay=False),
    help="File to write: forms.csv (spreadsheet), forms.jsonl, or forms.json (Label Studio).",
)
@click.option(
    "--rubric",
    "rubric_name",
    metavar="RUBRIC",
    help="Rubric that says what is asked: its name or a .yaml file. Needed for a new campaign, "
    "and for one whose rubric is a file of your own.",
)
@click.option(
    "--n",
    "-n",
    "n",
    type=click.IntRange(1),
    help="Total number of questions in the campaign. Default: 200 for a new campaign, else those it has.",
)
@click.option(
    "--select",
    type=Choice(["information", "uncertain", "coverage", "random"]),
    help="How new questions are chosen. Default: information, if a fit can estimate it; else coverage.",
)
@add_where_options(language=False)
@click.option(
    "--seed",
    type=click.IntRange(0),
    default=0,
    show_default=True,
    help="Random seed of the choice of questions and of which side is shown first.",
)
@click.option(
    "--license",
    "license_id",
    help="Licence of the answers, as an SPDX id. Without one the answers are not published.",
)
@click.option(
    "--annotator",
    "annotators",
    multiple=True,
    metavar="NAME",
    help="Write a form for this annotator, forms-NAME.csv, with the name filled in. May be repeated.",
)
@click.option(
    "--overlap",
    type=click.IntRange(1),
    help="Number of annotators who get each question. Default: all of them.",
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

    In a .csv file, annotators type A, B or tie (or numbers) with a spreadsheet program. A .json file is for
    Label Studio: its labelling configuration is written beside it, as .xml. Existing files are not
    overwritten.
    """
    from ...campaign.forms import ExportOptions, export_forms
    from ...campaign.questions import Selection
    from ...store.connection import open_store

    selection = Selection(how["n"], how["select"], how["seed"], where=how["where"])
    options = ExportOptions(rubric_name, selection, license_id, annotators, overlap)
    notices = open_stderr()
    with open_store(settings.store) as con:
        done = export_forms(con, campaign, out, options, notices.print)
    shown = open_stdout()
    shown.print(f"{campaign}: {format_count(done.questions, 'question')}")
    for path in done.files:
        shown.print(f"  {path}")
    if done.long_texts:
        notices.print(
            f"note: {done.long_texts} questions have texts that are longer than a spreadsheet's cell "
            "(32,767 characters); give those annotators .jsonl",
        )
    shown.print(f"when they are filled in: preceptor annotate import FILE --campaign {campaign}")


@click.command("import")
@click.argument(
    "files", metavar="FILE", nargs=-1, required=True, type=click.Path(path_type=Path, dir_okay=False)
)
@click.option("--campaign", required=True, help="Campaign whose questions are answered.")
@click.option(
    "--rubric", "rubric_name", metavar="RUBRIC", help="Rubric of the campaign, if it is a file of your own."
)
@click.option("--annotator", metavar="NAME", help="Name of the annotator, if the form does not say it.")
@click.option(
    "--kind",
    type=Choice(["student", "expert", "crowd"]),
    help="Kind of the annotators. Default: crowd, for those whose kind was never given.",
)
@click.option(
    "--encoding",
    callback=read_encoding,
    metavar="NAME",
    help="Encoding of the forms, such as windows-1252. Default: UTF-8, or UTF-16 where the file begins with "
    "its byte-order mark.",
)
@click.option("--sheet", metavar="NAME", help="Sheet of a spreadsheet, if several have rows.")
@click.option(
    "--map",
    "maps",
    multiple=True,
    metavar="COLUMN:VALUE=WORD",
    help="A word of the form that means an answer, such as preference:tie='Both are equal'. May be repeated.",
)
@click.option("--max-unpacked", **MAX_UNPACKED)
@common
def import_(
    settings: Common,
    /,
    files: tuple[Path, ...],
    campaign: str,
    rubric_name: str | None,
    annotator: str | None,
    kind: str | None,
    encoding: str | None,
    sheet: str | None,
    maps: tuple[str, ...],
    max_unpacked: int | None,
) -> None:
    """Read answers from filled-in forms, as votes and ratings of annotators under pseudonyms.

    FILE is a form that preceptor annotate export wrote (.csv, .xlsx or .ods as any spreadsheet program saves
    it, or .jsonl), or a JSON export of Label Studio. Reading the same form again changes nothing. An edited
    answer replaces the old one, which stays in the history. A row that is left empty changes nothing: an
    earlier answer stays.
    """
    from ...campaign.forms import import_forms
    from ...ingest.files.values import split_maps
    from ...store.connection import open_store

    columns, values = split_maps([(ours, theirs) for ours, _, theirs in (one.partition("=") for one in maps)])
    if columns or any(not value or not word for words in values.values() for word, value in words.items()):
        raise click.BadParameter(
            "expected COLUMN:VALUE=WORD, such as preference:tie=equal", param_hint="--map"
        )
    with open_store(settings.store) as con:
        done = import_forms(
            con,
            campaign,
            files,
            rubric=rubric_name,
            annotator=annotator,
            kind=kind,
            encoding=encoding or "",
            sheet=sheet or "",
            values=values,
            max_unpacked=max_unpacked,
            on_form=lambda form: _say_taken(form, campaign),
        )
    if any(form.taken.changed for form in done):
        open_stdout().print("next: preceptor fuse")


def _say_taken(form: "ImportedForm", campaign: str) -> None:
    path, filled, taken = form.path, form.filled, form.taken
    out, err = open_stdout(), open_stderr()
    rows = [
        ("answers", f"{taken.new:,} new, {taken.superseded:,} changed, {taken.unchanged:,} as they were"),
        ("annotators", f"{filled.answers['annotator'].n_unique():,}"),
        ("left empty", f"{filled.unanswered:,}"),
        ("rejected", f"{filled.rejects.height + taken.rejected:,}"),
    ]
    if filled.missing:
        rows.append(("questions not in it", f"{filled.missing:,}"))
    out.print(make_table(str(path), ("", ""), rows))
    for note in filled.notes:
        err.print(f"{path}: {note}")
    refused = [
        f"{path}:{row['line']}: {row['reason']}" for row in filled.rejects.head(5).iter_rows(named=True)
    ]
    for line in (*refused, *taken.first_rejects):
        err.print(line)
    if refused or taken.first_rejects:
        err.print(f"all of them: preceptor status --rejects {campaign}")
