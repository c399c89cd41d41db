"""Counts what TRL 1.16 makes of a split's rows: a pair whose prompt reaches max_length -> `dropped: 1`."""

import hashlib
from array import array
from bisect import bisect_left, insort
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa

from .records import Split
from .rows import Encoded, Form, Tokenizer, common, encode

_SHOWN = 3
_PACK_BATCH = 1000


@dataclass
class Tally:
    """What has been counted of a split."""

    rows: int = 0
    kept: int = 0
    dropped: int = 0
    truncated: int = 0
    tokens_lost: int = 0
    loss_tokens: int = 0
    whole: int = 0
    lengths: "array[int]" = field(default_factory=lambda: array("q"))
    found: dict[str, list[Any]] = field(default_factory=dict)  # kind: how many, the first rows, a saying
    labels: set[bool] = field(default_factory=set)


@dataclass(frozen=True)
class Way:
    """How rows are cut and which of their tokens bear the loss."""

    stage: str
    longest: int | None
    keep_end: bool
    completions: bool
    assistant: bool
    packing: bool
    strategy: str


def count_rows(
    tally: Tally,
    batch: pa.Table,
    start: int,
    form: Form,
    way: Way,
    tokenizer: Tokenizer,
    template: str | None,
    seen: dict[bytes, Any],
    split: str,
) -> None:
    """Count one batch of rows."""
    keys = _keys(batch, start)
    whole = np.ones(len(batch), bool)
    used = [*form.columns, *({"soft-dpo": ["p"], "kto": ["label"]}.get(way.stage, []))]
    for column in (name for name in used if name in batch.column_names):
        whole &= np.asarray(batch[column].is_valid())
    for i in np.flatnonzero(~whole).tolist():
        _note(tally, "null_cells", keys[i])
    tally.rows += int((~whole).sum()) * (2 if _both(form, way) else 1)
    batch, keys = batch.filter(pa.array(whole)), [key for key, w in zip(keys, whole, strict=True) if w]
    labels = batch["label"].to_pylist() if way.stage == "kto" and "label" in batch.column_names else None
    if way.stage == "soft-dpo":
        for key, p in zip(keys, batch["p"].to_pylist(), strict=True):
            if not 0 <= p <= 1:
                _note(tally, "p_range", key)
            elif p < 0.5:
                _note(tally, "p_below_half", key)
    for i, row in enumerate(encode(batch, form, tokenizer, template, way.assistant)):
        for one, label in _rows_of(row, form, way, labels[i] if labels else None):
            _row(tally, one, keys[i], label, way, tokenizer.eos_token_id if form.conversational else None)
            _known(tally, one, keys[i], label, seen, split)


def _both(form: Form, way: Way) -> bool:
    return way.stage == "kto" and len(form.answers) == 2


def _rows_of(row: Encoded | str, form: Form, way: Way, label: Any) -> Iterator[tuple[Encoded | str, Any]]:
    """A row as the trainer has it: KTO makes two of a pair."""
    if isinstance(row, str) or not _both(form, way):
        yield row, None if label is None else bool(label)
        return
    for full, empty, better in zip(row.full, row.empty, (True, False), strict=True):
        yield Encoded(row.prompt, [full], [empty]), better


def _row(tally: Tally, row: Encoded | str, key: str, label: bool | None, way: Way, end: int | None) -> None:
    """Count one row of the trainer's."""
    tally.rows += 1
    if isinstance(row, str):
        _note(tally, "template_fails", key, row)
        return
    if label is not None:
        tally.labels.add(label)
    limit, lengths = way.longest, [len(full) for full in row.full]
    asked = min(common(row.prompt, full) for full in row.full)
    if asked < len(row.prompt):
        _note(tally, "boundary", key)
    _note_empty(tally, row, key, label)
    if way.assistant and not any(row.assistant or ()):
        _note(tally, "no_assistant", key)
    if end is not None and row.prompt and not all(end in full[asked:] for full in row.full):
        _note(tally, "no_end", key)
    tally.whole = max(tally.whole, *lengths)
    cut = [_kept(full, limit, way) for full in row.full]
    losing = [_bearing(row, full, asked, limit, way) for full in row.full]
    if _is_dropped(asked, losing, way):
        tally.dropped += 1
        _note(tally, "dropped", key)
        return
    tally.kept += 1
    tally.loss_tokens += sum(losing)
    tally.lengths.extend(len(ids) for ids in cut)
    lost = sum(lengths) - sum(len(ids) for ids in cut)
    if lost:
        tally.truncated += 1
        tally.tokens_lost += lost
        _note(tally, "truncated", key)
    if not all(losing):
        _note(tally, "no_loss", key)
    if len(cut) == 2 and cut[0] == cut[1] and losing[0] == losing[1]:
        _note(tally, "dead_pairs", key)
        if row.full[0] != row.full[1]:
            _note(tally, "cut_dead", key)


