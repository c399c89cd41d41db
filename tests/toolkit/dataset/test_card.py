"""The card's languages: those of the rows, as the Hub takes them."""

import json

import pytest
import yaml

from preceptor.schemas.recipe import Recipe
from preceptor.toolkit.dataset.build import build
from preceptor.toolkit.dataset.card import list_languages
from preceptor.toolkit.ingest.run import ingest_files


@pytest.mark.parametrize(
    ("tags", "codes"),
    [
        (["pt-BR", "pt", "EN", "zh-Hant-TW"], ["en", "pt", "zh"]),
        (["und", "English", "", "x-klingon", "mul"], []),
        (["gsw", "de_AT"], ["de", "gsw"]),
    ],
)
def test_codes_are_those_of_iso_639(tags, codes):
    assert list_languages(tags) == codes


@pytest.mark.parametrize(
    ("given", "said", "expected"),
    [(["de", "pt-BR"], "en", ["de", "pt"]), (["fr"], "pt-BR", ["fr"]), (["und"], "pt-BR", ["pt"])],
)
def test_the_card_names_the_languages_of_the_rows(store, tmp_path, given, said, expected):
    sentence = "S Dies {} sind ein Satz .\nA 2 3|||R|||ist|||REQUIRED|||-NONE-|||0\n"
    for n, language in enumerate(given):
        (tmp_path / f"{n}.m2").write_text("\n".join(sentence.format(f"{n}{m}") for m in range(3)))
        ingest_files(store, "m2", [tmp_path / f"{n}.m2"], f"s{n}", license="CC-BY-4.0", language=language)
    recipe = {
        "name": "r",
        "corrections": {"rejected": ["learner"]},
        "language": said,
        "instructions": {"et": "Paranda: {prompt}"},
        "splits": {"train": 1, "validation": 0, "test": 0},
        "publish_under": "CC-BY-4.0",
    }
    build(store, Recipe.model_validate(recipe), tmp_path / "out")
    header = yaml.safe_load((tmp_path / "out" / "README.md").read_text().split("---")[1])
    assert header["language"] == expected
    assert json.loads((tmp_path / "out" / "manifest.json").read_text())["languages"] == sorted(given)
