"""Rankings of systems as WMT publishes them, and JFLEG's: votes about texts that are not in the file.

    srclang,trglang,srcIndex,documentId,segmentId,judgeId,system1Id,system2Id,system1rank,system2rank
    gug,gug,272,272,272,annotA,CAMB,NMT,4,2

Bojar et al. (WMT 2013 to 2016); Napoles, Sakaguchi and Tetreault (EACL 2017). The lower rank is the
better one, equal ranks tie; a system of rank -1 was not ranked. A row may rank more than two systems:
each two of them are a vote. Which votes came from one ranking is kept: those of one row; of rows of two
systems, those about one segment by one judge that follow each other and compare each two of theirs; else all
others about it by this judge. A completion is named SEGMENT:SYSTEM, such as 272:CAMB, in the source that the
votes are about; without one, prompts and completions without text are made. XML: see `ranking_xml`.
"""

import re
from collections.abc import Iterator, Sequence

import polars as pl

from ....schemas.errors import SourceError
from ....schemas.support.nearest import suggest
from ....schemas.tables import COMPLETIONS, PROMPTS
from ...store.connection import add_key
from ..batch import FORGOTTEN_REASON, Context, divide, make_known, make_no_rejects
from ..files.header import name_column
from ..files.numbered_lines import Input, OnBytes
from ..files.table_files import convert_to_text, list_columns, read_table
from .ranking_xml import is_xml, read_ranking_xml

_PLACE = ("documentId", "segmentId", "srcIndex")
NOT_PUBLISHED = (
    "the texts that were ranked are not in the file: the votes can be fused, but no dataset comes of them"
)
_OTHERS = ("srclang", "trglang", "judgeId", "kind")
# Names in the papers' lists of systems that are none: the text itself, and people's corrections.
_ORIGINS = {
    "orig": "learner",
    "source": "learner",
    "turk": "reference",
    "ref": "reference",
    "reference": "reference",
}


def are_rankings(files: Sequence[Input], context: Context) -> bool:
    """True if all the files are rankings, which need no texts."""
    return all(is_ranking(file, context) for file in files)


def is_ranking(file: Input, context: Context) -> bool:
    """True if the file has the columns of rankings, some of them mapped perhaps."""
    return is_xml(file) or (not context.wide and bool(find_ranking_columns(file, context)))


def read_ranking_records(
    file: Input, context: Context, on_bytes: OnBytes
) -> Iterator[tuple[pl.DataFrame, pl.DataFrame]]:
    """Read blocks of (records, rejects) of rankings, columns under our names.

    Raises SourceError for options that rankings do not take, and as `read_table` does.
    """
    given = {"--map with a value": context.values, "--set": context.constants, "--wide": context.wide}
    if is_xml(file):
        given["--map"] = context.columns
    for option in (name for name, value in given.items() if value):
        what = "rankings in XML" if is_xml(file) else "rankings"
        raise SourceError(f"{file.path}: {option} is not for {what}; leave it out")
    if is_xml(file):
        yield from read_ranking_xml(file, on_bytes)
        return
    yield from _keep_whole(_read_table(file, context, on_bytes))


def _read_table(
    file: Input, context: Context, on_bytes: OnBytes
) -> Iterator[tuple[pl.DataFrame, pl.DataFrame]]:
    names = find_ranking_columns(file, context)
    ours = {name_column(theirs): ours for ours, theirs in names.items()}
    for found, bad in read_table(file, list(names.values()), on_bytes):
        yield found.rename({name: ours[name] for name in found.columns if name in ours}), bad


