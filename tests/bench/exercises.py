"""How many keys are wrong when a small model writes the exercises whose keys annotators prove.

python -m preceptor.tests.bench.exercises [--n 250] [--seed 0] [--model FOLDER] [--write docs/measurements/exercises.md]

The model gets the learner's sentence and the corrected one with a gap, and writes the key; then the gap and the
annotator's key, and writes a wrong option. A key is wrong if no annotator accepts it there; a wrong option is
no wrong one if an annotator does. Beside it, how often a second annotator of the same sentence disagrees with the
key at that very place: what the same count says of people.
"""

import platform
import re
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from math import sqrt
from pathlib import Path
from typing import Any

import click

from preceptor.annotation.models.asking import ask
from preceptor.annotation.models.backends.backend import Backend
from preceptor.annotation.models.backends.registry import find_backend
from preceptor.annotation.models.requests import Reply, Request, Sampling
from preceptor.schemas.licenses import read_license
from preceptor.schemas.support.files import find_user_cache, write_text
from preceptor.toolkit.cli.options import open_stderr, open_stdout
from preceptor.toolkit.ingest.batch import Context
from preceptor.toolkit.ingest.formats import FORMATS
from preceptor.toolkit.ingest.formats.find_files import find_inputs
from preceptor.toolkit.ingest.run import Origin, ingest
from preceptor.toolkit.practice.exercises.build import build_exercises
from preceptor.toolkit.practice.exercises.recipe import Exercises
from preceptor.toolkit.store.connection import Store, open_store, query

from .__main__ import cpu_model
from .inputs import SHARED

CORPORA = {
    "cweb": ("m2", "cweb/m2/CWEB-S.dev.m2", "en"),
    "est": ("m2", "estgec-l2/dev/source_gold_dev.txt", "et"),
    "ua": ("ua-gec", "ua-gec/gec-only", "uk"),
    "relco": ("relco", "relco", "ru"),
}
MODEL = "smollm2-135m-instruct"  # in the user's cache, as the tests convert it
GAP = "____"
_AROUND = 2  # words before and after a gap by which it is found again
_Z = 1.6449  # 90 %
_SAMPLING = Sampling(temperature=0.0, max_tokens=40)
_ASK_KEY = """A learner wrote this sentence, which has an error:
{wrote}

This is the corrected sentence with a gap:
{shown}

Which words fill the gap? Reply with these words alone."""
_ASK_WRONG = """A sentence with a gap:
{shown}

The right answer is: {key}

Write one wrong answer that a learner of the language might give. Reply with its words alone."""
# Two worked examples stand before each request: without them the model says the whole sentence again.
_KEYS_SHOWN = (
    ("She go to school every day .", "She ____ to school every day .", "goes"),
    ("I am interested on music .", "I am interested ____ music .", "in"),
)
_WRONG_SHOWN = (
    ("She ____ to school every day .", "goes", "go"),
    ("I am interested ____ music .", "in", "on"),
)
# Choices, in an order that depends on the seed alone; `second` says whether another annotator agrees.
_SAMPLE = """
SELECT x.language, x.shown, x.answers, x.distractors, s.text AS wrote,
    (SELECT bool_or(coalesce(o.agrees, false)) FROM (
        SELECT e.annotator, bool_or(e.start = mine.start AND e."end" = mine."end"
            AND lower(e.correction) = lower(mine.correction)) AS agrees
        FROM edits e WHERE e.sentence = x.sentence AND e.annotator <> x.annotator GROUP BY 1) o) AS second
FROM exercises x JOIN sentences s ON s.key = x.sentence
JOIN edits mine ON mine.sentence = x.sentence AND mine.annotator = x.annotator AND mine.position = x.position
WHERE x.kind = 'choice' QUALIFY row_number() OVER (
    PARTITION BY x.language ORDER BY md5($seed::VARCHAR || x.sentence || x.position || x.annotator)) <= $n
ORDER BY x.language, md5($seed::VARCHAR || x.sentence || x.position || x.annotator)"""


