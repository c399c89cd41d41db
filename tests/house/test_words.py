"""Words: functions are verbs, a class name means one thing, docstrings say what is done, raised and shaped.

python tests/house/test_words.py                    lists every finding in the product
python tests/house/test_words.py toolkit/fusion     lists those below a room, or in a file
"""

import ast
import re
import sys
from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
TOP = ("annotation", "schemas", "toolkit", "training")

# Rooms that keep to it: all.
HELD = TOP

# Imperatives: the first word of a function's name and of its docstring. Nouns that are seldom verbs (share,
# rank, table, state) are left out on purpose. A verb that is missing may be added, a noun may not.
VERBS = set(
    """
    accept adapt add adjust aggregate align allow annotate announce anonymise answer append apply
    approximate ask assemble assert assign attach audit average
    balance begin bin bind bound break bring build bundle
    cache calculate call cancel cap cast catch change check choose classify clean clear click close
    collate collect combine commit compare compile complete compose compress compute concatenate condition
    configure connect consume convert copy correct correlate count cover create cut
    decide declare decode deduplicate defuse delete derive describe detect determine diagnose diff
    differentiate discard distribute divide do download drain draw drop dump
    edit embed encode end enforce ensure enter erase escape estimate evaluate exchange exclude expand
    expect explain export express extend extract
    fail fetch fill filter find finish fit flag flatten flip fold follow forecast foretell forget format free fuse
    gather generate get give group guess
    handle hash hide hint hold
    identify ignore import include index infer ingest initialise insert inspect integrate interpolate
    intersect invert invite iterate
    join judge
    keep know
    label launch lay learn leave let limit link list load locate lock log look lose
    make map mark mask match measure mend merge migrate minimise mirror mix move multiply
    name narrow normalise note notice number
    observe offer omit open order override
    pack pad paint parse partition patch pause penalise perform pick place plan plot pool post predict prefer prepare preserve
    print prioritise process propose prove publish pull push put
    query quote
    raise randomise rate reach read recognise record recover reduce refine refit refuse register reject release remember
    remove rename render reorder repair repeat replace replicate report request require resample rescale reserve
    reset resolve rest restore restrict resume retry return reverse rewrite rotate round run
    sample save say scale scan score search see select send separate serialise serve set settle shape
    shift shorten show shuffle simulate sketch skip smooth solve sort spend split spoil spool spread
    standardise start step stop store stream strip subtract suggest sum summarise suspend swap switch
    synchronise
    tabulate tag take tally tell test thin tile time tokenise total touch trace track train transform
    translate transpose traverse trim truncate try turn
    undo unite unnest unpack update upload use
    validate vary verify visit
    wait walk warm warn watch weigh widen withdraw withhold wrap write
    yield
    zip
    """.split()  # noqa: SIM905
)
# Questions that a function answers with true or false, or with an expression: is_folder, needs_answers.
PREDICATES = {
    "are",
    "asks",
    "can",
    "does",
    "has",
    "holds",
    "is",
    "may",
    "need",
    "needs",
    "wants",
    "was",
    "writes",
}
# Public functions without a verb, and why.
NOUNS = {"transaction": "what every database library calls this context manager"}

LIBRARY_ARRAYS = {"ndarray", "NDArray", "ArrayLike", "Array", "Tensor"}
# Modules whose classes name no methods of ours.
PLAIN_BASES = {"abc", "collections.abc", "enum", "pydantic", "typing"}

# Not ours to name: commands, attributes, and what pydantic and others call by their decorator.
_COMMAND = re.compile(r"(^|\.)(command|group)\(")
_ATTRIBUTE = re.compile(r"(^|\.)(property|cached_property|setter|overload|computed_field)\b")
_HOOK = re.compile(r"(validator|serializer)\b")
_SHAPE = re.compile(
    r"\bshapes?\b|\bscalars?\b|\((?:[\w.…]+(?: ?[-+*/·] ?[\w.]+)*, ?)+(?:[\w.…]+(?: ?[-+*/·] ?[\w.]+)*)?\)"
)


@dataclass(frozen=True)
class Function:
    """A public function or method of the product."""

    file: str
    name: str
    node: ast.FunctionDef | ast.AsyncFunctionDef
    around: tuple[str, ...]  # docstrings of its class and module
    inherited: bool  # a method of a class that builds on a library's

    @property
    def decorators(self) -> list[str]:
        return [ast.unparse(one) for one in self.node.decorator_list]

    def has(self, pattern: re.Pattern[str]) -> bool:
        return any(pattern.search(one) for one in self.decorators)

    @property
    def doc(self) -> str:
        return ast.get_docstring(self.node) or ""

    @property
    def true_or_false(self) -> bool:
        returns = self.node.returns
        return (
            returns is not None
            and re.match(r"(TypeGuard|TypeIs|bool|(pl\.)?Expr)\b", ast.unparse(returns)) is not None
        )

    @property
    def at(self) -> str:
        return f"{self.file}:{self.node.lineno} {self.name}"


