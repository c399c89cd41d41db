"""`preceptor annotate export` and `import`: from questions to votes without a server."""

import csv
import gzip
import io
import json
from dataclasses import replace
from datetime import UTC, datetime

import polars as pl
import pytest
from invented import fill
from sheets import write_workbook

from preceptor.annotation.forms.forms import distribute_questions
from preceptor.annotation.rubrics.rubric import read_rubric
from preceptor.schemas.errors import AnnotationError
from preceptor.schemas.tables import ANSWERS, RATINGS, REJECTS, VOTES
from preceptor.toolkit.campaign.forms import ExportOptions, export_forms, import_forms, store_form_rejects
from preceptor.toolkit.campaign.questions import Selection, read_questions
from preceptor.toolkit.cli.main import cli
from preceptor.toolkit.privacy.forget import forget
from preceptor.toolkit.store.connection import count, open_store, query


@pytest.fixture
def place(tmp_path):
    """A folder with a store of 10 prompts, 3 completions each."""
    with open_store(tmp_path / "preceptor.duckdb", create=True) as con:
        fill(con, tmp_path, prompts=10, completions=3)
    return tmp_path


@pytest.fixture
def run(place, monkeypatch):
    """A function that runs `preceptor annotate …` in that folder and returns what it says."""
    from click.testing import CliRunner

    monkeypatch.chdir(place)

    def go(*arguments, fails=None):
        done = CliRunner().invoke(cli, ["annotate", *map(str, arguments)])
        if fails is None:
            assert done.exit_code == 0, done.output + repr(done.exception)
            return done.output
        text = done.output + str(done.exception)
        assert done.exit_code != 0
        assert fails in text, text
        return text

    return go


def begin(run, out="f.csv", rubric="pairwise-preference", n=6, *more):
    return run("export", "--campaign", "c", "--rubric", rubric, "--n", n, "--out", out, *more)


def fill_in(path, **columns):
    """Type into the columns of a form, row by row."""
    text = path.read_bytes().decode("utf-8-sig")
    rows = list(csv.DictReader(io.StringIO(text, newline=""), delimiter=text[1]))
    for name, values in columns.items():
        for row, value in zip(rows, values, strict=False):
            row[name] = value
    out = io.StringIO()
    writer = csv.DictWriter(out, list(rows[0]), delimiter=";")
    writer.writeheader()
    writer.writerows(rows)
    path.write_bytes(out.getvalue().encode("utf-8-sig"))
    return rows


def held(place, table="votes", columns="*"):
    with open_store(place / "preceptor.duckdb", read_only=True) as con:
        return query(con, f"SELECT {columns} FROM {table} ORDER BY ALL").rows()


def test_answers_typed_in_a_spreadsheet_become_votes(run, place):
    said = begin(run)
    assert "6 questions" in said
    rows = fill_in(place / "f.csv", preference=["A", "b", " Tie ", "A"], comment=["=1+1"])
    said = run("import", "f.csv", "--campaign", "c", "--annotator", "zofia", "--kind", "expert")
    assert "4 new, 0 changed" in said
    assert "next: preceptor fuse" in said
    with open_store(place / "preceptor.duckdb", read_only=True) as con:
        questions = read_questions(con, "c")
        votes = query(
            con, "SELECT v.*, a.kind, a.pseudonym FROM votes v JOIN annotators a ON a.key = v.annotator"
        )
        content = dict(query(con, "SELECT key, content FROM completions").rows())
        assert questions["asked_at"].null_count() == 0
    for vote in votes.to_dicts():
        (row,) = [r for r in rows if r["n"] == str(vote["line"])]
        picked = {"a": content[vote["completion_a"]], "b": content[vote["completion_b"]], "tie": None}
        assert picked[vote["choice"]] == row.get(row["preference"].strip().upper())
        assert content[vote[f"completion_{vote['shown_first']}"]] == row["A"]
        assert vote["kind"] == "expert"
        assert "zofia" not in vote["pseudonym"]
    assert votes.height == 4


