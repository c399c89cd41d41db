"""Answer forms: written for people, filled in by people and their spreadsheets, read back."""

import csv
import io
import json
import re
import xml.etree.ElementTree as ET
from datetime import UTC, datetime
from itertools import count
from pathlib import Path

import polars as pl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sheets import write_workbook

from preceptor.annotation.forms.files import (
    count_long_texts,
    defuse,
    make_form_texts,
    restore,
    write_texts,
)
from preceptor.annotation.rubrics.rubric import parse_rubric, read_rubric
from preceptor.schemas.errors import AnnotationError
from preceptor.toolkit.campaign.forms import read_form
from preceptor.toolkit.ingest.files.numbered_lines import Input

PAIRS = read_rubric("pairwise-preference")
RATINGS = read_rubric("socratic")
NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
TEXT = st.text(st.characters(codec="utf-8", exclude_characters="\x00"), max_size=12)
NASTY = st.one_of(
    TEXT,
    st.sampled_from(
        [
            "=1+1",
            "'=1",
            "''-2",
            "@a",
            "+x",
            "-y",
            "\t=z",
            " =a",
            '"',
            "a\r\nb",
            "\r",
            ";,\t",
            "＝1",
            "a;=1",
            "\n- b",
            ";'=|",
        ]
    ),
)
quick = settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])


def asked(rubric, *texts, shown="ab", prompt="Why?"):
    """Questions about texts; of pairs, shown is the side that comes first in each."""
    pairs = rubric.kind == "pairwise"
    rows = [
        {
            "key": f"{n:020x}",
            "position": n + 1,
            "messages": [{"role": "user", "content": prompt}],
            "content_a": f"{text}a" if pairs else text,
            "content_b": f"{text}b" if pairs else None,
            "shown_first": shown[n % len(shown)] if pairs else None,
        }
        for n, text in enumerate(texts)
    ]
    schema = {"content_b": pl.String, "shown_first": pl.String}
    return pl.DataFrame(rows, schema_overrides=schema, infer_schema_length=None)


def write_form(path, questions, rubric, annotator=None):
    return write_texts(make_form_texts(path, questions, rubric, annotator))


def cells(path):
    """A CSV form as a spreadsheet sees it."""
    text = path.read_bytes().decode("utf-8-sig")
    return list(csv.DictReader(io.StringIO(text, newline="")))


def saved(path, rows, columns=None, **how):
    """Written again by a spreadsheet, which quotes whatever breaks a line."""
    out = io.StringIO()
    breaks = any(set("\r\n") & set(cell) for row in rows for cell in row.values())
    how["quoting"] = csv.QUOTE_ALL if breaks else csv.QUOTE_MINIMAL
    writer = csv.DictWriter(out, columns or list(rows[0]), restval="", extrasaction="ignore", **how)
    writer.writeheader()
    writer.writerows(rows)
    path.write_bytes(out.getvalue().encode())


@pytest.fixture
def form(tmp_path):
    """A function that writes a form and returns its path and questions."""
    made = count()

    def write(rubric, *texts, suffix=".csv", annotator=None, **how):
        path = tmp_path / f"form{next(made)}{suffix}"
        questions = asked(rubric, *texts, **how)
        write_form(path, questions, rubric, annotator)
        return path, questions

    return write


def read(path, questions, rubric=PAIRS, annotator="ada", **how):
    return read_form(Input(path, path.name, **how), questions, rubric, annotator, NOW)


def gave(filled):
    """What was given, by the number of the question."""
    rows = filled.answers.select("question", "given").rows()
    return {int(q, 16): json.loads(g) for q, g in rows}


# ---- cells


@given(NASTY)
def test_no_cell_is_a_formula_and_every_cell_is_read_back(text):
    written = defuse(text)
    assert not written.lstrip().startswith(("=", "+", "-", "@", "＝", "＋", "－", "＠"))
    assert not written.startswith(("\t", "\r", "\n"))
    for begun in re.split("[;\t\r\n]", written)[1:]:  # cells to a spreadsheet with another separator
        formula = begun.lstrip().startswith(("=", "@", "＝", "＋", "－", "＠"))
        assert not formula
        assert not re.match(r"\s*[+-](\S|.*[(|])", begun)
    assert restore(written) == text


