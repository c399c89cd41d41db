"""What every gate returns."""

from dataclasses import asdict, dataclass
from typing import Any


@dataclass(frozen=True)
class Gate:
    """A verdict with its number; a gate that did not pass stops the build."""

    name: str
    passed: bool
    number: float
    verdict: str

    def as_dict(self) -> dict[str, Any]:
        """Plain values for the manifest and the card."""
        return asdict(self)
