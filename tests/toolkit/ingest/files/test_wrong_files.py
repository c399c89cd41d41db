"""Files that are not what their name says: read right, or refused with a remedy that works when it is followed."""

import json
import re
import shlex

import polars as pl
import pytest
from click.testing import CliRunner
from examples import few
from hypothesis import given
from hypothesis import strategies as st

from preceptor.schemas.errors import SourceError
from preceptor.toolkit.cli.main import cli
from preceptor.toolkit.ingest.formats import FORMATS
from preceptor.toolkit.ingest.run import ingest_files

HEAD = "learner,item,correct"
POINTER = "version https://git-lfs.github.com/spec/v1\noid sha256:4d7a21\nsize 12345\n"


def reviews(store, path, source="s", **options):
    report = ingest_files(store, "reviews", [path], source, **options)
    return report.rows, report.rejects


@pytest.mark.parametrize(
    "encoding", ["utf-16", "utf-32", "utf-16-le", "utf-7", "idna", "punycode", "undefined"]
)
@few()
@given(st.text('ab,\n"é\0', max_size=40))
def test_a_wrong_encoding_is_refused_or_read(store, tmp_path, encoding, text):
    (tmp_path / "l.csv").write_text(f"{HEAD}\nl,i,1\n{text}\n")
    refused = ""
    try:
        rows, rejects = reviews(store, tmp_path / "l.csv", encoding=encoding, replacing=True)
    except SourceError as error:
        rows, rejects, refused = 0, 0, str(error)
    assert bool(rows + rejects) != ("l.csv" in refused)


def test_an_encoding_with_a_mark_needs_one(store, tmp_path):
    (tmp_path / "l.csv").write_text(f"{HEAD}\nl,i,1\n")
    with pytest.raises(
        SourceError, match=r"l\.csv: cannot be read as utf-16 .*; leave --encoding out, or name"
    ):
        reviews(store, tmp_path / "l.csv", encoding="utf-16")


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "utf-32"])
def test_byte_order_marks_are_found(store, tmp_path, encoding):
    (tmp_path / "l.csv").write_bytes(f"{HEAD}\nЖ,i,1\n".encode(encoding))
    assert reviews(store, tmp_path / "l.csv") == (1, 0)


@pytest.mark.parametrize("separator", [*"|,;\t", "sep=|", "sep=^", "sep=.", "sep=:"])
def test_separators_are_found_or_named_by_the_file(store, tmp_path, separator):
    mark = separator[-1]
    rows = ["learner,item,correct,note", 'l,i,1,"a; b, c | d ^ e . f : g"', 'l,"i ""1""\n2",0,', "l,i,1,x"]
    hint = [separator] if "sep" in separator else []
    text = rows[1].replace(mark, "") if mark != "," else rows[1]
    lines = [*hint, rows[0].replace(",", mark), "l,i,1,".replace(",", mark) + text[6:]]
    lines += [row.replace(",", mark) for row in rows[2:]]
    (tmp_path / "l.csv").write_text("\n".join(lines) + "\n")
    assert reviews(store, tmp_path / "l.csv") == (3, 0)


def test_a_bar_in_the_name_of_a_column_separates_nothing(store, tmp_path):
    (tmp_path / "l.csv").write_text(f"{HEAD},A|B|C|D|E\nl,i,1,x\n")
    assert reviews(store, tmp_path / "l.csv") == (1, 0)


@pytest.mark.parametrize("format", [name for name, format in FORMATS.items() if not format.finder])
@pytest.mark.parametrize(
    ("text", "said"),
    [
        (POINTER, "is a pointer of Git LFS, not the file itself; fetch it with: git lfs pull"),
        (
            "<!DOCTYPE html>\n<html>Not found</html>\n",
            "is a web page, not the file itself; download the file",
        ),
    ],
)
def test_what_a_download_left_instead_is_named_in_every_format(store, tmp_path, format, text, said):
    texts = '{"id":"p","task":"t","prompt":"x","completions":[{"id":"a","content":"A"},{"id":"b","content":"B"}]}\n'
    (tmp_path / "t.jsonl").write_text(texts)
    ingest_files(store, "prompts", [tmp_path / "t.jsonl"], "t")
    names = ("d.src", "d.ref0") if format == "parallel" else ("d.csv",)
    for name in names:
        (tmp_path / name).write_text(text)
    with pytest.raises(SourceError, match=said):
        ingest_files(store, format, [tmp_path / name for name in names], "s")


def test_parquet_of_which_no_row_can_be_taken_is_not_called_binary(store, tmp_path):
    pl.DataFrame({"learner": ["l"], "item": ["i"], "correct": ["?"]}).write_parquet(tmp_path / "l.parquet")
    with pytest.raises(SourceError, match="none of its 1 rows") as error:
        reviews(store, tmp_path / "l.parquet")
    assert "no text" not in str(error.value)


def run(folder, *arguments):
    ran = CliRunner().invoke(cli, ["--store", str(folder / "s.duckdb"), "ingest", "reviews", *arguments])
    return str(ran.exception) if ran.exception else ran.output


