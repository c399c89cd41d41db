"""Uptake: single ratings from averages, majorities and counts of who agrees."""

import csv
import json
from collections import Counter

import polars as pl
import pytest

from preceptor.schemas.errors import SourceError
from preceptor.schemas.licenses import read_license
from preceptor.schemas.tables import COMPLETIONS, PROMPTS
from preceptor.toolkit.ingest.batch import Context
from preceptor.toolkit.ingest.formats import FORMATS
from preceptor.toolkit.ingest.run import Origin, find_inputs, ingest
from preceptor.toolkit.ingest.tutoring.uptake import list_ways
from preceptor.toolkit.store.connection import count, drop_nulls, query


def load(store, format, path, source="s"):
    files = find_inputs(FORMATS[format], [path])
    return ingest(store, FORMATS[format], files, Context(source), Origin(read_license(None)))


def facts_of(folder):
    return json.loads((folder / "facts.json").read_text(encoding="utf-8"))


def reasons(store):
    return query(store, "SELECT line, reason FROM rejects ORDER BY line").rows()


FIELDS = ("uptake", "teacher_on_task", "student_on_task")


def published(path):
    """Records as the csv module reads them, numbers as numbers."""
    with path.open(encoding="utf-8", newline="") as stream:
        return [{"line": n} | row for n, row in enumerate(csv.DictReader(stream), 2)]


def number(text):
    return float(text) if text else None


def test_uptake(store, shared_data):
    folder = shared_data / "uptake"
    facts = facts_of(folder)
    report = load(store, "uptake", folder)
    rows = published(folder / "uptake_data.csv")
    assert (report.rows, report.rejects) == (facts["rows"], 0)
    assert count(store, COMPLETIONS) == facts["physical_lines"] - 1
    refs = query(store, "SELECT ref, line, content FROM completions ORDER BY line").rows()
    assert refs == [
        (f"{r['obs_id']}-{r['exchange_idx']}", r["line"], r["teacher_text"].strip()) for r in rows
    ]
    assert facts["key_unique"] == (len({ref for ref, *_ in refs}) == len(refs))
    assert query(store, 'SELECT count(DISTINCT "group") FROM prompts').item() == facts["transcripts"]
    about = query(store, "SELECT line, context FROM completions ORDER BY line").rows()
    blank = len(rows) - sum("uptake_zscore" in json.loads(context) for _, context in about)
    assert blank == facts["blanks"]["uptake_zscore"]


def test_ratings_of_uptake_give_the_published_numbers(store, shared_data):
    folder = shared_data / "uptake"
    facts = facts_of(folder)
    load(store, "uptake", folder)
    rows = published(folder / "uptake_data.csv")
    found = query(store, "SELECT line, criterion, list(value - 1 ORDER BY n) AS v FROM ratings GROUP BY ALL")
    ratings = {(line, field): values for line, field, values in found.rows()}
    kept = {
        line: json.loads(context)
        for line, context in query(store, "SELECT line, context FROM completions").rows()
    }
    seen = []
    for row in rows:
        for field in FIELDS[:2]:
            given = ratings.get((row["line"], field), [])
            if given:
                most, times = max(Counter(given).items(), key=lambda pair: pair[1])
                numbers = (sum(given) / len(given), times, most if times > 1 else None)
            else:  # nobody rated, or several sets of ratings fit
                names = (field, f"{field}_num_agree", f"{field}_majority")
                numbers = tuple(kept[row["line"]].get(name) for name in names)
            average, agree, majority = (
                number(row[n]) for n in (field, f"{field}_num_agree", f"{field}_majority")
            )
            assert numbers[0] == pytest.approx(average) if average is not None else not given
            assert numbers[2] == majority
            assert numbers[1] == agree or (average is None and agree == 1)  # the file's 1 of a blank one
            seen.append((field, *numbers))
    check_facts_of_uptake(facts, seen)
    (note,) = query(store, "SELECT notes FROM sources")["notes"]
    open_rows = sum((row["uptake"], row["uptake_num_agree"]) == ("1.0", "1") for row in rows)
    assert f"in {open_rows} rows several sets of ratings fit the numbers for uptake" in note