def _kept(ids: list[int], limit: int | None, way: Way) -> list[int]:
    if limit is None or (way.packing and way.strategy != "bfd"):
        return ids
    return ids[-limit:] if way.keep_end else ids[:limit]


def _bearing(row: Encoded, ids: list[int], asked: int, limit: int | None, way: Way) -> int:
    """Tokens of a sequence that bear the loss, after truncation."""
    begin = asked if way.completions else 0
    if row.assistant is not None and way.assistant:
        marks = [mark and i >= begin for i, mark in enumerate(row.assistant)]
        return sum(_kept(marks, limit, way))  # type: ignore[arg-type]
    left = len(_kept(ids, limit, way))
    return min(len(ids) - begin, left) if way.keep_end else max(0, left - begin)


def _is_dropped(asked: int, losing: list[int], way: Way) -> bool:
    if way.longest is None or way.packing:
        return False
    if way.stage == "sft":
        return not losing[0]
    return not way.keep_end and asked >= way.longest


def _note_empty(tally: Tally, row: Encoded, key: str, label: bool | None) -> None:
    """An empty better answer teaches silence; an empty worse one is only easily told."""
    if row.empty[0] and label is not False:
        _note(tally, "empty_completions", key)
    elif any(row.empty):
        _note(tally, "empty_rejected", key)


def _known(
    tally: Tally, row: Encoded | str, key: str, label: bool | None, seen: dict[bytes, Any], split: str
) -> None:
    """Note rows that were there before: in this split, in another, or with the other label."""
    if isinstance(row, str):
        return
    parts = [np.asarray(ids, np.int64).tobytes() for ids in (row.prompt, *row.full)]
    digest = hashlib.blake2b(b"|".join(parts), digest_size=16).digest()
    now = (split, label)
    before = seen.setdefault(digest, now)
    if before is now:
        return
    if before[0] != split:
        _note(tally, "in_two_splits", key)
    elif before[1] is not label:
        _note(tally, "both_labels", key)
    else:
        _note(tally, "duplicates", key)


def _note(tally: Tally, kind: str, key: str, said: str = "") -> None:
    entry = tally.found.setdefault(kind, [0, [], said])
    entry[0] += 1
    if len(entry[1]) < _SHOWN and key not in entry[1]:
        entry[1].append(key)


def _keys(batch: pa.Table, start: int) -> list[str]:
    """Rows by number from 0, as they stand in the split, with the key that they have."""
    name = next((n for n in ("key", "id") if n in batch.column_names), None)
    if name is None:
        return [str(start + i) for i in range(len(batch))]
    return [f"{start + i} ({key})" for i, key in enumerate(batch[name].to_pylist())]


def finish(name: str, tally: Tally, way: Way) -> Split:
    """The counts, and how long sequences are."""
    lengths = np.frombuffer(tally.lengths, np.int64) if tally.lengths else np.zeros(1, np.int64)
    middle, most = (int(q) for q in np.percentile(lengths, (50, 95)))
    sequences = _packed(list(tally.lengths), way) if way.packing else tally.kept
    return Split(
        name,
        tally.rows,
        tally.kept,
        tally.dropped,
        tally.truncated,
        tally.tokens_lost,
        int(lengths.sum()),
        tally.loss_tokens,
        sequences,
        middle,
        most,
        int(lengths.max()),
        tally.whole,
    )


def _packed(lengths: list[int], way: Way) -> int:
    """Sequences that TRL packs rows of these lengths into, a thousand rows at a time as it does."""
    room, n = way.longest or 1, 0
    for start in range(0, len(lengths), _PACK_BATCH):
        some = [length for length in lengths[start : start + _PACK_BATCH] if length]
        if way.strategy == "wrapped":
            n += -(-sum(some) // room)
            continue
        pieces = [min(room, length - i) for length in some for i in range(0, length, room)]
        free: list[int] = []  # what is left in each, ascending
        for piece in sorted(pieces, reverse=True):
            at = bisect_left(free, piece)
            left = (free.pop(at) if at < len(free) else room) - piece
            insort(free, left)
        n += len(free)
    return n
