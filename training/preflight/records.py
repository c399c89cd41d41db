"""Records of preflight's report, and the report as a table for the screen.

split     rows   kept  dropped  truncated   tokens  loss tokens  median  95 %  longest
train      812    809        3         14   61,204  19,480 (32 %)    71   160      256
REFUSED dead_pairs (train): 2 pairs whose two completions are the same ... rows 17, 401
"""

from dataclasses import asdict, dataclass, fields
from typing import Any

from ...schemas.errors import RecipeError
from ...schemas.support.nearest import find_nearest


@dataclass(frozen=True)
class Defect:
    """One kind of defect in one split: the number of rows, the first three, what it means, what to do."""

    kind: str
    split: str
    count: int
    rows: tuple[str, ...]
    text: str
    refused: bool


@dataclass(frozen=True)
class SplitCounts:
    """Counts of what TRL makes of a split's rows in one epoch.

    `rows` are the trainer's (KTO makes two of a pair), `sequences` the units of a batch (packed ones where
    the trainer packs). `tokens` and `loss_tokens` count kept rows after truncation. `median`, `p95` and
    `longest` are lengths of sequences in tokens after truncation, before packing; `whole` is the longest
    before truncation.
    """

    name: str
    rows: int
    kept: int = 0
    dropped: int = 0
    truncated: int = 0
    tokens_lost: int = 0
    tokens: int = 0
    loss_tokens: int = 0
    sequences: int = 0
    median: int = 0
    p95: int = 0
    longest: int = 0
    whole: int = 0


@dataclass(frozen=True)
class MemoryEstimate:
    """Parameters and bytes of GPU memory per process; see `memory.py` for the formula and its error."""

    parameters: int
    trainable: int
    weights: int
    reference: int
    gradients: int
    optimizer: int
    activations: int
    overhead: int

    @property
    def total(self) -> int:
        """Bytes in all."""
        parts = (self.weights, self.reference, self.gradients, self.optimizer)
        return sum(parts) + self.activations + self.overhead


@dataclass(frozen=True)
class PreflightReport:
    """The report of preflight.

    `steps` are the optimizer's, `tokens` those of the whole run; `seconds` is the time that preflight took.
    """

    stage: str
    splits: tuple[SplitCounts, ...]
    defects: tuple[Defect, ...]
    steps_per_epoch: int
    steps: int
    tokens: int
    size: MemoryEstimate | None
    no_size: str | None
    seconds: float

    @property
    def refusals(self) -> tuple[Defect, ...]:
        """Defects that forbid training."""
        return tuple(d for d in self.defects if d.refused)

    @property
    def warnings(self) -> tuple[Defect, ...]:
        """Defects that allow training."""
        return tuple(d for d in self.defects if not d.refused)


def convert_report(report: PreflightReport) -> dict[str, Any]:
    """Convert a report to what preceptor.json holds."""
    data = {field.name: getattr(report, field.name) for field in fields(PreflightReport)}
    data["splits"] = [asdict(split) for split in report.splits]
    data["size"] = report.size and {**asdict(report.size), "total": report.size.total}
    data["refusals"] = [asdict(d) for d in report.refusals]
    data["warnings"] = [asdict(d) for d in report.warnings]
    del data["defects"]
    return data


def format_report(report: PreflightReport) -> str:
    """Format a report as lines for the screen."""
    head = (
        "split",
        "rows",
        "kept",
        "dropped",
        "truncated",
        "tokens",
        "loss tokens",
        "median",
        "95 %",
        "longest",
    )
    body = [
        (
            s.name,
            *(f"{n:,}" for n in (s.rows, s.kept, s.dropped, s.truncated, s.tokens)),
            f"{s.loss_tokens:,} ({s.loss_tokens / max(s.tokens, 1):.0%})",
            *(f"{n:,}" for n in (s.median, s.p95, s.longest)),
        )
        for s in report.splits
    ]
    wide = [max(len(row[i]) for row in [head, *body]) for i in range(len(head))]
    lines = [
        "  ".join(
            cell.rjust(w) if i else cell.ljust(w) for i, (cell, w) in enumerate(zip(row, wide, strict=True))
        )
        for row in [head, *body]
    ]
    lines += [_line(d, "REFUSED") for d in report.refusals] + [_line(d, "warning") for d in report.warnings]
    if report.steps:
        an_epoch = f"{report.steps_per_epoch:,} an epoch"
        lines.append(
            f"{report.steps:,} steps ({an_epoch}), {report.tokens:,} tokens in all; "
            f"looked at in {report.seconds:.0f} s"
        )
    return "\n".join([*lines, _memory(report)])


def _line(defect: Defect, word: str) -> str:
    more = " ..." if defect.count > len(defect.rows) else ""
    rows = f" [row{'s' if defect.count > 1 else ''} {', '.join(defect.rows)}{more}]"
    split = f" ({defect.split})" if defect.split else ""
    return f"{word} {defect.kind}{split}: {defect.text}{rows if defect.rows else ''}"


def _memory(report: PreflightReport) -> str:
    size = report.size
    if size is None:
        return f"no estimate of memory: {report.no_size}"
    parts = ("weights", "reference", "gradients", "optimizer", "activations", "overhead")
    shown = ", ".join(f"{n} {_gib(getattr(size, n))}" for n in parts if getattr(size, n))
    return (
        f"about {_gib(size.total)} GiB of GPU memory a process, if nothing is sharded ({shown}); "
        f"{size.trainable:,} of {size.parameters:,} parameters are trained"
    )


def _gib(n: int) -> str:
    return f"{n / 2**30:.1f}" if n >= 2**30 // 10 else f"{n / 2**30:.3f}"


def check_choice(what: str, name: str, known: tuple[str, ...]) -> None:
    """Check that `name` is among `known`; RecipeError names the nearest."""
    if name not in known:
        near = find_nearest(name, known)
        meant = f"; did you mean {near}?" if near else ""
        raise RecipeError(f"{what}: {name!r} is not one of {', '.join(known)}{meant}")
