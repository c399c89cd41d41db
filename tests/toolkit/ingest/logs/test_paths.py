"""Logs in a file or folder for each learner: the path says whose each is, and no path keeps an id."""

import gzip

import polars as pl
import pytest

from preceptor.schemas.errors import SourceError
from preceptor.toolkit.ingest.run import ingest_files
from preceptor.toolkit.privacy.forget import forget
from preceptor.toolkit.store.connection import query

ROW = "item,correct\ni,1\n,1\n"


@pytest.fixture
def logs(tmp_path):
    """A function that writes the same log to files below a folder."""

    def write(*names):
        for name in names:
            path = tmp_path / "logs" / name
            path.parent.mkdir(parents=True, exist_ok=True)
            if path.suffix == ".parquet":
                pl.DataFrame({"item": ["i", None], "correct": ["1", "1"]}).write_parquet(path)
            elif path.suffix == ".gz":
                path.write_bytes(gzip.compress(ROW.encode()))
            else:
                path.write_text(ROW)
        return tmp_path / "logs"

    return write


@pytest.mark.parametrize(
    ("pattern", "names"),
    [
        ("user_id={learner}/", ["user_id={}/data.parquet"]),
        ("user_id={learner}", ["user_id={}/data.parquet"]),
        ("user_id={learner}/", ["term=1/user_id={}/a.csv", "term=1/user_id={}/b.csv"]),
        ("{learner}.csv", ["{}.csv"]),
        ("{learner}.csv.gz", ["deep/{}.csv.gz"]),
        ("log-{learner}-*.csv", ["log-{}-2026.csv"]),
        ("class/{learner}/day.csv", ["class/{}/day.csv"]),
    ],
)
def test_paths_name_learners(store, logs, named, pattern, names):
    ids = ["zofia", "u 17", "w.im"]
    folder = logs(*(name.format(id) for name in names for id in ids))
    report = ingest_files(store, "reviews", [folder], "s", learner_from_path=pattern)
    count = len(names)
    assert (report.rows, report.rejects) == (3 * count, 3 * count)
    found = query(store, "SELECT learner, count(*) FROM reviews GROUP BY 1 ORDER BY 1").rows()
    assert found == sorted((named(id), count) for id in ids)
    kept = query(store, "SELECT path FROM reviews UNION ALL SELECT path FROM rejects")["path"].to_list()
    assert not any(id in path for path in kept for id in ("zofia", "u 17", "w.im"))
    assert any(named("zofia") in path for path in kept)
    forget(store, named("zofia"))
    assert query(store, "SELECT count(*) FROM reviews").item() == 2 * count
    assert query(store, "SELECT count(*) FROM rejects").item() == 2 * count
    again = ingest_files(store, "reviews", [folder], "s", learner_from_path=pattern, replacing=True)
    assert again.rows == 2 * count


def test_one_file_alone_is_found_by_its_path(store, logs, named):
    folder = logs("user_id=zofia/data.csv")
    path = folder / "user_id=zofia" / "data.csv"
    ingest_files(store, "reviews", [path], "s", learner_from_path="user_id={learner}/")
    assert query(store, "SELECT learner, path FROM reviews").rows() == [(named("zofia"), "data.csv")]


def test_a_column_s_learner_counts_more_than_the_path_s(store, logs, named):
    folder = logs("zofia.csv")
    (folder / "zofia.csv").write_text("learner,item,correct\nben,i,1\n,i,1\n")
    ingest_files(store, "reviews", [folder], "s", learner_from_path="{learner}.csv")
    learners = query(store, "SELECT learner FROM reviews ORDER BY line")["learner"].to_list()
    assert learners == [named("ben"), named("zofia")]


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"learner_from_path": "user_id={learner}/"}, "ben.csv: does not match --learner-from-path"),
        ({"learner_from_path": "zofia.csv"}, "expected one {learner} in it"),
        ({"learner_from_path": "{learner}/{learner}.csv"}, "expected one {learner} in it"),
        (
            {"learner_from_path": "{learner}.csv", "learner": "x", "one_learner": True},
            "leave one of them out",
        ),
        ({"learner": "zofia"}, "all 2 files would be the log of 'zofia'.*--one-learner.*--learner-from-path"),
    ],
)
def test_wrong_patterns_are_named(store, logs, options, said):
    with pytest.raises(SourceError, match=said):
        ingest_files(store, "reviews", [logs("zofia.csv", "ben.csv")], "s", **options)


def test_several_files_of_one_learner_need_a_word(store, logs, named):
    ingest_files(store, "reviews", [logs("1.csv", "2.csv")], "s", learner="zofia", one_learner=True)
    assert query(store, "SELECT DISTINCT learner FROM reviews")["learner"].to_list() == [named("zofia")]


def test_on_the_command_line(preceptor, logs, tmp_path):
    folder = logs("u1.csv", "u2.csv")
    ingest = ("--store", tmp_path / "s.duckdb", "ingest", "reviews", folder, "--source", "s")
    done = preceptor(*ingest, "--learner", "u1")
    assert done.returncode == 2
    assert "--learner-from-path" in done.stderr
    done = preceptor(*ingest, "--learner-from-path", "{learner}.csv")
    assert done.returncode == 0, done.stderr
    assert "2 rows taken, 2 rejected" in done.stdout
    assert "u1.csv" not in done.stdout + done.stderr
    done = preceptor("--store", tmp_path / "s.duckdb", "forget", "u1")
    assert done.returncode == 0, done.stderr
