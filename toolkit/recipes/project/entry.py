"""One source of a project, as `sources.yaml` and the command line describe it.

- source: week-1                        preceptor ingest votes votes.csv --source week-1
  format: votes                             --license CC-BY-4.0 --map annotator=judge
  paths: [votes.csv]
  license: CC-BY-4.0
  map: {annotator: judge}
"""

import re
import shlex
from collections.abc import Iterator, Mapping, Sequence
from math import isfinite
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from ....schemas.allowance import parse_size
from ....schemas.cells import find_codec
from ....schemas.licenses import read_license
from ....schemas.support.nearest import suggest
from ...ingest.batch import Context
from ...ingest.files.values import split_maps
from ...ingest.formats import FORMATS, Format
from ...ingest.run import Origin

Words = dict[str, str | list[str]]
SHARED = ("license", "language", "url", "revision", "encoding", "max_unpacked", "strict")
"""Options that every format takes."""


class Entry(BaseModel):
    """A source: its name, its files, and how they are read; keys are named like the options of ingest."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    source: str = Field(min_length=1, description="Name of the source in the store.")
    format: str = Field(description="Format of the files, such as votes (preceptor ingest --help).")
    paths: list[str] = Field(min_length=1, description="Files or folders, beside this file.")
    license: str | None = Field(None, description="Licence as an SPDX id, such as CC-BY-4.0.")
    language: str | None = Field(None, description="Language of the texts, as a BCP 47 code.")
    url: str | None = Field(None, description="Address it came from.")
    revision: str | None = Field(None, description="Commit or version at that address.")
    encoding: str | None = Field(None, description="Encoding of text files, such as windows-1251.")
    max_unpacked: str | None = Field(None, description="Most that packed files may unpack to: 2GB.")
    strict: bool = Field(False, description="Stop at the first row that cannot be read or used.")
    about: str | None = Field(None, description="Source whose completions or prompts these are about.")
    map: Words = Field({}, description="Our column: the file's. column:value: its word, or words.")
    set: dict[str, str] = Field({}, description="Our column: its value where the file has none.")
    wide: str | None = Field(None, description="Names of columns with an answer each.")
    split: str | None = Field(None, description="Character between several values of one field.")
    scale: str | None = Field(None, description="Range of ratings that are no levels, such as 0..100.")
    levels: int | None = Field(None, ge=2, description="Number of levels of the ratings.")
    by_model: bool = Field(False, description="Models judged, not people.")
    align: Literal["minimal", "errant"] = Field("minimal", description="How edits are found.")
    annotator_names: dict[str, str] = Field({}, description="The corpus's annotator id: its name.")
    learner: str | None = Field(None, description="Id of the learner whose log it is.")
    learner_from_path: str | None = Field(None, description="Piece of each path that names its learner.")
    one_learner: bool = Field(False, description="The files are all the log of the one learner.")
    passing: int | None = Field(None, ge=0, description="Lowest grade that counts as correct.")
    keep_repeats: bool = Field(False, description="Keep every row of a problem that a log repeats.")
    allow_rejects: bool = Field(False, description="Keep the other rows although many are rejected.")
    sheet: str | None = Field(None, description="Sheet of a spreadsheet.")
    date_format: str | None = Field(None, description="Format of times, such as %d.%m.%Y %H:%M.")

    @field_validator("format")
    @classmethod
    def check_format(cls, name: str) -> str:
        """Raise ValueError for a format that is not known."""
        if name not in FORMATS:
            raise ValueError(f"no format '{name}': {suggest(name, FORMATS, 'known formats')}")
        return name

    @field_validator("license")
    @classmethod
    def check_license(cls, name: str | None) -> str | None:
        """Raise SourceError for a licence that is none."""
        read_license(name)
        return name

    @field_validator("encoding")
    @classmethod
    def check_encoding(cls, name: str | None) -> str | None:
        """Raise ValueError if there is no encoding of that name."""
        if name is not None and find_codec(name) is None:
            raise ValueError(f"no encoding '{name}'; expected a name such as windows-1251 or latin-1")
        return name

    @field_validator("scale")
    @classmethod
    def check_scale(cls, text: str | None) -> str | None:
        """Raise ValueError if the range is none."""
        if text is not None and parse_scale(text) is None:
            raise ValueError(f"expected LOWEST..HIGHEST, such as 0..100, got '{text}'")
        return text

    @field_validator("max_unpacked")
    @classmethod
    def check_size(cls, text: str | None) -> str | None:
        """Raise ValueError if the size is none."""
        if text is not None and parse_size(text) is None:
            raise ValueError(f"expected a size, such as 500MB or 2GB, got '{text}'")
        return text

    @model_validator(mode="after")
    def check_options(self) -> "Entry":
        """Raise ValueError for options that the format does not take."""
        takes = FORMATS[self.format].takes
        for name in self.list_given():
            if name not in takes:
                hint = suggest(name, takes, f"beside what all take, {self.format} takes")
                raise ValueError(f"'{name}' is not for {self.format}: {hint}")
        return self

    def list_given(self) -> list[str]:
        """List the options of some formats that are given."""
        fixed = ("source", "format", "paths", *SHARED)
        fields = type(self).model_fields
        return [
            name for name, field in fields.items() if name not in fixed and self._has(name, field.default)
        ]

    def _has(self, name: str, default: object) -> bool:
        return bool(getattr(self, name) != default)


def parse_scale(text: str) -> tuple[float, float] | None:
    """Parse a range of numbers, lowest..highest; None if it is none."""
    try:
        least, most = map(float, text.split(".."))
    except ValueError:
        return None
    return (least, most) if least < most and isfinite(most - least) else None


def list_pairs(words: Mapping[str, str | Sequence[str]]) -> list[tuple[str, str]]:
    """List each key with each of its words."""
    return [(k, one) for k, of in words.items() for one in ([of] if isinstance(of, str) else of)]


def join_pairs(pairs: Sequence[tuple[str, str]]) -> Words:
    """Join pairs of --map to the words of each key: a text for one, a list for several."""
    found: dict[str, list[str]] = {}
    for key, word in pairs:
        found.setdefault(key, []).append(word)
    return {key: words[0] if len(words) == 1 else words for key, words in found.items()}


def make_context(entry: Entry, format: Format) -> Context:
    """Make the reader's context. Raises SourceError if a column is mapped twice."""
    columns, values = split_maps(list_pairs(entry.map))
    return Context(
        entry.source,
        entry.language or format.language,
        entry.about or "",
        columns=columns,
        values=values,
        constants=dict(entry.set),
        wide=entry.wide or "",
        split=entry.split or "",
        scale=parse_scale(entry.scale) if entry.scale else None,
        levels=entry.levels,
        by_model=entry.by_model,
        align=entry.align,
        annotator_names=dict(entry.annotator_names),
        learner=entry.learner or "",
        learner_from_path=entry.learner_from_path or "",
        one_learner=entry.one_learner,
        passing=entry.passing,
        keep_repeats=entry.keep_repeats,
        date_format=entry.date_format or "",
        allow_rejects=entry.allow_rejects,
        encoding=entry.encoding or "",
        sheet=entry.sheet or "",
        max_unpacked=parse_size(entry.max_unpacked) if entry.max_unpacked else None,
    )