@quick
@given(st.lists(NASTY, min_size=1, max_size=4), NASTY, st.booleans())
def test_texts_come_through_a_csv_form_as_they_are(form, texts, prompt, with_name):
    path, _ = form(PAIRS, *texts, prompt=prompt, annotator="=ada" if with_name else None)
    assert path.read_bytes().startswith(b"\xef\xbb\xbf")
    for n, row in enumerate(cells(path)):
        first, second = ("ab", "ba")[n % 2]
        assert [restore(row[c]) for c in ("prompt", "A", "B")] == [
            prompt,
            texts[n] + first,
            texts[n] + second,
        ]
        assert not row["annotator"].startswith("=")


def test_question_keys_are_no_numbers_to_a_spreadsheet(form):
    """12345678901234567890 and 1e9 would be rounded and lost."""
    path, _ = form(PAIRS, *"abc")
    assert all(row["question"].startswith("q") for row in cells(path))


def test_a_form_shows_the_dialogue_and_its_guide_what_to_do(tmp_path):
    questions = asked(PAIRS, "x").with_columns(
        messages=pl.Series(
            [
                [
                    {"role": "user", "content": "Hi"},
                    {"role": "assistant", "content": "Yes?"},
                    {"role": "user", "content": "Why?"},
                ]
            ]
        )
    )
    written = write_form(tmp_path / "f.csv", questions, PAIRS)
    assert {p.name for p in written} == {"f.csv", "f.csv.md"} == {p.name for p in tmp_path.iterdir()}
    assert cells(tmp_path / "f.csv")[0]["prompt"] == "Learner: Hi\n\nTutor: Yes?\n\nLearner: Why?"
    guide = (tmp_path / "f.csv.md").read_text()
    assert "fill in: preference" in guide
    assert PAIRS.guidelines in guide


def test_a_form_that_is_there_is_not_overwritten(form):
    path, questions = form(PAIRS, "x")
    write_form(path, questions, PAIRS)  # nobody has filled it in yet
    path.write_text("filled in")
    with pytest.raises(AnnotationError, match="is there already and is not overwritten"):
        write_form(path, questions, PAIRS)
    assert path.read_text() == "filled in"
    with pytest.raises(AnnotationError, match=r"a form ends in \.csv"):
        write_form(path.with_suffix(".xls"), questions, PAIRS)


def test_texts_that_no_cell_holds_are_counted():
    assert count_long_texts(asked(PAIRS, "x" * 40_000, "y")) == 1
    assert count_long_texts(asked(RATINGS, "x", prompt="y" * 32_768)) == 1


# ---- reading what annotators type


@pytest.mark.parametrize(
    ("shown", "typed", "means"),
    [
        ("a", "A", "a"),
        ("a", " b ", "b"),
        ("b", "A", "b"),
        ("b", "b", "a"),
        ("a", "TIE", "tie"),
        ("b", "\u00a0Tie", "tie"),
    ],
)
def test_answers_are_turned_back_to_the_question_s_sides(form, shown, typed, means):
    path, questions = form(PAIRS, "x", shown=shown)
    (row,) = cells(path)
    saved(path, [row | {"preference": typed, "comment": "because"}])
    filled = read(path, questions)
    assert filled.answers.row(0, named=True) == {
        "question": questions["key"][0],
        "annotator": "ada",
        "given": json.dumps({"preference": means}),
        "comment": "because",
        "at": NOW,
    }


@pytest.mark.parametrize("typed", ["4", "4.0", "4,0", " 4 ", "it HELPS; the next step is in reach"])
def test_ratings_are_numbers_or_the_level_s_words(form, typed):
    path, questions = form(RATINGS, "x")
    (row,) = cells(path)
    saved(path, [row | {"questions": "Yes", "on_topic": "1", "helpful": typed, "reveals_answer": "1"}])
    assert gave(read(path, questions, RATINGS)) == {
        0: {"questions": 2, "on_topic": 1, "helpful": 4, "reveals_answer": 1}
    }


