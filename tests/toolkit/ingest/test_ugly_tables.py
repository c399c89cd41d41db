"""Tables as strangers bring them: values, times, separators, encodings and headers mean what their writers meant."""

import gzip
import zipfile
from datetime import UTC, date, datetime, timedelta

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from preceptor.schemas.cells import read_choice, read_level
from preceptor.schemas.errors import SourceError
from preceptor.toolkit.ingest.files.fields import parse_bool, parse_choice, parse_time, parse_whole
from preceptor.toolkit.ingest.run import ingest_files
from preceptor.toolkit.store.connection import query

TEXTS = (
    '{"id":"p1","task":"t","prompt":"x","completions":[{"id":"a","content":"A"},{"id":"b","content":"B"}]}\n'
)
HEAD = "completion_a,completion_b,choice"


@pytest.fixture
def votes(store, tmp_path):
    """A function that ingests votes about completions a and b."""
    (tmp_path / "texts.jsonl").write_text(TEXTS)
    ingest_files(store, "prompts", [tmp_path / "texts.jsonl"], "texts")

    def load(path, **options):
        return ingest_files(store, "votes", [path], "v", about="texts", **options)

    return load


def reviews(store, path, **options):
    return ingest_files(store, "reviews", [path], "s", **options)


def reasons(store):
    return query(store, "SELECT line, reason FROM rejects ORDER BY line").rows()


# ---- values


WORDS = {
    True: ["1", "1.0", "1.", "1,0", "1.000", "true", "TRUE", "T", "t", "yes", "Yes", "Y", "y", " true "],
    False: ["0", "0.0", "0,0", "0,00", "false", "False", "F", "no", "NO", "N", "n"],
    None: ["", "2", "1,000", "maybe", "10", "-1", "1.5", "ja", None],
}


def test_truths_mean_the_same_in_every_spelling():
    for truth, words in WORDS.items():
        read = pl.DataFrame({"w": words}, schema={"w": pl.String}).select(parse_bool(pl.col("w")))
        assert read["w"].to_list() == [truth] * len(words)


@pytest.mark.parametrize("name", ["l.csv", "l.tsv", "l.jsonl", "l.parquet"])
@pytest.mark.parametrize(
    "truths",
    [
        [True, False],
        [1, 0],
        [1.0, 0.0],
        ["yes", "no"],
        ["Y", "n"],
        ["T", "F"],
        ["1.0", "0.0"],
        ["TRUE", "False"],
    ],
)
def test_truths_mean_the_same_in_every_format(store, tmp_path, name, truths):
    path = tmp_path / name
    frame = pl.DataFrame({"learner": ["l", "l"], "item": ["i", "j"], "correct": truths})
    match path.suffix:
        case ".parquet":
            frame.write_parquet(path)
        case ".jsonl":
            frame.write_ndjson(path)
        case suffix:
            frame.write_csv(path, separator="\t" if suffix == ".tsv" else ",")
    report = reviews(store, path)
    assert (report.rows, report.rejects) == (2, 0)
    assert query(store, "SELECT correct FROM reviews ORDER BY line")["correct"].to_list() == [True, False]


@given(
    st.sampled_from(["a", "b", "tie", "A", "B", "Tie", "TIE", "left", "1", "ab", "", "both", "ı"]),
    st.text(" ", max_size=2),
)
def test_choices_of_forms_and_of_ingest_are_the_same(word, space):
    written = f"{space}{word}{space}"
    cell = pl.DataFrame({"choice": [written.strip() or None]}, schema={"choice": pl.String})
    read = cell.select(parse_choice("choice")).item()
    expected = read_choice(written)
    assert (read if read in ("a", "b", "tie") else None) == expected


@given(
    st.one_of(st.integers(-5, 2000), st.sampled_from([0.5, 4.5])),
    st.sampled_from(["", ".0", ",0", ",00", ".", ",000"]),
)
def test_levels_of_forms_and_of_ingest_are_the_same(number, tail):
    text = f"{number}{tail}" if isinstance(number, int) else str(number)
    whole = pl.DataFrame({"v": [text]}).select(parse_whole("v")).item()
    assert whole == read_level(text)
    assert whole == (number if isinstance(number, int) and tail != ",000" else None)


