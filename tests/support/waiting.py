"""Wait for other processes by their progress instead of by the clock, so that a busy machine fails no test.

    done = run_to_end([sys.executable, "-m", "preceptor.toolkit.cli.main", "train", "r.yaml"])
    wait_until(lambda: last_checkpoint(folder), process, log)
    code = wait_for_end(process, log)

Progress is any growth of the files given, or CPU time of the process and its descendants. CPU time below 2 %
of the time that passes does not count, since a launcher that waits for others polls.
"""

import contextlib
import os
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

IDLE = 600.0  # seconds without progress after which a wait gives up
WORKING = 0.02  # seconds of CPU time a second, below which a process only polls
LOOK_EVERY = 2.0  # seconds between two looks at progress
# Runs `preceptor …` until it calls a function, prints "there" and waits to be killed.
STOPPED = """
import importlib, sys, time
from unittest import mock
from preceptor.toolkit.cli.main import main

def stop(*_, **__):
    print("there", flush=True)
    time.sleep(600)

module, name = sys.argv[1].split(":")
sys.argv = ["preceptor", *sys.argv[2:]]
with mock.patch(f"{importlib.import_module('preceptor.' + module).__name__}.{name}", stop):
    main()
"""


def wait_until(done, process=None, *files, idle=IDLE, every=0.02):
    """Call `done` every `every` seconds until it returns something true, and return that.

    `process` is a Popen, or None for this process and its threads. AssertionError where the process ended
    before, or nothing moved for `idle` seconds.
    """
    mark = moved = looked = None
    while not (found := done()):
        ended = process is not None and process.poll() is not None
        if ended and not (found := done()):
            raise AssertionError(f"ended with {process.returncode} before its time{_said(files)}")
        if ended:
            return found
        now = time.monotonic()
        if looked is None or now - looked >= LOOK_EVERY:
            looked, seen = now, (_cpu_time(process.pid if process else os.getpid()), _sizes(files))
            if mark is None or seen[1] != mark[1] or abs(seen[0] - mark[0]) > WORKING * idle:
                mark, moved = seen, now
            elif now - moved > idle:
                raise AssertionError(f"no progress for {idle:.0f} s{_said(files)}")
        time.sleep(every)
    return found


def wait_for_end(process, *files, idle=IDLE):
    """Wait until a process has ended and return its exit code; kill it and its descendants if it hangs."""
    try:
        wait_until(lambda: process.poll() is not None, process, *files, idle=idle)
    finally:
        if process.poll() is None:
            _kill(process)
    return process.returncode


def run_to_end(command, check=False, idle=IDLE, **settings):
    """Run a command: subprocess.run with captured text, bounded by progress instead of a timeout."""
    with tempfile.TemporaryDirectory() as name:
        out, err = Path(name) / "stdout", Path(name) / "stderr"
        with out.open("wb") as stdout, err.open("wb") as stderr:
            process = subprocess.Popen(
                [str(part) for part in command], stdout=stdout, stderr=stderr, **settings
            )
            code = wait_for_end(process, out, err, idle=idle)
        done = subprocess.CompletedProcess(command, code, out.read_text("utf-8"), err.read_text("utf-8"))
    if check:
        done.check_returncode()
    return done


def kill_in(where, *arguments, cwd, meanwhile=lambda: None, env=None):
    """Kill a command when it calls the function `where` (module:name)."""
    process = subprocess.Popen(
        [sys.executable, "-c", STOPPED, where, *map(str, arguments)],
        cwd=cwd,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=env,
    )
    try:
        said = process.stdout.readline()
        while said and said != b"there\n":
            said = process.stdout.readline()
        assert said == b"there\n", process.stderr.read().decode()
        meanwhile()
    finally:
        process.kill()
        process.communicate()


def kill_at(process, seconds):
    """Kill a process when it has used so much CPU time; true if it had not ended by then."""

    def used():
        fields = Path(f"/proc/{process.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    wait_until(lambda: process.poll() is not None or used() >= seconds, process)
    process.send_signal(signal.SIGKILL)
    return process.wait() == -signal.SIGKILL


def _sizes(files):
    return [path.stat().st_size if path.exists() else -1 for path in files]


def _said(files):
    tails = [path.read_text("utf-8", errors="replace")[-2000:] for path in files if path.is_file()]
    return "".join(f"\n{tail}" for tail in tails)


def _stats():
    """{pid: (parent's pid, seconds of CPU time, children that ended included)}; empty without /proc."""
    found, ticks = {}, os.sysconf("SC_CLK_TCK")
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = path.read_text("utf-8", errors="replace").rpartition(")")[2].split()
        except OSError:  # it has ended
            continue
        found[int(path.parent.name)] = int(fields[1]), sum(map(int, fields[11:15])) / ticks
    return found


def _family(pid, stats):
    family = [pid]
    for one in family:  # grows on the way
        family += [child for child, (parent, _) in stats.items() if parent == one]
    return family


def _cpu_time(pid):
    stats = _stats()
    return sum(stats[one][1] for one in _family(pid, stats) if one in stats)


def _kill(process):
    for pid in _family(process.pid, _stats()):
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    process.wait()