@pytest.mark.parametrize(
    ("rubric", "typed", "says"),
    [
        (PAIRS, {"preference": "C"}, "'preference' is 'C'; expected A, B or tie"),
        (PAIRS, {"preference": "A", "question": "q123"}, "'q123' is no question of this campaign"),
        (PAIRS, {"preference": "A", "question": ""}, "no question; leave the column"),
        (PAIRS, {"comment": "too hard"}, "a comment, but no answer"),
        (RATINGS, {"questions": "2"}, "'on_topic' is left blank"),
        (RATINGS, {"questions": "3"}, "'questions' is '3'; expected a whole number from 1 to 2"),
        (RATINGS, {"questions": "1.5"}, "'questions' is '1.5'"),
        (RATINGS, {"questions": "0"}, "'questions' is '0'"),
        (RATINGS, {"questions": "nan"}, "'questions' is 'nan'"),
        (RATINGS, {"questions": "inf"}, "'questions' is 'inf'"),
        (RATINGS, {"questions": "²"}, "'questions' is '²'"),
    ],
)
def test_what_cannot_be_taken_is_rejected_with_line_and_reason(form, rubric, typed, says):
    path, questions = form(rubric, "x", "y\nz")
    first, second = cells(path)
    saved(path, [first, second | typed])
    filled = read(path, questions, rubric)
    (reject,) = filled.rejects.to_dicts()
    assert filled.answers.is_empty()
    assert filled.unanswered == 1
    assert says in reject["reason"]
    assert (reject["line"], reject["annotator"]) == (3, "ada")
    assert set(typed.items()) - {("question", "")} <= set(json.loads(reject["raw"]).items())


def test_a_rubric_without_ties_takes_none(form):
    rubric = parse_rubric("name: x\ntitle: '?'\nkind: pairwise\ntie: false\n\n---\nLook.")
    path, questions = form(rubric, "x")
    saved(path, [cells(path)[0] | {"preference": "tie"}])
    assert "no ties here" in read(path, questions, rubric).rejects["reason"][0]


def test_a_line_number_is_that_of_the_file(form):
    path, questions = form(PAIRS, "one\ntwo\nthree", "x")
    saved(path, [row | {"preference": "?"} for row in cells(path)])
    lines = path.read_text().split("\n")
    for line, text in zip(read(path, questions).rejects["line"], ("one", "x"), strict=True):
        assert text in lines[line - 1]


def test_one_question_answered_twice(form):
    path, questions = form(PAIRS, "x", "y")
    one, two = cells(path)
    saved(
        path,
        [
            one | {"preference": "A"},
            one | {"preference": "a"},
            two | {"preference": "A"},
            two | {"preference": "B"},
        ],
    )
    filled = read(path, questions)
    assert gave(filled) == {0: {"preference": "a"}}
    assert filled.rejects["line"].to_list() == [4, 5]
    assert "differently (lines 4, 5)" in filled.rejects["reason"][0]


def test_who_answered_is_said_once(form):
    path, questions = form(PAIRS, "x", "y", annotator="ada")
    rows = [row | {"preference": "A"} for row in cells(path)]
    saved(path, rows)
    assert set(read(path, questions, annotator=None).answers["annotator"]) == {"ada"}
    with pytest.raises(AnnotationError, match="filled in by 'ada', but --annotator is 'bob'"):
        read(path, questions, annotator="bob")
    saved(path, [rows[0], rows[1] | {"annotator": ""}])
    assert "no annotator" in read(path, questions, annotator=None).rejects["reason"][0]
    saved(path, [row | {"annotator": ""} for row in rows])
    with pytest.raises(AnnotationError, match="give --annotator NAME"):
        read(path, questions, annotator=None)


# ---- what spreadsheets make of it


def broken(text):
    """A text whose line breaks are one kind, as old Macs do to those in cells."""
    return text and re.sub("[\r\n]+", "\n", text)


