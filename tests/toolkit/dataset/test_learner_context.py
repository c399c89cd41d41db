"""Rows that tell the tutor about their learner: what is said, what must not leak, and who is where."""

import hashlib
import json
from datetime import UTC, datetime, timedelta

import polars as pl
import pytest

from preceptor.schemas.errors import RecipeError
from preceptor.schemas.recipe import Recipe
from preceptor.toolkit.dataset.build import build
from preceptor.toolkit.ingest.run import ingest_files
from preceptor.toolkit.privacy.forget import forget
from preceptor.toolkit.store.connection import query, run

WORDS = ["cats", "dogs", "birds", "cows", "sheep", "goats"]
LEARNERS, EACH = 8, 6
START = datetime(2026, 1, 1, tzinfo=UTC)
EDITS = {
    "name": "x",
    "corrections": {"rejected": ["learner"]},
    "configs": ["preference", "sft"],
    "splits": {"train": 0.5, "validation": 0.25, "test": 0.25, "shared": True},
}


def make_recipe(**more):
    return Recipe.model_validate(EDITS | {"learner_context": {}} | more)


def read(folder, config="preference"):
    """Rows of all splits: split, system message or None, the last user turn, and the meta columns."""
    parts = []
    for file in sorted((folder / config).glob("*.parquet")):
        meta = pl.read_parquet(folder / f"{config}_meta" / file.name)
        rows = pl.read_parquet(file)["prompt"].to_list()
        parts.append(
            meta.with_columns(
                pl.Series(
                    "said", [m[0]["content"] if m[0]["role"] == "system" else None for m in rows], pl.String
                ),
                pl.Series("asked", [m[-1]["content"] for m in rows]),
                pl.lit(file.stem).alias("split"),
            )
        )
    return pl.concat(parts)


def make_words(n, word):
    """Five words that no other sentence has: near ones would be leaks between splits."""
    digits = hashlib.sha256(f"{n} {word}".encode()).hexdigest()
    return " ".join(digits[k : k + 6] for k in range(0, 30, 6))


@pytest.fixture
def sentences(store, tmp_path):
    """Sentences of eight learners, the same two errors in each; the second learner's are of two files."""
    for n in range(LEARNERS):
        lines = [
            f"S The {word} learner{n} {make_words(n, word)} is .\n"
            f"A 7 8|||R:WORD{n}|||here|||REQUIRED|||-NONE-|||0\n"
            "A 8 9|||R:VERB:SVA|||are|||REQUIRED|||-NONE-|||0\n"
            for word in WORDS
        ]
        (tmp_path / f"l{n}.m2").write_text("\n".join(lines) + "\n")
    ingest_files(store, "m2", sorted(tmp_path.glob("*.m2")), "essays", license="CC-BY-4.0")
    run(
        store,
        """UPDATE sentences SET learner = left(sha256(regexp_extract(text, 'learner.')), 16),
        level = 'B' || (1 + position % 2), first_language = 'uk'""",
    )
    return store


def test_a_row_says_what_was_known_before_it(sentences, tmp_path):
    done = build(sentences, make_recipe(), tmp_path / "out")
    rows = read(tmp_path / "out")
    assert rows.height == LEARNERS * EACH
    for row in rows.iter_rows(named=True):
        nth = WORDS.index(row["asked"].split()[1])
        level = f"level B{1 + nth % 2}; first language uk"
        learner = row["asked"].split("learner")[1][0]
        errors = f"; often wrong: R:VERB:SVA, R:WORD{learner}" if nth >= 2 else ""
        assert row["said"] == f"About the learner: {level}{errors}."
    assert done.counts["sft"]
    assert read(tmp_path / "out", "sft")["said"].null_count() == 0
    card = (tmp_path / "out/README.md").read_text()
    assert (
        f"rows have a system message about the learner who asked ({LEARNERS} learners: level, first" in card
    )


def test_nothing_of_the_row_or_of_later_ones_is_in_it(sentences, tmp_path):
    build(sentences, make_recipe(), tmp_path / "one")
    run(
        sentences,
        """UPDATE edits SET error_type = 'LEAK' WHERE sentence IN (SELECT key FROM sentences WHERE position >= 3)""",
    )
    build(sentences, make_recipe(), tmp_path / "two")
    one, two = (read(tmp_path / name).sort("key") for name in ("one", "two"))
    early = pl.col("asked").str.split(" ").list.get(1).is_in(WORDS[:4])  # the fourth is position 3
    assert one.filter(early)["said"].equals(two.filter(early)["said"])
    last = two.filter(pl.col("asked").str.contains(WORDS[5]))
    assert last["said"].str.contains("LEAK").all()  # of two sentences before it: the test can fail


def test_no_learner_is_in_two_splits(sentences, tmp_path):
    build(sentences, make_recipe(learner_context=None), tmp_path / "apart")
    build(sentences, make_recipe(), tmp_path / "together")
    who = pl.col("asked").str.extract("(learner.)")
    splits = {
        name: read(tmp_path / name).group_by(who).agg(pl.col("split").n_unique())["split"]
        for name in ("apart", "together")
    }
    assert splits["together"].to_list() == [1] * LEARNERS
    assert splits["apart"].max() > 1  # sentences are groups of their own otherwise
    assert read(tmp_path / "together")["split"].n_unique() > 1


