"""`preceptor ingest FORMAT PATH…`: read files into the store."""

from collections.abc import Sequence
from math import isfinite
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ....schemas.support.numbers import format_count
from ...ingest.formats import FORMATS, Format
from ..options import MAX_UNPACKED, Choice, Common, common, open_stderr, open_stdout, read_encoding, read_name

if TYPE_CHECKING:
    from ...ingest.run import IngestReport


@click.group()
def ingest() -> None:
    """Read files into the store: one transaction, all or nothing.

    Rows that cannot be read or used go to `rejects` with file, line and reason. Reading the same bytes
    again adds nothing.
    """


def read_pairs(_: click.Context, option: click.Parameter, values: Sequence[str]) -> list[tuple[str, str]]:
    """Read the values of --map and --set: the names before and after the equals sign."""
    split = [value.partition("=") for value in values]
    for value, (ours, equals, theirs) in zip(values, split, strict=True):
        if not (ours and equals and theirs):
            such = "criterion=helpful" if option.name == "constants" else "annotator=judgeId"
            raise click.BadParameter(f"expected {option.metavar}, such as {such}, got '{value}'")
    return [(ours.strip(), theirs) for ours, _, theirs in split]


def _scale(_: click.Context, __: click.Parameter, value: str | None) -> tuple[float, float] | None:
    """Read the value of --scale: lowest..highest."""
    if value is None:
        return None
    try:
        least, most = map(float, value.split(".."))
    except ValueError:
        least = most = 0
    if not (least < most and isfinite(most - least)):
        raise click.BadParameter(f"expected LOWEST..HIGHEST, such as 0..100, got '{value}'")
    return least, most


def _names(_: click.Context, __: click.Parameter, value: str | None) -> dict[str, str]:
    """Read the value of --annotator-names: id=name,id=name."""
    split = [part.strip().partition("=") for part in (value or "").split(",") if part.strip()]
    for id, equals, name in split:
        if not (id and equals and name):
            raise click.BadParameter(f"expected ID=NAME,ID=NAME, such as 0=anna,1=ben, got '{value}'")
    names = {id: name for id, _, name in split}
    if len(set(names.values())) < len(split):
        raise click.BadParameter(f"one id and one name for each annotator, got '{value}'")
    return names


# Options of some formats (Format.options), each a field of the reader's context.
_OWN: dict[str, click.Parameter] = {
    "align": click.Option(
        ["--align"],
        type=Choice(("minimal", "errant")),
        default="minimal",
        show_default=True,
        help="How edits are found: minimal (fewest changed tokens) or errant (as ERRANT does).",
    ),
    "levels": click.Option(
        ["--levels"],
        type=click.IntRange(2),
        help="Number of levels of the ratings, if no column states it.",
    ),
    "by_model": click.Option(
        ["--by-model"],
        is_flag=True,
        help="Models judged, not people: their names are kept, and a row without one is by a model named "
        "like the source. A column kind (student, expert, crowd or model) says it for each row.",
    ),
    "set": click.Option(
        ["--set", "constants"],
        multiple=True,
        callback=read_pairs,
        metavar="OURS=VALUE",
        help="Value of our column OURS where the file has none, such as criterion=helpful. May be repeated.",
    ),
    "wide": click.Option(
        ["--wide"],
        metavar="PATTERN",
        help="Names of columns with an answer each, with our column in braces: 'Which is better: {prompt}', "
        "'{annotator}', '{criterion}'. Each cell that is not empty becomes a row.",
    ),
    "split": click.Option(
        ["--split"],
        metavar="SEPARATOR",
        help="Character between several values of one field, such as ';' in 3;4;5.",
    ),
    "scale": click.Option(
        ["--scale"],
        callback=_scale,
        metavar="LOWEST..HIGHEST",
        help="Range of ratings that are no levels, such as 0..100, or means. Each becomes the nearest of "
        "--levels equal steps (default: 11).",
    ),
    "learner": click.Option(["--learner"], help="Id of the learner whose log it is, if no column states it."),
    "learner_from_path": click.Option(
        ["--learner-from-path"],
        metavar="PATTERN",
        help="Piece of each file's path that names its learner, such as 'user_id={learner}/' or "
        "'{learner}.csv'. The id is stored as a pseudonym, in paths too.",
    ),
    "one_learner": click.Option(
        ["--one-learner"], is_flag=True, help="The files are all the log of the one --learner."
    ),
    "passing": click.Option(
        ["--passing"],
        type=click.IntRange(0),
        metavar="GRADE",
        help="Lowest grade that counts as correct, if no column states correctness.",
    ),
    "keep_repeats": click.Option(
        ["--keep-repeats"],
        is_flag=True,
        help="Keep every row of a problem that the log repeats for each skill with the same answer. By "
        "default they are merged into one event with a set of skills.",
    ),
    "allow_rejects": click.Option(
        ["--allow-rejects"],
        is_flag=True,
        help="Keep the other rows although all rows of a value (such as tie), or most rows, are rejected.",
    ),
    "sheet": click.Option(
        ["--sheet"],
        metavar="NAME",
        help="Sheet of a spreadsheet (.xlsx, .ods) to read. Needed if several sheets have rows.",
    ),
    "date_format": click.Option(
        ["--date-format"],
        metavar="FORMAT",
        help="Format of the times in column at, such as '%d.%m.%Y %H:%M' (codes of strftime). Default: ISO "
        "8601 and forms like it, with the year first, or a number of seconds since 1970.",
    ),
}


