"""Rejects that would change what the other rows say stop an ingest."""

import shlex

import pytest
from hypothesis import given
from hypothesis import strategies as st

from preceptor.schemas.errors import SourceError
from preceptor.toolkit.ingest.files.values import split_maps
from preceptor.toolkit.ingest.run import ingest_files
from preceptor.toolkit.store.connection import open_store, query, remove_source

TEXTS = (
    '{"id":"p1","task":"t","prompt":"x","completions":[{"id":"a","content":"A"},{"id":"b","content":"B"}]}\n'
)
HEAD = {
    "votes": "completion_a,completion_b,choice",
    "ratings": "completion,criterion,value,levels",
    "outcomes": "completion,measure,value",
    "reviews": "learner,item,correct",
}
ROW = {"votes": "a,b,{}", "ratings": "a,help,{},5", "outcomes": "a,success,{}", "reviews": "l,i,{}"}
GOOD = {"votes": ["a", "b"], "ratings": ["1", "5"], "outcomes": ["0", "1"], "reviews": ["yes", "no"]}


@pytest.fixture(scope="module")
def con(tmp_path_factory):
    """A store with completions a and b."""
    folder = tmp_path_factory.mktemp("s")
    (folder / "texts.jsonl").write_text(TEXTS)
    with open_store(folder / "s.duckdb", create=True) as con:
        ingest_files(con, "prompts", [folder / "texts.jsonl"], "texts")
        yield con


@pytest.fixture
def load(con, tmp_path):
    """A function that ingests rows that say these values."""

    def ingest(format, said, **options):
        remove_source(con, "s")
        rows = [HEAD[format], *(ROW[format].format(value) for value in said), ""]
        (tmp_path / "s.csv").write_text("\n".join(rows))
        about = {"about": "texts"} if format != "reviews" else {}
        return ingest_files(con, format, [tmp_path / "s.csv"], "s", **about, **options)

    return ingest


@pytest.mark.parametrize("format", list(HEAD))
def test_a_value_that_is_lost_altogether_stops(load, con, format):
    good = GOOD[format] * 10
    with pytest.raises(SourceError, match=r"all rows with '.*Both are equal' are rejected") as stopped:
        load(format, [*good, *["Both are equal"] * 5])
    assert "0         5  " in str(stopped.value)
    assert "--allow-rejects" in str(stopped.value)
    assert query(con, "SELECT count(*) AS n FROM sources WHERE name = 's'")["n"].item() == 0
    report = load(format, [*good, *["Both are equal"] * 5], allow_rejects=True)
    assert (report.rows, report.rejects) == (20, 5)


@pytest.mark.parametrize("format", list(HEAD))
def test_single_slips_do_not_stop(load, format):
    good = GOOD[format] * 10 + (["tie"] if format == "votes" else [])
    report = load(format, [*good, "oops", *["Both are equal"] * 4])
    assert (report.rows, report.rejects) == (len(good), 5)


@pytest.mark.parametrize(
    ("good", "lost", "stops"),
    [
        (37, 3, True),  # the only ties of 40 votes
        (38, 2, True),  # 5 %
        (39, 2, False),
        (9, 1, False),
    ],
)
@pytest.mark.parametrize("row", ["a,b,Both are equal", "a,zz,tie"])
def test_few_rows_of_a_value_of_ours_are_enough(con, tmp_path, row, good, lost, stops):
    remove_source(con, "s")
    rows = (["a,b,a", "a,b,b"] * good)[:good] + [row] * lost
    (tmp_path / "s.csv").write_text("\n".join([HEAD["votes"], *rows, ""]))
    if stops:
        with pytest.raises(SourceError, match="all rows with"):
            ingest_files(con, "votes", [tmp_path / "s.csv"], "s", about="texts")
    else:
        report = ingest_files(con, "votes", [tmp_path / "s.csv"], "s", about="texts")
        assert (report.rows, report.rejects) == (good, lost)


@pytest.mark.parametrize("word", ["Both are equal", "it's = a draw", 'both "fine"', "Neither; nor"])
@pytest.mark.parametrize("format", list(HEAD))
def test_the_remedy_that_is_printed_works(load, format, word):
    """Each line with --map is given as it is printed, as a shell would read it."""
    said = [*GOOD[format] * 10, *[word] * 6]
    with pytest.raises(SourceError) as stopped:
        load(format, [f'"{one.replace(chr(34), chr(34) * 2)}"' for one in said])
    flags = [
        word for line in str(stopped.value).splitlines() if "--map " in line for word in shlex.split(line)
    ]
    maps = [flag.partition("=") for flag in flags if flag != "--map"]
    assert len(maps) == 1
    _, values = split_maps([(ours, theirs) for ours, _, theirs in maps])
    report = load(format, [f'"{one.replace(chr(34), chr(34) * 2)}"' for one in said], values=values)
    assert (report.rows, report.rejects) == (26, 0)


def test_more_rejects_than_rows_stop(load):
    with pytest.raises(SourceError, match="12 of 16 rows are rejected"):
        load("votes", [*["a", "b"] * 2, *(f"word {n}" for n in range(12))])


def test_ties_lost_for_another_reason_stop(con, tmp_path):
    (tmp_path / "v.csv").write_text(HEAD["votes"] + "\n" + "a,b,a\n" * 9 + "a,zz,tie\na,yy,tie\n" * 3)
    with pytest.raises(
        SourceError, match=r"choice tie +0 +6  completion_b: '…' is no completion of source '…'"
    ):
        ingest_files(con, "votes", [tmp_path / "v.csv"], "v", about="texts")


@given(st.lists(st.sampled_from(["a", "B", "tie", "left", "both", "x"]), min_size=1, max_size=60))
def test_what_stays_has_every_frequent_value(con, tmp_path_factory, said):
    remove_source(con, "s")
    path = tmp_path_factory.mktemp("v") / "v.csv"
    path.write_text("\n".join([HEAD["votes"], *(f"a,b,{value}" for value in said), ""]))
    bad = [value for value in said if value in ("left", "both", "x")]
    none_taken = {"a", "b", "tie"} - {value.lower() for value in said}  # a word may stand for one of these
    enough = min(3, max(2, 0.05 * len(said))) if none_taken else 5
    frequent = any(bad.count(value) >= enough for value in bad)
    most = len(bad) >= 10 and len(bad) > len(said) - len(bad)
    try:
        report = ingest_files(con, "votes", [path], "s", about="texts")
    except SourceError:
        assert frequent or most or len(bad) == len(said)
        return
    assert not frequent
    assert not most
    assert (report.rows, report.rejects) == (len(said) - len(bad), len(bad))