@dataclass(frozen=True)
class Share:
    """A number of cases among n, with its 90 % interval (Wilson)."""

    hits: int
    n: int

    def describe(self) -> str:
        """Write "0.42 (0.37 to 0.47), n 250"; a dash without cases."""
        if not self.n:
            return "-"
        low, high = find_interval(self.hits, self.n)
        return f"{self.hits / self.n:.3f} ({low:.3f} to {high:.3f}), n {self.n}"


def find_interval(hits: int, n: int) -> tuple[float, float]:
    """Compute Wilson's 90 % interval of a share."""
    share, half = hits / n, _Z * _Z / n
    middle, spread = share + half / 2, _Z * sqrt(share * (1 - share) / n + half / (4 * n))
    return max(0.0, (middle - spread) / (1 + half)), min(1.0, (middle + spread) / (1 + half))


def prepare(con: Store) -> int:
    """Ingest the shared corpora and build the choices; return how many."""
    for name, (format, path, language) in CORPORA.items():
        files = find_inputs(FORMATS[format], [SHARED / path])
        ingest(con, FORMATS[format], files, Context(name, language=language), Origin(read_license("MIT")))
    done = build_exercises(
        con, Exercises(name="bench", sources=list(CORPORA), exercises=["choice"], longest=25)
    )
    return done.choices


def read_words(reply: str, shown: str) -> str:
    """Read the words that a model means for the gap: its first line, or what stands there in the gap's place.

    Of a sentence said again, cut off or not, these are the words between those before and after the gap.
    """
    lines = [one for one in map(_simplify, reply.splitlines()) if one]
    left, right = (_simplify(part).split() for part in shown.split(GAP, 1))
    around = (left[-_AROUND:], right[:_AROUND])
    before, after = (r"\s*".join(map(re.escape, words)) for words in around)
    for line in lines:
        if before and after and (found := re.search(rf"{before}\s+(.{{1,80}}?)\s+{after}", line)):
            return found[1]
    return lines[0] if lines else ""


def _simplify(text: str) -> str:
    return re.sub(r"\s+", " ", text.strip().strip("\"'`“”«»").lower()).strip()


def accepts(answers: Sequence[str], said: str) -> bool:
    """True if one of the answers is what was said, whatever case, spaces, quotes and final point."""
    mine = {_simplify(answer) for answer in answers}
    return said in mine or said.rstrip(".") in mine or said in {one.rstrip(".") for one in mine}


def ask_all(backend: Backend, requests: list[Request]) -> dict[int, str]:
    """Ask the model; return what it said by the number of the request (`about`), "" where it said nothing."""
    said: dict[int, str] = {}

    def keep(replies: list[Reply]) -> None:
        said.update({reply.request.about: reply.raw for reply in replies})

    ask(backend, requests, check=lambda text: {}, keep=keep, tries=1, allow_cut=True)
    return said


def measure(backend: Backend, rows: list[dict[str, Any]]) -> list[tuple[str, ...]]:
    """Measure by language: wrong keys, options that are no wrong ones, options of real learners, people."""
    every = []
    keys = [(_ASK_KEY.format(wrote=wrote, shown=shown), key) for wrote, shown, key in _KEYS_SHOWN]
    options = [(_ASK_WRONG.format(shown=shown, key=key), wrong) for shown, key, wrong in _WRONG_SHOWN]
    for wording, examples in ((_ASK_KEY, keys), (_ASK_WRONG, options)):
        before = [
            {"role": role, "content": text}
            for pair in examples
            for role, text in zip(("user", "assistant"), pair, strict=True)
        ]
        texts = [
            wording.format(wrote=row["wrote"], shown=row["shown"], key=row["answers"][0]) for row in rows
        ]
        requests = [
            Request((*before, {"role": "user", "content": text}), _SAMPLING, about=n)
            for n, text in enumerate(texts)
        ]
        once = {request.messages[-1]["content"]: request for request in requests}
        said = ask_all(backend, list(once.values()))
        by_text = {text: said.get(request.about, "") for text, request in once.items()}
        every.append([by_text[text] for text in texts])
    lines: list[tuple[str, ...]] = []
    for language in [*dict.fromkeys(row["language"] for row in rows), "all"]:
        chosen = [n for n, row in enumerate(rows) if language in (row["language"], "all")]
        given = [read_words(every[0][n], rows[n]["shown"]) for n in chosen]
        wrong = [read_words(every[1][n], rows[n]["shown"]) for n in chosen]
        mine = [rows[n] for n in chosen]
        bad = sum(not accepts(row["answers"], said) for row, said in zip(mine, given, strict=True))
        learner = sum(accepts(row["distractors"], said) for row, said in zip(mine, given, strict=True))
        right = sum(accepts(row["answers"], said) for row, said in zip(mine, wrong, strict=True))
        real = sum(accepts(row["distractors"], said) for row, said in zip(mine, wrong, strict=True))
        seconds = [row["second"] for row in mine if row["second"] is not None]
        lines.append(
            (
                language,
                Share(bad, len(mine)).describe(),
                Share(learner, len(mine)).describe(),
                Share(right, len(mine)).describe(),
                Share(real, len(mine)).describe(),
                Share(seconds.count(False), len(seconds)).describe(),
            )
        )
    return lines


