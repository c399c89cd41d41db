"""Content keys: short hashes of the fields that identify a row.

Fields are written as netstrings ("5:hello", null as "~") before they are hashed, so that no two
different tuples of fields give the same bytes. DuckDB (`hash_key_sql`, for millions of rows) and Python
(`hash_key`, for one row) compute the same key.
"""

import hashlib
from collections.abc import Iterable, Sequence

LENGTH = 20  # hex digits: 80 bits, so 10^8 rows collide with probability below 10^-8


def hash_key(fields: Sequence[str | int | float | None]) -> str:
    """Hash the identity fields of one row, in order, to its key."""
    parts = ("~" if f is None else f"{len(str(f))}:{f}" for f in fields)
    return hashlib.md5("".join(parts).encode(), usedforsecurity=False).hexdigest()[:LENGTH]


def hash_key_sql(columns: Iterable[str]) -> str:
    """Write a DuckDB expression for the key of the named columns, in order.

    Lists and structs enter as their JSON text.
    """
    parts = (f"coalesce(length({t}) || ':' || {t}, '~')" for t in map(_as_text, columns))
    return f"left(md5(concat({', '.join(parts)})), {LENGTH})"


def _as_text(column: str) -> str:
    if column == "messages":
        return f'to_json("{column}")::VARCHAR'
    return f'"{column}"::VARCHAR'
