"""Every shipped training recipe on rows laid out by its own dataset recipe: checked, and each stage run."""

import json
from pathlib import Path

import pytest
from places import ROOT
from smollm2 import smollm2
from tiny_model import tiny_model

from preceptor.schemas.licenses import read_license
from preceptor.schemas.recipe import Recipe, read_recipe
from preceptor.toolkit.dataset.build import build
from preceptor.toolkit.ingest.batch import Context
from preceptor.toolkit.ingest.formats import FORMATS
from preceptor.toolkit.ingest.run import Origin, find_inputs, ingest
from preceptor.toolkit.store.connection import open_store
from preceptor.training.config import read_config
from preceptor.training.data import load
from preceptor.training.run import check_rows, train
from preceptor.training.stages.registry import STAGES

FILES = sorted(p for p in (ROOT / "recipes").glob("*/*.yaml") if p.stem in STAGES and p.parent.name != "gec")
MADE_BY = {"dist/gsm8k": "socratic/gsm8k.yaml"}  # else NAME/dataset.yaml


@pytest.fixture(scope="module")
def dist(tmp_path_factory):
    """A function: name of a recipe's dataset -> a folder built by its dataset recipe, of made-up solutions.

    What chooses pairs is the one thing replaced: it needs judgements or a fit, which other tests have.
    """
    top = tmp_path_factory.mktemp("recipes")
    problems = [
        {
            "question": f"What is {k} + {k}?",
            "ground_truth": f"It is {2 * k}, since {k} is doubled.\n#### {2 * k}",
            "6b": {"is_correct": True, "solution": f"Twice {k} is {2 * k}."},
            "175b": {"is_correct": False, "solution": f"I say {k}."},
        }
        for k in range(60)
    ]
    (top / "p.jsonl").write_text("\n".join(map(json.dumps, problems)) + "\n")
    with open_store(top / "s.duckdb", create=True) as con:
        inputs = find_inputs(FORMATS["gsm8k"], [top / "p.jsonl"])
        ingest(con, FORMATS["gsm8k"], inputs, Context("gsm"), Origin(read_license("MIT")))

        def built(name):
            out = top / Path(name).name
            if not out.exists():
                recipe = read_recipe(ROOT / "recipes" / MADE_BY.get(name, f"{out.name}/dataset.yaml"))
                configs = [config for config in recipe.configs if config != "soft"]  # of a fit
                kept = recipe.model_dump(
                    include={"name", "format", "instruction", "splits"}, exclude_none=True
                )
                build(
                    con,
                    Recipe.model_validate(
                        kept | {"configs": configs, "pairs": {"policy": "right-over-wrong"}}
                    ),
                    out,
                )
            return out

        yield built


def named(path):
    return f"{path.parent.name}-{path.stem}"


@pytest.mark.parametrize("path", FILES, ids=named)
def test_the_rows_of_its_dataset_suit_the_recipe(path, dist):
    """Columns, chat template and lengths, by the tokenizer of a real model."""
    wanted = read_config(path).values["dataset_name"]
    sets = [f"model_name_or_path={smollm2()}", f"dataset_name={dist(wanted)}"]
    for variant in (None, "tiny"):
        config = read_config(path, sets, variant)
        if config.values.get("chat_template_path"):  # a base model's, of a model that cannot be had here
            config = read_config(path, [*sets, f"chat_template_path={smollm2()}"], variant)
        loaded = load(config)
        report = check_rows(config, loaded)
        assert {d.kind for d in report.refusals} <= {"packages"}, variant  # bitsandbytes, which few CPUs have
        train_rows = report.splits[0]
        assert train_rows.kept == train_rows.rows > 10
        assert 0 < train_rows.loss_tokens < train_rows.tokens
        assert (loaded.evaluation is not None) == (variant is None)
        assert report.size is not None


@pytest.fixture(scope="module")
def base(tmp_path_factory):
    return tiny_model(tmp_path_factory.mktemp("base"))


@pytest.mark.slow
@pytest.mark.parametrize("name", ["spock/sft", "spock/dpo", "spock/ipo", "spock/kto", "study-plan/sft"])
def test_the_tiny_variant_runs(name, dist, base, tmp_path):
    path = ROOT / "recipes" / f"{name}.yaml"
    wanted = read_config(path).values["dataset_name"]
    sets = [f"model_name_or_path={base}", f"dataset_name={dist(wanted)}", "max_steps=2", "disable_tqdm=true"]
    done = train(read_config(path, sets, "tiny"), tmp_path / "m")
    assert done.metrics["steps"] == 2
    assert (done.out / "adapter_model.safetensors").is_file()


@pytest.mark.slow
def test_the_recipe_itself_evaluates_and_keeps_the_best(dist, base, tmp_path):
    """Not the tiny variant: what a GPU would run, in two steps of a tiny model."""
    path = ROOT / "recipes" / "mnemonic" / "dpo.yaml"
    sets = [
        f"model_name_or_path={base}",
        f"dataset_name={dist('dist/mnemonic')}",
        "max_steps=2",
        "bf16=false",
        "dtype=float32",
        "gradient_checkpointing=false",
        "eval_strategy=steps",
        "eval_steps=1",
        "save_strategy=steps",
        "save_steps=1",
        "use_cpu=true",
        "disable_tqdm=true",
    ]
    done = train(read_config(path, sets), tmp_path / "m")
    assert 0 <= done.metrics["evaluation"]["eval_rewards/accuracies"] <= 1
