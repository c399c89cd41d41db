"""Argilla's filters and sorts as conditions and orders over its own tables (SQLite).

TermsFilter(scope=MetadataFilterScope("source"), values=["web"]) becomes
EXISTS (SELECT 1 FROM json_each(records.metadata, '$."source"') WHERE CAST(value AS TEXT) IN ('web'))
"""

from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from argilla_server.models import Question, Record, Response, Suggestion
from argilla_server.search_engine.base import (
    AndFilter,
    MetadataFilterScope,
    RecordFilterScope,
    ResponseFilterScope,
    SuggestionFilterScope,
    TermsFilter,
)
from sqlalchemy import String, and_, case, cast, exists, false, func, literal, not_, or_, select, true

PENDING = "pending"  # of a response: there is none yet


def make_condition(filter: Any) -> Any:
    """Make the condition on `records` of an engine filter."""
    if isinstance(filter, AndFilter):
        return and_(true(), *[make_condition(each) for each in filter.filters])
    return _BY_SCOPE[type(filter.scope)](filter, filter.scope)


def make_order(order: Any) -> list[Any]:
    """Make the columns that a sort orders `records` by; rows without a value come last either way."""
    down = _plain(order.order) == "desc"
    columns = _sorted_by(order.scope)
    return [(column.desc() if down else column.asc()).nulls_last() for column in columns]


def list_metadata(filter: Any, sort: Any) -> Iterator[str]:
    """List the names of the metadata that a filter and a sort look at."""
    parts = filter.filters if isinstance(filter, AndFilter) else [filter] if filter else []
    for part in [*parts, *(sort or [])]:
        if isinstance(part.scope, MetadataFilterScope):
            yield part.scope.metadata_property


def unnest_values(column: Any, *keys: str) -> Any:
    """Unnest a JSON column at a path: one row for each element of an array, else for the value."""
    return func.json_each(column, _path(*keys)).table_valued("value", joins_implicitly=True)


def _of_record(filter: Any, scope: RecordFilterScope) -> Any:
    name = _plain(scope.property)
    column = getattr(Record, name)
    if name.endswith("_at"):
        return _compare(filter, column, _moment, _moment)
    if name == "id":
        return column.in_([found for value in filter.values if (found := _uuid(value))])
    return _compare(filter, cast(column, String), str, str)


def _of_metadata(filter: Any, scope: MetadataFilterScope) -> Any:
    return _any_value(filter, unnest_values(Record.metadata_, scope.metadata_property))


def _of_suggestion(filter: Any, scope: SuggestionFilterScope) -> Any:
    name = _suggested(scope)
    if name in ("value", "score"):
        values = unnest_values(getattr(Suggestion, name))
        found = (
            select(literal(1)).select_from(Suggestion, values).where(_compare_json(filter, values.c.value))
        )
    else:
        found = select(literal(1)).where(_compare(filter, cast(getattr(Suggestion, name), String), str, str))
    return exists(found.where(*_suggests(scope)).correlate(Record))


def _of_response(filter: Any, scope: ResponseFilterScope) -> Any:
    if scope.question:
        values = unnest_values(Response.values, scope.question, "value")
        found = select(literal(1)).select_from(Response, values)
        return exists(found.where(_responds(scope), _compare_json(filter, values.c.value)).correlate(Record))
    statuses = [_plain(value) for value in filter.values]
    some = exists(select(literal(1)).where(_responds(scope)).correlate(Record))
    given = select(literal(1)).where(_responds(scope), cast(Response.status, String).in_(statuses))
    return or_(not_(some) if PENDING in statuses else false(), exists(given.correlate(Record)))


_BY_SCOPE: dict[type, Callable[[Any, Any], Any]] = {
    RecordFilterScope: _of_record,
    MetadataFilterScope: _of_metadata,
    SuggestionFilterScope: _of_suggestion,
    ResponseFilterScope: _of_response,
}


def _sorted_by(scope: Any) -> list[Any]:
    if isinstance(scope, RecordFilterScope):
        return [getattr(Record, _plain(scope.property))]
    if isinstance(scope, MetadataFilterScope):
        return [func.json_extract(Record.metadata_, _path(scope.metadata_property))]
    if isinstance(scope, SuggestionFilterScope):
        name = _suggested(scope)
        column = getattr(Suggestion, name)
        if name in ("value", "score"):
            column = func.json_extract(column, "$")
        return _averages(column, *_suggests(scope))
    if scope.question:
        return _averages(func.json_extract(Response.values, _path(scope.question, "value")), _responds(scope))
    return _averages(Response.status, _responds(scope))


def _averages(value: Any, *conditions: Any) -> list[Any]:
    """Reduce several values of a record: numbers to their mean; words, whose mean is 0, to the first one."""
    words = case((func.typeof(value) == "text", value))
    return [
        select(summary).where(*conditions).correlate(Record).scalar_subquery()
        for summary in (func.avg(value), func.min(words))
    ]


def _suggests(scope: SuggestionFilterScope) -> list[Any]:
    return [
        Suggestion.record_id == Record.id,
        Suggestion.question_id == Question.id,
        Question.dataset_id == Record.dataset_id,
        Question.name == scope.question,
    ]


def _suggested(scope: SuggestionFilterScope) -> str:
    name = _plain(scope.property)
    return name if name in ("score", "agent", "type") else "value"


def _responds(scope: ResponseFilterScope) -> Any:
    mine = Response.user_id == scope.user.id if scope.user else true()
    return and_(Response.record_id == Record.id, mine)


def _any_value(filter: Any, values: Any) -> Any:
    found = select(literal(1)).select_from(values).where(_compare_json(filter, values.c.value))
    return exists(found.correlate(Record))


def _compare_json(filter: Any, column: Any) -> Any:
    """Compare a JSON value, number or text: terms as text, ranges as numbers if they look like numbers."""
    if isinstance(filter, TermsFilter):
        return cast(column, String).in_([str(value) for value in filter.values])
    return _compare(filter, column, str, _number)


def _compare(filter: Any, column: Any, term: Callable[[Any], Any], bound: Callable[[Any], Any]) -> Any:
    if isinstance(filter, TermsFilter):
        return column.in_([term(value) for value in filter.values])
    parts = []
    if filter.ge is not None:
        parts.append(column >= bound(filter.ge))
    if filter.le is not None:
        parts.append(column <= bound(filter.le))
    return and_(true(), *parts)


def _path(*keys: str) -> str:
    """A JSON path; Argilla allows no quotes in names."""
    return "$" + "".join(f'."{key}"' for key in keys)


def _plain(value: Any) -> str:
    return str(getattr(value, "value", value))


def _number(value: Any) -> Any:
    try:
        return float(value)
    except ValueError:
        return str(value)


def _uuid(value: Any) -> UUID | None:
    try:
        return UUID(str(value))
    except ValueError:
        return None


def _moment(value: Any) -> datetime:
    """A date and time as Argilla stores it, UTC without saying so; from ISO text or epoch milliseconds."""
    if isinstance(value, int | float):
        return datetime.fromtimestamp(value / 1000, UTC).replace(tzinfo=None)
    moment = datetime.fromisoformat(str(value).replace("Z", "+00:00"))
    return moment.astimezone(UTC).replace(tzinfo=None) if moment.tzinfo else moment
