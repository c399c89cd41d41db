"""Files that are one JSON list: its elements as rows, numbered from 1.

[{"conversation_id": "930", …}, {"conversation_id": "931", …}]
"""

import polars as pl

from ....schemas.errors import SourceError
from ...store.connection import open_scratch, query
from .numbered_lines import Input, OnBytes, read_whole


def read_elements(file: Input, what: str, on_bytes: OnBytes = lambda _: None) -> pl.DataFrame:
    """Read the elements of a JSON list: line (the element's number), raw (its JSON) and damaged.

    These are the columns that `parse_json_rows` takes. `what` names the elements in the message. Raises
    SourceError if the file is not a JSON list.
    """
    text = read_whole(file, on_bytes)
    with open_scratch() as con:
        con.register("whole", pl.DataFrame({"text": [text]}).to_arrow())
        kind = query(con, "SELECT CASE WHEN json_valid(text) THEN json_type(text) END AS k FROM whole").item()
        if kind != "ARRAY":
            raise SourceError(f"{file.path}: expected one JSON list of {what}")
        return query(
            con,
            """SELECT row_number() OVER () AS line, e::VARCHAR AS raw, false AS damaged
            FROM (SELECT unnest(json_extract(text, '$[*]')::JSON[]) AS e FROM whole)""",
        )
