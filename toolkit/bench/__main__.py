"""`make bench`: ours beside a peer in the same run.

    python -m preceptor.toolkit.bench [ROW …] [--quick] [--write docs/bench.md]

Machines are noisy: read the ratios. Every side runs in a process of its own, in turn with the
others, and the median of its repetitions counts; memory is that process's peak.
"""

import importlib.metadata
import json
import platform
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import click

from ..cli.options import stderr, stdout, table
from .rows import ROWS

REPETITIONS = 3
COLUMNS = ("work", "size", "who", "seconds ", "peak MB ", "times ours ", "remark")


@click.command()
@click.argument("rows", nargs=-1, type=click.Choice(list(ROWS)))
@click.option("--quick", is_flag=True, help="Inputs 20 times smaller, one repetition.")
@click.option("--write", type=click.Path(path_type=Path), help="Markdown file for the table.")
@click.option("--one", nargs=3, hidden=True, help="ROW SIDE FOLDER: one measurement, as JSON.")
def main(rows: tuple[str, ...], quick: bool, write: Path | None, one: tuple[str, str, str] | None) -> None:
    """Measure speed and memory beside peers in the same run."""
    if one:
        click.echo(json.dumps(measure(one[0], one[1], Path(one[2]))))
        return
    lines: list[tuple[str, ...]] = []
    for name in rows or ROWS:
        stderr().print(f"{name} …")
        lines += run_row(name, quick)
    stdout().print(table("bench", COLUMNS, lines))
    if write:
        write.write_text(markdown(lines), encoding="utf-8")


def run_row(name: str, quick: bool) -> list[tuple[str, ...]]:
    """All sides of a row, in turn; the first is ours."""
    row = ROWS[name]
    found: dict[str, list[dict[str, Any]]] = {side: [] for side in row.sides}
    with tempfile.TemporaryDirectory() as folder:
        size = row.prepare(Path(folder), 20 if quick else 1)
        for _ in range(1 if quick else REPETITIONS):
            for side, measured in found.items():
                command = [sys.executable, "-m", "preceptor.toolkit.bench", "--one", name, side, folder]
                ended = subprocess.run(command, capture_output=True, text=True, check=False)
                if ended.returncode:
                    stderr().print(f"  {side}: {ended.stderr.strip().splitlines()[-1]}")
                    break
                measured.append(json.loads(ended.stdout))
    ours = statistics.median(m["seconds"] for m in next(iter(found.values())))
    lines: list[tuple[str, ...]] = []
    for side, measured in found.items():
        if not measured:
            lines.append((row.what, size, side, "-", "-", "-", "not installed: make bench installs it"))
            continue
        seconds = statistics.median(m["seconds"] for m in measured)
        peak = f"{max(m['peak_mb'] for m in measured):.0f}" if row.in_process else "-"
        lines.append((row.what, size, side, f"{seconds:.2f}", peak, f"{seconds / ours:.2f}",
                      measured[-1]["remark"]))  # fmt: skip
    return lines


def measure(name: str, side: str, folder: Path) -> dict[str, Any]:
    """One side of a row, once, in this process."""
    work = ROWS[name].sides[side](folder)
    began = time.perf_counter()
    remark = work()
    seconds = time.perf_counter() - began
    return {"seconds": seconds, "peak_mb": peak_mb(), "remark": remark}


def peak_mb() -> float:
    """Peak memory of this very process.

    Linux's ru_maxrss survives exec, so it would start at the peak of the process that started us.
    """
    status = Path("/proc/self/status")
    if status.exists():
        peak = next(line for line in status.read_text().splitlines() if line.startswith("VmHWM"))
        return int(peak.split()[1]) / 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def markdown(lines: list[tuple[str, ...]]) -> str:
    """The table with the date and what it was measured on."""
    rows = [COLUMNS, tuple("---:" if c.endswith(" ") else "---" for c in COLUMNS), *lines]
    versions = ", ".join(
        f"{name} {importlib.metadata.version(name)}"
        for name in ("preceptor", "duckdb", "polars", "jax", "numpyro")
    )
    body = "\n".join(f"| {' | '.join(cell.strip() for cell in row)} |" for row in rows)
    return (
        f"# Bench\n\n`make bench`, {datetime.now(UTC):%Y-%m-%d}, {platform.machine()}, "
        f"Python {platform.python_version()}, {versions}. Each figure is the median of {REPETITIONS} runs "
        "in processes of their own, taken in turn. Machines are noisy: read the ratios.\n\n"
        f"{body}\n"
    )


if __name__ == "__main__":
    main()
