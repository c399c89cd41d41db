"""Files as strangers bring them (../shared/cases), each read right, or refused in words that help."""

import json
import re
from datetime import UTC, datetime

import polars as pl
import pytest

from preceptor.annotation.rubrics.rubric import read_rubric
from preceptor.schemas.errors import AnnotationError, SourceError
from preceptor.toolkit.campaign.forms import read_form
from preceptor.toolkit.ingest.files.numbered_lines import Input
from preceptor.toolkit.ingest.run import ingest_files
from preceptor.toolkit.store.connection import query


@pytest.fixture
def ingest(store, shared_cases):
    """A function that ingests a case; returns rows taken, and line and reason of the rejected."""

    def run(format, path, source="s", **options):
        report = ingest_files(store, format, [shared_cases / path], source, **options)
        assert all(note.startswith("columns that are not read: ") for note in report.notes)
        rejects = query(store, "SELECT line, reason FROM rejects WHERE source = ? ORDER BY line", [source])
        assert report.rejects == rejects.height
        return report.rows, rejects.rows()

    return run


@pytest.mark.parametrize(
    ("name", "rows", "rejects"),
    [
        ("v.csv.gz", 1, []),
        ("multi.csv", 1, [(4, "expected 4 fields, found 5")]),
        ("nul.csv", 1, [(2, "completion_a: 'a\0' is no completion of source 'texts'")]),
    ],
)
def test_votes(ingest, name, rows, rejects):
    ingest("prompts", "22-silly/p.jsonl", "texts")
    assert ingest("votes", f"22-silly/{name}", about="texts") == (rows, rejects)


def test_traces_of_duolingo(ingest):
    columns = {"learner": "user_id", "item": "lexeme_id", "at": "timestamp"}
    path = "10-hlr/learning_traces.csv"
    with pytest.raises(SourceError, match="neither correct nor grade is given"):
        ingest("reviews", path, columns=columns)
    share = [(3, "correct is '0.5', expected true or false")]  # of a session's answers, which is no truth
    assert ingest("reviews", path, columns=columns | {"correct": "p_recall"}) == (1, share)


def test_a_survey_s_own_rows_below_the_header_are_rejects(ingest):
    ingest("prompts", "24-qualtrics/p.jsonl", "texts")
    columns = {"completion_a": "item_a", "completion_b": "item_b", "choice": "QID1", "annotator": "PID"}
    rows, rejects = ingest("votes", "24-qualtrics/q.csv", about="texts", columns=columns)
    assert rows == 1
    assert [(line, re.sub(":.*", "", reason)) for line, reason in rejects] == [
        (2, "completion_a"),
        (5, "completion_a"),
        (7, "choice is 'Answer B', expected a, b or tie"),
        (8, "choice is '', expected a, b or tie"),
    ]


@pytest.mark.parametrize(
    ("name", "rows", "rejects", "edits"),
    [
        ("crlf", 2, [], [(1, "0", 1, 2, "goes")]),
        (
            "overlap",
            7,
            [],
            [
                (1, "0", 1, 2, "goes"),
                (1, "0", 1, 3, "went there"),
                (5, "0", 2, 2, "now"),
                (5, "0", 2, 2, "to"),
                (5, "0", 2, 3, ""),
            ],
        ),
        ("noop", 4, [(6, "the edit changes nothing")], [(1, "0", -1, -1, None), (1, "1", 1, 2, "goes")]),
        ("tab", 4, [], [(1, "0", 1, 2, "goes"), (4, "0", 2, 3, "D")]),
    ],
)
def test_odd_m2(store, ingest, name, rows, rejects, edits):
    assert ingest("m2", f"60-m2-odd/{name}.m2") == (rows, rejects)
    stored = query(
        store,
        """SELECT s.line, e.annotator, e.start, e."end", e.correction
        FROM edits e JOIN sentences s ON e.sentence = s.key ORDER BY ALL""",
    )
    assert stored.rows() == edits


def test_ampersands_of_nucle_are_text(store, ingest):
    assert ingest("nucle-sgml", "61-nucle/n.sgml") == (3, [])
    texts = query(store, "SELECT array_to_string(tokens, ' ') AS t FROM sentences ORDER BY line")["t"]
    assert texts.to_list() == ["R & D has grow < 5 % .", "It are so ."]


