"""Progress on stderr: a bar for whatever takes longer than two seconds, and nothing otherwise."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeElapsedColumn

from .screen import clean_text

PATIENCE = 2.0  # seconds before a bar appears


@contextmanager
def show_bar(title: str, console: Console) -> Iterator[Callable[[float, float], None]]:
    """Give a function of (done, total) that moves a bar, which appears after two seconds.

    Until the first call the bar only pulses: the work has begun, its length is not known yet.
    """
    progress = Progress(
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        TaskProgressColumn(),
        TimeElapsedColumn(),
        console=console,
        transient=True,
    )
    task = progress.add_task(clean_text(title), total=None)
    appear = threading.Timer(PATIENCE, progress.start)
    appear.daemon = True
    appear.start()
    try:
        yield lambda done, total: progress.update(task, completed=done, total=total)
    finally:
        appear.cancel()
        appear.join()
        progress.stop()