def _keep_whole(
    blocks: Iterator[tuple[pl.DataFrame, pl.DataFrame]],
) -> Iterator[tuple[pl.DataFrame, pl.DataFrame]]:
    """Move the last rows of a block that belong to one segment and judge to the next block."""
    waiting: pl.DataFrame | None = None
    for records, bad in blocks:
        whole = records if waiting is None else pl.concat([waiting, records], how="vertical_relaxed")
        place = pl.struct(name for name in (*_PLACE, "judgeId") if name in whole.columns)
        ends = whole.select((place != place.last()).arg_true().last()).item() if whole.height else None
        cut = whole.height if ends is None else ends + 1
        # A block of one ranking alone is no ranking: it would wait for ever.
        waiting = whole[cut:] if cut < whole.height else None
        yield whole[:cut], bad
    if waiting is not None:
        yield waiting, make_no_rejects()


def find_ranking_columns(file: Input, context: Context) -> dict[str, str]:
    """Find the file's columns that say who ranked what, by our names; {} if they are not those of rankings.

    Case does not matter. `annotator` is another name for judgeId in --map. Raises SourceError if a column is
    mapped that rankings do not have, or to one that the file does not have.
    """
    mapped = {("judgeId" if ours == "annotator" else ours): name for ours, name in context.columns.items()}
    if mapped.keys() & {"completion_a", "completion_b", "choice"}:
        return {}
    have = list_columns(file)
    spelt = {name.lower(): name for name in reversed(have)}
    systems = _find_systems([*have, *mapped])
    names = {
        name: mapped.get(name, spelt.get(name.lower(), ""))
        for name in (*_OTHERS, *_PLACE, *(f"system{i}{what}" for i in systems for what in ("Id", "rank")))
    }
    found = {ours: theirs for ours, theirs in names.items() if theirs}
    whole = [i for i in systems if {f"system{i}Id", f"system{i}rank"} <= found.keys()]
    if len(whole) < 2 or "judgeId" not in found or not set(_PLACE) & found.keys():
        return {}
    for ours, theirs in mapped.items():
        if ours not in names:
            raise SourceError(
                f"--map {ours}=…: not a column of rankings; {suggest(ours, names, 'expected one of', ' ')}"
            )
        if theirs not in have:
            raise SourceError(
                f"{file.path}: no column '{theirs}' for {ours}; the file has {', '.join(have)}; "
                f"use --map {ours}=COLUMN"
            )
    lone = {f"system{i}{what}" for i in systems if i not in whole for what in ("Id", "rank")}
    return {ours: theirs for ours, theirs in found.items() if ours not in lone}


def _find_systems(names: Sequence[str]) -> list[int]:
    """The numbers of the systems, ascending."""
    found = (re.fullmatch(r"system(\d{1,3})id", name.lower()) for name in names)
    return sorted({int(match[1]) for match in found if match})


def make_votes(
    records: pl.DataFrame, context: Context, path: str
) -> tuple[pl.DataFrame, dict[str, pl.DataFrame], pl.DataFrame]:
    """Make votes of rankings, with the prompts and completions made for them, and the rejected rows.

    Votes: line, n, completion_a and completion_b (keys), choice, annotator, ranking. Rejected rows: line,
    raw, reason.
    """
    systems = _find_systems(records.columns)
    rows, wrong = divide(_wide(records, systems), *_checks(systems))
    ranked = _long(rows, systems, context)
    tables = {} if context.about else _texts(ranked, context, path)
    known = context.known if context.about else _known(tables[COMPLETIONS.name])
    ranked = ranked.join(known, on="ref", how="left", maintain_order="left")
    rows, strange = divide(
        rows.join(_of_each_row(ranked), on="line", how="left", maintain_order="left"),
        (
            pl.col("unknown").is_not_null(),
            pl.format("completion: '{}' is no completion of source '{}'", "unknown", pl.lit(context.about)),
        ),
        (pl.col("prompts") > 1, "the completions answer different prompts"),
    )
    rankings = _find_rankings(rows.select("line", "annotator"), ranked, path)
    return _pairs(rankings, ranked), tables, pl.concat([wrong, strange])


