"""Write one's own rubric, empty or from another one; check it; show it as annotators see it."""

import json
import re
from pathlib import Path

import yaml
from jinja2 import Environment, FileSystemLoader, StrictUndefined, select_autoescape

from ...schemas.errors import AnnotationError
from ...schemas.rubric import Rubric
from .rubric import find_guidelines, parse_rubric, read_rubric

TEMPLATES = Path(__file__).parent / "templates"
_TO_DO = re.compile(r"\bTODO\b.*")


def write_new_rubric(name: str, out: Path, start_from: str | None = None) -> tuple[Path, Path]:
    """Write a rubric's YAML to `out` and its guidelines beside it, to be edited.

    Returns both paths. Nothing is overwritten. `start_from` names the rubric to copy; without it the
    files have TODO in places to be written, and `check_rubric` finds those that are left.
    """
    if start_from is not None:
        return copy_rubric(read_rubric(start_from), name, out)
    page, guide = TEMPLATES / "new.yaml.jinja", TEMPLATES / "new.md.jinja"
    return _write(fill_template(page, name=name, file=out), fill_template(guide), out)


def copy_rubric(rubric: Rubric, name: str, out: Path) -> tuple[Path, Path]:
    """Write a rubric under another name, with its comments; returns both paths. Nothing is overwritten."""
    return _write(_renamed(rubric, name, out.with_suffix(".md").name), rubric.guidelines, out)


def _write(yaml_text: str, guidelines: str, out: Path) -> tuple[Path, Path]:
    beside = out.with_suffix(".md")
    if out.suffix not in {".yaml", ".yml"}:
        raise AnnotationError(f"{out}: a rubric's file ends in .yaml; try {out.with_suffix('.yaml')}")
    for path in (out, beside):
        if path.exists():
            raise AnnotationError(f"{path} is there already; choose another --out, or edit it")
    parse_rubric(f"{yaml_text}\n---\n{guidelines}", str(out))  # the name may be none
    out.parent.mkdir(parents=True, exist_ok=True)
    beside.write_text(guidelines, encoding="utf-8")
    out.write_text(yaml_text, encoding="utf-8")
    return out, beside


def _renamed(rubric: Rubric, name: str, guidelines: str) -> str:
    """The rubric's YAML with another name and place of the guidelines; comments stay."""
    text = rubric.yaml
    root = yaml.compose(text, Loader=yaml.SafeLoader)
    changed = {"name": name, "guidelines": guidelines}
    for key, value in reversed(root.value if root else []):
        if key.value in changed:
            start, end = value.start_mark.index, value.end_mark.index
            text = text[:start] + changed[key.value] + text[end:]
    return text


def check_rubric(path: Path) -> Rubric:
    """Read a rubric and check it; raises AnnotationError also if a TODO is left."""
    rubric = read_rubric(path if len(path.parts) > 1 else f"./{path}")
    left = [
        f"{where}:{n}: still to be written: {found[0].strip()}"
        for where, text in ((path, rubric.yaml), (find_guidelines(path, rubric), rubric.guidelines))
        for n, line in enumerate(text.splitlines(), 1)
        if (found := _TO_DO.search(line))
    ]
    if left:
        raise AnnotationError("\n".join(left))
    return rubric


def show_rubric(rubric: Rubric) -> str:
    """Show the annotators' questions as plain text, without the guidelines."""
    if rubric.kind == "pairwise":
        answers = "A, B or tie" if rubric.tie else "A or B; tie is not offered"
        shown = "two completions of a prompt, A and B, in random order"
        return f"{rubric.title}\n\n  {shown}\n  answer: {answers}\n"
    lines = [rubric.title]
    for n, criterion in enumerate(rubric.criteria, 1):
        lines += ["", f"{n}. {criterion.name}: {criterion.wording}"]
        lines += [f"   {value:>2}  {wording}" for value, wording in enumerate(criterion.levels, 1)]
    earned = (
        f"{c.weight:.3g} {c.name}" + ("" if c.higher_is_better else " (less is better)")
        for c in rubric.criteria
        if c.weight
    )
    return "\n".join([*lines, "", f"summary score, 0 to 1: {' + '.join(earned)}", ""])


def fill_template(path: Path, /, **values: object) -> str:
    """Fill the places of a template file; jinja2's UndefinedError if a place has no value."""
    environment = Environment(
        loader=FileSystemLoader(path.parent),
        autoescape=select_autoescape(),  # of HTML templates, which these are not
        undefined=StrictUndefined,
        keep_trailing_newline=True,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["quoted"] = lambda value: json.dumps(value, ensure_ascii=False)
    return environment.get_template(path.name).render(**values)
