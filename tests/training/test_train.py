"""Training by TRL on a tiny model of random weights: what is learned, what is written, what is refused.

TRL takes ten seconds to import, so that all of it is called in this process.
"""

import dataclasses
import hashlib
import json
import os
import re
import shutil
import signal
import subprocess
import sys

import pytest
import yaml
from click.testing import CliRunner
from places import ROOT
from templated import WORDS, sentences, templated_dataset, templated_model
from waiting import run_to_end, wait_until

from preceptor.schemas.errors import TrainingError
from preceptor.toolkit.cli.main import cli
from preceptor.toolkit.hub.model_folder import pack, read_model_folder
from preceptor.training.config import read_config
from preceptor.training.data import load
from preceptor.training.keys import STAGES, list_keys
from preceptor.training.merge import merge
from preceptor.training.run import check_rows, find_last_checkpoint, train
from preceptor.training.trainer.watch import Watch


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A folder with `data` and `base`, the model to start from."""
    import datasets

    top = tmp_path_factory.mktemp("train")
    templated_dataset(top / "data")
    templated_model(top / "base")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(datasets.config, "HF_DATASETS_CACHE", str(top / "cache"))
        yield top


def recipe(place, stage, sets=(), **values):
    """A recipe for a run of a few seconds, read."""
    content = {
        "model_name_or_path": str(place / "base"),
        "dataset_name": str(place / "data"),
        "max_steps": 4,
        "per_device_train_batch_size": 4,
        "learning_rate": 1e-2,
        "logging_steps": 1,
        "save_strategy": "no",
        "report_to": "none",
        "disable_tqdm": True,
        "max_length": 128,
        "seed": 0,
        "env": {"preceptor": {"stage": stage}},
    } | values
    path = place / f"{stage}.yaml"
    path.write_text(yaml.safe_dump(content))
    return read_config(path, sets)


LORA = {"use_peft": True, "lora_r": 16, "lora_target_modules": ["all-linear"]}


@pytest.fixture(scope="module")
def tutor(place):
    """SFT of all weights, DPO of an adapter, merged: the three folders."""
    sft = train(recipe(place, "sft", max_steps=40, eval_strategy="steps", eval_steps=20), place / "sft")
    of = {
        "model_name_or_path": str(place / "sft"),
        "loss_type": ["sigmoid", "sft"],
        "loss_weights": [1.0, 1.0],
    }
    dpo = train(
        recipe(place, "dpo", max_steps=30, eval_strategy="steps", eval_steps=10, **LORA, **of), place / "dpo"
    )
    return {"sft": sft, "dpo": dpo, "merged": merge(place / "dpo", place / "merged")}


def test_sft_then_dpo_learns_and_the_merged_model_writes_what_was_chosen(place, tutor):
    from transformers import AutoModelForCausalLM, AutoTokenizer

    history = json.loads((place / "sft" / "metrics.json").read_text())["history"]
    losses = [row["loss"] for row in history if "loss" in row]
    assert losses[-1] < losses[0] / 5
    assert tutor["sft"].metrics["evaluation"]["eval_loss"] < losses[0] / 3
    assert tutor["dpo"].metrics["evaluation"]["eval_rewards/accuracies"] == 1.0
    for stage in ("sft", "dpo"):
        seen = {k.removeprefix("eval_") for k in tutor[stage].metrics["evaluation"] if k.startswith("eval_")}
        assert seen == set(STAGES[stage].figures.known) - {"aux_loss"}
    model = AutoModelForCausalLM.from_pretrained(tutor["merged"])
    tokenizer = AutoTokenizer.from_pretrained(tutor["merged"])
    for row in sentences("preference", WORDS[:2]):
        asked = tokenizer.apply_chat_template(
            row["prompt"], add_generation_prompt=True, return_tensors="pt", return_dict=True
        )
        said = model.generate(**asked, max_new_tokens=12, do_sample=False)[0][asked["input_ids"].shape[1] :]
        assert re.fullmatch(
            r"(he|she|it) goes \w+ \.", tokenizer.decode(said, skip_special_tokens=True).strip()
        )


def test_the_output_says_what_it_is_made_of(place, tutor):
    from huggingface_hub import ModelCard

    about = json.loads((place / "dpo" / "preceptor.json").read_text())
    digest = hashlib.sha256((place / "data" / "manifest.json").read_bytes()).hexdigest()
    assert about["dataset"] == {
        "name": "templated",
        "config": "preference",
        "repo": None,
        "revision": None,
        "digest": digest,
        "licenses": ["CC-BY-4.0"],
        "publishable": False,
        "rows": {"train": 27, "evaluation": 9},
    }
    assert about["recipe"]["text"] == (place / "dpo.yaml").read_text()
    assert (about["stage"], about["seed"], about["base"]["stage"]) == ("dpo", 0, "sft")
    assert {"trl", "torch", "peft", "transformers"} <= set(about["versions"])
    text = (place / "dpo" / "README.md").read_text()
    assert "# base after dpo on templated" in text
    card = ModelCard(text)
    assert card.data.library_name == "peft"
    assert digest in text
    assert "NOT FOR PUBLICATION" in text
    assert str(place) not in text
    assert (place / "dpo" / "curves.png").read_bytes().startswith(b"\x89PNG")
    held = {p.name for p in (place / "dpo").iterdir()}
    assert {"adapter_model.safetensors", "tokenizer.json", "metrics.json"} <= held
    assert not held & {"training_args.bin", "checkpoints", "ref"}
    assert {p.name for p in place.iterdir() if "unfinished" in p.name} == set()
    merged = (tutor["merged"] / "README.md").read_text()
    assert "A LoRA adapter merged into its model" in merged
    assert ModelCard(merged).data.library_name == "transformers"


def test_an_adapter_moved_with_its_model_is_of_use_and_without_it_says_what_is_missing(
    place, tutor, tmp_path
):
    moved = tmp_path / "moved"
    for name in ("sft", "dpo"):
        shutil.copytree(place / name, moved / name)
    config = moved / "dpo" / "adapter_config.json"
    config.write_text(config.read_text().replace(str(place), "/nowhere"))
    merged = merge(moved / "dpo", tmp_path / "merged")
    assert (merged / "model.safetensors").read_bytes() == (tutor["merged"] / "model.safetensors").read_bytes()
    (moved / "sft" / "preceptor.json").write_text("{}")
    with pytest.raises(TrainingError, match="moved/sft: is another model than"):
        merge(moved / "dpo", tmp_path / "again")
    shutil.rmtree(moved / "sft")
    with pytest.raises(TrainingError, match="in the folder sft, which is neither at /nowhere/sft nor beside"):
        merge(moved / "dpo", tmp_path / "again")


def test_what_training_writes_may_leave_this_machine(place, tutor, tmp_path):
    for model, base in (
        (tutor["merged"], "lab/base"),
        (place / "dpo", "lab/sft"),
        (place / "sft", "lab/base"),
    ):
        copy = tmp_path / model.name
        copy.mkdir()
        parcel = pack(read_model_folder(model, "apache-2.0", base), copy)
        assert {p.name for p in model.iterdir()} == set(parcel.files)
        assert f"base_model: {base}" in (copy / "README.md").read_text()
        assert not any(str(place).encode() in path.read_bytes() for path in copy.iterdir())
        assert "NOT FOR PUBLICATION" in parcel.keep_private


@pytest.mark.parametrize("stage", ["ipo", "kto", "soft-dpo", "conservative"])
def test_every_stage_trains(place, stage):
    out, more = place / f"a-{stage}", {}
    if stage == "conservative":
        stage, more = "soft-dpo", {"dataset_config": "preference", "label_smoothing": 0.1}
    done = train(recipe(place, stage, **LORA, **more), out)
    about = json.loads((done.out / "preceptor.json").read_text())
    table = {"ipo": "preference", "kto": "unpaired", "soft-dpo": "soft"}[stage]
    assert (about["metrics"]["steps"], about["dataset"]["config"]) == (4, more.get("dataset_config", table))
    history = json.loads((done.out / "metrics.json").read_text())["history"]
    chosen = [row["logps/chosen"] for row in history if "logps/chosen" in row]
    assert len(chosen) == 4
    assert chosen[0] != chosen[-1]


def test_what_cannot_be_trained_is_refused_before_a_model_is_loaded(place, tutor, tmp_path):
    def refused(match, config, out=None):
        with pytest.raises(TrainingError, match=match):
            train(config, out or tmp_path / "m")

    refused("exists; choose another --out", recipe(place, "dpo"), place / "sft")
    refused(
        f"is an adapter.*preceptor merge {place}/dpo", recipe(place, "dpo", model_name_or_path=f"{place}/dpo")
    )
    data = recipe(place, "dpo", model_name_or_path=f"{place}/data")
    refused("dpo.yaml: 'model_name_or_path': .*data is a dataset", data)
    with pytest.raises(TrainingError, match="is a dataset"):  # --preflight-only
        check_rows(data, load(data))
    refused("has no config signals, but preference, sft", recipe(place, "dpo", dataset_config="signals"))
    refused(
        "stage dpo needs chosen, rejected, but the columns are prompt, completion",
        recipe(place, "dpo", dataset_config="sft"),
    )
    refused(
        "needs p, but .* label_smoothing gives all rows the same",
        recipe(place, "soft-dpo", dataset_config="preference"),
    )
    refused("has no split tset", recipe(place, "sft", eval_strategy="epoch", dataset_test_split="tset"))
    refused("no such folder here.*dataset_revision=COMMIT", recipe(place, "sft", dataset_name="dist/nowhere"))
    refused("no such folder, though", recipe(place, "sft", model_name_or_path=f"{place}/sff"))
    refused("holds no manifest.json", recipe(place, "sft", dataset_name=str(place / "base")))
    refused(
        "'report_to': trackio is not installed: pip install trackio",
        recipe(place, "sft", report_to="trackio"),
    )
    refused("need a GPU", recipe(place, "sft", load_in_4bit=True, **LORA))
    changed = templated_dataset(tmp_path / "changed", ["sft"])
    rows = changed / "sft" / "train.parquet"
    rows.write_bytes(rows.read_bytes() + b"x")
    refused("train.parquet: changed since the build", recipe(place, "sft", dataset_name=str(changed)))
    odd = templated_dataset(tmp_path / "odd", ["soft"], lambda row: row | {"p": 1.5})
    refused("27 rows have no p from 0 to 1", recipe(place, "soft-dpo", dataset_name=str(odd)))
    with pytest.raises(TrainingError, match="is a whole model already"):
        merge(tutor["merged"], tmp_path / "again")
    assert {p.name for p in tmp_path.iterdir()} == {"changed", "odd"}


def test_rows_are_those_of_the_folder_and_not_of_an_earlier_build_of_its_name(place, tmp_path):
    for word in ("Mend", "Correct this"):
        again = lambda row, word=word: row | {"prompt": [row["prompt"][0] | {"content": word}]}  # noqa: E731
        built = templated_dataset(tmp_path / word / "data", ["sft"], again)
        rows = load(recipe(place, "sft", dataset_name=str(built))).train
        assert {row["prompt"][0]["content"] for row in rows} == {word}


def test_preflight_looks_at_the_rows_before_the_model_is_loaded(place, tmp_path):
    dead = templated_dataset(tmp_path / "dead", ["preference"], lambda row: row | {"rejected": row["chosen"]})
    said = []
    config = recipe(place, "dpo", dataset_name=str(dead), **LORA)
    with pytest.raises(TrainingError, match="not trained, for dead_pairs: 27 of 27 pairs"):
        train(config, tmp_path / "m", say=said.append)
    assert "REFUSED dead_pairs (train)" in said[0]
    shown = CliRunner().invoke(cli, ["train", str(config.path), "--preflight-only"])
    assert shown.exit_code == 1
    assert "REFUSED dead_pairs (train)" in shown.output
    done = train(read_config(config.path, ["allow=[dead_pairs]", "max_steps=1"]), tmp_path / "m")
    seen = json.loads((done.out / "preceptor.json").read_text())["preflight"]
    assert (seen["splits"][0]["rows"], [d["kind"] for d in seen["warnings"]]) == (27, ["dead_pairs"])
    shown = CliRunner().invoke(
        cli, ["train", str(config.path), "--preflight-only", "--set", f"dataset_name={place}/data"]
    )
    assert shown.exit_code == 0
    assert "4 steps (7 an epoch)" in shown.output


def test_without_a_terminal_a_run_says_lines_and_shows_no_bars(place, tmp_path, capfd):
    config = recipe(place, "sft", max_steps=2, eval_strategy="epoch", num_train_epochs=1, **LORA)
    said = []
    train(config, tmp_path / "m", say=said.append)
    merge(tmp_path / "m", tmp_path / "whole")
    assert [re.sub(r"[0-9.e-]+(?=,|$)", "#", line) for line in said[1:]] == [
        "step 1 of 2: loss #, learning rate #",
        "step 2 of 2: loss #, learning rate #",
        "step 2 of 2: held-out loss #",
    ]
    shown = "".join(capfd.readouterr())
    assert "%|" not in shown
    assert "Generating" not in shown
    assert "{'" not in shown
    assert "deprecated" not in shown


def test_a_run_that_unlearns_to_write_is_told():
    """The figures of a real run: reward accuracy 1 while chosen completions went from -23 to -41."""
    watch = Watch(0.25)
    said = [
        watch.see(
            {"logps/chosen": -23 - down, "rewards/chosen": -0.1 * down, "rewards/accuracies": accuracy},
            0.1,
            n,
        )
        for n, (down, accuracy) in enumerate([(0, 0.0), (2, 0.7), (5, 0.9), (12, 1.0), (18, 1.0), (18, 1.0)])
    ]
    assert [s is not None for s in said] == [False, False, False, True, False, False]
    assert "step 3: chosen completions have lost 28%" in said[3]
    assert watch.warnings == [said[3]]
    hide_library_messages = Watch(0.25)
    for n in range(6):  # rises, as with the sft loss added
        hide_library_messages.see(
            {"logps/chosen": -23 + n, "rewards/chosen": 0.1 * n, "rewards/accuracies": n / 5}, 0.1, n
        )
    assert hide_library_messages.warnings == []


def test_a_warning_reaches_the_output(place):
    away = recipe(
        place, "dpo", sets=["chosen_fall=1e-9"], loss_type="sppo_hard", learning_rate=0.5, max_steps=6
    )
    done = train(away, place / "away")
    assert len(done.warnings) == 1
    assert json.loads((done.out / "metrics.json").read_text())["warnings"] == done.warnings
    assert "**Warning.**" in (done.out / "README.md").read_text()


def test_keys_are_those_of_the_installed_dataclasses():
    import trl

    for stage in STAGES:
        of = [trl.ModelConfig, trl.ScriptArguments, getattr(trl, STAGES[stage].config_name)]
        assert set(list_keys(stage)) == {f.name for kind in of for f in dataclasses.fields(kind) if f.init}


def test_plain_trl_takes_the_shipped_recipes(monkeypatch):
    import trl

    monkeypatch.setattr(os, "environ", dict(os.environ))
    for path in sorted(p for p in (ROOT / "recipes").glob("*/*.yaml") if p.stem in STAGES):
        kind = getattr(trl, STAGES[path.stem].config_name)
        parser = trl.TrlParser((trl.ScriptArguments, kind, trl.ModelConfig))
        script, arguments, model = parser.parse_args_and_config(["--config", str(path), "--use_cpu"])
        config = read_config(path)
        assert script.dataset_config == config.values["dataset_config"]
        assert arguments.learning_rate == config.values["learning_rate"]
        assert model.use_peft == config.values.get("use_peft", False)


def test_only_a_whole_checkpoint_counts(tmp_path):
    assert find_last_checkpoint(tmp_path) is None
    for step, state in (("5", "{}"), ("10", "{}"), ("15", '{"global')):
        (tmp_path / f"checkpoint-{step}").mkdir()
        (tmp_path / f"checkpoint-{step}" / "trainer_state.json").write_text(state)
    (tmp_path / "checkpoint-20").mkdir()
    assert find_last_checkpoint(tmp_path) == tmp_path / "checkpoint-10"


READ = """
import json, sys
from pathlib import Path
from preceptor.training.config import read_config
from preceptor.training.data import load
for sets in json.loads(sys.argv[2]):
    try:
        print("found", json.dumps(load(read_config(Path(sys.argv[1]), sets)).describe()))
    except Exception as error:
        print("found", json.dumps(str(error)))
