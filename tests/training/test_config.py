"""Training recipes: those that are shipped, and what a misspelt one says."""

import pytest
import yaml
from places import ROOT

from preceptor.schemas.errors import RecipeError
from preceptor.schemas.recipe import read_recipe
from preceptor.training.config import read_config
from preceptor.training.stages.registry import STAGES

RECIPES = sorted(p for p in (ROOT / "recipes").glob("*/*.yaml") if p.stem in STAGES)
GOOD = "stage: dpo\nmodel_name_or_path: m\ndataset_name: d\n"


def test_every_seed_has_its_recipes():
    found = {f"{p.parent.name}/{p.stem}" for p in RECIPES}
    seeds = ("mnemonic", "spock", "socratic", "study-plan", "gec")
    assert found >= {f"{seed}/{stage}" for seed in seeds for stage in ("sft", "dpo")} | {
        "spock/ipo",
        "spock/kto",
    }


@pytest.mark.parametrize("path", RECIPES, ids=lambda p: f"{p.parent.name}-{p.stem}")
def test_shipped_recipes_are_valid_and_start_with_their_command(path):
    config, tiny = read_config(path), read_config(path, variant="tiny")
    name = f"recipes/{path.parent.name}/{path.name}"
    first, *rest = path.read_text(encoding="utf-8").splitlines()
    assert first.startswith(f"# preceptor train {name} --out models/")
    assert any(
        line.endswith(f"trl {'dpo' if path.stem == 'ipo' else path.stem} --config {name}") for line in rest
    )
    assert config.stage == path.stem
    assert config.values["model_name_or_path"] != tiny.values["model_name_or_path"]
    assert tiny.values["max_steps"] <= 10
    assert not tiny.values.get("load_in_4bit")
    assert tiny.values["dataset_name"] == config.values["dataset_name"]
    written = config.values["dataset_name"].removeprefix("dist/")
    (built,) = [
        p
        for p in (ROOT / "recipes").glob("*/*.yaml")
        if p.read_text().startswith("# preceptor build")
        and p.read_text().split("\n")[0].endswith(f"--out dist/{written}")
    ]
    assert config.values["dataset_config"] in read_recipe(built).configs


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (GOOD + "learning_rat: 1", "unknown key 'learning_rat': did you mean 'learning_rate'"),
        (GOOD + "torch_dtype: float32", "unknown key 'torch_dtype': it is now dtype"),
        (GOOD + "max_prompt_length: 5", "it is now max_length, which counts prompt and completion"),
        (GOOD + "packing: true", "'packing' is a key of the stages sft, not of dpo"),
        (GOOD + "learning_rate: fast", "'learning_rate': should be float, not 'fast'"),
        (GOOD + "lora_r: 1.5", "'lora_r': should be int, not 1.5"),
        (
            GOOD + "variants: {tiny: {max_step: 3}}",
            "variant tiny: unknown key 'max_step': did you mean 'max_steps'",
        ),
        (GOOD + "variants: [tiny]", "'variants': "),
        (
            GOOD + "env: {preceptor: {chosen_fal: 1}}",
            "'env.preceptor.chosen_fal': did you mean 'chosen_fall'",
        ),
        (GOOD + "env: {preceptor: {stage: sft}}", "'stage' stands at the top and under env.preceptor"),
        (GOOD + "chosen_fall: 0", "'chosen_fall': should be above 0"),
        (GOOD + "label_smoothing: 0.1", "TRL ignores it for the loss sigmoid; .* stage: soft-dpo"),
        (GOOD + "hub_token: t", "'hub_token': the recipe is copied into every output"),
        (GOOD + "env: {WANDB_API_KEY: k}", "'env.WANDB_API_KEY': .* set it in your shell"),
        (GOOD + "push_to_hub: true", "'push_to_hub': a folder is published when it is whole"),
        (GOOD.replace("dpo", "ipo") + "loss_type: sigmoid", "stage ipo has the loss ipo"),
        (GOOD.replace("dpo", "soft-dpo") + "loss_type: [ipo]", "soft labels go with sigmoid"),
        (GOOD.replace("dpo", "ddpo"), "no stage 'ddpo': did you mean 'dpo'"),
        (GOOD.replace("stage", "stag"), "'stage' is missing; did you mean 'stag'"),
        ("stage: sft\ndataset_name: d", "'model_name_or_path' is missing"),
        ("stage: sft\nmodel_name_or_path: m", "'dataset_name' is missing"),
        (
            GOOD + "metric_for_best_model: eval_rewards/acuracies",
            "stage dpo has no figure 'eval_rewards/acuracies': did you mean 'eval_rewards/accuracies'",
        ),
        (
            GOOD.replace("dpo", "kto") + "metric_for_best_model: rewards/accuracies",
            "stage kto has no figure",
        ),
        ("stage: [", "not YAML"),
        (
            "metrics: [gleu]\ndataset_name: d",
            "is an evaluation's file, which preceptor evaluate reads; name a training recipe",
        ),
        (
            "name: gec\nconfigs: [sft]",
            "is a dataset's recipe, which preceptor build reads; name a training recipe",
        ),
        ("- a", "expected keys and values"),
    ],
)
def test_a_wrong_recipe_names_file_key_and_remedy(tmp_path, text, expected):
    path = tmp_path / "r.yaml"
    path.write_text(text)
    with pytest.raises(RecipeError, match=expected) as error:
        read_config(path)
    assert "r.yaml" in str(error.value)


