"""Spreadsheets and title rows: the same rows as in CSV, whatever stands above, between and beside them."""

import csv
import io
import zipfile
from datetime import UTC, date, datetime

import polars as pl
import pytest
from examples import few
from hypothesis import given
from hypothesis import strategies as st
from sheets import write_workbook

from preceptor.schemas.errors import SourceError
from preceptor.toolkit.ingest.files.fields import select_column
from preceptor.toolkit.ingest.files.numbered_lines import Input
from preceptor.toolkit.ingest.files.table_files import list_columns, read_table
from preceptor.toolkit.ingest.run import ingest_files
from preceptor.toolkit.store.connection import query

HEAD = ["learner", "item", "correct", "at"]
ROWS = [
    ["ada", 7, True, datetime(2026, 5, 4, 10, 30)],
    ["ben", 8.0, 0, datetime(2026, 5, 4)],
    ["ben", 8, 1.0, None],
]
RIGHT = [
    ("7", True, datetime(2026, 5, 4, 10, 30, tzinfo=UTC)),
    ("8", False, datetime(2026, 5, 4, tzinfo=UTC)),
    ("8", True, None),
]
BOTH = pytest.mark.parametrize("suffix", [".xlsx", ".ods"])
ALL = pytest.mark.parametrize("suffix", [".xlsx", ".ods", ".csv"])


def write_table(path, rows, separator=";"):
    """Write rows of cells as a workbook of one sheet or as CSV, as the path's suffix says."""
    if path.suffix != ".csv":
        return write_workbook(path, {"One": rows})
    text = io.StringIO()
    width = max(map(len, rows))
    for row in rows:
        cells = [
            ""
            if cell is None
            else f"{cell:g}"
            if isinstance(cell, float)
            else str(cell).replace("True", "true").replace("False", "false")
            for cell in row
        ]
        csv.writer(text, delimiter=separator).writerow([*cells, *[""] * (width - len(row))])
    path.write_text(text.getvalue())
    return path


def reviews(store, path, **options):
    return ingest_files(store, "reviews", [path], "s", **options)


def stored(store):
    return query(store, 'SELECT item, correct, "at" FROM reviews ORDER BY line').rows()


def rejected(store):
    return query(store, "SELECT line, reason FROM rejects ORDER BY line").rows()


@BOTH
def test_typed_cells_mean_what_csv_means(store, tmp_path, suffix):
    report = reviews(store, write_workbook(tmp_path / f"l{suffix}", {"One": [HEAD, *ROWS]}))
    assert (report.rows, report.rejects, report.notes) == (3, 0, [])
    assert stored(store) == RIGHT


TEXTS = (
    '{"id":"p1","task":"t","prompt":"x","completions":[{"id":"a","content":"A"},{"id":"b","content":"B"}]}\n'
)
TABLES = {
    "votes": [["completion_a", "completion_b", "choice"], ["a", "b", "Tie"], ["a", "b", "c"]],
    "ratings": [["completion", "criterion", "value", "levels"], ["a", "clear", 3, 5.0], ["a", "clear", 9, 5]],
    "outcomes": [["completion", "measure", "value"], ["a", "success", True], ["a", "success", 2]],
    "reviews": [HEAD, *ROWS[:1], ["ada", None, 1, None]],
}


@ALL
@pytest.mark.parametrize("format", TABLES)
def test_every_table_format_reads_sheets_and_rejects_name_the_row(store, tmp_path, suffix, format):
    (tmp_path / "texts.jsonl").write_text(TEXTS)
    ingest_files(store, "prompts", [tmp_path / "texts.jsonl"], "texts")
    path = write_table(tmp_path / f"t{suffix}", [["Results, spring term"], [], *TABLES[format]])
    report = ingest_files(store, format, [path], "s", **({} if format == "reviews" else {"about": "texts"}))
    assert (report.rows, report.rejects) == (1, 1)
    assert report.notes[:1] == [f"t{suffix}: 1 row above the header not read"]
    ((line, _),) = rejected(store)
    assert line == 5
    folder = tmp_path / "folder"
    folder.mkdir()
    path.rename(folder / path.name)
    assert ingest_files(store, format, [folder], "s", replacing=True).rows == 1


