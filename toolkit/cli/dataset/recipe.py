"""`preceptor recipe …`: packaged recipes, a start for one's own, checks, and schemas for editors."""

import json
from pathlib import Path

import click

from ..options import Common, common, make_table, open_stderr, open_stdout, say


@click.group(no_args_is_help=True)
def recipe() -> None:
    """List, copy, write and check recipes: of datasets, of training and of evaluations."""


@recipe.command("list")
def list_() -> None:
    """List the recipes that come with Preceptor, and what each is for."""
    from ...recipes.packaged import list_recipes

    rows = ((one.name, one.kind, one.purpose) for one in list_recipes())
    open_stdout().print(make_table("recipes", ("name", "kind", "what for"), rows))


@recipe.command()
@click.argument("name")
@click.argument("folder", metavar="[DIR]", type=click.Path(path_type=Path), default=Path("recipes"))
def copy(name: str, folder: Path) -> None:
    """Copy the packaged recipes NAME (gec, or one file: gec/dpo.yaml) below DIR, by default recipes.

    A file that is there with other content is never overwritten (exit code 2).
    """
    from ...recipes.packaged import copy_recipe

    done = copy_recipe(name, folder)
    for path in done.written:
        say(f"written: {path}")
    for path in done.same:
        say(f"there already, the same: {path}")


@recipe.command()
@click.argument("name")
@click.option(
    "--out",
    type=click.Path(path_type=Path, dir_okay=False),
    help="File to write. Default: NAME.yaml in the current folder.",
)
@common
def new(settings: Common, name: str, out: Path | None) -> None:
    """Write a recipe for a dataset NAME, with comments, from what the store holds.

    It has the policy that gives most pairs of what is there. A JSON schema for editors is written beside it.
    """
    from ....schemas.support.settings_files.kinds import FILE_KINDS
    from ...recipes.new import write_new_recipe
    from ...store.connection import open_store

    path = out or Path(f"{name}.yaml")
    if settings.store.exists():
        with open_store(settings.store, read_only=True) as con:
            done = write_new_recipe(name, path, con)
    else:
        open_stderr().print(
            f"{settings.store}: no store here, so the recipe names no tasks and sources of it"
        )
        done = write_new_recipe(name, path)
    say(f"written: {done.path} ({done.policy}) and {done.schema}")
    say(f"edit it, then: preceptor recipe check {path} and {FILE_KINDS['dataset'].command} {path} --out DIR")


@recipe.command()
@click.argument("file", type=click.Path(path_type=Path))
@common
def check(settings: Common, file: Path) -> None:
    """Check the recipe in FILE without building or training: all faults at once, each with its line.

    Names of sources, tasks and criteria are looked up in the store, if there is one.
    """
    from ...recipes.check import check_recipe
    from ...store.connection import open_store

    if settings.store.exists():
        with open_store(settings.store, read_only=True) as con:
            done = check_recipe(file, con)
    else:
        done = check_recipe(file)
    say(f"{file}: {done.title}, without faults")
    if done.kind == "dataset":
        where = (
            f"names looked up in {settings.store}"
            if done.store
            else f"no store at {settings.store}: names not looked up"
        )
        say(where)


@recipe.command()
@click.argument("kind", metavar="[KIND]", default="dataset")
@click.option(
    "--out",
    type=click.Path(path_type=Path, dir_okay=False),
    help="File to write. Default: standard output.",
)
def schema(kind: str, out: Path | None) -> None:
    """Print a JSON schema for editors; KIND: dataset (default), training, evaluation, exercises or rubric.

    An editor with the YAML language server takes it by the first line of a recipe, such as
    # yaml-language-server: $schema=dataset.schema.json
    """
    from ...recipes.schema import make_schema

    text = json.dumps(make_schema(kind), indent=1) + "\n"
    if out is None:
        say(text, nl=False)
        return
    out.write_text(text, encoding="utf-8")
    say(f"written: {out}")
