"""The stand-in for the Hub, and programs beside it, as processes that a test starts and asks."""

import base64
import contextlib
import json
import os
import signal
import subprocess
import sys
import urllib.request
from dataclasses import dataclass
from pathlib import Path

from waiting import IDLE


@dataclass
class Server:
    """The stand-in for the Hub as a test sees it."""

    url: str
    repo_name: str = "lab/tiny"

    def ask(self, what, **body):
        request = urllib.request.Request(
            f"{self.url}/stand-in/{what}", json.dumps(body).encode(), method="POST"
        )
        with urllib.request.urlopen(request, timeout=IDLE) as answer:
            return json.load(answer)

    def fails(self, method, path, **how):
        self.ask("fault", method=method, path=path, **how)

    def repo(self, name=None):
        return self.ask("state")["repos"].get(name or self.repo_name)

    def environment(self, home, **more):
        return environment(self.url, home, **more)

    def made(self, name, files, private=False):
        encoded = {path: base64.b64encode(data).decode() for path, data in files.items()}
        self.ask("repo", name=name, files=encoded, private=private)


@contextlib.contextmanager
def running(program, *arguments, **how):
    process = subprocess.Popen(
        [sys.executable, Path(__file__).parent / "hub" / program, *map(str, arguments)],
        text=True,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        **how,
    )
    try:
        yield process
    finally:
        os.kill(process.pid, signal.SIGKILL)
        process.wait()


def environment(url, home, **more):
    """Of a client of that Hub; nothing of the user's own."""
    clean = {k: v for k, v in os.environ.items() if not k.startswith("HF_") and "proxy" not in k.lower()}
    return (
        clean
        | {
            "HF_ENDPOINT": url,
            "HF_HOME": str(home),
            "HF_HUB_DISABLE_XET": "1",
            "HF_UPDATE_DOWNLOAD_COUNTS": "0",
            "HF_HUB_DISABLE_TELEMETRY": "1",
            "HF_HUB_DOWNLOAD_TIMEOUT": str(int(IDLE)),
            "HF_HUB_ETAG_TIMEOUT": str(int(IDLE)),
        }
        | more
    )
