"""A folder that a stranger forged is not published: its gates are run again, and no file of elsewhere is sent."""

import json
import shutil

import polars as pl
import pytest

from preceptor.schemas.support.files import hash_file
from preceptor.toolkit.hub.model_folder import read_model_folder

CHAT = pl.List(pl.Struct({"role": pl.String, "content": pl.String}))


@pytest.fixture
def edits(builds, tmp_path):
    """A copy of the build of edits, to forge."""
    return shutil.copytree(builds["edits"], tmp_path / "edits")


@pytest.fixture
def dry(preceptor, tmp_path):
    def run(folder, *more):
        return preceptor("publish", folder, "lab/tiny", "--dry-run", *more, cwd=tmp_path)

    return run


def sign(folder, **keys):
    """Make the manifest fit the files, as a forger would: every gate stays green in it."""
    path = folder / "manifest.json"
    read = json.loads(path.read_text()) | keys
    read["files"] = {name: hash_file(folder / name) for name in read["files"]}
    path.write_text(json.dumps(read))
    assert all(gate["passed"] for gate in read["gates"])


def write(folder, table, n=0, **cells):
    """Change cells of row `n` of a table; a text in a chat is its last message."""
    path = folder / table / "train.parquet"
    rows = pl.read_parquet(path).to_dicts()
    for name, value in cells.items():
        old = rows[n][name]
        rows[n][name] = (
            [*old[:-1], old[-1] | {"content": value}]
            if isinstance(old, list) and name != "sources"
            else value
        )
    pl.DataFrame(rows, schema=pl.read_parquet_schema(path)).write_parquet(path)


def test_a_folder_that_was_signed_again_unchanged_passes(edits, dry):
    sign(edits)
    assert dry(edits).returncode == 0


FORGED = {
    "privacy": lambda f: write(f, "preference", rejected="Write to ada.lovelace@example.org at once."),
    "privacy of sft": lambda f: write(f, "sft", completion="Write to ada.lovelace@example.org at once."),
    "licence": lambda f: write(f, "preference_meta", license="CC-BY-NC-4.0"),
    "licence of rows": lambda f: write(f, "sft_meta", sources=["another"]),
    "replies": lambda f: write(f, "preference", chosen="<think>A hint?</think> Try it once more."),
}


@pytest.mark.parametrize("gate", FORGED)
def test_a_forged_manifest_with_green_gates_is_refused(edits, dry, gate):
    FORGED[gate](edits)
    sign(edits)
    done = dry(edits)
    assert done.returncode == 1, done.stdout
    assert "does not pass its gates, though its manifest.json says so" in done.stderr
    assert f"{gate.partition(' of sft')[0]}: " in done.stderr


def test_leaks_into_another_split_are_seen(edits, dry):
    for table in ("preference", "preference_meta"):
        shutil.copy(edits / table / "train.parquet", edits / table / "test.parquet")
    readme = edits / "README.md"
    text = readme.read_text()
    for table in ("preference", "preference_meta"):
        path = f"path: {table}/train.parquet"
        text = text.replace(
            f"  - split: train\n    {path}\n",
            f"  - split: train\n    {path}\n  - split: test\n    path: {table}/test.parquet\n",
        )
    readme.write_text(text)
    read = json.loads((edits / "manifest.json").read_text())
    files = read["files"] | {f"{t}/test.parquet": "" for t in ("preference", "preference_meta")}
    counts = read["counts"] | {"preference": {"train": 6, "test": 6}}
    sign(edits, files=files, counts=counts)
    done = dry(edits)
    assert done.returncode == 1
    assert " rows leak into what they are measured by" in done.stderr


@pytest.mark.parametrize(
    "keys",
    [
        {"recipe": {"name": "edits", "publish_under": "CC-BY-4.0", "run": "rm"}},
        {"recipe": {"publish_under": "CC-BY-4.0"}},
        {"sources": [{}]},
        {"marked": "many"},
    ],
)
def test_a_manifest_that_makes_no_sense_is_refused_or_counts_for_nothing(edits, dry, keys):
    sign(edits, **keys)
    done = dry(edits)
    assert (done.returncode, "Traceback" in done.stderr) == (0 if "marked" in keys else 1, False)


@pytest.mark.parametrize("place", ["preference/train.parquet", "README.md"])
def test_a_link_to_a_file_elsewhere_is_not_sent(edits, dry, tmp_path, place):
    (edits / place).rename(tmp_path / "elsewhere")
    (edits / place).symlink_to(tmp_path / "elsewhere")
    done = dry(edits)
    assert done.returncode == 1
    assert f"{place} leads out of the folder, and will not be sent" in done.stderr


@pytest.mark.parametrize("name", ["../elsewhere", "/etc/hostname", "sft/../../elsewhere"])
def test_a_name_in_the_manifest_that_leads_out_is_not_sent(edits, dry, tmp_path, name):
    (tmp_path / "elsewhere").write_text("of mine")
    read = json.loads((edits / "manifest.json").read_text())
    (edits / "manifest.json").write_text(json.dumps(read | {"files": read["files"] | {name: "0" * 64}}))
    done = dry(edits)
    assert done.returncode == 1
    assert f"{name} leads out of the folder" in done.stderr


def test_links_inside_a_folder_are_no_harm(edits, dry):
    (edits / "sft" / "train.parquet").rename(edits / "sft" / "real.parquet")
    (edits / "sft" / "train.parquet").symlink_to("real.parquet")
    assert "leads out" not in dry(edits).stderr


def test_a_dataset_that_is_a_link_is_not_read_by_why_and_diff(edits, preceptor, tmp_path):
    meta = edits / "sft_meta" / "train.parquet"
    meta.rename(tmp_path / "elsewhere.parquet")
    meta.symlink_to(tmp_path / "elsewhere.parquet")
    done = preceptor("diff", edits, edits, cwd=tmp_path)
    assert done.returncode == 2
    assert "leads out of the folder" in done.stderr


def test_a_model_folder_sends_no_file_of_elsewhere(tmp_path):
    from preceptor.schemas.errors import HubError

    (tmp_path / "secret").write_text("of mine")
    model = tmp_path / "model"
    model.mkdir()
    (model / "preceptor.json").write_text(json.dumps({"dataset": {}}))
    (model / "notes.txt").symlink_to("../secret")
    with pytest.raises(HubError, match=r"notes\.txt leads out of the folder"):
        read_model_folder(model, "mit", None)
