"""Numbers on screens against a small store whose numbers are counted by hand."""

import json
import re

import pytest

PROMPTS = [
    {
        "id": f"p{n}",
        "task": "qa",
        "prompt": f"How do I remember word {n}?" + (" Write to me@example.org" if n < 2 else ""),
        "completions": [{"id": f"p{n}-{i}", "content": f"picture {i} of {n}"} for i in (0, 1)],
    }
    for n in range(3)
]
# Three people: two pairs judged by several, one by anna alone.
VOTES = """completion_a,completion_b,choice,annotator
p0-0,p0-1,a,anna
p0-0,p0-1,a,ben
p0-1,p0-0,a,cleo
p1-0,p1-1,b,anna
p1-0,p1-1,b,ben
p2-0,p2-1,tie,anna
p2-0,p2-1,perhaps,ben
"""
# l succeeds after two failures, m never does; item x is no completion.
LOG = """learner,item,correct,at
l,p0-0,0,2026-01-01T10:00:00Z
l,p0-0,0,2026-01-01T10:01:00Z
l,p0-0,1,2026-01-01T10:02:00Z
m,p0-0,0,2026-01-01T10:00:00Z
m,x,1,2026-01-01T10:00:00Z
"""
RECIPE = "name: r\noutcomes:\n  - {reviews: log, about: mine, measure: turns}\n"


@pytest.fixture(scope="module")
def say(preceptor, tmp_path_factory):
    """A function that runs a command on the store and returns its output, white space made one."""
    folder = tmp_path_factory.mktemp("numbers")
    for name, text in (("v.csv", VOTES), ("log.csv", LOG), ("r.yaml", RECIPE)):
        (folder / name).write_text(text)
    (folder / "p.jsonl").write_text("\n".join(map(json.dumps, PROMPTS)))

    def run(*arguments, code=0):
        ended = preceptor(*arguments, cwd=folder)
        assert ended.returncode == code, ended.stdout + ended.stderr
        return " ".join((ended.stdout + ended.stderr).split())

    run("ingest", "prompts", "p.jsonl", "--source", "mine")
    run("ingest", "votes", "v.csv", "--source", "votes", "--about", "mine")
    run("ingest", "reviews", "log.csv", "--source", "log")
    said = run("outcomes", "r.yaml")
    assert "log-turns: 2 outcomes, 1 of them censored" in said
    assert re.search(r"\b1 items? of the log", said)
    return run


def test_status(say):
    said = say("status")
    assert "mine prompts none stated no 3 0" in said
    assert "votes votes none stated no 6 1" in said
    assert "people: 3 annotators, 2 learners" in said
    assert "no fit yet" in said


def test_agreement(say):
    said = say("annotate", "agreement")
    # Of five answers about shared pairs: pair 0 has 2 against 1, so an answer agrees with another with 1/2, 1/2
    # and 0; in pair 1 both do. (1 + 2) / 5.
    assert "votes 6 2 of 3 60 %" in said
    (one,) = json.loads(say("annotate", "agreement", "--json"))
    by_answers = {p["votes"]: (p["majority"]["k"], p["majority"]["n"]) for p in one["annotators"]}
    # anna: pair 0 is a tie of the others, pair 1 as ben; cleo alone against two.
    assert by_answers == {3: (1, 1), 2: (1, 1), 1: (0, 1)}
    assert len(re.findall(r"1 of 1", said)) == 2
    assert "0 of 1" in said
    assert "nobody stands out 3 of 3 gave fewer than 10 answers: too few to stand out" in said


def test_scan(say):
    assert "email mine 2" in say("scan", code=1)


@pytest.mark.slow
def test_fuse_and_what_status_says_of_a_quick_look(say):
    said = say("fuse", "--method", "map", code=1)
    assert "6 votes, 0 ratings, 2 outcomes on 6 completions of 3 prompts" in said
    assert "3 voted; " in said
    # Of a quick look no chains are known, so that status has no numbers of theirs.
    (row,) = re.findall(r"[0-9a-f]{8} 0\.5 NO (.*?) (?:20\d\d-|fit fitted)", say("status"))
    assert re.fullmatch(r"-?\d\.\d\d", row)