def _options(format: Format) -> list[click.Parameter]:
    path = click.Path(path_type=Path)
    shared: list[click.Parameter] = [
        click.Argument(["paths"], nargs=-1, required=True, type=path),
        click.Option(
            ["--source"], required=True, callback=read_name, help="Name of the source in the store."
        ),
        click.Option(
            ["--license"], help="Licence as an SPDX id, such as CC-BY-4.0. Default: NOASSERTION (not stated)."
        ),
        click.Option(
            ["--language"],
            default=format.language,
            show_default=True,
            help="Language of the texts, as a BCP 47 code.",
        ),
        click.Option(["--url"], help="Address it came from."),
        click.Option(["--revision"], help="Commit or version at that address."),
        click.Option(
            ["--encoding"],
            callback=read_encoding,
            metavar="NAME",
            help="Encoding of text files, such as windows-1251 or latin-1. Default: UTF-8, or UTF-16 where "
            "the file begins with its byte-order mark.",
        ),
        click.Option(["--max-unpacked"], **MAX_UNPACKED),
        click.Option(["--replace"], is_flag=True, help="Replace the source of that name."),
        click.Option(["--strict"], is_flag=True, help="Stop at the first row that cannot be read or used."),
    ]
    if format.about:
        shared.append(
            click.Option(
                ["--about"],
                help=f"Source whose {format.about} these are about. Default: the only one that has any.",
            )
        )
    if format.about == "completions" or format.mapped:
        shared.append(
            click.Option(
                ["--map", "columns"],
                multiple=True,
                callback=read_pairs,
                metavar="OURS=THEIRS",
                help="Read our column OURS from the file's column THEIRS. OURS:VALUE=WORD says that "
                "a word of the file means our value: choice:tie='Both are equal'. May be repeated.",
            )
        )
    if format.kind in ("gec", "generated"):
        shared.append(
            click.Option(
                ["--annotator-names"],
                callback=_names,
                metavar="ID=NAME,…",
                help="Names to use for the corpus's annotator ids, such as 0=anna,1=ben.",
            )
        )
    return shared + [_OWN[name] for name in format.options]