def test_choices_in_any_case(votes, store, shared_cases):
    report = votes(shared_cases / "22-silly" / "caps.csv")
    assert (report.rows, report.rejects) == (3, 2)
    assert query(store, "SELECT choice FROM votes ORDER BY line")["choice"].to_list() == ["a", "tie", "tie"]
    assert reasons(store) == [
        (3, "choice is 'left', expected a, b or tie"),
        (4, "choice is '1', expected a, b or tie"),
    ]


def test_outcomes_read_the_same_words(store, votes, tmp_path):
    (tmp_path / "o.csv").write_text(
        'completion,measure,value,censored\na,Success,yes,no\na,success,0.0,F\nb,TURNS,"3,0",Y\nb,success,2,\n'
    )
    ingest_files(store, "outcomes", [tmp_path / "o.csv"], "o", about="texts")
    assert query(store, "SELECT measure, value, censored FROM outcomes ORDER BY line").rows() == [
        ("success", 1.0, False),
        ("success", 0.0, False),
        ("turns", 3.0, True),
    ]
    assert reasons(store) == [(5, "value is '2', expected 0 or 1")]


@pytest.mark.parametrize(
    ("name", "rows"),
    [("index.csv", [True, False]), ("noindex.csv", [True, False]), ("mixed.csv", [True, True])],
)
def test_tables_of_pandas(store, shared_cases, name, rows):
    columns = {"learner": "user_id", "item": "problem_id", "duration_ms": "ms"}
    report = reviews(store, shared_cases / "08-pandas-csv" / name, columns=columns)
    assert query(store, "SELECT correct FROM reviews ORDER BY line")["correct"].to_list() == rows
    assert reasons(store) == [(4, "neither correct nor grade is given")]
    assert (report.rows, report.rejects) == (2, 1)


def test_ratings_are_read_or_refused_clearly(store, votes, shared_cases):
    report = ingest_files(
        store, "ratings", [shared_cases / "62-ratings" / "r.csv"], "r", about="texts", levels=5
    )
    assert (report.rows, report.rejects) == (3, 3)
    assert query(store, "SELECT value FROM ratings ORDER BY line")["value"].to_list() == [5, 3, 4]
    assert [reason for _, reason in reasons(store)] == [
        "value is '5 - Strongly agree', expected 1 to 5",
        "value is '4.5', expected 1 to 5",
        "value is '0', expected 1 to 5",
    ]


# ---- times


TIMES = {
    "2018-09-01 16:45:00 UTC": "2018-09-01 16:45",
    "2018-09-01 16:45:00.5 UTC": "2018-09-01 16:45:00.5",
    "2021-08-06T13:18Z": "2021-08-06 13:18",
    "2021-08-06T13:18+02:00": "2021-08-06 11:18",
    "2021-08-06 13:18": "2021-08-06 13:18",
    "2021-08-06T13": "2021-08-06 13:00",
    "2024-05-04 10:00:00+00": "2024-05-04 10:00",
    "2024-05-04 10:00:00.123+02:00": "2024-05-04 08:00:00.123",
    "2024-05-04T10:00:00.000+0000": "2024-05-04 10:00",
    "2024-05-04 10:00:00 +0200": "2024-05-04 08:00",
    "2024-05-04 10:00:00 -03:30": "2024-05-04 13:30",
    "2024-05-04 10:00:00,123": "2024-05-04 10:00:00.123",
    "2024/5/4 9:05": "2024-05-04 09:05",
    "2024-05-04": "2024-05-04",
    "1714816800": "2024-05-04 10:00",
    "1714816800.0": "2024-05-04 10:00",
    "1714816800.5": "2024-05-04 10:00:00.5",
    "1714816800123": "2024-05-04 10:00:00.123",
    "1714816800123.0": "2024-05-04 10:00:00.123",
    "1714816800123456": "2024-05-04 10:00:00.123456",
    "1714816800123456789": "2024-05-04 10:00:00.123456",
    "05/04/2024 10:00": None,
    "01.05.2026": None,
    "2021-08-06T24:00:00Z": "2021-08-07",
    "2021-12-31 24:00": "2022-01-01",
    "2021-08-06T24:00:00+02:00": "2021-08-06 22:00",
    "2021-08-06T24:00:01Z": None,
    "2021-08-06T24:30": None,
    "2024-02-30": None,
    "12": None,
    "soon": None,
}


