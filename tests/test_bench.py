"""`make bench` in small: every side is measured, a misspelt row is named."""

import subprocess
import sys

import pytest


def bench(*arguments):
    return subprocess.run(
        [sys.executable, "-m", "preceptor.toolkit.bench", *arguments],
        capture_output=True, text=True, check=False, timeout=200,
    )  # fmt: skip


@pytest.mark.slow
def test_rows_have_figures_for_ours_and_the_peer(tmp_path):
    done = bench("help", "votes", "m2", "--quick", "--write", str(tmp_path / "b.md"))
    assert done.returncode == 0, done.stderr
    lines = [
        line.split(" | ") for line in (tmp_path / "b.md").read_text().splitlines() if line.startswith("| ")
    ]
    measured = {row[2]: row for row in lines[2:]}
    assert {"--help", "import click", "ingest", "duckdb read_csv", "read_m2"} <= set(measured)
    for side in ("--help", "import click", "ingest", "duckdb read_csv", "read_m2"):
        seconds, peak, ratio = measured[side][3:6]
        assert float(seconds) >= 0
        assert float(ratio) > 0
        assert (peak == "-") == (side in ("--help", "import click"))
    assert float(measured["read_m2"][4]) > 10
    assert "50,000 rows, 0 rejected" in measured["ingest"][6]


def test_a_misspelt_row_is_named():
    ended = bench("vots")
    assert ended.returncode == 2
    assert "'vots'" in ended.stderr