def test_without_the_key_a_dataset_is_what_it_was(sentences, tmp_path):
    build(sentences, make_recipe(learner_context=None), tmp_path / "out")
    assert read(tmp_path / "out")["said"].null_count() == LEARNERS * EACH
    manifest = json.loads((tmp_path / "out/manifest.json").read_text())
    assert "learner_context" not in manifest["recipe"]
    assert "learners" not in manifest


def test_forget_names_the_dataset(sentences, tmp_path):
    build(sentences, make_recipe(), tmp_path / "out")
    (who,) = query(sentences, "SELECT DISTINCT learner FROM sentences ORDER BY 1 LIMIT 1")["learner"]
    assert [str(folder) for folder, _ in forget(sentences, who).traces.found] == [str(tmp_path / "out")]


def test_what_cannot_be_told_is_refused(sentences, tmp_path):
    with pytest.raises(ValueError, match="format: plain has no place for"):
        make_recipe(format="plain")
    with pytest.raises(ValueError, match=r"must contain .facts."):
        make_recipe(learner_context={"wording": "About {fact}"})
    with pytest.raises(RecipeError, match="nothing is known of the learner of any of"):
        build(sentences, make_recipe(learner_context={"facts": ["can"]}), tmp_path / "out")
    assert not (tmp_path / "out").exists()


@pytest.fixture
def tried(store, tmp_path):
    """Prompts that one learner each tried in the middle of a log of answers; the last prompt was tried by two."""
    prompts = [
        {"id": f"p{n}", "task": "mnemonic", "prompt": f"What is {n}?", "context": {"goal": f"count to {n}"},
         "completions": [{"id": f"p{n}-{side}", "content": f"{side} of {n}"} for side in "ab"]}
        for n in range(LEARNERS + 1)
    ]  # fmt: skip
    (tmp_path / "p.jsonl").write_text("\n".join(map(json.dumps, prompts)))
    answers, outcomes, ratings = [], [], []
    for n in range(LEARNERS):
        for turn in range(20):
            late = turn >= 10  # then the weak skill has become strong, and the other way round
            for skill, right in (("tense", late), ("plural", not late)):
                at = (START + timedelta(days=turn)).isoformat()
                answers.append(
                    {
                        "learner": f"l{n}",
                        "item": f"{skill}-{turn}",
                        "skills": skill,
                        "at": at,
                        "correct": int(right),
                    }
                )
        at = (START + timedelta(days=9, hours=12)).isoformat()
        for prompt in (n, LEARNERS):
            outcomes.append(
                {"completion": f"p{prompt}-a", "learner": f"l{n}", "measure": "success", "value": 1, "at": at}
            )
    for n in range(LEARNERS + 1):
        ratings += [
            {"completion": f"p{n}-{side}", "criterion": "good", "value": v, "levels": 5}
            for side, v in (("a", 5), ("b", 1))
        ]
    for name, rows in (("reviews", answers), ("outcomes", outcomes), ("ratings", ratings)):
        pl.DataFrame(rows).write_csv(tmp_path / f"{name}.csv")
    ingest_files(store, "prompts", [tmp_path / "p.jsonl"], "texts", license="CC-BY-4.0")
    ingest_files(store, "reviews", [tmp_path / "reviews.csv"], "log", license="CC-BY-4.0")
    for name in ("outcomes", "ratings"):
        ingest_files(store, name, [tmp_path / f"{name}.csv"], name, about="texts", license="CC-BY-4.0")
    return store


RATED = {"name": "y", "pairs": {"policy": "best-over-worst-score"}, "learner_context": {}}


def test_skills_are_those_of_answers_before_the_outcome(tried, tmp_path):
    build(tried, Recipe.model_validate(RATED), tmp_path / "out")
    rows = read(tmp_path / "out")
    assert rows.height == LEARNERS + 1
    for row in rows.iter_rows(named=True):
        n = int(row["asked"].removeprefix("What is ").rstrip("?"))
        told = (
            None
            if n == LEARNERS
            else f"About the learner: struggles with tense; can plural; wants to learn: count to {n}."
        )
        assert row["said"] == told


def test_facts_come_from_sources_under_licences_that_the_row_has(tried, tmp_path):
    run(tried, "UPDATE sources SET license = 'CC-BY-NC-4.0' WHERE name = 'log'")
    build(tried, Recipe.model_validate(RATED), tmp_path / "out")
    said = read(tmp_path / "out")["said"].drop_nulls()
    assert len(said) == LEARNERS
    assert not said.str.contains("tense").any()


def test_forget_names_the_dataset_of_who_tried(tried, tmp_path):
    build(tried, Recipe.model_validate(RATED), tmp_path / "out")
    (who,) = query(
        tried,
        """SELECT o.learner FROM outcomes o JOIN completions c ON c.key = o.completion WHERE c.ref = 'p0-a'""",
    )["learner"]
    assert [str(folder) for folder, _ in forget(tried, who).traces.found] == [str(tmp_path / "out")]
