"""Names: one name has one meaning, and docstrings name what there is."""

import ast
import re
from collections import defaultdict
from pathlib import Path

import pytest
from places import ROOT

FOREIGN = {"Named", "_prepare_dataset", "substr_len"}  # of Ollama, of TRL, of a corpus

ROOMS = ("annotation", "schemas", "toolkit", "training")

# Names that mean the same of several kinds: a back-end of each sort, a recipe of each sort, a card of each sort,
# a learner model of each sort.
SAME_OF_SEVERAL = {
    "main",
    "connect",
    "make_checker",
    "measure_loss",
    "open_backend",
    "penalise",
    "publish_model",
    "read_config",
    "render_card",
    "settle_accounts",
}
# Names with two meanings that are left; no more come.
LEFT = {"choose_method", "encode", "find_ending", "read_key"}


def read_modules():
    """{file: syntax tree} of the product."""
    files = sorted(file for room in ROOMS for file in (ROOT / room).rglob("*.py"))
    return {file.relative_to(ROOT): ast.parse(file.read_text(encoding="utf-8")) for file in files}


@pytest.fixture(scope="module")
def modules():
    return read_modules()


def find_shared_names(modules):
    """{name: files} of public functions defined in several files; a command mirrors its function."""
    files = defaultdict(list)
    for file, tree in modules.items():
        if file.parts[:2] == ("toolkit", "cli"):
            continue
        for node in tree.body:
            if isinstance(node, ast.FunctionDef) and not node.name.startswith("_"):
                files[node.name].append(str(file))
    return {name: where for name, where in files.items() if len(where) > 1}


def test_a_public_function_s_name_has_one_meaning(modules):
    shared = find_shared_names(modules)
    assert {n: w for n, w in shared.items() if n not in SAME_OF_SEVERAL | LEFT} == {}
    assert shared.keys() >= LEFT, "renamed: leave it out of LEFT"


def list_docstrings(tree):
    """(node, docstring) of a module, its classes and functions, and of fields described below themselves."""
    for node in ast.walk(tree):
        body = getattr(node, "body", None)
        for one in body if isinstance(body, list) else []:
            value = one.value if isinstance(one, ast.Expr) else None
            if isinstance(value, ast.Constant) and isinstance(value.value, str):
                yield value


def collect_words(modules):
    """Every identifier and every word of a text in the product's code, docstrings aside."""
    words = set()
    for tree in modules.values():
        docs = {id(node) for node in list_docstrings(tree)}
        for node in ast.walk(tree):
            words |= {getattr(node, name, None) for name in ("id", "attr", "arg", "name")}
            if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in docs:
                words |= set(re.findall(r"\w+", node.value))
    files = [file for room in (*ROOMS, "recipes") for file in (ROOT / room).rglob("*")]
    for file in (f for f in files if f.suffix in {".yaml", ".jinja", ".csv"}):
        words |= set(re.findall(r"\w+", file.read_text(encoding="utf-8")))
    return words | {part for file in modules for part in (*file.parts[:-1], file.stem)}


def is_known(name, words):
    """Is it a word, one with a number, or one that an f-string joins from two, as f"{field}_too_long"?"""
    if name in words or re.sub(r"_?\d+$", "", name) in words:
        return True
    cuts = [place.start() for place in re.finditer("_", name)]
    return any(
        (name[:at] in words and name[at:] in words) or (name[: at + 1] in words and name[at + 1 :] in words)
        for at in cuts
    )


def find_stale_names(modules, words):
    """Names in backticks of docstrings, such as `read_rows` or `rows.read`, of which a part is nowhere else."""
    for file, tree in modules.items():
        for node in list_docstrings(tree):
            for name in re.findall(r"`([A-Za-z_][\w.]*)`", node.value):
                parts = name.strip(".").split(".")
                if name not in FOREIGN and not all(is_known(part, words) for part in parts):
                    yield f"{file}:{node.lineno}: {name}"


def test_docstrings_name_what_there_is(modules):
    assert list(find_stale_names(modules, collect_words(modules))) == []


def test_a_stale_name_and_a_shared_one_are_found():
    one = ast.parse('def read(a):\n    """Read `a` as `other.write` does, with `unheard_of`."""\n')
    other = ast.parse("def write():\n    pass\n\n\ndef read():\n    pass\n")
    made = {Path("one.py"): one, Path("other.py"): other}
    words = collect_words(made)
    assert [said.rpartition(" ")[2] for said in find_stale_names(made, words)] == ["unheard_of"]
    assert find_shared_names(made).keys() == {"read"}
