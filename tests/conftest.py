"""What several test files share."""

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from preceptor.schemas.errors import SourceError
from preceptor.schemas.licenses import read_license
from preceptor.schemas.tables import REJECTS
from preceptor.toolkit.ingest import lines as lines_module
from preceptor.toolkit.ingest.batch import Context
from preceptor.toolkit.ingest.registry import FORMATS
from preceptor.toolkit.ingest.run import Origin, find_inputs, ingest
from preceptor.toolkit.pseudonyms import make_key, pseudonym, read_key
from preceptor.toolkit.store import count, open_store, remove_source

ROOT = Path(__file__).parents[1]

# No deadlines: compiling takes its time. In CI the same examples every run.
settings.register_profile("preceptor", deadline=None, derandomize="CI" in os.environ)
settings.load_profile("preceptor")


@pytest.fixture(scope="session", autouse=True)
def key_file(tmp_path_factory):
    """The key of pseudonyms, away from the user's own."""
    path = tmp_path_factory.mktemp("key") / "pseudonyms.key"
    os.environ["PRECEPTOR_KEY"] = str(path)
    return path


@pytest.fixture
def named(key_file):
    """A function from people's ids to their pseudonyms."""

    def name(*ids):
        make_key(key_file)
        found = [pseudonym(id, read_key(key_file)) for id in ids]
        return found[0] if len(found) == 1 else found

    return name


@pytest.fixture(scope="session")
def shared_data():
    """The real sources beside the project, used in place; tests that need them skip without."""
    folder = ROOT.parent / "shared" / "data"
    if not folder.is_dir():
        pytest.skip("no ../shared/data: the counts of the real corpora are not checked")
    return folder


@pytest.fixture
def store(tmp_path):
    """An open, empty store."""
    with open_store(tmp_path / "s.duckdb", create=True) as con:
        yield con


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

        @settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
        @given(st.lists(st.tuples(place, st.integers(0, 6), st.sampled_from([b"", *pieces])), max_size=4),
               st.sampled_from([16, 300, 1 << 20]))  # fmt: skip
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


@dataclass(frozen=True)
class DemoRun:
    """One finished `preceptor demo`."""

    out: Path
    sample: Path
    stdout: str
    fit: dict[str, Any]


@pytest.fixture(scope="session")
def sample():
    """The packaged sample's folder."""
    return ROOT / "toolkit" / "demo" / "sample"


@pytest.fixture(scope="session")
def demo(sample, tmp_path_factory):
    """`preceptor demo` as a user runs it, once for the whole session (the fit takes a while)."""
    out = tmp_path_factory.mktemp("run") / "demo"
    ended = preceptor("demo", "--out", out)
    assert ended.returncode == 0, ended.stderr
    status = preceptor("--store", out / "preceptor.duckdb", "status", "--json")
    (fit,) = json.loads(status.stdout)["fits"]
    return DemoRun(out, sample, ended.stdout, fit)


def preceptor(*arguments, cwd=None, env=None):
    """Run the command line in a process of its own."""
    return subprocess.run(
        [sys.executable, "-m", "preceptor.toolkit.cli.main", *map(str, arguments)],
        capture_output=True, text=True, check=False, timeout=300, cwd=cwd, env=env,
    )  # fmt: skip


@pytest.fixture(scope="session", name="preceptor")
def _preceptor():
    return preceptor
