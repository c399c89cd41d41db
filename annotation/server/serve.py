"""Argilla's server with its web pages, as one process of this machine; its state is one folder, the home.

HOME/argilla.db     all records and answers (SQLite; argilla.db-wal belongs to it while the server runs)
HOME/accounts.json  names, passwords, API keys (mode 0600)
HOME/server.log     the server's log since its last start
"""

import contextlib
import fcntl
import os
import secrets
import shutil
import socket
import subprocess
import time
import urllib.request
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from ...schemas.errors import AnnotationError
from ...schemas.support.files import find_user_cache, replace_file, write_text
from ...schemas.support.hosts import is_local, open_listener, write_local_url
from .accounts import HOME, Account, check_annotator_names, settle_accounts
from .environment import (
    DAMAGED,
    EMPTY,
    PROGRAM,
    Say,
    clean_variables,
    find_python,
    make_environment,
    read_last_lines,
    spoil,
)

DATABASE = "argilla.db"
LOG = "server.log"
NEEDS_BYTES = 100_000_000
START_SECONDS = 180.0  # without progress
STOP_SECONDS = 20.0


@dataclass(frozen=True)
class RunningServer:
    """A server that answers at `url`; `accounts` by name, the owner's is `accounts["owner"]`."""

    url: str
    home: Path
    workspace: str
    accounts: dict[str, Account]
    process: "subprocess.Popen[bytes]" = field(repr=False)

    @property
    def pid(self) -> int:
        """The server's process."""
        return self.process.pid


def serve(
    home: Path = HOME,
    *,
    port: int = 6900,
    host: str = "127.0.0.1",
    names: Iterable[str] = (),
    annotators: Iterable[str] = (),
    say: Say = lambda _: None,
    on_start: Callable[[RunningServer], object] = lambda _: None,
) -> None:
    """Run Argilla with its web pages on `home` until it is stopped (KeyboardInterrupt, or the process ends).

    The server's environment is made first if it is not in the user's cache. `port` 0 takes a free one; `say`
    gets notices, `on_start` the server when it answers. It answers to addresses, this machine's name, `host`
    and `names`. Raises AnnotationError for a name that no annotator
    can have, and if the server cannot start or crashes.
    """
    accounts = check_annotator_names(annotators)
    environment = make_environment(find_user_cache(), say)
    say(f"starting Argilla on {home}; this takes about ten seconds")
    if not is_local(host):
        say(
            f"warning: {host} lets other machines in over plain http: passwords and answers can be read "
            "on the way; in a network you do not trust put a proxy with https before it, and leave --host"
        )
    with run_server(home, environment, port=port, host=host, names=names, annotators=accounts) as server:
        on_start(server)
        wait_for_end(server)


@contextlib.contextmanager
def run_server(
    home: Path,
    environment: Path,
    *,
    port: int = 0,
    host: str = "127.0.0.1",
    names: Iterable[str] = (),
    annotators: Iterable[str] = (),
) -> Iterator[RunningServer]:
    """Run a server on `home` while the block lasts.

    `environment` is that of environment.make_environment; `port` 0 takes a free one. Annotators of an
    earlier start keep their accounts. Raises AnnotationError if it cannot start; the server ends with the
    block, and with this process however that ends.
    """
    annotators = check_annotator_names(annotators)
    home = home.absolute()
    with _alone(home) as lock, open_listener(host, port, AnnotationError) as listener:
        url = write_local_url(host, listener.getsockname()[1])
        try:
            accounts = settle_accounts(home, url, annotators)
            _prepare(home, environment)
            process = _start(home, environment, listener, lock, [host, *names])
            _note(lock, f"{url}, process {process.pid}")
        except OSError as error:
            raise _unusable(home, error) from error
        try:
            _wait_until_ready(process, home, environment, url)
            yield RunningServer(url, home, accounts.workspace, accounts.accounts, process)
        finally:
            _stop(process)


def wait_for_end(server: RunningServer) -> None:
    """Wait until the server ends; AnnotationError if it crashed."""
    status = server.process.wait()
    if status > 0:
        raise AnnotationError(_last_words(f"the server at {server.url} ended by itself", status, server.home))
    if status < 0 and -status not in (2, 15):
        raise AnnotationError(
            _last_words(f"the server at {server.url} was killed (signal {-status})", status, server.home)
        )


@contextlib.contextmanager
def _alone(home: Path) -> Iterator[int]:
    """Make and lock the folder until the block and the server it starts have ended; yield the lock."""
    try:
        home.mkdir(mode=0o700, parents=True, exist_ok=True)
        lock = (home / "lock").open("a+")
    except OSError as error:
        raise _unusable(home, error) from error
    with lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            lock.seek(0)
            who = lock.read().strip()
            raise AnnotationError(
                f"{home}: a server runs on it already{f' ({who})' if who else ''}; use that one, stop it, or "
                "choose another --home"
            ) from error
        lock.truncate(0)
        yield lock.fileno()


