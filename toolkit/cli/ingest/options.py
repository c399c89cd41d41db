"""The options of `preceptor ingest`, named like the keys of an entry."""

from collections.abc import Sequence
from pathlib import Path

import click

from ....schemas.allowance import parse_size
from ...ingest.formats import Format
from ..options import MAX_UNPACKED, Choice, read_encoding, read_name


def read_pairs(_: click.Context, option: click.Parameter, values: Sequence[str]) -> list[tuple[str, str]]:
    """Read the values of --map and --set: the names before and after the equals sign."""
    split = [value.partition("=") for value in values]
    for value, (ours, equals, theirs) in zip(values, split, strict=True):
        if not (ours and equals and theirs):
            such = "criterion=helpful" if option.name == "set" else "annotator=judgeId"
            raise click.BadParameter(f"expected {option.metavar}, such as {such}, got '{value}'")
    return [(ours.strip(), theirs) for ours, _, theirs in split]


def _check_scale(_: click.Context, __: click.Parameter, value: str | None) -> str | None:
    """Check the value of --scale: lowest..highest."""
    from ...recipes.project.entry import parse_scale

    if value is not None and parse_scale(value) is None:
        raise click.BadParameter(f"expected LOWEST..HIGHEST, such as 0..100, got '{value}'")
    return value


def _check_size(_: click.Context, __: click.Parameter, value: str | None) -> str | None:
    """Check the value of --max-unpacked: a number of bytes."""
    if value is not None and parse_size(value) is None:
        raise click.BadParameter(f"expected a size, such as 500MB or 2GB, got '{value}'")
    return value


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


# Options of some formats (Format.takes).
OWN: dict[str, click.Parameter] = {
    "about": click.Option(
        ["--about"],
        help="Source whose completions or prompts these are about. Default: the only one that has any.",
    ),
    "map": click.Option(
        ["--map"],
        multiple=True,
        callback=read_pairs,
        metavar="OURS=THEIRS",
        help="Read our column OURS from the file's column THEIRS. OURS:VALUE=WORD says that "
        "a word of the file means our value: choice:tie='Both are equal'. May be repeated.",
    ),
    "annotator_names": click.Option(
        ["--annotator-names"],
        callback=_names,
        metavar="ID=NAME,…",
        help="Names to use for the corpus's annotator ids, such as 0=anna,1=ben.",
    ),
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
        ["--set"],
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
        callback=_check_scale,
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


_PATH = click.Path(path_type=Path)


def list_options(format: Format) -> list[click.Parameter]:
    """List the parameters of the command of a format."""
    return [
        click.Argument(["paths"], nargs=-1, required=True, type=_PATH),
        click.Option(
            ["--source"], required=True, callback=read_name, help="Name of the source in the store."
        ),
        *_list_shared(format.language),
        *(_name_about(format) if name == "about" else OWN[name] for name in format.takes),
    ]


def _name_about(format: Format) -> click.Parameter:
    """The option --about of a format whose rows name completions, or prompts."""
    default = "Default: the only one that has any."
    return click.Option(["--about"], help=f"Source whose {format.about} these are about. {default}")


def list_options_of_all() -> list[click.Parameter]:
    """List the parameters of the command without a format."""
    return [
        click.Argument(["paths"], nargs=-1, type=_PATH),
        click.Option(
            ["--source"],
            callback=read_name,
            help="Name of the source. Default: the file's name.",
        ),
        click.Option(
            ["--from", "from_"],
            type=click.Path(path_type=Path),
            metavar="FILE",
            help="Read all sources that a file lists (sources.yaml); what is there already adds nothing.",
        ),
        click.Option(
            ["--yes"], is_flag=True, help="Do not ask where the format is sure and nothing is guessed."
        ),
        *_list_shared(None),
        *OWN.values(),
    ]


def _list_shared(language: str | None) -> list[click.Parameter]:
    return [
        click.Option(
            ["--license"], help="Licence as an SPDX id, such as CC-BY-4.0. Default: NOASSERTION (not stated)."
        ),
        click.Option(
            ["--language"],
            default=language,
            show_default=language is not None,
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
        click.Option(["--max-unpacked"], **MAX_UNPACKED | {"callback": _check_size}),
        click.Option(["--replace"], is_flag=True, help="Replace the source of that name."),
        click.Option(["--strict"], is_flag=True, help="Stop at the first row that cannot be read or used."),
        click.Option(
            ["--dry-run"],
            is_flag=True,
            help="Read everything and store nothing: counts, rejects and the first rows are shown.",
        ),
        click.Option(
            ["--save"],
            type=click.Path(path_type=Path, dir_okay=False),
            metavar="FILE",
            help="Add this source to a file of sources, such as sources.yaml (ingest --from reads it).",
        ),
    ]
