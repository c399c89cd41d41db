"""Check a recipe without building, training or asking: its keys and values, and its names against the store.

gec.yaml:3: sources: jfleg-devv: no source of that name in the store; did you mean 'jfleg-dev'?
gec.yaml:7: unknown key 'pairs.polcy': did you mean 'policy'?
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ...annotation.rubrics.new import check_rubric
from ...annotation.rubrics.rubric import read_rubric
from ...schemas.errors import PreceptorError, RecipeError
from ...schemas.recipe import Recipe, parse_recipe
from ...schemas.support.settings_files.kinds import FILE_KINDS, find_kind
from ...schemas.support.settings_files.yaml_text import Place, SettingsFile, read_settings
from ...training.config import read_config as read_training
from ..dataset.choose.eligible import check_rule
from ..dataset.choose.policies import MARKED
from ..dataset.gates.privacy import check_kinds
from ..dataset.gates.run import read_gate_settings as read_gates
from ..evaluation.answers import find_template
from ..evaluation.config import read_config as read_evaluation
from ..practice.exercises.recipe import parse_exercises
from ..store.connection import Store, open_scratch, query
from ..store.where import explain_absence

NAME = "a recipe, such as recipes/gec/dataset.yaml (preceptor recipe copy writes it)"

_OF_A_STORE = {"dataset", "exercises"}
_WHERE = {
    "source": "in the store",
    "task": "with prompts in the store",
    "criterion": "with ratings in the store",
}


@dataclass(frozen=True)
class CheckedRecipe:
    """A file without faults."""

    kind: str
    """dataset, training, evaluation, exercises or rubric."""
    title: str
    """What such a file is called."""
    store: bool
    """True if names were compared with those of the store."""


def check_recipe(path: Path, con: Store | None = None) -> CheckedRecipe:
    """Check a recipe of any kind.

    Sources, tasks and criteria are looked up in the store `con`; without one they are taken as they are.
    Raises RecipeError with all faults, a line each: file, line, key and the nearest right name.
    """
    file = read_settings(path, NAME, "name: my-dataset")
    kind = find_kind(file.content) or "dataset"
    faults: dict[str, None] = {}

    def attempt(call: Callable[[], Any], place: Place = ()) -> Any:
        """Call, and keep what is wrong, with file and line."""
        try:
            return call()
        except PreceptorError as error:
            where = file.locate(place) if place else str(path)
            said = str(error).splitlines()
            faults.update((one if one.startswith(str(path)) else f"{where}: {one}", None) for one in said)
            return None

    if kind == "dataset":
        recipe = attempt(lambda: parse_recipe(file))
        if recipe is not None:
            _check_values(recipe, con, attempt)
        if con is not None:
            faults |= dict.fromkeys(_find_unknown_names(file, con))
    elif kind == "training":
        attempt(lambda: read_training(path))
    elif kind == "evaluation":
        config = attempt(lambda: read_evaluation(path))
        if config is not None:
            attempt(lambda: find_template(config), ("template",))
            if config.values.judge:
                attempt(lambda: read_rubric(config.values.judge.rubric), ("judge", "rubric"))
    elif kind == "exercises":
        attempt(lambda: parse_exercises(file))
        if con is not None:
            faults |= dict.fromkeys(_find_unknown_sources(file, con))
    else:
        attempt(lambda: check_rubric(path))
    if faults:
        raise RecipeError("\n".join(faults))
    return CheckedRecipe(kind, FILE_KINDS[kind].title, con is not None and kind in _OF_A_STORE)


def _check_values(recipe: Recipe, con: Store | None, attempt: Callable[..., Any]) -> None:
    """Check what the keys' types do not say: expressions, gates, files, kinds of personal data."""
    rule = recipe.pairs.eligible
    if rule is not None:
        if con is None:
            with open_scratch() as scratch:
                attempt(lambda: check_rule(scratch, rule), ("pairs", "eligible"))
        else:
            attempt(lambda: check_rule(con, rule), ("pairs", "eligible"))
    attempt(lambda: read_gates(recipe), ("gates",))
    attempt(lambda: check_kinds(recipe.privacy.allow), ("privacy", "allow"))
    if "soft" in recipe.configs and (recipe.corrections or recipe.pairs.policy in MARKED):
        attempt(_refuse("config soft needs p, which only a fit gives; leave it out"), ("configs",))
    for n, one in enumerate(recipe.benchmarks):
        if not one.path.exists():
            there = f"benchmarks: {one.name}: {one.path}: there is no such file or folder; mend path"
            attempt(_refuse(there), ("benchmarks", n, "path"))


def _refuse(message: str) -> Callable[[], None]:
    def fail() -> None:
        raise RecipeError(message)

    return fail


def _find_unknown_sources(file: SettingsFile, con: Store) -> Iterator[str]:
    """Find sources that the store does not have, also in a file with other faults."""
    sources = query(con, "SELECT name FROM sources ORDER BY 1")["name"].to_list()
    yield from _compare(file, ("sources",), file.content.get("sources"), sources, "source")


def _find_unknown_names(file: SettingsFile, con: Store) -> Iterator[str]:
    """Find names that the store does not have, also in a file with other faults."""
    content = file.content
    yield from _find_unknown_sources(file, con)
    sources = query(con, "SELECT name FROM sources ORDER BY 1")["name"].to_list()
    cited = content.get("citations")
    for name in cited if isinstance(cited, dict) else ():
        yield from _compare(file, ("citations", name), name, sources, "source")
    edits = "corrections" in content
    if not edits:
        tasks = query(con, "SELECT DISTINCT task FROM prompts ORDER BY 1")["task"].to_list()
        what = "task"
        yield from _compare(file, ("task",), content.get("task"), tasks, what)
    outcomes = content.get("outcomes")
    for n, rule in enumerate(outcomes if isinstance(outcomes, list) else ()):
        for key in ("reviews", "about"):
            if isinstance(rule, dict):
                what = "source"
                yield from _compare(file, ("outcomes", n, key), rule.get(key), sources, what)
    pairs = content.get("pairs")
    if isinstance(pairs, dict):
        rated = query(con, "SELECT DISTINCT criterion FROM ratings ORDER BY 1")["criterion"].to_list()
        what = "criterion"
        yield from _compare(file, ("pairs", "criteria"), pairs.get("criteria"), rated, what)


def _compare(file: SettingsFile, place: Place, given: Any, have: list[str], kind: str) -> Iterator[str]:
    """Compare one name or several with those of the store."""
    names: Iterable[Any] = given if isinstance(given, list) else [given]
    for n, name in enumerate(names):
        if isinstance(name, str) and name not in have:
            at = (*place, n) if isinstance(given, list) else place
            key = ".".join(map(str, place[:1] if place[0] == "citations" else place))
            yield f"{file.locate(at)}: {key}: {name}: {explain_absence(name, have, kind, _WHERE[kind])}"
