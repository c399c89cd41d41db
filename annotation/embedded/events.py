"""Events for webhooks are made only when somebody listens: two thirds of the time of a push went there."""

import importlib
from collections.abc import Awaitable, Callable
from typing import Any

from argilla_server.models import Webhook
from sqlalchemy import exists, select

# Where Argilla calls them, by the names it gave them there.
CALLERS = {
    "bulk.records_bulk": ("notify_record_event_v1",),
    "contexts.records": ("notify_record_event_v1",),
    "contexts.distribution": ("notify_record_event_v1",),
    "contexts.datasets": ("notify_record_event_v1", "notify_response_event_v1", "notify_dataset_event_v1"),
}


def spare() -> None:
    """Put a look for listeners before every event."""
    for name, notifiers in CALLERS.items():
        module = importlib.import_module(f"argilla_server.{name}")
        for notifier in notifiers:
            if hasattr(module, notifier):
                setattr(module, notifier, _if_listened(getattr(module, notifier)))


def _if_listened(notify: Callable[..., Awaitable[list[Any]]]) -> Callable[..., Awaitable[list[Any]]]:
    async def notify_listeners(db: Any, event: Any, subject: Any) -> list[Any]:
        if not await db.scalar(select(exists().where(Webhook.enabled))):
            return []
        return await notify(db, event, subject)

    return notify_listeners
