"""Count rows kept, dropped and truncated by TRL 1.16: a pair with a prompt of max_length -> `dropped: 1`."""

import hashlib
from array import array
from bisect import bisect_left, insort
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa

from ..stages.stage import Stage
from .records import SplitCounts
from .rows import EncodedRow, RowForm, Tokenizer, count_common, encode

_SHOWN = 3
_PACK_BATCH = 1000


@dataclass
class Tally:
    """Running counts of a split; the report's SplitCounts come of them."""

    split: str
    seen: dict[bytes, Any]
    """Digest of a row's tokens -> (split, label) where it was first seen; shared by all splits."""
    rows: int = 0
    kept: int = 0
    dropped: int = 0
    truncated: int = 0
    tokens_lost: int = 0
    loss_tokens: int = 0
    whole: int = 0
    lengths: "array[int]" = field(default_factory=lambda: array("q"))
    found: dict[str, list[Any]] = field(default_factory=dict)  # kind -> [count, first rows, message]
    labels: set[bool] = field(default_factory=set)


@dataclass(frozen=True)
class RowRules:
    """How a trainer truncates rows and which of their tokens bear the loss."""

    stage: Stage
    longest: int | None
    """max_length, in tokens; None: no limit."""
    keep_end: bool
    completions: bool
    """True if completions alone bear the loss."""
    assistant: bool
    """True if the assistant's tokens alone bear the loss."""
    packing: bool
    strategy: str
    embeddings: int | None = None
    """Tokens that the model has embeddings for; None if that is not known."""


def count_rows(
    tally: Tally,
    batch: pa.Table,
    start: int,
    form: RowForm,
    rules: RowRules,
    tokenizer: Tokenizer,
    template: str | None,
) -> None:
    """Count one batch of rows into the tally; `start` is the number of its first row in the split.

    `template` replaces the tokenizer's chat template where it is given.
    """
    keys = _keys(batch, start)
    whole = np.ones(len(batch), bool)
    for column in (name for name in (*form.columns, *rules.stage.own) if name in batch.column_names):
        whole &= np.asarray(batch[column].is_valid())
    for i in np.flatnonzero(~whole).tolist():
        _note(tally, "null_cells", keys[i])
    tally.rows += int((~whole).sum()) * (2 if _both(form, rules) else 1)
    batch, keys = batch.filter(pa.array(whole)), [key for key, w in zip(keys, whole, strict=True) if w]
    label = rules.stage.label
    labels = batch[label].to_pylist() if label in batch.column_names else None
    for kind, marked in rules.stage.mark_rows(batch).items():
        for i in np.flatnonzero(marked).tolist():
            _note(tally, kind, keys[i])
    for i, row in enumerate(encode(batch, form, tokenizer, template, rules.assistant)):
        for one, better in _rows_of(row, form, rules, labels[i] if labels else None):
            _row(tally, one, keys[i], better, rules, tokenizer.eos_token_id if form.conversational else None)
            _known(tally, one, keys[i], better)


def _both(form: RowForm, rules: RowRules) -> bool:
    """True if the trainer makes two rows with labels of a pair."""
    return rules.stage.label is not None and len(form.answers) == 2


def _rows_of(
    row: EncodedRow | str, form: RowForm, rules: RowRules, label: Any
) -> Iterator[tuple[EncodedRow | str, Any]]:
    """The trainer's rows of a row, with their labels."""
    if isinstance(row, str) or not _both(form, rules):
        yield row, None if label is None else bool(label)
        return
    for full, empty, better in zip(row.full, row.empty, (True, False), strict=True):
        yield EncodedRow(row.prompt, [full], [empty]), better


