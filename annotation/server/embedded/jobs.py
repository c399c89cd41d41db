"""Argilla's background jobs (webhooks, a record's status after its dataset's overlap changed), in a thread.

The queue lives as long as the process: jobs that wait when it ends are lost.
"""

import threading
import time

from argilla_server.jobs.queues import DEFAULT_QUEUE, HIGH_QUEUE, REDIS_CONNECTION
from rq import SimpleWorker
from rq.timeouts import TimerDeathPenalty


class _Worker(SimpleWorker):
    """A worker that can run beside the main thread, where signals and alarms do not reach."""

    death_penalty_class = TimerDeathPenalty

    def _install_signal_handlers(self) -> None:
        pass


def start_worker() -> None:
    """Start the thread that runs queued jobs one after another."""
    threading.Thread(target=_forever, daemon=True).start()


def _forever() -> None:
    while True:
        try:
            _Worker([HIGH_QUEUE, DEFAULT_QUEUE], connection=REDIS_CONNECTION).work(logging_level="WARNING")
        except Exception as error:  # a broken job must not end the others
            print("jobs:", error, flush=True)
        time.sleep(1)
