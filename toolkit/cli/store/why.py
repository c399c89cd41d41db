"""`preceptor why KEY`."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click

from ....schemas.support.text import clean, dump_json
from ....schemas.tables import SIGNALS, name_all
from ..options import Common, common, say

SHOWN = 12  # signals that are listed; --json has all
WIDE = 160  # characters of a text


_EACH = ", ".join(signal.plural for signal in SIGNALS)
HELP = f"""Show what a row of a dataset was made from: texts, fit, {_EACH}, files, licences.

KEY is the key of the row in the dataset's _meta tables, or of an exercise, or its first digits.
"""


@click.command(help=HELP)
@click.argument("key")
@click.option(
    "--dataset",
    "datasets",
    type=click.Path(path_type=Path),
    multiple=True,
    help="Folder of a built dataset to look in. May be repeated. Default: all builds of this store.",
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON for scripts.")
@common
def why(settings: Common, key: str, datasets: tuple[Path, ...], as_json: bool) -> None:
    """Print what a row of a dataset was made of."""
    from ...dataset.why import why as find
    from ...practice.exercises.why import explain_exercise
    from ...store.connection import open_store

    with open_store(settings.store, read_only=True) as con:
        exercise = None if datasets else explain_exercise(con, key)
        found = exercise or find(con, key, datasets)
        if not exercise and (stored := found["rows"][0].get("exercise")):
            exercise = explain_exercise(con, stored)
            found = exercise | {"rows": found["rows"]} if exercise else found
    if as_json:
        say(dump_json(found))
        return
    for line in _list_proof(found) if exercise else _lines(found):
        say(line)


def _list_proof(found: dict[str, Any]) -> Iterator[str]:
    """Describe what an exercise was made of, a line each."""
    yield f"{found['key']}  {found['kind']} of the exercises {found['recipe']}"
    yield f"  shown: {clean(found['shown'], WIDE)}"
    by = f", by annotator {found['annotator']}" if found["annotator"] else ""
    yield (
        f"  key: {clean(found['answers'][0], WIDE)}{by}" if found["answers"] else "  no key: explained alone"
    )
    for answer in found["answers"][1:]:
        yield f"  accepted too: {clean(answer, WIDE)}"
    for answer in found["distractors"]:
        yield f"  wrong: {clean(answer, WIDE)}"
    for name, text in (("sentence", "text"), ("prompt", "messages")):
        row = found.get(name)
        if isinstance(row, dict):
            yield from _list_origin(name, row, text)
    for one in found.get("completions", ()):
        yield f"  {one['role']} {one['key'][:8]}: {clean(one['content'], WIDE)}"
        yield f"    {_place(one)}{_author(one)}"
    for edit in found.get("corrections", ()):
        new = (
            "seen, not corrected"
            if edit["correction"] is None
            else clean(edit["correction"], 60) or "deleted"
        )
        words = "nothing to change" if edit["start"] < 0 else f"words {edit['start']} to {edit['end']}: {new}"
        yield f"    annotator {edit['annotator']}: {words} ({edit['error_type']})"
    for source in found["sources"]:
        yield f"  source {source['name']}: {source['license']}"


def _list_origin(name: str, row: dict[str, Any], text: str) -> Iterator[str]:
    """Describe the sentence or prompt that an exercise was made of, and its place in the input."""
    if "missing" in row:
        yield f"  {name} {row['key'][:8]} is no longer in the store: build the exercises again"
        return
    said = row[text] if isinstance(row[text], str) else row[text][-1]["content"]
    yield f"  {name} {row['key'][:8]}: {clean(said, WIDE)}"
    yield f"    {_place(row)}"


def _lines(found: dict[str, Any]) -> Iterator[str]:
    """Describe what the row was made from, a line each, indented by the distance from the row."""
    row = found["rows"][0]
    yield f"{row['key']}  {_dataset(row) if 'dataset' in row else row['config'] + ' of the store'}"
    yield from (f"  also {_dataset(other)}" for other in found["rows"][1:])
    if prompt := found["prompt"]:
        key = f" {prompt['key'][:8]}" if "key" in prompt else ""
        yield f"  prompt{key}: {clean(prompt['content'], WIDE)}"
        yield f"    {_place(prompt)}; task {prompt['task']}, group {clean(prompt['group'], 60)}"
    roles = {row.get("chosen_completion"): "chosen", row.get("rejected_completion"): "rejected"}
    for one in found["completions"]:
        role = roles.get(one["key"], "completion")
        yield f"  {role} {one['key'][:8]}: {clean(one['content'], WIDE)}"
        yield f"    {_place(one)}{_author(one)}"
    if found["fit"]:
        yield from _fit(found["fit"], row)
    yield from _signals(found["signals"], row.get("signal", row["key"]), roles)
    yield from map(_licence, found["sources"])


def _author(completion: dict[str, Any]) -> str:
    """Describe who wrote a completion, as far as that is known."""
    if "origin" not in completion:
        return ""
    by = f" by {clean(completion['author'], 40)}" if completion["author"] else ""
    return f"; {completion['origin']}{by}"


def _dataset(row: dict[str, Any]) -> str:
    return f"{row['config']}/{row['split']} of {row['dataset']}"


_BASES = {
    "drawn": "learners tried both, drawn by chance: what helps is causal",
    "logged": "learners tried both, not both drawn by chance: what helps is only observed",
    "judged": "not both were tried: the label stands on judgements",
}


def _fit(fit: dict[str, Any], row: dict[str, Any]) -> Iterator[str]:
    """Describe the fit and its probability that the chosen side is better."""
    if fit.get("missing"):
        yield f"  fit {fit['key'][:8]}: no longer in the store"
        return
    state = "converged" if fit["converged"] else "NOT converged"
    yield f"  fit {fit['key'][:8]}: {fit['method']}, seed {fit['seed']}, {state}, {fit['fitted_at'][:10]}"
    if row.get("p") is not None:
        yield (
            f"    P(chosen is better) {row['p']:.3f}: preferred {row['p_expressed']:.3f}, helps more "
            f"{row['p_observed']:.3f}; target {fit['config']['target']:g} x observed"
        )
    if row.get("basis") in _BASES:
        yield f"    {_BASES[row['basis']]}"


def _signals(signals: list[dict[str, Any]], key: str, roles: dict[str | None, str]) -> Iterator[str]:
    """Describe signals with their file and line; the one that was asked for first."""
    plurals = [signal.plural for signal in SIGNALS]
    if not signals:
        yield f"  no {name_all(plurals, 'or')} about it"
        return
    yield f"  {len(signals):,} {name_all(plurals)} about it"
    for signal in sorted(signals, key=lambda signal: signal["key"] != key)[:SHOWN]:
        said = signal["said"]
        if signal["other"] and said != "tie":
            said = f"for {roles.get(said) or said[:8]}"
        elif not signal["other"]:
            said = f"{said} ({roles.get(signal['completion']) or signal['completion'][:8]})"
        person = f" by {signal['person']}" if signal["person"] else ""
        this = "  <- this one" if signal["key"] == key else ""
        remark = f' "{clean(signal["comment"], 80)}"' if signal["comment"] else ""
        yield f"    {signal['kind']} {said}{person}{remark}: {_place(signal)}{this}"
    if len(signals) > SHOWN:
        yield f"    and {len(signals) - SHOWN:,} more (--json lists all)"


def _licence(source: dict[str, Any]) -> str:
    """Describe the licence of a source."""
    terms = [
        "" if source.get("redistribution", True) else "may not be passed on",
        "" if source.get("commercial_use", True) else "non-commercial",
        "share-alike" if source.get("share_alike") else "",
        f"no longer in the store; read from {source['read_from']}" if "read_from" in source else "",
    ]
    limits = ", ".join(term for term in terms if term)
    at = "".join(f" {source[name]}" for name in ("url", "revision") if source[name])
    return f"  licence of {source['name']}: {source['license']}{f' ({limits})' if limits else ''}{at}"


def _place(row: dict[str, Any]) -> str:
    if "read_from" in row:
        return f"no longer in the store; read from {row['read_from']}"
    return f"{row['source']}: {row['path']}:{row['line']}"