@cache
def trees() -> dict[str, ast.Module]:
    files = sorted(file for top in TOP for file in (ROOT / top).rglob("*.py"))
    return {str(f.relative_to(ROOT)): ast.parse(f.read_text(encoding="utf-8")) for f in files}


def classes() -> Iterator[tuple[str, ast.ClassDef]]:
    for file, tree in trees().items():
        yield from ((file, node) for node in ast.walk(tree) if isinstance(node, ast.ClassDef))


@cache
def errors() -> set[str]:
    """PreceptorError and all that build on it, by name."""
    bases = {node.name: {ast.unparse(base).split(".")[-1] for base in node.bases} for _, node in classes()}
    found = {"PreceptorError"}
    while more := {name for name, of in bases.items() if of & found} - found:
        found |= more
    return found


@cache
def arrays() -> re.Pattern[str]:
    """Types of arrays: the libraries', and names that files give them, unless another file means otherwise."""
    assigned = [
        (ast.unparse(node.targets[0]), ast.unparse(node.value))
        for tree in trees().values()
        for node in tree.body
        if isinstance(node, ast.Assign) and isinstance(node.value, ast.Attribute | ast.Subscript | ast.BinOp)
    ]
    names: set[str] = set()
    while True:
        known = re.compile(rf"\b({'|'.join(sorted(LIBRARY_ARRAYS | names))})\b")
        other = {name for name, value in assigned if not known.search(value)}
        more = {name for name, value in assigned if known.search(value)} - other
        if more <= names:
            return known
        names |= more


@cache
def functions() -> list[Function]:
    return [one for file, tree in trees().items() for one in _functions(file, tree)]


def _functions(file: str, tree: ast.Module) -> Iterator[Function]:
    foreign = {
        name.asname or name.name.split(".")[0]
        for node in ast.walk(tree)
        if isinstance(node, ast.Import | ast.ImportFrom) and not getattr(node, "level", 0)
        for name in node.names
        if getattr(node, "module", "") not in PLAIN_BASES
    }

    def visit(
        body: list[ast.stmt], place: str, around: tuple[str, ...], inherited: bool
    ) -> Iterator[Function]:
        for node in body:
            if isinstance(node, ast.If):
                yield from visit([*node.body, *node.orelse], place, around, inherited)
            elif isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
                above = any(re.split(r"\W", ast.unparse(base))[0] in foreign for base in node.bases)
                more = (ast.get_docstring(node) or "", *around)
                yield from visit(node.body, f"{place}{node.name}.", more, above)
            elif isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and not node.name.startswith("_"):
                yield Function(file, place + node.name, node, around, inherited)

    yield from visit(tree.body, "", (ast.get_docstring(tree) or "",), False)


def commands() -> set[str]:
    """Names of commands, which the functions that do their work share."""
    return {one.node.name for one in functions() if one.has(_COMMAND)}


def twice(held: tuple[str, ...] = TOP) -> Iterator[str]:
    places = defaultdict(list)
    for file, node in classes():
        if not node.name.startswith("_") and below(file, held):
            places[node.name].append(f"{file}:{node.lineno}")
    for name, where in places.items():
        if len(where) > 1:
            yield from (f"{one} {name}: another class has this name: {', '.join(where)}" for one in where)


def unnamed() -> Iterator[str]:
    of_commands = commands()
    for one in functions():
        name = one.node.name
        word = name.split("_")[0]
        aside = one.inherited or one.has(_COMMAND) or one.has(_ATTRIBUTE) or one.has(_HOOK)
        if (
            aside
            or name == "main"
            or word in VERBS
            or name in of_commands
            or name in NOUNS
            or (word in PREDICATES and one.true_or_false)
        ):
            continue
        yield f"{one.at}: begins with no verb"


def unsaid() -> Iterator[str]:
    for one in functions():
        aside = one.has(_ATTRIBUTE) or one.has(_HOOK)
        if one.has(_COMMAND) and any("help=" in decorator for decorator in one.decorators):
            continue
        if not one.doc:
            if not one.inherited and not one.has(_HOOK):
                yield f"{one.at}: has no docstring"
            continue
        word = re.sub(r"\W+$", "", one.doc.split()[0])
        yes = word in {"True", "Whether"} and one.true_or_false
        if not aside and not yes and not (word[:1].isupper() and word.lower() in VERBS):
            yield f"{one.at}: docstring begins with no imperative: {one.doc.splitlines()[0]}"


