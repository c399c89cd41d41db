"""List all records of an Argilla dataset, none skipped and none twice.

The server lists records by time of insertion, in pages by offset. Records of one request can have equal
times, in any order, so pages can skip or repeat some: missing records are searched for again with pages of
another length.
"""

from ...schemas.errors import AnnotationError
from .client import PAGE, ArgillaClient, Json

_ATTEMPTS = 4


def list_records(server: ArgillaClient, dataset: str, include: str = "", page: int = PAGE) -> list[Json]:
    """List the dataset's records in the order they came in; `include` is responses or suggestions.

    Raises AnnotationError if the records change faster than they can be read.
    """
    found: dict[str, Json] = {}
    more = {"include": include} if include else {}
    for attempt in range(_ATTEMPTS):
        # Pages of another length end between other records.
        total = _read_pages(server, dataset, page - attempt * (page // 7 or 1), more, found)
        if len(found) >= total:
            return list(found.values())
    raise AnnotationError(
        f"{server.url}: the dataset's records change while they are read ({len(found):,} of {total:,} seen); "
        "run this command again"
    )


def _read_pages(
    server: ArgillaClient, dataset: str, page: int, more: dict[str, str], found: dict[str, Json]
) -> int:
    """Read every page into `found`, by id; how many records there are."""
    offset, total = 0, 1
    while offset < total:
        answer = server.get(f"datasets/{dataset}/records", offset=offset, limit=max(1, page), **more)
        total = int(answer["total"])
        found.update((record["id"], record) for record in answer["items"])
        if not answer["items"]:
            break
        offset += len(answer["items"])
    return total
