"""Export a campaign's questions as forms that annotators fill in, and import the filled-in forms.

    export_forms(con, "week-1", Path("form.csv"), ExportOptions("pairwise-preference", Selection(50)))
    import_forms(con, "week-1", [Path("form.csv")], annotator="ada")

Invalid rows are kept in table `rejects`:
week-1/5f0c2ab1d94e77a3/ada.csv:7: 'preference' is 'C'; expected A, B or tie
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

import polars as pl

from ...annotation.forms.files import check_suffix, count_long_texts, make_form_texts, read_form, write_texts
from ...annotation.forms.forms import FilledForm, distribute_questions
from ...annotation.rubrics.rubric import list_rubrics, read_rubric
from ...schemas.errors import AnnotationError
from ...schemas.licenses import read_license
from ...schemas.rubric import Rubric
from ...schemas.tables import REJECTS
from ..privacy.pseudonyms import find_key_file, make_forgotten_check, make_naming
from ..store.connection import Store, insert, query, run, transaction
from ..store.where import explain_absence
from .answers import Taken, take_answers
from .campaigns import check_rubric, list_campaigns, set_license
from .questions import Chosen, Selection, extend_campaign, mark_asked, read_questions


@dataclass(frozen=True)
class ExportOptions:
    """Options of an export."""

    rubric: str | Path | None = None
    """Name or YAML file; default: the packaged rubric that the campaign was begun with."""
    selection: Selection = field(default_factory=Selection)
    license: str | None = None
    """SPDX id of the answers' licence; default: not for publication."""
    annotators: tuple[str, ...] = ()
    """One form for each, with the name filled in; default: one form without a name."""
    overlap: int | None = None
    """Annotators who get each question; default: all."""


@dataclass(frozen=True)
class ExportedForms:
    """Result of an export."""

    questions: int
    files: list[Path]
    chosen: Chosen
    long_texts: int
    """Questions with a text longer than a spreadsheet's cell; 0 unless the form is .csv."""


@dataclass(frozen=True)
class ImportedForm:
    """Answers of a form, and their status in the store."""

    path: Path
    filled: FilledForm
    taken: Taken


def _ignore(*_: object) -> None:
    """Do nothing: the default callback."""


def export_forms(
    con: Store,
    campaign: str,
    out: Path,
    options: ExportOptions | None = None,
    say: Callable[[str], object] = _ignore,
) -> ExportedForms:
    """Write a campaign's questions to forms with a guide beside each; begins or extends the campaign first.

    The suffix of `out` gives the format: .csv, .jsonl or .json (Label Studio). `say` gets notes about
    missing questions. Raises AnnotationError if no prompt matches, a file exists, or options conflict.
    """
    options = options or ExportOptions()
    names = options.annotators
    check_suffix(out)
    license = read_license(options.license)
    if options.overlap and options.overlap > len(names):
        raise AnnotationError(f"--overlap {options.overlap} needs as many --annotator (now {len(names)})")
    if len(set(names)) < len(names):
        raise AnnotationError("an --annotator is named twice")
    rubric = find_rubric(con, campaign, options.rubric)
    chosen = extend_campaign(con, campaign, rubric, options.selection)
    for note in chosen.notes:
        say(f"note: {note}")
    if options.license:
        set_license(con, campaign, license)
    questions = read_questions(con, campaign)
    files = _write_forms(out, questions, rubric, options)
    mark_asked(con, campaign, questions["key"])
    long = count_long_texts(questions) if out.suffix.lower() == ".csv" else 0
    return ExportedForms(questions.height, files, chosen, long)


def find_rubric(con: Store, campaign: str, given: str | Path | None = None) -> Rubric:
    """Read the given rubric, or find the packaged one that the campaign was begun with.

    Raises AnnotationError if the campaign was begun with another rubric, or there is no such campaign.
    """
    if given is not None:
        rubric = read_rubric(given)
        check_rubric(con, campaign, rubric)
        return rubric
    names = list_campaigns(con)
    if campaign not in names:
        said = explain_absence(campaign, names, "campaign")
        raise AnnotationError(f"--campaign {campaign}: {said} (export --rubric NAME begins one)")
    rows = run(con, "SELECT DISTINCT rubric FROM questions WHERE source = ?", [campaign])
    digests = [digest for (digest,) in rows]
    found = next((rubric for rubric in list_rubrics() if rubric.digest in digests), None)
    if found is None:
        ((notes,),) = run(con, "SELECT notes FROM sources WHERE name = ?", [campaign])
        raise AnnotationError(
            f"campaign '{campaign}': {notes}, which does not come with Preceptor; "
            "give its file with --rubric FILE.yaml"
        )
    return found


