"""Exercises of annotators' edits: every key is an annotator's, and no wrong option is accepted by any of them."""

import json
from collections import defaultdict

import pytest
import yaml

from preceptor.schemas.errors import GateError
from preceptor.toolkit.practice.exercises.build import build_exercises
from preceptor.toolkit.practice.exercises.recipe import OF_EDITS, Exercises
from preceptor.toolkit.store.connection import open_store, query, run

M2 = """S He go to school every days .
A 1 2|||R:VERB:SVA|||goes|||REQUIRED|||-NONE-|||0
A 5 6|||R:NOUN:NUM|||day|||REQUIRED|||-NONE-|||0
A 1 2|||R:VERB:SVA|||walks|||REQUIRED|||-NONE-|||1
A 5 6|||R:NOUN:NUM|||day|||REQUIRED|||-NONE-|||1

S She go to work .
A 1 2|||R:VERB:SVA|||goes|||REQUIRED|||-NONE-|||0

S They gone to work .
A 1 2|||R:VERB:SVA|||goes|||REQUIRED|||-NONE-|||0
A -1 -1|||noop|||-NONE-|||REQUIRED|||-NONE-|||1

S Often I there go .
A 2 4|||R:WO|||go there|||REQUIRED|||-NONE-|||0

S Never I have there been .
A 1 5|||R:WO|||have I been there|||REQUIRED|||-NONE-|||0

S All is well .
A -1 -1|||noop|||-NONE-|||REQUIRED|||-NONE-|||0

"""


@pytest.fixture
def place(tmp_path, preceptor):
    (tmp_path / "essays.m2").write_text(M2)
    (tmp_path / "x.yaml").write_text(yaml.safe_dump({"name": "grammar", "sources": ["essays"]}))
    done = preceptor(
        "ingest",
        "m2",
        "essays.m2",
        "--source",
        "essays",
        "--language",
        "en",
        "--license",
        "MIT",
        cwd=tmp_path,
    )
    assert done.returncode == 0, done.stderr
    return tmp_path


@pytest.fixture
def built(place, preceptor):
    """The exercises by kind, as they are exported."""
    done = preceptor("exercises", "build", "x.yaml", cwd=place)
    assert done.returncode == 0, done.stderr
    assert "proven" in done.stdout
    done = preceptor("exercises", "export", "grammar", "--out", "e.jsonl", cwd=place)
    assert done.returncode == 0, done.stderr
    by_kind = defaultdict(list)
    for line in (place / "e.jsonl").read_text().splitlines():
        row = json.loads(line)
        by_kind[row["kind"]].append(row)
    return by_kind


def find(rows, shown):
    return [row for row in rows if row["shown"] == shown]


def test_a_gap_accepts_what_every_annotator_wrote(built):
    (row, other) = find(built["cloze"], "He ____ to school every day .")
    assert {row["answers"][0], other["answers"][0]} == {"goes", "walks"}
    assert {frozenset(r["answers"]) for r in (row, other)} == {frozenset({"goes", "walks"})}
    assert row["license"] == "MIT"


def test_a_gap_accepts_what_an_annotator_left_as_it_was(built):
    (row,) = find(built["cloze"], "They ____ to work .")
    assert row["answers"] == ["goes", "gone"]
    assert not find(built["spot"], "They gone to work .")
    assert not find(built["rewrite"], "They gone to work .")


def test_wrong_options_are_what_learners_wrote_there_and_elsewhere(built):
    (row,) = find(built["choice"], "She ____ to work .")
    assert row["answers"] == ["goes"]
    assert row["distractors"] == ["go", "gone"]
    (row,) = find(built["choice"], "They ____ to work .")
    assert row["distractors"] == ["go"]


def test_one_error_is_left_to_spot(built):
    assert {(row["shown"], row["answers"][0]) for row in built["spot"]} >= {
        ("He go to school every day .", "go"),
        ("He goes to school every days .", "days"),
        ("He walks to school every days .", "days"),
        ("She go to work .", "go"),
    }


def test_a_sentence_is_rewritten_as_any_annotator_did(built):
    (row,) = find(built["rewrite"], "He go to school every days .")
    assert row["answers"] == ["He goes to school every day .", "He walks to school every day ."]


def test_words_are_put_in_order(built):
    (row,) = built["order"]
    assert row["shown"] == "Never ____ ."
    assert row["answers"] == ["have I been there"]
    assert sorted(row["words"]) == sorted(["have", "I", "been", "there"])
    assert row["words"] != ["have", "I", "been", "there"]


def test_why_shows_what_proves_a_key(place, built, preceptor):
    (row,) = find(built["choice"], "She ____ to work .")
    done = preceptor("why", row["key"][:12], cwd=place)
    assert done.returncode == 0, done.stderr
    for said in (
        "choice of the exercises grammar",
        "key: goes, by annotator 0",
        "wrong: go",
        "essays.m2:7",
        "MIT",
    ):
        assert said in done.stdout
    found = json.loads(preceptor("why", row["key"], "--json", cwd=place).stdout)
    assert found["sentence"]["text"] == "She go to work ."
    assert [edit["correction"] for edit in found["corrections"]] == ["goes"]
    assert "give more digits" in preceptor("why", "", cwd=place).stderr


def test_a_second_build_replaces_the_first(place, built, preceptor):
    before = (place / "e.jsonl").read_text()
    assert preceptor("exercises", "build", "x.yaml", cwd=place).returncode == 0
    preceptor("exercises", "export", "grammar", "--out", "e.jsonl", cwd=place)
    assert (place / "e.jsonl").read_text() == before


