"""Grammar correction: from edits to pairs and examples."""

import json

import polars as pl
import pytest
from datasets import load_dataset
from places import RECIPES

from preceptor.schemas.errors import GateError, RecipeError
from preceptor.schemas.licenses import read_license
from preceptor.schemas.recipe import read_recipe
from preceptor.toolkit.dataset.build import build
from preceptor.toolkit.ingest.batch import Context
from preceptor.toolkit.ingest.formats import FORMATS
from preceptor.toolkit.ingest.run import Origin, find_inputs, ingest, ingest_files
from preceptor.toolkit.store.connection import query

RECIPE = RECIPES / "gec" / "dataset.yaml"

M2 = """S This are a sentences with error .
A 1 2|||R:VERB:SVA|||is|||REQUIRED|||-NONE-|||0
A 3 4|||R:NOUN:NUM|||sentence|||REQUIRED|||-NONE-|||0
A 5 5|||M:DET|||an|||REQUIRED|||-NONE-|||0
A 1 2|||R:VERB:SVA|||is|||REQUIRED|||-NONE-|||1
A 3 4|||R:NOUN:NUM|||sentence|||REQUIRED|||-NONE-|||1
A 5 5|||M:DET|||an|||REQUIRED|||-NONE-|||1

S All is well , they are here .
A -1 -1|||noop|||-NONE-|||REQUIRED|||-NONE-|||0

S Some say yes .
A 1 2|||R:VERB|||said|||REQUIRED|||-NONE-|||0
A -1 -1|||noop|||-NONE-|||REQUIRED|||-NONE-|||1

S Here something are odd .
A 1 2|||UNK||||||REQUIRED|||-NONE-|||0

S this  ARE a sentences with error .
A 1 2|||R:VERB:SVA|||is|||REQUIRED|||-NONE-|||0
"""


@pytest.fixture
def corpus(store, tmp_path):
    """A store with the M2 above."""
    path = tmp_path / "a.m2"
    path.write_text(M2)
    terms = Origin(read_license("CC-BY-SA-4.0"))
    ingest(store, FORMATS["m2"], find_inputs(FORMATS["m2"], [path]), Context("mine"), terms)
    return store


def recipe(tmp_path, **changes):
    text = RECIPE.read_text(encoding="utf-8")
    changes = {
        "test: 0.05": "test: 0.05\n  shared: true",
        "clean: [detokenise]": "clean: []",  # texts stay as the corpus has them
    } | changes  # few sentences: pairs and examples of all
    for old, new in changes.items():
        assert old in text
        text = text.replace(old, new)
    path = tmp_path / "recipe.yaml"
    path.write_text(text, encoding="utf-8")
    return read_recipe(path)


def rows(folder, name):
    return pl.concat([pl.read_parquet(f) for f in sorted((folder / name).glob("*.parquet"))])


def pairs_of(folder):
    texts, meta = rows(folder, "preference"), rows(folder, "preference_meta")
    return [
        (chosen[0]["content"], rejected[0]["content"], made)
        for chosen, rejected, made in zip(texts["chosen"], texts["rejected"], meta["made"], strict=True)
    ]


def test_pairs_and_why_others_are_dropped(corpus, tmp_path):
    done = build(corpus, recipe(tmp_path, **{"share: 0.25": "share: 0.9"}), tmp_path / "out")
    pairs = pairs_of(tmp_path / "out")
    right = "This is a sentence with an error ."
    assert (right, "This are a sentences with error .", "learner") in pairs
    partial = [p for p in pairs if p[2] == "partial"]
    assert {chosen for chosen, _, _ in partial} == {right}
    for _, text, _ in partial:  # some of three edits applied, not all, not none
        applied = [word in text.split() for word in ("is", "sentence", "an")]
        assert 0 < sum(applied) < 3
    over = {chosen: text for chosen, text, made in pairs if made == "over"}
    assert over["All is well , they are here ."] == "All is well , they is here ."
    assert ("Some said yes .", "Some say yes .", "learner") not in pairs  # annotator 1 left it so
    assert done.dropped["an annotator holds the rejected text right"] >= 1
    assert done.dropped["an error seen, not corrected"] == 1
    assert done.dropped["a sentence that stands there before"] == 1
    meta = rows(tmp_path / "out", "preference_meta")
    assert set(meta["license"]) == {"CC-BY-SA-4.0"}
    assert meta["p"].null_count() == meta.height


def test_examples_to_imitate(corpus, tmp_path):
    build(corpus, recipe(tmp_path), tmp_path / "out")
    examples = rows(tmp_path / "out", "sft")
    found = {p[-1]["content"].split(": ", 1)[1]: c[0]["content"] for p, c in examples.rows()}
    assert found["This are a sentences with error ."] == "This is a sentence with an error ."
    assert found["All is well , they are here ."] == "All is well , they are here ."
    assert "Here something are odd ." not in found
    assert rows(tmp_path / "out", "sft_meta").height == examples.height


