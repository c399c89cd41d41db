"""The stages' records: each file is registered, and what a record names exists."""

import importlib.util

import pytest
from places import ROOT

from preceptor.training.keys import list_keys
from preceptor.training.stages.registry import _FILES, STAGES

SHARED = {"figures", "registry", "settings", "stage"}


def test_every_file_of_a_stage_is_registered():
    files = {path.stem for path in (ROOT / "training" / "stages").glob("[a-z]*.py")}
    assert files - SHARED == set(_FILES)
    assert [name.replace("-", "_") for name in STAGES] == list(_FILES)


@pytest.mark.parametrize("stage", STAGES.values(), ids=STAGES)
def test_what_a_record_names_exists(stage):
    keys = list_keys(stage.name)
    assert set(stage.settles) <= set(keys)
    assert stage.honours <= set(keys)
    assert set(stage.own) <= set(stage.columns)
    assert stage.label in (None, *stage.own)
    assert stage.instead_of_own in (None, *STAGES)
    module, _, name = stage.trainer.partition(":")
    assert name
    assert importlib.util.find_spec(module) is not None
