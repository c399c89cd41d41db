"""Keep some draws of a fit in the store, small: what its posterior would be without a few signals follows.

    draws 4 x 1000 of (own, w, z_reliability, score:rho …) -> a row for each site, KEPT draws or fewer

Single-valued parameters are kept in single precision, members of groups in half: a rounding of 0.05 %.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from .hmc import Sampler, Shapes, list_entries

KEPT = 4000  # draws, spread evenly over chains and time: with 1,000 weights are twice as noisy
_LEAST = 1000  # draws of a large model
_ROOM = 6_000_000  # numbers that are kept beyond those, 12 MB
_MEMBERS = "<f2"
_SINGLE = "<f4"


def record_draws(sampler: Sampler, shapes: Shapes, position: NDArray[Any]) -> pl.DataFrame:
    """Make rows of table `draws` (site, n, values) from draws (chains, draws, size), padding cut off."""
    chains, draws = position.shape[:2]
    wanted = min(KEPT, max(_LEAST, _ROOM // position.shape[2]))
    picked = np.linspace(0, draws - 1, min(draws, wanted // chains)).astype(int)
    few = np.asarray(position)[:, picked].reshape(chains * len(picked), -1)
    rows = [
        (site, len(few), few[:, columns].astype(_type(columns, sampler)).tobytes())
        for site, columns in _list_columns(sampler, shapes).items()
    ]
    return pl.DataFrame(rows, schema={"site": pl.String, "n": pl.Int64, "values": pl.Binary}, orient="row")


def restore_draws(rows: pl.DataFrame, sampler: Sampler, shapes: Shapes) -> NDArray[np.float32] | None:
    """Restore draws (draws, size), zero where padded; None if they are of a model of another structure."""
    kept: Mapping[str, tuple[int, bytes]] = {site: (n, values) for site, n, values in rows.rows()}
    columns = _list_columns(sampler, shapes)
    if not kept or kept.keys() != columns.keys():
        return None
    n = next(iter(kept.values()))[0]
    position = np.zeros((n, sampler.size), dtype=np.float32)
    for site, at in columns.items():
        values = np.frombuffer(kept[site][1], dtype=_type(at, sampler))
        if len(values) != n * len(at):
            return None
        position[:, at] = values.reshape(n, len(at))
    return position


def _list_columns(sampler: Sampler, shapes: Shapes) -> dict[str, list[int]]:
    """List the columns of the vector that are not padding, by site."""
    columns: dict[str, list[int]] = {}
    for column, site, _ in list_entries(sampler.packing, shapes):
        columns.setdefault(site, []).append(column)
    return columns


def _type(columns: list[int], sampler: Sampler) -> str:
    return _SINGLE if columns[0] < sampler.globals else _MEMBERS
