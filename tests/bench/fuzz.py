"""`make fuzz`: damaged files of every format, and damaged YAML, JSON, forms and judgements, by the thousand.

    python -m preceptor.tests.bench.fuzz [--inputs 100000] [--seed 7] [--processes 2]

Of each input either every row read is taken or rejected with a reason, or it is refused by an error that
Preceptor words; no file is written anywhere. The same seed makes the same inputs.
"""

import gzip
import json
import os
import random
import re
import sqlite3
import tempfile
import traceback
from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import click
import polars as pl

from preceptor.annotation.audit.files import read_judgements
from preceptor.annotation.forms.files import read_object
from preceptor.annotation.forms.label_studio import read_label_studio
from preceptor.annotation.models.backends.message import read_message
from preceptor.annotation.models.judge.answers import make_checker
from preceptor.annotation.models.judge.requests import read_examples
from preceptor.annotation.models.prices import find_price
from preceptor.annotation.rubrics.rubric import FOLDER, read_rubric
from preceptor.schemas.errors import PreceptorError
from preceptor.schemas.manifest import parse_manifest
from preceptor.schemas.recipe import read_recipe
from preceptor.toolkit.evaluation.config import read_config as read_evaluation
from preceptor.toolkit.ingest.batch import Context, make_known
from preceptor.toolkit.ingest.formats import FORMATS
from preceptor.toolkit.ingest.formats.find_files import find_inputs
from preceptor.toolkit.privacy.pseudonyms import make_pseudonyms
from preceptor.training.config import read_config as read_training

KNOWN = make_known([("p1-a", "ka", "p1"), ("p1-b", "kb", "p1"), ("p1", "", "p1")])
TOKENS = (
    b"\xff", b"\0", b'"', b"\n", b"\r\n", b",", b"|||", b"S ", b"A ", b"{", b"}", b"[", b"]", b"\t", b"\xed\xa0\x80",
    b"\\ud800", b"1e999", b"NaN", b"-1", b"99999999999999999999", b"null", b"true", b"<", b"</", b"=>", b":::", b"&a;",
    b"*a", b"&a ", b"!!x ", b": ", b"- ", b"\xef\xbb\xbf", b"\xe2\x80\xa8", b"''", b"#",
)  # fmt: skip
ODD: tuple[object, ...] = (
    None, True, -1, 0, 1.5, 1e300, 10**30, "", "x", "\udc80", [], {}, [[]], [None], {"a": []}, [1, "a"], "\0", "😀" * 3,
)  # fmt: skip
_VALUE = re.compile(rb'"(?:[^"\\]|\\.)*"|-?\d+(?:\.\d+)?|true|false|null')


@dataclass(frozen=True)
class Target:
    """A parser: its seeds (files by name), and the function that reads their folder."""

    name: str
    seeds: tuple[dict[str, bytes], ...]
    read: Callable[[Path, str], None]
    turns: int = 2
    """Inputs of a round: of parsers that take under 3 ms more, of those over 50 ms fewer."""


SLOW = {"bea-json", "c4-200m", "chat", "mathdial", "socratic-debugging", "spock", "spock-problems"}


def list_targets() -> list[Target]:
    """List every parser with its seeds."""
    read = [
        Target(f"ingest {name}", tuple(_list_seeds(name)), _make_reader(name), 1 if name in SLOW else 2)
        for name in FORMATS
    ]
    rubric = read_rubric("pairwise-preference")
    packaged = Path(__file__).parents[2] / "recipes"
    row = {"question": "q", "preference": "first", "annotator": "a"}
    judged = {"judge": "j", "item": "i", "first": "a", "second": "b", "choice": "first"}
    shown = {"prompt": "p", "first": "x", "second": "y", "answer": "first", "reason": "r"}
    studio = {"data": {"question": "q"}, "annotations": [
        {"completed_by": {"email": "a@b.c"}, "updated_at": "2026-05-04T10:00:00Z", "result": [
            {"from_name": "preference", "type": "choices", "value": {"choices": ["1: a"]}}]}]}  # fmt: skip
    said = {"choices": [{"message": {"content": "a", "reasoning": "b"}, "finish_reason": "stop"}],
            "usage": {"prompt_tokens": 1, "completion_tokens": 2}, "error": None}  # fmt: skip
    prices = b"models:\n- {model: a*, in: 1, out: 2}\n"

    def texts(name: str, seed: bytes, parse: Callable[[str, Path], object]) -> Target:
        def read_text(folder: Path, file: str) -> None:
            parse((folder / file).read_bytes().decode(errors="surrogateescape"), folder / file)

        return Target(name, ({"f.json": seed},), read_text, 8)

    def files(name: str, file: str, seeds: Sequence[bytes], parse: Callable[[Path], object]) -> Target:
        def read_file(folder: Path, file: str) -> None:
            parse(folder / file)

        return Target(name, tuple({file: seed} for seed in seeds), read_file, 2 if name == "training" else 8)

    def check(text: str, _: Path) -> None:
        try:
            make_checker(rubric)(text)
        except ValueError:
            return

    return [
        *read,
        files("recipe", "f.yaml", [_read(packaged / "gec/dataset.yaml")], read_recipe),
        files("training", "f.yaml", [_read(packaged / "gec/dpo.yaml")], read_training),
        files("evaluation", "f.yaml", [_read(packaged / "gec/evaluate.yaml")], read_evaluation),
        Target("rubric", tuple(_list_rubrics()), lambda folder, _: _drop(read_rubric(folder / "f.yaml"))),
        files("prices", "f.yaml", [prices], lambda path: find_price("a1", path)),
        files("judgements", "f.jsonl", [json.dumps(judged).encode()], read_judgements),
        files("judgements.csv", "f.csv", [b"judge,item,first,second,choice\nj,i,a,b,first\n"], read_judgements),
        files("examples", "f.jsonl", [json.dumps(shown).encode()], lambda path: read_examples(path, rubric)),
        texts("label studio", json.dumps([studio]).encode(), lambda t, p: read_label_studio(t, p, ["preference"])),
        texts("form", json.dumps(row).encode(), lambda t, _: read_object(1, t, rubric)),
        texts("answer", b'{"reason": "r", "preference": "first"}', check),
        texts("message", json.dumps(said).encode(), lambda t, _: read_message(t)),
        texts("manifest", b'{"recipe": {}, "files": {}, "gates": [], "counts": {}}', lambda t, p: parse_manifest(p.read_bytes())),
    ]  # fmt: skip