@quick
@given(st.data())
def test_a_form_survives_spreadsheets(form, data):
    """Any separator, encoding, column order, line ends, empty rows and columns at the end."""
    texts = data.draw(st.lists(NASTY, min_size=1, max_size=5))
    typed = [data.draw(st.sampled_from(["A", "b", "tie", ""])) for _ in texts]
    comments = [data.draw(NASTY) for _ in texts]
    shown = "".join(data.draw(st.sampled_from("ab")) for _ in texts)
    path, questions = form(PAIRS, *texts, shown=shown)
    rows = [
        row | {"preference": t, "comment": defuse(c)}
        for row, t, c in zip(cells(path), typed, comments, strict=True)
    ]
    rows = data.draw(st.permutations(rows))
    columns = data.draw(st.permutations(list(rows[0])))
    end = data.draw(st.sampled_from(["\r\n", "\n", "\r"]))
    separator = data.draw(st.sampled_from(",;\t"))
    saved(
        path, rows, [*columns, *[""] * data.draw(st.integers(0, 2))], delimiter=separator, lineterminator=end
    )
    text = path.read_bytes().decode() + data.draw(st.sampled_from(["", separator * 8 + end, end * 2]))
    path.write_bytes(
        data.draw(
            st.sampled_from(
                [
                    text.encode(),
                    text.encode("utf-8-sig"),
                    text.encode("utf-16"),
                    (f"sep={separator}{end}" + text).encode(),
                ]
            )
        )
    )
    filled = read(path, questions)
    sides = {"A": "a", "b": "b", "tie": "tie"}
    turned = {"a": {"a": "a", "b": "b", "tie": "tie"}, "b": {"a": "b", "b": "a", "tie": "tie"}}
    assert gave(filled) == {n: {"preference": turned[shown[n]][sides[t]]} for n, t in enumerate(typed) if t}
    said = dict(filled.answers.select("question", "comment").rows())
    assert {int(q, 16): broken(c) for q, c in said.items()} == {
        n: broken(comments[n].strip() or None) for n, t in enumerate(typed) if t
    }
    only_comments = sum(not t and bool(c.strip()) for t, c in zip(typed, comments, strict=True))
    assert filled.rejects.height == only_comments
    assert filled.unanswered == typed.count("") - only_comments


@settings(max_examples=80, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.lists(
        st.tuples(
            st.integers(0, 300),
            st.integers(0, 6),
            st.sampled_from(["", '"', ",", "\n", "\r", "q0", "A", "\t", "{", "}", "é"]),
        ),
        max_size=4,
    ),
    st.sampled_from([".csv", ".jsonl", ".json"]),
)
def test_a_damaged_form_is_refused_or_balances(tmp_path, changes, suffix):
    path = tmp_path / f"d{suffix}"
    questions = asked(PAIRS, "x", "y", "z")
    for old in tmp_path.iterdir():
        old.unlink()
    write_form(path, questions, PAIRS)
    text = path.read_bytes().decode()
    for start, dropped, put in changes:
        text = text[:start] + put + text[start + dropped :]
    path.write_bytes(text.encode())
    try:
        filled = read(path, questions)
    except AnnotationError:
        return
    assert filled.answers.height + filled.rejects.height + filled.unanswered <= 3 + 2 * len(changes)
    assert set(filled.answers["question"]) <= set(questions["key"])


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("n,prompt,A,B,preferense,question\n", ": no column 'preference': did you mean 'preferense'?"),
        ("n,preference,Preference ,question\n", ": two columns are named 'preference'"),
        ("", ": is empty"),
        ('preference,question\n"A,q1\n', ":2: the last row: a quote is not closed.*is the file cut off"),
    ],
)
def test_a_file_that_is_no_form_is_refused(tmp_path, text, says):
    (tmp_path / "f.csv").write_text(text)
    with pytest.raises(AnnotationError, match=says):
        read(tmp_path / "f.csv", asked(PAIRS, "x"))