def test_the_functions_do_what_the_commands_do(run, place):
    options = ExportOptions("pairwise-preference", Selection(6), annotators=("ada", "ben"), overlap=1)
    with open_store(place / "preceptor.duckdb") as con:
        done = export_forms(con, "d", place / "d.csv", options)
        assert [path.name for path in done.files] == [
            "d-ada.csv",
            "d-ada.csv.md",
            "d-ben.csv",
            "d-ben.csv.md",
        ]
        assert (done.questions, done.chosen.total, done.long_texts) == (6, 6, 0)
        assert export_forms(con, "d", place / "e.csv").chosen.added == {}
        with pytest.raises(AnnotationError, match="--overlap 3 needs as many --annotator"):
            export_forms(con, "d", place / "g.csv", replace(options, overlap=3))
        with pytest.raises(AnnotationError, match="an --annotator is named twice"):
            export_forms(con, "d", place / "g.csv", replace(options, annotators=("ada", "ada")))
    texts = {path.name: path.read_bytes() for path in done.files}
    for path in done.files:
        path.unlink()
    run(
        "export",
        "--campaign",
        "d",
        "--out",
        "d.csv",
        "--annotator",
        "ada",
        "--annotator",
        "ben",
        "--overlap",
        1,
    )
    assert {name: (place / name).read_bytes() for name in texts} == texts
    fill_in(place / "d-ada.csv", preference=["A", "B", "tie"])
    with open_store(place / "preceptor.duckdb") as con:
        (one,) = import_forms(con, "d", [place / "d-ada.csv"], kind="expert")
    assert (one.path.name, one.taken.new, one.filled.unanswered) == ("d-ada.csv", 3, 0)
    assert "0 new, 0 changed, 3 as they were" in run("import", "d-ada.csv", "--campaign", "d")


def test_answers_in_words_of_ones_own(run, place):
    begin(run)
    fill_in(place / "f.csv", preference=["Left", " both are EQUAL", "B"])
    said = run(
        *("import", "f.csv", "--campaign", "c", "--annotator", "zofia", "--map", "preference:A=left"),
        *("--map", "preference:tie=Both are equal", "--map", "preference:B=right"),
    )
    assert "3 new" in said
    assert "--map preference:B=right: no row has this preference" in said
    with open_store(place / "preceptor.duckdb", read_only=True) as con:
        assert query(con, "SELECT count(*) FROM votes WHERE choice = 'tie'").item() == 1
        with pytest.raises(AnnotationError, match="did you mean 'preference'"):
            import_forms(con, "c", [place / "f.csv"], values={"preferense": {"left": "A"}})


def test_importing_twice_changes_nothing_and_an_edited_answer_supersedes(run, place):
    begin(run)
    fill_in(place / "f.csv", preference=["A", "B", "C"])
    run("import", "f.csv", "--campaign", "c", "--annotator", "zofia")
    before = {t: held(place, t) for t in ("votes", "answers", "annotators", "rejects", "questions")}
    said = run("import", "f.csv", "--campaign", "c", "--annotator", "zofia")
    assert "0 new, 0 changed, 2 as they were" in said
    assert "next:" not in said
    assert {t: held(place, t) for t in before} == before
    fill_in(place / "f.csv", preference=["B", "B", "A"])
    assert "1 new, 1 changed, 1 as they were" in run(
        "import", "f.csv", "--campaign", "c", "--annotator", "zofia"
    )
    assert len(held(place, "votes")) == 3
    assert len(held(place, "answers")) == 4
    assert held(place, "rejects") == []
    assert held(place, "sources", "rejects") == [(0,), (0,)]


def test_a_row_left_empty_later_takes_nothing_back(run, place):
    begin(run)
    fill_in(place / "f.csv", preference=["A"])
    run("import", "f.csv", "--campaign", "c", "--annotator", "zofia")
    fill_in(place / "f.csv", preference=[""])
    run("import", "f.csv", "--campaign", "c", "--annotator", "zofia")
    assert len(held(place, "votes")) == 1


