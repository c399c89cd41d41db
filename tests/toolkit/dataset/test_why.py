"""`preceptor why`: a row is traced back, also where its source has left the store since."""

import json

import polars as pl
import pytest

RECIPE = {
    "name": "gec",
    "task": "gec",
    "corrections": {"rejected": ["learner"]},
    "configs": ["preference", "sft", "unpaired"],
    "splits": {"train": 1, "validation": 0, "test": 0, "shared": True},
    "privacy": {"look": False},
}
EDIT = "A 1 2|||R:VERB:SVA|||keeps|||REQUIRED|||-NONE-|||0\n"


@pytest.mark.parametrize("format", ["plain", "conversational"])
def test_what_left_the_store_is_read_from_the_dataset_and_said(tmp_path, preceptor, format):
    (tmp_path / "r.yaml").write_text(json.dumps(RECIPE | {"format": format}))
    (tmp_path / "old.m2").write_text(f"S Aunt keep hedgehogs .\n{EDIT}")
    (tmp_path / "new.m2").write_text(f"S Owls keep oranges .\n{EDIT}")
    source = ("--source", "m", "--license", "CC-BY-SA-4.0")
    for command in (
        ("ingest", "m2", "old.m2", *source),
        ("build", "r.yaml", "--out", "dist/a"),
        ("ingest", "m2", "new.m2", *source, "--replace"),
    ):
        done = preceptor(*command, cwd=tmp_path)
        assert done.returncode == 0, done.stderr
    (tmp_path / "dist" / "a").rename(tmp_path / "moved")
    for config, shown in (
        ("preference", ["chosen", "rejected"]),
        ("sft", ["completion"]),
        ("unpaired", ["completion"]),
    ):
        rows = pl.read_parquet(tmp_path / "moved" / config / "train.parquet")
        meta = pl.read_parquet(tmp_path / "moved" / f"{config}_meta" / "train.parquet")
        for text, key in zip(rows.to_dicts(), meta["key"], strict=True):
            done = preceptor("why", key, "--dataset", "moved", cwd=tmp_path)
            assert done.returncode == 0, done.stderr
            for name in ("prompt", *shown):
                said = text[name] if format == "plain" else text[name][-1]["content"]
                assert f": {said}\n    no longer in the store; read from moved" in done.stdout
            assert "licence of m: CC-BY-SA-4.0" in done.stdout
            found = json.loads(preceptor("why", key, "--dataset", "moved", "--json", cwd=tmp_path).stdout)
            assert {one["read_from"] for one in [found["prompt"], *found["completions"]]} == {"moved"}