def test_the_same_bytes_again_and_others_with_another_seed(corpus, tmp_path):
    one = build(corpus, recipe(tmp_path), tmp_path / "one").digests
    assert build(corpus, recipe(tmp_path), tmp_path / "two").digests == one
    more = {"left_out: 0.5": "left_out: 0.7"}
    assert build(corpus, recipe(tmp_path, **more), tmp_path / "three").digests != one
    assert query(corpus, "SELECT count(*) = count(DISTINCT key) FROM completions").item()


def test_people_can_vote_on_the_completions(corpus, tmp_path):
    build(corpus, recipe(tmp_path), tmp_path / "out")
    key = query(corpus, "SELECT key FROM sentences ORDER BY position LIMIT 1").item()
    votes = tmp_path / "votes.csv"
    votes.write_text(f"completion_a,completion_b,choice\n{key}-0,{key}-learner,a\n{key}-0,{key}-1,tie\n")
    files = find_inputs(FORMATS["votes"], [votes])
    report = ingest(
        corpus, FORMATS["votes"], files, Context("votes", about="mine"), Origin(read_license(None))
    )
    assert (report.rows, report.rejects) == (2, 0)


def test_wording_follows_the_language(store, shared_data, tmp_path):
    for name, format, path, language in (
        ("uk", "ua-gec", shared_data / "ua-gec" / "gec-only", "uk"),
        ("et", "m2", shared_data / "estgec-l2" / "dev" / "source_gold_dev.txt", "et"),
        ("en", "m2", shared_data / "jfleg" / "EACL_exp" / "m2converter" / "dev.ref.m2", "en"),
    ):
        files = find_inputs(FORMATS[format], [path])
        ingest(store, FORMATS[format], files, Context(name, language), Origin(read_license("CC-BY-4.0")))
    done = build(store, recipe(tmp_path), tmp_path / "out")
    texts, meta = rows(tmp_path / "out", "preference"), rows(tmp_path / "out", "preference_meta")
    for language, start in (("uk", "Виправ "), ("et", "Paranda "), ("en", "Correct ")):
        prompts = texts.filter(meta["sources"].list.contains(language))["prompt"]
        assert all(prompt[-1]["content"].startswith(start) for prompt in prompts)
    learner = sum(made == "learner" for made in meta["made"])
    assert learner > 1000
    loaded = load_dataset(str(tmp_path / "out"), "sft", cache_dir=str(tmp_path / "cache"))
    assert set(loaded) == set(done.counts["sft"])
    assert loaded["train"].column_names == ["prompt", "completion"]
    manifest = json.loads((tmp_path / "out" / "manifest.json").read_text(encoding="utf-8"))
    assert manifest["fit"] is None
    assert sum(manifest["made"].values()) == texts.height


def test_without_corpora_it_says_so(store, tmp_path):
    with pytest.raises(GateError, match="no pair is left"):
        build(store, recipe(tmp_path), tmp_path / "out")


def test_a_share_that_leaves_nothing_is_refused(tmp_path):
    with pytest.raises(RecipeError, match=r"corrections.left_out"):
        recipe(tmp_path, **{"left_out: 0.5": "left_out: 1"})


def test_sentences_that_share_a_text_are_one_group(store, tmp_path):
    """Linked by a learner's text or a correction, also over others; sentences of a document stay with it."""
    lines = {  # learner's text -> corrections
        "a b c": ["a b x"],
        "a b d": ["a b x", "a b y"],
        "a b e": ["a b y"],
        "a B\u00a0 y": [None],
        "other one": ["another one"],
    }
    blocks = []
    for text, corrections in lines.items():
        blocks.append(f"S {text}")
        for who, new in enumerate(corrections):
            edit = f"0 {len(text.split(' '))}|||R|||{new}" if new else "-1 -1|||noop|||-NONE-"
            blocks.append(f"A {edit}|||REQUIRED|||-NONE-|||{who}")
        blocks.append("")
    (tmp_path / "a.m2").write_text("\n".join(blocks))
    ingest_files(store, "m2", [tmp_path / "a.m2"], "s", license="CC-BY-4.0")
    build(store, recipe(tmp_path, **{"drop: true": "drop: false"}), tmp_path / "out")
    meta, texts = rows(tmp_path / "out", "sft_meta"), rows(tmp_path / "out", "sft")
    groups = {}
    for prompt, group in zip(texts["prompt"], meta["group"], strict=True):
        groups.setdefault(group, set()).add(prompt[-1]["content"].split(": ", 1)[1])
    assert sorted(map(sorted, groups.values())) == [["a B\u00a0 y", "a b c", "a b d", "a b e"], ["other one"]]
    (tmp_path / "d.m2").write_text(
        "\n".join(
            f"S # {doc}\nA -1 -1|||noop|||-NONE-|||REQUIRED|||-NONE-|||0\n\n"
            f"S short {doc}\nA 0 2|||R|||Short one|||REQUIRED|||-NONE-|||0\n"
            for doc in ("d1", "d2")
        )
    )
    ingest_files(store, "m2", [tmp_path / "d.m2"], "s", license="CC-BY-4.0", replacing=True)
    build(store, recipe(tmp_path, **{"drop: true": "drop: false"}), tmp_path / "docs")
    assert rows(tmp_path / "docs", "sft_meta")["group"].n_unique() == 2  # s:d1 and s:d2