def unraised() -> Iterator[str]:
    for one in functions():
        if one.has(_COMMAND):  # the command line turns errors into lines
            continue
        raised = {
            ast.unparse(node.exc.func if isinstance(node.exc, ast.Call) else node.exc).split(".")[-1]
            for node in ast.walk(one.node)
            if isinstance(node, ast.Raise) and node.exc is not None
        } & errors()
        if raised and "Raises" not in one.doc and not raised & set(re.findall(r"\w+", one.doc)):
            yield f"{one.at}: raises {', '.join(sorted(raised))}, which its docstring does not say"


def unshaped() -> Iterator[str]:
    for one in functions():
        of = one.node.args
        given = [*of.posonlyargs, *of.args, *of.kwonlyargs, of.vararg, of.kwarg]
        types = [arg.annotation for arg in given if arg is not None and arg.annotation is not None]
        if one.node.returns is not None:
            types.append(one.node.returns)
        of_arrays = any(arrays().search(ast.unparse(kind)) for kind in types)
        if of_arrays and not any(_SHAPE.search(doc) for doc in (one.doc, *one.around)):
            yield f"{one.at}: takes or returns arrays, and nothing says their shapes"


RULES = {"class": twice, "name": unnamed, "docstring": unsaid, "raises": unraised, "shape": unshaped}


def below(place: str, rooms: tuple[str, ...]) -> bool:
    """Whether a file, or a finding that begins with its path, is below one of these rooms or is one of them."""
    file = Path(place.partition(":")[0])
    return any(file.is_relative_to(room) for room in rooms)


@pytest.mark.parametrize("rule", RULES)
def test_words(rule):
    found = twice(HELD) if rule == "class" else RULES[rule]()
    assert [one for one in found if below(one, HELD)] == []


def test_rooms_that_are_held_are_there():
    assert [room for room in HELD if not (ROOT / room).exists()] == []


GOOD = '''
class PreceptorError(Exception): ...
class RoomError(PreceptorError): ...
class Fit:
    @property
    def draws(self) -> int: """Number of draws."""
def read_fit(x: np.ndarray) -> Fit:
    """Read a fit of x (chains, draws).

    Raises RoomError if there is none.
    """
    raise RoomError("no")
def is_fit(name: str) -> bool: """True if the name is a fit's."""
@click.command(help="Fits.")
def fits() -> None: ...
class Dataset(torch.Dataset):
    def torch_call(self) -> int: """Return 0."""
'''
BAD = '''
class PreceptorError(Exception): ...
class Fit: ...
def key_of(x: np.ndarray) -> Fit:
    """What a name says."""
    raise PreceptorError("no")
def is_fit(name: str) -> str:
    """True if the name is a fit's."""
def read() -> None: ...
'''


@pytest.fixture
def found(monkeypatch):
    """A function that says which names each rule finds in modules."""

    def check(*modules):
        read = {f"{n}.py": ast.parse(text) for n, text in enumerate(modules)}
        for one in (functions, errors, arrays):
            one.cache_clear()
        with monkeypatch.context() as patch:
            patch.setitem(globals(), "trees", lambda: read)
            listed = {rule: find() if rule != "class" else twice(tuple(read)) for rule, find in RULES.items()}
            return {
                rule: sorted({one.split()[1].rstrip(":") for one in some}) for rule, some in listed.items()
            }

    yield check
    for one in (functions, errors, arrays):
        one.cache_clear()


def test_what_keeps_to_the_rules_is_not_found(found):
    text = "import torch\nimport numpy as np\n" + GOOD
    assert found(text) == {rule: [] for rule in RULES}


def test_what_breaks_a_rule_is_found(found):
    assert found(BAD, "class Fit: ...") == {
        "class": ["Fit"],
        "name": ["is_fit", "key_of"],
        "docstring": ["is_fit", "key_of", "read"],
        "raises": ["key_of"],
        "shape": ["key_of"],
    }


def main(rooms: tuple[str, ...]) -> None:
    counts: Counter[str] = Counter()
    for rule, find in RULES.items():
        found = [one for one in find() if below(one, rooms)]
        counts[rule] = len(found)
        sys.stdout.write("".join(f"{one}\n" for one in found))
    sys.stdout.write(", ".join(f"{n} {rule}" for rule, n in counts.items()) + "\n")


if __name__ == "__main__":
    main(tuple(sys.argv[1:]) or TOP)