def fuzz(inputs: int, seed: int, targets: Sequence[Target]) -> tuple[Counter[str], list[str]]:
    """Read so many damaged inputs; return how each parser ended, and the failures with what repeats them."""
    ends: Counter[str] = Counter()
    failures: list[str] = []
    turns = [target for target in targets for _ in range(target.turns)]
    with tempfile.TemporaryDirectory() as top:
        folder = Path(top) / "in"
        for n in range(inputs):
            chance = random.Random(f"{seed}/{n}")
            target = turns[n % len(turns)]
            files = dict(chance.choice(target.seeds))
            changed = chance.choice(sorted(files))
            files[changed] = damage(files[changed], chance)
            _write(folder, files)
            try:
                target.read(folder, changed)
                end = "read"
            except PreceptorError:
                end = "refused"
            except Exception:
                end = "failed"
                data = files[changed][:300]
                failures.append(f"{target.name} ({seed}/{n}): {data!r}\n{traceback.format_exc(limit=-4)}")
            ends[f"{target.name}: {end}"] += 1
            there = {path.relative_to(top).as_posix() for path in Path(top).rglob("*") if path.is_file()}
            if there != {f"in/{name}" for name in files}:
                failures.append(f"{target.name} ({seed}/{n}): wrote {sorted(there)}")
            for path in folder.iterdir():
                path.unlink()
    return ends, failures


def damage(data: bytes, chance: random.Random) -> bytes:
    """Damage bytes a few times, anywhere."""
    for _ in range(chance.choice((1, 1, 2, 4))):
        at = chance.randint(0, len(data))
        match chance.randrange(10):
            case 0:
                data = data[:at] + data[at + chance.randint(1, 20) :]
            case 1 | 2:
                data = data[:at] + chance.choice(TOKENS) + data[at:]
            case 3:
                rows = data.split(b"\n")
                i, j = chance.randrange(len(rows)), chance.randrange(len(rows))
                rows[i], rows[j] = rows[j], rows[i]
                data = b"\n".join(rows)
            case 4:
                data += data[at : at + 40]
            case 5 | 6 | 7 | 8:
                if found := list(_VALUE.finditer(data)):
                    one = chance.choice(found)
                    odd = json.dumps(chance.choice(ODD), ensure_ascii=chance.random() < 0.5)
                    data = data[: one.start()] + odd.encode(errors="surrogateescape") + data[one.end() :]
            case _:
                data = data[:at] + bytes([chance.randrange(256)]) + data[at + 1 :]
    return data


def _list_rubrics() -> list[dict[str, bytes]]:
    return [
        {
            "f.yaml": re.sub(rb"(?m)^guidelines:.*$", b"guidelines: f.md", path.read_bytes()),
            "f.md": path.with_suffix(".md").read_bytes(),
        }
        for path in sorted(FOLDER.glob("*.yaml"))
    ]


def _drop(_: object) -> None:
    """Nothing is done with what was read."""


def _read(path: Path) -> bytes:
    return path.read_bytes()


def _write(folder: Path, files: dict[str, bytes]) -> None:
    folder.mkdir(exist_ok=True)
    for name, data in files.items():
        (folder / name).write_bytes(data)