def test_times_as_programs_write_them():
    read = parse_time(pl.DataFrame({"at": [None, *TIMES, None]}))
    right = [time and datetime.fromisoformat(time).replace(tzinfo=UTC) for time in TIMES.values()]
    assert read["time"].to_list() == [None, *right, None]


@given(
    st.datetimes(datetime(1970, 1, 2), datetime(2200, 1, 1)),
    st.sampled_from(
        ["%Y-%m-%d %H:%M:%S.%f", "%Y-%m-%dT%H:%M:%S", "%Y-%m-%d %H:%M", "%Y/%m/%d %H", "%Y.%m.%d"]
    ),
    st.sampled_from(["", "Z", " UTC", "gmt", "+02", " -0330", "+05:45"]),
)
def test_times_in_any_form(at, form, zone):
    if form == "%Y.%m.%d":
        zone = ""
    text = at.strftime(form) + zone
    hours = {"+02": 2, " -0330": -3.5, "+05:45": 5.75}.get(zone, 0)
    right = datetime.strptime(at.strftime(form), form).replace(tzinfo=UTC) - timedelta(hours=hours)
    assert parse_time(pl.DataFrame({"at": [text]}))["time"].item() == right


@pytest.mark.parametrize(
    ("form", "text"),
    [
        ("%d.%m.%Y", "01.05.2026"),
        ("%m/%d/%y %I:%M %p", "05/01/26 12:00 AM"),
        ("%d.%m.%Y %H:%M %z", "01.05.2026 02:00 +0200"),
    ],
)
def test_a_format_of_dates_reads_what_is_ambiguous(store, tmp_path, form, text):
    (tmp_path / "l.csv").write_text(f"learner,item,correct,at\nl,i,1,{text}\nl,i,1,2026-13-01\n")
    reviews(store, tmp_path / "l.csv", date_format=form)
    assert query(store, 'SELECT "at" FROM reviews')["at"].to_list() == [datetime(2026, 5, 1, tzinfo=UTC)]
    assert reasons(store) == [(3, f"at is '2026-13-01', expected a time by --date-format {form}")]


def test_times_of_bigquery(store, shared_cases):
    columns = {"learner": "uuid", "item": "upid", "at": "timestamp_TW", "correct": "is_correct"}
    report = reviews(store, shared_cases / "09-bigquery-utc" / "Log_Problem.csv", columns=columns)
    assert (report.rows, report.rejects) == (2, 0)
    first = query(store, 'SELECT min("at") AS t FROM reviews')["t"].item()
    assert first == datetime(2018, 9, 1, 16, 45, tzinfo=UTC)


@pytest.mark.parametrize(("name", "refused"), [("nosec.csv", []), ("times.csv", ["05/04/2024 10:00"])])
def test_times_of_other_programs(store, shared_cases, name, refused):
    path = shared_cases / "09-bigquery-utc" / name
    try:
        reviews(store, path)
    except SourceError as error:
        pytest.fail(str(error))
    said = [reason.split("'")[1] for _, reason in reasons(store)]
    assert said[: len(refused)] == refused
    read = query(store, 'SELECT count(*) AS n FROM reviews WHERE "at" IS NOT NULL')["n"].item()
    assert read == len(path.read_text().strip().splitlines()) - 1 - len(said)


