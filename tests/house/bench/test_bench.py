"""`make bench` in small: every side is measured by itself, a misspelt row is named."""

import importlib.util
import json
import math
import os
import re
import resource
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner
from waiting import run_to_end

from preceptor.tests.bench import measure, training
from preceptor.tests.bench.__main__ import COLUMNS, figure, main, side_lines
from preceptor.tests.bench.inputs import SAMPLE, STORE, ingesting, prepare_m2
from preceptor.tests.bench.measure import Done, Found, Row, Run, Side, peak_mb, run_row
from preceptor.tests.bench.rows import ROWS


def bench(*arguments):
    return run_to_end([sys.executable, "-m", "preceptor.tests.bench", *arguments])


def written(path):
    """Cells by side from the Markdown's tables."""
    rows = [
        [cell.strip() for cell in line.strip("|").split("|")]
        for line in path.read_text(encoding="utf-8").splitlines()
        if line.startswith("| ")
    ]
    return {row[0]: dict(zip(COLUMNS, row, strict=True)) for row in rows}


@pytest.fixture(scope="module")
def quick(tmp_path_factory):
    """Rows of ten times smaller inputs than those of --quick; every side is a process of its own."""
    path = tmp_path_factory.mktemp("bench") / "bench.md"
    rows = ("help", "votes", "m2", "m2-large", "c4")
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(measure, "SHRINK", 10 * measure.SHRINK)
        done = CliRunner().invoke(main, [*rows, "--quick", "--write", str(path)])
    assert done.exit_code == 0, done.stderr
    return done, path


@pytest.mark.minutes
def test_every_side_has_finite_positive_figures(quick):
    done, path = quick
    found = written(path)
    for name in ("help", "votes", "m2", "m2-large", "c4"):
        assert re.search(rf"^{name}: {ROWS[name].what}, ", done.stdout, re.M)
        for side, spec in ROWS[name].sides.items():
            assert side in done.stdout
            if spec.needs and importlib.util.find_spec(spec.needs) is None:
                assert f"{spec.needs} is not installed" in found[side]["remark"]
                continue
            figures = [float(found[side][c]) for c in COLUMNS if c.endswith(" ")]
            assert all(math.isfinite(f) and f > 0 for f in figures), side
    assert found["ingest"]["remark"] == "5,000 rows, 0 rejected"
    assert found["read_m2"]["remark"] == "3,364 rows"
    assert found["read_m2 + store"]["remark"] == "3,364 rows, 0 rejected"


@pytest.mark.minutes
def test_memory_is_each_process_own(quick):
    """Nothing shows the size of what started it: importing click takes a few megabytes."""
    found = written(quick[1])
    peak = {side: float(cells["peak MB "]) for side, cells in found.items() if side.startswith("import")}
    assert peak["import click"] < 30
    assert peak["import click"] < peak["import polars"] / 2


@pytest.mark.minutes
def test_the_page_names_no_host_and_no_path(quick):
    page = quick[1].read_text(encoding="utf-8")
    assert str(Path.cwd()) not in page
    assert "/tmp" not in page
    for word in ("cores", "Python 3.", "duckdb ", "polars ", "Load average"):
        assert word in page


def test_a_misspelt_row_is_named_with_the_nearest():
    ended = bench("vots")
    assert ended.returncode == 2
    assert "no row 'vots'; did you mean votes?" in ended.stderr


def test_a_folder_that_is_not_there_is_named_before_the_work(tmp_path):
    ended = bench("help", "--write", str(tmp_path / "none" / "b.md"))
    assert ended.returncode == 2
    assert "no such folder" in ended.stderr
    assert "help …" not in ended.stderr


def row(**sides):
    return Row("do nothing", lambda *_: "nothing", sides, "A note.")


def test_a_peer_that_is_not_installed_is_named_and_the_others_go_on(monkeypatch):
    spec = row(ours=Side(lambda _: Done), peer=Side(lambda _: Done, "no_such_peer"))

    def measured(command, **_):
        assert "peer" not in command
        return subprocess.CompletedProcess(
            command, 0, '{"seconds": 1, "cpu": 1, "peak_mb": 1, "remark": ""}', ""
        )

    monkeypatch.setattr(subprocess, "run", measured)
    size, found, _ = run_row("some", spec, quick=False)
    assert (size, len(found["ours"].runs), found["peer"].failed) == ("nothing", 3, False)
    lines = side_lines(spec, found)
    assert lines[0][1:4] == ("1.00", "1.00", "1")
    assert lines[1][-1] == "peer no_such_peer is not installed: make bench installs it"