def _list_seeds(name: str) -> list[dict[str, bytes]]:
    """The format's example as files; packed, too, and as other kinds where the format has them."""
    format = FORMATS[name]
    parts = re.split(r"^==> (.+) <==\n", format.example, flags=re.MULTILINE)
    if len(parts) > 1:
        seeds = [{file: text.encode() for file, text in zip(parts[1::2], parts[2::2], strict=True)}]
    else:
        ending = (
            ".jsonl" if format.example.startswith("{") else ".json" if format.example.startswith("[") else ""
        )
        ending = ending or {"m2": ".m2", "nucle-sgml": ".sgml", "rulec-sents": ".sents"}.get(name, ".csv")
        ending = ".json" if name in ("spock", "cima", "smart") else ending
        text = format.example
        if ending == ".jsonl":
            text = (
                " ".join(line.strip() for line in text.split("\n")).replace("…}", "0}").replace(", 0}", "}")
            )
        seeds = [{f"dataset_uptake{ending}": (text + "\n").encode() * (2 if ending == ".jsonl" else 1)}]
    if len(seeds[0]) == 1 and (name in ("m2", "prompts", "reviews", "votes")):
        ((file, data),) = seeds[0].items()
        seeds.append({f"{file}.gz": gzip.compress(data)})
    if name in ("reviews", "ratings", "outcomes"):
        head, *rows = format.example.split("\n")
        table = pl.DataFrame([row.split(",") for row in rows], schema=head.split(","), orient="row")
        seeds.append({"f.parquet": _make_parquet(table)})
    if name == "smart":
        row = {
            "pair_id": 1,
            "term": "t",
            "mnemonic_a": "x",
            "mnemonic_b": "y",
            "direct_comparisons": [1, 0, 2],
        }
        row |= {
            "ratings_A_cumulative": [0, 0, 1, 1, 2],
            "ratings_B_cumulative": None,
            "turns_A": [0],
            "turns_B": [],
        }
        arrays: dict[str, object] = {
            "pair_id": ["1"],
            "term": ["t"],
            "mnemonic_a": ["x"],
            "mnemonic_b": ["y"],
        }
        arrays |= {
            "direct_comparisons": [[1, 0, 2]],
            "compare_idx": [0],
            "ratings_A_counts": [[0, 0, 1, 1, 2]],
        }
        arrays |= {"ratings_A_idx": [0], "ratings_B_counts": [], "ratings_B_idx": [], "turn_counts_A": [1]}
        arrays |= {"learn_A_idx": [0], "turn_counts_B": [], "learn_B_idx": []}
        seeds = [
            {"f.jsonl": json.dumps(row).encode() + b"\n"},
            {"f.json": json.dumps(arrays).encode()},
        ]
    if name == "anki":
        seeds.append({"c.anki2": _make_collection()})
    return seeds


def _make_parquet(table: pl.DataFrame) -> bytes:
    with tempfile.TemporaryDirectory() as folder:
        table.write_parquet(Path(folder) / "t")
        return (Path(folder) / "t").read_bytes()


def _make_collection() -> bytes:
    with tempfile.TemporaryDirectory() as folder:
        with closing(sqlite3.connect(Path(folder) / "c")) as con:
            con.execute("PRAGMA page_size = 512")
            con.execute(
                "CREATE TABLE revlog (id INTEGER PRIMARY KEY, cid, usn, ease, ivl, lastIvl, factor, time, type)"
            )
            rows = [(1737747496478 + n, 1, 1, 3, -600, -60, 0, 2411, 0) for n in range(50)]
            con.executemany("INSERT INTO revlog VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)", rows)
            con.commit()
        return (Path(folder) / "c").read_bytes()


def _make_reader(name: str) -> Callable[[Path, str], None]:
    about = "mine" if FORMATS[name].about else ""
    context = Context(
        "s",
        FORMATS[name].language,
        about,
        known=KNOWN,
        learner="l" if name == "anki" else "",
        pseudonyms=lambda ids: make_pseudonyms(ids, b"k" * 32),
    )

    def read(folder: Path, _: str) -> None:
        format = FORMATS[name]
        single = len(list(folder.iterdir())) == 1 and not format.together
        files = find_inputs(format, list(folder.iterdir()) if single else [folder])
        for batch in format.read(files, context, lambda _: None):
            if batch.read != batch.taken + batch.rejects.height:
                raise AssertionError(
                    f"{batch.read} rows, {batch.taken} taken, {batch.rejects.height} rejected"
                )
            if batch.rejects["reason"].null_count():
                raise AssertionError("a reject without a reason")

    return read


def _run(inputs: int, seed: int) -> tuple[Counter[str], list[str]]:
    return fuzz(inputs, seed, list_targets())


@click.command()
@click.option("--inputs", default=100_000, show_default=True, help="Damaged inputs in all.")
@click.option("--seed", default=7, show_default=True, help="Another one makes other inputs.")
@click.option("--processes", default=os.cpu_count() or 1, show_default=True, help="Processes at a time.")
def main(inputs: int, seed: int, processes: int) -> None:
    """Read damaged inputs by every parser; exit code 1 if one fails."""
    ends: Counter[str] = Counter()
    failures: list[str] = []
    with ProcessPoolExecutor(processes) as pool:
        for found, failed in pool.map(_run, [inputs // processes] * processes, range(seed, seed + processes)):
            ends += found
            failures += failed
    for name, count in sorted(ends.items()):
        click.echo(f"{count:8,}  {name}")
    for failure in failures[:20]:
        click.echo(failure, err=True)
    click.echo(f"{sum(ends.values()):,} inputs of seed {seed}, {len(failures):,} failures")
    raise SystemExit(bool(failures))


if __name__ == "__main__":
    main()
