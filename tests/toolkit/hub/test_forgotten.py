"""Publish after `forget`: no row of a forgotten person leaves, and what keeps some on the Hub is named."""

import json
import re

import pytest
from ended import refused, well

WHO = "Zwaluwstaart-7741"
RECIPE = {
    "name": "gec",
    "task": "gec",
    "corrections": {"rejected": ["learner"]},
    "publish_under": "CC-BY-4.0",
    "splits": {"train": 1, "validation": 0, "test": 0},
    "privacy": {"look": False},
}


def essay(id, learner):
    edits = [[0, [[8, 12, "keeps", "R:OTHER"]]]]
    return (
        json.dumps({"id": id, "userid": learner, "text": f"Owl {id:03} keep an orange .", "edits": edits})
        + "\n"
    )


@pytest.fixture
def project(tmp_path, client):
    """A function that runs the command line on a store with essays of two people, and the folder."""
    (tmp_path / "r.yaml").write_text(json.dumps(RECIPE))
    (tmp_path / "e.jsonl").write_text(essay(1, WHO) + essay(2, "anna"))

    def run(*arguments):
        return client("--store", tmp_path / "preceptor.duckdb", *arguments)

    well(run("ingest", "bea-json", tmp_path / "e.jsonl", "--source", "e", "--license", "CC-BY-4.0"))
    well(run("build", tmp_path / "r.yaml", "--out", tmp_path / "dist"))
    return run, tmp_path


def test_a_folder_with_rows_of_a_forgotten_person_is_refused_and_old_tags_are_named(hub, project):
    run, folder = project
    well(run("publish", folder / "dist", "lab/tiny", "--tag", "v1"))
    well(run("forget", WHO))
    for more in ([], ["--dry-run"]):
        refused(
            run("publish", folder / "dist", "lab/tiny", *more),
            "holds rows of people who were forgotten since it was built (texts in 1 row); build it again",
        )
    well(run("build", folder / "r.yaml", "--out", folder / "dist"))
    ended = run("publish", folder / "dist", "lab/tiny", "--tag", "v2")
    well(ended)
    assert (
        "lab/tiny: the tag v1 keeps rows of forgotten people (preference_meta/train.parquet: texts in 1 row); "
        "remove it: hf repos tag delete lab/tiny v1 --type dataset --yes" in ended.stderr
    )
    assert "tag v2 keeps" not in ended.stderr
    assert re.search(r"super_squash_history\('lab/tiny', repo_type='dataset'\)", ended.stderr)


def test_a_revision_without_a_tag_is_found_in_the_history(hub, project):
    run, folder = project
    well(run("publish", folder / "dist", "lab/tiny"))
    well(run("forget", WHO))
    well(run("build", folder / "r.yaml", "--out", folder / "dist"))
    ended = run("publish", folder / "dist", "lab/tiny")
    well(ended)
    assert "its history keeps rows of forgotten people" in ended.stderr
    assert "the tag" not in ended.stderr


def test_where_nobody_was_forgotten_nothing_more_is_asked(hub, project):
    run, folder = project
    ended = run("publish", folder / "dist", "lab/tiny", "--tag", "v1")
    well(ended)
    assert "forgotten" not in ended.stderr
    assert not any("commits" in line for line in hub.ask("state")["arrived"])
