"""Rubrics: what is read, what is refused and how, what ratings come to."""

import json
from pathlib import Path

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from preceptor.annotation.rubrics.rubric import (
    list_rubric_names,
    parse_rubric,
    read_rubric,
    score_ratings,
)
from preceptor.schemas.errors import AnnotationError
from preceptor.schemas.rubric import Criterion, Rubric

PAIRS = "name: mine\ntitle: Which is better?\nkind: pairwise\n"
RATINGS = """name: mine
title: How good is it?
kind: rating
criteria:
  - name: clear
    wording: Is it clear?
    levels: [hardly, partly, entirely]
  - name: rude
    wording: Is it rude?
    levels: ["no", "yes"]
    higher_is_better: false
    weight: 3
"""


@pytest.fixture
def written(tmp_path):
    """A function that writes a rubric and its guidelines, and returns the path."""

    def write(text, guidelines="Look closely.", name="mine"):
        path = tmp_path / f"{name}.yaml"
        path.write_text(text, encoding="utf-8")
        (tmp_path / f"{name}.md").write_text(guidelines, encoding="utf-8")
        return path

    return write


# ---- what comes with Preceptor


def test_the_rubrics_of_preceptor():
    assert list_rubric_names() == ["gec", "mnemonic-quality", "pairwise-preference", "socratic", "study-plan"]
    found = {name: read_rubric(name) for name in list_rubric_names()}
    assert {n: [(c.name, len(c.levels)) for c in r.criteria] for n, r in found.items()} == {
        "gec": [("grammatical", 4), ("faithful", 4), ("fluent", 4)],
        "mnemonic-quality": [("quality", 5)],
        "pairwise-preference": [],
        "socratic": [("questions", 2), ("on_topic", 5), ("helpful", 5), ("reveals_answer", 2)],
        "study-plan": [("detailed_actionable", 3), ("hierarchical", 3), ("adaptable", 3)],
    }
    assert [n for n, r in found.items() if r.kind == "pairwise"] == ["pairwise-preference"]
    assert found["pairwise-preference"].tie


@pytest.mark.parametrize("name", ["gec", "mnemonic-quality", "pairwise-preference", "socratic", "study-plan"])
def test_guidelines_name_every_criterion_and_show_examples(name):
    rubric = read_rubric(name)
    assert rubric.name == name
    for criterion in rubric.criteria[1:]:
        assert criterion.name in rubric.guidelines
    for heading in ("# ", "## Examples", "## Borderline cases"):
        assert heading in rubric.guidelines


def test_the_socratic_score_is_the_published_one(shared_data):
    """Every score that the published evaluations state follows from their ratings."""
    rows = json.loads(next((shared_data / "socratic-llm").rglob("mathdial_human_eval.json")).read_text())
    values = pl.DataFrame(
        {
            "questions": [1 + (r["evaluation"]["questions"] == "yes") for r in rows],
            "on_topic": [int(r["evaluation"]["on_topic"]) for r in rows],
            "helpful": [int(r["evaluation"]["helpful"]) for r in rows],
            "reveals_answer": [1 + (r["evaluation"]["reveal_answer"] == "yes") for r in rows],
        }
    )
    scores = score_ratings(read_rubric("socratic"), values)
    assert len(rows) > 50
    assert scores.to_list() == pytest.approx([r["score"] for r in rows])


# ---- reading


def test_a_file_is_read_with_defaults(written):
    rubric = read_rubric(written(RATINGS))
    assert rubric.criteria == (
        Criterion("clear", "Is it clear?", ("hardly", "partly", "entirely"), True, 0.25, (0, 0.5, 1)),
        Criterion("rude", "Is it rude?", ("no", "yes"), False, 0.75, (1, 0)),
    )
    assert (rubric.kind, rubric.tie, rubric.guidelines) == ("rating", False, "Look closely.")


def test_guidelines_may_lie_elsewhere(written, tmp_path):
    (tmp_path / "how.md").write_text("Otherwise.")
    assert read_rubric(written(PAIRS + "guidelines: how.md\n")).guidelines == "Otherwise."


def test_the_digest_names_the_wording(written):
    one = read_rubric(written(RATINGS))
    assert read_rubric(written(RATINGS)).digest == one.digest
    assert len(one.digest) == 20
    assert read_rubric(written(RATINGS, "Look twice.")).digest != one.digest
    assert read_rubric(written(RATINGS.replace("Is it rude?", "Is it very rude?"))).digest != one.digest