def test_bad_cells_go_to_rejects_with_file_line_and_reason(run, place):
    begin(run)
    keys = [row["question"] for row in fill_in(place / "f.csv")]
    keys[2] = "qff"
    fill_in(place / "f.csv", preference=["A", "both", "A"], question=keys, annotator=["zofia"] * 6)
    said = run("import", "f.csv", "--campaign", "c")
    assert "f.csv:3: 'preference' is 'both'; expected A, B or tie" in said
    assert "f.csv:4: 'qff' is no question of this campaign" in said
    assert "preceptor status --rejects c" in said
    rejected = held(place, "rejects", "line, reason, path, raw")
    assert [line for line, *_ in rejected] == [3, 4]
    assert all(path.startswith("c/") and path.endswith("/f.csv") for _, _, path, _ in rejected)
    assert "zofia" not in str(rejected)
    assert len(held(place)) == 1


def test_a_form_for_each_annotator(run, place):
    begin(
        run,
        "f.csv",
        "pairwise-preference",
        6,
        "--annotator",
        "zofia",
        "--annotator",
        "bob",
        "--annotator",
        "cy",
        "--overlap",
        "2",
    )
    forms = [place / f"f-{who}.csv" for who in ("zofia", "bob", "cy")]
    rows = [fill_in(path, preference=["A"] * 9) for path in forms]
    assert sum(map(len, rows)) == 12
    assert not (place / "f.csv").exists()
    run("import", *forms, "--campaign", "c")
    assert len(held(place, "votes")) == 12
    assert len(held(place, "annotators")) == 3
    run(
        "import",
        forms[0],
        "--campaign",
        "c",
        "--annotator",
        "bob",
        fails="filled in by 'zofia', but --annotator is 'bob'",
    )


def test_ratings_come_from_every_kind_of_form(run, place):
    rubric = read_rubric("gec")
    begin(run, "f.jsonl", "gec", 5)
    lines = [json.loads(line) for line in (place / "f.jsonl").read_text().splitlines()]
    filled = lines[0] | {c.name: 4 for c in rubric.criteria} | {"annotator": "zofia"}
    (place / "f.jsonl").write_text(json.dumps(filled) + "\n" + json.dumps(lines[1]) + "\n")
    run("import", "f.jsonl", "--campaign", "c")

    run("export", "--campaign", "c", "--out", "f.json")
    entries = json.loads((place / "f.json").read_text())
    result = [{"from_name": c.name, "type": "choices", "value": {"choices": ["2"]}} for c in rubric.criteria]
    entries[1]["annotations"] = [{"completed_by": 7, "result": result, "updated_at": "2026-01-02T03:04:05Z"}]
    (place / "export.json").write_text(json.dumps(entries))
    run("import", "export.json", "--campaign", "c")
    assert sorted(held(place, "ratings", "criterion, value, levels")) == sorted(
        (c.name, value, 4) for c in rubric.criteria for value in (2, 4)
    )
    assert held(place, "answers", '"at"')[0] == (datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC),)


def test_a_rubric_of_one_s_own_is_named_again(run, place):
    (place / "r.yaml").write_text("name: r\ntitle: Which?\nkind: pairwise\n")
    (place / "r.md").write_text("Look.")
    begin(run, "f.csv", "./r.yaml", 3)
    fill_in(place / "f.csv", preference=["A"])
    run("import", "f.csv", "--campaign", "c", "--annotator", "zofia", fails="give its file with --rubric")
    run(
        "import",
        "f.csv",
        "--campaign",
        "c",
        "--annotator",
        "zofia",
        "--rubric",
        "gec",
        fails="begun with another rubric",
    )
    run("import", "f.csv", "--campaign", "c", "--annotator", "zofia", "--rubric", "r.yaml")
    assert len(held(place)) == 1


