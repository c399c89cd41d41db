"""Export a campaign's questions as forms that annotators fill in, and import the filled-in forms.

    export_forms(con, "week-1", Path("form.csv"), ExportOptions("pairwise-preference", Selection(50)))
    import_forms(con, "week-1", [Path("form.csv")], annotator="ada")

Invalid rows are kept in table `rejects`:
week-1/5f0c2ab1d94e77a3/ada.csv:7: 'preference' is 'C'; expected A, B or tie
"""

import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path

import polars as pl

from ...annotation.forms.files import (
    check_suffix,
    count_long_texts,
    list_form_columns,
    make_form_texts,
    match_columns,
    read_object,
    restore,
    write_texts,
)
from ...annotation.forms.forms import (
    FilledForm,
    FormRow,
    distribute_questions,
    list_answer_columns,
    take_rows,
)
from ...annotation.forms.label_studio import read_label_studio
from ...annotation.rubrics.rubric import list_rubrics, read_rubric
from ...schemas.allowance import Allowance
from ...schemas.errors import AnnotationError, SourceError
from ...schemas.licenses import read_license
from ...schemas.rubric import Rubric
from ...schemas.support.nearest import suggest
from ...schemas.tables import REJECTS
from ..ingest.files.header import name_column
from ..ingest.files.json_lists import describe_not_json_lines
from ..ingest.files.numbered_lines import Input, check_options, note_encoding, read_lines, read_whole
from ..ingest.files.table_files import list_columns, read_table
from ..ingest.files.values import fold, note_unmet
from ..ingest.recognise.other_programs import describe_program
from ..privacy.pseudonyms import find_key_file, make_forgotten_check, make_naming
from ..store.connection import Store, insert, query, run, transaction
from ..store.folders import note_written
from ..store.where import explain_absence
from .answers import Taken, take_answers
from .campaigns import check_same_rubric, list_campaigns, set_license
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
    for file in files:
        note_written(con, file, "form")
    mark_asked(con, campaign, questions["key"])
    long = count_long_texts(questions) if out.suffix.lower() == ".csv" else 0
    return ExportedForms(questions.height, files, chosen, long)


def find_rubric(con: Store, campaign: str, given: str | Path | None = None) -> Rubric:
    """Read the given rubric, or find the packaged one that the campaign was begun with.

    Raises AnnotationError if the campaign was begun with another rubric, or there is no such campaign.
    """
    if given is not None:
        rubric = read_rubric(given)
        check_same_rubric(con, campaign, rubric)
        return rubric
    names = list_campaigns(con)
    if campaign not in names:
        said = explain_absence(campaign, names, "campaign")
        begin = f"preceptor annotate export --campaign {campaign} --rubric NAME begins one"
        raise AnnotationError(f"--campaign {campaign}: {said} ({begin})")
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
    encoding: str = "",
    sheet: str = "",
    values: dict[str, dict[str, str]] | None = None,
    max_unpacked: int | None = None,
    on_form: Callable[[ImportedForm], object] = _ignore,
) -> list[ImportedForm]:
    """Take the answers of filled-in forms into the store; the same form again changes nothing.

    All forms are read before any is stored. `rubric` is needed if the campaign's is not a packaged one;
    `annotator` is the default for forms that name none; `kind` is student, expert or crowd; `encoding`,
    `sheet`, `values` and `max_unpacked` as in `ingest`. `on_form` gets each form when it is in the store.
    Raises AnnotationError for a file that is no form of the campaign, of which no row can be taken, or in
    which no answer has an annotator.
    """
    asked = find_rubric(con, campaign, rubric)
    questions = query(con, "SELECT key, shown_first FROM questions WHERE source = ?", [campaign])
    now = datetime.now(UTC)
    forms = {}
    allowance = Allowance(max_unpacked)
    for path in files:
        file = Input(path, path.name, encoding, sheet, allowance=allowance)
        forms[path] = filled = read_form(file, questions, asked, annotator, now, values or {})
        if filled.answers.is_empty() and filled.rejects.height:
            first = "".join(
                f"\n  {path}:{n}: {r}" for n, r in filled.rejects.select("line", "reason").head(5).rows()
            )
            raise AnnotationError(
                f"{path}: none of its {filled.rejects.height:,} answers can be taken{first}"
            )
    done = []
    for path, filled in forms.items():
        taken = take_answers(con, campaign, filled.answers, kind=kind, came_by="file")
        who = [*filled.answers["annotator"], *([annotator] if annotator else [])]
        store_form_rejects(con, campaign, path.name, filled.rejects, who)
        done.append(ImportedForm(path, filled, taken))
        on_form(done[-1])
    return done