def test_typed_dates_are_times(store, tmp_path):
    frame = pl.DataFrame({"learner": ["l"], "item": ["i"], "correct": [True], "at": [date(2026, 5, 4)]})
    frame.write_parquet(tmp_path / "l.parquet")
    reviews(store, tmp_path / "l.parquet")
    assert query(store, 'SELECT "at" FROM reviews')["at"].to_list() == [datetime(2026, 5, 4, tzinfo=UTC)]


# ---- tables


SAME = ["bom", "crlf", "dup2", "mac", "semi", "sep", "tabs", "trail", "u16", "v", "v2"]


@pytest.mark.parametrize("name", SAME)
def test_tables_of_spreadsheets_say_what_was_meant(votes, store, shared_cases, name):
    report = votes(shared_cases / "22-silly" / f"{name}.csv")
    assert (report.rows, report.rejects) == (1, 0)
    assert query(store, "SELECT choice FROM votes")["choice"].to_list() == ["a"]
    notes = {
        "u16": ["u16.csv: read as UTF-16, as its byte-order mark says"],
        "dup2": ["columns that are not read: Comment"],
    }
    assert report.notes == notes.get(name, [])


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("u16le-nobom.csv", "is UTF-16 without a byte-order mark; read it with --encoding utf-16-le"),
        ("dup.csv", "2 columns 'completion_a'; rename all but one|no column 'completion_b'"),
        ("header.csv", "holds no rows"),
        ("empty.jsonl", "is empty; expected JSON Lines"),
        ("v.xlsx", "no spreadsheet, or damaged .calamine error"),
        ("v3.txt", "expected a file named"),
    ],
)
def test_what_is_no_table_is_named(votes, shared_cases, name, said):
    with pytest.raises(SourceError, match=said):
        votes(shared_cases / "22-silly" / name)


@pytest.mark.parametrize("name", ["v.zip", "vv.csv"])
def test_an_archive_of_one_table_is_read(votes, shared_cases, name):
    report = votes(shared_cases / "22-silly" / name)
    assert (report.rows, report.rejects) == (1, 0)


@pytest.mark.parametrize(
    ("members", "said"),
    [
        (["a.csv", "b.csv"], "holds 2 files; unpack it and name the one to read"),
        ([], "holds 0 files; unpack it"),
        (["[Content_Types].xml", "xl/workbook.xml"], "no spreadsheet, or damaged"),
    ],
)
@pytest.mark.parametrize("name", ["l.zip", "l.csv"])
def test_other_archives_are_refused(store, tmp_path, name, members, said):
    with zipfile.ZipFile(tmp_path / name, "w") as archive:
        for member in members:
            archive.writestr(member, "x")
    with pytest.raises(SourceError, match=said):
        reviews(store, tmp_path / name)


@pytest.mark.parametrize(
    ("name", "said"), [("p2.json", "is JSON over several lines"), ("p3.jsonl", "is one JSON list")]
)
def test_other_json_is_named(store, shared_cases, name, said):
    with pytest.raises(SourceError, match=f"{said}, not JSON Lines; write one object a line .jq"):
        ingest_files(store, "prompts", [shared_cases / "22-silly" / name], "p")


def test_utf16_without_a_mark_is_read_with_its_name(votes, store, shared_cases):
    report = votes(shared_cases / "22-silly" / "u16le-nobom.csv", encoding="utf-16-le")
    assert (report.rows, report.rejects) == (1, 0)


def test_rows_of_latin_1_are_read_with_its_name(store, shared_cases):
    path = shared_cases / "12-assist2009" / "skill_builder_data.csv"
    columns = {"learner": "user_id", "item": "problem_id"}
    report = reviews(store, path, columns=columns)
    assert (report.rows, report.rejects) == (2, 1)
    assert any("--encoding latin-1" in note for note in report.notes)
    report = reviews(store, path, columns=columns, encoding="latin-1", replacing=True)
    assert (report.rows, report.rejects) == (3, 0)
    assert report.notes[0].startswith("columns that are not read: order_id, assignment_id")
    assert report.notes[1:] == ["skill_builder_data.csv: read as latin-1 (--encoding)"]


