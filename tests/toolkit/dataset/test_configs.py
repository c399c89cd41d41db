"""Configs of a dataset, rules of a recipe, and what is said of a row and of two builds."""

import json
import os
import shutil

import polars as pl
import pytest
from datasets import load_dataset
from hypothesis import given
from hypothesis import strategies as st
from problems import restore_keys

from preceptor.schemas.errors import RecipeError
from preceptor.schemas.licenses import read_license
from preceptor.schemas.recipe import Recipe
from preceptor.toolkit.dataset import parquet as shards
from preceptor.toolkit.dataset.build import build
from preceptor.toolkit.dataset.choose.eligible import check_rule
from preceptor.toolkit.ingest.batch import Context
from preceptor.toolkit.ingest.formats import FORMATS
from preceptor.toolkit.ingest.run import Origin, find_inputs, ingest
from preceptor.toolkit.store.connection import open_store, query, run

ALL = ["preference", "sft", "unpaired", "soft", "signals"]


def recipe(**keys):
    return Recipe.model_validate({"name": "x", **keys})


def rows(folder, name):
    """A table's rows over its splits, with the split."""
    files = sorted((folder / name).glob("*.parquet"))
    parts = [
        pl.read_parquet(f).with_columns(split=pl.lit(f.name.partition(".")[0].partition("-")[0]))
        for f in files
    ]
    return pl.concat(parts) if parts else pl.DataFrame()


def fill(con, tmp_path, n=60):
    """`n` problems with a right and a wrong answer each, and ratings of both."""
    problems = [
        {
            "question": f"What is {k} + {k}?",
            "ground_truth": f"#### {2 * k}",
            "6b": {"is_correct": True, "solution": f"It is {2 * k}."},
            "175b": {"is_correct": False, "solution": f"I say {k}."},
        }
        for k in range(n)
    ]
    path = tmp_path / "p.jsonl"
    path.write_text("\n".join(map(json.dumps, problems)) + "\n")
    terms = Origin(read_license("MIT"))
    ingest(con, FORMATS["gsm8k"], find_inputs(FORMATS["gsm8k"], [path]), Context("gsm"), terms)
    refs = [ref for (ref,) in run(con, "SELECT ref FROM completions WHERE origin = 'model' ORDER BY ref")]
    lines = ["completion,criterion,value,levels,annotator"]
    lines += [f"{ref},clear,{1 + i % 5},5,ann{i % 3}" for i, ref in enumerate(refs)]
    (tmp_path / "r.csv").write_text("\n".join(lines) + "\n")
    inputs = find_inputs(FORMATS["ratings"], [tmp_path / "r.csv"])
    ingest(con, FORMATS["ratings"], inputs, Context("said", about="gsm"), terms)


MARKED = {"policy": "right-over-wrong"}


def test_examples_and_pairs_are_trained_on_apart_and_held_out_together(store, tmp_path):
    fill(store, tmp_path)
    done = build(store, recipe(pairs=MARKED, configs=["preference", "sft"]), tmp_path / "out")
    groups = {
        (config, split): set(part["group"])
        for config in ("preference", "sft")
        for (split,), part in rows(tmp_path / "out", f"{config}_meta").group_by("split")
    }
    seen = [groups["preference", "train"], groups["sft", "train"]]
    for split in ("validation", "test"):  # nothing is trained on these: each config has all of them
        assert groups["preference", split] == groups["sft", split] != set()
        seen.append(groups["sft", split])
    assert sum(map(len, seen)) == len(set.union(*seen)) == 60
    assert done.counts["sft"]["train"] > 10 < done.counts["preference"]["train"]
    both = recipe(pairs=MARKED, configs=["preference", "sft"], splits={"shared": True})
    assert (
        build(store, both, tmp_path / "out").counts["sft"]
        == build(store, both, tmp_path / "out").counts["sft"]
    )
    assert set(rows(tmp_path / "out", "sft_meta")["group"]) == set(
        rows(tmp_path / "out", "preference_meta")["group"]
    )


def test_each_build_has_its_own_wording(store, tmp_path):
    fill(store, tmp_path, 30)
    for wording in ("Answer: {prompt}", "{prompt}"):
        build(store, recipe(pairs=MARKED, instruction=wording), tmp_path / wording[0])
        asked = rows(tmp_path / wording[0], "preference")["prompt"].list[-1].struct["content"]
        assert asked.str.starts_with(wording.partition("{")[0] + "What is").all()


