"""Parse JSON that anybody may have written: finite numbers, whole characters, a bounded depth.

parse_json('{"a": [1, 2.5]}')     -> {"a": [1, 2.5]}
parse_json('{"a": 1e999}')        -> ValueError: a number without end
parse_json("[" * 100_000)         -> ValueError: nested deeper than 100 levels
"""

import json
import math
import re
from collections.abc import Callable
from typing import Any

MOST_DEPTH = 100
_MOST_DIGITS = 40  # transformers writes 10^30 for a tokenizer without a longest text
_HALF = re.compile(r"\\u[dD][89a-fA-F]|[\ud800-\udfff]")
_DEEP = f"nested deeper than {MOST_DEPTH} levels"


def parse_json(
    text: str | bytes,
    *,
    finite: bool = True,
    pairs: Callable[[list[tuple[str, Any]]], Any] | None = None,
) -> Any:
    """Parse a JSON text; bytes are UTF-8.

    `finite=False` also takes NaN and Infinity, which Python writes into its own files; `pairs` makes a value
    of an object's names and values. Raises ValueError for anything else than strict JSON, for numbers, halves
    of characters and depths that other programs cannot hold.
    """
    if isinstance(text, bytes):
        text = text.decode("utf-8-sig")
    hooks: dict[str, Any] = {"parse_int": _read_whole}
    if finite:
        hooks |= {"parse_float": _read_float, "parse_constant": _refuse}
    try:
        value = json.loads(text, object_pairs_hook=pairs, **hooks)
    except RecursionError as error:
        raise ValueError(_DEEP) from error
    _check_depth(value)
    if _HALF.search(text):
        try:
            json.dumps(value, ensure_ascii=False).encode()
        except UnicodeEncodeError as error:
            raise ValueError("a text with half a character (\\ud800 to \\udfff)") from error
    return value


def _check_depth(value: Any) -> None:
    level = [value]
    for _ in range(MOST_DEPTH + 1):
        level = [
            child
            for one in level
            if isinstance(one, list | dict | tuple)
            for child in (one.values() if isinstance(one, dict) else one)
            if isinstance(child, list | dict | tuple)
        ]
        if not level:
            return
    raise ValueError(_DEEP)


def _read_whole(digits: str) -> int:
    if len(digits) > _MOST_DIGITS:
        raise ValueError(f"a number of more than {_MOST_DIGITS} digits")
    return int(digits)


def _read_float(digits: str) -> float:
    value = float(digits)
    if not math.isfinite(value):
        raise ValueError(f"a number without end ({digits[:40]})")
    return value


def _refuse(name: str) -> float:
    raise ValueError(f"a number that JSON does not have ({name})")