def test_remedies_with_map_can_be_pasted(tmp_path):
    (tmp_path / "l.csv").write_text("Learner ID,Item's name,Correct?\nl,i,1\n")
    given = [str(tmp_path / "l.csv"), "--source", "s", "--map", "learner=Learner id"]
    given += ["--map", "item=Item name", "--map", "correct=Correct"]
    for column in ("learner", "item", "correct"):
        said = run(tmp_path, *given)
        remedy = shlex.split(re.search(r"use (--map .*)", said)[1])
        place = next(n for n, word in enumerate(given) if word.startswith(f"{column}="))
        given[place - 1 : place + 1] = remedy
    assert "1 row taken" in run(tmp_path, *given)


def test_the_remedy_for_another_encoding_works_as_printed(tmp_path):
    (tmp_path / "l.csv").write_bytes(f"{HEAD}\nZo\xeb,i,1\nl,i,0\n".encode("latin-1"))
    given = [str(tmp_path / "l.csv"), "--source", "s"]
    said = run(tmp_path, *given)
    remedy = re.search(r"give (--replace --encoding latin-1)", said)[1]
    assert "2 rows taken, 0 rejected" in run(tmp_path, *given, *shlex.split(remedy))


def test_words_of_which_none_is_ours_get_a_remedy_that_works(tmp_path):
    rows = ["l,i,Richtig", "l,j,falsch", "l,k,Richtig"]
    (tmp_path / "l.csv").write_text("\n".join([HEAD, *rows]) + "\n")
    given = [str(tmp_path / "l.csv"), "--source", "s"]
    said = run(tmp_path, *given)
    assert "none of its 3 rows" in said
    remedies = {word: remedy for remedy, word in re.findall(r"(--map \w+:\w+=(\w+))", said)}
    assert remedies.keys() == {"Richtig", "falsch"}
    assert "(or true, false, whichever it means)" in said
    given += [*shlex.split(remedies["Richtig"]), "--map", "correct:false=falsch"]
    assert "3 rows taken, 0 rejected" in run(tmp_path, *given)


def test_numbers_beyond_the_levels_are_no_words(tmp_path, store):
    (tmp_path / "r.csv").write_text("completion,criterion,value\na,c,60\na,c,71.5\n")
    texts = '{"id":"p","task":"t","prompt":"x","completions":[{"id":"a","content":"A"}]}\n'
    (tmp_path / "t.jsonl").write_text(texts)
    ingest_files(store, "prompts", [tmp_path / "t.jsonl"], "t")
    with pytest.raises(SourceError, match="none of its 2 rows") as error:
        ingest_files(store, "ratings", [tmp_path / "r.csv"], "s", levels=5)
    assert "--map" not in str(error.value)


def test_options_that_a_known_file_is_not_read_with_are_named(tmp_path):
    (tmp_path / "l.csv").write_text(f"{HEAD},grade\nl,i,1,3\n")
    given = [str(tmp_path / "l.csv"), "--source", "s"]
    run(tmp_path, *given)
    assert "nothing added (--replace reads them again)" in run(tmp_path, *given)
    said = run(tmp_path, *given, "--map", "correct=grade", "--encoding", "utf-8", "--license", "NOASSERTION")
    assert "nothing added (--replace reads them again), and --encoding, --map not looked at" in said


@pytest.mark.parametrize("format", ["prompts", "completions"])
def test_a_folder_s_tables_are_all_read(store, tmp_path, format):
    texts = '{"id":"p","task":"t","prompt":"x","completions":[]}\n'
    (tmp_path / "t.jsonl").write_text(texts)
    ingest_files(store, "prompts", [tmp_path / "t.jsonl"], "t")
    folder = tmp_path / "more"
    folder.mkdir()
    if format == "prompts":
        (folder / "a.jsonl").write_text(texts)
        (folder / "b.csv").write_text("id,task,prompt\nq,t,y\n")
    else:
        (folder / "a.jsonl").write_text(
            '{"prompt":"p","id":"a","content":"A","author":"ada","origin":"human"}\n'
        )
        (folder / "b.csv").write_text("prompt,id,content,author,origin\np,b,B,ada,human\n")
    assert ingest_files(store, format, [folder], "s").rows == 2


@pytest.mark.parametrize("name", ["c.jsonl", "c.json"])
def test_a_pretty_chat_is_named(store, tmp_path, name):
    chat = {"messages": [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}]}
    (tmp_path / name).write_text("\n".join(json.dumps(chat, indent=1) for _ in range(2)))
    with pytest.raises(
        SourceError, match="is JSON over several lines, not JSON Lines; write one object a line"
    ):
        ingest_files(store, "chat", [tmp_path / name], "s")


@pytest.mark.parametrize("scale", ["0..inf", "nan..1", "-inf..0", "0..1e999"])
def test_a_scale_has_ends(tmp_path, scale):
    (tmp_path / "r.csv").write_text("completion,criterion,value\np,c,5\n")
    ran = CliRunner().invoke(
        cli, ["ingest", "ratings", str(tmp_path / "r.csv"), "--source", "s", "--scale", scale]
    )
    assert (ran.exit_code, "expected LOWEST..HIGHEST" in ran.output) == (2, True)