def read_form(
    file: Input,
    questions: pl.DataFrame,
    rubric: Rubric,
    annotator: str | None,
    now: datetime,
    values: dict[str, dict[str, str]] | None = None,
) -> FilledForm:
    """Read a filled-in form of any format: a table (CSV, .xlsx, .ods), JSON Lines or Label Studio's JSON.

    `questions` has key and shown_first; see `take_rows` for `annotator` and `now`. `values` are words of the
    form for ours, by column: {"preference": {"both are equal": "tie"}}. Raises AnnotationError if it is no
    form of this campaign, or the file cannot be read.
    """
    path, notes = file.path, list[str]()
    for column in values or {}:
        if column not in list_answer_columns(rubric):
            hint = suggest(column, list_answer_columns(rubric), "columns of answers")
            raise AnnotationError(f"--map {column}:…=…: no column '{column}' of answers: {hint}")
    try:
        check_options(file)
        match path.suffix.lower():
            case ".json":
                rows, notes = read_label_studio(read_whole(file), path, list_answer_columns(rubric))
            case ".jsonl":
                rows = _read_lines(file, rubric)
            case _:
                rows, others = _read_table(file, rubric)
                notes = [f"columns that are not read: {', '.join(others)}"] if others else []
    except (SourceError, AnnotationError) as error:
        other = describe_program(file)
        raise AnnotationError(f"{error}\n{other}" if other else str(error)) from error
    if values:
        met = {
            (name, word)
            for row in rows
            for name in values
            if (word := fold(row.cells.get(name, ""))) in values[name]
        }
        rows = [
            replace(row, cells={n: values.get(n, {}).get(fold(cell), cell) for n, cell in row.cells.items()})
            for row in rows
        ]
        notes = [*notes, *note_unmet(values, met)]
    encoded = note_encoding(file)
    said = (*([encoded] if encoded else []), *file.notes, *notes)
    return take_rows(rows, questions, rubric, path, annotator=annotator, now=now, notes=said)


def _read_lines(file: Input, rubric: Rubric) -> list[FormRow]:
    """Rows of JSON Lines. Raises SourceError for other JSON and other encodings."""
    if fault := describe_not_json_lines(file):
        raise SourceError(fault)
    rows = []
    for block in read_lines(file):
        filled = block.filter(pl.col("raw").str.strip_chars() != "")
        _check_text(file, filled.filter("damaged")["line"])
        rows += [read_object(line, raw, rubric) for line, raw in filled.select("line", "raw").rows()]
    _check_end(file, rows)
    return rows


def _read_table(file: Input, rubric: Rubric) -> tuple[list[FormRow], list[str]]:
    """Rows of a table, and its columns that are not read."""
    places, others = match_columns(list_columns(file, list_form_columns(rubric)), rubric, file.path)
    rows = []
    for records, bad in read_table(file, list(places.values())):
        _check_text(file, bad.filter(pl.col("reason") == "not valid UTF-8")["line"])
        cells = records.select(
            "line",
            *(pl.col(name_column(theirs)).cast(pl.String).alias(ours) for ours, theirs in places.items()),
        )
        for line, *texts in cells.rows():
            named = {
                name: restore(text) for name, text in zip(places, texts, strict=True) if text is not None
            }
            rows.append(FormRow(line, named))
        rows += [FormRow(line, {}, fault=reason) for line, reason in bad.select("line", "reason").rows()]
    rows.sort(key=lambda row: row.line)
    _check_end(file, rows)
    return rows, others


def _check_text(file: Input, damaged: pl.Series) -> None:
    """Raise SourceError if lines are not text in the file's encoding."""
    if len(damaged):
        raise SourceError(
            f"{file.path}:{damaged[0]}: not valid in {file.encoding or 'UTF-8'}; name its encoding, such as "
            "--encoding windows-1252 (Excel's CSV in Western Europe) or windows-1251 (Cyrillic), or save it "
            "as 'CSV UTF-8'"
        )


def _check_end(file: Input, rows: Sequence[FormRow]) -> None:
    """Raise SourceError if the last row cannot be read, as in a file that is cut off."""
    fault = rows[-1].fault if rows else None
    fields = re.match(r"expected (\d+) fields, found (\d+)", fault or "")
    short = fields and int(fields[2]) < int(fields[1])
    if fault and (short or fault.startswith(("not JSON", "a quote is not closed"))):
        raise SourceError(f"{file.path}:{rows[-1].line}: the last row: {fault}; is the file cut off?")


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
