"""`preceptor diff A B`."""

import json
from pathlib import Path

import click

from ....schemas.support.text import dump_json
from ..options import make_table, open_stdout, say


@click.command()
@click.argument("a", type=click.Path(path_type=Path))
@click.argument("b", type=click.Path(path_type=Path))
@click.option("--json", "as_json", is_flag=True, help="Print JSON for scripts.")
def diff(a: Path, b: Path, as_json: bool) -> None:
    """Show which rows of the built dataset A were added, removed or flipped in B.

    A flipped row is the same pair with the other side chosen. The exit code is 0 whether or not A and B
    differ.
    """
    from ...dataset.diff import KINDS, describe_changes
    from ...dataset.diff import diff as compare
    from ...privacy.published_keys import KEYS

    changes, otherwise = compare(a, b)
    if as_json:
        say(dump_json(describe_changes(changes, otherwise)))
        return
    out = open_stdout()
    kinds = ("same", *KINDS)
    rows = [(c.config, *(f"{c.counts[kind]:,}" for kind in kinds)) for c in changes]
    out.print(make_table(f"{a} -> {b}", ("config", *(f"{kind} " for kind in kinds)), rows))
    for c in changes:
        for kind in KINDS:
            if c.keys[kind]:
                more = c.counts[kind] - len(c.keys[kind])
                out.print(
                    f"{c.config}, {kind}: {' '.join(c.keys[kind])}{f' and {more:,} more' if more else ''}"
                )
        if c.largest_p:
            out.print(f"{c.config}: p of an unflipped pair changed by at most {c.largest_p:.3f}")
    if KEYS in otherwise:
        out.print("rows were compared by their texts: each dataset has keys of its own")
    for name, (old, new) in otherwise.items():
        out.print(f"{name}: {json.dumps(old, ensure_ascii=False)} -> {json.dumps(new, ensure_ascii=False)}")
    if not otherwise and not any(c.counts[kind] for c in changes for kind in KINDS):
        out.print("the same rows, by the same recipe")