def test_a_side_that_fails_says_why_and_is_not_called_absent(monkeypatch):
    def broken(command, **_):
        return subprocess.CompletedProcess(command, 1, "", "Traceback\nValueError: no votes\n")

    monkeypatch.setattr(subprocess, "run", broken)
    _, found, _ = run_row("some", row(ours=Side(lambda _: Done)), quick=True)
    assert found["ours"].failed
    assert side_lines(row(ours=Side(lambda _: Done)), found)[0][-1] == "failed: ValueError: no votes"


def test_the_bench_has_a_key_of_its_own_and_leaves_the_user_s_in_force(tmp_path, key_file):
    ingesting(tmp_path / STORE, "prompts", SAMPLE / "prompts.jsonl")()
    ingesting(tmp_path / STORE, "votes", SAMPLE / "votes.csv")()
    assert (tmp_path / "pseudonyms.key").exists()
    assert os.environ["PRECEPTOR_KEY"] == str(key_file)


def test_ratios_pair_the_repetitions_and_the_median_run_is_shown():
    ours = Found([Run(s, s, 10 * s, f"took {s}") for s in (4.0, 1.0, 2.0)])
    peer = Found([Run(s, s, 1.0, "") for s in (8.0, 3.0, 2.0)])
    lines = side_lines(
        row(ours=Side(lambda _: Done), peer=Side(lambda _: Done, less="no checks")),
        {"ours": ours, "peer": peer},
    )
    assert lines == [
        ("ours", "2.00", "2.00", "1", "40.0", "took 2.0"),
        ("peer", "3.00", "3.00", "2.00 (1.00–3.00)", "1.00", "no checks"),
    ]


def test_figures_have_three_digits():
    assert [figure(v) for v in (0.01234, 1.0, 47.14, 1205.4)] == ["0.0123", "1.00", "47.1", "1205"]


def test_peak_memory_is_read_from_the_status_or_else_from_the_usage():
    assert peak_mb("Name:\tx\nVmHWM:\t   2000 kB\n", resource.RUSAGE_SELF) == 2.048
    assert peak_mb("", resource.RUSAGE_SELF) > 1


def test_the_made_up_m2_is_the_same_every_time(tmp_path):
    sizes = set()
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        sizes.add(prepare_m2(tmp_path / name, 2000))
    assert sizes == {"0 MB, 70 sentences"}
    assert (tmp_path / "one" / "big.m2").read_bytes() == (tmp_path / "two" / "big.m2").read_bytes()


@pytest.mark.slow
@pytest.mark.minutes
def test_answers_are_pulled_from_a_server_of_each_side_s_own():
    done = bench("pull", "--quick")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "25 records, 75 answers of 3 annotators" in done.stdout
    assert re.search(r"annotate pull .*75 votes", done.stdout)
    assert re.search(r"plain requests .*75 answers", done.stdout)


def test_training_tells_what_is_ours_by_repetition_and_step(tmp_path, monkeypatch):
    """Ours begins a second later each time; its steps take a tenth more seconds, and as much of the CPU."""
    monkeypatch.setattr(training, "_in_turns", lambda _: True)
    for name in ("0", "1", "2", "turn"):
        for who, late, step in (("ours", 1, 1.1), ("plain", 0, 1.0)):
            begun = [(9 + late + 3 * n, 8 + late + 3 * n) for n in range(24)]
            ended = [(wall + step, cpu + 1) for wall, cpu in begun]
            (tmp_path / f"{who}-{name}.json").write_text(json.dumps([begun, ended]))
    told = training.train_told(tmp_path)
    assert "over 3 repetitions the first step begins +1.00 (+1.00 to +1.00) seconds later" in told
    assert "Over 21 steps in turn, a step of ours takes +10.0 (+10.0 to +10.0) % more seconds" in told
    assert "+0.0 (+0.0 to +0.0) % more CPU seconds" in told


def test_sides_that_go_there_and_back_take_turns_at_being_first(monkeypatch):
    done = []

    def measured(command, **_):
        done.append(command[command.index("--one") + 2])
        return subprocess.CompletedProcess(
            command, 0, '{"seconds": 1, "cpu": 1, "peak_mb": 1, "remark": ""}', ""
        )

    monkeypatch.setattr(subprocess, "run", measured)
    sides = {"a": Side(lambda _: Done), "b": Side(lambda _: Done)}
    spec = Row("x", lambda *_: "", sides, "", repetitions=3, there_and_back=True, told=lambda _: "all told")
    assert run_row("some", spec, quick=False)[2] == "all told"
    assert done == ["a", "b", "b", "a", "a", "b"]
