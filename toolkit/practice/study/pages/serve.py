"""Serve a study on this machine until it is stopped."""

import csv
import io
import secrets
import socket
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import uvicorn

from .....schemas.errors import StudyError
from .....schemas.support.files import write_text
from .....schemas.support.hosts import is_local, open_listener, write_local_url
from ..journal.database import (
    HOME,
    hold_alone,
    locate_journal,
    open_journal,
    read_secret,
    read_study_settings,
    write_at_once,
)
from ..journal.events import write_moment
from ..journal.people import derive_token
from ..journal.writer import Writer
from .app import make_app
from .guard import Rates
from .site import Site

LINKS = "links.csv"


@dataclass(frozen=True)
class ServedStudy:
    """A study that is being served."""

    url: str
    teacher: str
    """The teacher's link."""
    code: str | None
    links: Path
    learners: int
    """Learners, or annotators of a campaign."""
    is_campaign: bool


def serve_study(
    study: str,
    home: Path = HOME,
    *,
    port: int = 8750,
    host: str = "127.0.0.1",
    names: Iterable[str] = (),
    url: str | None = None,
    behind_https: bool = False,
    plain: bool = False,
    on_start: Callable[[ServedStudy], object] = lambda _: None,
) -> None:
    """Serve the study's pages until the process is told to stop. Port 0 takes a free one.

    `url` is the address that links begin with, such as that of a proxy; `names` are further host names.
    Raises StudyError if others are to be let in over plain http without `plain`, if the port is taken, or
    another server runs on the study.
    """
    if not is_local(host) and not (behind_https or plain):
        raise StudyError(
            f"--host {host}: lets other machines in over plain http, where names and answers can be read; "
            "put a proxy with https before it and leave --host, or add --plain-http in a network you trust"
        )
    folder = locate_journal(home, study)
    with open_listener(host, port, StudyError, waiting=512) as listener, open_journal(folder) as con:
        at = url or write_local_url(host, listener.getsockname()[1])
        with hold_alone(folder, at):
            secret, run = read_secret(folder), secrets.token_hex(6)
            with write_at_once(con):
                con.execute("INSERT INTO runs VALUES (?, ?)", [run, write_moment(datetime.now(UTC))])
            settings = read_study_settings(con)
            people = [tuple(row) for row in con.execute("SELECT id, name FROM people ORDER BY name")]
            _write_links(folder, at, secret, people)
            secure = behind_https or at.startswith("https:")
            writer = Writer(con)
            site = Site(folder, writer, secret, run, secure, "campaign" in settings)
            allowed = {"localhost", socket.gethostname(), host, *names, *([_host_of(url)] if url else [])}
            app = make_app(site, allowed, joins=Rates(120, 1), posts=Rates(60, 5))
            teacher = f"{at}/t/{settings['teacher']}"
            served = (at, teacher, settings.get("code"), folder / LINKS, len(people), site.is_campaign)
            on_start(ServedStudy(*served))
            config = uvicorn.Config(
                app, lifespan="off", access_log=False, log_level="warning", server_header=False,
                proxy_headers=False, timeout_keep_alive=75, limit_concurrency=1000,
                h11_max_incomplete_event_size=32_768,
            )  # fmt: skip
            try:
                uvicorn.Server(config).run(sockets=[listener])
            finally:
                writer.stop()


def _host_of(url: str) -> str:
    return url.partition("://")[2].split("/")[0].rsplit(":", 1)[0]


def _write_links(folder: Path, url: str, secret: bytes, people: list[tuple[str, str]]) -> None:
    """Write each learner's personal link; the file is for handing them out."""
    out = io.StringIO()
    table = csv.writer(out)
    table.writerow(("name", "link"))
    for id, name in people:
        table.writerow((name, f"{url}/l/{derive_token(secret, id)}"))
    write_text(folder / LINKS, out.getvalue(), mode=0o600)
