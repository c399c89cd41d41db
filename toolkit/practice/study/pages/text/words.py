"""The words of the pages, by message catalogues: words/en.yaml, and words/campaign/en.yaml over it."""

from functools import cache
from pathlib import Path

import yaml

LANGUAGES = ("en", "de", "ru", "uk", "et")
_FOLDER = Path(__file__).parent.parent / "words"


@cache
def read_words(language: str, of_campaign: bool = False) -> dict[str, str]:
    """Read the words of a language by key; those of a campaign's pages replace those of a study's."""
    folders = (_FOLDER, _FOLDER / "campaign") if of_campaign else (_FOLDER,)
    found: dict[str, str] = {}
    for folder in folders:
        found |= yaml.safe_load((folder / f"{language}.yaml").read_text(encoding="utf-8"))
    return found


def find_language(*wanted: str | None) -> str:
    """Find the first of the languages that the pages have; en if there is none.

    `wanted` are BCP 47 codes, or the value of an Accept-Language header.
    """
    for value in wanted:
        for part in (value or "").split(","):
            code = part.split(";")[0].strip().split("-")[0].lower()
            if code in LANGUAGES:
                return code
    return LANGUAGES[0]