@BOTH
def test_a_sheet_is_chosen_by_name(store, tmp_path, suffix):
    sheets = {"Empty": [], "May": [HEAD, *ROWS], "June": [HEAD, ["ada", 9, 1, None]]}
    path = write_workbook(tmp_path / f"l{suffix}", sheets)
    with pytest.raises(SourceError, match="2 sheets with rows: 'May', 'June'; choose one with --sheet NAME"):
        reviews(store, path)
    with pytest.raises(SourceError, match=r"no sheet 'Jun': did you mean 'June'.*Empty, May, June"):
        reviews(store, path, sheet="Jun")
    with pytest.raises(SourceError, match="is empty"):
        reviews(store, path, sheet="Empty")
    report = reviews(store, path, sheet="June")
    assert (report.rows, report.notes) == (1, [f"l{suffix}: sheet 'June' read"])
    assert reviews(store, path, sheet="June").already_there
    with pytest.raises(SourceError, match="another sheet of this file"):
        reviews(store, path, sheet="May")
    assert reviews(store, path, sheet="May", replacing=True).rows == 3


def test_a_sheet_of_no_spreadsheet_is_refused(store, tmp_path):
    (tmp_path / "l.csv").write_text("learner,item,correct\nl,i,1\n")
    with pytest.raises(SourceError, match=r"--sheet: .*is no spreadsheet; leave the option out"):
        reviews(store, tmp_path / "l.csv", sheet="One")
    path = write_workbook(tmp_path / "l.xlsx", {"One": [HEAD, *ROWS]})
    with pytest.raises(SourceError, match="states its own encoding"):
        reviews(store, path, encoding="latin-1")


@pytest.mark.parametrize("name", ["l.csv", "l.zip", "l.dat"])
def test_a_workbook_is_known_by_its_content(store, tmp_path, name):
    write_workbook(tmp_path / "l.xlsx", {"One": [HEAD, *ROWS]}).rename(tmp_path / name)
    reviews(store, tmp_path / name)
    assert stored(store) == RIGHT


def test_a_zip_of_one_workbook_is_read(store, tmp_path):
    write_workbook(tmp_path / "l.xlsx", {"One": [HEAD, *ROWS]})
    with zipfile.ZipFile(tmp_path / "z.zip", "w") as archive:
        archive.write(tmp_path / "l.xlsx", "l.xlsx")
    reviews(store, tmp_path / "z.zip")
    assert stored(store) == RIGHT


@pytest.mark.parametrize("suffix", [".xlsx", ".ods", ".xls"])
@pytest.mark.parametrize("content", [b"", b"PK\x03\x04", b"learner,item\nl,i\n"])
def test_what_is_no_workbook_is_named(store, tmp_path, suffix, content):
    (tmp_path / f"l{suffix}").write_bytes(content)
    with pytest.raises(SourceError, match="no spreadsheet, or damaged"):
        reviews(store, tmp_path / f"l{suffix}")


@few()
@given(st.data())
def test_damaged_workbooks_are_refused_or_read(tmp_path_factory, data):
    folder = tmp_path_factory.mktemp("w")
    path = write_workbook(
        folder / f"l{data.draw(st.sampled_from(['.xlsx', '.ods']))}", {"One": [HEAD, *ROWS]}
    )
    content = bytearray(path.read_bytes())
    at = data.draw(st.integers(0, len(content) - 1))
    if data.draw(st.booleans()):
        content = content[:at]
    else:
        content[at] ^= data.draw(st.integers(1, 255))
    path.write_bytes(content)
    try:
        read = sum(records.height for records, _ in read_table(Input(path, "l"), HEAD))
    except SourceError as error:
        assert str(path) in str(error)  # noqa: PT017
    else:
        assert read <= 4


@BOTH
def test_a_format_of_dates_is_for_texts_only(store, tmp_path, suffix):
    rows = [["ada", 7, 1, datetime(2026, 5, 4, 10)], ["ada", 7, 1, date(2026, 5, 5)]]
    path = write_workbook(tmp_path / f"l{suffix}", {"One": [HEAD, *rows]})
    reviews(store, path, date_format="%d.%m.%Y")
    assert [at for _, _, at in stored(store)] == [
        datetime(2026, 5, 4, 10, tzinfo=UTC),
        datetime(2026, 5, 5, tzinfo=UTC),
    ]
    rows[1][3] = "06.05.2026"  # a text among times: the whole column is text
    write_workbook(path, {"One": [HEAD, *rows]})
    assert reviews(store, path, date_format="%d.%m.%Y", replacing=True).rejects == 1
    assert reviews(store, path, replacing=True).rejects == 1


