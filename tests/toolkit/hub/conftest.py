"""A Hub that takes files in another way."""

import pytest
from hub_server import Server, running


@pytest.fixture(scope="module")
def xet_hub(tmp_path_factory):
    """A Hub to which files go by Xet."""
    with running("stand_in.py", tmp_path_factory.mktemp("xet") / "root", "--xet") as process:
        yield Server(process.stdout.readline().strip())
