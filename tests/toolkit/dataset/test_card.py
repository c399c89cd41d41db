"""The card: languages as the Hub takes them, and names of others as text."""

import json
import re

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from preceptor.schemas.recipe import Recipe
from preceptor.schemas.support.text import escape_markdown
from preceptor.toolkit.dataset.build import build
from preceptor.toolkit.dataset.card import list_languages
from preceptor.toolkit.ingest.run import ingest_files
from preceptor.toolkit.store.connection import run


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
    ("tags", "said", "expected"),
    [(["de", "pt-BR"], "en", ["de", "pt"]), (["fr"], "pt-BR", ["fr"]), (["und"], "pt-BR", ["pt"])],
)
def test_the_card_names_the_languages_of_the_rows(store, tmp_path, tags, said, expected):
    sentence = "S Dies {} sind ein Satz .\nA 2 3|||R|||ist|||REQUIRED|||-NONE-|||0\n"
    for n, language in enumerate(tags):
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
    assert json.loads((tmp_path / "out" / "manifest.json").read_text())["languages"] == sorted(tags)


HOSTILE = "<img src=x onerror=alert(1)> [click](http://evil.example) ![x](http://evil.example/x) | `a` | # b"


def test_names_of_others_are_text_on_the_card(store, tmp_path):
    """No HTML, link, image, code or cell of a table comes of a title, a source's name or its notes."""
    sentence = "S Dies {} sind ein Satz .\nA 2 3|||R|||ist|||REQUIRED|||-NONE-|||0\n"
    (tmp_path / "0.m2").write_text("\n".join(sentence.format(n) for n in range(3)))
    name = f"{HOSTILE}\n\n# Heading"
    ingest_files(store, "m2", [tmp_path / "0.m2"], HOSTILE, license="CC-BY-4.0")
    run(store, "UPDATE sources SET notes = ?", [f"---\n{HOSTILE}\n<script>alert(2)</script>"])
    recipe = {
        "name": "r",
        "title": name,
        "corrections": {"rejected": ["learner"]},
        "privacy": {"look": False},
    }
    build(store, Recipe.model_validate(recipe), tmp_path / "out")
    _, header, body = (tmp_path / "out" / "README.md").read_text().split("---\n", 2)
    assert yaml.safe_load(header)["pretty_name"] == name
    for mark in (r"<(img|script)", r"\]\(http", r"^# Heading", r"`a`"):
        assert not re.search(rf"(?m)(?<!\\){mark}", body)
    assert r"\<img src=x onerror=alert(1)> [click\](http" in body.replace(r"\>", ">")
    (row,) = [line for line in body.splitlines() if line.startswith("|") and "img" in line]
    assert len(re.findall(r"(?<!\\)\|", row)) == 6  # five cells


@given(st.text(max_size=80))
def test_an_escaped_text_is_one_line_and_begins_nothing(text):
    said = escape_markdown(text)
    assert len(said.splitlines()) <= 1
    assert not re.search(r"(?<!\\)(\\\\)*[<>|`*#&]", said)
    assert not re.match(r"[-+=~#>\[](\W|$)", said)