def test_a_config_more_moves_no_test_row(store, tmp_path):
    fill(store, tmp_path)
    build(store, recipe(pairs=MARKED), tmp_path / "one")
    build(store, recipe(pairs=MARKED, configs=["preference", "sft", "unpaired"]), tmp_path / "two")
    tests = [
        rows(tmp_path / n, "preference_meta").filter(split="test")["key"].to_list() for n in ("one", "two")
    ]
    assert tests[0] == tests[1] != []


def test_unpaired_holds_each_answer_once_with_its_label(store, tmp_path):
    fill(store, tmp_path)
    build(store, recipe(pairs=MARKED, configs=["preference", "unpaired"], format="plain"), tmp_path / "out")
    texts, meta = rows(tmp_path / "out", "unpaired"), rows(tmp_path / "out", "unpaired_meta")
    assert texts.columns[:3] == ["prompt", "completion", "label"]
    assert texts.height == meta["key"].n_unique() == 120
    assert (texts["completion"].str.starts_with("It is") == texts["label"]).all()
    split = dict(rows(tmp_path / "out", "preference_meta").select("group", "split").rows())
    assert all(split[group] == where for group, where in meta.select("group", "split").rows())


def test_a_rule_takes_scores_of_ratings(store, tmp_path):
    fill(store, tmp_path)
    rule = "chosen_score > 0.5 and chosen_score > rejected_score"
    done = build(store, recipe(pairs=MARKED | {"eligible": rule}), tmp_path / "out")
    score = dict(query(store, "SELECT completion, (value - 1) / 4 FROM ratings").rows())
    every = query(store, "SELECT chosen_completion AS c, rejected_completion AS r, dropped FROM pairs").rows()
    for chosen, rejected, dropped in every:
        assert (dropped is None) == (score[chosen] > max(0.5, score[rejected]))
    assert 0 < sum(done.counts["preference"].values()) < 60
    assert done.dropped == {"not eligible by the recipe": 60 - sum(done.counts["preference"].values())}


@pytest.mark.parametrize(
    ("rule", "said"),
    [
        ("chosen_scoer > 1", "unknown column 'chosen_scoer': did you mean 'chosen_score'"),
        ("p >", "is no expression"),
        ("p > 0.5; DROP TABLE votes", "is no expression"),
        ("(SELECT count(*) FROM votes) > 0", "subquery is not taken"),
        ("getenv('HOME') = 'x'", "function getenv is not taken"),
        ("p > 0.5 GROUP BY p", "expected one expression"),
        ("p > 0.5 ORDER BY p", "expected one expression"),
        ("row_number() OVER () > 1", "not taken"),
    ],
)
def test_a_rule_that_is_no_rule_is_refused(store, rule, said):
    with pytest.raises(RecipeError, match=r"pairs\.eligible") as error:
        check_rule(store, rule)
    assert said in str(error.value)


@given(st.text(max_size=30))
def test_no_text_passes_as_a_rule_that_is_none(text):
    from preceptor.toolkit.store.connection import open_scratch

    with open_scratch() as con:
        try:
            rule = check_rule(con, text)
        except RecipeError:
            return
        columns = "1.0 AS p, 1 AS n_votes, 'a' AS task, 'a' AS language"
        con.execute(f"SELECT ({rule}) FROM (SELECT {columns})").fetchall()


def test_a_comment_cannot_end_the_rule(store, tmp_path):
    fill(store, tmp_path, 9)
    done = build(
        store, recipe(pairs=MARKED | {"eligible": "chosen_length > 0 -- and more"}), tmp_path / "out"
    )
    assert sum(done.counts["preference"].values()) == 9


def test_soft_labels_need_a_fit(store, tmp_path):
    fill(store, tmp_path, 9)
    with pytest.raises(RecipeError, match="config soft needs p"):
        build(store, recipe(pairs=MARKED, configs=["soft"]), tmp_path / "out")


