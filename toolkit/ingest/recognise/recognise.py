"""Recognise what files are, by their content and names: every format brings its own signs.

recognise([Path("votes.csv")], con)     votes, sure 1.0: its columns completion_a, completion_b, choice
"""

import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from ....schemas.errors import SourceError
from ...store.connection import Store
from ..formats import FORMATS, Format
from ..formats.find_files import find_inputs
from ..formats.format import Sign
from .known_names import find_known_names
from .near_names import list_words
from .other_programs import describe_program
from .proposal import Proposal, Recognised, sort_proposals
from .sample import Sample, guess_encoding, make_input, take_sample
from .tables import propose_table

_FORM = ("n", "prompt", "annotator", "question")  # columns of the forms that annotate export writes
_READS_FORMS = "read it with: preceptor annotate import FILE --campaign NAME"
_LOOKED_AT = 3  # files of a folder
_DATA = {
    *(
        ".csv",
        ".tsv",
        ".json",
        ".jsonl",
        ".m2",
        ".xml",
        ".xlsx",
        ".ods",
        ".parquet",
        ".ann",
        ".src",
        ".gz",
        ".bz2",
    ),
    *(".gz", ".bz2", ".zip", ".sgml", ".apkg", ".colpkg", ".ref0", ".source"),
}


def recognise(
    paths: Sequence[Path], con: Store | None = None, given: Mapping[str, Any] | None = None
) -> Recognised:
    """Recognise files or folders that are to be one source; `con` is the store whose texts they may name.

    `given` are options of ingest that the user states. Raises SourceError for a path that is not there, is
    empty, or is not what it seems, and for files of several formats.
    """
    options = dict(given or {})
    for path in paths:
        if not path.exists():
            raise SourceError(f"{path}: no such file or folder; check the path")
    found = [_recognise_path(path, con, options) for path in paths]
    if len(found) == 1:
        return found[0]
    shared = set.intersection(*({p.format for p in one.proposals} for one in found))
    if not shared:
        lines = [
            f"  {p}: {one.best.format if one.best else 'unknown'}"
            for p, one in zip(paths, found, strict=True)
        ]
        listed = "\n".join(lines)
        raise SourceError(f"these files are not of one format; ingest them one by one\n{listed}")
    kept = [p for one in found for p in one.proposals if p.format in shared]
    worst = {name: min(p.sure for p in kept if p.format == name) for name in shared}
    best = [p for p in sort_proposals(kept) if p.sure >= worst[p.format]]
    return Recognised(sort_proposals(best), tuple(fault for one in found for fault in one.faults))


def _recognise_path(path: Path, con: Store | None, given: Mapping[str, Any]) -> Recognised:
    if path.is_dir():
        return _recognise_folder(path, con, given)
    guessed = "" if given.get("encoding") else guess_encoding(path)
    file = make_input(path, given.get("encoding") or guessed, given.get("sheet") or "")
    sample = take_sample(file, _list_wanted(given))
    known = find_known_names(con, sample)
    proposals = [p for format in FORMATS.values() if (p := _match_signs(format, sample))]
    proposals += [
        p
        for format in FORMATS.values()
        if format.table and (p := propose_table(format, sample, known, given))
    ]
    other = describe_program(file) if not any(p.format == "xapi" for p in proposals) else None
    if set(_FORM) <= set(sample.columns):
        other = f"{path}: is a form of a campaign; {_READS_FORMS}"
    signed = any(p.sure == 1 and p.why and not p.options for p in proposals)
    faults = [one for one in ("" if signed else sample.fault, other) if one]
    if other is not None:
        proposals = []
    if not proposals and not faults:
        faults.append(_describe(sample))
    if guessed:
        said, found = f"the file is not UTF-8, but {guessed} (--encoding NAME for another)", proposals
        encoding = {"encoding": guessed}
        proposals = [replace(p, options={**p.options, **encoding}, guesses=(*p.guesses, said)) for p in found]
    return Recognised(sort_proposals(proposals), tuple(faults))


def _list_wanted(given: Mapping[str, Any]) -> list[str]:
    theirs = [word for word in dict(given.get("map") or {}).values() if isinstance(word, str)]
    return [*theirs, *list_words()]