"""


def test_a_dataset_of_the_hub_is_pinned_to_a_commit(hub, client, builds, tmp_path):
    """What was published comes with its commit and the digest of its build; others with that of their rows."""
    assert client("publish", builds["edits"], hub.repo_name).code == 0
    hub.made(
        "acme/pairs",
        {
            "README.md": b"---\nlicense: mit\n---\n",
            "train.jsonl": json.dumps({"prompt": "a", "completion": "b"}).encode(),
        },
    )
    path = tmp_path / "r.yaml"
    path.write_text("stage: sft\nmodel_name_or_path: m\ndataset_name: lab/tiny\ndataset_revision: main\n")
    sets = [[], ["dataset_name=acme/pairs", "dataset_config=default"], ["dataset_revision=nosuch"]]
    done = run_to_end(
        [sys.executable, "-c", READ, path, json.dumps(sets)],
        env=hub.environment(tmp_path / "home", HF_TOKEN="hf_alice"),
        check=True,
    )
    lines = [line.removeprefix("found ") for line in done.stdout.splitlines() if line.startswith("found ")]
    published, other, missing = map(json.loads, lines)
    digest = hub.repo()["files"]["manifest.json"]  # it names the repository, as its card does
    assert (published["repo"], published["digest"]) == ("lab/tiny", digest)
    assert published["licenses"] == ["CC-BY-4.0"]
    assert published["publishable"]
    assert re.fullmatch("[0-9a-f]{40}", published["revision"])
    assert published["rows"]["train"] > 0
    assert (other["rows"]["train"], other["licenses"], len(other["digest"])) == (1, ["mit"], 64)
    assert "lab/tiny: cannot be had from the Hub at nosuch" in missing


@pytest.mark.slow
def test_a_killed_run_goes_on_and_ends_with_the_same_weights(place, tmp_path):
    from safetensors.torch import load_file

    values = LORA | {"lora_dropout": 0.1, "max_steps": 60, "save_strategy": "steps", "save_steps": 3}
    whole = train(recipe(place, "dpo", **values), tmp_path / "whole")
    path = place / "dpo.yaml"
    command = [
        sys.executable,
        "-m",
        "preceptor.toolkit.cli.main",
        "train",
        path,
        "--out",
        tmp_path / "broken",
    ]
    log, checkpoints = tmp_path / "log", tmp_path / ".broken.unfinished" / "checkpoints"
    with log.open("wb") as said:
        process = subprocess.Popen([str(a) for a in command], stdout=said, stderr=said)
        wait_until(lambda: find_last_checkpoint(checkpoints), process, log)
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
    assert not (tmp_path / "broken").exists()
    with pytest.raises(TrainingError, match=r"unfinished run of other settings or data \(seed 0, now 1\)"):
        train(read_config(path, ["seed=1"]), tmp_path / "broken")
    said = []
    done = train(read_config(path), tmp_path / "broken", say=said.append)
    assert said[1] == f"going on from step {done.resumed_from}"
    assert 3 <= done.resumed_from < 60
    one, other = (load_file(folder / "adapter_model.safetensors") for folder in (whole.out, done.out))
    assert all((one[name] == other[name]).all() for name in one)
    assert one.keys() == other.keys()


def test_checkpoints_to_keep_outlive_a_kill_while_the_folder_is_finished(place, tmp_path, monkeypatch):
    kept = {"env": {"preceptor": {"stage": "sft", "keep_checkpoints": True}}}
    config = recipe(place, "sft", **LORA, **kept, save_strategy="steps", save_steps=2)

    def killed(work, *_):
        (work / "checkpoints").rename(work / "model" / "checkpoints")
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("preceptor.training.run._finish", killed)
        with pytest.raises(KeyboardInterrupt):
            train(config, tmp_path / "out")
    done = train(config, tmp_path / "out")
    assert done.resumed_from == 2  # from 4, the last, transformers would make a fifth
    assert done.metrics["steps"] == 4
    assert (done.out / "checkpoints" / "checkpoint-4" / "trainer_state.json").is_file()


def test_of_two_merges_the_slower_one_leaves_what_the_other_wrote(place, tutor, tmp_path, monkeypatch):
    def faster(_):
        (tmp_path / "out").mkdir()
        (tmp_path / "out" / "model.safetensors").write_text("theirs")

    monkeypatch.setattr("preceptor.training.merge._card", faster)
    with pytest.raises(TrainingError, match="out: exists by now; choose another --out"):
        merge(tutor["dpo"].out, tmp_path / "out")
    assert [path.name for path in tmp_path.rglob("*")] == ["out", "model.safetensors"]
