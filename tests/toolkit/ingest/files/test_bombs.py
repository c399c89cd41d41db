"""Small files that unpack to far more than they hold: refused in little memory, with a remedy that works."""

import bz2
import sqlite3
import zipfile
import zlib
from contextlib import closing

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from apart import run_apart

MOST = 2_000 << 20  # bytes of memory for a whole run, of which the libraries take 100 MB


def refused(folder, format, file, *words):
    code, said, memory = run_apart(folder, "ingest", format, file, "--source", "s", *words)
    assert code == 2, said
    assert str(file.name) in said
    assert "Traceback" not in said
    assert memory < MOST, f"{memory >> 20} MB"
    return said


def write_gzip(path, unit, times):
    packer = zlib.compressobj(6, zlib.DEFLATED, 31)
    with path.open("wb") as out:
        for _ in range(times):
            out.write(packer.compress(unit))
        out.write(packer.flush())
    return path


ROWS = b"learner,item,correct,at,note\n" + (b"l,i,1,2026-05-04," + b"x" * 10_000 + b"\n") * 100


@pytest.mark.parametrize("name", ["r.csv.gz", "r.csv.bz2", "r.zip"])
def test_rows_without_end_stop_at_the_bound(tmp_path, name):
    path = tmp_path / name
    if name.endswith("gz"):
        write_gzip(path, ROWS, 90)
    elif name.endswith("bz2"):
        path.write_bytes(bz2.compress(ROWS) * 90)
    else:
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive, archive.open("r.csv", "w") as out:
            for _ in range(90):
                out.write(ROWS)
    said = refused(tmp_path, "reviews", path)
    assert "--max-unpacked" in said
    assert "unpacks to more than" in said


def test_one_line_without_end(tmp_path):
    said = refused(tmp_path, "chat", write_gzip(tmp_path / "p.jsonl.gz", b"x" * (1 << 20), 100))
    assert "is it text?" in said or "--max-unpacked" in said


def test_one_json_value_without_end(tmp_path):
    path = write_gzip(tmp_path / "x.json.gz", b'[{"a": "' + b"x" * (1 << 20) + b'"},\n', 300)
    assert "--max-unpacked" in refused(tmp_path, "xapi", path)


def test_many_files_share_the_bound(tmp_path):
    folder = tmp_path / "many"
    folder.mkdir()
    for n in range(4):
        write_gzip(folder / f"{n}.csv.gz", ROWS, 30)
    code, said, _ = run_apart(tmp_path, "ingest", "reviews", folder, "--source", "s")
    assert code == 2
    assert "with the files before it" in said


LONG = b"learner,item,correct,at,note\nl,i,1,2026-05-04," + b"x" * (1 << 20) + b"\n"


def test_the_remedy_works(tmp_path):
    path = write_gzip(tmp_path / "t.csv.gz", LONG, 70)
    words = ["ingest", "reviews", path, "--source", "s"]
    code, said, _ = run_apart(tmp_path, *words)
    assert code == 2
    assert "--max-unpacked 10GB" in said
    code, said, memory = run_apart(tmp_path, *words, "--max-unpacked", "10GB")
    assert code == 0, said
    assert memory < MOST
    code, said, _ = run_apart(tmp_path, *words, "--max-unpacked", "much")
    assert code == 2
    assert "500MB" in said


# ---- Parquet


@pytest.mark.parametrize("format", ["reviews", "chat"])
def test_a_long_text_in_a_dictionary(tmp_path, format):
    path = tmp_path / "f.parquet"
    long = "x" * 900_000
    if format == "reviews":
        n = 20_000
        index = pa.array([0] * n, pa.int32())
        texts = pa.DictionaryArray.from_arrays(index, [long])
        table = pa.table({"learner": ["l"] * n, "item": texts, "correct": [True] * n})
    else:
        turn = [{"role": "user", "content": long}, {"role": "assistant", "content": long}]
        kind = pa.list_(pa.struct([("role", pa.string()), ("content", pa.string())]))
        one = pa.table({"messages": pa.array([turn] * 50, kind)})
        table = pa.concat_tables([one] * 40)
    pq.write_table(table, path, row_group_size=1 << 20, dictionary_pagesize_limit=1 << 30)
    assert path.stat().st_size < 1 << 20
    del table
    assert "--max-unpacked" in refused(tmp_path, format, path)


