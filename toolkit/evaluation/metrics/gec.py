"""Measure corrections: compare an answer with the learner's sentence and the annotators' corrections.

    split_words("He do n't run .") -> ["He", "don", "'", "t", "run", "."]

Corpora write "do n't run ." and models "don't run.". So sources, references and answers are split by the same
rule into words and punctuation before counting, and spacing is never an error. Texts in scripts without
spaces stay one word between marks. GLEU and F0.5 differ by some tenths of a point from those of a corpus's
own splitting.
"""

import re
import unicodedata
from collections.abc import Sequence
from functools import cache, lru_cache
from importlib.util import find_spec

import numpy as np

from ....schemas.errors import EvaluationError, SourceError
from ...ingest.gec.edits.align import Aligner, load_aligner
from .statistics import Counts, Figures, Item, Statistics, divide_sums, make_share

N = 4  # words in the longest n-gram of GLEU
ROUNDS = 120  # draws of a reference; divisible by 2, 3, 4, 5 and 6, so that each comes equally often
_SIGNS = str.maketrans({"’": "'", "‘": "'", "`": "'", "“": '"', "”": '"'})
_APART = re.compile(r"\s+(n't)\b", re.I)  # corpora split "don't" into "do n't"
_WORD = re.compile(r"\w+|[^\w\s]")


def split_words(text: str) -> list[str]:
    """Split a text into words and punctuation marks, independent of its spacing."""
    plain = unicodedata.normalize("NFC", text).translate(_SIGNS).replace("''", '"')
    return _WORD.findall(_APART.sub(r"\1", plain))


def split_references(item: Item) -> list[list[str]]:
    """Split each reference into words; the chosen text of several pairs counts once."""
    distinct = dict.fromkeys(item.references) if item.rejected else item.references
    return [split_words(text) for text in distinct]


def measure_exact(items: Sequence[Item], answers: Sequence[str]) -> Figures:
    """Measure the share of answers that equal one of the references, word by word: `exact`."""
    return {
        "exact": make_share(
            [
                float(split_words(answer) in split_references(item))
                for item, answer in zip(items, answers, strict=True)
            ]
        )
    }


def measure_changed(items: Sequence[Item], answers: Sequence[str]) -> Figures:
    """Measure the share of answers that differ from the source: `changed`."""
    return {
        "changed": make_share(
            [
                float(split_words(answer) != split_words(item.source))
                for item, answer in zip(items, answers, strict=True)
            ]
        )
    }


def check_gleu(_: Sequence[Item]) -> None:
    """Raise EvaluationError if the package gleu is not installed."""
    if find_spec("gleu") is None:
        raise EvaluationError(
            "metric gleu needs the package gleu: pip install 'preceptor[evaluate]', or leave it out of "
            "metrics"
        )


def measure_gleu(items: Sequence[Item], answers: Sequence[str]) -> Figures:
    """Measure corpus GLEU, 0 to 100: `gleu` (Napoles, Sakaguchi, Post, Tetreault 2015, as revised in 2016).

    As in the official script, one reference of each sentence is drawn and GLEU averaged over ROUNDS draws,
    the same for every model. The draws are balanced: each reference comes equally often, which makes 120
    draws as close to the mean over all as thousands of independent ones. Columns of `rows`: n-grams of the
    answer (1 to N); then for each draw the matching n-grams minus those that should have been changed
    (1 to N), and the reference's length in words.
    """
    from gleu.aggreg import make_n_accum
    from gleu.count import ngram_counter, set_tokenization, split_word_ngram

    set_tokenization("word")
    drawn = np.random.default_rng(0).random((len(items), ROUNDS)).argsort(axis=1) / ROUNDS
    rows = np.zeros((len(items), N + ROUNDS * (N + 1)), np.float32)  # 2.4 kB a prompt
    for row, shares, item, answer in zip(rows, drawn, items, answers, strict=True):
        source, mine = " ".join(split_words(item.source)), " ".join(split_words(answer))
        counts = []
        for reference in split_references(item):
            found = make_n_accum(N, source, " ".join(reference), mine)
            row[:N] = [one.denom for one in found]
            counts.append([*(max(one.match - one.penal, 0) for one in found), len(reference)])
        row[N:] = np.array(counts)[(shares * len(counts)).astype(int)].ravel()
    for cached in (make_n_accum, ngram_counter, split_word_ngram):  # or they keep every text in memory
        cached.cache_clear()
    return {"gleu": Statistics(rows, _gleu)}


