"""The bar: silent for quick work, there for slow work even before it reports anything."""

import io
import time

from rich.console import Console
from waiting import wait_until

from preceptor.toolkit.cli import progress


def shown(monkeypatch, patience, wanted):
    """What is shown of work that lasts until `wanted` is shown."""
    out = io.StringIO()
    monkeypatch.setattr(progress, "PATIENCE", patience)
    with progress.show_bar("fuse", Console(file=out, force_terminal=True, width=80)) as update:
        wait_until(lambda: wanted in out.getvalue())
        update(1, 2)
    return out.getvalue()


def test_quick_work_shows_nothing(monkeypatch):
    assert shown(monkeypatch, patience=3000, wanted="") == ""


def test_slow_work_shows_a_bar_before_its_first_report(monkeypatch):
    assert "fuse" in shown(monkeypatch, patience=0.05, wanted="fuse")


def test_a_failure_ends_the_bar(monkeypatch):
    monkeypatch.setattr(progress, "PATIENCE", 0.01)
    console = Console(file=io.StringIO(), force_terminal=True)
    for _ in range(2):  # a live display that was left running would make the second one raise
        try:
            with progress.show_bar("x", console):
                time.sleep(0.1)
                raise ZeroDivisionError
        except ZeroDivisionError:
            pass
