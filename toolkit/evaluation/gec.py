"""Metrics of corrections: an answer beside the learner's sentence and the annotators' corrections.

    words("He do n't run .") -> ["He", "don", "'", "t", "run", "."]

Corpora write "do n't run ." and models "don't run.": sources, references and answers are split alike into
words and punctuation before anything is counted, so that spacing is never an error. Texts in scripts
without spaces stay one word between marks. GLEU and F0.5 by these words are some tenths from what the
same answers get as a corpus splits them.
"""

import re
import unicodedata
from collections.abc import Mapping, Sequence

from .metric import Item, Statistics, share

_SIGNS = str.maketrans({"’": "'", "‘": "'", "`": "'", "“": '"', "”": '"'})
_APART = re.compile(r"\s+(n't)\b", re.I)  # of corpora that split "don't" into "do n't"
_WORD = re.compile(r"\w+|[^\w\s]")


def words(text: str) -> list[str]:
    """Words and punctuation marks of a text, the same however it is spaced."""
    plain = unicodedata.normalize("NFC", text).translate(_SIGNS).replace("''", '"')
    return _WORD.findall(_APART.sub(r"\1", plain))


def references(item: Item) -> list[list[str]]:
    """The words of each reference; those of pairs once, however many rejected texts stand beside them."""
    told = dict.fromkeys(item.references) if item.rejected else item.references
    return [words(text) for text in told]


def exact(items: Sequence[Item], answers: Sequence[str]) -> Mapping[str, Statistics]:
    """Share of answers that are one of the references."""
    return {"exact": share([float(words(answer) in references(item))
                            for item, answer in zip(items, answers, strict=True)])}  # fmt: skip


def changed(items: Sequence[Item], answers: Sequence[str]) -> Mapping[str, Statistics]:
    """Share of answers that differ from the source."""
    return {"changed": share([float(words(answer) != words(item.source))
                              for item, answer in zip(items, answers, strict=True)])}  # fmt: skip