def test_more_cells_than_columns_is_a_fault_and_other_columns_a_note(form):
    path, questions = form(PAIRS, "x", "y")
    key = [row["question"] for row in cells(path)]
    path.write_text(f"question,preference,mood\n{key[0]},A,fine,,\n{key[1]},A,fine,B\n")
    filled = read(path, questions)
    assert gave(filled) == {0: {"preference": "a"}}
    assert filled.rejects["reason"].to_list() == ["expected 3 fields, found 4"]
    assert filled.notes == ("columns that are not read: mood",)


@pytest.mark.parametrize("suffix", [".csv", ".jsonl", ".json"])
def test_a_form_in_another_encoding_is_read_with_its_name(form, suffix):
    path, questions = form(PAIRS, "x", suffix=suffix)
    if suffix == ".csv":
        saved(path, [cells(path)[0] | {"preference": "A", "comment": "schön"}])
    elif suffix == ".jsonl":
        row = json.loads(path.read_text()) | {"preference": "A", "comment": "schön"}
        path.write_text(json.dumps(row, ensure_ascii=False))
    else:
        said = {0: [(3, {"preference": "A", "comment": "schön"})]}
        exported(path, path.with_suffix(".xml"), said)
        path.write_text(json.dumps(json.loads(path.read_text()), ensure_ascii=False))
    path.write_bytes(path.read_bytes().decode().encode("cp1252"))
    annotator = None if suffix == ".json" else "ada"
    with pytest.raises(AnnotationError, match=r"not valid.*UTF-8.*--encoding"):
        read(path, questions, annotator=annotator)
    filled = read(path, questions, annotator=annotator, encoding="windows-1252")
    assert filled.answers["comment"].to_list() == ["schön"]
    assert filled.notes[0] == f"{path.name}: read as windows-1252 (--encoding)"


@pytest.mark.parametrize("suffix", [".xlsx", ".ods"])
def test_a_form_saved_as_a_workbook_is_the_same_form(form, suffix):
    path, questions = form(RATINGS, "=1+1", "y", "z")
    rows = cells(path)
    typed = {"questions": 2, "on_topic": 1.0, "helpful": "4", "reveals_answer": True}
    for row, answers in zip(rows, [typed, {}, {"questions": 2}], strict=True):
        row.update(answers)
    sheet = [["Please fill in by Friday"], [], list(rows[0]), *(list(row.values()) for row in rows)]
    book = write_workbook(path.with_suffix(suffix), {"Form": sheet, "Help": []})
    filled = read(book, questions, RATINGS)
    assert filled.rejects.select("line", "reason").rows() == [
        (4, "'reveals_answer' is 'true'; expected a whole number from 1 to 2"),
        (6, "'on_topic' is left blank; rate every criterion, or clear the row"),
    ]
    assert filled.unanswered == 1
    sheet[3][list(rows[0]).index("reveals_answer")] = 1
    write_workbook(book, {"Form": sheet, "Notes": [["x"]]})
    with pytest.raises(AnnotationError, match="2 sheets with rows: 'Form', 'Notes'; choose one with --sheet"):
        read(book, questions, RATINGS)
    filled = read(book, questions, RATINGS, sheet="Form")
    assert gave(filled) == {0: {"questions": 2, "on_topic": 1, "helpful": 4, "reveals_answer": 1}}
    assert filled.notes[1] == f"{book.name}: 1 row above the header not read"