def test_texts_that_share_their_beginnings(tmp_path):
    path = tmp_path / "f.parquet"
    n = 400
    table = pa.table({"learner": ["l"] * n, "item": ["x" * 500_000] * n, "correct": [True] * n})
    pq.write_table(
        table,
        path,
        use_dictionary=False,
        column_encoding={"item": "DELTA_BYTE_ARRAY"},
        compression="zstd",
    )
    del table
    assert path.stat().st_size < 1 << 20
    assert "--max-unpacked" in refused(tmp_path, "reviews", path)


def test_a_page_that_unpacks_without_end(tmp_path):
    path = tmp_path / "f.parquet"
    pq.write_table(
        pa.table({"learner": ["l"], "item": ["x" * (100 << 20)], "correct": [True]}),
        path,
        use_dictionary=False,
        write_statistics=False,
        compression="zstd",
    )
    data = path.read_bytes()
    assert len(data) < 1 << 20
    said = refused(tmp_path, "reviews", path)
    assert "has a page of 100 MB" in said


# ---- Anki


def write_collection(path, script):
    with closing(sqlite3.connect(path)) as con:
        con.executescript(script)
    return path


REVLOG = "CREATE TABLE revlog (id INTEGER PRIMARY KEY, cid, usn, ease, ivl, lastIvl, factor, time, type);"
ENDLESS = "WITH RECURSIVE c(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM c) SELECT 1737747496478 + x AS id, "
FIELDS = "1 AS cid, 3 AS ease, 1 AS ivl, 1 AS time, 1 AS type FROM c"


@pytest.mark.parametrize(
    "script",
    [
        f"CREATE VIEW revlog AS {ENDLESS}{FIELDS};",
        "CREATE TABLE revlog (id INTEGER PRIMARY KEY, cid AS (hex(zeroblob(100000000))), ease, ivl, time, type);"
        "INSERT INTO revlog VALUES (1737747496478, 3, 1, 1, 1);",
        "CREATE VIRTUAL TABLE revlog USING fts4(id, cid, ease, ivl, time, type);",
    ],
)
def test_a_log_that_is_no_table(tmp_path, script):
    said = refused(tmp_path, "anki", write_collection(tmp_path / "c.anki2", script), "--learner", "l")
    assert "which Anki never writes" in said


def test_a_long_cell_is_a_reject(tmp_path):
    path = write_collection(
        tmp_path / "c.anki2",
        f"{REVLOG} INSERT INTO revlog VALUES (1737747496478, 1, 1, 3, 1, 1, 1, 1, 1);"
        "INSERT INTO revlog VALUES (1737747496479, 1, 1, hex(zeroblob(3000000)), 1, 1, 1, 1, 1);",
    )
    code, said, _ = run_apart(tmp_path, "ingest", "anki", path, "--source", "s", "--learner", "l")
    assert code == 0
    assert "1 row taken, 1 rejected" in said


def test_a_collection_whose_pages_repeat(tmp_path):
    """An inner page that names the same leaf again and again holds rows without end."""
    path = write_collection(
        tmp_path / "c.anki2",
        "PRAGMA page_size = 4096;"
        + REVLOG
        + "WITH RECURSIVE c(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM c WHERE x < 60000) INSERT INTO revlog "
        "SELECT 1737747496478 + x, 1, 1, 3, 1, 1, 1, 1, 1 FROM c;",
    )
    data = bytearray(path.read_bytes())
    with closing(sqlite3.connect(path)) as con:
        ((root,),) = con.execute("SELECT rootpage FROM sqlite_master").fetchall()
    at = (root - 1) * 4096
    assert data[at] == 5  # an inner page
    cells = int.from_bytes(data[at + 3 : at + 5], "big")
    places = [int.from_bytes(data[at + 12 + 2 * i : at + 14 + 2 * i], "big") for i in range(cells)]
    # The root's children become the root's first child, and that one's are itself, twenty levels deep.
    child = (root - 1) * 4096
    for place in places:
        data[child + place : child + place + 4] = root.to_bytes(4, "big")
    path.write_bytes(data)
    refused(tmp_path, "anki", path, "--learner", "l")


def test_a_package_that_unpacks_without_end(tmp_path):
    path = tmp_path / "c.apkg"
    with (
        zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as package,
        package.open("collection.anki21", "w", force_zip64=True) as out,
    ):
        for _ in range(100):
            out.write(bytes(1 << 20))
    assert "--max-unpacked" in refused(tmp_path, "anki", path, "--learner", "l")


# ---- workbooks

