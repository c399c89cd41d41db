"""Publish models: to a stand-in for the Hub (tests/support/hub), and what must not leave."""

import json
import struct
from pathlib import Path

import pytest
import yaml
from ended import refused, well

from preceptor.schemas.support.files import hash_file

REPO = "lab/tutor"
DATASET = {
    "name": "gec",
    "config": "preference",
    "repo": "lab/gec",
    "revision": "c" * 40,
    "digest": "d" * 64,
    "licenses": ["CC-BY-4.0"],
    "publishable": True,
    "rows": {"train": 6, "evaluation": 2},
}
CARD = "---\nlibrary_name: transformers\ntags: [preceptor]\n---\n\n# A tutor\n\nBy `preceptor train`.\n"


def model_folder(folder, adapter=None, base="lab/base", of_base=None, **dataset):
    """A model as `preceptor train` leaves it, with checkpoints and more that must stay; `adapter`: of which base."""
    folder.mkdir()
    header = json.dumps({"w": {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]}}).encode()
    weights = "adapter_model" if adapter else "model"
    (folder / f"{weights}.safetensors").write_bytes(struct.pack("<Q", len(header)) + header + bytes(8))
    about = {
        "stage": "dpo",
        "base_model": base,
        "base": of_base,
        "dataset": DATASET | dataset,
        "recipe": {"text": "dataset_name: /home/me/dist/gec\nstage: dpo\n"},
        "metrics": {"evaluation": {"eval_loss": 0.5, "eval_rewards/accuracies": 0.75, "epoch": 1.0}},
    }
    (folder / "preceptor.json").write_text(json.dumps(about))
    (folder / "README.md").write_text(CARD)
    for name in ("tokenizer.json", "tokenizer_config.json", "metrics.json"):
        (folder / name).write_text("{}")
    config = {"base_model_name_or_path": adapter, "revision": None} if adapter else {"model_type": "llama"}
    (folder / ("adapter_config.json" if adapter else "config.json")).write_text(json.dumps(config))
    (folder / "checkpoints" / "checkpoint-3").mkdir(parents=True)
    (folder / "checkpoints" / "checkpoint-3" / "optimizer.pt").write_bytes(b"pickle")
    (folder / "training_args.bin").write_bytes(b"pickle with /home/me/models")
    return folder


@pytest.fixture
def model(tmp_path):
    return model_folder(tmp_path / "gec")


@pytest.fixture
def publish(client):
    def run(folder, *arguments, license="apache-2.0", token="hf_alice", repo=REPO):
        stated = ["--license", license] if license else []
        return client("publish-model", folder, repo, *stated, *arguments, token=token)

    return run


def repo_of(hub, name=REPO):
    return hub.repo(f"models/{name}")


def read_back(hub, name, file, tmp_path):
    from huggingface_hub import hf_hub_download

    place = hf_hub_download(name, file, endpoint=hub.url, token="hf_alice", cache_dir=tmp_path / "c")
    return Path(place).read_text()


def test_one_private_commit_holds_the_model_with_card_and_digests(hub, publish, model, tmp_path):
    ended = publish(model, "--tag", "v1.0.0")
    said = well(ended)
    assert "stays here: checkpoints/, training_args.bin" in ended.stderr
    repo = repo_of(hub)
    assert repo["private"]
    assert repo["tags"] == {"v1.0.0": repo["head"]}
    assert repo["titles"][1:] == ["initial commit"]
    assert repo["titles"][0].startswith("Publish dpo on gec, ")
    assert "(private): published, revision " + repo["head"] in said
    assert "read back: 7 files with their digests" in said
    assert set(repo["files"]) == {
        ".gitattributes",
        "README.md",
        "config.json",
        "metrics.json",
        "model.safetensors",
        "preceptor.json",
        "tokenizer.json",
        "tokenizer_config.json",
    }
    assert repo["files"]["model.safetensors"] == hash_file(model / "model.safetensors")
    files = json.loads(read_back(hub, REPO, "preceptor.json", tmp_path))["files"]
    of_it = {name: sha256 for name, sha256 in repo["files"].items() if name in files}
    assert files == of_it
    assert "dataset_name: gec\\nstage" in read_back(hub, REPO, "preceptor.json", tmp_path)
    assert len(files) == 6
    _, head, body = read_back(hub, REPO, "README.md", tmp_path).split("---\n")
    card = yaml.safe_load(head)
    assert {name: card[name] for name in ("license", "base_model", "datasets", "tags")} == {
        "license": "apache-2.0",
        "base_model": "lab/base",
        "datasets": ["lab/gec"],
        "tags": ["preceptor"],
    }
    metrics = card["model-index"][0]["results"][0]["metrics"]
    assert {one["type"]: one["value"] for one in metrics} == {"loss": 0.5, "rewards/accuracies": 0.75}
    assert body == CARD.split("---\n")[2]
    assert hub.repo(REPO) is None  # no dataset of that name