@pytest.mark.parametrize("suffix", [".csv", ".jsonl", ".json"])
def test_a_form_that_is_cut_off_is_refused(form, suffix):
    path, questions = form(PAIRS, "one\ntwo", "x", suffix=suffix, annotator="ada")
    whole = path.read_bytes()
    refused = 0
    ends = range(len(whole) * 2 // 3, len(whole) - 30, 9)
    for end in ends:
        path.write_bytes(whole[:end])
        try:
            read(path, questions)
        except AnnotationError as error:
            refused += 1
            assert path.name in str(error)  # noqa: PT017
    assert refused >= len(ends) - 2  # a cut between two rows, or after a comma, shows nothing


@pytest.mark.parametrize("suffix", [".csv", ".jsonl", ".json", ".xlsx", ".ods"])
@pytest.mark.parametrize(
    "content", [b"", b"\x00\x01\xff" * 50, "ключ;да\n".encode("cp1251"), b"[1]", b"PK\x03\x04"]
)
def test_what_is_no_form_at_all_is_refused(tmp_path, suffix, content):
    path = tmp_path / f"f{suffix}"
    path.write_bytes(content)
    with pytest.raises(AnnotationError, match=f"f{suffix}"):
        read(path, asked(PAIRS, "x"))


def test_a_missing_form_is_named(tmp_path):
    with pytest.raises(AnnotationError, match=r"none\.csv: No such file"):
        read(tmp_path / "none.csv", asked(PAIRS, "x"))


# ---- JSON Lines


def test_json_lines_come_back(form):
    path, questions = form(RATINGS, "x", "y", "z", suffix=".jsonl")
    lines = path.read_text().splitlines()
    row = json.loads(lines[0])
    assert row["completion"] == "x"
    assert row["prompt"] == [{"role": "user", "content": "Why?"}]
    row |= {"questions": 2, "on_topic": 5, "helpful": "4", "reveals_answer": "no", "annotator": "bob"}
    broken = '{"annotator": "Bob Smith", "question": '
    missing = json.loads(lines[1]) | {"questions": 2}
    del missing["helpful"]
    path.write_text("\n".join([json.dumps(row), json.dumps(missing), lines[2], broken, "[1]"]))
    filled = read(path, questions, RATINGS, annotator=None)
    assert gave(filled) == {0: {"questions": 2, "on_topic": 5, "helpful": 4, "reveals_answer": 1}}
    assert filled.unanswered == 1
    assert filled.rejects["line"].to_list() == [2, 4, 5]
    assert "no 'helpful'" in filled.rejects["reason"][0]
    assert "Smith" not in "".join(filled.rejects["raw"])


# ---- Label Studio


def exported(path, config, answers, **more):
    """What Label Studio exports when its users answer; answers[entry] = [(user, {name: shown wording})]."""
    root = ET.fromstring(config.read_text())
    objects = {e.get("name"): e for e in root.iter() if (e.get("value") or "").startswith("$")}
    entries = json.loads(path.read_text())
    for n, entry in enumerate(entries):
        for element in objects.values():
            assert element.get("value")[1:] in entry["data"]
        entry |= {"id": n + 7, "predictions": [], "drafts": [], "annotations": []}
        for user, said in answers.get(n, []):
            result = [_region(root, objects, name, shown) for name, shown in said.items()]
            entry["annotations"].append(
                {
                    "id": 1,
                    "completed_by": user,
                    "was_cancelled": False,
                    "result": result,
                    "updated_at": "2026-02-03T04:05:06.789000Z",
                }
                | more
            )
    path.write_text(json.dumps(entries))


def _region(root, objects, name, shown):
    (control,) = [e for e in root.iter() if e.get("name") == name]
    assert control.get("toName") in objects
    if control.tag == "TextArea":
        value, kind = {"text": [shown]}, "textarea"
    else:
        (choice,) = [c for c in control if c.get("value") == shown]
        value, kind = {"choices": [choice.get("alias") or shown]}, "choices"
    return {"from_name": name, "to_name": control.get("toName"), "type": kind, "value": value}


def test_label_studio_answers_of_pairs_come_back(form):
    path, questions = form(PAIRS, "x", "y", "z", suffix=".json", shown="abb")
    exported(
        path,
        path.with_suffix(".xml"),
        {
            0: [
                (3, {"preference": "A", "comment": "clear"}),
                ({"id": 4, "email": "bob@x.org"}, {"preference": "tie"}),
            ],
            1: [(3, {"preference": "A"})],
        },
    )
    filled = read(path, questions, annotator=None)
    assert filled.unanswered == 1
    at = datetime(2026, 2, 3, 4, 5, 6, 789000, UTC)
    assert filled.answers.rows() == [
        (questions["key"][0], "3", '{"preference": "a"}', "clear", at),
        (questions["key"][0], "bob@x.org", '{"preference": "tie"}', None, at),
        (questions["key"][1], "3", '{"preference": "b"}', None, at),
    ]


def test_label_studio_ratings_come_back_by_level(form):
    path, questions = form(RATINGS, "x costs $5", suffix=".json")
    levels = {c.name: [f"{n}: {w}" for n, w in enumerate(c.levels, 1)] for c in RATINGS.criteria}
    exported(path, path.with_suffix(".xml"), {0: [(3, {name: shown[1] for name, shown in levels.items()})]})
    assert gave(read(path, questions, RATINGS, None)) == {0: dict.fromkeys(levels, 2)}


def test_stars_of_a_configuration_of_one_s_own_are_read(form):
    path, questions = form(RATINGS, "x", suffix=".json")
    entries = json.loads(path.read_text())
    result = [{"from_name": c.name, "type": "rating", "value": {"rating": 1}} for c in RATINGS.criteria]
    entries[0]["annotations"] = [{"completed_by": 1, "result": result, "created_at": "2026-01-01T00:00:00"}]
    path.write_text(json.dumps(entries))
    assert gave(read(path, questions, RATINGS, None)) == {0: {c.name: 1 for c in RATINGS.criteria}}


def test_drafts_and_cancelled_ones_are_counted_and_the_newest_counts(form):
    path, questions = form(PAIRS, "x", "y", suffix=".json", shown="a")
    exported(
        path,
        path.with_suffix(".xml"),
        {0: [(3, {"preference": "B"}), (3, {"preference": "A"})], 1: [(3, {"preference": "A"})]},
    )
    entries = json.loads(path.read_text())
    entries[0]["annotations"][0]["updated_at"] = "2026-02-03T05:00:00Z"
    entries[1]["annotations"][0]["was_cancelled"] = True
    entries[1]["drafts"] = [{"result": entries[0]["annotations"][0]["result"]}]
    path.write_text(json.dumps(entries))
    filled = read(path, questions, annotator=None)
    assert gave(filled) == {0: {"preference": "b"}}
    assert filled.unanswered == 1
    assert set(filled.notes) == {
        "annotations that their annotator has replaced: 1",
        "drafts, not read: 1",
        "cancelled annotations, not read: 1",
    }


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"type": "choices", "value": {"choices": ["A", "B"]}}, "cannot be read"),
        ({"type": "labels", "value": {"labels": ["A"]}}, "cannot be read"),
        ({"value": None}, "cannot be read"),
        ({"value": {"choices": ["D"]}}, "'preference' is 'D'"),
    ],
)
def test_annotations_that_cannot_be_read_are_rejected(form, change, says):
    path, questions = form(PAIRS, "x", suffix=".json")
    exported(path, path.with_suffix(".xml"), {0: [(3, {"preference": "A"})]})
    entries = json.loads(path.read_text())
    entries[0]["annotations"][0]["result"][0] |= change
    path.write_text(json.dumps(entries))
    filled = read(path, questions, annotator=None)
    assert filled.answers.is_empty()
    assert says in filled.rejects["reason"][0]


@pytest.mark.parametrize("text", ["{}", "[1]", "[{}]", "[", '[{"id": 1, "preference": "A"}]'])
def test_another_json_is_refused(tmp_path, text):
    (tmp_path / "f.json").write_text(text)
    with pytest.raises(AnnotationError, match="export it"):
        read(tmp_path / "f.json", asked(PAIRS, "x"))


def test_a_dollar_in_a_rubric_is_no_field_of_label_studio(tmp_path):
    rubric = parse_rubric('name: x\ntitle: "Is $5 enough?"\nkind: pairwise\n\n---\nLook.')
    write_form(tmp_path / "f.json", asked(rubric, "x"), rubric)
    values = [e.get("value") or "" for e in ET.fromstring(Path(tmp_path / "f.xml").read_text()).iter()]
    assert sorted(v for v in values if "$" in v) == ["$A", "$B", "$prompt"]