def test_files_of_many_rows_are_cut_and_load_as_one(store, tmp_path, monkeypatch):
    fill(store, tmp_path)
    monkeypatch.setattr(shards, "GROUP", 8)
    monkeypatch.setattr(shards, "SHARD", 16)
    monkeypatch.setattr("preceptor.toolkit.dataset.card.SHARD", 16)
    done = build(store, recipe(pairs=MARKED), tmp_path / "out")
    names = sorted(f.name for f in (tmp_path / "out" / "preference").glob("train*"))
    train = done.counts["preference"]["train"]
    assert names == [f"train-{i:05}-of-{-(-train // 16):05}.parquet" for i in range(-(-train // 16))]
    loaded = load_dataset(str(tmp_path / "out"), "preference", cache_dir=str(tmp_path / "cache"))
    meta = load_dataset(str(tmp_path / "out"), "preference_meta", cache_dir=str(tmp_path / "cache"))
    assert {split: part.num_rows for split, part in loaded.items()} == done.counts["preference"]
    assert list(meta["train"]["key"]) == sorted(meta["train"]["key"])
    for row, about in zip(loaded["train"], meta["train"], strict=True):
        (key,) = restore_keys(store, pl.DataFrame({"key": [about["chosen_completion"]]}))["key"]
        ((text,),) = run(store, "SELECT content FROM completions WHERE key = ?", [key])
        assert row["chosen"][0]["content"] == text


def test_threads_change_no_byte(store, tmp_path):
    fill(store, tmp_path, 3000)
    digests = []
    for threads in (1, 4):
        run(store, f"SET threads = {threads}")
        made = recipe(pairs=MARKED, configs=["preference", "sft", "unpaired", "signals"])
        digests.append(build(store, made, tmp_path / f"out{threads}").digests)
    assert digests[0] == digests[1]


@pytest.fixture
def fused(demo, tmp_path):
    path = tmp_path / "preceptor.duckdb"
    shutil.copy(demo.out / "preceptor.duckdb", path)
    return path


@pytest.mark.slow
def test_every_config_of_a_fit(fused, tmp_path):
    with open_store(fused) as con:
        done = build(
            con, recipe(configs=ALL, pairs={"policy": "all", "eligible": "p > 0.55"}), tmp_path / "out"
        )
        ((flips,),) = run(con, "SELECT count(*) FROM pairs WHERE dropped = 'coin flip' AND part <> 'sft'")
        pseudonyms = set(query(con, "SELECT DISTINCT pseudonym FROM annotators")["pseudonym"])
        learners = set(query(con, "SELECT DISTINCT learner FROM outcomes")["learner"])
        votes = query(con, "SELECT key, choice, completion_a FROM votes").rows_by_key("key", unique=True)
    soft, meta = rows(tmp_path / "out", "soft"), rows(tmp_path / "out", "soft_meta")
    assert (soft["p"] == meta["p"]).all()
    assert soft["p"].is_between(0.55, 0.6).any()
    assert soft["p"].min() > 0.55
    assert rows(tmp_path / "out", "preference_meta")["p"].min() >= 0.6
    assert flips == soft.height - sum(done.counts["preference"].values()) > 0
    labels = rows(tmp_path / "out", "unpaired_meta").with_columns(rows(tmp_path / "out", "unpaired")["label"])
    pairs = rows(tmp_path / "out", "preference_meta")
    for key, label in labels.select("key", "label").rows():
        assert (key in set(pairs["chosen_completion"]), key in set(pairs["rejected_completion"])) == (
            label,
            not label,
        )
    signals = rows(tmp_path / "out", "signals")
    assert set(signals["kind"]) == {"vote", "rating", "outcome"}
    people = set(signals["person"].drop_nulls())
    assert len(people) >= 20
    assert not people & (pseudonyms | learners)
    with open_store(fused, read_only=True) as con:
        signals = restore_keys(con, signals)
    for key, choice, completion in signals.filter(kind="vote").select("key", "choice", "completion").rows():
        assert votes[key] == (choice, completion)
    for name in ALL:
        assert set(load_dataset(str(tmp_path / "out"), name, cache_dir=str(tmp_path / "c"))) <= {
            "train",
            "validation",
            "test",
        }


@pytest.mark.slow
def test_policies_by_a_fit(fused, tmp_path):
    with open_store(fused) as con:
        means = dict(query(con, "SELECT completion, mean FROM effectiveness").rows())
        of = dict(query(con, "SELECT key, prompt FROM completions").rows())
        build(con, recipe(pairs={"policy": "adjacent", "min_confidence": 0.5}), tmp_path / "out")
        for chosen, rejected in (
            restore_keys(con, rows(tmp_path / "out", "preference_meta"))
            .select("chosen_completion", "rejected_completion")
            .rows()
        ):
            low, high = sorted((means[chosen], means[rejected]))
            between = [m for c, m in means.items() if of[c] == of[chosen] and low < m < high]
            assert between == []
        build(con, recipe(pairs={"policy": "uncertain-band", "band": [0.6, 0.8]}), tmp_path / "out")
        assert rows(tmp_path / "out", "preference_meta")["p"].is_between(0.6, 0.8).all()


@pytest.mark.slow
def test_why_of_a_row_of_each_config(fused, preceptor, tmp_path):
    with open_store(fused) as con:
        build(con, recipe(configs=ALL, pairs={"policy": "all"}, publish_under="Apache-2.0"), tmp_path / "out")
        files = {
            (s, p, n)
            for s, p, n in query(
                con,
                "SELECT source, path, line FROM votes UNION SELECT source, path, "
                "line FROM ratings UNION SELECT source, path, line FROM outcomes",
            ).rows()
        }
    for config in ALL:
        table = rows(tmp_path / "out", config if config == "signals" else f"{config}_meta")
        row = table.row(0, named=True)
        done = preceptor("--store", fused, "why", row["key"][:12], "--dataset", tmp_path / "out", "--json")
        assert done.returncode == 0, done.stderr
        found = json.loads(done.stdout)
        assert config in [r["config"] for r in found["rows"]]
        assert found["prompt"]["path"] == "prompts.jsonl"
        assert {(s["source"], s["path"], s["line"]) for s in found["signals"]} <= files
        assert all(s["license"] == "Apache-2.0" for s in found["sources"])
        if config in ("preference", "soft"):
            assert found["fit"]["converged"]
            with open_store(fused, read_only=True) as con:
                row = restore_keys(con, table).row(0, named=True) | {"key": row["key"]}
            assert [c["key"] for c in found["completions"]] == [
                row["chosen_completion"],
                row["rejected_completion"],
            ]
            expected = row["n_votes"]
            between = [
                s
                for s in found["signals"]
                if s["kind"] == "vote"
                and {s["completion"], s["other"]} == {row["chosen_completion"], row["rejected_completion"]}
            ]
            assert len(between) == expected
        said = preceptor("--store", fused, "why", row["key"], cwd=tmp_path)  # finds the folder by itself
        assert said.returncode == 0, said.stderr
        assert "prompts.jsonl:" in said.stdout
        assert "licence of sample: Apache-2.0" in said.stdout
        if config == "signals":
            assert said.stdout.count("<- this one") == 1
    none = preceptor("--store", fused, "why", "zzzz")
    assert none.returncode == 2
    assert "no row of a built dataset" in none.stderr
    many = preceptor("--store", fused, "why", "0")
    assert many.returncode == 2
    assert "give more digits" in many.stderr


def test_diff_says_what_became_of_rows(store, tmp_path, preceptor):
    fill(store, tmp_path, 40)
    made = recipe(pairs=MARKED, configs=["preference", "unpaired"])
    build(store, made, tmp_path / "a")
    assert "the same rows" in preceptor("diff", tmp_path / "a", tmp_path / "a").stdout
    # One answer turns out wrong, one right, so a pair is flipped; one text is masked; splits are drawn anew.
    pair = restore_keys(store, rows(tmp_path / "a", "preference_meta")).row(0, named=True)
    for name, right in (("chosen_completion", False), ("rejected_completion", True)):
        run(
            store,
            "UPDATE completions SET context = json_merge_patch(context, ?) WHERE key = ?",
            [json.dumps({"right": right}), pair[name]],
        )
    other = restore_keys(store, rows(tmp_path / "a", "preference_meta")).row(5, named=True)
    run(store, "UPDATE completions SET content = 'It is [NAME].' WHERE key = ?", [other["chosen_completion"]])
    build(store, made, tmp_path / "b")
    found = json.loads(preceptor("diff", tmp_path / "a", tmp_path / "b", "--json").stdout)
    by_config = {c["config"]: c for c in found["configs"]}
    assert by_config["preference"]["counts"] == {
        "same": 38,
        "added": 0,
        "removed": 0,
        "flipped": 1,
        "moved": 0,
        "reworded": 1,
    }
    assert by_config["preference"]["keys"]["reworded"] == [other["key"]]
    assert by_config["unpaired"]["counts"]["flipped"] == 2
    assert found["otherwise"] == {}
    more = recipe(pairs=MARKED, configs=["preference"], splits={"seed": 5}, instruction="{prompt} Say.")
    build(store, more, tmp_path / "c")
    said = preceptor("diff", tmp_path / "b", tmp_path / "c", env=os.environ | {"COLUMNS": "120"}).stdout
    assert "recipe.instruction" in said
    assert "unpaired, removed" in said
    gone = preceptor("diff", tmp_path / "a", tmp_path)
    assert gone.returncode == 2
    assert "no dataset that preceptor build wrote" in gone.stderr


def test_diff_takes_the_names_of_forged_columns_for_names(store, tmp_path, preceptor):
    fill(store, tmp_path, 20)
    build(store, recipe(pairs=MARKED, configs=["preference"]), tmp_path / "a")
    shutil.copytree(tmp_path / "a", tmp_path / "forged")
    written = tmp_path / "written.csv"
    names = [
        f"""x"), 'y' FROM (SELECT 1) t); COPY (SELECT 1) TO '{written}'; SELECT ("a""",
        'a"b',
        f"' || (SELECT content FROM read_text('{__file__}')) || '",
    ]
    for path in (tmp_path / "forged" / "preference").glob("*.parquet"):
        frame = pl.read_parquet(path)
        frame.with_columns(pl.lit("z").alias(name) for name in names).write_parquet(path)
    found = preceptor("diff", tmp_path / "a", tmp_path / "forged", "--json")
    assert found.returncode == 0, found.stderr
    (changes,) = json.loads(found.stdout)["configs"]
    assert changes["counts"]["reworded"] == 20
    assert not written.exists()


def test_a_red_gate_shows_all_gates(store, tmp_path, preceptor):
    fill(store, tmp_path, 9)
    store.close()
    (tmp_path / "r.yaml").write_text(
        "name: r\npairs: {policy: right-over-wrong}\npublish_under: CC-BY-SA-4.0\n"
    )
    with open_store(tmp_path / "s.duckdb") as con:
        run(con, "UPDATE sources SET license = 'CC-BY-NC-4.0'")
    done = preceptor("--store", "s.duckdb", "build", "r.yaml", "--out", "out", cwd=tmp_path)
    assert done.returncode == 1
    assert "FAILED" in done.stdout
    assert "leaks" in done.stdout
    assert "non-commercial" in done.stderr
    assert not (tmp_path / "out").exists()
    done = preceptor("--store", "s.duckdb", "build", "r.yaml", "--out", "out", "--local", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "NOT FOR PUBLICATION" in (tmp_path / "out" / "README.md").read_text()
    manifest = json.loads((tmp_path / "out" / "manifest.json").read_text())
    assert manifest["recipe"]["publish_under"] is None


# ---- what the card says of annotators


def say_more(con, tmp_path, format, source, lines):
    path = tmp_path / f"{source}.csv"
    path.write_text("\n".join(lines) + "\n")
    inputs = find_inputs(FORMATS[format], [path])
    ingest(con, FORMATS[format], inputs, Context(source, about="gsm"), Origin(read_license("MIT")))


@pytest.fixture
def judged(store, tmp_path):
    """A closed store whose completions three named people rate, nobody named votes on, and a model rates."""
    fill(store, tmp_path)
    pairs = run(
        store,
        """SELECT a.ref, b.ref FROM completions a JOIN completions b ON b.prompt = a.prompt
        WHERE a.origin = b.origin AND (a.context->>'right')::BOOLEAN AND NOT (b.context->>'right')::BOOLEAN ORDER BY 1""",
    )
    header = "completion,criterion,value,levels,annotator"
    panel = [
        f"{ref},a|b,{1 + (i + (i + who) % 7 // 6) % 5},5,p{who}"
        for i, (ref, _) in enumerate(pairs)
        for who in range(3)
    ]
    same = [f"{ref},same,2,2,p{who}" for ref, _ in pairs for who in range(2)]
    say_more(store, tmp_path, "ratings", "panel", [header, *panel, *same])
    say_more(
        store,
        tmp_path,
        "ratings",
        "judge",
        [header, *(f"{ref},clear,{1 + i % 5},5,m@{k}" for i, (ref, _) in enumerate(pairs) for k in "xy")],
    )
    run(
        store,
        "UPDATE annotators SET kind = 'model' WHERE key IN (SELECT annotator FROM ratings WHERE source = 'judge')",
    )
    say_more(
        store,
        tmp_path,
        "votes",
        "street",
        [
            "completion_a,completion_b,choice",
            *(f"{a},{b},{'ab'[(i + k) % 5 == 0]}" for i, (a, b) in enumerate(pairs) for k in range(3)),
        ],
    )
    store.close()
    (tmp_path / "r.yaml").write_text("name: r\npairs: {policy: right-over-wrong}\n")
    return tmp_path


def test_the_card_says_whether_annotators_agree(judged, preceptor):
    def built(out):
        done = preceptor("--store", "s.duckdb", "build", "r.yaml", "--out", out, cwd=judged)
        assert done.returncode == 0, done.stderr
        return (judged / out / "README.md").read_text(), (judged / out / "manifest.json").read_text()

    card, manifest = built("one")
    assert built("two") == (card, manifest)
    said = json.loads(manifest)["agreement"]
    # Models are no annotators: what they alone rated has no row.
    assert [(f["source"], f["signal"], f["annotators"]) for f in said] == [
        ("panel", "a|b", 3),
        ("panel", "same", 2),
        ("said", "clear", 3),
        ("street", "votes", 0),
    ]
    asked = ("--store", "s.duckdb", "annotate", "agreement", "--json", "--source")
    for row in (said[0], said[3]):
        (found,) = json.loads(preceptor(*asked, row["source"], cwd=judged).stdout)
        signal = found["signals"][0]
        assert row["metric"] == signal["metric"]
        assert [row["alpha"], row["low"], row["high"]] == [
            round(signal["alpha"][row["metric"]][name], 4) for name in ("value", "low", "high")
        ]
        assert row["shared_units"] == signal["shared_units"] == 60
    assert [(f["shared_judgements"], f["unnamed"]) for f in said] == [(180, 0), (120, 0), (0, 0), (180, 180)]
    section = card.partition("## Do the annotators agree?")[2].partition("\n## ")[0]
    panel, same, clear, street = (
        line
        for line in section.splitlines()
        if line.startswith("| ")
        if not line.startswith(("| source", "| ---"))
    )
    shown = "{alpha:.2f} ({low:.2f} to {high:.2f}), {metric}".format
    assert panel == f"| panel | ratings: a\\|b | 3 | 180 of 60 answers | {shown(**said[0])} |"
    assert same == "| panel | ratings: same | 2 | 120 of 60 answers | none: all answers are the same |"
    assert clear == "| said | ratings: clear | 3 | 0 | none: no completion was judged by two annotators |"
    assert street == f"| street | votes | not named | 180 of 60 pairs | {shown(**said[3])} |"


def test_the_card_of_the_functions_alone_says_nothing_of_agreement(judged):
    with open_store(judged / "s.duckdb") as con:
        build(con, recipe(pairs=MARKED), judged / "out")
    assert "annotators agree" not in (judged / "out" / "README.md").read_text()
    assert "agreement" not in json.loads((judged / "out" / "manifest.json").read_text())


def test_the_card_has_no_agreement_of_models(judged, preceptor):
    with open_store(judged / "s.duckdb") as con:
        run(con, "DELETE FROM votes")
        run(con, "DELETE FROM ratings WHERE source <> 'judge'")
    done = preceptor("--store", "s.duckdb", "build", "r.yaml", "--out", "out", cwd=judged)
    assert done.returncode == 0, done.stderr
    assert "annotators agree" not in (judged / "out" / "README.md").read_text()
    assert json.loads((judged / "out" / "manifest.json").read_text())["agreement"] == []
