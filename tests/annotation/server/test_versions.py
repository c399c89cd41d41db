"""What pip installs for Argilla's server: the listed versions, nothing else, and no code of a source package."""

import io
import re
import tarfile

import pytest

from preceptor.annotation.server import environment
from preceptor.schemas.errors import AnnotationError

SETUP = "from setuptools import setup\nopen({ran!r}, 'w').write('ran')\nsetup(name='theirs', version='1.0')\n"


def test_every_package_has_a_version():
    lines = [line for line in environment.VERSIONS.read_text().splitlines() if not line.startswith("#")]
    assert len(lines) > 50
    for line in lines:
        assert re.fullmatch(r"[A-Za-z0-9_.-]+==[0-9][A-Za-z0-9.]*", line), line


def test_a_source_package_of_the_index_is_not_run(tmp_path, monkeypatch):
    ran, index = tmp_path / "ran", tmp_path / "index"
    index.mkdir()
    with tarfile.open(index / "theirs-1.0.tar.gz", "w:gz") as packed:
        for name, text in (
            ("theirs-1.0/setup.py", SETUP.format(ran=str(ran))),
            ("theirs-1.0/PKG-INFO", "Metadata-Version: 2.1\nName: theirs\nVersion: 1.0\n"),
        ):
            entry = tarfile.TarInfo(name)
            entry.size = len(text)
            packed.addfile(entry, io.BytesIO(text.encode()))
    versions = tmp_path / "versions.txt"
    versions.write_text("theirs==1.0\n")
    monkeypatch.setattr(environment, "VERSIONS", versions)
    monkeypatch.setattr(environment, "NEEDS_BYTES", 0)
    for name, value in {"NO_INDEX": "1", "FIND_LINKS": str(index), "NO_BUILD_ISOLATION": "0"}.items():
        monkeypatch.setenv(f"PIP_{name}", value)
    with pytest.raises(AnnotationError, match="install what the server needs"):
        environment.make_environment(tmp_path / "cache")
    assert not ran.exists()
    monkeypatch.setattr(environment, "EXACTLY", ())
    with pytest.raises(AnnotationError):  # it holds no server
        environment.make_environment(tmp_path / "cache")
    assert ran.exists()