def _row(
    tally: Tally, row: EncodedRow | str, key: str, label: bool | None, rules: RowRules, end: int | None
) -> None:
    """Count one of the trainer's rows; `end` is the id of the end-of-text token that it must have."""
    tally.rows += 1
    if isinstance(row, str):
        _note(tally, "template_fails", key, row)
        return
    if label is not None:
        tally.labels.add(label)
    limit, lengths = rules.longest, [len(full) for full in row.full]
    asked = min(count_common(row.prompt, full) for full in row.full)
    if asked < len(row.prompt):
        _note(tally, "boundary", key)
    _note_empty(tally, row, key, label)
    if rules.assistant and not any(row.assistant or ()):
        _note(tally, "no_assistant", key)
    if end is not None and row.prompt and not all(end in full[asked:] for full in row.full):
        _note(tally, "no_end", key)
    tally.whole = max(tally.whole, *lengths)
    cut = [_kept(full, limit, rules) for full in row.full]
    losing = [_bearing(row, full, asked, limit, rules) for full in row.full]
    if _is_dropped(asked, losing, rules):
        tally.dropped += 1
        _note(tally, "dropped", key)
        return
    tally.kept += 1
    tally.loss_tokens += sum(losing)
    tally.lengths.extend(len(ids) for ids in cut)
    if rules.embeddings and max(max(ids, default=0) for ids in cut) >= rules.embeddings:
        _note(tally, "no_embedding", key)
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


def _kept(ids: list[int], limit: int | None, rules: RowRules) -> list[int]:
    if limit is None or (rules.packing and rules.strategy != "bfd"):
        return ids
    return ids[-limit:] if rules.keep_end else ids[:limit]


def _bearing(row: EncodedRow, ids: list[int], asked: int, limit: int | None, rules: RowRules) -> int:
    """Tokens of a sequence that bear the loss, after truncation."""
    begin = asked if rules.completions else 0
    if row.assistant is not None and rules.assistant:
        marks = [mark and i >= begin for i, mark in enumerate(row.assistant)]
        return sum(_kept(marks, limit, rules))  # type: ignore[arg-type]
    left = len(_kept(ids, limit, rules))
    return min(len(ids) - begin, left) if rules.keep_end else max(0, left - begin)


def _is_dropped(asked: int, losing: list[int], rules: RowRules) -> bool:
    if rules.longest is None or rules.packing:
        return False
    if rules.stage.drops_without_loss:
        return not losing[0]
    return not rules.keep_end and asked >= rules.longest


def _note_empty(tally: Tally, row: EncodedRow, key: str, label: bool | None) -> None:
    """Note empty answers: a better one teaches silence, a worse one is recognised by its length."""
    if row.empty[0] and label is not False:
        _note(tally, "empty_completions", key)
    elif any(row.empty):
        _note(tally, "empty_rejected", key)


def _known(tally: Tally, row: EncodedRow | str, key: str, label: bool | None) -> None:
    """Note rows seen before: in this split, in another one, or with the other label."""
    if isinstance(row, str):
        return
    parts = [np.asarray(ids, np.int64).tobytes() for ids in (row.prompt, *row.full)]
    digest = hashlib.blake2b(b"|".join(parts), digest_size=16).digest()
    now = (tally.split, label)
    before = tally.seen.setdefault(digest, now)
    if before is now:
        return
    if before[0] != tally.split:
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
    """Numbers of rows in the split, from 0, with their key or id where they have one."""
    name = next((n for n in ("key", "id") if n in batch.column_names), None)
    if name is None:
        return [str(start + i) for i in range(len(batch))]
    return [f"{start + i} ({key})" for i, key in enumerate(batch[name].to_pylist())]


def summarise(tally: Tally, rules: RowRules) -> SplitCounts:
    """Summarise a tally: the counts, and quantiles of the sequences' lengths in tokens."""
    lengths = np.frombuffer(tally.lengths, np.int64) if tally.lengths else np.zeros(1, np.int64)
    middle, most = (int(q) for q in np.percentile(lengths, (50, 95)))
    sequences = _packed(list(tally.lengths), rules) if rules.packing else tally.kept
    return SplitCounts(
        tally.split,
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


def _packed(lengths: list[int], rules: RowRules) -> int:
    """Number of sequences that TRL packs rows of these lengths into, a thousand rows at a time."""
    room, n = rules.longest or 1, 0
    for start in range(0, len(lengths), _PACK_BATCH):
        some = [length for length in lengths[start : start + _PACK_BATCH] if length]
        if rules.strategy == "wrapped":
            n += -(-sum(some) // room)
            continue
        pieces = [min(room, length - i) for length in some for i in range(0, length, room)]
        free: list[int] = []  # room left in each sequence, ascending
        for piece in sorted(pieces, reverse=True):
            at = bisect_left(free, piece)
            left = (free.pop(at) if at < len(free) else room) - piece
            insort(free, left)
        n += len(free)
    return n
