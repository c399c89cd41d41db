"""Write the folder of a new project: store, recipes, tables with a filled row each, sources.yaml, README.md.

start_project(Path("mine"), ["texts", "votes"])    texts.csv, votes.csv and the commands to the report
start_project(Path("mine"), ["nothing"])           texts.csv and a rubric: what to ask people first
"""

import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Any

from ....annotation.rubrics.new import write_new_rubric
from ....schemas.errors import SourceError
from ....schemas.support.files import make_partial_folder, write_text
from ....schemas.support.nearest import suggest
from ...store.connection import open_store
from .entry import Entry
from .sources_file import add_entry

STORE = "preceptor.duckdb"
SOURCES = "sources.yaml"
RUBRIC = "pairwise-preference"

# What one may have: what it is, its file, and how it is read.
HAVE: dict[str, tuple[str, str, dict[str, Any]]] = {
    "texts": (
        "prompts with two or more answers each",
        "texts.csv",
        {"format": "prompts", "wide": "answer_{n}"},
    ),
    "votes": ("votes: which of two answers is better", "votes.csv", {"format": "votes"}),
    "ratings": ("ratings of answers", "ratings.csv", {"format": "ratings"}),
    "log": ("a study log: who solved what, when", "log.csv", {"format": "reviews"}),
    "corpus": ("a corpus of learners' sentences with corrections (M2)", "corpus.m2", {"format": "m2"}),
}
NOTHING = "nothing"
_ABOUT_TEXTS = ("votes", "ratings")
_LOG_RULE = (
    "outcomes: [{reviews: log, about: texts, measure: turns}]  # failed tries before the first success\n"
)


@dataclass(frozen=True)
class Started:
    """A project's folder and what to do in it."""

    folder: Path
    files: tuple[str, ...]
    """What was written, by name."""
    commands: tuple[str, ...]
    """The commands to the first report, in order; those that begin with # are for a person to do."""


def start_project(folder: Path, have: Sequence[str]) -> Started:
    """Write a project's folder, all or nothing, for what one has: some of HAVE, or nothing.

    Votes and ratings bring the texts that they are about. Raises SourceError if the folder has something
    in it, or for a word that is none of these.
    """
    wanted = _choose(have)
    there = _list_there(folder)
    if there:
        named = ", ".join(there[:3]) + (f" and {len(there) - 3} more" if len(there) > 3 else "")
        raise SourceError(
            f"{folder}: holds {named}; a project begins in a new or an empty folder: name another"
        )
    folder.parent.mkdir(parents=True, exist_ok=True)
    target = folder / "project" if folder.exists() else folder
    with make_partial_folder(target) as made:
        commands = _write(made, wanted)
        names = tuple(sorted(path.name for path in made.iterdir()))
        if folder.exists():
            _move_in(made, folder, names)
        else:
            made.rename(folder)
    return Started(folder, names, commands)


def _choose(have: Sequence[str]) -> list[str]:
    for name in have:
        if name not in (*HAVE, NOTHING):
            raise SourceError(f"'{name}': {suggest(name, (*HAVE, NOTHING), 'expected one of', ' ')}")
    named = set(have) - {NOTHING}
    if not named or named & {"votes", "ratings", "log"}:
        named.add("texts")
    return [name for name in HAVE if name in named]


def _list_there(folder: Path) -> list[str]:
    if not folder.exists():
        return []
    if not folder.is_dir():
        return [folder.name]
    return sorted(path.name for path in folder.iterdir())


def _move_in(made: Path, folder: Path, names: Sequence[str]) -> None:
    """Move what was made into a folder that is there, and out again if one of it cannot be moved."""
    done: list[Path] = []
    try:
        for name in names:
            (made / name).rename(folder / name)
            done.append(folder / name)
    except OSError:
        for path in done:
            shutil.rmtree(path) if path.is_dir() else path.unlink()
        raise


def _write(made: Path, wanted: Sequence[str]) -> tuple[str, ...]:
    with open_store(made / STORE, create=True):
        pass
    (made / "recipes").mkdir()
    for name in wanted:
        _, file, _ = HAVE[name]
        write_text(made / file, _read_file(file.replace(".m2", ".txt")), 0o600)
    entries = [_make_entry(made, name) for name in wanted]
    for entry in entries:
        add_entry(made / SOURCES, entry)
    if "texts" in wanted:
        recipe = _read_file("dataset.yaml") + (_LOG_RULE if "log" in wanted else "")
        write_text(made / "recipes" / "dataset.yaml", recipe)
    if "corpus" in wanted:
        write_text(made / "recipes" / "corrections.yaml", _read_file("corrections.yaml"))
    asking = not {"votes", "ratings", "log", "corpus"} & set(wanted)
    if asking:
        write_new_rubric("my-rubric", made / "rubric.yaml", RUBRIC)
    commands = tuple(_list_commands(wanted, asking))
    write_text(made / "README.md", _write_readme(wanted, commands))
    return commands


def _make_entry(made: Path, name: str) -> Entry:
    _, file, options = HAVE[name]
    about = {"about": "texts"} if name in _ABOUT_TEXTS else {}
    return Entry.model_validate({"source": name, "paths": [str(made / file)], **options, **about})


def _list_commands(wanted: Sequence[str], asking: bool) -> list[str]:
    """List the commands to the first report; a line that begins with # is for a person to do."""
    tables = ", ".join(HAVE[name][1] for name in wanted)
    commands = [
        f"# put your own rows into {tables}: the first is an example",
        f"preceptor ingest --from {SOURCES}",
    ]
    if asking:
        commands += [
            "# change rubric.md and rubric.yaml to what you want to know",
            "preceptor rubric check rubric.yaml",
            "preceptor annotate export --campaign week-1 --rubric ./rubric.yaml --n 1 --annotator ada "
            "--out forms.csv",
            "# ada types A, B or tie into the column preference of forms-ada.csv",
            "preceptor annotate import forms-ada.csv --campaign week-1 --rubric ./rubric.yaml",
        ]
    if "log" in wanted:
        commands.append("preceptor outcomes recipes/dataset.yaml")
    if "texts" in wanted:
        commands += ["preceptor fuse", "preceptor report --out report.html"]
    if "corpus" in wanted:
        commands.append("preceptor build recipes/corrections.yaml --out dist/my-corrections")
    return commands


def _write_readme(wanted: Sequence[str], commands: Sequence[str]) -> str:
    tables = "\n".join(f"- `{HAVE[name][1]}`: {HAVE[name][0]}" for name in wanted)
    steps = "\n".join(line if line.startswith("#") else f"$ {line}" for line in commands)
    then = (
        "With more votes, `preceptor build recipes/dataset.yaml --out dist/my-dataset` makes the dataset.\n"
        if "texts" in wanted
        else ""
    )
    return f"""# My project

{tables}
- `{SOURCES}`: how they are read; `preceptor ingest FILE --save {SOURCES}` recognises and adds another file.
- `recipes/`: what becomes of them. `{STORE}`: the store, one DuckDB file.

Next, in this folder:

```console
{steps}
```

{then}`preceptor status` shows what the store holds; a second `ingest --from` adds nothing twice.
After a change of a file: `preceptor ingest --from {SOURCES} --replace`.
"""


def _read_file(name: str) -> str:
    return (files("preceptor.toolkit.recipes.project") / "files" / name).read_text(encoding="utf-8")
