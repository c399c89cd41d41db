"""Write the folder of an evaluation, which is complete or absent.

    OUT/metrics.json   figures with intervals, differences, verdicts; dataset, models, settings, versions
    OUT/judged.jsonl   replies of the judge, if there was one
    OUT/answers.jsonl  {"key": "1f…", "source": "…", "references": ["…"], "answers": {"hf:gec@3c…": "…"}}
    OUT/README.md      the tables and what they mean in plain words
    OUT/figures.png

Until it is complete it is .OUT.unfinished, where replies are kept as they arrive; the same command goes on
from there. Models may be added and other metrics chosen meanwhile; settings that answers depend on may not
change.
"""

import json
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from ...schemas.errors import EvaluationError
from ...schemas.support.json_text.lines import add_lines
from ...schemas.support.unfinished_run import finish, hold_run
from .answers import KeptAnswer
from .figures import draw_figures
from .metrics.statistics import Item
from .report import render_readme

REPLIES, JUDGED, LIKELIHOODS = "replies.jsonl", "judged.jsonl", "likelihoods.jsonl"
_WHOLE = "whole"


def check_out(out: Path) -> None:
    """Raise EvaluationError if the output folder has no name, or exists and is not empty."""
    if not out.name:
        raise EvaluationError(f"--out {out}: expected a folder of its own, such as evaluations/gec")
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise EvaluationError(f"{out}: exists; choose another --out, or move it away")


@contextmanager
def open_folder(out: Path, run: Mapping[str, Mapping[str, Any]], restart: bool) -> Iterator[Path]:
    """Open the unfinished folder of a run; move the finished one to its place when the block ends.

    `run`: the settings and data that answers depend on. `restart`: throw away what an earlier run left. The
    block must call `write_folder`. Raises EvaluationError if the place is taken, another process has the
    folder, or it belongs to other settings.
    """
    check_out(out)
    work = out.with_name(f".{out.name}.unfinished")
    with hold_run(work, run, restart, EvaluationError, lambda old: _compare_runs(old, run)):
        check_out(out)  # the same command may have finished meanwhile
        yield work
        check_out(out)
        if out.is_dir():
            out.rmdir()  # an empty one
        out.parent.mkdir(parents=True, exist_ok=True)
        (work / _WHOLE).rename(out)
        finish(work)


def write_folder(
    work: Path, about: Mapping[str, Any], items: Sequence[Item], answers: Mapping[str, Sequence[KeptAnswer]]
) -> None:
    """Write the finished folder inside the unfinished one.

    `about`: the content of metrics.json. `answers`: of each model by name, in the order of the items, or
    none.
    """
    folder = work / _WHOLE
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    rows = (
        {
            "key": item.key,
            "group": item.group,
            "source": item.source,
            "references": item.references,
            "rejected": item.rejected,
            "answers": {name: of[n].text for name, of in answers.items() if of},
        }
        for n, item in enumerate(items)
    )
    add_lines(folder / "answers.jsonl", rows)
    text = json.dumps(about, indent=1, ensure_ascii=False, allow_nan=False) + "\n"
    (folder / "metrics.json").write_text(text, encoding="utf-8")
    draw_figures(about, folder / "figures.png")
    (folder / "README.md").write_text(render_readme(about), encoding="utf-8")
    if (work / JUDGED).is_file():
        shutil.copyfile(work / JUDGED, folder / JUDGED)


def _compare_runs(old: str, run: Mapping[str, Mapping[str, Any]]) -> str:
    """List the names of what differs: "temperature, prompts"."""
    try:
        before = json.loads(old)
    except ValueError:
        return "not readable"
    found = [
        name
        for part, now in run.items()
        for name, value in now.items()
        if before.get(part, {}).get(name) != value
    ]
    return ", ".join(found) or "others"