@pytest.mark.parametrize(
    ("format", "name", "rows", "rejects"),
    [
        ("prompts", "p-sur.jsonl", 1, [(1, "not valid JSON")]),
        ("reviews", "r-sur.jsonl", 1, [(1, "not valid JSON")]),
        ("bea-json", "b-sur.json", 2, [(1, "not valid JSON")]),
        ("chat", "surrogate.jsonl", 1, [(1, "not valid JSON")]),
        ("chat", "nul.jsonl", 2, []),
    ],
)
def test_half_letters_are_no_text(ingest, format, name, rows, rejects):
    assert ingest(format, f"66-json-escapes/{name}") == (rows, rejects)


# ---- forms


@pytest.fixture
def form(shared_cases):
    """A function that reads a form of the cases as ada's: what was answered, by row."""
    folder = shared_cases / "25-forms"
    keys = dict.fromkeys(re.findall("q([0-9a-f]{20})", (folder / "forms-ada.csv").read_text()))
    questions = pl.DataFrame({"key": list(keys), "shown_first": ["a"] * len(keys)})

    def read(name, annotator=None, **how):
        file = Input(folder / name, name, **how)
        rubric = read_rubric("pairwise-preference")
        return read_form(file, questions, rubric, annotator, datetime(2026, 3, 1, tzinfo=UTC))

    return read


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("excel.csv", r"excel\.csv:\d+: not valid.*UTF-8.*--encoding windows-1252"),
        ("excel16.txt", "expected a file named .csv"),
        ("forms.json", "no 'annotations'; export it as JSON"),
        ("ls-min.json", "no 'annotations'; export it as JSON, not as JSON-MIN"),
        ("ls-wrap.json", "expected a list of objects; export it"),
        ("forms.xml", "expected a file named .csv"),
        ("p.jsonl", "no row names a question of this campaign"),
    ],
)
def test_forms_that_are_refused(form, name, says):
    with pytest.raises(AnnotationError, match=says):
        form(name, "ada")


def gave(filled):
    """Annotator and choice, in order of the answers."""
    rows = filled.answers.select("annotator", "given").rows()
    return [(who, json.loads(given)["preference"]) for who, given in rows]


@pytest.mark.parametrize(
    ("name", "answers", "reasons", "missing"),
    [
        ("forms-ada.csv", [], [], 0),
        ("ls.json", [("3", "a"), ("ada@example.org", "b")], ["'preference' cannot be read"], 0),
        ("ls-multi.json", [("3", "a"), ("4", "tie")], [], 5),
        (
            "ls-case.json",
            [("9", "a"), ("9", "tie")],
            ["'preference' is 'A is better'; expected A, B or tie"],
            3,
        ),
        ("ls.jsonl", [("zoe", "a"), ("zoe", "a")], [], 4),
        ("ls.csv", [("1", "a"), ("1", "b"), ("1", "tie")], [], 3),
    ],
)
def test_forms_that_are_read(form, name, answers, reasons, missing):
    filled = form(name)
    assert gave(filled) == answers
    assert filled.rejects["reason"].to_list() == reasons
    assert filled.missing == missing


def test_forms_of_excel_are_read(form, shared_cases, tmp_path):
    filled = form("excel.csv", encoding="windows-1252")
    assert gave(filled) == [("ada", "a")] * 6
    assert set(filled.answers["comment"]) == {"gut – „ja“"}
    (tmp_path / "f.csv").write_bytes(
        (shared_cases / "25-forms" / "excel16.txt").read_bytes()
    )  # "Unicode text"
    assert form(tmp_path / "f.csv").answers.equals(filled.answers)


def test_a_link_in_a_folder_to_a_file_elsewhere_is_not_read(tmp_path, preceptor):
    """A folder of a stranger's names its own files alone; a link that the user names is read."""
    folder = tmp_path / "theirs"
    folder.mkdir()
    (tmp_path / "mine.jsonl").write_text('{"prompt": "Why?", "chosen": "A secret.", "rejected": "No."}\n')
    (folder / "rows.jsonl").symlink_to("../mine.jsonl")
    done = preceptor("ingest", "chat", "theirs", "--source", "s", cwd=tmp_path)
    assert done.returncode == 2
    assert "theirs: rows.jsonl is a link that leads out of the folder; name the file itself" in done.stderr
    named = preceptor("ingest", "chat", "theirs/rows.jsonl", "--source", "s", cwd=tmp_path)
    assert named.returncode == 0, named.stderr