def _write_forms(out: Path, questions: pl.DataFrame, rubric: Rubric, options: ExportOptions) -> list[Path]:
    """Write one form, or one for each annotator; none if any of the files exists."""
    names = options.annotators
    if not names:
        return write_texts(make_form_texts(out, questions, rubric, None))
    texts: dict[Path, str] = {}
    for who, part in distribute_questions(questions, names, options.overlap or len(names)).items():
        made = make_form_texts(out.with_name(f"{out.stem}-{_plain(who)}{out.suffix}"), part, rubric, who)
        if twice := texts.keys() & made.keys():
            raise AnnotationError(f"two --annotator have the same file, {min(twice)}; name one otherwise")
        texts |= made
    return write_texts(texts)


def _plain(name: str) -> str:
    """Convert a name to a part of a file name."""
    return "".join(c if c.isalnum() or c in "-_.@+" else "_" for c in name)


def import_forms(
    con: Store,
    campaign: str,
    files: Sequence[Path],
    *,
    rubric: str | Path | None = None,
    annotator: str | None = None,
    kind: str | None = None,
    on_form: Callable[[ImportedForm], object] = _ignore,
) -> list[ImportedForm]:
    """Take the answers of filled-in forms into the store; the same form again changes nothing.

    All forms are read before any is stored. `rubric` is needed if the campaign's is not a packaged one;
    `annotator` is the default for forms that name none; `kind` is student, expert or crowd. `on_form` gets
    each form when it is in the store. Raises AnnotationError for a file that is no form of the campaign, or
    in which no answer has an annotator.
    """
    asked = find_rubric(con, campaign, rubric)
    questions = query(con, "SELECT key, shown_first FROM questions WHERE source = ?", [campaign])
    now = datetime.now(UTC)
    forms = {path: read_form(path, questions, asked, annotator, now) for path in files}
    done = []
    for path, filled in forms.items():
        taken = take_answers(con, campaign, filled.answers, kind=kind, came_by="file")
        who = [*filled.answers["annotator"], *([annotator] if annotator else [])]
        store_form_rejects(con, campaign, path.name, filled.rejects, who)
        done.append(ImportedForm(path, filled, taken))
        on_form(done[-1])
    return done


def store_form_rejects(
    con: Store, campaign: str, file: str, rejects: pl.DataFrame, annotators: Iterable[str]
) -> None:
    """Store a form's rejected rows, in place of those of an earlier import.

    `rejects` has annotator (their own id, or null), line, raw, reason; `annotators` are all who filled in the
    form. The path is campaign, pseudonym, file: no name is stored, and no row of a forgotten person.
    """
    with transaction(con):
        name = make_naming(con, find_key_file())
        everybody = name(
            pl.Series(sorted({*annotators, *rejects["annotator"].drop_nulls()}), dtype=pl.String)
        )
        places = [f"{campaign}/{file}", *(f"{campaign}/{who}/{file}" for who in everybody)]
        named = name(rejects["annotator"])
        rows = (
            rejects.drop("annotator")
            .with_columns(named.alias("who"), make_forgotten_check(con)(named).alias("gone"))
            .filter(~pl.col("gone"))
            .select(
                pl.lit(campaign).alias("source"),
                _path(campaign, file),
                "line",
                "raw",
                "reason",
            )
            .group_by("source", "path", "line", "reason", maintain_order=True)
            .agg(pl.col("raw").str.join("\n"))
        )
        run(
            con,
            "DELETE FROM rejects WHERE source = ? AND list_contains(?::VARCHAR[], path)",
            [campaign, places],
        )
        insert(con, REJECTS, rows)
        run(
            con,
            "UPDATE sources SET rejects = (SELECT count(*) FROM rejects WHERE source = $name) "
            "WHERE name = $name",
            {"name": campaign},
        )


def _path(campaign: str, file: str) -> pl.Expr:
    """Path of rejects: campaign, the pseudonym in `who` if any, file."""
    parts = (pl.lit(campaign), pl.col("who"), pl.lit(file))
    return pl.concat_str(*parts, separator="/", ignore_nulls=True).alias("path")
