"""`preceptor annotate serve`: Argilla on this machine."""

import os
import signal
import socket
from pathlib import Path
from typing import TYPE_CHECKING

import click

from ....annotation.server.accounts import FILE as ACCOUNTS
from ....schemas.errors import AnnotationError
from ..options import make_table, open_stderr, open_stdout

if TYPE_CHECKING:
    from ....annotation.server.serve import RunningServer


@click.command()
@click.option(
    "--home",
    type=click.Path(path_type=Path),
    default=Path("annotation-home"),
    show_default=True,
    help="Folder of the server's data: database, accounts, log.",
)
@click.option(
    "--port",
    type=click.IntRange(0, 65535),
    default=6900,
    show_default=True,
    help="Port to listen on; 0: any free port.",
)
@click.option(
    "--host",
    default="127.0.0.1",
    show_default=True,
    help="Address to listen on; 0.0.0.0 lets other machines connect, over unencrypted http.",
)
@click.option(
    "--name",
    "names",
    multiple=True,
    metavar="HOST",
    help="Name by which browsers reach the server, such as that of a proxy; addresses, localhost and this "
    "machine's name need none. May be repeated.",
)
@click.option(
    "--annotator",
    "annotators",
    multiple=True,
    metavar="NAME",
    help="Name of an annotator who gets an account. May be repeated. Accounts of earlier starts stay.",
)
def serve(home: Path, port: int, host: str, names: tuple[str, ...], annotators: tuple[str, ...]) -> None:
    """Run Argilla, with its web pages, as one process on this machine, until Ctrl-C.

    The first start makes a Python environment for the server in the user's cache. That takes a few minutes
    and needs the network; later starts do not. Passwords and API keys are random. They are stored in
    accounts.json in the home folder, which only you can read. Starting again with the same home folder
    continues with its data.
    """
    if os.name == "nt":
        raise AnnotationError("annotate serve: runs on Linux and macOS; on Windows start it inside WSL")
    from ....annotation.server.serve import serve as run_serve
    from ....schemas.support.hosts import is_local

    notices = open_stderr()

    def say(text: str) -> None:
        notices.print(text)

    def show(server: "RunningServer") -> None:
        _show(server, others=not is_local(host))

    signal.signal(signal.SIGTERM, _stop)
    try:
        run_serve(home, port=port, host=host, names=names, annotators=annotators, say=say, on_start=show)
    except KeyboardInterrupt:
        say("stopped; everything is kept, start again with the same --home")


def _stop(*_: object) -> None:
    raise KeyboardInterrupt


def _show(server: "RunningServer", others: bool) -> None:
    out = open_stdout()
    rows = [(name, account.role) for name, account in server.accounts.items()]
    out.print(make_table(f"Argilla at {server.url}", ("user name", "role"), rows))
    if others:
        port = server.url.rsplit(":", 1)[1]
        out.print(f"from other machines: http://{socket.gethostname()}:{port}, or by this one's address")
    out.print(f"passwords and API keys: {server.home / ACCOUNTS} (only you can read it)")
    out.print(f"log: {server.home / 'server.log'}; Ctrl-C stops the server")