def test_rejected_rows_of_a_sheet_show_their_fields(store, tmp_path):
    path = write_workbook(tmp_path / "l.xlsx", {"One": [["item", "correct"], ["i", "maybe"], ["i", 1]]})
    reviews(store, path, learner="ada")
    assert query(store, "SELECT path, line, raw FROM rejects").rows() == [
        ("l.xlsx", 2, '{"item":"i","correct":"maybe"}')
    ]


# ---- title rows, repeated headers, empty rows and columns


@ALL
@pytest.mark.parametrize(
    "above",
    [
        [["Results of spring term"], []],
        [[], ["Results, of the term; by class"], ["made", "2026-05-04"], []],
        [["learner", "answers"]],
        [["Results"], ["7", "8", "9", "10", "11", "12"]],
        [["x"]] * 60,
    ],
)
def test_the_header_is_found_below_titles(store, tmp_path, suffix, above):
    path = write_table(tmp_path / f"l{suffix}", [*above, HEAD, *ROWS])
    report = reviews(store, path)
    assert stored(store) == RIGHT
    rows = sum(any(row) for row in above)
    assert (
        report.notes[0] == f"l{suffix}: {'1 row' if rows == 1 else f'{rows} rows'} above the header not read"
    )


@pytest.mark.parametrize("separator", [",", ";", "\t"])
def test_titles_do_not_hide_the_separator(store, tmp_path, separator):
    titles = "Results; of, the\tterm\nmade, by; Ms K, 7a, 2026\n\n"
    head = separator.join(["person", "item", "correct"])
    (tmp_path / "l.csv").write_text(titles + head + "\n" + separator.join(["ada", "7", "yes"]) + "\n")
    report = reviews(store, tmp_path / "l.csv", columns={"learner": "person"})
    assert (report.rows, report.rejects) == (1, 0)
    assert report.notes == ["l.csv: 2 rows above the header not read"]


@ALL
def test_what_is_missing_below_titles_is_named_with_the_columns_there(store, tmp_path, suffix):
    path = write_table(tmp_path / f"l{suffix}", [["Results"], ["person", "task", "right"], ["ada", "7", "1"]])
    with pytest.raises(SourceError, match="2 columns are missing; the file has person, task, right"):
        reviews(store, path)


@ALL
def test_a_header_again_and_empty_rows_are_counted_and_no_rejects(store, tmp_path, suffix):
    body = [ROWS[0], [], HEAD, ROWS[1], [None, " ", None], HEAD, ROWS[2]]
    report = reviews(store, write_table(tmp_path / f"l{suffix}", [HEAD, *body]))
    assert stored(store) == RIGHT
    assert report.rejects == 0
    assert report.notes == [
        f"l{suffix}: the header stands on 2 more rows, the first is 4; not read",
        f"l{suffix}: 2 empty rows left out",
    ]


@ALL
def test_columns_that_nobody_maps_do_not_matter(store, tmp_path, suffix):
    head = [None, *HEAD, "note", "note", None, None]
    rows = [[n, *row, "x", "y", None, None, None, None] for n, row in enumerate(ROWS)]
    report = reviews(store, write_table(tmp_path / f"l{suffix}", [head, *rows]))
    assert stored(store) == RIGHT
    assert report.rejects == 0


def test_fields_beyond_the_header_are_no_columns_only_if_empty(store, tmp_path):
    (tmp_path / "l.csv").write_text('learner,item,correct\nl,i,1,,\nl,"i,",0,\nl,i,,,\nl,i,1,x,\nl,i\n')
    reviews(store, tmp_path / "l.csv")
    assert [row[:2] for row in stored(store)] == [("i", True), ("i,", False)]
    assert rejected(store) == [
        (4, "neither correct nor grade is given"),
        (5, "expected 3 fields, found 5"),
        (6, "expected 3 fields, found 2"),
    ]