def test_exporting_again_writes_the_same_and_overwrites_nothing(run, place):
    begin(run)
    before = (place / "f.csv").read_bytes()
    begin(run)
    assert (place / "f.csv").read_bytes() == before
    fill_in(place / "f.csv", preference=["A"])
    run("export", "--campaign", "c", "--out", "f.csv", fails="f.csv is there already and is not overwritten")
    begin(run, "g.csv", "pairwise-preference", 8)
    assert len(fill_in(place / "g.csv")) == 8


def test_more_questions_keep_those_that_were_asked(run, place):
    begin(run, "f.csv")
    begin(run, "g.csv", "pairwise-preference", 9)
    first, more = (fill_in(place / name) for name in ("f.csv", "g.csv"))
    assert more[:6] == first


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("export", "--campaign", "d", "--out", "f.csv"), "--campaign d: no campaign of that name"),
        (("export", "--campaign", "d", "--rubric", "socratics", "--out", "f.csv"), "did you mean 'socratic'"),
        (("export", "--campaign", "d", "--rubric", "gec", "--out", "f.xlsx"), "a form ends in .csv"),
        (
            ("export", "--campaign", "d", "--rubric", "gec", "--out", "f.csv", "--overlap", "2"),
            "needs as many --annotator",
        ),
        (
            ("export", "--campaign", "d", "--rubric", "gec", "--out", "f.csv", "--source", "prompt"),
            "did you mean 'prompts'",
        ),
        (
            (
                "export",
                "--campaign",
                "d",
                "--rubric",
                "gec",
                "--out",
                "f.csv",
                "--annotator",
                "a b",
                "--annotator",
                "a_b",
            ),
            "same file",
        ),
        (("import", "none.csv", "--campaign", "d"), "--campaign d: no campaign of that name"),
    ],
)
def test_errors_say_what_to_do_and_write_no_form(run, place, arguments, says):
    run(*arguments, fails=says)
    assert {p.name for p in place.iterdir()} == {"preceptor.duckdb", "prompts.jsonl"}


def test_a_form_that_is_no_form_changes_nothing(run, place):
    begin(run)
    fill_in(place / "f.csv", preference=["A"])
    (place / "g.csv").write_text("a,b\n1,2\n")
    run("import", "f.csv", "g.csv", "--campaign", "c", "--annotator", "zofia", fails="no column 'question'")
    run(
        "import",
        "f.csv",
        "none.csv",
        "--campaign",
        "c",
        "--annotator",
        "zofia",
        fails="none.csv: No such file",
    )
    assert held(place) == []


@pytest.mark.parametrize("overlap", [1, 2, 3])
def test_questions_are_shared_out_evenly_and_repeats_go_to_the_same(overlap):
    questions = pl.DataFrame(
        {
            "key": [f"k{n}" for n in range(21)],
            "completion_a": [f"a{n % 18}" for n in range(21)],
            "completion_b": [f"b{n % 18}" for n in range(21)],
        }
    )
    parts = distribute_questions(questions, ["x", "y", "z"], overlap)
    got = {key: {who for who, part in parts.items() if key in part["key"]} for key in questions["key"]}
    assert {len(who) for who in got.values()} == {overlap}
    assert all(got[f"k{n}"] == got[f"k{n + 18}"] for n in range(3))
    sizes = [part.height for part in parts.values()]
    assert max(sizes) - min(sizes) <= 2


def rejects(*rows):
    schema = {"annotator": pl.String, "line": pl.Int64, "raw": pl.String, "reason": pl.String}
    return pl.DataFrame(rows, schema=schema, orient="row")


def test_rejects_of_a_form_give_way_to_those_of_its_next_import(run, place, named):
    begin(run)
    with open_store(place / "preceptor.duckdb") as con:
        store_form_rejects(
            con, "c", "f.csv", rejects(("zofia", 2, "x", "r"), (None, 3, "y", "r"), (None, 3, "z", "r")), []
        )
        store_form_rejects(con, "c", "f.csv", rejects(("bob", 2, "w", "r")), ["bob"])
        assert query(con, "SELECT path, raw FROM rejects ORDER BY raw").rows() == [
            (f"c/{named('bob')}/f.csv", "w"),
            (f"c/{named('zofia')}/f.csv", "x"),
        ]
        store_form_rejects(con, "c", "f.csv", rejects(), ["zofia", "bob"])
        assert count(con, REJECTS) == 0