def check_facts_of_uptake(facts, seen):
    """Every figure about uptake, from the stored ratings and from what is kept where there are none."""
    uptake = [numbers for field, *numbers in seen if field == "uptake"]
    averages = [average for average, *_ in uptake if average is not None]
    assert len(uptake) - len(averages) == facts["blanks"]["uptake"]
    assert len(averages) == facts["uptake"]["rated"]
    assert round(sum(averages), 6) == facts["uptake"]["sum"]
    assert round(sum(averages) / len(averages), 9) == facts["uptake"]["mean"]
    majorities = Counter("(blank)" if m is None else str(float(m)) for *_, m in uptake)
    assert dict(majorities) == facts["uptake"]["majority"]
    assert majorities["(blank)"] == facts["blanks"]["uptake_majority"]
    agree = Counter("1" if a is None else str(int(a)) for _, a, _ in uptake)
    assert dict(agree) == facts["uptake"]["num_agree"]
    spelled = Counter("(blank)" if a is None else str(a) for a, *_ in uptake)
    assert dict(spelled) == facts["distinct_average_spellings"]
    teacher = Counter(str(int(m)) for field, *_, m in seen if field == "teacher_on_task")
    assert dict(teacher) == facts["teacher_on_task_majority"]


def test_what_the_student_said_in_uptake(store, shared_data):
    """Equal words in one transcript are one prompt: a later one's numbers stay with the reply."""
    folder = shared_data / "uptake"
    load(store, "uptake", folder)
    found = query(
        store,
        """SELECT context->>'student_on_task_majority' AS m, context->>'student_on_task' AS mean FROM
        (SELECT context FROM prompts UNION ALL SELECT context FROM completions)
        WHERE (context->>'student_on_task_majority') IS NOT NULL""",
    )
    assert {str(int(float(m))): n for m, n in Counter(found["m"]).items()} == facts_of(folder)[
        "student_on_task_majority"
    ]
    rows = published(folder / "uptake_data.csv")
    assert sorted(map(float, found["mean"])) == pytest.approx(
        sorted(float(r["student_on_task"]) for r in rows)
    )
    assert found.height - count(store, PROMPTS) == len(rows) - len(
        {(r["obs_id"], r["student_text"]) for r in rows}
    )


@pytest.mark.parametrize(("levels", "several"), [(3, {(6, 1, None)}), (2, set())])
def test_ways_to_rate(levels, several):
    table = list_ways(levels)
    keys = table.select("sixths", "agree", "majority").rows()
    assert len(set(keys)) == len(keys)
    assert {key for key, ways in zip(keys, table["ways"], strict=True) if ways > 1} == several
    assert table["ways"].sum() == sum(
        [levels, levels * (levels + 1) / 2, levels * (levels + 1) * (levels + 2) / 6]
    )


HEADER = (
    "obs_id,exchange_idx,student_text,teacher_text,uptake,uptake_num_agree,uptake_majority,"
    "teacher_on_task,teacher_on_task_num_agree,teacher_on_task_majority"
)


