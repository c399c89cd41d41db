"""Match criteria of people to a judge's: of the same name and number of levels, in any source.

reveals_answer (2 levels, of the judge)    reveal_answer (2 levels, of people)    the same
clarity (5 levels, 5 is best)              Clarity (5 levels, 1 is best)          reversed
helpful (5 levels)                         helpful (3 levels)                     left out, with a note
"""

import re
from dataclasses import dataclass

import polars as pl

from ...schemas.errors import AnnotationError
from ...schemas.rubric import Rubric
from ...schemas.support.nearest import suggest


@dataclass(frozen=True)
class MatchedCriteria:
    """Ratings with the judge's names and directions, and what was left out or reversed."""

    judge: pl.DataFrame
    people: pl.DataFrame
    notes: list[str]


def fold_name(name: str) -> str:
    """Fold a criterion's name: without case, signs and the s at the end of its words."""
    words = re.findall(r"[^\W_]+", name.lower())
    return " ".join(word.removesuffix("s") if len(word) > 3 else word for word in words)


def match_criteria(
    judge: pl.DataFrame, people: pl.DataFrame, rubrics: pl.DataFrame, same: dict[str, str]
) -> MatchedCriteria:
    """Match people's ratings with the judge's criteria, and give them the judge's names.

    Both have the columns of ratings; `rubrics` source, criterion, levels, higher_is_better (by default, more
    is better). `same` maps the judge's names to people's. Values of a criterion with the opposite direction
    in the people's source are reversed. Raises AnnotationError if `same` names an unknown criterion.
    """
    directions = {(s, c): up for s, c, up in rubrics.select("source", "criterion", "higher_is_better").rows()}
    mine = _scales(judge)
    theirs = _scales(people)
    _check(same, {c for _, c, _ in mine}, {c for _, c, _ in theirs})
    called = {other: one for one, other in same.items()}
    by_name: dict[str, list[tuple[str, str, int]]] = {}
    for scale in mine:
        by_name.setdefault(fold_name(scale[1]), []).append(scale)
    rows, notes, met = [], [], set()
    for source, criterion, levels in theirs:
        name = called.get(criterion, criterion)
        those = [
            scale for scale in by_name.get(fold_name(name), []) if criterion in called or scale[1] not in same
        ]
        alike = [scale for scale in those if scale[2] == levels]
        if those and not alike:
            notes.append(f"{criterion} of {source}: {levels} levels, the judge has {those[0][2]}; left out")
        if not alike:
            continue
        # The judge's own source of that scale: the name as written, and its direction.
        of, own, _ = next((scale for scale in alike if scale[1] == name), alike[0])
        turned = directions.get((source, criterion), True) != directions.get((of, own), True)
        value = levels + 1 - pl.col("value") if turned else pl.col("value")
        rows.append(
            people.filter(source=source, criterion=criterion, levels=levels).with_columns(
                value.alias("value"), criterion=pl.lit(own)
            )
        )
        met.add(own)
        if own != criterion:
            notes.append(f"{own}: people's {criterion} of {source} is taken as the same")
        if turned:
            notes.append(f"{own}: runs the other way in {source}; its values are turned round")
    notes += _unmet(mine, theirs, met, rows)
    return MatchedCriteria(judge, pl.concat(rows) if rows else people.clear(), notes)


def _scales(ratings: pl.DataFrame) -> list[tuple[str, str, int]]:
    columns = ["source", "criterion", "levels"]
    return list(ratings.select(columns).unique().sort(columns).rows())


def _check(same: dict[str, str], mine: set[str], theirs: set[str]) -> None:
    for one, other in same.items():
        for name, have, whose in ((one, mine, "the judge"), (other, theirs, "people")):
            if name not in have:
                hint = suggest(name, sorted(have), f"{whose} rated")
                raise AnnotationError(f"--same {one}={other}: {whose} rated no '{name}'; {hint}")


def _unmet(
    mine: list[tuple[str, str, int]],
    theirs: list[tuple[str, str, int]],
    met: set[str],
    rows: list[pl.DataFrame],
) -> list[str]:
    """Criteria of the judge that people did not rate."""
    unmet = sorted({criterion for _, criterion, _ in mine} - met)
    if not unmet:
        return []
    those = sorted({criterion for _, criterion, _ in theirs})
    said = f"{', '.join(unmet)}: people did not rate by it on the same levels"
    return [said if rows else f"{said} (people rated {', '.join(those)}; --same OURS=THEIRS joins two)"]


def name_levels(name: str, answers: int, rubric: Rubric | None) -> list[str]:
    """Name the levels of a criterion: as the rubric words short ones, else their numbers."""
    for criterion in rubric.criteria if rubric else ():
        short = max(map(len, criterion.levels)) <= 10
        if fold_name(criterion.name) == fold_name(name) and len(criterion.levels) == answers and short:
            return list(criterion.levels)
    return [str(level) for level in range(1, answers + 1)]


def gather_rating_sets(ratings: pl.DataFrame, rubric: Rubric) -> pl.DataFrame | None:
    """Gather ratings by annotator and completion: one row each, with a column for each criterion.

    Columns: completion, annotator, and the criteria. Ratings without annotator are grouped by their place in
    the input. If a criterion is rated twice, the first rating counts. Null if a criterion with weight is
    missing, or has other levels than the rubric's.
    """
    have = {(fold_name(c), levels): c for _, c, levels in _scales(ratings)}
    wanted = {c.name: have.get((fold_name(c.name), len(c.levels))) for c in rubric.criteria if c.weight}
    if None in wanted.values():
        return None
    who = pl.coalesce(pl.format("a{}", "annotator"), pl.format("n{}:{}", "path", "line"))
    sets = (
        ratings.filter(pl.col("criterion").is_in(list(wanted.values())))
        .sort("at", "path", "line", "n", nulls_last=True)
        .with_columns(who=who)
        .group_by("completion", "who", maintain_order=True)
        .agg(
            pl.col("annotator").first(),
            *(
                pl.col("value").filter(pl.col("criterion") == theirs).first().alias(name)
                for name, theirs in wanted.items()
            ),
        )
    )
    # `score_ratings` looks at every criterion that has weight; the others are not asked for.
    return sets.drop("who")