def _command(format: Format) -> click.Command:
    @common
    def run(settings: Common, /, paths: tuple[Path, ...], source: str, **given: Any) -> None:
        from ....schemas.licenses import read_license
        from ...ingest.batch import Context
        from ...ingest.files.values import split_maps
        from ...ingest.formats.find_files import find_inputs
        from ...ingest.run import Origin
        from ...ingest.run import ingest as run_ingest
        from ...store.connection import open_store
        from ..progress import show_bar

        terms = read_license(given["license"])
        files = find_inputs(format, paths)
        columns, values = split_maps(given.get("columns") or ())
        context = Context(
            source,
            given["language"],
            given.get("about") or "",
            columns=columns,
            values=values,
            constants=dict(given.get("constants") or ()),
            wide=given.get("wide") or "",
            split=given.get("split") or "",
            scale=given.get("scale"),
            levels=given.get("levels"),
            by_model=given.get("by_model") or False,
            align=given.get("align") or "minimal",
            annotator_names=given.get("annotator_names") or {},
            learner=given.get("learner") or "",
            learner_from_path=given.get("learner_from_path") or "",
            one_learner=given.get("one_learner") or False,
            passing=given.get("passing"),
            keep_repeats=given.get("keep_repeats") or False,
            date_format=given.get("date_format") or "",
            allow_rejects=given.get("allow_rejects") or False,
            encoding=given["encoding"] or "",
            sheet=given.get("sheet") or "",
            max_unpacked=given["max_unpacked"],
        )
        # Each file is read twice: once for its digest, once for its rows.
        total = 2 * sum(file.path.stat().st_size for file in files)
        done = 0
        with show_bar(f"ingest {source}", open_stderr()) as update:

            def on_bytes(n: int) -> None:
                nonlocal done
                done += n
                update(done, total)

            with open_store(settings.store, create=True) as con:
                report = run_ingest(
                    con,
                    format,
                    files,
                    context,
                    Origin(terms, given["url"], given["revision"]),
                    replacing=given["replace"],
                    strict=given["strict"],
                    on_bytes=on_bytes,
                )
        say_report(report, terms.id, _list_unused())

    return click.Command(
        format.name,
        callback=run,
        params=_options(format),
        help=_help(format),
        short_help=format.summary,
    )


# Options of which a source that is there already has the value, or which are not about reading.
_COMPARED = ("paths", "source", "license", "language", "url", "revision", "sheet", "replace", "strict")


def _list_unused() -> list[str]:
    """List the options on the command line that nothing is made of if the file is not read again."""
    context = click.get_current_context()
    return [
        option.opts[0]
        for option in context.command.params
        if option.name
        and option.name not in _COMPARED
        and context.get_parameter_source(option.name) == click.core.ParameterSource.COMMANDLINE
    ]


def _help(format: Format) -> str:
    """Write the help of a format: summary, what the files look like, what their rows name."""
    indented = "\n".join(f"  {line}" for line in format.example.splitlines())
    about = {
        "": "",
        "completions": "\n\nA completion is named by its id in the source that holds it (--about).",
        "prompts": "\n\nA prompt is named by its id in the source that holds it (--about).",
    }[format.about]
    return (
        f"{format.summary}\n\n\b\n{indented}{about}\n\n"
        "A folder is searched for files of this format; .gz and .bz2 are unpacked."
    )


def _name_rows(table: str) -> tuple[str, str]:
    """Name one row of a table and several: "vote", "votes"."""
    if table == "lexicon":
        return "term", "terms"
    one = f"{table.removesuffix('ies')}y" if table.endswith("ies") else table.removesuffix("s")
    return one, table


def say_report(report: "IngestReport", license: str, unused: Sequence[str] = ()) -> None:
    """Print what was read and what was rejected.

    `license` is the source's; `unused` are options that a file which is there already is not read with.
    """
    from ....schemas.licenses import NONE_STATED

    out, err = open_stdout(), open_stderr()
    name = report.source
    if report.already_there:
        without = f", and {', '.join(unused)} not looked at" if unused else ""
        out.print(
            f"{name}: already holds exactly these bytes; nothing added (--replace reads them again){without}"
        )
        return
    tables = ", ".join(format_count(n, *_name_rows(table)) for table, n in report.added.items() if n)
    rows = format_count(report.rows, "row")
    out.print(f"{name}: {rows} taken, {report.rejects:,} rejected ({tables})")
    if report.rejects:
        err.print(f"rejected, kept with file, line and reason (preceptor status --rejects {name}):")
        for line in report.reject_lines:
            err.print(f"  {line}")
    for note in report.notes:
        err.print(f"note: {note}")
    if license == NONE_STATED:
        err.print(f"no --license given: rows of {name} may not be published")


for _format in FORMATS.values():
    ingest.add_command(_command(_format))