SHEET = '<worksheet xmlns="http://schemas.openxmlformats.org/spreadsheetml/2006/main"><sheetData>{}</sheetData></worksheet>'
WORKBOOK = {
    "[Content_Types].xml": '<Types xmlns="http://schemas.openxmlformats.org/package/2006/content-types"/>',
    "_rels/.rels": '<Relationships xmlns="http://schemas.openxmlformats.org/package/2006/relationships">'
    '<Relationship Id="rId1" Type="http://schemas.openxmlformats.org/officeDocument/2006/relationships/'
    'officeDocument" Target="xl/workbook.xml"/></Relationships>',
    "xl/workbook.xml": '<workbook xmlns="http://schemas.openxmlformats.org/spreadsheetml/2006/main" '
    'xmlns:r="http://schemas.openxmlformats.org/officeDocument/2006/relationships"><sheets>'
    '<sheet name="One" sheetId="1" r:id="rId1"/></sheets></workbook>',
    "xl/_rels/workbook.xml.rels": '<Relationships xmlns="http://schemas.openxmlformats.org/package/2006/relationships">'
    '<Relationship Id="rId1" Type="http://schemas.openxmlformats.org/officeDocument/2006/relationships/worksheet" '
    'Target="worksheets/sheet1.xml"/><Relationship Id="rId2" '
    'Type="http://schemas.openxmlformats.org/officeDocument/2006/relationships/sharedStrings" '
    'Target="sharedStrings.xml"/></Relationships>',
}


def write_workbook(path, sheet, **more):
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as book:
        for name, text in {**WORKBOOK, "xl/worksheets/sheet1.xml": SHEET.format(sheet), **more}.items():
            book.writestr(name, text)
    return path


def test_a_sheet_with_a_cell_at_its_far_corner(tmp_path):
    far = '<row r="1"><c r="A1"><v>1</v></c></row><row r="1048576"><c r="XFD1048576"><v>1</v></c></row>'
    said = refused(tmp_path, "reviews", write_workbook(tmp_path / "t.xlsx", far))
    assert "save the sheet as CSV" in said


def test_cells_that_share_a_long_text(tmp_path):
    row = "<row>" + '<c t="s"><v>0</v></c>' * 10 + "</row>"
    shared = (
        '<sst xmlns="http://schemas.openxmlformats.org/spreadsheetml/2006/main"><si><t>'
        + "x" * (1 << 20)
        + "</t></si></sst>"
    )
    path = write_workbook(tmp_path / "t.xlsx", row * 2000, **{"xl/sharedStrings.xml": shared})
    assert "save the sheet as CSV" in refused(tmp_path, "reviews", path)


def test_a_part_that_unpacks_without_end_whatever_its_directory_claims(tmp_path):
    path = write_workbook(tmp_path / "t.xlsx", " " * (100 << 20))
    with zipfile.ZipFile(path) as book:
        info = book.getinfo("xl/worksheets/sheet1.xml")
    data = path.read_bytes()
    true, claimed = info.file_size.to_bytes(4, "little"), (10).to_bytes(4, "little")
    assert data.count(true) >= 2
    path.write_bytes(data.replace(true, claimed))
    assert "--max-unpacked" in refused(tmp_path, "reviews", path)


def test_repeated_cells_of_ods(tmp_path):
    path = tmp_path / "t.ods"
    content = (
        '<office:document-content xmlns:office="urn:oasis:names:tc:opendocument:xmlns:office:1.0" '
        'xmlns:table="urn:oasis:names:tc:opendocument:xmlns:table:1.0" '
        'xmlns:text="urn:oasis:names:tc:opendocument:xmlns:text:1.0"><office:body><office:spreadsheet>'
        '<table:table table:name="One"><table:table-row table:number-rows-repeated="1048576">'
        '<table:table-cell table:number-columns-repeated="16384" office:value-type="string"><text:p>x</text:p>'
        "</table:table-cell></table:table-row></table:table></office:spreadsheet></office:body>"
        "</office:document-content>"
    )
    with zipfile.ZipFile(path, "w") as book:
        book.writestr("mimetype", "application/vnd.oasis.opendocument.spreadsheet")
        book.writestr("content.xml", content)
        book.writestr(
            "META-INF/manifest.xml",
            '<manifest:manifest xmlns:manifest="urn:oasis:names:tc:opendocument:xmlns:manifest:1.0"/>',
        )
    said = refused(tmp_path, "reviews", path)
    assert "save the sheet as CSV" in said or "Cell limit exceeded" in said
