"""Rankings as the evaluation system Appraise exports them in XML (WMT 2013 to 2016), and GEC's (EMNLP 2015).

    <HIT source-language="deu" target-language="eng">
      <ranking-task id="0">
        <ranking-result user="judge-1">
          <translation system="online-A" rank="2"/>
          <translation system="online-B,uedin" rank="1"/>

    <ranking-item src-id="307" user="annotator01"> <translation …/>

Systems with the same text share a translation. A row is a ranking, its line that of its tag.
"""

import re
from collections.abc import Iterator
from typing import Any
from xml.parsers import expat

import polars as pl

from ....schemas.errors import SourceError
from ..batch import make_no_rejects
from ..files.numbered_lines import Input, OnBytes, read_lines

_ENDINGS = (".xml", ".xml.gz", ".xml.bz2")
_RANKINGS = ("ranking-result", "ranking-item")


def is_xml(file: Input) -> bool:
    """True if the file is XML, by its name."""
    return file.path.name.lower().endswith(_ENDINGS)


def read_ranking_xml(
    file: Input, on_bytes: OnBytes = lambda _: None
) -> Iterator[tuple[pl.DataFrame, pl.DataFrame]]:
    """Read blocks of (records, rejects) with the columns of rankings in a table; there are no rejects.

    Raises SourceError if the file is no XML, is cut off, or declares entities.
    """
    parser, found = expat.ParserCreate(), list[dict[str, Any]]()
    around: dict[str, str] = {}  # what the tags around a ranking say

    def start(tag: str, given: dict[str, str]) -> None:
        if tag == "HIT":
            around.update(srclang=given.get("source-language", ""), trglang=given.get("target-language", ""))
        elif tag == "ranking-task":
            around["srcIndex"] = given.get("id", "")
        elif tag in _RANKINGS:
            place = given.get("src-id") or given.get("id") or ""
            found.append(
                {"srcIndex": place, **around, "line": parser.CurrentLineNumber, "judgeId": given.get("user")}
            )
        elif tag == "translation" and found:
            _add_systems(found[-1], given)

    def refuse(*_: object) -> None:
        raise SourceError(f"{file.path}: declares entities, which rankings have not; fetch it again")

    parser.StartElementHandler = start
    parser.EntityDeclHandler = refuse
    try:
        for block in read_lines(file, on_bytes=on_bytes):
            if block["damaged"].any():
                raise SourceError(
                    f"{file.path}:{block.filter('damaged')['line'][0]}: not valid "
                    f"{file.encoding or 'UTF-8'}; name its encoding, such as --encoding latin-1"
                )
            parser.Parse(block["raw"].str.join("\n").item() + "\n", False)
            if len(found) > 1:  # the last ranking may go on in the next block
                yield _make_records(found[:-1]), make_no_rejects()
                del found[:-1]
        parser.Parse("", True)
    except expat.ExpatError as error:
        raise SourceError(f"{file.path}: no XML, or cut off ({error}); fetch it again") from error
    if found:
        yield _make_records(found), make_no_rejects()


def _add_systems(ranking: dict[str, Any], given: dict[str, str]) -> None:
    """Add the systems of a translation to a ranking."""
    for name in filter(None, re.split(r"[,\s]+", given.get("system", ""))):
        i = 1 + sum(key.endswith("Id") and key.startswith("system") for key in ranking)
        ranking |= {f"system{i}Id": name, f"system{i}rank": given.get("rank")}


def _make_records(rankings: list[dict[str, Any]]) -> pl.DataFrame:
    """Records as a table's, a column for each system; `raw` is of dtype Null, as in Parquet."""
    columns = dict.fromkeys(["srclang", "trglang", "srcIndex", "judgeId"])
    columns |= dict.fromkeys(key for ranking in rankings for key in ranking if key != "line")
    frame = pl.DataFrame(
        {name: [ranking.get(name) for ranking in rankings] for name in columns},
        schema=dict.fromkeys(columns, pl.String),
    )
    lines = pl.Series("line", [ranking["line"] for ranking in rankings], pl.Int64)
    return frame.select(lines, pl.lit(None).alias("raw"), pl.all().replace("", None))