def make_origin(entry: Entry) -> Origin:
    """Make what the user says of the source. Raises SourceError for a licence that is none."""
    return Origin(read_license(entry.license), entry.url, entry.revision)


def write_command(entry: Entry, save: Path | None = None) -> str:
    """Write the command that ingests a source, to be copied into a shell."""
    words = ["preceptor", "ingest", entry.format, *entry.paths, "--source", entry.source]
    for name in ("about", "license", "language", "map", "set", "wide"):
        words += _write_option(name, getattr(entry, name))
    fields = type(entry).model_fields
    done = ("source", "format", "paths", "about", "license", "language", "map", "set", "wide")
    for name, field in fields.items():
        if name not in done and getattr(entry, name) != field.default:
            words += _write_option(name, getattr(entry, name))
    return shlex.join([*words, *(["--save", str(save)] if save else [])])


def _write_option(name: str, value: Any) -> Iterator[str]:
    option = f"--{name.replace('_', '-')}"
    if name == "annotator_names":
        value = ",".join(f"{id}={given}" for id, given in value.items())
    if isinstance(value, dict):
        for key, word in list_pairs(value):
            yield from (option, f"{key}={word}")
    elif value is True:
        yield option
    elif value:
        text = str(value)
        # What begins like an option would be taken for one.
        yield from ([f"{option}={text}"] if re.match("-", text) else [option, text])
