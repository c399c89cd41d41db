"""What a file is taken for: a format, how sure, why, and the options that read it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

SURE = 0.8
"""Least sureness (0 to 1) of a proposal that is taken without a question."""
APART = 0.05
"""Least lead over the runner-up."""


@dataclass(frozen=True)
class Proposal:
    """A format for a file, and options of ingest that read it so."""

    format: str
    sure: float
    """0 to 1."""
    weight: int
    """How much of the file speaks for it: columns, keys and patterns that were found."""
    why: tuple[str, ...]
    """The evidence, in a user's words."""
    options: Mapping[str, Any] = field(default_factory=dict)
    """Options as an entry of sources.yaml has them: map, set, wide, levels …"""
    guesses: tuple[str, ...] = ()
    """What is proposed although the file does not say it."""
    missing: tuple[str, ...] = ()
    """What only the user can say, with the option that says it."""


@dataclass(frozen=True)
class Recognised:
    """The proposals for files, the best first; `faults` say what is in the way."""

    proposals: tuple[Proposal, ...]
    faults: tuple[str, ...] = ()

    @property
    def best(self) -> Proposal | None:
        """The best proposal; None if there is none."""
        return self.proposals[0] if self.proposals else None

    @property
    def sure(self) -> bool:
        """True if the best proposal says all, guesses nothing, and no other is as good."""
        return not self.list_doubts()

    def list_doubts(self) -> list[str]:
        """List why the best proposal needs a person's word, a line each; [] if it needs none."""
        best = self.best
        if best is None:
            return [*self.faults, "it is of no format that is known"]
        doubts = [
            *self.faults,
            *(f"say {one}" for one in best.missing),
            *(f"guessed: {g}" for g in best.guesses),
        ]
        if best.sure < SURE and not doubts:
            doubts.append("its names are only like those of this format")
        doubts += [
            f"it may as well be {other.format}" for other in self.proposals[1:] if not _leads(best, other)
        ]
        return doubts


def _leads(best: Proposal, other: Proposal) -> bool:
    return best.sure - other.sure >= APART or (best.sure >= other.sure and best.weight > other.weight)


def sort_proposals(proposals: Sequence[Proposal]) -> tuple[Proposal, ...]:
    """Sort proposals, one for each format: by sureness, then by how much speaks for them, then by name."""
    best: dict[str, Proposal] = {}
    for one in sorted(proposals, key=_order):
        best.setdefault(one.format, one)
    return tuple(best.values())


def _order(one: Proposal) -> tuple[float, int, str]:
    return -round(one.sure, 3), -one.weight, one.format
