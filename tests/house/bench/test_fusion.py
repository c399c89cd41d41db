"""What `make bench-fusion` makes of the fits it compares."""

import numpy as np
import pytest
from click.testing import CliRunner

from preceptor.tests.bench.fusion.__main__ import PARTS, main
from preceptor.tests.bench.fusion.part import Found, marks
from preceptor.tests.bench.fusion.replicates import Replicate, agreement, lines


def test_labels_that_hold_and_labels_that_turn():
    p = np.array([[0.9, 0.1, 0.62, 0.5, 0.42], [0.92, 0.1, 0.66, 0.45, 0.36], [0.94, 0.1, 0.49, 0.55, 0.38]])
    found = agreement(p)
    assert (found.pairs, found.decided) == (5, 3)  # the fifth is at 0.387, the third at 0.59
    p[2, 2] = 0.58
    p[:, 0] = [0.9, 0.9, 0.2]  # on average outside the band, and once on the other side
    found = agreement(p)
    assert found.decided == 4
    assert found.same_label == 0.75
    assert found.labels_alike == pytest.approx(
        1 - 2 / 12
    )  # two of three pairs of seeds differ on one of four
    assert found.spread == pytest.approx(2 / 3 - 0.2)
    assert found.close == 0.2  # only the second stays where it is


def test_a_seed_that_did_not_converge_is_counted():
    p = np.array([0.9, 0.2])
    good = [Replicate(seed, 1.001, 800.0, 0, 750, 20.0, p) for seed in range(3)]
    bad = Replicate(3, 1.02, 800.0, 0, 6000, 90.0, p)
    rows = {name: value for name, value, _ in lines([*good, bad])}
    assert rows["converged"] == "3 of 4 seeds"
    assert rows["R-hat, worst seed"] == "1.0200"
    assert rows["draws a chain"] == "750 to 6000"


def test_the_table_goes_between_its_marks(tmp_path, monkeypatch):
    found = Found(
        "a title", "9 rows.", ("replicates", "found", "bar"), [("converged", "3 of 3 seeds", "all")]
    )
    monkeypatch.setitem(PARTS, "replicates", lambda quick: found)
    doc = tmp_path / "fusion.md"
    begin, end = marks("replicates")
    doc.write_text(f"# Fusion\n\n{begin}\nold\n{end}\n\nafter\n")
    for _ in range(2):
        done = CliRunner().invoke(main, ["replicates", "--write", str(doc)])
        assert done.exit_code == 0, done.output
    text = doc.read_text()
    assert text.startswith("# Fusion\n\n" + begin)
    assert text.endswith(end + "\n\nafter\n")
    assert text.count("| converged | 3 of 3 seeds | all |") == 1
    assert "old" not in text


def test_a_file_without_a_place_for_the_table_is_refused_before_the_work(tmp_path, monkeypatch):
    monkeypatch.setitem(PARTS, "replicates", lambda quick: pytest.fail("measured"))
    doc = tmp_path / "fusion.md"
    doc.write_text("# Fusion\n")
    done = CliRunner().invoke(main, ["replicates", "--write", str(doc)])
    assert done.exit_code == 1
    assert "bench-fusion replicates: begin" in done.output


def test_a_misspelt_part_names_the_nearest():
    done = CliRunner().invoke(main, ["replicate"])
    assert done.exit_code == 2
    assert "did you mean replicates?" in done.output