def test_the_same_again_sends_nothing_and_a_changed_one_takes_its_place(hub, publish, model):
    well(publish(model))
    before = hub.ask("state")
    assert "holds this model already, nothing was sent" in well(publish(model))
    after = hub.ask("state")
    assert (after["repos"], after["received"]) == (before["repos"], before["received"])
    (model / "metrics.json").unlink()
    well(publish(model))
    assert "metrics.json" not in repo_of(hub)["files"]
    assert len(repo_of(hub)["titles"]) == 3


def test_an_adapter_of_a_local_folder_names_its_published_base(hub, publish, tmp_path):
    sft = {"stage": "sft", "base_model": "lab/base", "dataset": DATASET | {"config": "sft"}, "base": None}
    known = {"folder": "gec-sft", **sft}
    adapter = model_folder(tmp_path / "lora", adapter="/home/me/models/gec-sft", of_base=known)
    refused(
        publish(adapter), "is an adapter of gec-sft, a folder of this machine", "preceptor merge", "--base"
    )
    refused(
        publish(adapter, "--base", "lab/none"), "--base lab/none: no model of that name", "publish the base"
    )
    hub.made("models/lab/gec-sft", {"preceptor.json": json.dumps(sft).encode(), "config.json": b"{}"})
    hub.made("models/lab/other", {"preceptor.json": json.dumps(sft | {"stage": "kto"}).encode()})
    refused(publish(adapter, "--base", "lab/other"), "is another model than gec-sft")
    assert repo_of(hub) is None
    well(publish(adapter, "--base", "lab/gec-sft"))
    config = json.loads(read_back(hub, REPO, "adapter_config.json", tmp_path))
    assert config == {
        "base_model_name_or_path": "lab/gec-sft",
        "revision": repo_of(hub, "lab/gec-sft")["head"],
    }
    assert "base_model: lab/gec-sft" in read_back(hub, REPO, "README.md", tmp_path)
    assert json.loads((adapter / "adapter_config.json").read_text())["base_model_name_or_path"].startswith(
        "/"
    )


def test_an_adapter_of_a_model_of_the_hub_goes_as_it_is(hub, publish, tmp_path):
    adapter = model_folder(tmp_path / "lora", adapter="lab/base")
    refused(publish(adapter, "--base", "lab/else"), "was trained on lab/base; leave --base out")
    well(publish(adapter))
    assert repo_of(hub)["files"]["adapter_config.json"] == hash_file(adapter / "adapter_config.json")


@pytest.mark.parametrize(
    ("dataset", "license", "said"),
    [
        (
            {"publishable": False},
            "apache-2.0",
            "gec, which it was trained on, was a local build, NOT FOR PUBLICATION",
        ),
        ({"licenses": ["CC-BY-ND-4.0"]}, "apache-2.0", "under CC-BY-ND-4.0, which allows no adaptations"),
        ({"licenses": []}, "apache-2.0", "under no stated licence"),
        (
            {"licenses": ["odc-by", "PolyForm-Noncommercial-1.0.0"]},
            "mit",
            "non-commercial (PolyForm-Noncommercial-1.0.0)",
        ),
        ({"licenses": ["CC-BY-NC-4.0"]}, "llama3.2", "non-commercial (CC-BY-NC-4.0), and llama3.2 is not"),
    ],
)
def test_what_may_not_be_published_goes_nowhere_public(hub, publish, tmp_path, dataset, license, said):
    folder = model_folder(tmp_path / "gec", of_base={"dataset": DATASET | dataset}, **dataset)
    refused(publish(folder, "--public", license=license), "not made public", said)
    assert hub.ask("state")["arrived"] == []
    ended = publish(folder, license=license)
    well(ended)
    assert ended.stderr.count(said) == 1
    assert "warning: keep it private" in ended.stderr
    assert repo_of(hub)["private"]
    hub.made("models/lab/open", {"README.md": b"# Mine"})
    refused(
        publish(folder, license=license, repo="lab/open"), "lab/open: is public, and this model must not be"
    )
    assert repo_of(hub, "lab/open")["titles"] == ["initial commit"]


