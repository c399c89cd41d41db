"""Any bytes: rows + rejects = rows read, or a SourceError; never another exception."""

import csv
import io
import re

import polars as pl
import pytest
from examples import few
from hypothesis import given
from hypothesis import strategies as st

from preceptor.schemas.errors import SourceError
from preceptor.tests.bench.fuzz import fuzz, list_targets
from preceptor.toolkit.ingest.batch import Context, make_known
from preceptor.toolkit.ingest.files import numbered_lines as lines_module
from preceptor.toolkit.ingest.files.delimited import read_records
from preceptor.toolkit.ingest.files.numbered_lines import Input, read_lines
from preceptor.toolkit.ingest.formats import FORMATS
from preceptor.toolkit.privacy.pseudonyms import make_pseudonyms

KNOWN = make_known([("a", "ka", "p"), ("b", "kb", "p"), ("c", "kc", "q")])
CONTEXT = Context("s", about="mine", known=KNOWN, pseudonyms=lambda ids: make_pseudonyms(ids, b"k" * 32))
M2 = (
    "S This are a test .\nA 1 2|||R:VERB|||is|||REQUIRED|||-NONE-|||0\n"
    "A -1 -1|||noop|||-NONE-|||REQUIRED|||-NONE-|||1\n\nS Zwei  Räume .\nA 0 1|||UNK||||||REQUIRED|||-NONE-|||0\n"
)
SEEDS = {
    "m2": M2,
    "prompts": '{"id":"x","task":"qa","prompt":"?","completions":[{"id":"x1","content":"y"}]}\n'
    '{"id":"z","task":"qa","messages":[{"role":"user","content":"q"}],"completions":[{"id":"z1","content":"é"}]}\n',
    "votes": 'completion_a,completion_b,choice,annotator\na,b,a,"j ""1"""\nb,a,tie,\na,c,b,j2\n',
    "ratings": "completion,criterion,value,levels\na,help,3,5\nb,help,9,5\n",
    "outcomes": "completion,measure,value,learner,censored\na,turns,2,l1,true\nb,success,1,l2,false\n",
    "smart": '{"pair_id":1,"term":"t","mnemonic_a":"x","mnemonic_b":"y","direct_comparisons":[1,0,2],'
    '"ratings_A_cumulative":[0,0,1,1,2],"ratings_B_cumulative":null,"turns_A":[0],"turns_B":[]}\n' * 2,
}
SUFFIX = {"m2": "m2", "prompts": "jsonl", "smart": "jsonl"}

quick = few()


@st.composite
def mutated(draw, seed):
    """The seed's bytes with some dropped, put in, or lines swapped."""
    data = bytearray(seed.encode())
    for _ in range(draw(st.integers(0, 6))):
        at = draw(st.integers(0, max(0, len(data) - 1)))
        match draw(st.sampled_from(["drop", "put", "swap", "double"])):
            case "drop":
                del data[at : at + draw(st.integers(1, 20))]
            case "put":
                data[at:at] = draw(
                    st.sampled_from([b"\xff", b"\0", b'"', b"\n", b"\r\n", b",", b"|||", b"S ", b"{"])
                )
            case "swap":
                rows = bytes(data).split(b"\n")
                i, j = (draw(st.integers(0, len(rows) - 1)) for _ in range(2))
                rows[i], rows[j] = rows[j], rows[i]
                data = bytearray(b"\n".join(rows))
            case "double":
                data += data[at : at + 30]
    return bytes(data)


@pytest.mark.parametrize("name", SEEDS)
def test_mutated_files_balance(tmp_path, name):
    path = tmp_path / f"f.{SUFFIX.get(name, 'csv')}"
    named = []

    @quick
    @given(mutated(SEEDS[name]), st.sampled_from([7, 64, 1 << 20]))
    def check(data, block):
        path.write_bytes(data)
        old, lines_module.BLOCK_BYTES = lines_module.BLOCK_BYTES, block
        try:
            for batch in FORMATS[name].read([Input(path, "f")], CONTEXT, lambda _: None):
                assert batch.read == batch.taken + batch.rejects.height
                assert batch.rejects["reason"].null_count() == 0
        except SourceError as error:
            named.append(str(path) in str(error))
        finally:
            lines_module.BLOCK_BYTES = old

    check()
    assert all(named)  # every refusal names the file


def test_a_thousand_damaged_inputs_of_every_parser():
    """As many as `make fuzz` reads, a hundredth of them."""
    ends, failures = fuzz(1000, 1, list_targets())
    assert not failures, failures[0]
    assert ends.total() == 1000
    read = {name.partition(": ")[0] for name in ends if name.endswith(": read")}
    assert len(read) > 30  # most parsers took some of their inputs


