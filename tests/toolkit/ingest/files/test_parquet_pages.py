"""Headers of Parquet's pages: any byte may be wrong, and is named or read, never a traceback."""

import polars as pl
import pyarrow.parquet as pq
import pytest

from preceptor.schemas.allowance import Allowance
from preceptor.toolkit.ingest.files.unpack.parquet_pages import find_bounds

VALUES = (0, 1, 2, 3, 5, 6, 8, 12, 17, 21, 24, 28, 38, 44, 60, 76, 128, 255)


@pytest.fixture(scope="module")
def table(tmp_path_factory):
    path = tmp_path_factory.mktemp("pages") / "t.parquet"
    pl.DataFrame({"learner": ["learner-9", "learner-4"], "correct": [True, False]}).write_parquet(path)
    return path.read_bytes()


def test_any_byte_of_a_header_may_be_wrong(table, tmp_path):
    path, footer = tmp_path / "f.parquet", int.from_bytes(table[-8:-4], "little") + 8
    read = refused = 0
    for at in range(4, len(table) - footer):
        for value in VALUES:
            path.write_bytes(table[:at] + bytes([value]) + table[at + 1 :])
            with pq.ParquetFile(path) as parquet:
                try:
                    find_bounds(path, parquet, ["learner", "correct"], 100, Allowance())
                    read += 1
                except ValueError:  # SourceError is one
                    refused += 1
    assert read > 100
    assert refused > 100
