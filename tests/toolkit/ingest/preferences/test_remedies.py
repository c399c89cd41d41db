"""What a message of ingest says to do can be done, and works; options work in every format that has them."""

import json

import pytest
from click.testing import CliRunner

from preceptor.toolkit.cli.main import cli
from preceptor.toolkit.ingest.formats import FORMATS
from preceptor.toolkit.ingest.run import ingest_files
from preceptor.toolkit.store.connection import open_store, query, remove_source

PROMPT = {
    "id": "p",
    "task": "qa",
    "prompt": "?",
    "completions": [{"id": "a", "content": "A"}, {"id": "b", "content": "B"}],
}
LOG = "learner,item,correct\nl,i,1\nl,j,0\n"
VOTES = "completion_a,completion_b,choice\na,b,a\n"
TABLES = {
    "votes": ("completion_a,completion_b,choice,annotator,at", "a,b,a,é,{}"),
    "ratings": ("completion,criterion,value,levels,annotator,at", "a,help,5,5,é,{}"),
    "outcomes": ("completion,measure,value,learner,at", "a,success,1,é,{}"),
    "reviews": ("learner,item,correct,at", "é,i,1,{}"),
}


@pytest.fixture
def run(tmp_path, monkeypatch):
    """A function that runs `preceptor ingest` there and returns the exit code and all that it printed."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "texts.jsonl").write_text(json.dumps(PROMPT))

    def ingest(*arguments):
        done = CliRunner().invoke(cli, ["--store", "s.duckdb", "ingest", *map(str, arguments)])
        fault = done.exception if done.exception and not isinstance(done.exception, SystemExit) else ""
        code = getattr(fault, "exit_code", done.exit_code)
        return code, f"{done.output}{fault}"

    assert ingest("prompts", "texts.jsonl", "--source", "texts")[0] == 0
    return ingest


# A file and the command's arguments; what is said; then the arguments that follow it, or the file as it says.
REMEDIES = {
    "map": ("reviews l.csv", "who,item,correct\nl,i,1\n", "use --map learner=COLUMN", "--map learner=who"),
    "map of prompts": (
        "prompts l.csv",
        "id,task,text\nq,t,x\n",
        "use --map prompt=COLUMN",
        "--map prompt=text",
    ),
    "map of completions": (
        "completions l.csv --set author=m",
        "prompt,text\np,x\n",
        "use --map content=COLUMN",
        "--map content=text",
    ),
    "set of ratings": (
        "ratings l.csv --levels 5",
        "completion,value\na,3\n",
        "or --set criterion=VALUE",
        "--set criterion=help",
    ),
    "set of outcomes": (
        "outcomes l.csv",
        "completion,value\na,3\n",
        "or --set measure=VALUE",
        "--set measure=turns",
    ),
    "set of prompts": ("prompts l.csv", "id,prompt\nq,x\n", "or --set task=VALUE", "--set task=qa"),
    "levels": (
        "ratings l.csv",
        "completion,criterion,value\na,help,3\n",
        "(or use --levels)",
        "--levels 5",
    ),
    "date format": (
        "reviews l.csv",
        "learner,item,correct,at\nl,i,1,04.05.2026\n",
        "use --date-format",
        "--date-format %d.%m.%Y",
    ),
    "form of date format": (
        "reviews l.csv --date-format %q",
        "learner,item,correct,at\nl,i,1,04.05.2026\n",
        "write it like %d.%m.%Y",
        "--date-format %d.%m.%Y",
    ),
    "encoding": (
        "reviews l.csv",
        "learner,item,correct\nл,і,1\n".encode("cp1251"),
        "give --encoding latin-1 or --encoding windows-1251",
        "--encoding windows-1251",
    ),
    "UTF-16": (
        "reviews l.csv",
        LOG.encode("utf-16-le"),
        "read it with --encoding utf-16-le",
        "--encoding utf-16-le",
    ),
    "about": ("votes v.csv", VOTES, "say which completions these are about", "--about texts"),
    "allow rejects": (
        "votes l.csv --about texts",
        VOTES + "a,b,b\n" * 5 + "a,b,draw\n" * 5,
        "keep the rest with --allow-rejects",
        "--allow-rejects",
    ),
    "map of a value": (
        "votes l.csv --about texts",
        VOTES + "a,b,b\n" * 5 + "a,b,draw\n" * 5,
        "--map choice:tie=draw",
        "--map choice:tie=draw",
    ),
    "near column": (
        "votes l.csv --about texts --map anotator=x",
        VOTES,
        "did you mean 'annotator'",
        ("l.csv", VOTES.replace("\n", ",x\n")),
    ),
    "JSON list": (
        "prompts l.jsonl",
        json.dumps([PROMPT | {"id": "q"}], indent=1),
        "write one object a line",
        ("l.jsonl", json.dumps(PROMPT | {"id": "q", "completions": []})),
    ),
    "name of a file": ("reviews l.txt", LOG, "rename it to what it is", ("l.csv", LOG)),
    "twice": (
        "reviews l.csv",
        "learner,item,correct,correct\nl,i,1,0\n",
        "rename all but one",
        ("l.csv", LOG),
    ),
    "encoding of Parquet": ("reviews l.csv --sheet x", LOG, "leave the option out", ("l.csv", LOG)),
    "wide": (
        "ratings l.csv --levels 5 --wide {criterium}",
        "completion,help\na,3\n",
        "did you mean 'criterion'",
        "--wide {criterion}",
    ),
    "other bytes": ("reviews l.csv --source texts", LOG, "give this one another --source", "--source new"),
    "replace": ("reviews l.csv --source texts", LOG, "--replace that one", "--replace"),
}


@pytest.mark.parametrize("name", REMEDIES)
def test_the_remedy_that_is_named_works(run, tmp_path, name):
    command, content, said, remedy = REMEDIES[name]
    arguments = command.split()
    path = tmp_path / arguments[1]
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    if name == "about":
        (tmp_path / "more.jsonl").write_text(json.dumps(PROMPT | {"id": "z"}))
        assert run("prompts", "more.jsonl", "--source", "more")[0] == 0
    if "--source" not in arguments:
        arguments += ["--source", "s"]
    code, shown = run(*arguments)
    assert said in shown
    assert code == 2
    if isinstance(remedy, tuple):
        file, text = remedy
        path.unlink()
        (tmp_path / file).write_text(text)
        kept = [a for a in arguments if a not in ("--sheet", "x", "--map", "anotator=x")]
        arguments = [kept[0], file, *kept[2:]]
    else:
        arguments += remedy.split()
    code, shown = run(*arguments)
    assert code == 0, shown
    assert ", 0 rejected" in shown or name == "allow rejects"


def test_the_same_bytes_with_other_options_are_read_with_replace(run, tmp_path):
    (tmp_path / "l.csv").write_text("learner,item,correct,other\nl,i,1,0\n")
    assert run("reviews", "l.csv", "--source", "s")[0] == 0
    again = ("reviews", "l.csv", "--source", "s", "--map", "correct=other")
    assert "nothing added (--replace reads them again)" in run(*again)[1]
    assert run(*again, "--replace")[0] == 0
    with open_store(tmp_path / "s.duckdb", read_only=True) as con:
        assert query(con, "SELECT correct FROM reviews").item() is False


TAKEN = [(name, option) for name in TABLES for option in ("date_format", "allow_rejects", "set", "wide")]


def test_these_formats_have_these_options():
    assert {
        (f.name, o) for f in FORMATS.values() for o in f.options if o in ("date_format", "allow_rejects")
    } == {(name, option) for name, option in TAKEN if option in ("date_format", "allow_rejects")}


@pytest.mark.parametrize("name", TABLES)
def test_options_work_in_every_table(run, tmp_path, name):
    header, row = TABLES[name]
    about = [] if name == "reviews" else ["--about", "texts"]
    path = tmp_path / "t.csv"
    path.write_bytes(f"{header}\n{row.format('04.05.2026')}\n".encode("latin-1"))
    given = [name, "t.csv", "--source", "s", *about, "--date-format", "%d.%m.%Y", "--encoding", "latin-1"]
    code, shown = run(*given)
    assert (code, "1 row taken, 0 rejected" in shown) == (0, True), shown
    assert "read as latin-1" in shown
    bad = [row.format("04.05.2026"), *[row.replace("a,", "zz,", 1).replace("i,1", "i,maybe").format("")] * 12]
    path.write_text("\n".join([header, *bad, ""]))
    given = [name, "t.csv", "--source", "u", *about, "--date-format", "%d.%m.%Y"]
    code, shown = run(*given)
    assert (code, "--allow-rejects" in shown) == (2, True)
    code, shown = run(*given, "--allow-rejects")
    assert (code, "1 row taken, 12 rejected" in shown) == (0, True), shown
    path.write_text(f"{header},extra,more\n{row.format('2026-05-04')},1,2\n")
    code, shown = run(name, "t.csv", "--source", "w", *about)
    assert code == 0
    assert shown.count("columns that are not read: extra, more") == 1


@pytest.mark.parametrize("name", [name for name in FORMATS if name != "anki"])
def test_every_format_reads_another_encoding(store, tmp_path, name):
    """The example of its help, as UTF-16 without a mark."""
    (tmp_path / "known.jsonl").write_text(
        json.dumps(
            {"id": "p1", "task": "qa", "prompt": "?"}
            | {"completions": [{"id": "p1-a", "content": "x"}, {"id": "p1-b", "content": "y"}]}
        )
    )
    ingest_files(store, "prompts", [tmp_path / "known.jsonl"], "known")
    text = FORMATS[name].example
    if text.startswith("{"):  # one JSON object, wrapped and shortened for the eye
        text = text.replace("\n", "").replace(", …", "").replace('"mnemonic_b": "…"', '"mnemonic_b": "other"')
    if not text.startswith("==> "):
        suffix = FORMATS[name].patterns[0][1:] if FORMATS[name].patterns else ".jsonl"
        text = f"==> example{suffix} <==\n{text}"
    rows = []
    for encoding in ("", "utf-16-le"):
        folder = tmp_path / f"in-{encoding}"
        folder.mkdir()
        for part in text.removeprefix("==> ").split("\n==> "):
            file, _, content = part.partition(" <==\n")
            (folder / file).write_bytes(f"{content}\n".encode(encoding or "utf-8"))
        remove_source(store, "s")
        paths = [folder] if FORMATS[name].together else [folder / file]
        about = {"about": "known"} if FORMATS[name].about else {}
        report = ingest_files(store, name, paths, "s", encoding=encoding, **about)
        rows.append((report.rows, report.rejects))
    assert rows[0] == rows[1]
    assert rows[0][0] > 0