@quick
@given(st.binary(max_size=200), st.integers(1, 40))
def test_lines_are_numbered_and_complete_at_any_block_size(tmp_path, data, block):
    path = tmp_path / "f.txt"
    data = re.sub(rb"\r(?!\n)", b"", data)  # alone it ends a line, if the file's beginning has no LF
    path.write_bytes(data)
    old, lines_module.BLOCK_BYTES = lines_module.BLOCK_BYTES, block
    seen = []
    try:
        read = pl.concat(
            [
                *read_lines(Input(path, "f"), on_bytes=seen.append),
                pl.DataFrame(schema={"line": pl.Int64, "raw": pl.String, "damaged": pl.Boolean}),
            ]
        )
    except SourceError:
        assert data[:2] in (b"\xff\xfe", b"\xfe\xff") or b"\0" in data, "of UTF-16, marked or not"
        return
    finally:
        lines_module.BLOCK_BYTES = old
    if data[:2] in (b"\xff\xfe", b"\xfe\xff") or data[:4] == b"\0\0\xfe\xff":
        return  # marked as UTF-16 or UTF-32: converted
    bare = data.removeprefix(b"\xef\xbb\xbf")
    expected = bare.split(b"\n") if bare else []
    if expected and expected[-1] == b"":
        expected.pop()
    assert read["line"].to_list() == list(range(1, len(expected) + 1))
    assert read["raw"].to_list() == [
        e.removesuffix(b"\r").decode(errors="backslashreplace") for e in expected
    ]
    assert sum(seen) == len(data)


cells = st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=8)


@quick
@given(st.lists(st.lists(cells, min_size=3, max_size=3), max_size=8), st.integers(1, 60), st.booleans())
def test_records_equal_what_the_csv_module_reads(tmp_path, rows, block, always):
    path = tmp_path / "f.csv"
    text = io.StringIO()
    writer = csv.writer(text, quoting=csv.QUOTE_ALL if always else csv.QUOTE_MINIMAL)
    writer.writerows([["x", "y", "z"], *rows])
    path.write_bytes(text.getvalue().encode())
    old, lines_module.BLOCK_BYTES = lines_module.BLOCK_BYTES, block
    try:
        blocks = list(read_records(Input(path, "f")))
    finally:
        lines_module.BLOCK_BYTES = old
    assert sum(bad.height for _, bad in blocks) == 0
    read = [row for good, _ in blocks for row in good.select("x", "y", "z").rows()]
    # An empty field is null.
    assert read == [tuple(cell or None for cell in row) for row in rows]


def test_a_byte_order_mark_inside_the_file_is_text(tmp_path):
    path = tmp_path / "f.csv"
    path.write_text("a,b\n\ufeffx,y\n", encoding="utf-8")
    ((records, _),) = read_records(Input(path, "f"))
    assert records.select("a", "b").rows() == [("\ufeffx", "y")]


def test_a_stray_quote_costs_its_own_line_only(tmp_path):
    path = tmp_path / "f.csv"
    path.write_text('a,b\n1,"two\nlines"\n\n3,4,5\n6,x"y\n7,8\n9,"open\nend,10\n')
    parts = list(read_records(Input(path, "f")))
    good = [row for records, _ in parts for row in records.select("line", "a", "b").rows()]
    bad = [row for _, rejects in parts for row in rejects.select("line", "reason").rows()]
    quote = "a quote is not closed, or does not stand around a whole field"
    assert good == [(2, "1", "two\nlines"), (7, "7", "8"), (9, "end", "10")]
    assert bad == [(5, "expected 2 fields, found 3"), (6, quote), (8, quote)]


def test_a_quote_inside_a_field_opens_nothing(tmp_path):
    path = tmp_path / "f.csv"
    path.write_bytes(b'a,b\r\n5" screen,1\r\n2,"two\r\nlines"\r\n6" disk,3\r\n')
    ((records, rejects),) = read_records(Input(path, "f"))
    assert records.select("line", "a", "b").rows() == [(3, "2", "two\r\nlines")]
    assert rejects["line"].to_list() == [2, 5]  # and nothing between them


def test_delimiters_alone_are_a_record(tmp_path):
    path = tmp_path / "f.tsv"
    path.write_text("a\tb\n\t\n  \n1\t2\n")
    ((records, _),) = read_records(Input(path, "f"), "\t")
    assert records.select("a", "b").rows() == [(None, None), ("1", "2")]


def test_a_quote_that_never_closes_leaves_a_long_file_readable(tmp_path, monkeypatch):
    path = tmp_path / "f.csv"
    path.write_text("a,b\n" + '1,"open\n' + "2,3\n" * 30_000)
    monkeypatch.setattr(lines_module, "BLOCK_BYTES", 4096)
    parts = list(read_records(Input(path, "f")))
    assert sum(records.height for records, _ in parts) == 30_000
    assert [row for _, rejects in parts for row in rejects["line"]] == [2]


@pytest.mark.parametrize("header", ["", "\n\n", '""a,b\n1,2\n', "a,a\n1,2\n", '"a,b\n1,2\n'])
def test_a_header_that_cannot_be_used_is_named(tmp_path, header):
    path = tmp_path / "f.csv"
    path.write_text(header)
    with pytest.raises(SourceError, match="header"):
        list(read_records(Input(path, "f")))
