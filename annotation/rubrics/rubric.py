"""Read rubrics from files and texts, and compute the summary score of ratings.

The packaged rubrics are in `packaged/` as YAML (keys: file.py) with the annotators' guidelines in Markdown
beside them.

    rubric = read_rubric("socratic")                 # or a path: read_rubric("mine/clarity.yaml")
    rubric.criteria[0].levels                        # ("no", "yes"): values 1 and 2
"""

from pathlib import Path

import polars as pl

from ...schemas.errors import AnnotationError
from ...schemas.rubric import BETWEEN, Criterion, Rubric
from ...schemas.support.files import find_leading_out
from ...schemas.support.nearest import suggest
from .file import CriterionEntry, RubricEntry, parse_entry

FOLDER = Path(__file__).parent / "packaged"


def list_rubric_names() -> list[str]:
    """List the names of the rubrics that come with Preceptor."""
    return sorted(path.stem for path in FOLDER.glob("*.yaml"))


def list_rubrics() -> list[Rubric]:
    """Read the rubrics that come with Preceptor, in order of name."""
    return [read_rubric(name) for name in list_rubric_names()]


def read_rubric(name_or_path: str | Path) -> Rubric:
    """Read a packaged rubric by its name, or any rubric by the path of its YAML file.

    Raises AnnotationError, which names the file, the line and the nearest right name.
    """
    given = Path(name_or_path)
    if str(name_or_path) in list_rubric_names():
        return _read(FOLDER / f"{name_or_path}.yaml")
    if given.suffix in {".yaml", ".yml"} or len(given.parts) > 1:
        return _read(given)
    beside = given.with_suffix(".yaml")
    if beside.is_file():
        raise AnnotationError(f"no rubric '{name_or_path}': did you mean the file {beside}?")
    hint = suggest(str(name_or_path), list_rubric_names(), "known rubrics")
    raise AnnotationError(f"no rubric '{name_or_path}': {hint} (a file of your own: name it with its .yaml)")


def _read(path: Path) -> Rubric:
    yaml_text = _text_of(path, "name a rubric's YAML file, or one of: " + ", ".join(list_rubric_names()))
    entry = parse_entry(yaml_text, str(path))
    beside = _beside(path, entry)
    guidelines = _text_of(beside, f"write the annotators' guidelines there ({path.name} names it)")
    return _rubric(yaml_text, guidelines, str(path))


def find_guidelines(path: Path, rubric: Rubric) -> Path:
    """Find the guidelines' file of a rubric that was read from a path."""
    return _beside(path, parse_entry(rubric.yaml, str(path)))


def _beside(path: Path, entry: RubricEntry) -> Path:
    """Find the guidelines' file; a rubric that names any other is refused, as its text goes to models."""
    name = entry.guidelines or f"{path.stem}.md"
    plain = name not in {".", ".."} and not any(mark in name for mark in ("/", "\\", "\0"))
    if not plain or find_leading_out(path.parent, [name]):
        raise AnnotationError(
            f"{path}: 'guidelines': '{name}' leads out of the rubric's folder; put the file beside the "
            "rubric and write its name alone"
        )
    return path.parent / name


def _text_of(path: Path, remedy: str) -> str:
    try:
        return path.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise AnnotationError(f"{path}: {error.strerror}; {remedy}") from error
    except UnicodeDecodeError as error:
        raise AnnotationError(f"{path}: not UTF-8; save it as UTF-8") from error


def parse_rubric(text: str, where: str = "rubric") -> Rubric:
    """Parse a rubric from its `text`; AnnotationError names `where`, the line and the fault."""
    yaml_text, _, guidelines = text.partition(BETWEEN)
    return _rubric(yaml_text, guidelines, where)


def _rubric(yaml_text: str, guidelines: str, where: str) -> Rubric:
    if BETWEEN in f"\n{yaml_text}":
        raise AnnotationError(f"{where}: '---' begins a second document; leave one, and no '---'")
    if not guidelines.strip():
        raise AnnotationError(f"{where}: its guidelines are empty; say what annotators should look at")
    entry = parse_entry(yaml_text, where)
    total = sum(criterion.weight for criterion in entry.criteria)
    criteria = tuple(_criterion(criterion, total) for criterion in entry.criteria)
    tie = entry.kind == "pairwise" and entry.tie is not False
    text = yaml_text + BETWEEN + guidelines
    return Rubric(entry.name, entry.title, entry.kind, criteria, tie, guidelines, text)


def _criterion(entry: CriterionEntry, total: float) -> Criterion:
    steps = len(entry.levels) - 1
    even = [level / steps for level in range(steps + 1)]
    scores = entry.scores or (even if entry.higher_is_better else even[::-1])
    return Criterion(
        entry.name,
        entry.wording,
        tuple(entry.levels),
        entry.higher_is_better,
        entry.weight / total,
        tuple(scores),
    )


def score_ratings(rubric: Rubric, values: pl.DataFrame) -> pl.Series:
    """Compute one score per row: the weighted mean of what its levels earn, from 0 (worst) to 1 (best).

    `values` has one column per criterion, whole numbers from 1 to its levels; other columns are
    ignored. The score is null if a criterion with weight has no value.

    Raises AnnotationError for a pairwise rubric, a missing column, and a value that is no level.
    """
    if rubric.kind == "pairwise":
        raise AnnotationError(f"{rubric.name}: a pairwise rubric has no score; fuse its votes instead")
    earned = [_earned(criterion, values) for criterion in rubric.criteria if criterion.weight]
    return sum(earned[1:], start=earned[0]).clip(0, 1).alias("score")


def _earned(criterion: Criterion, values: pl.DataFrame) -> pl.Series:
    """Weighted score of each row by one criterion."""
    if criterion.name not in values.columns:
        hint = suggest(criterion.name, values.columns, "columns there")
        raise AnnotationError(f"no column '{criterion.name}' with its values: {hint}")
    levels = [float(level) for level in range(1, len(criterion.levels) + 1)]
    given = values[criterion.name]
    if not (given.dtype.is_numeric() or given.dtype == pl.Null):
        raise AnnotationError(f"'{criterion.name}' is {given.dtype}; expected whole numbers")
    given = given.cast(pl.Float64)
    wrong = given.filter(given.is_in(levels).not_())
    if wrong.len():
        raise AnnotationError(f"'{criterion.name}' is {wrong[0]:g}; expected 1 to {len(levels)}")
    earned = [criterion.weight * score for score in criterion.scores]
    return given.replace_strict(levels, earned, return_dtype=pl.Float64)
