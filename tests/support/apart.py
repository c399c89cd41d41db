"""Run the command line in a process of its own, and measure its memory."""

import os
import sys
from pathlib import Path

from waiting import run_to_end

import preceptor

RUN = """
import resource, sys
from preceptor.toolkit.cli.main import main
try:
    main()
    code = 0
except SystemExit as error:
    code = error.code
peaks = [resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss]
try:  # a process begins with its parent's ru_maxrss
    peaks += [int(line.split()[1]) for line in open("/proc/self/status") if line.startswith("VmHWM")]
except OSError:
    peaks.append(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024)
print("PEAK", 1024 * max(peaks))
sys.exit(code)
"""


def run_apart(folder, *words, **more):
    """Run the command line in a process of its own: its exit code, messages and memory in bytes."""
    root = str(Path(preceptor.__file__).parents[1])
    scratch = folder / "scratch"
    scratch.mkdir(exist_ok=True)
    env = {**os.environ, "PYTHONPATH": root, "TMPDIR": str(scratch), **more}
    command = [sys.executable, "-c", RUN, "--store", str(folder / "s.duckdb"), *map(str, words)]
    done = run_to_end(command, cwd=folder, env=env)
    assert not any(scratch.iterdir())
    out, _, peak = done.stdout.rpartition("PEAK ")
    return done.returncode, out + done.stderr, int(peak)
