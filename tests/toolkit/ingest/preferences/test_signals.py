"""Votes, ratings and outcomes: the same rows as CSV, TSV, JSON Lines and Parquet are the same tables."""

import json
from datetime import UTC, datetime, timedelta, timezone

import polars as pl
import pytest
from examples import few
from hypothesis import given
from hypothesis import strategies as st

from preceptor.schemas.errors import SourceError
from preceptor.schemas.licenses import read_license
from preceptor.schemas.tables import OUTCOMES, RATINGS, REJECTS, VOTES
from preceptor.toolkit.ingest.batch import Context
from preceptor.toolkit.ingest.formats import FORMATS
from preceptor.toolkit.ingest.run import Origin, find_inputs, ingest
from preceptor.toolkit.store.connection import count, open_store, query, remove_source

AT = datetime(2026, 5, 4, 10, 0, 0, 250_000)
TABLES = {"votes": VOTES, "ratings": RATINGS, "outcomes": OUTCOMES}
ROWS = {
    "votes": [
        {
            "completion_a": "p-a",
            "completion_b": "p-b",
            "choice": "tie",
            "annotator": "7",
            "shown_first": "a",
            "at": AT,
        },
        {
            "completion_a": "p-b",
            "completion_b": "p-a",
            "choice": "a",
            "annotator": None,
            "shown_first": None,
            "at": None,
        },
        {
            "completion_a": "p-b",
            "completion_b": "zz",
            "choice": "b",
            "annotator": "7",
            "shown_first": None,
            "at": None,
        },
    ],
    "ratings": [
        {"completion": "p-a", "criterion": "helpful", "value": 4, "levels": 5, "annotator": "j", "at": AT},
        {
            "completion": "p-b",
            "criterion": "helpful",
            "value": 1,
            "levels": None,
            "annotator": None,
            "at": None,
        },
        {"completion": "p-b", "criterion": "kind", "value": 7, "levels": 7, "annotator": "j", "at": None},
    ],
    "outcomes": [
        {"completion": "p-a", "learner": "l", "measure": "turns", "value": 2.0, "censored": True, "at": AT},
        {
            "completion": "p-b",
            "learner": None,
            "measure": "success",
            "value": 1.0,
            "censored": None,
            "at": None,
        },
        {"completion": "p-b", "learner": "l", "measure": "turns", "value": 2.5, "censored": None, "at": None},
    ],
}
FORMS = ["csv", "tsv", "jsonl", "parquet"]


def load(store, format, path, source="s", **said):
    files = find_inputs(FORMATS[format], [path])
    return ingest(store, FORMATS[format], files, Context(source, **said), Origin(read_license(None)))


def written(folder, form, rows):
    """The rows in one form; times are typed in Parquet only."""
    path = folder / f"f.{form}"
    if form == "parquet":
        pl.DataFrame(rows).write_parquet(path)
    elif form == "jsonl":
        path.write_text("\n".join(json.dumps(row, default=str) for row in rows))
    else:
        pl.DataFrame(rows).write_csv(path, separator="\t" if form == "tsv" else ",")
    return path


def fill(store, folder):
    prompt = {"id": "p", "task": "qa", "prompt": "?"}
    answers = [{"id": "p-a", "content": "x"}, {"id": "p-b", "content": "y"}]
    (folder / "known.jsonl").write_text(json.dumps(prompt | {"completions": answers}))
    load(store, "prompts", folder / "known.jsonl", "mine")


@pytest.fixture
def filled(store, tmp_path):
    fill(store, tmp_path)
    return store


def rows_of(store, name):
    columns = ", ".join(f'"{c.name}"' for c in TABLES[name].columns if c.name not in ("key", "path", "line"))
    return query(store, f"SELECT line - min(line) OVER () AS n_, {columns} FROM {name} ORDER BY line").rows()


@pytest.mark.parametrize("name", ROWS)
def test_every_form_gives_the_same_tables(filled, tmp_path, named, name):
    found, reasons = [], []
    for form in FORMS:
        report = load(
            filled, name, written(tmp_path, form, ROWS[name]), levels=6 if name == "ratings" else None
        )
        assert report.rows + report.rejects == 3
        assert report.rejects == (name != "ratings")
        found.append(rows_of(filled, name))
        rejects = query(filled, "SELECT line, raw, reason FROM rejects").rows()
        assert [line for line, _, _ in rejects] == [4 if form.endswith("sv") else 3] * report.rejects
        reasons.append([reason for _, _, reason in rejects])
        if form == "parquet" and rejects:
            assert json.loads(rejects[0][1]) == {
                k: named(v) if k in ("annotator", "learner") else v and str(v)
                for k, v in ROWS[name][2].items()
                if not isinstance(v, datetime)
            }
        people = query(filled, "SELECT pseudonym FROM annotators")["pseudonym"].to_list()
        assert people == {"votes": [named("7")], "ratings": [named("j")], "outcomes": []}[name]
        assert (
            query(filled, f"SELECT min(strftime(\"at\", '%c %f')) FROM {name}").item()
            == "2026-05-04 10:00:00 250000"
        )
        remove_source(filled, "s")
        filled.execute("DELETE FROM annotators")
    assert all(rows == found[0] for rows in found)
    assert all(reason == reasons[0] for reason in reasons)