NAMES = ("learner", "item", "correct", "note")


@given(
    st.sampled_from([",", ";", "\t"]),
    st.sampled_from(["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "cp1251"]),
    st.sampled_from(["\n", "\r\n", "\r"]),
    st.booleans(),
    st.permutations([*NAMES, "", "", "note"]),
    st.sampled_from(["plain", "gz"]),
)
def test_a_table_means_the_same_in_any_dress(
    tmp_path_factory, separator, encoding, end, hint, header, packed
):
    from preceptor.toolkit.store.connection import open_store

    cells = {"learner": "учень", "item": '"a,b;c"', "correct": "yes", "note": "ы", "": "7"}
    lines = [f"sep={separator}"] if hint else []
    lines += [separator.join(header), separator.join(cells[name] for name in header)]
    data = "".join(line + end for line in lines).encode(encoding)
    folder = tmp_path_factory.mktemp("t")
    path = folder / ("l.csv.gz" if packed == "gz" else "l.csv")
    path.write_bytes(gzip.compress(data) if packed == "gz" else data)
    named = {"encoding": encoding} if encoding in ("utf-16-le", "cp1251") else {}
    with open_store(folder / "s.duckdb", create=True) as con:
        report = reviews(con, path, **named)
        assert (report.rows, report.rejects) == (1, 0)
        assert query(con, "SELECT item, correct FROM reviews").rows() == [("a,b;c", True)]
        assert report.notes[:1] == ["columns that are not read: note"]
        assert bool(report.notes[1:]) == (encoding not in ("utf-8", "utf-8-sig"))


def test_a_column_that_is_read_must_be_there_once(store, tmp_path):
    (tmp_path / "l.csv").write_text("learner,item,correct,correct\nl,i,1,0\n")
    with pytest.raises(SourceError, match="2 columns 'correct'; rename all but one"):
        reviews(store, tmp_path / "l.csv")
    (tmp_path / "m.csv").write_text("learner,item,x,y,y\nl,i,1,0,0\n")
    with pytest.raises(SourceError, match="2 columns 'y'"):
        reviews(store, tmp_path / "m.csv", columns={"correct": "y"})


def test_bytes_that_the_encoding_lacks_cost_their_line_only(store, tmp_path):
    (tmp_path / "l.csv").write_bytes(
        b"learner,item,correct\nl,i,1\nl,\x98,1\nl,\xe9,0\n"
    )  # 0x98: not in 1251
    report = reviews(store, tmp_path / "l.csv", encoding="windows-1251")
    assert (report.rows, report.rejects) == (2, 1)
    assert [line for line, _ in reasons(store)] == [3]


def test_names_of_encodings_are_checked(store, tmp_path):
    (tmp_path / "l.csv").write_text("learner,item,correct\nl,i,1\n")
    with pytest.raises(SourceError, match="no encoding 'latin-99'"):
        reviews(store, tmp_path / "l.csv", encoding="latin-99")
    pl.DataFrame({"learner": ["l"], "item": ["i"], "correct": [1]}).write_parquet(tmp_path / "l.parquet")
    with pytest.raises(SourceError, match="states its own encoding"):
        reviews(store, tmp_path / "l.parquet", encoding="latin-1")


def test_rows_of_qualtrics_are_refused_clearly(votes, store, shared_cases):
    columns = {"completion_a": "item_a", "completion_b": "item_b", "choice": "QID1", "annotator": "PID"}
    report = votes(shared_cases / "24-qualtrics" / "q.csv", columns=columns)
    assert report.rejects >= 2
    assert all("is no completion" in r or "choice is" in r for _, r in reasons(store))


def test_forms_are_not_votes(votes, shared_cases):
    for name in ("excel.csv", "forms-ada.csv", "ls.csv"):
        with pytest.raises(SourceError, match="no column 'completion_a'"):
            votes(shared_cases / "25-forms" / name)
