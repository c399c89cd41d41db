"""The recipe's `clean`: texts cleaned the same way on both sides, said in the card, traced back by their keys."""

import json

import duckdb
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from preceptor.toolkit.dataset.clean import write_detokenised_sql

PAIRS = [  # asked, better, worse
    ("7 x 8 ?", "Tutor: Try 7 x 4 first .", " It is\u00a056 . "),
    ("9 x 9 ?", "“What is 9 x 10 ?”", "Tutor: 81 !"),
    ("9 x 9 ?", "What is 9 x 10 ?", "81 !"),
    ("Is it 4 ?", "I do n't know , is it ( 4 ) ?", "It is 4"),
    ("Same ?", "Yes .", "Yes."),  # they differ in nothing else, so the step leaves them alone
]
AS_CLEANED = [
    ("7 x 8?", "Try 7 x 4 first.", "It is 56."),
    ("9 x 9?", "What is 9 x 10?", "81!"),
    ("Is it 4?", "I don't know, is it (4)?", "It is 4"),
    ("Same ?", "Yes .", "Yes."),
]
RECIPE = {
    "name": "c",
    "pairs": {"policy": "expert-over-novice"},
    "configs": ["preference"],
    "splits": {"train": 1, "validation": 0, "test": 0},
    "privacy": {"look": False},
    "leaks": {"drop": True},
}


@pytest.fixture
def built(tmp_path, preceptor):
    """A function that builds the pairs with more keys in the recipe; returns texts, the card, output."""
    rows = [
        {
            "c_id": f"{n}_1",
            "c_h": [{"user": "student", "text": asked}],
            "c_r": [{"user": "tutor", "text": worse}],
            "c_r_": [{"user": "tutor", "text": better}],
            "e": "guess",
        }
        for n, (asked, better, worse) in enumerate(PAIRS)
    ]
    (tmp_path / "b.json").write_text(json.dumps(rows))
    assert preceptor("ingest", "bridge", "b.json", "--source", "b", cwd=tmp_path).returncode == 0

    def build(**more):
        (tmp_path / "r.yaml").write_text(json.dumps(RECIPE | more))
        done = preceptor("build", "r.yaml", "--out", "dist", cwd=tmp_path)
        if done.returncode:
            return [], done.stderr, done
        rows = pl.read_parquet(tmp_path / "dist" / "preference" / "train.parquet").to_dicts()
        texts = [tuple(row[side][-1]["content"] for side in ("prompt", "chosen", "rejected")) for row in rows]
        return texts, (tmp_path / "dist" / "README.md").read_text(), done

    return build


def test_steps_clean_both_sides_and_are_stated_and_rows_are_traced_back(built, tmp_path, preceptor):
    before, card, _ = built()
    assert sorted(before) == sorted(PAIRS)
    assert "Texts were cleaned" not in card
    steps = ["duplicates", "detokenise", "speaker", "quotes", "trim", "spaces"]
    texts, card, done = built(clean=steps)
    assert sorted(texts) == sorted(AS_CLEANED)
    assert "| detokenise | " in card
    assert "1 the same texts as another row" in " ".join(done.stdout.split())
    manifest = json.loads((tmp_path / "dist" / "manifest.json").read_text())
    assert set(manifest["cleaned"]) == set(steps) - {"duplicates"}
    assert manifest["cleaned"]["speaker"] == 2
    key = pl.read_parquet(tmp_path / "dist" / "preference_meta" / "train.parquet")["key"][0]
    assert preceptor("why", key, cwd=tmp_path).returncode == 0


def test_the_gate_counts_names_a_step_that_helps_and_drops_on_request(built):
    _, card, _ = built()
    (line,) = [line for line in card.splitlines() if line.startswith("| hygiene")]
    for words in (
        "1 wholly in quotes",
        "2 with a speaker's name",
        "1 with no-break",
        "5 with spaces before punctuation",
        "clean: [quotes, speaker, spaces, ",
    ):
        assert words in line
    *_, done = built(gates={"hygiene": {"stop": True}})
    assert done.returncode == 1
    texts, _, done = built(gates={"hygiene": {"drop": True, "allow": ["tokenised"]}})
    assert done.returncode == 0, done.stderr
    assert len(texts) == len(PAIRS) - 2
    *_, done = built(clean=["detokenize"])
    assert done.returncode == 2


def test_nothing_unusual_is_said_as_such(built):
    _, card, _ = built(
        clean=["spaces", "trim", "quotes", "speaker", "detokenise", "duplicates"],
        gates={"hygiene": {"drop": True}},
    )
    assert "dropped: rows: 1 with spaces before punctuation" in card
    assert "clean: [" not in card


def detokenised(text, language="en"):
    (row,) = duckdb.execute(f"SELECT {write_detokenised_sql('$1', '$2')}", [text, language]).fetchall()
    return row[0]


@pytest.mark.parametrize(
    ("language", "tokens", "text"),
    [
        ("en", "He said : `` Do n't ! '' .", 'He said: "Don\'t!".'),
        ("en", "It 's $ 5 , or 20 % of it ...", "It's $5, or 20% of it..."),
        ("en", '" Why ? " she asked .', '"Why?" she asked.'),
        ("en", "We 'VE got .5 of it , :)", "We'VE got .5 of it, :)"),
        ("uk", "Так , я знаю ( мабуть ) !", "Так, я знаю (мабуть)!"),
        ("fr", "Pourquoi ? Parce que , voilà .", "Pourquoi ? Parce que, voilà."),
        ("et-EE", "Miks ?", "Miks?"),
        ("en", "Untouched, isn't it? f(x) = [1, 2]; 'n't'", "Untouched, isn't it? f(x) = [1, 2]; 'n't'"),
    ],
)
def test_spaces_of_a_tokeniser_go(language, tokens, text):
    assert detokenised(tokens, language) == text


@given(st.text("aé .,!?;:()'\"n1%$t", max_size=40), st.sampled_from(["en", "uk", "fr", "und"]))
def test_nothing_but_spaces_goes(text, language):
    assert detokenised(text, language).replace(" ", "") == text.replace(" ", "")
