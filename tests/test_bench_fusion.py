"""What `make bench-fusion` makes of the fits it compares."""

import numpy as np
import pytest
from click.testing import CliRunner

from preceptor.toolkit.bench.fusion import BEGIN, END, Replicate, agreement, lines, main


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
    from preceptor.toolkit.bench import fusion

    draw = np.random.default_rng(1)
    monkeypatch.setattr(fusion, "SMART", tmp_path)
    monkeypatch.setattr(fusion, "ingesting", lambda *_: lambda: "9 rows")
    monkeypatch.setattr(
        fusion, "replicate", lambda _, seed: Replicate(seed, 1.0, 500.0, 0, 750, 9.0, draw.random(30))
    )
    doc = tmp_path / "fusion.md"
    doc.write_text(f"# Fusion\n\n{BEGIN}\nold\n{END}\n\nafter\n")
    for _ in range(2):
        done = CliRunner().invoke(main, ["--seeds", "3", "--write", str(doc)])
        assert done.exit_code == 0, done.output
    text = doc.read_text()
    assert text.startswith("# Fusion\n\n" + BEGIN)
    assert text.endswith(END + "\n\nafter\n")
    assert text.count("| converged | 3 of 3 seeds | all |") == 1
    assert "old" not in text