@pytest.mark.parametrize(
    "frame",
    [
        pl.DataFrame({"value": [3.0], "levels": [5.0], "at": [AT.replace(tzinfo=UTC)]}),
        pl.DataFrame({"value": ["3"], "levels": ["5"], "at": ["2026-05-04T12:00:00.25+02:00"]}),
        pl.DataFrame(
            {
                "value": [3],
                "levels": pl.Series([5], dtype=pl.UInt8),
                "at": [AT.replace(tzinfo=UTC).astimezone(timezone(timedelta(hours=2)))],
            }
        ),
        pl.DataFrame({"value": [3], "levels": [5], "at": pl.Series([AT], dtype=pl.Datetime("ns"))}),
        pl.DataFrame(
            {
                "value": [3],
                "levels": [5],
                "at": pl.Series([AT], dtype=pl.Datetime("ms")),
                "annotator": pl.Series([None], dtype=pl.Null),
            }
        ),
    ],
)
def test_types_of_parquet(filled, tmp_path, frame):
    named = frame.with_columns(criterion=pl.lit("kind").cast(pl.Categorical), completion=pl.lit("p-a"))
    named.write_parquet(tmp_path / "f.parquet")
    load(filled, "ratings", tmp_path / "f.parquet")
    assert query(filled, 'SELECT value, levels, criterion, epoch_us("at") FROM ratings').rows() == [
        (3, 5, "kind", int(AT.replace(tzinfo=UTC).timestamp() * 1e6))
    ]


def test_a_success_may_be_true_or_false(filled, tmp_path):
    rows = [{"completion": "p-a", "measure": "success", "value": right} for right in (True, False)]
    for form in FORMS:
        load(filled, "outcomes", written(tmp_path, form, rows), form)
        assert query(filled, "SELECT value FROM outcomes WHERE source = ? ORDER BY line", [form]).rows() == [
            (1.0,),
            (0.0,),
        ]


@pytest.mark.parametrize("form", FORMS)
def test_mapping_and_what_is_missing(filled, tmp_path, named, form):
    rows = [{"Left one": "p-a", "b/c": "p-b", "it's": "b", "line": "7"}]
    path = written(tmp_path, form, rows)
    columns = {"completion_a": "Left one", "completion_b": "b/c", "choice": "it's", "annotator": "line"}
    load(filled, "votes", path, columns=columns)
    assert query(
        filled, "SELECT choice, pseudonym FROM votes v JOIN annotators a ON a.key = v.annotator"
    ).rows() == [("b", named("7"))]
    said = r"f\.\w+: no column 'at' for at; the file has .*Left one.*; use --map at=COLUMN"
    with pytest.raises(SourceError, match=said):
        load(filled, "votes", path, "t", columns=columns | {"at": "at"})
    with pytest.raises(SourceError, match=r"no column 'choice' for choice; .* use --map choice=COLUMN"):
        load(filled, "votes", path, "t", columns={"completion_a": "Left one", "completion_b": "b/c"})
    with pytest.raises(SourceError, match=r"--map vote=…: not a column here; expected one of completion_a"):
        load(filled, "votes", path, "t", columns={"vote": "it's"})


def test_what_is_no_table(filled, tmp_path):
    path = tmp_path / "votes.xlsx"
    path.write_bytes(b"PK")
    with pytest.raises(SourceError, match=r"votes\.xlsx: no spreadsheet, or damaged"):
        load(filled, "votes", path)
    whole = written(tmp_path, "parquet", ROWS["votes"])
    content = whole.read_bytes()
    whole.write_bytes(content[: len(content) // 2])
    with pytest.raises(SourceError, match=r"f\.parquet: not Parquet, or damaged .*; fetch it again"):
        load(filled, "votes", whole)
    pl.DataFrame({"completion_a": ["p-a"], "completion_b": ["p-b"], "choice": [["a"]]}).write_parquet(whole)
    with pytest.raises(
        SourceError, match=r"column 'choice' is .*list<.*expected text, numbers, true/false or times"
    ):
        load(filled, "votes", whole)
    pl.DataFrame(
        schema={"completion_a": pl.String, "completion_b": pl.String, "choice": pl.String}
    ).write_parquet(whole)
    with pytest.raises(SourceError, match="holds no rows"):
        load(filled, "votes", whole)


def test_a_folder_of_every_form(filled, tmp_path):
    folder = tmp_path / "votes"
    folder.mkdir()
    for form in FORMS:
        written(folder, form, ROWS["votes"])
    report = load(filled, "votes", folder, allow_rejects=True)
    assert (report.rows, report.rejects, count(filled, VOTES)) == (8, 4, 8)
    assert load(filled, "votes", folder).already_there


@pytest.fixture(scope="module")
def opened(tmp_path_factory):
    folder = tmp_path_factory.mktemp("store")
    with open_store(folder / "s.duckdb", create=True) as con:
        fill(con, folder)
        yield con


PIECES = [
    b"\xff",
    b"\0",
    b'"',
    b"\n",
    b"\r\n",
    b"[",
    b"{}",
    b"null",
    b"1e999",
    b"\\u0000",
    b"\\ud800",
    b"true",
    b"-",
]


@pytest.mark.parametrize("name", ROWS)
def test_damaged_json_lines_balance(opened, tmp_path, name):
    text = written(tmp_path, "jsonl", ROWS[name]).read_bytes()

    @few()
    @given(
        st.lists(
            st.tuples(st.integers(0, len(text) - 1), st.integers(0, 9), st.sampled_from(PIECES)), max_size=5
        )
    )
    def run(changes):
        content = text
        for at, taken, put in changes:
            content = content[:at] + put + content[at + taken :]
        (tmp_path / "f.jsonl").write_bytes(content)
        remove_source(opened, "s")
        try:
            report = load(opened, name, tmp_path / "f.jsonl", about="mine", levels=6)
        except SourceError:
            return
        lines = [line for line in content.split(b"\n") if line.decode(errors="replace").strip()]
        assert report.rows + report.rejects == len(lines)
        assert (report.rows, report.rejects) == (count(opened, TABLES[name]), count(opened, REJECTS))

    run()
