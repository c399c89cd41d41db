"""A store that is filled again and again, and a check of damaged files of any format."""

import pytest
from examples import few
from hypothesis import given
from hypothesis import strategies as st

from preceptor.schemas.errors import SourceError
from preceptor.schemas.licenses import read_license
from preceptor.schemas.tables import REJECTS
from preceptor.toolkit.ingest.batch import Context
from preceptor.toolkit.ingest.files import numbered_lines as lines_module
from preceptor.toolkit.ingest.formats import FORMATS
from preceptor.toolkit.ingest.run import Origin, find_inputs, ingest
from preceptor.toolkit.store.connection import count, open_store, remove_source


@pytest.fixture(scope="module")
def opened(tmp_path_factory):
    """An open store that a module's tests of many small ingests empty and fill again."""
    with open_store(tmp_path_factory.mktemp("store") / "s.duckdb", create=True) as con:
        yield con


@pytest.fixture
def damaged_files_balance(opened, tmp_path):
    """A function that ingests a file damaged in many ways, read in blocks of several sizes.

    Each is refused, or its rejects are stored and `holds(report)` is called to look at the rest.
    """
    path = tmp_path / "f.txt"

    def check(format, whole, pieces, holds):
        place = st.integers(0, len(whole))

        @few()
        @given(
            st.lists(st.tuples(place, st.integers(0, 6), st.sampled_from([b"", *pieces])), max_size=4),
            st.sampled_from([16, 300, 1 << 20]),
        )
        def run(changes, block):
            data = whole
            for start, dropped, put in changes:
                data = data[:start] + put + data[start + dropped :]
            path.write_bytes(data)
            remove_source(opened, "s")
            old, lines_module.BLOCK_BYTES = lines_module.BLOCK_BYTES, block
            try:
                files = find_inputs(FORMATS[format], [path])
                report = ingest(opened, FORMATS[format], files, Context("s"), Origin(read_license(None)))
            except SourceError:
                return
            finally:
                lines_module.BLOCK_BYTES = old
            assert report.rejects == count(opened, REJECTS)
            holds(report)

        run()

    return check
