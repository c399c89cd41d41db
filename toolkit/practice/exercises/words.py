"""Bands of word frequency: how common the rarest word of an exercise's key is, on Zipf's scale.

7 the, 5 one in ten thousand words, 3 one in a million, 0 rarer than any list has. Frequencies are those of
the lexicons that the recipe names, else of the package wordfreq, of a word or of its lemma (simplemma),
whichever is more frequent: a rare form of a common word is easy. Both packages are the extra `words`.
"""

from dataclasses import dataclass
from importlib.util import find_spec
from math import log10

import polars as pl

from ....schemas.tables import Column, Table
from ...store.connection import Store, query, run
from ...store.quoting import quote_text
from ...store.temporary import drop, make_from_frame

_WORD = r"[\pL\pM]+(?:['’-][\pL\pM]+)*"
# Of an error to spot and of whole sentences the learner does not write a word.
_TARGET = """CASE WHEN kind IN ('cloze', 'choice', 'order') THEN answers[1]
    WHEN kind = 'flashcard' THEN shown END"""
_OF_EACH = f"""SELECT rowid AS id, language,
    unnest(regexp_extract_all(lower({_TARGET}), {quote_text(_WORD)})) AS word
FROM practice_made"""
_LISTED = """SELECT language, lower(trim(term)) AS word, max(frequency) AS frequency FROM lexicon
WHERE frequency > 0 AND list_contains($sources::VARCHAR[], source) GROUP BY ALL"""

ZIPF = Table(
    "practice_zipf",
    "a word's frequency",
    (
        Column("language", "text", "BCP 47 code"),
        Column("word", "text", "in lower case"),
        Column("zipf", "float", "log10 of its frequency in a thousand million words; null: no list"),
    ),
)


@dataclass(frozen=True)
class UnknownBands:
    """Why exercises have no band: languages without a list, and whether the extra is missing."""

    languages: tuple[str, ...] = ()
    extra_missing: bool = False

    def describe(self) -> str:
        """Say what to do about it; "" if nothing is missing."""
        if not self.languages:
            return ""
        of = ", ".join(self.languages)
        if self.extra_missing:
            return (
                f"no word frequencies of {of}: pip install 'preceptor[words]', or ingest a lexicon with them"
            )
        return f"no word frequencies of {of}: ingest a lexicon with them, and name it in sources"


def add_bands(con: Store, sources: list[str]) -> UnknownBands:
    """Fill column `band` of the temporary table `practice_made` (kind, language, shown, answers, band).

    Returns the languages whose words no list has.
    """
    words = query(con, f"SELECT DISTINCT language, word FROM ({_OF_EACH}) ORDER BY ALL")
    listed = query(con, _LISTED, {"sources": sources})
    known = {(language, word): log10(frequency) + 3 for language, word, frequency in listed.rows()}
    rows, without = [], set()
    extra = find_spec("wordfreq") is not None and find_spec("simplemma") is not None
    covered = _list_languages() if extra else frozenset()
    for language, word in words.rows():
        zipf = known.get((language, word))
        if zipf is None and (base := language.partition("-")[0]) in covered:
            zipf = _look_up(word, base)
        if zipf is None:
            without.add(language)
        else:
            rows.append((language, word, zipf))
    schema = {"language": pl.String, "word": pl.String, "zipf": pl.Float64}
    make_from_frame(con, ZIPF, pl.DataFrame(rows, schema=schema, orient="row"))
    run(
        con,
        f"""UPDATE practice_made SET band = b.band FROM (
            SELECT w.id, floor(greatest(min(z.zipf), 0))::BIGINT AS band FROM ({_OF_EACH}) w
            LEFT JOIN practice_zipf z USING (language, word)
            GROUP BY w.id HAVING count(*) = count(z.zipf)) b
        WHERE practice_made.rowid = b.id""",
    )
    drop(con, ZIPF)
    return UnknownBands(tuple(sorted(without)), not extra)


def _list_languages() -> frozenset[str]:
    from wordfreq import available_languages

    return frozenset(available_languages())


def _look_up(word: str, language: str) -> float:
    """Return the Zipf frequency of a word or of its lemma, the greater one; 0 if the list has neither."""
    from simplemma import lemmatize
    from wordfreq import zipf_frequency

    found: float = zipf_frequency(word, language)
    try:
        lemma = lemmatize(word, lang=language)
    except ValueError:  # a language without lemmas
        return found
    return max(found, float(zipf_frequency(lemma.lower(), language)))
