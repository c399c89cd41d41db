"""Recognise files that are not what a reader expects, and say what to do."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from ....schemas.errors import SourceError
from ..files.json_lists import describe_not_json_lines
from ..files.numbered_lines import Input, is_binary, read_start

_ARGILLA = (
    "holds records exported from Argilla; preceptor annotate pull reads the answers to a campaign from the "
    "server, those to others can be written as a table of votes or ratings (preceptor ingest votes --help)"
)
_XAPI = "holds xAPI statements; read them with: preceptor ingest xapi"
_LABEL_STUDIO = (
    "holds an export of Label Studio; answers to a campaign are read with: preceptor annotate import FILE "
    "--campaign NAME"
)

_POINTER = b"version https://git-lfs.github.com/spec/"
_PAGES = (b"<!doctype html", b"<html")


def check_downloads(files: Sequence[Input]) -> None:
    """Raise SourceError for a file that a download left instead of another: a pointer, or a web page."""
    for file in files:
        try:
            with file.path.open("rb") as stream:
                start = stream.read(200).removeprefix(b"\xef\xbb\xbf").lstrip().lower()
        except OSError as error:
            raise SourceError(f"{file.path}: {error.strerror}; check the file") from error
        if start.startswith(_POINTER):
            raise SourceError(
                f"{file.path}: is a pointer of Git LFS, not the file itself; fetch it with: git lfs pull"
            )
        if start.startswith(_PAGES):
            raise SourceError(
                f"{file.path}: is a web page, not the file itself; download the file, or save the table on "
                "that page as CSV"
            )


def describe_program(file: Input) -> str | None:
    """Describe a file that another program wrote and another command reads; None for other files."""
    try:
        start = read_start(file)
    except SourceError:
        return None
    head = start.lstrip().partition("\n")[0]
    if start.lstrip().startswith(("[", "{")):
        if all(name in start for name in ('"actor"', '"verb"', '"object"')):
            return f"{file.path}: {_XAPI}"
        if '"responses"' in start and '"fields"' in start:
            return f"{file.path}: {_ARGILLA}"
        if '"annotations"' in start and '"completed_by"' in start:
            return f"{file.path}: {_LABEL_STUDIO}"
    elif ".responses" in head:
        return f"{file.path}: {_ARGILLA}"
    return None


@contextmanager
def name_program(file: Input, format: str) -> Iterator[None]:
    """Add `describe_program` to a SourceError that is raised within, unless the format is that program's."""
    try:
        yield
    except SourceError as error:
        other = describe_program(file) if format != "xapi" else None
        if other is None:
            raise
        raise SourceError(f"{error}\n{other}") from error


def describe_file(file: Input, lists: bool, rejects: Sequence[str], notes: Sequence[str]) -> str:
    """Describe a file of which no row could be taken, in lines that begin with a line end; "" if it is usual.

    `lists`: the format is read from JSON lists too; `rejects` describe the most frequent rejects, `notes`
    are those of the reader.
    """
    if is_binary(file) and file.path.suffix.lower() != ".parquet":
        return f"\n{file.path}: is no text; is it the right file?"
    said = [note for note in notes if any(name in note for name in ("--encoding", "--map", "--about"))]
    object_ = not lists or read_start(file).lstrip().startswith("{")  # no list, which would be read
    if object_ and any("JSON" in reject or "object" in reject for reject in rejects):
        said += [fault] if (fault := describe_not_json_lines(file)) else []
    return "".join(f"\n{line}" for line in said)