def test_nothing_of_a_forgotten_annotator_comes_back(run, place, named):
    begin(run)
    fill_in(place / "f.csv", preference=["A", "C"])
    run("import", "f.csv", "--campaign", "c", "--annotator", "zofia")
    with open_store(place / "preceptor.duckdb") as con:
        forget(con, named("zofia"))
        assert [count(con, t) for t in (VOTES, RATINGS, ANSWERS, REJECTS)] == [0, 0, 0, 0]
    run("import", "f.csv", "--campaign", "c", "--annotator", "zofia")
    with open_store(place / "preceptor.duckdb") as con:
        assert [count(con, t) for t in (VOTES, ANSWERS)] == [0, 0]
        assert not query(con, "SELECT 1 FROM rejects WHERE raw LIKE '%preference%'").height


def test_a_campaign_of_forms_is_not_pulled(run):
    begin(run)
    told = run("pull", "--home", "nowhere")  # no server is needed to find out
    assert "no campaign was pushed yet" in told
    assert "not pulled: c, exported as forms only (preceptor annotate import takes its answers)" in told
    begin_d = ("export", "--campaign", "d", "--rubric", "pairwise-preference", "--n", 3, "--out", "d.csv")
    run(*begin_d)
    assert "not pulled: c, d, exported as forms only" in run("pull", "--home", "nowhere")
    told = run("pull", "--campaign", "c", "--home", "nowhere", fails="was never pushed to Argilla")
    assert "preceptor annotate import FILE --campaign c" in told
    assert "preceptor annotate push --campaign c" in told
    assert "no server is named" not in told


def test_a_form_of_which_nothing_can_be_taken_stops(run, place):
    begin(run)
    fill_in(place / "f.csv", preference=["C", "D"])
    said = run(
        "import", "f.csv", "--campaign", "c", "--annotator", "ada", fails="none of its 2 answers can be"
    )
    assert "f.csv:2: 'preference' is 'C'; expected A, B or tie" in said
    assert held(place) == []


def test_encodings_and_sheets_of_forms_are_named(run, place):
    begin(run)
    rows = fill_in(place / "f.csv", preference=["A", "B"], comment=["schön"])
    (place / "f.csv").write_bytes((place / "f.csv").read_bytes().decode("utf-8-sig").encode("cp1252"))
    who = ("--campaign", "c", "--annotator", "ada")
    run("import", "f.csv", *who, fails="--encoding windows-1252")
    run("import", "f.csv", *who, "--encoding", "wndows", fails="no encoding 'wndows'")
    run("import", "f.csv", *who, "--sheet", "Form", fails="is no spreadsheet; leave the option out")
    assert "2 new" in run("import", "f.csv", *who, "--encoding", "windows-1252")
    head = list(rows[0])
    sheets = {"Form": [head, *([row[name] or None for name in head] for row in rows[:3])], "Old": [["x"]]}
    write_workbook(place / "f.xlsx", sheets)
    run("import", "f.xlsx", *who, fails="choose one with --sheet NAME")
    said = run("import", "f.xlsx", *who, "--sheet", "Form")
    assert "0 new, 0 changed, 2 as they were" in said
    assert "questions not in it" in said


def test_a_form_made_to_fill_a_computer_is_refused_unless_allowed(run, place):
    begin(run)
    form = (place / "f.csv").read_bytes()
    (place / "big.csv.gz").write_bytes(gzip.compress(form + (b"x" * 99_999 + b"\n") * 900))
    who = ("--campaign", "c", "--annotator", "ada")
    run("import", "big.csv.gz", *who, fails="unpacks to more than 64 MB")
    run("import", "big.csv.gz", *who, "--max-unpacked", "1GB", fails="the last row: expected 8 fields")
