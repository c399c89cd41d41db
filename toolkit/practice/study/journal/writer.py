"""Run jobs on the journal one after another, in a thread of their own, several to a commit.

A job is a function of the connection. Its result is given out only once the commit that has its writes is on
disk; jobs that wait meanwhile share the next commit. A job that raises leaves no trace, and the others do.
"""

import asyncio
import queue
import sqlite3
import threading
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, TypeVar

from .database import Journal

Result = TypeVar("Result")
MOST = 64  # jobs of one commit, so that none waits long


@dataclass(frozen=True)
class Waiting:
    """A job, and the future that gets its result."""

    job: Callable[[Journal], Any]
    future: "asyncio.Future[Any]"
    loop: asyncio.AbstractEventLoop


@dataclass
class Writer:
    """A thread that writes to the journal; `stop` waits for what was begun."""

    con: Journal
    jobs: "queue.SimpleQueue[Waiting | None]" = field(default_factory=queue.SimpleQueue)
    thread: threading.Thread = field(init=False)

    def __post_init__(self) -> None:
        self.thread = threading.Thread(target=self._work, name="journal", daemon=True)
        self.thread.start()

    async def run(self, job: Callable[[Journal], Result]) -> Result:
        """Run a job; return its result once its writes are on disk.

        Raises what the job raises, and sqlite3.Error if the disk does not take it: then nothing was kept.
        """
        loop = asyncio.get_running_loop()
        future: asyncio.Future[Result] = loop.create_future()
        self.jobs.put(Waiting(job, future, loop))
        return await future

    def stop(self) -> None:
        """Finish the jobs that wait, and end the thread."""
        self.jobs.put(None)
        self.thread.join()

    def _work(self) -> None:
        while (first := self.jobs.get()) is not None:
            batch, going = [first], True
            while going and len(batch) < MOST:
                with suppress(queue.Empty):
                    following = self.jobs.get_nowait()
                    if following is not None:
                        batch.append(following)
                        continue
                    self.jobs.put(None)
                going = False
            self._commit(batch)

    def _commit(self, batch: list[Waiting]) -> None:
        done: list[tuple[Waiting, Any, BaseException | None]] = []
        try:
            self.con.execute("BEGIN IMMEDIATE")
            for waiting in batch:
                self.con.execute("SAVEPOINT job")
                try:
                    done.append((waiting, waiting.job(self.con), None))
                except Exception as error:  # of this job alone
                    self.con.execute("ROLLBACK TO job")
                    done.append((waiting, None, error))
                self.con.execute("RELEASE job")
            self.con.execute("COMMIT")
        except sqlite3.Error as error:
            with suppress(sqlite3.Error):
                self.con.execute("ROLLBACK")
            done = [(waiting, None, error) for waiting in batch]
        with suppress(RuntimeError):  # the loop is closed: nobody waits any more
            batch[0].loop.call_soon_threadsafe(_settle, done)


def _settle(done: list[tuple[Waiting, Any, BaseException | None]]) -> None:
    for waiting, result, error in done:
        if waiting.future.cancelled():
            continue
        if error is not None:
            waiting.future.set_exception(error)
        else:
            waiting.future.set_result(result)