def _wide(records: pl.DataFrame, systems: list[int]) -> pl.DataFrame:
    """Make one row per record: segment, annotator, languages; per system its id, the rank as written, the
    rank as read.
    """
    texts = records.with_columns(
        convert_to_text(records, name) for name in records.columns if name not in ("line", "raw", "gone")
    )
    place = pl.concat_list(_unless_minus_one(name) for name in _PLACE if name in records.columns)
    languages = [convert_to_text(records, name) for name in ("srclang", "trglang")]
    return texts.with_columns(
        place.list.drop_nulls().list.unique(maintain_order=True).list.join("/").alias("place"),
        languages[0].alias("from_"),
        languages[1].alias("to_"),
        pl.col("judgeId").alias("annotator"),
        *(pl.col(f"system{i}Id").alias(f"id_{i}") for i in systems),
        *(_unless_minus_one(f"system{i}rank").alias(f"said_{i}") for i in systems),
    ).with_columns(_whole(f"said_{i}").alias(f"rank_{i}") for i in systems)


def _unless_minus_one(name: str) -> pl.Expr:
    """Replace -1, which means none, by null."""
    return pl.when(pl.col(name) != "-1").then(name)


def _whole(name: str) -> pl.Expr:
    number = pl.col(name).cast(pl.Int64, strict=False)
    return pl.when(number >= 1).then(number)


def _checks(systems: list[int]) -> list[tuple[pl.Expr, pl.Expr | str]]:
    ids = pl.concat_list(pl.when(pl.col(f"rank_{i}").is_not_null()).then(f"id_{i}") for i in systems)
    ids = ids.list.drop_nulls()
    return [
        (pl.col("gone"), FORGOTTEN_REASON),
        (pl.col("place") == "", "'segmentId' (or 'srcIndex') is empty"),
        *(
            (
                pl.col(f"said_{i}").is_not_null() & pl.col(f"rank_{i}").is_null(),
                pl.format(f"system{i}rank is '{{}}', expected a whole number from 1", f"said_{i}"),
            )
            for i in systems
        ),
        *(
            (pl.col(f"rank_{i}").is_not_null() & pl.col(f"id_{i}").is_null(), f"'system{i}Id' is empty")
            for i in systems
        ),
        (ids.list.len() < 2, "fewer than two systems have a rank"),
        (ids.list.n_unique() < ids.list.len(), "a system is ranked against itself"),
    ]


def _long(rows: pl.DataFrame, systems: list[int], context: Context) -> pl.DataFrame:
    """One row a ranked system: line, i, system, rank, segment, ref, language, task."""
    same = pl.col("from_").fill_null("") == pl.col("to_").fill_null("")
    pair = (
        pl.when(same)
        .then(pl.lit(""))
        .otherwise(pl.format("{}-{}/", *(pl.col(n).fill_null("") for n in ("from_", "to_"))))
    )
    language = (
        pl.when(pl.col("from_").str.contains("^[a-z]{2}$")).then("from_").otherwise(pl.lit(context.language))
    )
    named = rows.with_columns(
        pl.concat_str(pair, "place").alias("segment"),
        language.alias("language"),
        # Of one language into itself: corrections.
        pl.when(same).then(pl.lit("gec")).otherwise(pl.lit("translation")).alias("task"),
    )
    return (
        pl.concat(
            named.select(
                "line",
                "segment",
                "language",
                "task",
                pl.lit(i).alias("i"),
                pl.col(f"id_{i}").alias("system"),
                pl.col(f"rank_{i}").alias("rank"),
            )
            for i in systems
        )
        .drop_nulls("rank")
        .with_columns(pl.format("{}:{}", "segment", "system").alias("ref"))
        .sort("line", "i")
    )


