"""List and copy the recipes that come with Preceptor; from a wheel they lie in site-packages.

list_recipes()                  -> gec/dataset.yaml, a dataset's recipe: Corrections of learners' sentences, …
copy_recipe("gec")              -> recipes/gec/*, so that the commands of the documentation find them
copy_recipe("gec/dpo.yaml")     -> recipes/gec/dpo.yaml
"""

from collections.abc import Iterator
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Any

from ...schemas.errors import RecipeError
from ...schemas.support.nearest import suggest
from ...schemas.support.settings_files.kinds import FILE_KINDS, find_kind
from ...schemas.support.settings_files.yaml_text import ENDINGS, read_settings
from ..practice.exercises.recipe import KINDS

FOLDER = Path("recipes")
"""Where copies go if no folder is named: the commands of the documentation name recipes/gec/dataset.yaml."""

_OTHERS = {".jinja": "wording of prompts", ".jsonl": "rows to begin with, or examples for a judge"}


@dataclass(frozen=True)
class PackagedRecipe:
    """A file that comes with Preceptor."""

    name: str
    """Folder and file: gec/dataset.yaml."""
    kind: str
    """dataset, training, evaluation, exercises, or other for what these use."""
    purpose: str
    """What it is for, in one line."""
    path: Path
    """The file itself, to be read only."""


@dataclass(frozen=True)
class CopiedRecipes:
    """Files that were copied, and those that were there already with the same bytes."""

    written: tuple[Path, ...]
    same: tuple[Path, ...]


def list_recipes() -> list[PackagedRecipe]:
    """List the packaged recipes and what they use, by name."""
    return list(_list_files())


def copy_recipe(name: str, folder: Path = FOLDER) -> CopiedRecipes:
    """Copy a folder of recipes (gec), or one file (gec/dpo.yaml, or gec/dpo), below `folder`.

    Raises RecipeError if there is none of that name, or if a file is there already with other content; then
    nothing is written.
    """
    listed = list_recipes()
    wanted = name.strip("/")
    chosen = [one for one in listed if wanted in {one.name, one.name.partition("/")[0], _stem(one.name)}]
    if not chosen:
        names = [*dict.fromkeys(one.name.partition("/")[0] for one in listed), *(one.name for one in listed)]
        hint = suggest(wanted, names if "/" in wanted else [n for n in names if "/" not in n], "recipes")
        raise RecipeError(f"no packaged recipe '{name}': {hint} (preceptor recipe list shows all)")
    content = {folder / one.name: one.path.read_bytes() for one in chosen}
    same = {path for path, data in content.items() if path.is_file() and path.read_bytes() == data}
    if taken := [path for path in content if path.exists() and path not in same]:
        raise RecipeError(
            f"{taken[0]}: is there already and differs from the packaged one; nothing was copied: move it "
            "away, or name another folder (preceptor recipe copy NAME DIR)"
        )
    for path in content.keys() - same:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content[path])
    return CopiedRecipes(tuple(path for path in content if path not in same), tuple(sorted(same)))


def _list_files() -> Iterator[PackagedRecipe]:
    top = Path(str(files("preceptor.recipes")))
    for path in sorted(top.glob("*/*")):
        name = path.relative_to(top).as_posix()
        if path.suffix in ENDINGS:
            content = read_settings(path, "a recipe", "name: gec").content
            kind = find_kind(content) or "dataset"
            yield PackagedRecipe(name, kind, _describe(kind, content), path)
        elif path.suffix in _OTHERS:
            yield PackagedRecipe(name, "other", _OTHERS[path.suffix], path)


def _stem(name: str) -> str:
    return name.removesuffix(Path(name).suffix)


def _describe(kind: str, content: dict[str, Any]) -> str:
    """Describe a file in one line, by its own keys."""
    if kind == "training":
        stage = content.get("env", {}).get("preceptor", {}).get("stage") or content.get("stage")
        return f"{stage} of {content['model_name_or_path']} on {content['dataset_name']}"
    if kind == "evaluation":
        return f"{', '.join(content['metrics'])} on {content['dataset_name']}"
    if kind == "exercises":
        return f"{', '.join(content.get('exercises', KINDS))} of {', '.join(content['sources'])}"
    return str(content.get("title") or content.get("name") or FILE_KINDS[kind].title)
