"""Rubrics as records: what annotators are asked about completions, and on which levels.

A pairwise rubric asks which of two completions is better (a, b or tie: the criterion "preference");
a rating rubric asks for the level of each criterion of one completion.

    rubric.criteria[0].levels                        # ("no", "yes"): values 1 and 2
"""

import hashlib
from dataclasses import dataclass
from typing import Literal

from .keys import LENGTH

PREFERENCE = "preference"
"""The only criterion of a pairwise rubric."""
BETWEEN = "\n---\n"
"""Separates the YAML and the guidelines in `Rubric.text`."""


@dataclass(frozen=True)
class Criterion:
    """What is rated; value v (from 1) is worded levels[v - 1]."""

    name: str
    wording: str
    levels: tuple[str, ...]
    higher_is_better: bool
    weight: float
    """Share in the summary score: those of a rubric add up to 1."""
    scores: tuple[float, ...] = ()
    """Score of each level, 0 to 1; 1 is the best."""


@dataclass(frozen=True)
class Rubric:
    """A rubric as annotators see it."""

    name: str
    title: str
    kind: Literal["pairwise", "rating"]
    criteria: tuple[Criterion, ...]
    """Of a rating rubric, in the order of asking; empty for a pairwise one."""
    tie: bool
    """True if 'tie' may be answered (pairwise only)."""
    guidelines: str
    """Markdown."""
    text: str
    """The YAML unchanged, a line of three hyphens, the guidelines: `parse_rubric` reads it again."""

    @property
    def digest(self) -> str:
        """Names this very wording, guidelines included: 20 hex digits of the text's SHA-256."""
        return hashlib.sha256(self.text.encode()).hexdigest()[:LENGTH]

    @property
    def yaml(self) -> str:
        """The YAML alone, as its file has it."""
        return self.text.partition(BETWEEN)[0]