def _texts(ranked: pl.DataFrame, context: Context, path: str) -> dict[str, pl.DataFrame]:
    """A prompt for each segment and a completion for each system of it; their texts are not published."""
    here = (pl.lit(context.source).alias("source"), pl.lit(path).alias("path"))
    message = pl.struct(pl.lit("user").alias("role"), pl.lit("").alias("content"))
    asked = add_key(
        ranked.select(
            *here,
            pl.col("segment").alias("ref"),
            "task",
            "language",
            pl.col("segment").alias("group"),
            pl.concat_list(message).alias("messages"),
            "line",
        ),
        PROMPTS,
    )
    answers = add_key(
        ranked.select(
            *here,
            "ref",
            asked["key"].alias("prompt"),
            pl.lit("").alias("content"),
            pl.col("system").str.to_lowercase().replace_strict(_ORIGINS, default="model").alias("origin"),
            pl.col("system").alias("author"),
            "line",
        ),
        COMPLETIONS,
    )
    return {
        PROMPTS.name: asked.unique("key", keep="first", maintain_order=True),
        COMPLETIONS.name: answers.unique("key", keep="first", maintain_order=True),
    }


def _known(completions: pl.DataFrame) -> pl.DataFrame:
    return completions.select("ref", pl.col("key").alias("completion"), "prompt").cast(
        dict.fromkeys(make_known([]).columns, pl.String)
    )


def _of_each_row(ranked: pl.DataFrame) -> pl.DataFrame:
    """Line; a completion that is not known, if any; how many prompts the others answer."""
    return ranked.group_by("line").agg(
        pl.col("ref").filter(pl.col("completion").is_null()).first().alias("unknown"),
        pl.col("prompt").drop_nulls().n_unique().alias("prompts"),
    )


def _find_rankings(rows: pl.DataFrame, ranked: pl.DataFrame, path: str) -> pl.DataFrame:
    """Add `ranking` to rows (line, annotator): of a row of several systems its line; of pairs see above."""
    sides = ranked.group_by("line").agg(pl.col("segment").first(), pl.len().alias("systems"))
    rows = rows.join(sides, on="line", maintain_order="left").sort("line")
    pair = pl.col("systems") == 2
    place = pl.struct("segment", "annotator", pair)
    rows = rows.with_columns((place != place.shift()).fill_null(True).cum_sum().alias("run"))
    # A run compares each two of its k systems if it has k(k - 1)/2 rows and no pair twice.
    ends = ranked.join(rows.select("line", "run"), on="line")
    k = ends.group_by("run").agg(pl.col("system").n_unique().alias("k"))
    both = ends.group_by("run", "line").agg(pl.col("system").sort().str.join("\n").alias("pair"))
    m = both.group_by("run").agg(pl.col("pair").n_unique().alias("pairs"), pl.len().alias("m"))
    rows = rows.join(k, on="run", maintain_order="left").join(m, on="run", maintain_order="left")
    of = pl.col("k") * (pl.col("k") - 1) // 2
    whole = (pl.col("k") > 2) & (pl.col("m") == of) & (pl.col("pairs") == of)
    name = pl.when(~pair).then("line").when(whole).then(pl.col("line").min().over("run"))
    named = pl.format("{}:{}", pl.lit(path), pl.coalesce(name.cast(pl.String), pl.format("{}:", "segment")))
    return rows.select("line", "annotator", named.alias("ranking"))


def _pairs(rows: pl.DataFrame, ranked: pl.DataFrame) -> pl.DataFrame:
    """Each two systems of a row as a vote."""
    sides = ranked.select("line", "i", "rank", "completion")
    choice = (
        pl.when(pl.col("rank") < pl.col("rank_b"))
        .then(pl.lit("a"))
        .when(pl.col("rank") > pl.col("rank_b"))
        .then(pl.lit("b"))
        .otherwise(pl.lit("tie"))
    )
    return (
        rows.join(sides, on="line")
        .join(sides, on="line", suffix="_b")
        .filter(pl.col("i") < pl.col("i_b"))
        .sort("line", "i", "i_b")
        .select(
            "line",
            pl.int_range(pl.len()).over("line").alias("n"),
            "annotator",
            "ranking",
            pl.col("completion").alias("completion_a"),
            "completion_b",
            choice.alias("choice"),
        )
    )