def test_line_ends_of_another_system_change_nothing(written):
    path = written(RATINGS, "a\nb")
    digest = read_rubric(path).digest
    for each in (path, path.with_suffix(".md")):
        each.write_bytes(b"\xef\xbb\xbf" + each.read_bytes().replace(b"\n", b"\r\n"))
    assert read_rubric(path).digest == digest


def test_a_rubric_is_read_again_from_its_text(written):
    for rubric in (*map(read_rubric, list_rubric_names()), read_rubric(written(PAIRS, "One\n---\ntwo"))):
        assert parse_rubric(rubric.text) == rubric


@pytest.mark.parametrize(
    ("change", "line", "says"),
    [
        (
            ("wording: Is it clear", "wordng: Is it clear"),
            6,
            "unknown key 'criteria.1.wordng': did you mean 'wording'?",
        ),
        (("title:", "titel:"), 2, "unknown key 'titel': did you mean 'title'?"),
        (("kind: rating", "kind: ratings"), 3, "no kind 'ratings': did you mean 'rating'?"),
        (('["no", "yes"]', "[no, yes]"), 10, "YAML reads this as False; put it in quotes"),
        (("title: How good is it?", "title: 2026-01-01"), 2, "put it in quotes"),
        (("higher_is_better: false", 'higher_is_better: "false"'), 11, "valid boolean"),
        (("weight: 3", "weight: -3"), 12, "greater than or equal to 0"),
        (("weight: 3", "weight: .inf"), 12, "finite"),
        (("weight: 3", "weight: 3\n    scores: [1]"), 8, "1 scores for 2 levels"),
        (("weight: 3", "weight: 3\n    scores: [0, 1]"), 8, "scores must fall"),
        (("weight: 3", "weight: 3\n    weight: 4"), 13, "'weight' stands twice"),
        (("[hardly, partly, entirely]", "[hardly]"), 7, "at least 2"),
        (("[hardly, partly, entirely]", "[so, So]"), 7, "two levels have the same wording"),
        (("[hardly, partly, entirely]", "[hardly, '  ']"), 7, "is empty"),
        (("name: rude", "name: clear"), None, "two criteria are named 'clear'"),
        (("name: rude", "name: comment"), 8, "is a column of answer forms"),
        (("name: rude", "name: Rude!"), 8, "'Rude!' is no name"),
        (("kind: rating", "kind: rating\ntie: true"), None, "'tie' belongs to pairwise"),
        (("kind: rating", "kind: pairwise"), None, "has no criteria"),
        (("    wording: Is it rude?\n", ""), 8, "'criteria.2.wording' is missing"),
        (("Is it rude?", "*x"), 9, "not YAML: found undefined alias"),
        (("Is it rude?", "'Is it"), None, "not YAML"),
    ],
)
def test_what_is_wrong_is_said_with_file_line_and_remedy(written, change, line, says):
    assert change[0] in RATINGS
    path = written(RATINGS.replace(*change))
    with pytest.raises(AnnotationError) as caught:
        read_rubric(path)
    (first, *_) = str(caught.value).splitlines()
    assert first.startswith(f"{path}:{line}: " if line else f"{path}:")
    assert says in first


def test_all_faults_are_said_at_once(written):
    with pytest.raises(AnnotationError) as caught:
        read_rubric(written(RATINGS.replace("title", "titel").replace("kind: rating", "kind: rate")))
    assert len(str(caught.value).splitlines()) == 2


@pytest.mark.parametrize(
    "text",
    ["", "- a", "a", "a: &a [*a]", "&a {b: *a}", "1: 2", "? [a]\n: b", "a: !!python/name:os.system ''"],
)
def test_what_is_no_rubric_is_refused(written, text):
    with pytest.raises(AnnotationError, match=r"mine\.yaml"):
        read_rubric(written(text))


@settings(max_examples=150)
@given(
    st.lists(
        st.tuples(
            st.integers(0, len(RATINGS)), st.integers(0, 8), st.text("&*[]{}:-# \n\"'!|>é\t\0a1", max_size=4)
        ),
        max_size=3,
    )
)
def test_a_damaged_file_is_read_or_refused(changes):
    text = RATINGS
    for start, dropped, put in changes:
        text = text[:start] + put + text[start + dropped :]
    try:
        rubric = parse_rubric(text + "\n---\nLook.")
    except AnnotationError:
        return
    assert isinstance(rubric, Rubric)
    assert sum(c.weight for c in rubric.criteria) == pytest.approx(1)


