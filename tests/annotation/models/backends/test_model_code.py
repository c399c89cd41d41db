"""Code in a model's folder runs with --trust-remote-code alone, whatever its files say and whatever is typed."""

import builtins

import pytest

from preceptor.annotation.models.backends.hf import find_model, load_model
from preceptor.schemas.errors import AnnotationError
from preceptor.tests.support.models.coded_model import coded_model


@pytest.fixture
def typed(monkeypatch):
    """Questions asked at the terminal; each is answered with y."""
    asked = []

    def answer(question=""):
        asked.append(question)
        return "y"

    monkeypatch.setattr(builtins, "input", answer)
    return asked


@pytest.mark.parametrize("which", ["model", "tokenizer"])
def test_code_of_a_model_does_not_run(tmp_path, monkeypatch, typed, which):
    monkeypatch.setenv("HF_MODULES_CACHE", str(tmp_path / "modules"))
    ran = tmp_path / "ran"
    folder = coded_model(tmp_path / f"a-{which}", ran, which)
    place = find_model(str(folder))
    with pytest.raises(AnnotationError, match="--trust-remote-code"):
        load_model(place)
    assert not ran.exists()
    assert not typed


def test_code_of_a_model_runs_if_it_is_trusted(tmp_path, monkeypatch, typed):
    monkeypatch.setenv("HF_MODULES_CACHE", str(tmp_path / "modules"))
    ran = tmp_path / "ran"
    folder = coded_model(tmp_path / "trusted", ran, "model")
    model, _ = load_model(find_model(str(folder), trusting_code=True))
    assert ran.exists()
    assert type(model).__name__ == "TheirModel"
    assert not typed
