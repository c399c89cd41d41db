"""Pseudonyms: ids of learners and annotators enter the store as keyed hashes (HMAC-SHA256).

    learner-17 -> 5f0c2ab1d94e77a3

The key is outside the store, in a file that only its owner may read. Without it a pseudonym cannot be
resolved, not even by trying every id; with it the same id has the same pseudonym in every source, so that a
learner can be followed, and forgotten.
"""

import hashlib
import os
import secrets
from collections.abc import Callable
from pathlib import Path

import polars as pl

from ...schemas.errors import StoreError
from ...schemas.support.files import find_user_settings, open_whole_file
from ...schemas.tables import SIGNALS
from ..store.connection import Store, open_scratch, query, run

DIGITS = 16  # hex: 64 bits, so that 10^6 people share none with probability 1 - 10^-7
VARIABLE = "PRECEPTOR_KEY"
FORM = rf"^[0-9a-f]{{{DIGITS}}}$"

_KEY_BYTES = 32
_BLOCK = 64  # of SHA-256, in bytes
Naming = Callable[[pl.Series], pl.Series]


def find_key_file() -> Path:
    """Return the path of the key: PRECEPTOR_KEY, or a file in the user's settings folder."""
    given = os.environ.get(VARIABLE)
    return Path(given) if given else find_user_settings() / "pseudonyms.key"


def read_key(path: Path) -> bytes:
    """Read the key. Raises StoreError if the file is no key of ours, or other users may read it."""
    try:
        open_to_others = os.name == "posix" and path.stat().st_mode & 0o077
        key = bytes.fromhex(path.read_text(encoding="ascii"))
    except FileNotFoundError as error:
        raise StoreError(
            f"{path}: no key; pseudonyms cannot be made or matched without the one that this store was "
            f"made with: point {VARIABLE} at it"
        ) from error
    except (OSError, ValueError) as error:
        raise StoreError(f"{path}: cannot be read as a key; point {VARIABLE} at the right file") from error
    if open_to_others:
        raise StoreError(f"{path}: others may read the key; take that away (chmod 600 {path})")
    if len(key) != _KEY_BYTES:
        raise StoreError(f"{path}: is no key of {_KEY_BYTES} bytes; point {VARIABLE} at the right file")
    return key


def make_key(path: Path) -> None:
    """Write a new key to `path`, readable by its owner alone, if there is none. Raises StoreError."""
    if path.exists():
        return
    try:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        with open_whole_file(path, 0o600, new=True) as stream:
            stream.write(f"{secrets.token_hex(_KEY_BYTES)}\n".encode())
    except FileExistsError:  # another process was first: its key is the key
        pass
    except OSError as error:
        raise StoreError(f"{path}: cannot write a key there ({error.strerror}); set {VARIABLE}") from error


def make_naming(con: Store, path: Path) -> Naming:
    """Make a function from ids to their pseudonyms; nulls stay. The store keeps a digest of the key.

    A key is made if neither the store nor `path` has one. Raises StoreError if they differ.
    """
    key = take_key(con, path)
    return lambda ids: make_pseudonyms(ids, key)


def take_key(con: Store, path: Path) -> bytes:
    """Read the key of this store, which keeps a digest of it; it is made if neither it nor `path` has one.

    Raises StoreError if they differ.
    """
    ((known,),) = run(con, "SELECT key_digest FROM preceptor")
    if known is None:
        make_key(path)
        run(con, "UPDATE preceptor SET key_digest = ?", [_digest(read_key(path))])
    return read_store_key(con, path)


def read_store_key(con: Store, path: Path) -> bytes:
    """Read the key of this store's pseudonyms. Raises StoreError if it has none, or `path` has another."""
    ((known,),) = run(con, "SELECT key_digest FROM preceptor")
    if known is None:
        signals = ", ".join(signal.name for signal in SIGNALS)
        raise StoreError(f"the store holds no pseudonyms; ingest {signals} or reviews first")
    key = read_key(path)
    if known != _digest(key):
        raise StoreError(
            f"{path}: is another key than the one this store's pseudonyms were made with; "
            f"point {VARIABLE} at that one"
        )
    return key


def _digest(key: bytes) -> str:
    """Compute a digest that identifies the key without revealing it."""
    return hashlib.sha256(b"preceptor" + key).hexdigest()


def make_pseudonyms(ids: pl.Series, key: bytes) -> pl.Series:
    """Compute the first digits of HMAC-SHA256(key, id) (RFC 2104), in SQL, since logs are long.

    The spellings that formats give one id are one: 17, " 17 ", 17.0, and letters with accents apart or not.
    """
    ids = _spell_alike(ids.cast(pl.String))
    if ids.null_count() == len(ids):
        return ids
    block = key.ljust(_BLOCK, b"\0")
    pads = {name: bytes(b ^ pad for b in block) for name, pad in (("inner", 0x36), ("outer", 0x5C))}
    with open_scratch() as con:
        con.register("people", pl.DataFrame({"id": ids.unique()}).to_arrow())
        made = query(
            con,
            f"""SELECT id, left(sha256($outer::BLOB || unhex(sha256(
            $inner::BLOB || encode(id)))), {DIGITS}) AS pseudonym FROM people""",
            pads,
        )
    return ids.replace_strict(made["id"], made["pseudonym"], return_dtype=pl.String)


def _spell_alike(ids: pl.Series) -> pl.Series:
    """Spell ids that differ only in white space, decimals of a whole number or Unicode's forms alike."""
    unique = ids.unique()
    spelt = unique.str.normalize("NFC").str.strip_chars().str.replace(r"^(-?\d+)\.0+$", "$1")
    if (spelt == unique).all():
        return ids
    return ids.replace_strict(unique, spelt, return_dtype=pl.String)


def make_pseudonym(id: str, key: bytes) -> str:
    """Compute the pseudonym of one id."""
    return str(make_pseudonyms(pl.Series([id]), key)[0])


def make_forgotten_check(con: Store) -> Callable[[pl.Series], pl.Series]:
    """Make a function from pseudonyms to booleans: true if that person is forgotten."""
    gone = query(con, "SELECT person FROM forgotten")["person"]
    if gone.is_empty():
        return lambda names: pl.repeat(False, len(names), dtype=pl.Boolean, eager=True)

    def forgotten(names: pl.Series) -> pl.Series:
        with open_scratch() as memory:
            memory.register("people", pl.DataFrame({"name": names.cast(pl.String)}).to_arrow())
            hashes = query(memory, f"SELECT {write_mark_sql('name')} AS person FROM people")["person"]
        return hashes.is_in(gone.implode()).fill_null(False)

    return forgotten


def write_mark_sql(pseudonym: str) -> str:
    """Write the SQL expression of a pseudonym's hash in `forgotten`, by which the person is recognised."""
    return f"left(sha256({pseudonym}), 20)"