def test_values_come_from_recipe_variant_and_set_in_this_order(tmp_path):
    path = tmp_path / "r.yaml"
    path.write_text(
        GOOD + "lora_r: 1\nmax_steps: 1\nlearning_rate: 1e-6\nvariants: {tiny: {lora_r: 2, max_steps: 2}}"
    )
    config = read_config(path, ["max_steps=3", "stage=ipo", "lora_target_modules=all-linear"], "tiny")
    assert (config.stage, config.variant) == ("ipo", "tiny")
    assert config.values == {
        "model_name_or_path": "m",
        "dataset_name": "d",
        "lora_r": 2,
        "max_steps": 3,
        "learning_rate": 1e-6,
        "lora_target_modules": ["all-linear"],
        "loss_type": ["ipo"],
    }
    assert read_config(path).values["lora_r"] == 1
    assert read_config(path, ["save_strategy=no"]).values["save_strategy"] == "no"  # to YAML it is false
    with pytest.raises(RecipeError, match="unknown key 'lorar': did you mean 'lora_r'"):
        read_config(path, ["lorar=3"])
    with pytest.raises(RecipeError, match="expected key=value"):
        read_config(path, ["lora_r"])
    with pytest.raises(RecipeError, match="has no variant 'tny'; its variants: tiny"):
        read_config(path, variant="tny")
    path.write_text(GOOD + "loss_type: [sigmoid, sft]\nmax_length: 64")
    with pytest.raises(RecipeError, match=r"not \['sigmoid', 'sft'\]; leave it out \(--set loss_type=\)"):
        read_config(path, ["stage=ipo"])
    without = read_config(path, ["stage=ipo", "loss_type=", "max_length=null"])
    assert (without.values["loss_type"], without.values["max_length"]) == (["ipo"], None)
    with pytest.raises(RecipeError, match="leaves out a key that is not there: did you mean 'loss_type'"):
        read_config(path, ["loss_typ="])


def test_ours_stand_where_plain_trl_takes_them_for_the_environment(tmp_path):
    path = tmp_path / "r.yaml"
    ours = {"stage": "sft", "chosen_fall": 0.5, "dataset_revision": "v1", "keep_checkpoints": True}
    content = {
        "model_name_or_path": "m",
        "dataset_name": "d",
        "env": {"WANDB_PROJECT": "p", "preceptor": ours},
    }
    path.write_text(yaml.safe_dump(content))
    config = read_config(path)
    assert config.environment == {"WANDB_PROJECT": "p"}
    assert (config.stage, config.chosen_fall, config.dataset_revision, config.keep_checkpoints) == tuple(
        ours.values()
    )