def test_names_are_answered_with_the_nearest(tmp_path, monkeypatch):
    with pytest.raises(AnnotationError, match="no rubric 'socratics': did you mean 'socratic'"):
        read_rubric("socratics")
    with pytest.raises(AnnotationError, match="known rubrics: gec, "):
        read_rubric("zzz")
    monkeypatch.chdir(tmp_path)
    Path("zzz.yaml").write_text(PAIRS)
    with pytest.raises(AnnotationError, match=r"the file zzz\.yaml"):
        read_rubric("zzz")
    with pytest.raises(AnnotationError, match=r"zzz.md: No such file .*guidelines"):
        read_rubric("./zzz.yaml")
    Path("zzz.md").write_text(" \n")
    with pytest.raises(AnnotationError, match="guidelines are empty"):
        read_rubric("./zzz.yaml")


# ---- summary scores


@st.composite
def rubrics(draw):
    """A rating rubric of any weights and directions."""
    n = draw(st.integers(1, 5))
    criteria = [
        {
            "name": f"c{i}",
            "wording": "?",
            "levels": [f"l{j}" for j in range(draw(st.integers(2, 10)))],
            "higher_is_better": draw(st.booleans()),
            "weight": draw(st.floats(0.01, 100)),
        }
        for i in range(n)
    ]
    entry = {"name": "r", "title": "?", "kind": "rating", "criteria": criteria}
    return parse_rubric(json.dumps(entry) + "\n---\nLook.")


@settings(max_examples=100)
@given(rubrics(), st.data())
def test_scores_go_from_0_to_1_and_follow_direction_and_weight(rubric, data):
    best = {c.name: len(c.levels) if c.higher_is_better else 1 for c in rubric.criteria}
    worst = {c.name: 1 if c.higher_is_better else len(c.levels) for c in rubric.criteria}
    row = {c.name: data.draw(st.integers(1, len(c.levels))) for c in rubric.criteria}
    changed = data.draw(st.sampled_from(rubric.criteria))
    step = 1 if changed.higher_is_better else -1
    better = row | {changed.name: row[changed.name] + step}
    rows = [best, worst, row]
    if 1 <= better[changed.name] <= len(changed.levels):
        rows.append(better)
    top, bottom, middle, *more = score_ratings(rubric, pl.DataFrame(rows)).to_list()
    assert (top, bottom) == (pytest.approx(1), pytest.approx(0))
    assert 0 <= middle <= 1
    for score in more:
        assert score - middle == pytest.approx(changed.weight / (len(changed.levels) - 1), abs=1e-12)


def test_a_missing_value_gives_no_score_unless_it_weighs_nothing(written):
    rubric = read_rubric(written(RATINGS.replace("weight: 3", "weight: 0")))
    values = pl.DataFrame({"clear": [3, None], "rude": [None, 1]})
    assert score_ratings(rubric, values).to_list() == [1.0, None]


@pytest.mark.parametrize(
    ("values", "says"),
    [
        ({"clear": [3]}, "no column 'rude'"),
        ({"claer": [3], "rude": [1]}, "no column 'clear' with its values: did you mean 'claer'"),
        ({"clear": [4], "rude": [1]}, "'clear' is 4; expected 1 to 3"),
        ({"clear": [1.5], "rude": [1]}, "'clear' is 1.5; expected 1 to 3"),
        ({"clear": [float("nan")], "rude": [1]}, "'clear' is nan"),
        ({"clear": ["3"], "rude": [1]}, "'clear' is String"),
    ],
)
def test_values_that_are_no_levels_are_refused(written, values, says):
    with pytest.raises(AnnotationError, match=says):
        score_ratings(read_rubric(written(RATINGS)), pl.DataFrame(values))


def test_a_pairwise_rubric_has_no_score():
    with pytest.raises(AnnotationError, match="fuse its votes"):
        score_ratings(read_rubric("pairwise-preference"), pl.DataFrame({"preference": ["a"]}))


# ---- the command line


def test_the_list_names_every_rubric_and_its_answers(preceptor):
    shown = preceptor("rubric", "list").stdout
    assert all(name in shown for name in list_rubric_names())
    assert "quality 1–5" in shown
    assert "a, b, tie" in shown


def test_show_prints_what_annotators_see(preceptor):
    shown = preceptor("rubric", "show", "socratic").stdout
    assert "4. reveals_answer: Does the reply give the solution away?\n    1  no\n    2  yes\n" in shown
    assert "0.25 reveals_answer (less is better)" in shown
    assert shown.endswith(read_rubric("socratic").guidelines)
    assert preceptor("rubric", "show", "socratic", "--yaml").stdout == read_rubric("socratic").yaml


