"""The report page: everything on it, nothing unescaped, the same bytes twice."""

import json
import re
from datetime import UTC, datetime
from html.parser import HTMLParser
from pathlib import Path

import polars as pl
import pytest

from preceptor.schemas.errors import StoreError
from preceptor.schemas.support.text import clean
from preceptor.schemas.tables import (
    COMPLETIONS,
    EFFECTIVENESS,
    FITS,
    PREFERENCES,
    PROMPTS,
    SOURCES,
)
from preceptor.toolkit.dataset.build import Build
from preceptor.toolkit.dataset.gates.gate import GateResult
from preceptor.toolkit.report import intervals, picture
from preceptor.toolkit.report.page import render_report
from preceptor.toolkit.report.panels import agreement, annotators, checks, confidence, ranks
from preceptor.toolkit.report.picture import DOTS
from preceptor.toolkit.store.connection import Store, insert, open_store, query

VOID = {"meta", "br", "link", "img", "hr", "input"}
WHEN = datetime(2031, 5, 17, 4, 5, 6, tzinfo=UTC)
ORIGIN = {"source": "campaign", "path": "in.jsonl", "line": 1}
HOSTILE = '<script>alert("1")</script> & $\\frac{'


class Page(HTMLParser):
    """Reads a page to its end: elements with their attributes, text, and whether tags balance."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []
        self.words: list[str] = []
        self.feed(html)
        self.close()
        self.text = " ".join(" ".join(self.words).split())

    def handle_starttag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if self.open[-1:] != ["style"]:
            self.words.append(data)

    def all(self, tag):
        return [attributes for name, attributes in self.elements if name == tag]

    @property
    def figures(self):
        return [figure["id"] for figure in self.all("figure")]


@pytest.fixture
def con(tmp_path: Path):
    with open_store(tmp_path / "s.duckdb", create=True) as store:
        yield store


def interval(mean: float) -> dict[str, float]:
    return {"mean": mean, "low": mean - 0.25, "high": mean + 0.25}


def annotator(name: str, mean: float, below: float = 0.01) -> dict:
    return {"annotator": name, "votes": 9, "reliability": interval(mean), "p_below_half": below}


def check(signal: str, category: str, data: float) -> dict:
    return {
        "signal": signal,
        "category": category,
        "n": 40,
        "data": data,
        "low": 0.1,
        "high": 0.4,
        "band": [0.15, 0.35],
        "holds": 0.1 <= data <= 0.4,
    }


FINDINGS = {
    "rho": interval(0.4),
    "parameters": {"vote_slope": interval(1.5), "outcome_slope:turns": interval(1.0)},
    "annotators": [annotator("ann", 1.2), annotator("bob", 0.1, 0.97)],
    "n_annotators": 2,
    "prompts": 2,
    "completions": 5,
    "votes": 12,
    "ratings": 1,
    "outcomes": 7,
    "learners": 3,
}
DIAGNOSTICS = {
    "r_hat_max": 1.004,
    "r_hat_parameter": "rho",
    "ess_min": 812.3,
    "ess_parameter": "rho",
    "divergences": 0,
    "e_bfmi_min": 0.7,
    "leapfrogs": 18.0,
    "chains": 4,
    "draws": 750,
    "warmup": 500,
    "converged": True,
    "advice": "",
    "checks": [check("votes", "tie", 0.2), check("outcomes:turns", "3+", 0.3)],
    "ranks": [{"parameter": "rho", "r_hat": 1.001, "ess": 900, "counts": [[37, 38] * 10, [38, 37] * 10]}],
}


def add_fit(con: Store, findings: dict | None = None, diagnostics: dict | None = None) -> str:
    found, checked = FINDINGS | (findings or {}), DIAGNOSTICS | (diagnostics or {})
    row = {
        "config": json.dumps({"target": 0.5, "sources": [], "seed": 0}),
        "inputs": "ab" * 32,
        "method": "hmc",
        "seed": 0,
        "converged": checked["converged"],
        "diagnostics": json.dumps(checked),
        "findings": json.dumps(found),
        "versions": json.dumps({"preceptor": "0.1.0", "jax": "0.10"}),
        "fitted_at": WHEN,
    }
    insert(con, FITS, pl.DataFrame([row]))
    return query(con, "SELECT key FROM fits")["key"][0]


def add_texts(
    con: Store, texts: dict[str, list[str]], task: str = "tutor", tried: bool = True
) -> dict[str, str]:
    """Prompts with their completions, in the only fit; returns completion keys by text."""
    insert(
        con,
        SOURCES,
        pl.DataFrame(
            [
                {
                    "name": "campaign",
                    "kind": "preference",
                    "language": "en",
                    "license": "CC-BY-4.0",
                    "redistribution": True,
                    "commercial_use": True,
                    "share_alike": False,
                    "url": "https://example.org/campaign",
                    "sha256": "c0ffee" * 10,
                    "reader": "prompts",
                    "rows": 2,
                    "rejects": 0,
                    "ingested_at": WHEN,
                }
            ]
        ),
    )
    keys: dict[str, str] = {}
    for prompt, answers in texts.items():
        messages = [{"role": "user", "content": "earlier turn"}, {"role": "user", "content": prompt}]
        insert(
            con,
            PROMPTS,
            pl.DataFrame([ORIGIN | {"task": task, "language": "en", "messages": messages, "group": prompt}]),
        )
        of = query(con, 'SELECT key FROM prompts WHERE "group" = ?', [prompt])["key"][0]
        insert(
            con,
            COMPLETIONS,
            pl.DataFrame(
                [ORIGIN | {"prompt": of, "content": answer, "origin": "human"} for answer in answers]
            ),
        )
        found = dict(query(con, "SELECT content, key FROM completions WHERE prompt = ?", [of]).rows())
        keys |= {answer: found[answer] for answer in answers}
    fit = query(con, "SELECT key FROM fits")["key"][0]
    insert(
        con,
        EFFECTIVENESS,
        pl.DataFrame(
            [
                {
                    "fit": fit,
                    "completion": key,
                    "mean": 0.1 * i,
                    "sd": 0.3,
                    "low": -0.4,
                    "high": 0.6,
                    "expressed_mean": 0.3 * i - 0.5,
                    "expressed_sd": 0.2,
                    "observed_mean": 0.5 - 0.2 * i,
                    "observed_sd": 0.4,
                    "n_votes": 4,
                    "n_ratings": 1,
                    "n_outcomes": i if tried else 0,
                }
                for i, key in enumerate(keys.values())
            ]
        ),
    )
    return keys


def add_pair(con: Store, a: str, b: str, p: float, people: float, learners: float, gain: float) -> None:
    insert(
        con,
        PREFERENCES,
        pl.DataFrame(
            [
                {
                    "fit": query(con, "SELECT key FROM fits")["key"][0],
                    "prompt": query(con, "SELECT prompt FROM completions WHERE key = ?", [a])["prompt"][0],
                    "completion_a": a,
                    "completion_b": b,
                    "p": p,
                    "sd": 0.4,
                    "p_expressed": people,
                    "p_observed": learners,
                    "information_gain": gain,
                }
            ]
        ),
    )


def fill(con: Store, findings: dict | None = None, diagnostics: dict | None = None) -> str:
    """A fit of five completions of two prompts, with four pairs, one of them a coin flip."""
    fit = add_fit(con, findings, diagnostics)
    keys = add_texts(con, {"Why is it wet?": ["Rain.", "Look up.", HOSTILE], "And dry?": ["Sun.", "Wind."]})
    add_pair(con, keys["Rain."], keys["Look up."], 0.3, 0.2, 0.4, 0.02)
    add_pair(con, keys["Rain."], keys[HOSTILE], 0.97, 0.9, 0.99, 0.001)
    add_pair(con, keys["Sun."], keys["Wind."], 0.55, 0.45, 0.40, 0.3)
    add_pair(con, keys["Look up."], keys[HOSTILE], 0.8, 0.96, 0.03, 0.0)  # Rain. was never tried
    return fit


def built(passed: bool = True) -> Build:
    gates = [GateResult("contents", True, 41, "41 pairs"), GateResult("leaks", passed, 0, "none & nowhere")]
    return Build(
        Path("somewhere/else"), "f", {"preference": {"train": 1029, "test": 9}}, {"coin flip": 7}, gates, {}
    )


RECOVERED = pl.DataFrame(
    {
        "completion": ["a", "b", "c", "d"],
        "mean": [0.0, 1.0, -1.0, 0.5],
        "low": [-0.5, 0.5, -1.5, 0.0],
        "high": [0.5, 1.5, -0.5, 1.0],
        "truth": [0.1, 0.9, -0.6, 2.0],
        "task": ["tutor"] * 4,
    }
)


def test_the_page_holds_every_figure_and_table(con):
    page = Page(render_report(con, fill(con), built(), RECOVERED))
    assert not page.open
    assert page.figures == ["agreement", "confidence", "checks", "annotators", "ranks", "recovery"]
    assert len(page.all("figcaption")) == 6
    drawings = [svg for svg in page.all("svg") if svg.get("role") == "img"]
    assert len(drawings) == 6
    ids = {attributes["id"] for tag in ("title", "desc") for attributes in page.all(tag) if attributes}
    assert ids == {id for svg in drawings for id in svg["aria-labelledby"].split()}
    assert page.all("html") == [{"lang": "en"}]
    assert page.all("title")
    for words in (
        "12 votes and 1 rating",
        "7 outcomes of 3 learners",
        "5 completions of 2 prompts",
        "converged",
        "1,029",
        "coin flip",
        "none & nowhere",
        "CC-BY-4.0",
        "vote_slope",
        "preceptor 0.1.0",
    ):
        assert words in page.text


def test_the_page_stands_alone(con):
    html = render_report(con, fill(con), built(), RECOVERED)
    page = Page(html)
    tags = {name for name, _ in page.elements}
    assert not tags & {"script", "link", "img", "iframe", "object", "image"}
    assert "@import" not in html
    assert set(re.findall(r'(?:href|src)="([^#"][^"]*)"', html)) == {"https://example.org/campaign"}
    assert not [name for _, attributes in page.elements for name in attributes if name.startswith("on")]


def test_what_a_drawing_refers_to_is_on_the_page_once(con):
    html = render_report(con, fill(con), built(), RECOVERED)
    ids = [attributes["id"] for _, attributes in Page(html).elements if "id" in attributes]
    assert len(ids) == len(set(ids))
    assert set(re.findall(r'(?:url\(|href=")#([^)"]+)', html)) <= set(ids)


def test_drawings_take_the_page_colours_and_font(con):
    html = render_report(con, fill(con))
    drawings = html[html.index("<figure") : html.rindex("</figure>")]
    assert "currentColor" in drawings
    assert not re.findall(r"#[0-9a-f]{6}\b", drawings)
    assert "DejaVu" not in drawings


def test_text_of_the_data_is_escaped(con):
    names = [annotator(HOSTILE, 1.0), annotator("</svg><b>bob</b>", 0.1, 0.99)]
    checks = [check(f"ratings:{HOSTILE}", "</text><i>", 0.9)]
    fit = add_fit(con, {"annotators": names}, {"checks": checks})
    keys = add_texts(con, {f"Why? {HOSTILE}": [HOSTILE, "\x07 bell"]}, task=f"</style>{HOSTILE}")
    add_pair(con, *keys.values(), 0.7, 0.7, 0.7, 0.1)
    html = render_report(con, fit, built())
    page = Page(html)
    assert not page.open
    assert not {"script", "b", "i"} & {name for name, _ in page.elements}
    assert HOSTILE in page.text
    assert "\x07" not in html


def test_a_link_leads_only_to_the_web(con):
    fit = fill(con)
    con.execute("UPDATE sources SET url = 'javascript:alert(1)'")
    assert not Page(render_report(con, fit)).all("a")


def test_same_store_same_bytes_and_no_time(con, tmp_path):
    fit = fill(con)
    html = render_report(con, fit, built(), RECOVERED)
    assert html == render_report(con, fit, built(), RECOVERED)
    with open_store(tmp_path / "again.duckdb", create=True) as other:
        assert html == render_report(other, fill(other), built(), RECOVERED)
    assert "2031" not in html
    assert "somewhere" not in html


def test_an_unconverged_fit_says_so(con):
    advice = "effective sample size 112 for rho (at least 400): try more --max-draws"
    fit = fill(con, None, {"converged": False, "ess_min": 112.0, "divergences": 3, "advice": advice})
    page = Page(render_report(con, fit))
    assert "NOT converged" in page.text
    assert advice in page.text
    assert "3 divergences" in page.text
    assert "✓ converged" not in page.text


def test_without_annotators(con):
    fit = fill(con, {"annotators": [], "n_annotators": 0})
    page = Page(render_report(con, fit))
    assert page.figures == ["agreement", "confidence", "checks", "ranks"]
    assert "by unnamed annotators" in page.text
    assert "reliability is not known" in page.text


def test_without_votes_and_ratings(con):
    fit = fill(con, {"votes": 0, "ratings": 0, "annotators": [], "n_annotators": 0}, {"checks": []})
    page = Page(render_report(con, fit))
    assert page.figures == ["confidence", "ranks"]
    assert page.text.count("No votes and no ratings were fused") == 1
    assert "7 outcomes of 3 learners, fused" in page.text
    assert "correlation" not in page.text.partition("Parameters")[0]


def test_without_outcomes(con):
    fit = fill(con, {"outcomes": 0, "learners": 0})
    page = Page(render_report(con, fit))
    assert page.figures == ["confidence", "checks", "annotators", "ranks"]
    assert "No outcomes were fused" in page.text
    assert "12 votes and 1 rating by 2 annotators, fused" in page.text


def test_a_single_completion(con):
    fit = add_fit(con, {"completions": 1, "prompts": 1, "votes": 0, "annotators": []})
    add_texts(con, {"Why?": ["Rain."]}, tried=False)
    page = Page(render_report(con, fit))
    assert page.figures == ["agreement", "checks", "ranks"]
    assert "1 completion of 1 prompt." in page.text
    assert "no pairs" in page.text
    assert "the worth of one more vote is not known" in page.text


def test_a_store_whose_source_has_gone(con):
    fit = fill(con)
    for table in (SOURCES, PROMPTS, COMPLETIONS):
        con.execute(f"DELETE FROM {table.name}")
    page = Page(render_report(con, fit))
    assert "task not known" in page.text
    assert "(no longer in the store)" in page.text
    assert "sources of this fit are no longer" in page.text


def test_unknown_fit(con):
    with pytest.raises(StoreError, match="no fit nosuch"):
        render_report(con, "nosuch")


def test_annotators_are_those_of_the_fit(con):
    page = Page(render_report(con, fill(con, {"n_annotators": 4})))
    assert "by 4 annotators" in page.text


def rows_after(page: Page, heading: str, until: str) -> str:
    return page.text.partition(heading)[2].partition(until)[0]


def test_pairs_come_best_first_in_order_of_information(con):
    page = Page(render_report(con, fill(con)))
    telling = rows_after(page, "Where one more vote tells most", "Where people and learners")
    assert telling.index("0.3000") < telling.index("0.0200") < telling.index("0.0010")
    assert "0.0000" not in telling
    # P(Rain. better than Look up.) is 0.3, so Look up. stands first, and all shares are turned.
    line = telling[: telling.index("0.0200")].rpartition("Why is it wet?")[2]
    assert re.sub(r"\s", " ", line).split() == ["Look", "up.", "Rain.", "70", "%", "80", "%", "60", "%"]
    assert "earlier turn" not in page.text


def test_disagreements_are_opposite_sides_that_learners_tried(con):
    page = Page(render_report(con, fill(con)))
    disputed = rows_after(page, "Where people and learners disagree most", "Sources")
    assert re.findall(r"(\S+)\s%", disputed) == ["80", "96", "3"]


def test_no_disagreement_is_said(con):
    fit = add_fit(con)
    keys = add_texts(con, {"Why?": ["Rain.", "Look up."]})
    add_pair(con, *keys.values(), 0.7, 0.7, 0.7, 0.1)
    assert "There is no pair that learners tried" in Page(render_report(con, fit)).text


SDS = {"expressed_sd": 0.3, "observed_sd": 0.5}


def test_agreement_in_words():
    frame = pl.DataFrame({"expressed": [0.1], "observed": [0.2], "tried": [True], "task": ["gec"], **SDS})
    said = [agreement.draw_agreement(frame, interval(mean)).caption for mean in (0.4, 0.1, -0.4)]
    assert ["tends to help as well" in said[0], "may say nothing" in said[1], "help less" in said[2]] == [
        True
    ] * 3
    assert "ρ = 0.40" in said[0]
    assert "0.15 to 0.65" in said[0]


def test_agreement_names_few_tasks_and_thins_dots():
    n = 2 * DOTS
    frame = pl.DataFrame(
        {
            "expressed": [0.001 * i for i in range(n)],
            "observed": [0.0] * n,
            "tried": [i % 2 == 1 for i in range(n)],
            "task": [f"task-{min(i % 9, 6)}" for i in range(n)],
            **SDS,
        }
    )
    picture = agreement.draw_agreement(frame, interval(0.4))
    words = [mark.words for mark in picture.marks]
    assert words == [
        "task-6",
        "task-0",
        "task-1",
        "task-2",
        "other tasks",
        "faint: no learner tried it",
        "ρ = 0.40 (0.15 to 0.65)",
    ]
    assert len({(mark.shape, mark.colour) for mark in picture.marks}) == 7
    assert picture.svg.count("<use") == DOTS + 1  # and the fan of rho
    assert f"draws {DOTS:,} of {n:,}" in picture.caption


def test_coin_flips_are_counted_below_the_limit():
    picture = confidence.draw_confidence(pl.Series([0.5, 1 - 0.41, 1 - 0.4, 0.6, 0.6 + 1e-9, 0.99, 1.0, 1.0]))
    assert "2 of 8 pairs (25\u202f%) are coin flips" in picture.caption
    assert "25\u202f%" in picture.svg


def test_failing_checks_are_marked():
    good = checks.draw_checks([check("votes", "tie", 0.2)])
    bad = checks.draw_checks([check("votes", "first", 0.2), check("ratings:clear", "5", 0.9)])
    assert "every bar ends where the middle" in good.caption
    assert "var(--flag)" not in good.svg
    assert "1 of 2 bars ends outside" in bad.caption
    assert [mark.shape for mark in bad.marks] == ["s", "-", "X"]
    assert "for A 20\u202f% (15\u202f% to 35\u202f%)" in bad.svg
    assert ">clear · 40<" in bad.svg
    assert "var(--flag)" in bad.svg


def test_turns_say_whom_they_leave_out():
    turns = checks.draw_checks([check("outcomes:turns", str(i), 0.2) for i in range(4)])
    assert "failures before success" in turns.svg
    assert "who gave up" in turns.caption
    assert "who gave up" not in checks.draw_checks([check("outcomes:success", "success", 0.2)]).caption


def test_many_signals_leave_the_worst():
    many = [check(f"ratings:c{i}", "1", 0.25) for i in range(checks.DRAWINGS + 5)]
    many[-1] = check("ratings:odd", "1", 0.9)
    shown = checks.draw_checks(many)
    assert ">odd · 40<" in shown.svg
    assert shown.svg.count(" · 40<") == checks.DRAWINGS
    assert f"{checks.DRAWINGS} of {checks.DRAWINGS + 5} signals" in shown.caption


def test_a_chain_that_leans_leaves_the_band():
    even = {"parameter": "rho", "r_hat": 1.0, "ess": 1500, "counts": [[50] * 20, [50] * 20]}
    leaning = even | {"counts": [[20 + 3 * i for i in range(20)], [80 - 3 * i for i in range(20)]]}
    assert "100\u202f% of 40 counts" in ranks.draw_ranks([even]).caption
    assert "100\u202f%" not in ranks.draw_ranks([leaning]).caption
    assert "R-hat 1.000" in ranks.draw_ranks([even]).svg


def test_a_fit_of_an_earlier_version_has_a_page(con):
    fit = fill(
        con,
        None,
        {"checks": [{k: v for k, v in check("votes", "tie", 0.2).items() if k != "band"}], "ranks": []},
    )
    assert Page(render_report(con, fit)).figures == ["agreement", "confidence", "annotators"]


def test_doubtful_annotators_are_named():
    picture = annotators.draw_annotators(
        [annotator("ann", 1.2), annotator("bob", 0.1, 0.97), annotator("cy", 0.3, 0.9)]
    )
    assert "so marked: bob." in picture.caption
    order = [picture.svg.index(f">{name}<") for name in ("ann", "cy", "bob")]
    assert order == sorted(order)
    nobody = annotators.draw_annotators([annotator("ann", 1.2)])
    assert nobody.caption.count("Nobody is below 0.5") == 1
    assert "var(--flag)" not in nobody.svg


def test_many_annotators_are_thinned_evenly():
    crowd = [annotator(f"who-{i:03}", 0.005 * i, 0.99 if i < 12 else 0.0) for i in range(600)]
    shown = annotators.draw_annotators(crowd)
    assert ">who-" not in shown.svg
    assert f"draws {intervals.LINES} of 600" in shown.caption
    assert "who-007 and 4 more" in shown.caption
    assert shown.svg.count("<use") < 2 * intervals.LINES
    few = annotators.draw_annotators(crowd[: intervals.NAMED])
    assert few.svg.count(">who-") == intervals.NAMED


def test_recovery_counts_what_lies_inside(con):
    page = Page(render_report(con, fill(con), None, RECOVERED))
    assert "3 of 4 known values (75\u202f%)" in " ".join(page.words)


def test_a_failed_gate_is_seen(con):
    assert "✕ FAILED" in Page(render_report(con, fill(con), built(passed=False))).text


@pytest.mark.parametrize(
    ("share", "said"), [(0, "0"), (0.001, "<1"), (0.5, "50"), (0.994, "99"), (0.999, ">99"), (1, "100")]
)
def test_percent(share, said):
    assert picture.format_share(share) == said + "\u202f%"


def test_number():
    assert [picture.format_decimal(x) for x in (0.404, -0.67, -0.001)] == ["0.40", "−0.67", "0.00"]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("one two", "one two"),
        ("one\n two\x00three", "one two three"),
        ("one two three four", "one two three…"),
        ("x" * 40, "x" * 14 + "…"),
        ("", ""),
    ],
)
def test_clean(text, said):
    assert clean(text, 15) == said
