"""The packaged sample and the demo: the whole way, once, on the command line."""

import json
import shutil

import duckdb
import polars as pl
import pytest
from datasets import load_dataset
from scipy.stats import spearmanr

from preceptor.schemas.derive import derive_features
from preceptor.schemas.published import declare_published
from preceptor.schemas.support.files import hash_file
from preceptor.toolkit.cli.demo import draw
from preceptor.toolkit.cli.demo.draw import CARELESS
from preceptor.toolkit.privacy.pseudonyms import make_pseudonym, read_key

pytestmark = pytest.mark.slow

SAMPLE = ("effectiveness.csv", "prompts.jsonl", "votes.csv", "ratings.csv", "outcomes.csv")


def test_the_sample_is_what_its_script_draws(sample, tmp_path):
    for name in ("prompts.jsonl", "effectiveness.csv"):
        (tmp_path / name).write_bytes((sample / name).read_bytes())
    draw.main(tmp_path)
    assert {name: hash_file(tmp_path / name) for name in SAMPLE} == {
        name: hash_file(sample / name) for name in SAMPLE
    }


def test_the_sample_is_as_promised(sample):
    prompts = [json.loads(line) for line in (sample / "prompts.jsonl").read_text().splitlines()]
    assert len(prompts) >= 40
    assert {p["task"] for p in prompts} == {"mnemonic", "gec", "tutor"}
    assert all(2 <= len(p["completions"]) <= 4 for p in prompts)
    votes, outcomes = pl.read_csv(sample / "votes.csv"), pl.read_csv(sample / "outcomes.csv")
    assert votes["annotator"].n_unique() == 20
    assert outcomes["learner"].n_unique() == 30
    assert votes["choice"].value_counts().height == 3
    assert outcomes["censored"].any()
    voted = {c[:5] for c in votes["completion_a"]}
    assert 0 < len(prompts) - len(voted) < 10  # gaps


def test_demo_says_where_to_look(demo):
    assert demo.stdout.count("dataset  ") == 1
    for path in ("dataset/README.md", "dataset/manifest.json", "report.html", "preceptor.duckdb"):
        assert (demo.out / path).stat().st_size > 0
    assert "report.html" in demo.stdout


def test_demo_finds_what_the_sample_was_drawn_from(demo, key_file):
    """n = 126 completions, one data set, one seed: loose bounds around what is expected."""
    found = demo.fit["findings"]
    careless = {make_pseudonym(name, read_key(key_file)) for name in CARELESS}
    assert {a["annotator"] for a in found["annotators"] if a["p_below_half"] > 0.9} == careless
    assert found["rho"]["low"] < 0.5 < found["rho"]["high"]  # drawn with correlation 0.50
    with duckdb.connect(str(demo.out / "preceptor.duckdb"), read_only=True) as con:
        inferred = con.sql(
            "SELECT c.ref AS completion, e.* FROM effectiveness e JOIN completions c ON c.key = e.completion"
        ).pl()
    truth = pl.read_csv(demo.sample / "effectiveness.csv")
    both = inferred.join(truth, on="completion").with_columns(
        ((pl.col("expressed") + pl.col("observed")) / 2).alias("truth")
    )
    assert both.height == truth.height
    assert spearmanr(both["mean"], both["truth"]).statistic > 0.75
    inside = both.select(pl.col("truth").is_between("low", "high").mean()).item()
    assert 0.82 <= inside <= 0.98


def test_demo_dataset_loads_everywhere_with_the_declared_columns(demo, tmp_path):
    folder = demo.out / "dataset"
    preference = load_dataset(str(folder), "preference", cache_dir=str(tmp_path))
    meta = load_dataset(str(folder), "preference_meta", cache_dir=str(tmp_path))
    assert set(preference) == set(meta) == {"train", "validation", "test"}
    for split, rows in preference.items():
        assert rows.features == derive_features(declare_published("preference", True))
        assert meta[split].features == derive_features(declare_published("preference_meta", True))
        assert len(rows) == len(meta[split]) > 0
        files = folder / "preference" / f"{split}.parquet"
        assert pl.read_parquet(files).height == len(rows)
        with duckdb.connect() as con:
            assert con.sql(f"SELECT count(*) FROM '{files}'").fetchall() == [(len(rows),)]
        plain = load_dataset("parquet", data_files=str(files), split="train", cache_dir=str(tmp_path))
        assert plain.to_list() == rows.to_list()
        for row, about in zip(rows, meta[split], strict=True):
            assert row["chosen"] != row["rejected"]
            assert row["prompt"][-1]["role"] == "user"
            assert [m["role"] for m in row["chosen"]] == ["assistant"]
            assert 0.6 <= about["p"] <= 1


def test_groups_stay_in_one_split(demo):
    meta = pl.read_parquet(demo.out / "dataset/preference_meta/*.parquet", include_file_paths="file")
    assert meta.group_by("group").agg(pl.col("file").n_unique()).get_column("file").max() == 1


def test_manifest_has_the_digest_of_every_file(demo):
    folder = demo.out / "dataset"
    manifest = json.loads((folder / "manifest.json").read_text())
    files = {p.relative_to(folder).as_posix() for p in folder.rglob("*") if p.is_file()}
    assert set(manifest["files"]) == files - {"manifest.json"}
    assert all(hash_file(folder / name) == digest for name, digest in manifest["files"].items())
    assert all(gate["passed"] for gate in manifest["gates"])


def test_a_second_demo_in_the_same_folder_gives_the_same_bytes(demo, preceptor, tmp_path):
    out = shutil.copytree(demo.out, tmp_path / "demo")  # others read the first meanwhile
    before = {p: p.read_bytes() for p in out.rglob("*") if p.suffix in (".parquet", ".md", ".json", ".html")}
    ended = preceptor("demo", "--out", out)
    assert ended.returncode == 0, ended.stderr
    assert "preceptor demo" in ended.stdout
    assert before == {p: p.read_bytes() for p in before}
