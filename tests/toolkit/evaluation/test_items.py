"""What an evaluation reads: its file, and held-out prompts of a built folder."""

import json
import shutil

import pytest
import yaml
from corrections import INSTRUCTION, build_corrections

from preceptor.schemas.errors import EvaluationError, RecipeError
from preceptor.toolkit.evaluation.config import EvaluationSettings, read_config
from preceptor.toolkit.evaluation.items import read_held_out


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    return build_corrections(tmp_path_factory.mktemp("built"))


def wanted(folder, **keys):
    return EvaluationSettings.model_validate(
        {"name": "e", "dataset_name": str(folder), "metrics": ["exact"], **keys}
    )


@pytest.mark.parametrize("format", ["conversational", "plain"])
def test_rows_of_a_prompt_are_its_references_and_the_instruction_is_taken_off(built, format):
    found = read_held_out(wanted(built / format))
    assert (len(found.items), found.of, found.name) == (20, 20, f"gec-{format}")
    for item in found.items:
        assert item.source.startswith("Sentence")
        assert item.source.endswith("in this room sees .")
        assert item.messages == ({"role": "user", "content": INSTRUCTION.format(prompt=item.source)},)
        assert sorted(item.references) == [item.source.replace("have", verb) for verb in ("had", "has")]
        assert item.rejected == ()
        assert item.language == "en"
    assert len({item.group for item in found.items}) == 20


def test_chosen_texts_are_references_with_the_rejected_beside_them(built):
    for item in read_held_out(wanted(built / "conversational", dataset_config="preference")).items:
        assert set(item.rejected) == {item.source}
        assert len(item.rejected) == len(item.references) == 2


def test_more_prompts_keep_those_drawn_before_and_a_seed_draws_others(built):
    few, more, others = (
        [item.key for item in read_held_out(wanted(built / "plain", prompts=n, seed=seed)).items]
        for n, seed in ((5, 0), (12, 0), (5, 1))
    )
    assert more[:5] == few
    assert set(others) != set(few)


@pytest.mark.parametrize(
    ("keys", "says"),
    [
        ({"split": "tests"}, "config sft has no split 'tests': did you mean 'test'?"),
        ({"split": "train"}, "has no split 'train': it has: test"),
        ({"dataset_name": "lab/gec"}, "--set dataset_revision=COMMIT"),
    ],
)
def test_what_is_not_there_is_said(built, keys, says):
    with pytest.raises(EvaluationError) as refused:
        read_held_out(wanted(built / "plain", **keys))
    assert says in str(refused.value)


def test_files_that_changed_since_the_build_are_refused(built, tmp_path):
    copy = shutil.copytree(built / "plain", tmp_path / "copy")
    shutil.copy(copy / "preference" / "test.parquet", copy / "sft" / "test.parquet")
    with pytest.raises(EvaluationError, match="changed since the build"):
        read_held_out(wanted(copy))
    manifest = json.loads((copy / "manifest.json").read_text())
    del manifest["counts"]["sft"]
    (copy / "manifest.json").write_text(json.dumps(manifest))
    with pytest.raises(EvaluationError, match="has no config sft, but preference"):
        read_held_out(wanted(copy))


GOOD = {"name": "e", "dataset_name": "d", "metrics": ["exact"], "variants": {"tiny": {"prompts": 2}}}


@pytest.mark.parametrize(
    ("keys", "says"),
    [
        ({"max_token": 3}, "unknown key 'max_token': did you mean 'max_tokens'?"),
        ({"metrics": ["exakt"]}, "no metric 'exakt': did you mean 'exact'?"),
        ({"metrics": []}, "'metrics'"),
        (
            {"variants": {"tiny": {"promts": 2}}},
            "variant tiny: unknown key 'promts': did you mean 'prompts'?",
        ),
        ({"prompts": 0}, "'prompts'"),
        ({"dataset_config": "soft"}, "'dataset_config'"),
    ],
)
def test_a_wrong_key_or_value_is_named_with_the_nearest(tmp_path, keys, says):
    path = tmp_path / "e.yaml"
    path.write_text(yaml.safe_dump(GOOD | keys))
    with pytest.raises(RecipeError) as refused:
        read_config(path)
    assert says in str(refused.value)
    assert str(path) in str(refused.value)


def test_set_stands_over_a_variant_over_the_file(tmp_path):
    path = tmp_path / "e.yaml"
    path.write_text(yaml.safe_dump(GOOD | {"prompts": 9, "seed": 4}))
    assert read_config(path).values.prompts == 9
    assert read_config(path, (), "tiny").values.prompts == 2
    config = read_config(path, ("prompts=null", "stop=[a, b]"), "tiny")
    assert (config.values.prompts, config.values.stop, config.values.seed) == (None, ["a", "b"], 4)
    with pytest.raises(RecipeError, match="has no variant 'small'; its variants: tiny"):
        read_config(path, (), "small")