def write_changes(path, changes, right=()):
    """An M2 file of sentences "a WORD c": (word, correction, type, how often), and sentences held right."""
    blocks, n = [], 0
    for word, correction, kind, times in changes:
        for _ in range(times):
            n += 1
            blocks.append(f"S n{n} go {word} him\nA 2 3|||{kind}|||{correction}|||REQUIRED|||-NONE-|||0\n")
    for text in right:
        blocks.append(f"S {text}\nA -1 -1|||noop|||-NONE-|||REQUIRED|||-NONE-|||0\n")
    path.write_text("\n".join(blocks))


OVER_ONLY = {"rejected: [learner, partial, over]": "rejected: [over]", "drop: true": "drop: false"}


def test_an_over_correction_is_a_change_that_the_corpus_often_makes(store, tmp_path):
    changes = [("to", "for", "R:PREP", 30), ("to", "with", "R:PREP", 10), ("to", "Harvard", "R:OTHER", 4)]
    right = [f"r{n} go to him" for n in range(200)]
    write_changes(tmp_path / "a.m2", changes, right)
    ingest_files(store, "m2", [tmp_path / "a.m2"], "s", license="CC-BY-4.0")
    build(store, recipe(tmp_path, **OVER_ONLY), tmp_path / "out")
    new = [text.split()[2] for chosen, text, _ in pairs_of(tmp_path / "out") if chosen.startswith("r")]
    assert len(new) == 200
    assert "Harvard" not in new
    assert 25 < new.count("with") < 75  # a quarter of the changes, 50 of 200


def test_an_over_correction_fits_its_neighbours(store, tmp_path):
    """Though a change elsewhere in the sentence is more frequent."""
    write_changes(
        tmp_path / "a.m2", [("to", "for", "R:PREP", 3), ("he", "she", "R:PRON", 30)], ["he go to him"]
    )
    ingest_files(store, "m2", [tmp_path / "a.m2"], "s", license="CC-BY-4.0")
    build(store, recipe(tmp_path, **OVER_ONLY), tmp_path / "out")
    over = {chosen: text for chosen, text, _ in pairs_of(tmp_path / "out")}
    assert over["he go to him"] == "he go for him"


@pytest.mark.parametrize("share", [0.1, 0.25, 0.6])
def test_over_corrections_are_at_most_the_share_of_the_pairs(store, tmp_path, share):
    write_changes(tmp_path / "a.m2", [("to", "for", "R:PREP", 30)], [f"r{n} go to him" for n in range(100)])
    ingest_files(store, "m2", [tmp_path / "a.m2"], "s", license="CC-BY-4.0")
    shared = {"share: 0.25": f"share: {share}", "drop: true": "drop: false"}
    done = build(store, recipe(tmp_path, **shared), tmp_path / "out")
    made = [made for *_, made in pairs_of(tmp_path / "out")]
    assert made.count("over") == int(30 * share / (1 - share) + 1e-9)
    assert done.dropped["beyond the share of over-corrections"] == 100 - made.count("over")
    with pytest.raises(RecipeError, match=r"corrections.share"):
        recipe(tmp_path, **{"share: 0.25": "share: 1"})


def test_unpaired_has_each_text_of_a_prompt_once(store, shared_data, tmp_path):
    path = shared_data / "jfleg" / "EACL_exp" / "m2converter" / "dev.ref.m2"
    ingest_files(store, "m2", [path], "s", license="CC-BY-NC-SA-4.0")
    wanted = {"configs: [preference, sft]": "configs: [preference, unpaired]"}
    done = build(store, recipe(tmp_path, **wanted), tmp_path / "out")
    texts = rows(tmp_path / "out", "unpaired")
    said = {name: [turns[-1]["content"] for turns in texts[name]] for name in ("prompt", "completion")}
    flat = pl.DataFrame(said)
    assert flat.height == flat.n_unique() == sum(done.counts["unpaired"].values())
    assert rows(tmp_path / "out", "unpaired_meta").height == flat.height
    assert done.dropped["unpaired: the text of another completion again"] > 10