def test_what_is_not_proven_stops_the_build(place, monkeypatch):
    from preceptor.toolkit.practice.exercises import from_edits

    spoilt = from_edits._KINDS | {"cloze": from_edits._KINDS["cloze"].replace("accepted AS", "['gone'] AS")}
    monkeypatch.setattr(from_edits, "_KINDS", spoilt)
    with open_store(place / "preceptor.duckdb") as con:
        with pytest.raises(GateError, match="not proven"):
            build_exercises(con, Exercises(name="x", sources=["essays"], exercises=["cloze"]))
        assert run(con, "SELECT count(*) FROM exercises") == [(0,)]


@pytest.mark.parametrize(
    ("recipe", "says"),
    [
        ("name: g\nsources: [esays]\n", "did you mean 'essays'"),
        ("name: g\nsources: [essays]\nexercises: [clozes]\n", "x.yaml:3"),
        ("name: g\nsource: [essays]\n", "sources"),
        (
            "name: g\nsources: [essays]\nexercises: []\n",
            "x.yaml:3: 'exercises': name at least 1",
        ),
        ("", "x.yaml: is empty"),
    ],
)
def test_a_recipe_with_a_fault_is_named(place, preceptor, recipe, says):
    (place / "x.yaml").write_text(recipe)
    done = preceptor("exercises", "build", "x.yaml", cwd=place)
    assert done.returncode == 2
    assert says in done.stderr
    assert "validation" not in done.stderr


def test_exercises_of_a_forgotten_learner_go(place, preceptor):
    rows = [
        {"id": str(n), "userid": who, "text": f"She go to work {n} .", "edits": [[0, [[4, 6, "goes"]]]]}
        for n, who in enumerate(["ada", "ben"])
    ]
    (place / "b.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (place / "x.yaml").write_text("name: g\nsources: [b]\n")
    assert preceptor("ingest", "bea-json", "b.jsonl", "--source", "b", cwd=place).returncode == 0
    assert preceptor("exercises", "build", "x.yaml", cwd=place).returncode == 0
    assert preceptor("forget", "ada", cwd=place).returncode == 0
    with open_store(place / "preceptor.duckdb") as con:
        left = query(con, "SELECT DISTINCT kind, shown FROM exercises")
    assert left.height
    assert "choice" not in set(left["kind"])
    assert all(" 1 ." in shown for shown in left["shown"])


# ---- all that ../shared/data gives, by brute force

CORPORA = {
    "cweb": ("m2", "cweb/m2/CWEB-S.dev.m2", "--language", "en"),
    "est": ("m2", "estgec-l2/dev/source_gold_dev.txt", "--language", "et"),
    "ua": ("ua-gec", "ua-gec/gec-only"),
    "relco": ("relco", "relco"),
}


def apply(tokens, edits):
    """Apply one annotator's edits, last first; None where they overlap or an insertion touches one."""
    out, last = list(tokens), (len(tokens) + 1, False)
    for start, end, correction in sorted(edits, key=lambda e: (e[0], e[1]), reverse=True):
        if end > last[0] or (end == last[0] and (start == end or last[1])):
            return None
        out[start:end] = correction.split(" ") if correction else []
        last = (start, start == end)
    return " ".join(out)


@pytest.mark.minutes
def test_every_key_of_four_languages_is_an_annotators_and_no_wrong_option_is(
    tmp_path, shared_data, preceptor
):
    for name, (format, path, *more) in CORPORA.items():
        done = preceptor("ingest", format, shared_data / path, "--source", name, *more, cwd=tmp_path)
        assert done.returncode == 0, done.stderr
    with open_store(tmp_path / "preceptor.duckdb") as con:
        made = build_exercises(con, Exercises(name="all", sources=list(CORPORA)))
        exercises = query(con, "FROM exercises").to_dicts()
        sentences = query(con, "SELECT key, text, tokens, incomplete FROM sentences").to_dicts()
        edits = query(con, 'SELECT sentence, annotator, start, "end", correction FROM edits')
    assert len(exercises) >= 20_000
    assert {row["language"] for row in exercises} == {"en", "et", "uk", "ru"}
    assert {row["kind"] for row in exercises} == set(OF_EDITS)
    assert made.own / made.choices >= 0.3
    of = defaultdict(lambda: defaultdict(list))
    for sentence, annotator, *edit in edits.rows():
        of[sentence][annotator] += [edit] if edit[0] >= 0 else []
    for one in sentences:  # who lost an edit, or only marked an error, gives no full correction
        lost = set(one["incomplete"] or ())
        for annotator, theirs in list(of[one["key"]].items()):
            if lost & {"*", annotator} or any(correction is None for *_, correction in theirs):
                del of[one["key"]][annotator]
    texts = {one["key"]: one for one in sentences}
    same = defaultdict(list)
    for one in sentences:
        same[" ".join(one["text"].split()).lower()].append(one["key"])
    checked = 0
    for row in exercises:
        one = texts[row["sentence"]]
        theirs = {
            " ".join(text.split())
            for key in same[" ".join(one["text"].split()).lower()]
            for edits in of[key].values()
            if (text := apply(texts[key]["tokens"], edits)) is not None
        }
        loosely = {text.lower() for text in theirs}
        for wrong in row["distractors"]:
            assert " ".join(row["shown"].replace("____", wrong).split()).lower() not in loosely, row
        own = apply(one["tokens"], of[row["sentence"]][row["annotator"]])
        if own is None:  # nested edits, which Preceptor takes apart
            continue
        checked += 1
        if row["kind"] == "spot":
            assert " ".join(row["shown"].split()) not in theirs, row
        else:
            key = row["answers"][0]
            filled = key if row["kind"] == "rewrite" else row["shown"].replace("____", key)
            assert filled.split() == own.split(), row
    assert checked > 0.85 * len(exercises)