def _note(lock: int, text: str) -> None:
    """Write a note into the lock file, for other processes that find it locked."""
    os.ftruncate(lock, 0)
    os.write(lock, text.encode())


def _prepare(home: Path, environment: Path) -> None:
    """Write the files that the server reads from its home when it starts."""
    free = shutil.disk_usage(home).free
    if free < NEEDS_BYTES:
        raise AnnotationError(
            f"{home}: {free / 1e6:.0f} MB free on its disk, and the server needs {NEEDS_BYTES / 1e6:.0f} MB "
            "to work with; free some, or choose another --home"
        )
    if not (home / "secret").exists():
        write_text(home / "secret", secrets.token_hex(32), mode=0o600)
    (home / ".gitignore").write_text("*\n")  # passwords and annotators' answers are not for a repository
    if not (home / DATABASE).exists():
        with replace_file(home / DATABASE) as partial:
            shutil.copyfile(environment / EMPTY, partial)
            partial.chmod(0o600)
    shutil.rmtree(home / "tmp", ignore_errors=True)
    (home / "tmp").mkdir()
    if (home / LOG).exists():
        (home / LOG).replace(home / f"{LOG}.before")


def _start(
    home: Path, environment: Path, listener: socket.socket, lock: int, names: Iterable[str]
) -> "subprocess.Popen[bytes]":
    command = [str(find_python(environment)), "-P", str(PROGRAM), "--home", str(home)]
    command += [part for name in names for part in ("--name", name)]
    with (home / LOG).open("wb") as log:
        process = subprocess.Popen(  # noqa: S603
            [*command, "--socket", str(listener.fileno())],
            cwd=home,
            env=clean_variables(),
            stdin=subprocess.PIPE,
            stdout=log,
            stderr=subprocess.STDOUT,
            pass_fds=(listener.fileno(), lock),
            umask=0o077,
            start_new_session=True,  # Ctrl-C is for this process, which stops the server
        )
    listener.close()
    return process


def _wait_until_ready(process: "subprocess.Popen[bytes]", home: Path, environment: Path, url: str) -> None:
    direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    seen, moved = (0, 0), time.monotonic()
    while time.monotonic() - moved < START_SECONDS:
        if (now := _progress(process.pid, home)) != seen:
            seen, moved = now, time.monotonic()
        if (status := process.poll()) is not None:
            if status == DAMAGED:
                spoil(environment)
                raise AnnotationError(
                    _last_words(f"{environment}: is damaged; start again, which makes it anew", status, home)
                )
            raise AnnotationError(_last_words(f"{home}: the server does not start", status, home))
        with contextlib.suppress(OSError), direct.open(f"{url}/api/v1/version", timeout=2) as answer:
            if answer.status == 200:
                return
        time.sleep(0.05)
    raise AnnotationError(_last_words(f"{url}: no answer for {START_SECONDS:.0f} s", None, home))


def _progress(pid: int, home: Path) -> tuple[int, int]:
    """Measure what grows while the server starts: bytes of its log, CPU time in 40ths of START_SECONDS.

    A server that only polls does not use a 40th in START_SECONDS. Without /proc the CPU time is 0.
    """
    try:
        fields = Path(f"/proc/{pid}/stat").read_text(errors="replace").rpartition(")")[2].split()
    except OSError:
        fields = []
    ticks = sum(map(int, fields[11:13]))  # user and system time
    share = int(40 * ticks / os.sysconf("SC_CLK_TCK") / START_SECONDS)
    return (home / LOG).stat().st_size, share


def _stop(process: "subprocess.Popen[bytes]") -> None:
    if process.stdin:
        process.stdin.close()
    if process.poll() is None:
        process.terminate()
        try:
            process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _last_words(what: str, status: int | None, home: Path) -> str:
    log = home / LOG
    words = read_last_lines(log)
    remedy = f"all of it: {log}"
    if "database is locked" in words:
        remedy = f"another program holds {home / DATABASE}: close it; {remedy}"
    elif "No space left" in words or "disk is full" in words:
        remedy = f"free some room on the disk of {home}; {remedy}"
    ended = f" (exit status {status})" if status is not None else ""
    return f"{what}{ended}; its last words:\n{words}\n({remedy})"


def _unusable(home: Path, error: OSError) -> AnnotationError:
    where = error.filename if str(error.filename).startswith(str(home)) else home
    return AnnotationError(
        f"{where}: {error.strerror or error}: the server's state is to lie there; free or allow it, or "
        "choose another --home"
    )