def test_single_ratings_of_uptake(store, tmp_path):
    path = tmp_path / "uptake.csv"
    numbers = [
        "1.6666666666666667,2,2.0,1.0,3,1",
        "0.0,1,,0.0,3,0",
        "1.5,1,,0.5,1,",
        "1.0,1,,1.0,3.0,1.0",
        ",1,,,,",
        "0.6666666666666666,2,0,0.3333333333333333,2,0",
        "0.67,2,0,1,3,1",
        "1.0,2,1,1,3,1",
    ]
    path.write_text(
        "\ufeff"
        + HEADER
        + "\r\n"
        + "\r\n".join(f'{n // 4},{n % 4},"Yes, é",Why?,{row}' for n, row in enumerate(numbers)),
        "utf-8",
    )
    report = load(store, "uptake", path)
    assert (report.rows, report.rejects) == (7, 1)
    found = query(
        store, "SELECT line, criterion, list(value ORDER BY n) AS v, min(n) AS n FROM ratings GROUP BY ALL"
    )
    assert sorted(found.rows()) == [
        (2, "teacher_on_task", [2, 2, 2], 3),
        (2, "uptake", [2, 3, 3], 0),
        (3, "teacher_on_task", [1, 1, 1], 1),
        (3, "uptake", [1], 0),
        (4, "teacher_on_task", [1, 2], 2),
        (4, "uptake", [2, 3], 0),
        (5, "teacher_on_task", [2, 2, 2], 0),
        (7, "teacher_on_task", [1, 1, 2], 3),
        (7, "uptake", [1, 1, 3], 0),
        (9, "teacher_on_task", [2, 2, 2], 2),
        (9, "uptake", [2, 2], 0),
    ]
    kept = query(store, "SELECT line, context FROM completions WHERE context IS NOT NULL").rows()
    assert [(line, json.loads(context)) for line, context in kept] == [
        (5, {"uptake": 1.0, "uptake_num_agree": 1.0})
    ]
    assert report.notes[0].startswith(
        "uptake.csv: in 1 rows several sets of ratings fit the numbers for uptake"
    )
    rubrics = query(store, "SELECT criterion, levels, higher_is_better FROM rubrics ORDER BY 1").rows()
    assert rubrics == [("teacher_on_task", 2, True), ("uptake", 3, True)]
    assert query(store, "SELECT count(DISTINCT key) = count(*) FROM ratings").item()
    assert query(store, "SELECT DISTINCT annotator FROM ratings").item() is None
    assert load(store, "uptake", path).already_there


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        ("1,1,,b,1.0,3,1,1.0,3,1", "'student_text' is empty"),
        (",1,a,b,1.0,3,1,1.0,3,1", "'obs_id' is empty"),
        ("0,0,a,b,1.0,3,1,1.0,3,1", "this exchange is already on line 2"),
        ("1,1,a,b,good,3,1,1.0,3,1", "uptake is 'good', expected a number"),
        ("1,1,a,b,inf,3,1,1.0,3,1", "uptake is 'inf', expected a number"),
        ("1,1,a,b,1.0,3,1,1.0,three,1", "teacher_on_task_num_agree is 'three', expected a number"),
        ("1,1,a,b,2.5,3,1,1.0,3,1", "uptake is 2.5, expected 0 to 2"),
        ("1,1,a,b,1.0,3,1,1.5,3,1", "teacher_on_task is 1.5, expected 0 to 1"),
        ("1,1,a,b,-1,3,1,1.0,3,1", "uptake is -1.0, expected 0 to 2"),
        ("1,1,a,b,1.0,3,2,1,3,1", "no 3 raters or fewer give uptake 1.0 with 3.0 who agree and majority 2.0"),
        ("1,1,a,b,0.8,2,1,1,3,1", "no 3 raters or fewer give uptake 0.8 with 2.0 who agree and majority 1.0"),
        ("1,1,a,b,,3,1,1,3,1", "no 3 raters or fewer give uptake blank with 3.0 who agree and majority 1.0"),
        (
            "1,1,a,b,1.0,3,,1,3,1",
            "no 3 raters or fewer give uptake 1.0 with 3.0 who agree and majority blank",
        ),
        (
            "1,1,a,b,1.0,1.5,,1,3,1",
            "no 3 raters or fewer give uptake 1.0 with 1.5 who agree and majority blank",
        ),
        (
            "1,1,a,b,1.0,3,1e300,1,3,1",
            "no 3 raters or fewer give uptake 1.0 with 3.0 who agree and majority 1e+300",
        ),
        ("1,1,a,b,1.0,3,1", "expected 10 fields, found 7"),
    ],
)
def test_what_uptake_rejects(store, tmp_path, row, reason):
    path = tmp_path / "uptake.csv"
    path.write_text(f"{HEADER}\n0,0,Yes,Why?,1.0,3,1,1.0,3,1\n{row}\n")
    assert load(store, "uptake", path).rows == 1
    assert reasons(store) == [(3, reason)]


def test_what_is_not_uptake(store, tmp_path):
    path = tmp_path / "other.csv"
    path.write_text("obs_id,exchange_idx,student_text\n1,2,3\n")
    with pytest.raises(SourceError, match="no column teacher_text, uptake"):
        load(store, "uptake", path)
    with pytest.raises(SourceError, match="holds no"):
        load(store, "uptake", tmp_path)


def test_json_without_nulls():
    objects = pl.Series("c", ['{"a":null,"b":{"c":null,"d":0.1}}', None, '{"a":null}'])
    assert drop_nulls(objects).to_list() == ['{"b":{"d":0.1}}', None, None]


WHOLE = HEADER + "".join(f'\n{n},1,"Yes, é",Why?,1.6666666666666667,2,2.0,1.0,3,1' for n in range(5))
BYTES = [b"\xff", b'"', b"{", b"}", b"[", b",", b"\n", b"\r\n", b"null", b"-1", b"e9", b"\x00"]


def test_damaged_files_of_uptake_balance(opened, damaged_files_balance):
    def holds(report):
        outside = query(opened, "SELECT count(*) FROM ratings WHERE value NOT BETWEEN 1 AND levels").item()
        assert (report.rows, outside) == (count(opened, COMPLETIONS), 0)

    damaged_files_balance("uptake", WHOLE.encode(), BYTES, holds)