_COLUMNS = (
    "language",
    "keys that no annotator accepts",
    "keys that are a learner's own error",
    "wrong options that an annotator accepts",
    "wrong options that learners did write",
    "people: keys that no second annotator of the sentence gave",
)


def write_page(lines: list[tuple[str, ...]], setting: str) -> str:
    """Write the page of measurements as Markdown."""
    table = [_COLUMNS, tuple("---" for _ in _COLUMNS), *lines]
    rows = "\n".join(f"| {' | '.join(row)} |" for row in table)
    return f"""# Keys of exercises, by a small model and by annotators

`make bench-exercises` on {datetime.now(UTC):%Y-%m-%d}: {cpu_model()}, Python {platform.python_version()}. {setting}
Shares with 90 % intervals (Wilson).

{rows}

By construction, 0 keys and 0 wrong options of [our own exercises](../formats/exercises.md) are so: each key is an annotator's,
and a test finds no wrong option that any annotator accepts. A key that no annotator accepts is not always wrong, since nobody
wrote down everything that is right: the last column counts the annotators' own keys in the same way, on sentences that two
people or more corrected. The model is given the learner's sentence and the place of the error, which is more than it would have
if it had to find errors itself.
"""


@click.command()
@click.option("--n", type=click.IntRange(1), default=250, show_default=True, help="Choices of each language.")
@click.option("--seed", type=int, default=0, show_default=True)
@click.option("--model", type=click.Path(path_type=Path), help="Folder of the model.")
@click.option("--write", type=click.Path(path_type=Path, dir_okay=False), help="Markdown file to write.")
def main(n: int, seed: int, model: Path | None, write: Path | None) -> None:
    """Measure how many keys and wrong options of a small model annotators refute."""
    folder = model or find_user_cache() / MODEL
    if not folder.is_dir():
        raise click.ClickException(f"{folder}: no such folder; tests that use SmolLM2 convert it there")
    backend = find_backend(f"hf:{folder}", None, None)
    with tempfile.TemporaryDirectory() as place, open_store(Path(place) / "s.duckdb", create=True) as con:
        choices = prepare(con)
        rows = query(con, _SAMPLE, {"n": n, "seed": seed}).to_dicts()
    open_stderr().print(f"{len(rows):,} of {choices:,} choices")
    lines = measure(backend, rows)
    setting = (
        f"{folder.name}, the likeliest words (temperature 0), at most {_SAMPLING.max_tokens} tokens, two worked "
        f"examples before each request; of the {choices:,} choices in sentences of up to 25 words, {n} of each "
        f"of {len(CORPORA)} languages, drawn with seed {seed}: {', '.join(CORPORA)}."
    )
    page = write_page(lines, setting)
    open_stdout().print(page, markup=False)
    if write:
        write_text(write, page)


if __name__ == "__main__":
    main(prog_name="python -m preceptor.tests.bench.exercises")
