"""Write a commented recipe from what the store holds: its tasks and sources, and the policies that fit."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import yaml
from pydantic import ValidationError

from ...schemas.errors import RecipeError
from ...schemas.recipe import CONFIGS, Recipe
from ...schemas.support.numbers import format_count
from ...schemas.support.settings_files.faults import explain_faults
from ...schemas.support.settings_files.yaml_text import ENDINGS
from ...schemas.support.text import clean
from ..dataset.choose.policies import MARKED, choose_marked
from ..store.connection import Store, query, run
from .schema import make_schema

SCHEMA = "dataset.schema.json"


@dataclass(frozen=True)
class NewRecipe:
    """Files that were written."""

    path: Path
    schema: Path
    """JSON schema beside it, for editors."""
    policy: str
    """The policy chosen, or corrections."""


def write_new_recipe(name: str, out: Path, con: Store | None = None) -> NewRecipe:
    """Write a recipe to be edited, and a schema for editors beside it.

    With a store, the recipe has the policy that gives most pairs of what is there, and its comments name
    tasks, sources and the other policies that fit. Raises RecipeError if `out` is there already, or if the
    name is none.
    """
    if out.suffix not in ENDINGS:
        raise RecipeError(f"{out}: a recipe's file ends in .yaml; try {out.with_suffix('.yaml')}")
    if out.exists():
        raise RecipeError(f"{out}: is there already; choose another --out, or edit it")
    try:
        Recipe.model_validate({"name": name})
    except ValidationError as error:
        raise RecipeError(explain_faults(error, Recipe)) from error
    fitting = _find_fitting(con) if con is not None else {}
    policy = max(fitting, key=lambda one: fitting[one], default="best-worst")
    text = "\n".join([*_write_head(name, out, con), *_write_rules(policy, fitting), *_write_rest(con), ""])
    schema = out.with_name(SCHEMA)
    out.parent.mkdir(parents=True, exist_ok=True)
    if not schema.exists():
        schema.write_text(json.dumps(make_schema("dataset"), indent=1) + "\n", encoding="utf-8")
    out.write_text(text, encoding="utf-8")
    return NewRecipe(out, schema, policy)


def _find_fitting(con: Store) -> dict[str, int]:
    """Find the policies that give pairs, with their number: of signals for those that need a fit."""
    found = {}
    for policy in MARKED:
        choose_marked(con, Recipe.model_validate({"name": "x", "pairs": {"policy": policy}}))
        ((found[policy],),) = run(
            con, "SELECT count(*) FROM candidates WHERE dropped IS NULL AND rejected IS NOT NULL"
        )
    ((found["corrections"],),) = run(con, "SELECT count(DISTINCT sentence) FROM edits")
    ((votes,),) = run(con, "SELECT (SELECT count(*) FROM votes) + (SELECT count(*) FROM outcomes)")
    found["best-worst"] = votes
    return {policy: n for policy, n in found.items() if n}


def _write_head(name: str, out: Path, con: Store | None) -> Iterator[str]:
    yield f"# preceptor build {out} --out dist/{name}"
    yield f"# yaml-language-server: $schema={SCHEMA}"
    yield f"# Lines that begin with # are keys that you may want. Check it: preceptor recipe check {out}"
    yield f"name: {_quote(name)}"
    yield "# title: Heading of the card"
    tasks, sources = ({}, {}) if con is None else (_count(con, "task"), _count(con, "source"))
    yield from _offer("task", tasks, one=True)
    yield from _offer("sources", sources, one=False)
    yield f"configs: [preference]  # the tables to write, of: {', '.join(CONFIGS)}"


def _count(con: Store, column: str) -> dict[str, int]:
    counted = query(
        con, f'SELECT "{column}" AS name, count(*) AS n FROM prompts GROUP BY 1 ORDER BY n DESC, 1'
    )
    return dict(counted.select("name", "n").iter_rows())


def _offer(key: str, have: dict[str, int], one: bool) -> Iterator[str]:
    """Offer a key with the names that the store has."""
    listed = ", ".join(f"{clean(name, 60)} ({format_count(n, 'prompt')})" for name, n in have.items())
    first = next(iter(have), "tutor" if one else "my-source")
    value = _quote(first) if one else f"[{_quote(first)}]"
    yield f"# {key}: {value}  # without this line all; in the store: {listed or 'none yet'}"


def _write_rules(policy: str, fitting: dict[str, int]) -> Iterator[str]:
    others = [f"{one} ({_measure(one, n)})" for one, n in fitting.items() if one != policy]
    if not fitting:
        yield "# Nothing in the store says yet which completion is better: ingest, annotate or judge."
    elif others:
        yield f"# These fit the store too: {', '.join(others)}"
    if policy == "corrections":
        yield "corrections:"
        yield f"  rejected: [learner, partial, over]  # {_measure(policy, fitting[policy])}"
        yield 'instruction: "Correct this sentence: {prompt}"'
        return
    yield "pairs:"
    counted = f"{_measure(policy, fitting[policy])}" if policy in fitting else "needs preceptor fuse"
    yield f"  policy: {policy}  # {counted}"
    if policy == "best-worst":
        yield "  min_confidence: 0.6  # a pair with a lower p is left out as a coin flip"
    yield '# instruction: "Answer the student: {prompt}"  # wording of the last turn; default: as it is'


def _measure(policy: str, n: int) -> str:
    if policy == "best-worst":
        return f"{format_count(n, 'vote or outcome', 'votes and outcomes')}, after preceptor fuse"
    if policy == "corrections":
        return format_count(n, "sentence with edits", "sentences with edits")
    return format_count(n, "pair")


def _write_rest(con: Store | None) -> Iterator[str]:
    yield "splits: {train: 0.8, validation: 0.1, test: 0.1, seed: 0}"
    yield "# leaks: {drop: true}  # drop rows that leak, counted, instead of stopping"
    yield "# tokenizer: {name: my-base-model}  # finds pairs that are the same after truncation"
    licences: list[str] = []
    if con is not None:
        rows = query(con, "SELECT DISTINCT license FROM sources WHERE license IS NOT NULL ORDER BY 1")
        licences = rows["license"].to_list()
    listed = f"; sources are under {', '.join(licences)}" if licences else ""
    yield f"# publish_under: CC-BY-4.0  # without it NOT FOR PUBLICATION{listed}"


def _quote(text: str) -> str:
    """Write a text as YAML in one line."""
    return yaml.safe_dump(text, allow_unicode=True, width=10**9).removesuffix("\n").removesuffix("\n...")