def _gleu(sums: Counts) -> Counts:
    """Compute GLEU from sums of counts, shape (draws, columns) to (draws,)."""
    own, drawn = sums[:, None, :N], sums[:, N:].reshape(len(sums), ROUNDS, N + 1)
    length, reference = own[..., 0], drawn[..., N]
    with np.errstate(divide="ignore", invalid="ignore"):
        precision = np.where(own > 0, np.log(drawn[..., :N] / own), 0.0).mean(axis=2)
        brevity = np.where(reference < length, 0.0, 1.0 - reference / length)
    brevity = np.where((length == 0) & (reference == 0), 0.0, brevity)
    made: Counts = 100 * np.exp(brevity + precision).mean(axis=1)
    return made


def is_english(item: Item) -> bool:
    """Return True for a text in English, or of which no language is known."""
    return item.language.partition("-")[0] in ("en", "und")


def check_edits(_: Sequence[Item]) -> None:
    """Raise EvaluationError if ERRANT is not installed."""
    _english()


@cache
def _english() -> Aligner:
    try:
        return load_aligner("errant", "en")[0]
    except SourceError as error:
        raise EvaluationError(
            "metric edits needs ERRANT and its English model: pip install "
            "'preceptor[errant]', or leave edits out of metrics"
        ) from error


@lru_cache(maxsize=1 << 16)
def _edits(source: str, target: str) -> frozenset[tuple[int, int, str]]:
    if source == target or not target:
        return frozenset() if source == target else frozenset({(0, len(source.split()), "")})
    return frozenset(edit[:3] for edit in _english()(source.split(), target.split()))


def measure_edits(items: Sequence[Item], answers: Sequence[str]) -> Figures:
    """Measure precision, recall and F0.5 of the answers' edits by ERRANT, as its errant_compare counts them.

    Sentences in other languages than English do not count. With several references, the one that gives the
    best F0.5 of the sentences so far counts. Figures:
    `edits_f0.5`, `edits_precision`, `edits_recall`, 0 to 1. Columns of `rows`: edits that the reference has
    too, edits that it lacks, edits of the reference that the answer lacks.
    """
    rows = np.zeros((len(items), 3))
    before = np.zeros(3)
    n = sum(map(is_english, items))
    for row, item, answer in zip(rows, items, answers, strict=True):
        if not is_english(item):
            continue
        source = " ".join(split_words(item.source))
        mine = _edits(source, " ".join(split_words(answer)))
        theirs = [_edits(source, " ".join(reference)) for reference in split_references(item)]
        counts = [np.array([len(mine & own), len(mine - own), len(own - mine)]) for own in theirs]
        row[:] = max(counts, key=lambda c: (_best(before + c), c[0], -c[1], -c[2]))
        before += row
    return {
        "edits_f0.5": Statistics(rows, _f, n),
        "edits_precision": Statistics(rows[:, [0, 1]], _of_both, n),
        "edits_recall": Statistics(rows[:, [0, 2]], _of_both, n),
    }


def _best(counts: Counts) -> float:
    """Compute F0.5 as errant_compare does: 1 if there is nothing to find and nothing was found."""
    precision, recall = (counts[0] / (counts[0] + n) if n else 1.0 for n in counts[1:])
    weighed = 0.25 * precision + recall
    return round(float(1.25 * precision * recall / weighed), 4) if weighed else 0.0


def _of_both(sums: Counts) -> Counts:
    return divide_sums(np.stack([sums[:, 0], sums.sum(axis=1)], axis=1))


def _f(sums: Counts) -> Counts:
    """Compute F0.5 from sums of hits, false and missing edits, shape (draws, 3)."""
    hits = 1.25 * sums[:, 0]
    return divide_sums(np.stack([hits, hits + sums[:, 1] + 0.25 * sums[:, 2]], axis=1))
