"""A quote that somebody forgot to close costs its own line, not the rows up to the next one."""

import pytest
from examples import few
from hypothesis import given
from hypothesis import strategies as st

from preceptor.toolkit.ingest.files import numbered_lines
from preceptor.toolkit.ingest.files.delimited import read_records
from preceptor.toolkit.ingest.files.numbered_lines import Input
from preceptor.toolkit.ingest.run import ingest_files

STRAY = ['"', 'l,"', '"l', 'l,i,1,"', 'l,"i,1']
GOOD = ["l1,i1,1", '"l2",i2,0', '"l, 3","i ""3""",1', '"l\n4",i4,0', 'l5,i5,"\n"']


def read(path):
    """Records as lists of fields, and the lines of rejects."""
    file = Input(path, path.name)
    taken, bad = [], []
    for records, rejects in read_records(file):
        taken += records.drop("line", "raw").rows()
        bad += rejects["line"].to_list()
    return taken, bad, file.notes


def test_rows_between_two_stray_quotes_are_read(store, tmp_path):
    rows = [f"l{i % 50},i{i % 97},{i % 2}" for i in range(10_000)]
    for place in range(7, 10_000, 100):
        rows[place] = STRAY[place // 100 % 4]
    (tmp_path / "log.csv").write_text("learner,item,correct\n" + "\n".join(rows) + "\n")
    report = ingest_files(store, "reviews", [tmp_path / "log.csv"], "s")
    assert (report.rows, report.rejects) == (9900, 100)


@few()
@given(
    st.lists(st.sampled_from([GOOD[0]] * 9 + STRAY), min_size=1, max_size=60),
    st.sampled_from([7, 40, 1 << 20]),
)
def test_every_whole_row_is_read(tmp_path, lines, block):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(numbered_lines, "BLOCK_BYTES", block)
        (tmp_path / "t.csv").write_text("\n".join(["a,b,c", GOOD[0], GOOD[0], *lines, GOOD[0]]) + "\n")
        taken, bad, _ = read(tmp_path / "t.csv")
    assert len(taken) == sum(line not in STRAY for line in lines) + 3
    assert set(taken) == {("l1", "i1", "1")}
    assert bad == sorted(bad)


@few()
@given(st.lists(st.sampled_from(GOOD), min_size=1, max_size=40), st.sampled_from([7, 40, 1 << 20]))
def test_fields_of_many_lines_stay_whole(tmp_path, rows, block):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(numbered_lines, "BLOCK_BYTES", block)
        (tmp_path / "t.csv").write_text("\n".join(["a,b,c", *rows]) + "\n")
        taken, bad, notes = read(tmp_path / "t.csv")
    assert (len(taken), bad, notes) == (len(rows), [], [])


def test_text_with_commas_in_a_record_of_too_many_fields_makes_no_rows(tmp_path):
    (tmp_path / "t.csv").write_text('id,text\n1,"One, two\nthree, four\nfive",six\n2,"x"\n')
    assert read(tmp_path / "t.csv") == ([("2", "x")], [2], [])


def test_a_long_field_that_looks_like_rows_is_named(tmp_path):
    rows = "\n".join(["l1,i1,1"] * 60)
    (tmp_path / "t.csv").write_text(f'a,b,c\nl,i,"\n{rows}\nl,i,"\nl2,i2,0\n')
    taken, _, notes = read(tmp_path / "t.csv")
    assert len(taken) == 2
    assert notes == [
        "t.csv:2: one field goes on for 62 lines that look like rows of their own; is a quote there not closed?"
    ]