def _describe(sample: Sample) -> str:
    """Say what a file is that no format has."""
    path = sample.file.path
    if sample.columns:
        what = "a table with the columns" if sample.kind == "table" else f"{sample.kind} with the keys"
        return f"{path}: {what} {', '.join(sample.columns[:20])}"
    if sample.kind == "text" and re.match(r"[^\n]+[,;\t][^\n]+\n", sample.text):
        return f"{path}: a text; if it is a table, name it .csv or .tsv"
    kinds = {"text": "a text", "other": "no text", "package": "a package", "table": "a table"}
    return f"{path}: {kinds.get(sample.kind, sample.kind)}"


def _match_signs(format: Format, sample: Sample) -> Proposal | None:
    """The proposal of the sign with most parts that the sample has; None if it has none whole."""
    there = [sign for sign in format.signs if _has(sign, sample)]
    if not there:
        return None
    best = max(there, key=_weigh)
    return Proposal(format.name, 1.0, _weigh(best), (best.said,))


def _weigh(sign: Sign) -> int:
    return len(sign.keys) + len(sign.inside) + bool(sign.text) + bool(sign.name)


def _has(sign: Sign, sample: Sample) -> bool:
    columns = {name.lower() for name in sample.columns}
    return (
        (not sign.kinds or sample.kind in sign.kinds)
        and all(key.lower() in columns for key in sign.keys)
        and sample.inside.issuperset(sign.inside)
        and (not sign.text or re.search(sign.text, sample.text) is not None)
        and (not sign.name or re.search(sign.name, sample.file.path.name.lower()) is not None)
    )


def _recognise_folder(folder: Path, con: Store | None, given: Mapping[str, Any]) -> Recognised:
    """Look at the first files that each format finds in a folder; who finds more of them leads."""
    seen: dict[Path, Sample | None] = {}
    proposals: list[Proposal] = []
    for format in FORMATS.values():
        try:
            files = [file.path for file in find_inputs(format, [folder])]
        except SourceError:
            continue
        matched = []
        for path in files[:_LOOKED_AT]:
            sample = seen[path] if path in seen else seen.setdefault(path, _try_sample(path, given))
            if sample is None:
                continue
            found = _match_signs(format, sample)
            if found is None and format.table:
                found = propose_table(format, sample, find_known_names(con, sample), given)
            matched += [found] if found else []
        if matched:
            first = matched[0]
            others = _list_others(folder, files)
            guesses = first.guesses
            if len(others) > len(files) and not format.finder:
                named = ", ".join(os.path.relpath(path, folder) for path in others[:3])
                guesses += (f"its {len(others):,} other files, such as {named}, are not wanted",)
            said = (
                f"{len(files):,} of its files: {first.why[0]}"
                if first.why
                else f"{len(files):,} of its files"
            )
            share = len(matched) / len(files[:_LOOKED_AT])
            proposals.append(
                Proposal(
                    format.name,
                    min(one.sure for one in matched) * (1 if format.finder else share),
                    _rank_files(format, files, first),
                    (said,),
                    first.options,
                    guesses,
                    first.missing,
                )
            )
    faults = () if proposals else (f"{folder}: a folder without files of a format that is known",)
    return Recognised(sort_proposals(proposals), faults)


def _rank_files(format: Format, files: Sequence[Path], first: Proposal) -> int:
    """How much speaks for a format in a folder: its own finder, then parts of its sign, then files."""
    return 1_000_000 * bool(format.finder) + 1000 * min(first.weight, 999) + min(len(files), 999)


def _list_others(folder: Path, files: Sequence[Path]) -> list[Path]:
    """The files of a folder that hold data, by their names, and are none of these."""
    taken = {path.resolve() for path in files}
    there = (path for path in sorted(folder.rglob("*")) if path.suffix.lower() in _DATA and path.is_file())
    return [path for path in there if path.resolve() not in taken]


def _try_sample(path: Path, given: Mapping[str, Any]) -> Sample | None:
    try:
        return take_sample(make_input(path, given.get("encoding") or ""), _list_wanted(given))
    except SourceError:
        return None
