"""Make pushes and answers faster by leaving out two needless steps of Argilla.

Argilla makes a webhook event for every record and answer, even without any webhook; and it compiles the
schema of a question's settings for every suggestion and answer (about 5 ms each).
"""

import importlib
from collections.abc import Awaitable, Callable
from typing import Any

from argilla_server.database import SyncSessionLocal
from argilla_server.models import Webhook, database
from pydantic import TypeAdapter
from sqlalchemy import event, exists, select

# Modules of Argilla and the functions in them that make webhook events.
CALLERS = {
    "bulk.records_bulk": ("notify_record_event_v1",),
    "contexts.records": ("notify_record_event_v1",),
    "contexts.distribution": ("notify_record_event_v1",),
    "contexts.datasets": ("notify_record_event_v1", "notify_response_event_v1", "notify_dataset_event_v1"),
}


def reduce_work() -> None:
    """Patch both steps; webhooks get all events from the moment there is one."""
    database.TypeAdapter = _once(TypeAdapter)
    with SyncSessionLocal() as db:
        listened = [bool(db.scalar(select(exists().where(Webhook.id.is_not(None)))))]

    def listen(*_: Any) -> None:
        listened[0] = True

    for change in ("after_insert", "after_update"):
        event.listen(Webhook, change, listen)
    for name, notifiers in CALLERS.items():
        module = importlib.import_module(f"argilla_server.{name}")
        for notifier in notifiers:
            setattr(module, notifier, _if(listened, getattr(module, notifier)))


def _once(make: Callable[[Any], Any]) -> Callable[[Any], Any]:
    """Cache adapters by type; the types are few and live as long as the process."""
    made: dict[int, Any] = {}

    def adapter(type: Any) -> Any:
        if id(type) not in made:
            made[id(type)] = make(type)
        return made[id(type)]

    return adapter


def _if(listened: list[bool], notify: Callable[..., Awaitable[list[Any]]]) -> Callable[..., Any]:
    async def notify_listeners(*arguments: Any) -> list[Any]:
        return await notify(*arguments) if listened[0] else []

    return notify_listeners
