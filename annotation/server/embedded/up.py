"""The server's process: settings, database, accounts, jobs, then the web server until a signal stops it.

`python annotation/server/embedded --home DIR --socket 5` serves on the inherited socket 5.
`--name annotate.example.org` also answers to that name, of a proxy before it.
`python annotation/server/embedded --home DIR --empty` only makes DIR/argilla.db, with all tables and no rows.
"""

import argparse
import importlib
import json
import os
import signal
import socket
import sys
import tempfile
import threading
from collections.abc import Sequence
from pathlib import Path

DAMAGED = 81  # exit status: packages are missing from the environment (also in environment.py)


def main(arguments: Sequence[str]) -> int:
    """Run the server in this process until a signal stops it; return DAMAGED if it cannot start."""
    options = argparse.ArgumentParser(prog="embedded")
    options.add_argument("--home", type=Path, required=True)
    options.add_argument("--socket", type=int)
    options.add_argument("--name", action="append", default=[])
    options.add_argument("--empty", action="store_true")
    asked = options.parse_args(arguments)
    _settle(asked.home)
    try:
        _stand_in_for_redis()
        database = importlib.import_module("argilla_embedded.database")
    except ImportError as error:
        print(f"{type(error).__name__}: {error}", file=sys.stderr)
        return DAMAGED
    database.migrate(asked.home / "argilla.db")
    if not asked.empty:
        database.settle_accounts(json.loads((asked.home / "accounts.json").read_text()))
        database.settle_statuses()
        _serve(asked.socket, asked.name)
    database.gather_writes()
    sys.stdout.flush()
    os._exit(0)  # do not wait for idle threads of connections and jobs


def _settle(home: Path) -> None:
    """Settings of Argilla, which it reads from the environment while it is imported."""
    os.environ.update(
        ARGILLA_HOME_PATH=str(home),
        ARGILLA_SEARCH_ENGINE="sql",
        ARGILLA_CORS_ORIGINS="[]",  # no requests from pages of other sites
        ARGILLA_DATABASE_SQLITE_TIMEOUT="30",  # several sessions, one file: wait for a lock, do not fail
        HF_HUB_OFFLINE="1",  # turns telemetry off as well
    )
    secret = home / "secret"
    if secret.exists():  # else every start would log users out
        os.environ["ARGILLA_AUTH_SECRET_KEY"] = secret.read_text().strip()
    if (home / "tmp").is_dir():
        tempfile.tempdir = str(home / "tmp")  # Argilla copies its web pages there at every start


def _stand_in_for_redis() -> None:
    """Keep Argilla's queue of jobs in this process; call before argilla_server is imported."""
    import fakeredis
    import redis

    inside = fakeredis.FakeStrictRedis()
    redis.from_url = lambda *_, **__: inside


def _serve(descriptor: int, names: Sequence[str]) -> None:
    import uvicorn

    steps = (
        ("engine", "register"),
        ("pace", "reduce_work"),
        ("guard", "hide_answers"),
        ("guard", "limit_guessing"),
        ("jobs", "start_worker"),
    )
    for module, step in steps:
        getattr(importlib.import_module(f"argilla_embedded.{module}"), step)()
    threading.Thread(target=_stop_with_parent, daemon=True).start()
    pages = importlib.import_module("argilla_embedded.pages")
    app = pages.keep_to_this_server(importlib.import_module("argilla_server").app)
    app = importlib.import_module("argilla_embedded.guard").check_host(app, names)
    config = uvicorn.Config(app, access_log=False, timeout_graceful_shutdown=5)
    server = uvicorn.Server(config)

    def stop(*_: object) -> None:
        server.should_exit = True

    # uvicorn shuts down on these signals and then calls the earlier handler: the system's own would kill the
    # process at once.
    for told in (signal.SIGTERM, signal.SIGINT):
        signal.signal(told, stop)
    server.run(sockets=[socket.socket(fileno=descriptor)])


def _stop_with_parent() -> None:
    """Stop when the parent ends: its end of this process's input closes then, however it ends."""
    sys.stdin.buffer.read()
    os.kill(os.getpid(), signal.SIGTERM)