def test_a_rubric_is_begun_filled_in_and_checked(preceptor, tmp_path):
    begun = preceptor("rubric", "new", "mine", cwd=tmp_path)
    assert begun.returncode == 0, begun.stderr
    unfinished = preceptor("rubric", "check", "mine.yaml", cwd=tmp_path)
    assert unfinished.returncode == 2
    assert "mine.yaml:3: still to be written: TODO: what is asked, in one line" in unfinished.stderr
    assert "mine.md:3: still to be written" in unfinished.stderr
    for path in (tmp_path / "mine.yaml", tmp_path / "mine.md"):
        path.write_text(path.read_text().replace("TODO: ", ""))
    checked = preceptor("rubric", "check", "mine.yaml", cwd=tmp_path)
    assert checked.returncode == 0, checked.stderr
    assert "1. clear: the question about one completion" in checked.stdout
    assert read_rubric(tmp_path / "mine.yaml").digest in checked.stdout


@pytest.mark.parametrize("base", ["socratic", "pairwise-preference"])
def test_a_copy_is_the_same_but_for_its_name(preceptor, tmp_path, base):
    done = preceptor("rubric", "new", "ours", "--from", base, "--out", "r/x.yaml", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    copy, original = read_rubric(tmp_path / "r" / "x.yaml"), read_rubric(base)
    assert copy.name == "ours"
    assert copy.criteria == original.criteria
    assert copy.guidelines == original.guidelines
    assert len(copy.yaml.splitlines()) == len(original.yaml.splitlines())


def test_a_copy_of_a_file_takes_its_guidelines_along(written, preceptor, tmp_path):
    (tmp_path / "how.md").write_text("Otherwise.")
    written(PAIRS + "guidelines: how.md\n")
    preceptor("rubric", "new", "ours", "--from", "./mine.yaml", cwd=tmp_path)
    assert read_rubric(tmp_path / "ours.yaml").guidelines == "Otherwise."
    assert "guidelines: ours.md" in (tmp_path / "ours.yaml").read_text()


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("new", "mine"), "mine.yaml is there already"),
        (("new", "Mine!"), "'Mine!' is no name"),
        (("new", "other", "--from", "socratics"), "did you mean 'socratic'?"),
        (("new", "other", "--out", "other.txt"), "try other.yaml"),
        (("show", "gecc"), "did you mean 'gec'?"),
        (("check", "none.yaml"), "none.yaml: No such file"),
        (("check", "mine.yaml"), "mine.yaml:2: unknown key 'titel': did you mean 'title'?"),
        (("chek", "mine.yaml"), "'check'"),
    ],
)
def test_errors_say_what_to_do_and_write_nothing(preceptor, tmp_path, arguments, says):
    (tmp_path / "mine.yaml").write_text(PAIRS.replace("title", "titel"))
    (tmp_path / "mine.md").write_text("Look.")
    done = preceptor("rubric", *arguments, cwd=tmp_path)
    assert done.returncode == 2
    assert says in done.stderr
    assert "Traceback" not in done.stderr
    assert {p.name for p in tmp_path.iterdir()} == {"mine.yaml", "mine.md"}


PLAIN = "name: mine\ntitle: Which is better?\nkind: pairwise\n"


@pytest.mark.parametrize(
    "name", ["../secret.md", "/etc/hostname", "sub/guide.md", "..", ".", "..\\secret.md", "link.md"]
)
def test_guidelines_are_beside_the_rubric_or_not_read(tmp_path, preceptor, name):
    """They are shown, pushed and sent to models: a stranger's rubric may name no other file of ours."""
    folder = tmp_path / "rubric"
    (folder / "sub").mkdir(parents=True)
    for place in (tmp_path / "secret.md", folder / "sub" / "guide.md"):
        place.write_text("the password is hedgehog")
    (folder / "link.md").symlink_to("../secret.md")
    (folder / "mine.yaml").write_text(f"{PLAIN}guidelines: '{name}'\n")
    done = preceptor("rubric", "show", folder / "mine.yaml", cwd=tmp_path)
    assert done.returncode == 2
    assert "leads out of the rubric's folder; put the file beside the rubric" in done.stderr
    assert "hedgehog" not in done.stdout + done.stderr
    (folder / "plain.md").write_text("Look at the answer.")
    (folder / "mine.yaml").write_text(f"{PLAIN}guidelines: plain.md\n")
    assert "Look at the answer." in preceptor("rubric", "show", folder / "mine.yaml", cwd=tmp_path).stdout
