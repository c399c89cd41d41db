"""What several test files share."""

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from hypothesis import settings

from preceptor.toolkit.pseudonyms import make_key, pseudonym, read_key
from preceptor.toolkit.store import open_store

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
