"""One piece of work, once, in a process of its own; and several sides of it in turn.

Peak memory is the kernel's high-water mark of the process image (VmHWM). ru_maxrss will not do: a
child starts with its parent's, so that everything small would show the size of the bench itself.
"""

import importlib.util
import json
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path

LAST_WORDS = (  # a program tells its own peak when it ends; modules that Python loads anyway
    "import atexit, os, sys; status = '/proc/self/status'; "
    "os.path.exists(status) and atexit.register(lambda: sys.stderr.write(open(status).read())); "
)
SHRINK = 20  # how many times smaller the inputs of --quick are


@dataclass(frozen=True)
class Done:
    """What came of a piece of work; `peak_mb` only where another process did it."""

    remark: str = ""
    peak_mb: float = 0.0


@dataclass(frozen=True)
class Job:
    """Where a side finds its inputs, and the how-manieth time it works (from 0)."""

    folder: Path
    repetition: int


Work = Callable[[], Done]


@dataclass(frozen=True)
class Side:
    """Who does the work: `ready` prepares it outside the clock and returns the work itself."""

    ready: Callable[[Job], Work]
    needs: str = ""  # the module of a peer, which may not be installed
    less: str = ""  # what a peer leaves out of the work


@dataclass(frozen=True)
class Row:
    """A class of work: how its input is made (returns its size in words) and who does it."""

    what: str
    prepare: Callable[[Path, int], str]  # folder, times smaller
    sides: dict[str, Side]  # the first is ours, the measure of the others
    note: str  # what the sides do and do not do
    repetitions: int = 3  # odd: one of them is the median
    there_and_back: bool = False  # every second time the sides work in the opposite order
    told: Callable[[Path], str] = field(default=lambda _: "")  # what all repetitions say together


@dataclass(frozen=True)
class Run:
    """One measurement; CPU seconds are those of all threads and children."""

    seconds: float
    cpu: float
    peak_mb: float
    remark: str


@dataclass
class Found:
    """All measurements of a side, or why there are none."""

    runs: list[Run] = field(default_factory=list)
    trouble: str = ""
    failed: bool = False  # trouble other than a peer that is not installed

    @property
    def middle(self) -> Run:
        """The run whose wall time is the median."""
        return sorted(self.runs, key=lambda run: run.seconds)[len(self.runs) // 2]

    @property
    def peak_mb(self) -> float:
        """The highest peak of any run."""
        return max(run.peak_mb for run in self.runs)

    def times(self, ours: "Found") -> tuple[float, float, float]:
        """Median, lowest and highest of this side's wall time over ours in the same repetition."""
        ratios = [theirs.seconds / run.seconds for theirs, run in zip(self.runs, ours.runs, strict=True)]
        return statistics.median(ratios), min(ratios), max(ratios)


def run_row(name: str, row: Row, quick: bool) -> tuple[str, dict[str, Found], str]:
    """The input's size in words, what each side took, and what the row tells; the sides work in turn."""
    found = {side: Found(trouble=_missing(spec)) for side, spec in row.sides.items()}
    with tempfile.TemporaryDirectory() as folder:
        size = row.prepare(Path(folder), SHRINK if quick else 1)
        for repetition in range(1 if quick else row.repetitions):
            back = row.there_and_back and repetition % 2
            for side, held in list(found.items())[:: -1 if back else 1]:
                if not held.trouble:
                    _measure_apart(name, side, Job(Path(folder), repetition), held)
        told = row.told(Path(folder))
    return size, found, told


def _missing(side: Side) -> str:
    if side.needs and importlib.util.find_spec(side.needs) is None:
        return f"peer {side.needs} is not installed: make bench installs it"
    return ""


def _measure_apart(name: str, side: str, job: Job, held: Found) -> None:
    """Measure in a new process and keep the result, or the reason why there is none."""
    command = [sys.executable, "-m", "preceptor.tests.bench", "--one", name, side]
    ended = subprocess.run(
        [*command, str(job.folder), str(job.repetition)], capture_output=True, text=True, check=False
    )
    if ended.returncode:
        said = ended.stderr.strip().splitlines() or [f"exit {ended.returncode}"]
        held.runs, held.trouble, held.failed = [], f"failed: {said[-1]}", True
    else:
        held.runs.append(Run(**json.loads(ended.stdout.splitlines()[-1])))


def measure(side: Side, job: Job) -> str:
    """Do a side's work once, in this process; a Run as JSON."""
    work = side.ready(job)
    cpu, began = cpu_seconds(), time.perf_counter()
    done = work()
    seconds = time.perf_counter() - began
    status = Path("/proc/self/status")
    told = status.read_text(encoding="utf-8") if status.exists() else ""
    peak = done.peak_mb or peak_mb(told, resource.RUSAGE_SELF)
    return json.dumps(asdict(Run(seconds, cpu_seconds() - cpu, peak, done.remark)))


def cpu_seconds() -> float:
    """CPU seconds of this process (all threads) and of the children it waited for."""
    uses = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(use.ru_utime + use.ru_stime for use in uses)


def peak_mb(status: str, who: int) -> float:
    """Highest resident memory in MB, from the text of a process's /proc/…/status.

    Where the system has no /proc (the text is empty), from the resource usage of `who`.
    """
    for line in status.splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) * 1024 / 1e6
    unit = 1 if sys.platform == "darwin" else 1024  # macOS counts in bytes
    return resource.getrusage(who).ru_maxrss * unit / 1e6
