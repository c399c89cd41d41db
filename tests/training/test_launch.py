"""Several processes: the packaged accelerate configs, how they are launched, and two processes on a CPU."""

import dataclasses
import importlib.util
import json
import os
import signal
import subprocess
import sys

import pytest
import templated
import yaml
from click.testing import CliRunner
from places import ROOT
from templated import templated_dataset, templated_model
from waiting import run_to_end, wait_for_end, wait_until

from preceptor.schemas.errors import TrainingError
from preceptor.toolkit.cli.main import cli
from preceptor.training.config import read_config
from preceptor.training.launch import CONFIGS, build_launch_command, run_launched
from preceptor.training.run import find_last_checkpoint, train

NAMES = sorted(path.stem for path in CONFIGS.glob("*.yaml"))


def unknown_keys(text):
    """Keys of an accelerate config that the installed accelerate does not know, at any depth."""
    from accelerate.commands.config.config_args import ClusterConfig
    from accelerate.commands.launch import launch_command_parser

    content = yaml.safe_load(text)
    found = set(content) - {field.name for field in dataclasses.fields(ClusterConfig)}
    options = {a.dest for a in launch_command_parser()._actions}
    for part in ("fsdp_config", "deepspeed_config"):  # accelerate takes any key of these without a word
        found |= set(content.get(part, {})) - options
    return found


@pytest.mark.parametrize("name", NAMES)
def test_the_packaged_configs_hold_keys_that_accelerate_knows(name):
    text = (CONFIGS / f"{name}.yaml").read_text()
    assert unknown_keys(text) == set()
    for line in (line for line in text.splitlines() if ":" in line and not line.startswith("#")):
        key = line.split(":")[0].strip()
        assert unknown_keys(text.replace(line, line.replace(key, key + "s", 1)))
    assert f"accelerate launch --config_file training/accelerate/{name}.yaml" in text
    assert f"--launch {name}" in text


def test_the_configs_mean_what_they_say():
    from accelerate.commands.launch import _validate_launch_command, launch_command_parser

    def meant(name, *more):
        given = build_launch_command(name, 4, more, ["train", "r.yaml"])
        return _validate_launch_command(launch_command_parser().parse_args(given))[0]

    assert meant("ddp").multi_gpu
    for name in ("fsdp", "nodes"):
        got = meant(name)
        assert (got.use_fsdp, got.fsdp_version, got.fsdp_state_dict_type) == (True, 2, "FULL_STATE_DICT")
    got = meant("zero3")
    assert (got.use_deepspeed, got.zero_stage, got.zero3_save_16bit_model) == (True, 3, True)
    assert got.gradient_accumulation_steps is None  # the recipe's
    got = meant("nodes", "machine_rank=1", "main-process-ip=10.0.0.1", "debug=true")
    assert (got.machine_rank, got.main_process_ip, got.num_machines, got.debug) == (1, "10.0.0.1", 2, True)
    assert (got.num_processes, got.training_script_args) == (4, ["train", "r.yaml"])
    assert {meant(name).mixed_precision for name in NAMES} == {"no"}  # the recipe's too


def test_what_cannot_be_launched_is_said_before_processes_start(tmp_path):
    with pytest.raises(TrainingError, match="--launch fspd: did you mean fsdp"):
        build_launch_command("fspd", 2, [], [])
    with pytest.raises(TrainingError, match="no option 'machin_rank': did you mean 'machine_rank'"):
        build_launch_command("nodes", 2, ["machin_rank=1"], [])
    with pytest.raises(TrainingError, match="expected option=value"):
        build_launch_command("nodes", 2, ["machine_rank"], [])
    if importlib.util.find_spec("deepspeed") is None:
        with pytest.raises(TrainingError, match="needs DeepSpeed: pip install deepspeed"):
            run_launched(build_launch_command("zero3", 2, [], []))
    own = tmp_path / "own.yaml"
    own.write_text("distributed_type: MULTI_GPU\nnum_processes: 2\n")
    assert build_launch_command(str(own), 3, [], ["x"])[:4] == [
        "--config_file",
        str(own),
        "--num_processes",
        "3",
    ]
    run = tmp_path / "r.yaml"
    run.write_text("stage: sft\nmodel_name_or_path: m\ndataset_name: d\n")
    done = CliRunner().invoke(cli, ["train", str(run), "--processes", "2"])
    assert done.exit_code == 2
    assert "go with --launch" in done.output


def test_steps_are_counted_for_all_processes(tmp_path):
    path = recipe(tmp_path, "sft", max_steps=-1, num_train_epochs=2)
    shown = CliRunner().invoke(cli, ["train", str(path), "--preflight-only"])
    assert "28 steps (14 an epoch)" in shown.output
    shown = CliRunner().invoke(cli, ["train", str(path), "--preflight-only", "--processes", "2"])
    assert "14 steps (7 an epoch)" in shown.output