CELLS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(10**9), 10**9),
    st.sampled_from(["tie", " a ", "=1", "é<&>", "1.0", "2026-05-04", '"']),
)


@few()
@given(
    st.lists(st.lists(CELLS, min_size=2, max_size=2), min_size=1, max_size=5),
    st.integers(0, 3),
    st.permutations(["correct", "learner", "x", ""]),
    st.sampled_from([".xlsx", ".ods"]),
)
def test_a_sheet_and_its_csv_are_the_same_rows(tmp_path_factory, rows, above, header, suffix):
    folder = tmp_path_factory.mktemp("same")
    table = [["Title"]] * above + [[*header, "item"]]
    for row in rows:
        cells = dict(zip(("learner", "correct"), row, strict=True))
        table.append([*map(cells.get, header), "i"])
    wanted = ["learner", "item", "correct", "none"]
    found = []
    for path in (folder / f"t{suffix}", folder / "t.csv"):
        file = Input(write_table(path, table), "t")
        ((records, bad),) = read_table(file, wanted)
        assert bad.is_empty()
        texts = records.select("line", *(select_column(records, n, n) for n in wanted))
        found.append((texts.rows(), file.notes, list_columns(file, wanted)))
    assert found[0] == found[1]


def test_parquet_has_no_titles(store, tmp_path):
    pl.DataFrame(
        {"learner": ["learner", "l"], "item": ["item", "i"], "correct": ["correct", "1"]}
    ).write_parquet(tmp_path / "l.parquet")
    report = reviews(store, tmp_path / "l.parquet")
    assert (report.rows, report.rejects) == (1, 1)


# ---- prompts and completions


@ALL
def test_prompts_and_completions_of_a_table(store, tmp_path, suffix):
    prompts = write_table(
        tmp_path / f"p{suffix}",
        [
            ["Our questions"],
            ["id", "task", "question", "context"],
            ["p1", "tutor", "7 x 8?", '{"class": "7a"}'],
            ["p2", "tutor", None, None],
        ],
    )
    report = ingest_files(store, "prompts", [prompts], "p", columns={"prompt": "question"})
    assert (report.rows, report.rejects) == (1, 1)
    assert query(
        store, "SELECT ref, messages[1].content AS m, context->>'class' AS c FROM prompts"
    ).rows() == [("p1", "7 x 8?", "7a")]
    answers = write_table(
        tmp_path / f"c{suffix}",
        [
            ["prompt", "id", "content", "author"],
            ["p1", 1, "Try 7 x 4.", "model-7b"],
            ["p1", 2, "56", "model-7b"],
            ["p9", 3, "x", "m"],
        ],
    )
    report = ingest_files(store, "completions", [answers], "c", about="p")
    assert (report.rows, report.rejects) == (2, 1)
    assert query(store, "SELECT ref, content, origin FROM completions ORDER BY ref").rows() == [
        ("1", "Try 7 x 4.", "model"),
        ("2", "56", "model"),
    ]
    with pytest.raises(SourceError, match="no column 'prompt' for prompt; the file has id, task, question"):
        ingest_files(store, "prompts", [prompts], "q")


def test_completions_of_parquet(store, tmp_path):
    (tmp_path / "texts.jsonl").write_text(TEXTS)
    ingest_files(store, "prompts", [tmp_path / "texts.jsonl"], "texts")
    pl.DataFrame(
        {"prompt": ["p1"], "content": ["C"], "author": ["m"], "context": [{"seed": 7}]}
    ).write_parquet(tmp_path / "c.parquet")
    assert ingest_files(store, "completions", [tmp_path / "c.parquet"], "c", about="texts").rows == 1
    assert query(store, "SELECT context->>'seed' AS s FROM completions WHERE source = 'c'")["s"].item() == "7"


def test_fields_of_json_lines_are_not_mapped(store, tmp_path):
    (tmp_path / "texts.jsonl").write_text(TEXTS)
    with pytest.raises(SourceError, match=r"--map: .*no CSV or spreadsheet"):
        ingest_files(store, "prompts", [tmp_path / "texts.jsonl"], "texts", columns={"prompt": "q"})
