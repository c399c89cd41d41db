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
from functools import cache, lru_cache
from importlib.util import find_spec

import numpy as np

from ....schemas.errors import EvaluationError, SourceError
from ...ingest.gec.edits.align import Aligner, load_aligner
from .statistics import Counts, Item, Statistics, ratio, share

N = 4  # words in the longest n-gram of GLEU
ROUNDS = 120  # draws of a reference, in which 2, 3, 4, 5 or 6 of them come equally often
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
    return {
        "exact": share(
            [float(words(answer) in references(item)) for item, answer in zip(items, answers, strict=True)]
        )
    }


def changed(items: Sequence[Item], answers: Sequence[str]) -> Mapping[str, Statistics]:
    """Share of answers that differ from the source."""
    return {
        "changed": share(
            [float(words(answer) != words(item.source)) for item, answer in zip(items, answers, strict=True)]
        )
    }


def check_gleu(_: Sequence[Item]) -> None:
    """EvaluationError where the package is not there."""
    if find_spec("gleu") is None:
        raise EvaluationError(
            "metric gleu needs the package gleu: pip install 'preceptor[evaluate]', or leave it out of "
            "metrics"
        )


def gleu(items: Sequence[Item], answers: Sequence[str]) -> Mapping[str, Statistics]:
    """GLEU of the whole, 0 to 100 (Napoles, Sakaguchi, Post and Tetreault 2015, as mended in 2016).

    As in the official script one reference of each sentence is drawn, and GLEU averaged over the draws,
    which are the same for every model. Each reference comes equally often, so that the ROUNDS draws are as
    near to the mean of all as thousands that are left to chance. Columns: n-grams of the answer (1 to N);
    for each draw those that match less those that should have been changed (1 to N), and the reference's
    length.
    """
    from gleu.aggreg import make_n_accum
    from gleu.count import ngram_counter, set_tokenization, split_word_ngram

    set_tokenization("word")
    drawn = np.random.default_rng(0).random((len(items), ROUNDS)).argsort(axis=1) / ROUNDS
    rows = np.zeros((len(items), N + ROUNDS * (N + 1)), np.float32)  # 2.4 kB a prompt
    for row, shares, item, answer in zip(rows, drawn, items, answers, strict=True):
        source, mine = " ".join(words(item.source)), " ".join(words(answer))
        told = []
        for reference in references(item):
            found = make_n_accum(N, source, " ".join(reference), mine)
            row[:N] = [one.denom for one in found]
            told.append([*(max(one.match - one.penal, 0) for one in found), len(reference)])
        row[N:] = np.array(told)[(shares * len(told)).astype(int)].ravel()
    for cached in (make_n_accum, ngram_counter, split_word_ngram):  # which would keep every text
        cached.cache_clear()
    return {"gleu": Statistics(rows, _gleu)}


def _gleu(sums: Counts) -> Counts:
    """GLEU of sums of counts, shape (draws, columns)."""
    own, drawn = sums[:, None, :N], sums[:, N:].reshape(len(sums), ROUNDS, N + 1)
    length, reference = own[..., 0], drawn[..., N]
    with np.errstate(divide="ignore", invalid="ignore"):
        precision = np.where(own > 0, np.log(drawn[..., :N] / own), 0.0).mean(axis=2)
        brevity = np.where(reference < length, 0.0, 1.0 - reference / length)
    brevity = np.where((length == 0) & (reference == 0), 0.0, brevity)
    made: Counts = 100 * np.exp(brevity + precision).mean(axis=1)
    return made


def check_edits(items: Sequence[Item]) -> None:
    """EvaluationError where ERRANT is not there, or texts are not English."""
    others = sorted({item.language for item in items if item.language.partition("-")[0] not in ("en", "und")})
    if others:
        raise EvaluationError(
            f"metric edits: ERRANT knows English, not {', '.join(others)}; leave edits out of metrics"
        )
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


def edits(items: Sequence[Item], answers: Sequence[str]) -> Mapping[str, Statistics]:
    """Precision, recall and F0.5 of an answer's edits by ERRANT, as its errant_compare counts them.

    Of several references the one counts with which F0.5 of the sentences so far is best. Columns: edits that
    the reference has too, edits that it has not, edits of the reference that are missing.
    """
    rows = np.zeros((len(items), 3))
    before = np.zeros(3)
    for row, item, answer in zip(rows, items, answers, strict=True):
        source = " ".join(words(item.source))
        mine = _edits(source, " ".join(words(answer)))
        told = [_edits(source, " ".join(reference)) for reference in references(item)]
        counts = [np.array([len(mine & own), len(mine - own), len(own - mine)]) for own in told]
        row[:] = max(counts, key=lambda c: (_best(before + c), c[0], -c[1], -c[2]))
        before += row
    return {
        "edits_f0.5": Statistics(rows, _f),
        "edits_precision": Statistics(rows[:, [0, 1]], _of_both),
        "edits_recall": Statistics(rows[:, [0, 2]], _of_both),
    }


def _best(counts: Counts) -> float:
    """F0.5 as errant_compare has it, where nothing to find and nothing found is a 1."""
    precision, recall = (counts[0] / (counts[0] + n) if n else 1.0 for n in counts[1:])
    weighed = 0.25 * precision + recall
    return round(float(1.25 * precision * recall / weighed), 4) if weighed else 0.0


def _of_both(sums: Counts) -> Counts:
    return ratio(np.stack([sums[:, 0], sums.sum(axis=1)], axis=1))


def _f(sums: Counts) -> Counts:
    """F0.5 of hits, false and missing edits."""
    hits = 1.25 * sums[:, 0]
    return ratio(np.stack([hits, hits + sums[:, 1] + 0.25 * sums[:, 2]], axis=1))