def test_the_dataset_of_an_earlier_stage_counts_too(hub, publish, tmp_path):
    earlier = {"folder": "sft", "stage": "sft", "dataset": DATASET | {"name": "old", "publishable": False}}
    folder = model_folder(tmp_path / "gec", of_base=earlier)
    refused(publish(folder, "--public"), "old, which it was trained on, was a local build")


def test_non_commercial_data_may_make_a_public_non_commercial_model(hub, publish, tmp_path):
    folder = model_folder(tmp_path / "gec", licenses=["CC-BY-NC-4.0"])
    assert "(public): published" in well(publish(folder, "--public", license="CC-BY-NC-4.0"))


def spoil(folder, how):
    if how == "path":
        config = {"model_type": "llama", "_name_or_path": "/home/me/models/base"}
        (folder / "config.json").write_text(json.dumps(config))
    elif how == "token":
        (folder / "README.md").write_text(CARD + "HF_TOKEN=hf_" + "a1" * 20)
    elif how == "pickle":
        (folder / "model.safetensors").rename(folder / "pytorch_model.bin")
    elif how == "card":
        (folder / "README.md").write_text("# No YAML")
    elif how == "about":
        (folder / "preceptor.json").unlink()
    elif how == "part":
        index = {"weight_map": {"a": "model-00001-of-00002.safetensors"}}
        (folder / "model.safetensors.index.json").write_text(json.dumps(index))


@pytest.mark.parametrize(
    ("how", "said"),
    [
        ("path", "config.json: a path of this machine: /home/me/models/base"),
        ("token", "README.md: a token of Hugging Face"),
        ("pickle", "model.safetensors missing; weights go to the Hub as safetensors"),
        ("part", "model-00001-of-00002.safetensors missing"),
        ("card", "begins with no YAML"),
        ("about", "holds no preceptor.json"),
    ],
)
def test_what_must_not_leave_or_is_missing_is_refused(hub, publish, model, how, said):
    spoil(model, how)
    told = refused(publish(model), said)
    assert "a1a1" not in told
    assert repo_of(hub) is None


def test_a_licence_must_be_stated(hub, publish, model):
    refused(publish(model, license=None), "no licence is stated: --license ID, that of lab/base")
    refused(publish(model, license="apache2"), "did you mean Apache-2.0?")
    refused(publish(model, license="lama3.2"), "did you mean 'llama3.2'?")
    (model / "README.md").write_text(CARD.replace("tags:", "license: mit\ntags:"))
    well(publish(model, license=None))


def test_a_dry_run_sends_nothing_and_shows_files_and_card(hub, publish, model):
    said = well(publish(model, "--dry-run", token=""))
    assert "7 files" in said
    assert "training_args.bin" not in said
    assert "license: apache-2.0\nbase_model: lab/base" in said
    assert hub.ask("state")["arrived"] == []


@pytest.mark.parametrize("stage", ["/lfs/", "/commit/"])
def test_what_fails_on_the_way_leaves_the_repository_as_it_was(hub, publish, model, stage):
    well(publish(model))
    before = repo_of(hub)
    (model / "model.safetensors").write_bytes((model / "model.safetensors").read_bytes()[:-1] + b"\1")
    hub.fails("PUT" if stage == "/lfs/" else "POST", stage, times=-1, status=503)
    refused(publish(model), "nothing was published, lab/tutor is as it was")
    assert repo_of(hub) == before
    hub.ask("well")
    assert "published, revision" in well(publish(model))


def test_a_file_that_comes_back_changed_is_told(hub, publish, model):
    hub.fails("GET", "/resolve/.*/README.md", times=-1, corrupt=True)
    refused(publish(model), "README.md comes back from the Hub with another sha256")


def test_wrong_names(hub, publish, model, tmp_path, builds):
    refused(publish(tmp_path / "gek"), "no such folder; name one that preceptor train or merge wrote")
    refused(
        publish(model, repo="tutor"), "tutor: is no name of a model; expected OWNER/NAME, such as lab/tutor"
    )
    refused(publish(builds["edits"]), "is a dataset; preceptor publish")
    refused(publish(model, "--base", "lab/else"), "was made of lab/base; leave --base out")
    hub.made("models/lab/theirs", {"model.safetensors": b"x" * 20}, private=True)
    refused(publish(model, repo="lab/theirs"), "holds files that Preceptor did not publish")
