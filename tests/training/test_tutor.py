"""A small real model learns from real corrections: does it win pairs, and does it correct better?

It learns from short sentences alone, so that two cores do it in minutes: the row of docs/training.md whose recipe
is the shipped one.
"""

import json

import pytest
import yaml
from places import ROOT
from smollm2 import smollm2

WORDS = 15  # of the longest sentence
SEED = 0


def short_sentences(folder, to):
    """JFLEG's development files with the short sentences alone, line by line."""
    names = ["dev.src", *(f"dev.ref{n}" for n in range(4))]
    lines = zip(*((folder / name).read_text().splitlines() for name in names), strict=True)
    kept = [row for row in lines if len(row[0].split()) <= WORDS]
    to.mkdir()
    for name, column in zip(names, zip(*kept, strict=True), strict=True):
        (to / name).write_text("".join(f"{line}\n" for line in column))
    return [to / name for name in names]


def short_dataset(preceptor, shared_data, top):
    """Pairs of a correction over the learner's sentence, and examples; two fifths of sentences are held out."""
    files = short_sentences(shared_data / "jfleg" / "dev", top / "jfleg")
    recipe = yaml.safe_load((ROOT / "recipes" / "gec" / "dataset.yaml").read_text())
    recipe["corrections"]["rejected"] = ["learner"]
    recipe["clean"] = []  # as docs/training.md measured it
    recipe["splits"] = {"train": 0.5, "validation": 0.1, "test": 0.4, "seed": SEED, "shared": True}
    (top / "dataset.yaml").write_text(yaml.safe_dump(recipe))
    for command in (
        ["ingest", "parallel", *files, "--source", "jfleg"],
        ["build", top / "dataset.yaml", "--out", top / "dist", "--local"],
    ):
        done = preceptor("--store", top / "p.duckdb", *command)
        assert done.returncode == 0, done.stderr


@pytest.mark.slow
@pytest.mark.minutes
def test_a_small_tutor_wins_pairs_and_corrects_better_than_it_did(preceptor, shared_data, tmp_path):
    base = smollm2()
    short_dataset(preceptor, shared_data, tmp_path)

    def trained(stage, on, steps, size, rate, *more):
        sets = [
            f"model_name_or_path={on}",
            f"dataset_name={tmp_path}/dist",
            f"max_steps={steps}",
            f"seed={SEED}",
            f"per_device_train_batch_size={size}",
            f"learning_rate={rate}",
            "dtype=float32",
            "lr_scheduler_type=constant",
            "disable_tqdm=true",
            *more,
        ]
        done = preceptor(
            "train",
            ROOT / "recipes" / "gec" / f"{stage}.yaml",
            "--variant",
            "tiny",
            "--out",
            tmp_path / stage,
            *(part for one in sets for part in ("--set", one)),
        )
        assert done.returncode == 0, done.stderr

    trained("sft", base, 30, 4, 2e-4)
    done = preceptor("merge", tmp_path / "sft", "--out", tmp_path / "merged", "--dtype", "float32")
    assert done.returncode == 0, done.stderr
    trained(
        "dpo",
        tmp_path / "merged",
        24,
        2,
        1e-4,
        "eval_strategy=steps",
        "eval_steps=24",
        "per_device_eval_batch_size=8",
    )
    held_out = json.loads((tmp_path / "dpo" / "metrics.json").read_text())["evaluation"]
    accuracy = held_out["eval_rewards/accuracies"]
    done = preceptor(
        "evaluate",
        ROOT / "recipes" / "gec" / "evaluate.yaml",
        "--model",
        f"hf:{base}",
        "--model",
        f"hf:{tmp_path / 'dpo'}",
        "--out",
        tmp_path / "evaluation",
        *(
            part
            for one in (
                f"dataset_name={tmp_path}/dist",
                "prompts=100",
                "max_tokens=48",
                "metrics=[gleu, exact, changed]",
                f"seed={SEED}",
            )
            for part in ("--set", one)
        ),
    )
    assert done.returncode == 0, done.stderr
    found = json.loads((tmp_path / "evaluation" / "metrics.json").read_text())
    assert found["n"] == 100
    better = next(
        d for d in found["differences"] if d["figure"] == "gleu" and d["to"] != "copy" and "dpo@" in d["of"]
    )
    about = f"seed {SEED}, reward accuracy {accuracy:.3f} of 73 held-out pairs, GLEU of {found['n']} sentences:\n{done.stdout}"
    assert accuracy > 0.9, about
    assert better["value"] >= 0, about
