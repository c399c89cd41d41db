"""Metrics of corrections."""

import sys
from pathlib import Path

import numpy as np
import pytest
from waiting import run_to_end

from preceptor.schemas.errors import EvaluationError
from preceptor.toolkit.evaluation.metrics.gec import split_words
from preceptor.toolkit.evaluation.metrics.measure import fit_metrics
from preceptor.toolkit.evaluation.metrics.registry import METRICS
from preceptor.toolkit.evaluation.metrics.statistics import Item, estimate


def item(source, *references, rejected=()):
    return Item(source, source, ({"role": "user", "content": source},), source, references, rejected, "en")


def values(name, items, answers):
    made = METRICS[name].measure(items, answers)
    return {figure: estimate(s, [i.group for i in items], 0).value for figure, s in made.items()}


def test_spacing_and_kinds_of_quotes_are_no_words():
    assert split_words("I do n't like `` it '' , he 's 3.5 .") == split_words("I don’t like “it”, he's 3.5.")
    assert split_words("Ta ei läinud.") == ["Ta", "ei", "läinud", "."]


def test_exact_and_changed_are_by_words():
    items = [item("He have it .", "He has it .", "He had it ."), item("It is fine .", "It is fine .")]
    answers = ["He had it.", "It is fine."]
    assert values("exact", items, answers) == {"exact": 1}
    assert values("changed", items, answers) == {"changed": 0.5}
    assert values("exact", items, ["", "It is Fine."]) == {"exact": 0}


WORDS = ["the", "a", "cat", "dog", "sat", "sits", "on", "mat", "in", "house", "he", "she", "it"]


def invented(n, seed, references=4):
    """Sentences, references and answers of a few words that share much."""
    rng = np.random.default_rng(seed)

    def near(text, share):
        return [w if rng.random() > share else str(rng.choice(WORDS)) for w in text if rng.random() > 0.05]

    sources = [list(rng.choice(WORDS, rng.integers(4, 15))) for _ in range(n)]
    told = [[" ".join(near(s, 0.3)) or "it" for _ in range(references)] for s in sources]
    return [" ".join(s) for s in sources], told, [" ".join(near(s, 0.2)) for s in sources]


def test_gleu_is_that_of_the_packages_own_command(tmp_path):
    sources, references, answers = invented(150, 0)
    columns = {"s": sources, "a": answers} | {f"r{k}": [r[k] for r in references] for k in range(4)}
    for name, lines in columns.items():
        (tmp_path / name).write_text("\n".join(lines) + "\n")
    command = [
        Path(sys.executable).parent / "gleu",
        "-f",
        "-d",
        "4",
        "-s",
        "s",
        "-o",
        "a",
        "-r",
        *(f"r{k}" for k in range(4)),
    ]
    said = run_to_end(command, check=True, cwd=tmp_path).stdout
    mine = values("gleu", [item(s, *r) for s, r in zip(sources, references, strict=True)], answers)
    assert mine["gleu"] == pytest.approx(float(said.split()[-1]), abs=0.1)


def test_gleu_takes_any_number_of_references_and_any_answer():
    items = [
        item("He have it .", "He has it .", "He had it ."),
        item("Its fine .", "It is fine ."),
        item("A .", "A ."),
    ]
    assert values("gleu", items, ["He has it.", "It is fine.", "A."])["gleu"] > 70
    assert values("gleu", items, ["", "", ""])["gleu"] == 0
    odd = values("gleu", items, ["\x00", "\u202e ☃ " * 500, "#" * 2000])["gleu"]
    assert 0 <= odd < 1


def test_references_of_pairs_count_once():
    alone = item("He have it .", "He has it .", "He had it .")
    pairs = item("He have it .", *["He has it ."] * 9, "He had it .", rejected=("He have it .",) * 10)
    for answer in ("He has it.", "He had it."):
        assert values("gleu", [alone], [answer]) == values("gleu", [pairs], [answer])


def test_edits_are_counted_against_the_best_reference():
    pytest.importorskip("errant")
    items = [
        item("He have a cats .", "He has a cat .", "He had cats ."),
        item("It is fine .", "It is fine ."),
    ]
    perfect = values("edits", items, ["He has a cat.", "It is fine."])
    assert perfect == {"edits_f0.5": 1, "edits_precision": 1, "edits_recall": 1}
    half = values("edits", items, ["He has a cats.", "It is fine."])
    assert half == {"edits_f0.5": pytest.approx(1.25 / 1.5), "edits_precision": 1, "edits_recall": 0.5}
    wrong = values("edits", items, ["He has a cat.", "It was fine."])
    assert wrong["edits_precision"] == pytest.approx(2 / 3)
    copied = values("edits", items, [i.source for i in items])
    assert copied["edits_f0.5"] == 0
    assert np.isnan(copied["edits_precision"])
    assert values("edits", items, ["", "☃"])["edits_f0.5"] == 0


def test_what_a_metric_lacks_is_said_before_anything_is_asked(monkeypatch):
    russian = item("Он идти .", "Он идёт .").__class__("k", "g", (), "Он идти .", ("Он идёт .",), (), "ru")
    english = item("He go .", "He goes .")
    assert fit_metrics(["edits", "exact"], [russian]) == (
        {"edits": "fits no prompt: ERRANT knows English, not ru"},
        {},
    )
    said = "counts 1 of 2 prompts: ERRANT knows English, not ru"
    assert fit_metrics(["edits", "exact"], [english, russian]) == ({}, {"edits": said})
    monkeypatch.setitem(sys.modules, "errant", None)
    from preceptor.toolkit.evaluation.metrics.gec import _english

    _english.cache_clear()
    with pytest.raises(EvaluationError, match=r"pip install 'preceptor\[errant\]'"):
        METRICS["edits"].check([item("a", "b")])
    monkeypatch.setattr("preceptor.toolkit.evaluation.metrics.gec.find_spec", lambda name: None)
    with pytest.raises(EvaluationError, match=r"pip install 'preceptor\[evaluate\]'"):
        METRICS["gleu"].check([item("a", "b")])


def test_sentences_that_errant_does_not_know_do_not_count():
    pytest.importorskip("errant")
    russian = item("Он идти .", "Он идёт .").__class__("k", "g", (), "Он идти .", ("Он идёт .",), (), "ru")
    english = item("He have a cats .", "He has a cat .")
    made = METRICS["edits"].measure([english, russian], ["He has a cat.", "Они"])
    alone = METRICS["edits"].measure([english], ["He has a cat."])
    for name, one in made.items():
        assert one.n == 1
        assert one.figure(one.rows.sum(axis=0, keepdims=True)) == alone[name].figure(
            alone[name].rows.sum(axis=0, keepdims=True)
        )