def recipe(place, stage, **values):
    """A recipe of a tiny model and 27 rows in `place`, on the CPU."""
    if not (place / "data").exists():
        templated_dataset(place / "data")
        templated_model(place / "base")
    content = {
        "model_name_or_path": str(place / "base"),
        "dataset_name": str(place / "data"),
        "max_steps": 6,
        "per_device_train_batch_size": 2,
        "learning_rate": 1e-2,
        "logging_steps": 1,
        "save_strategy": "no",
        "report_to": "none",
        "disable_tqdm": True,
        "max_length": 128,
        "seed": 0,
        "use_cpu": True,
        "bf16": False,
        "gradient_checkpointing": False,
        "env": {"preceptor": {"stage": stage}},
    } | values
    path = place / f"{stage}.yaml"
    path.write_text(yaml.safe_dump(content))
    return path


def command(*arguments):
    return [sys.executable, "-m", "preceptor.toolkit.cli.main", "train", *map(str, arguments)]


def losses(out):
    rows = json.loads((out / "metrics.json").read_text())["history"]
    return [row["loss"] for row in rows if "loss" in row]


def apart(one, other):
    """The largest difference of any weight of two models."""
    from safetensors.torch import load_file

    (a, b) = (load_file(next(folder.glob("*.safetensors"))) for folder in (one, other))
    assert a.keys() == b.keys()
    return max((a[name].float() - b[name].float()).abs().max().item() for name in a)


@pytest.mark.minutes
def test_two_processes_are_one_with_twice_the_accumulation(tmp_path, monkeypatch):
    """One folder, the same losses and weights, messages once; ended on the way, it goes on to the same end."""
    monkeypatch.setattr(templated, "WORDS", templated.WORDS[1:])  # 24 rows, an even number of batches
    path = recipe(tmp_path, "sft", max_steps=60, save_strategy="steps", save_steps=10)
    one = train(
        read_config(path, ["gradient_accumulation_steps=2", "save_strategy=no"]), tmp_path / "one"
    ).out
    two, launched = (
        tmp_path / "two",
        command(path, "--out", tmp_path / "two", "--launch", "ddp", "--processes", 2),
    )
    log, checkpoints = tmp_path / "log", tmp_path / ".two.unfinished" / "checkpoints"
    with log.open("wb") as said:
        process = subprocess.Popen(launched, stdout=said, stderr=said)
        wait_until(lambda: find_last_checkpoint(checkpoints), process, log, every=0.005)
        process.send_signal(signal.SIGTERM)
        assert wait_for_end(process, log) == 128 + signal.SIGTERM, log.read_text()
    assert not two.exists()
    done = run_to_end(launched, check=True)
    assert done.stderr.count("went on from step") == 1
    assert done.stderr.count("60 steps (6 an epoch)") == 1
    assert done.stdout.count("written to") == 1
    assert {p.name for p in tmp_path.iterdir()} == {"data", "base", "sft.yaml", "one", "two", "log"}
    assert losses(two) == pytest.approx(losses(one), rel=1e-4)
    assert apart(one, two) < 1e-5
    again = run_to_end(launched)
    assert again.returncode == 2
    assert again.stderr.count("exists; choose another --out") == 1


@pytest.mark.minutes
def test_weights_that_processes_share_are_saved_whole(tmp_path):
    """FSDP with a config that keeps shards: what is saved is what a run of one process saves."""
    path = recipe(tmp_path, "dpo", max_steps=4, loss_type=["sigmoid", "sft"])
    one = train(read_config(path, ["gradient_accumulation_steps=2"]), tmp_path / "one").out
    config = tmp_path / "sharded.yaml"
    config.write_text((CONFIGS / "fsdp.yaml").read_text().replace("FULL_STATE_DICT", "SHARDED_STATE_DICT"))
    launch = [
        sys.executable,
        "-m",
        "accelerate.commands.launch",
        "--config_file",
        config,
        "--num_processes",
        "2",
        ROOT / "tests" / "support" / "models" / "fsdp_on_cpu.py",
    ]
    done = run_to_end(
        [
            *map(str, launch),
            "train",
            str(path),
            "--out",
            str(tmp_path / "two"),
            "--set",
            "save_strategy=steps",
            "--set",
            "save_steps=2",
            "--set",
            "keep_checkpoints=true",
        ],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(p for p in sys.path if p)},
    )
    assert done.returncode == 0, done.stderr[-3000:]
    assert any((tmp_path / "two" / "checkpoints" / "checkpoint-4").glob("pytorch_model_fsdp_0"))  # of shards
    assert losses(tmp_path / "two") == pytest.approx(losses(one), rel=1e-3)
    assert apart(one, tmp_path / "two") < 1e-4
