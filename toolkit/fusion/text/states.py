"""States of completions under a model: read from the store, the missing ones computed and kept there.

A text is read once by a model, whatever fits follow. Rows go with their source, and with a person who is
forgotten.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import polars as pl
from numpy.typing import NDArray

from ....schemas.tables import TEXT_STATES
from ...store.connection import Store, insert, query, transaction
from .cheap import list_asked

Text = tuple[Sequence[dict[str, str]], str]
"""A prompt's messages, and a completion."""

TOGETHER = 64  # completions between two writes; those of a prompt are never parted
OnRead = Callable[[int, int], None]  # (done, of), in texts


@dataclass(frozen=True)
class TextEncoder:
    """A model that reads texts: its name with a digest, and what makes one vector of each text."""

    name: str
    encode: Callable[[Sequence[Text]], list[list[float]]]


def read_states(
    con: Store, completions: pl.Series, encoder: TextEncoder, on_read: OnRead = lambda *_: None
) -> NDArray[np.float64]:
    """Read the states of completions, given by key: (completions, width), those that are not stored computed.

    What is computed is stored after every TOGETHER texts, so that a run that is stopped goes on there.
    """
    list_asked(con, completions)
    missing = query(
        con,
        """SELECT c.key AS completion, c.source, c.prompt, c.content, p.messages
        FROM asked_texts a JOIN completions c ON c.key = a.completion JOIN prompts p ON p.key = c.prompt
        WHERE c.key NOT IN (SELECT completion FROM text_states WHERE model = $model)
        ORDER BY c.prompt, c.key""",
        {"model": encoder.name},
    )
    done = 0
    for batch in _batch(missing):
        texts = list(zip(batch["messages"].to_list(), batch["content"].to_list(), strict=True))
        rows = batch.select("source", "completion", pl.lit(encoder.name).alias("model")).with_columns(
            pl.Series("state", encoder.encode(texts), pl.List(pl.Float32))
        )
        with transaction(con):
            insert(con, TEXT_STATES, rows)
        done += batch.height
        on_read(done, missing.height)
    states = query(
        con,
        """SELECT t.state FROM asked_texts a JOIN text_states t ON t.completion = a.completion
        WHERE t.model = $model ORDER BY a.place""",
        {"model": encoder.name},
    )["state"]
    return (
        states.explode().to_numpy().astype(float).reshape(len(states), -1)
        if len(states)
        else np.zeros((0, 0))
    )


def _batch(texts: pl.DataFrame) -> Iterator[pl.DataFrame]:
    """Cut rows, sorted by prompt, into parts of about TOGETHER, the completions of a prompt together."""
    part = (pl.int_range(pl.len()) // TOGETHER).min().over("prompt")
    for _, rows in texts.with_columns(part=part).group_by("part", maintain_order=True):
        yield rows
