"""Argilla's search engine over Argilla's own tables: the database is the index, so nothing is written twice.

Argilla commits every record, response, suggestion and vector to SQL before it calls its search engine. So the
writing methods do nothing, and every search is a SELECT over the committed rows.
"""

import hashlib
import math
from collections import Counter
from collections.abc import Iterable
from typing import Any

from argilla_server.enums import MetadataPropertyType, SimilarityOrder
from argilla_server.errors.future import UnprocessableEntityError
from argilla_server.models import MetadataProperty, Record, Response, User, Vector
from argilla_server.search_engine.base import (
    FloatMetadataMetrics,
    IntegerMetadataMetrics,
    SearchEngine,
    SearchResponseItem,
    SearchResponses,
    TermsMetrics,
    TextQuery,
)
from argilla_server.settings import settings
from sqlalchemy import event, func, select, text
from sqlalchemy.ext.asyncio import async_sessionmaker, create_async_engine

from .conditions import list_metadata, make_condition, make_order, unnest_values
from .matching import match_text

# A separate pool: a request keeps one of Argilla's connections while it searches, and a dozen requests that
# each need a second one from the same pool would deadlock until they time out.
_connections = create_async_engine(settings.database_url, **settings.database_engine_args)
_session = async_sessionmaker(bind=_connections)


@event.listens_for(_connections.sync_engine, "connect")
def _add_functions(connection: Any, _: Any) -> None:
    connection.create_function("preceptor_match", 3, match_text)
    connection.create_function("preceptor_turn", 2, _turn, deterministic=True)


def register() -> None:
    """Register the engine with Argilla under the name in ARGILLA_SEARCH_ENGINE."""
    SearchEngine.register(engine_name="sql")(SqlEngine)


def _turn(user: str, record: str) -> bytes:
    """Sort key of a record in an annotator's own order, which does not change as records are added."""
    return hashlib.blake2b(f"{user} {record}".encode(), digest_size=8).digest()


async def _nothing(*_: Any, **__: Any) -> None:
    """Do nothing: the search reads the database itself."""


