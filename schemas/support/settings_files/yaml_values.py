"""Parse YAML that anybody may have written: plain values, of a bounded size, depth and number of aliases.

{a: 1}                         {"a": 1}
a: !!python/name:os.system     a fault: a tag
a: &a [*a]                     a fault: an alias of what it stands in
a: 1e999                       a fault: a number without end
"""

import math
from collections.abc import Iterator
from typing import Any

import yaml

from ...errors import PreceptorError, RecipeError

MOST_CHARACTERS = 1 << 18
MOST_DEPTH = 40
MOST_VALUES = 100_000
MOST_DIGITS = 20
_PLAIN_TAGS = tuple(f"tag:yaml.org,2002:{kind}" for kind in ("str", "int", "float"))
_HINTS = {
    "mapping values are not allowed here": "put a text with ': ' in quotes",
    "found character '\\t' that cannot start any token": "indent with blanks, not with tabs",
}
_OPEN = (yaml.MappingStartEvent, yaml.SequenceStartEvent)
_CLOSE = (yaml.MappingEndEvent, yaml.SequenceEndEvent)


class _FaultError(Exception):
    """A value that is refused, with its line from 1 (0: unknown)."""

    def __init__(self, line: int, what: str) -> None:
        super().__init__(what)
        self.line = line


def parse_yaml(
    text: str, where: object, error: type[PreceptorError] = RecipeError
) -> tuple[yaml.Node | None, Any]:
    """Parse a YAML text: its nodes, which know their lines, and its value.

    Raises the given error, which names `where` the text is from, the line and what to do, if the text is no
    YAML, or has anything but mappings, lists, texts, finite numbers, dates, true, false and null.
    """
    try:
        if len(text) > MOST_CHARACTERS:
            raise _FaultError(0, f"longer than {MOST_CHARACTERS:,} characters; is it the right file?")
        _check_events(text)
        root = yaml.compose(text, Loader=yaml.SafeLoader)
        if root is not None:
            _check_aliases(root)
            _check_values(root)
        content = yaml.safe_load(text)
    except _FaultError as fault:
        line = f":{fault.line}" if fault.line else ""
        raise error(f"{where}{line}: {fault}") from fault
    except yaml.MarkedYAMLError as fault:
        mark, problem = fault.problem_mark or fault.context_mark, fault.problem or fault.context or "?"
        hint = _HINTS.get(problem)
        line = f":{mark.line + 1}" if mark else ""
        raise error(f"{where}{line}: not YAML: {problem}{f'; {hint}' if hint else ''}") from fault
    except yaml.reader.ReaderError as fault:
        before = text[: fault.position].count("\n")
        raise error(
            f"{where}:{before + 1}: not YAML: the character U+{int(fault.character):04X} is not allowed"
        ) from fault
    except (yaml.YAMLError, ValueError, TypeError, LookupError, RecursionError, OverflowError) as fault:
        raise error(f"{where}: not YAML: {' '.join(str(fault).split())[:300]}") from fault
    return root, content


def _check_events(text: str) -> None:
    """Check depth and tags before anything is built."""
    depth = 0
    for event in yaml.parse(text, Loader=yaml.SafeLoader):
        depth += isinstance(event, _OPEN) - isinstance(event, _CLOSE)
        line = event.start_mark.line + 1 if event.start_mark else 0
        if depth > MOST_DEPTH:
            raise _FaultError(line, f"nested deeper than {MOST_DEPTH} levels; write it flatter")
        if tag := getattr(event, "tag", None):
            raise _FaultError(line, f"a tag (!): '{tag}'; leave it out, values need none")


def _check_aliases(root: yaml.Node) -> None:
    """Check how many values there are when each alias is written out; a bottom-up count, each node once."""
    counts: dict[int, int] = {}
    open_: set[int] = set()
    todo = [(root, False)]
    while todo:
        node, counted = todo.pop()
        children = list(_list_children(node))
        if counted:
            open_.discard(id(node))
            counts[id(node)] = 1 + sum(counts[id(child)] for _, child in children)
            if counts[id(node)] > MOST_VALUES:
                raise _FaultError(
                    node.start_mark.line + 1,
                    f"more than {MOST_VALUES:,} values, with its aliases (*) written out; leave some out",
                )
        elif id(node) not in counts:
            open_.add(id(node))
            todo.append((node, True))
            for line, child in children:
                if id(child) in open_:
                    raise _FaultError(line, "an alias (*) of what it stands in; write the value out")
                todo.append((child, False))


def _list_children(node: yaml.Node) -> Iterator[tuple[int, yaml.Node]]:
    """The keys and values of a node, with the line of the key, or of the list."""
    if isinstance(node, yaml.MappingNode):
        for key, value in node.value:
            line = max(key.start_mark.line, node.start_mark.line) + 1
            yield from ((line, key), (line, value))
    elif isinstance(node, yaml.SequenceNode):
        yield from ((node.start_mark.line + 1, item) for item in node.value)


def _check_values(root: yaml.Node) -> None:
    """Check that texts are text and numbers are numbers that every format can hold; each node once."""
    make, seen, todo = yaml.constructor.SafeConstructor(), set[int](), [root]
    while todo:
        node = todo.pop()
        if id(node) not in seen:
            seen.add(id(node))
            todo += [child for _, child in _list_children(node)]
            if isinstance(node, yaml.ScalarNode) and node.tag in _PLAIN_TAGS:
                _check_value(make.construct_object(node), node.start_mark.line + 1)


def _check_value(value: Any, line: int) -> None:
    if isinstance(value, str) and any("\ud800" <= letter <= "\udfff" for letter in value):
        raise _FaultError(line, "a text with half a character (\\ud800 to \\udfff); write it out")
    if isinstance(value, float) and not math.isfinite(value):
        raise _FaultError(line, f"a number without end ({value}); write a finite one")
    if isinstance(value, int) and abs(value) >= 10**MOST_DIGITS:
        raise _FaultError(line, f"a number of more than {MOST_DIGITS} digits; put a text in quotes")
