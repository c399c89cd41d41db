"""The wheel, built once, for tests of what is installed."""

import sys
import zipfile

import pytest
from places import ROOT
from waiting import run_to_end


@pytest.fixture(scope="session")
def wheel(tmp_path_factory):
    out = tmp_path_factory.mktemp("wheel")
    run_to_end(
        [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", out, ROOT], check=True
    )
    (made,) = out.glob("*.whl")
    return made


@pytest.fixture(scope="session")
def unpacked(wheel, tmp_path_factory):
    """The folder of an installed wheel, to be put on PYTHONPATH; its dependencies are those of the tests."""
    folder = tmp_path_factory.mktemp("site")
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(folder)
    return folder