class SqlEngine(SearchEngine):
    """Reads only; the methods and their arguments are those of Argilla's engines."""

    create_index = delete_index = configure_metadata_property = configure_index_vectors = _nothing
    index_records = partial_record_update = delete_records = _nothing
    update_record_response = delete_record_response = _nothing
    update_record_suggestion = delete_record_suggestion = _nothing
    close = _nothing

    @classmethod
    async def new_instance(cls) -> "SqlEngine":
        """Make an engine; it has no state."""
        return cls()

    async def ping(self) -> bool:
        """True if the database answers."""
        async with _session() as db:
            return bool(await db.scalar(text("SELECT 1")) == 1)

    async def info(self) -> dict[str, Any]:
        """Return name and version, which the server shows under /api/v1/status."""
        return {"name": "sql", "version": {"number": "1", "distribution": "preceptor"}}

    async def get_dataset_progress(self, dataset: Any) -> dict[str, int]:
        """Count a dataset's records: total, completed, pending (absent if none)."""
        if dataset.is_draft:
            return {}
        return await _counts(
            select(Record.status, func.count()).where(Record.dataset_id == dataset.id).group_by(Record.status)
        )

    async def get_dataset_user_progress(self, dataset: Any, user: Any) -> dict[str, int]:
        """Count a user's responses in a dataset: total, submitted, draft, discarded (absent if none)."""
        if dataset.is_draft:
            return {}
        return await _counts(
            select(Response.status, func.count())
            .join(Record, Record.id == Response.record_id)
            .where(Record.dataset_id == dataset.id, Response.user_id == user.id)
            .group_by(Response.status)
        )

    async def search(
        self,
        dataset: Any,
        query: Any = None,
        filter: Any = None,
        sort: Any = None,
        offset: int = 0,
        limit: int = 100,
        user_id: Any = None,
    ) -> SearchResponses:
        """Find one page of the matching records, and their total number.

        Ties of a sort are ordered by time of insertion. An annotator (`user_id`) who sorts by nothing gets
        an order of their own, so that not all annotators start with the same records. Page and total come
        from one statement. If records change between two pages, some can be missed: ask for all at once,
        or filter by a field that does not change.
        """
        async with _session() as db:
            await _check_visible(db, dataset, user_id, set(list_metadata(filter, sort)))
            chosen = _candidates(dataset, query, filter, Record.id, func.count().over())
            orders = [column for order in sort or [] for column in make_order(order)]
            if user_id and not sort:
                orders = [func.preceptor_turn(str(user_id), Record.id)]
            paged = chosen.order_by(*orders, Record.inserted_at, Record.id).offset(offset).limit(limit)
            rows = (await db.execute(paged)).all()
            total = rows[0][1] if rows else 0
            if offset and not rows:
                everything = _candidates(dataset, query, filter, Record.id).subquery()
                total = await db.scalar(select(func.count()).select_from(everything))
        items = [SearchResponseItem(record_id=found, score=1.0) for found, _ in rows]
        return SearchResponses(items=items, total=total)

    async def compute_metrics_for(self, metadata_property: Any) -> Any:
        """Compute a metadata property's counts by term, most frequent first; or minimum and maximum."""
        values_of = unnest_values(Record.metadata_, metadata_property.name)
        statement = (
            select(values_of.c.value)
            .select_from(Record, values_of)
            .where(Record.dataset_id == metadata_property.dataset_id, values_of.c.value.is_not(None))
        )
        async with _session() as db:
            values = (await db.scalars(statement)).all()
        if metadata_property.type == MetadataPropertyType.terms:
            counted = Counter(map(str, values)).most_common()
            terms = [TermsMetrics.TermCount(term=term, count=count) for term, count in counted]
            return TermsMetrics(total=len(values), values=terms)
        whole = metadata_property.type == MetadataPropertyType.integer
        metrics = IntegerMetadataMetrics if whole else FloatMetadataMetrics
        return metrics(min=min(values, default=None), max=max(values, default=None))

    async def similarity_search(
        self,
        dataset: Any,
        vector_settings: Any,
        value: Any = None,
        record: Any = None,
        query: Any = None,
        filter: Any = None,
        max_results: int = 100,
        order: Any = SimilarityOrder.most_similar,
        threshold: float | None = None,
    ) -> SearchResponses:
        """Find the records whose vectors are most (or least) similar to a vector or a record's vector.

        Exact, over all vectors of the dataset; the score is (1 + cosine) / 2, of the opposite vector if
        the least similar ones are asked for, as with Argilla's own engines.
        """
        if bool(value) == bool(record):
            raise ValueError("give either a vector or a record")
        target = value or record.vector_value_by_vector_settings(vector_settings)
        if not target:
            raise ValueError("the record has no such vector")
        if order == SimilarityOrder.least_similar:
            target = [-part for part in target]
        statement = _candidates(dataset, query, filter, Record.id, Vector.value).where(
            Vector.record_id == Record.id, Vector.vector_settings_id == vector_settings.id
        )
        async with _session() as db:
            rows = (await db.execute(statement.order_by(Record.inserted_at, Record.id))).all()
        scored = [(_closeness(vector, target), id) for id, vector in rows if not (record and id == record.id)]
        scored = [pair for pair in scored if threshold is None or pair[0] >= threshold]
        best = sorted(scored, key=lambda pair: -pair[0])[:max_results]
        items = [SearchResponseItem(record_id=id, score=score) for score, id in best]
        return SearchResponses(items=items, total=len(items))


def _candidates(dataset: Any, query: Any, filter: Any, *columns: Any) -> Any:
    statement = select(*columns).where(Record.dataset_id == dataset.id)
    if query is not None:
        asked = TextQuery(q=query) if isinstance(query, str) else query
        statement = statement.where(func.preceptor_match(Record.fields, asked.field, asked.q) == 1)
    return statement.where(make_condition(filter)) if filter else statement


async def _counts(statement: Any) -> dict[str, int]:
    async with _session() as db:
        counts = {status.value: count for status, count in (await db.execute(statement)).all()}
    return {"total": sum(counts.values()), **counts}


async def _check_visible(db: Any, dataset: Any, user_id: Any, names: Iterable[str]) -> None:
    """Raise an error if an annotator filters or sorts by metadata that they may not see."""
    names = set(names)
    if not user_id or not names:
        return
    role = await db.scalar(select(User.role).where(User.id == user_id))
    if role is None or role.value == "owner":
        return
    properties = await db.scalars(select(MetadataProperty).where(MetadataProperty.dataset_id == dataset.id))
    visible = {found.name for found in properties if role in found.allowed_roles}
    if hidden := sorted(names - visible):
        raise UnprocessableEntityError(f"Metadata property `{hidden[0]}` not found in dataset `{dataset.id}`")


def _closeness(vector: Iterable[float], target: list[float]) -> float:
    a, b = list(vector), target
    length = math.sqrt(sum(x * x for x in a)) * math.sqrt(sum(x * x for x in b))
    return (1 + sum(x * y for x, y in zip(a, b, strict=True)) / length) / 2 if length else 0.0
