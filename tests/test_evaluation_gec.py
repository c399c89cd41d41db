"""Metrics of corrections."""

from preceptor.toolkit.evaluation.gec import words
from preceptor.toolkit.evaluation.metric import Item, estimate
from preceptor.toolkit.evaluation.metrics import METRICS


def item(source, *references, rejected=()):
    return Item(source, source, ({"role": "user", "content": source},), source, references, rejected, "en")


def values(name, items, answers):
    made = METRICS[name].metric(items, answers)
    return {figure: estimate(s, [i.group for i in items], 0).value for figure, s in made.items()}


def test_spacing_and_kinds_of_quotes_are_no_words():
    assert words("I do n't like `` it '' , he 's 3.5 .") == words("I don’t like “it”, he's 3.5.")
    assert words("Ta ei läinud.") == ["Ta", "ei", "läinud", "."]


def test_exact_and_changed_are_by_words():
    items = [item("He have it .", "He has it .", "He had it ."), item("It is fine .", "It is fine .")]
    answers = ["He had it.", "It is fine."]
    assert values("exact", items, answers) == {"exact": 1}
    assert values("changed", items, answers) == {"changed": 0.5}
    assert values("exact", items, ["", "It is Fine."]) == {"exact": 0}
