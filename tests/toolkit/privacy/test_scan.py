"""Personal data in free text: what is found, what is not, and what masking leaves."""

import json
import re
import shutil
from pathlib import Path

import polars as pl
import pytest

from preceptor.schemas.licenses import read_license
from preceptor.schemas.tables import TABLES
from preceptor.toolkit.ingest.batch import Context
from preceptor.toolkit.ingest.formats import FORMATS
from preceptor.toolkit.ingest.run import Origin, find_inputs, ingest
from preceptor.toolkit.privacy.recognisers import Wanted
from preceptor.toolkit.privacy.scan import mask_found, scan
from preceptor.toolkit.store.connection import open_store, query, run

# Text columns of the store that nobody writes freely: ids, names that corpora give, pseudonyms, settings.
NO_FREE_TEXT = """
key source path name kind language license url revision sha256 reader notes document learner level first_language
incomplete sentence annotator error_type errant_type aligned_by dialogue role act item ref task prompt origin author pseudonym
criterion wording completion completion_a completion_b choice shown_first measure config inputs method diagnostics
findings versions fit out recipe digests counts gates person site member ends covariance rubric purpose
expected chosen_by question given came_by model request template sampling scores row within known ranking basis
recipe answers distractors words hint term arms sources skills skill policy chances consent languages arm outcome review
components parameters
"""


def test_every_column_of_text_is_free_text_or_known_not_to_be():
    """A new column must be declared as the one or listed here as the other."""
    for table in TABLES.values():
        for column in table.columns:
            if column.type in ("text", "texts", "json", "messages") and not column.derived:
                assert column.free_text != (column.name in NO_FREE_TEXT.split()), (
                    f"{table.name}.{column.name}"
                )
            else:
                assert not column.free_text
        assert not table.free_texts or "source" in table.names


MAIL, PHONE, NUMBER, NAME = "quilla.feather@school.org", "+44 20 7946 0958", "S772211", "Zofia"
ABOUT = {"who": [NAME, {"id": NUMBER, "digits": 123456789012}], 'tab\t"q"': f"\t{MAIL}\n", "age": 1.50}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Inputs with personal data in every free text, and signals about them."""
    tmp_path = tmp_path_factory.mktemp("inputs")
    asked = [
        {
            "id": "p1",
            "task": "qa",
            "group": f"mail {MAIL}",
            "prompt": f"Is {MAIL} mine?",
            "completions": [{"id": "a", "content": f"Yes, {NAME}"}, {"id": "b", "content": "No"}],
        },
        {
            "id": "p2",
            "task": "qa",
            "prompt": "What is 2 + 2?",
            "completions": [{"id": "c", "content": "4"}, {"id": "d", "content": "Ask at " + PHONE}],
        },
    ]
    m2 = [
        f"S My mail are {MAIL} now .",
        f"A 2 3|||R:VERB:SVA|||is|||REQUIRED|||ask {NAME}|||0",
        f"A 3 4|||R:OTHER|||{PHONE}|||REQUIRED|||-NONE-|||0",
        "",
        "S The cat sit here .",
        "A 2 3|||R:VERB:SVA|||sits|||REQUIRED|||-NONE-|||0",
        f"A 9 9|||R:OTHER|||{MAIL}|||REQUIRED|||-NONE-|||1",
        "",
    ]
    (tmp_path / "prompts.jsonl").write_text("\n".join(map(json.dumps, asked)))
    (tmp_path / "e.m2").write_text("\n".join(m2))
    (tmp_path / "votes.csv").write_text("completion_a,completion_b,choice,annotator\na,b,a,j1\nc,d,b,j1\n")
    (tmp_path / "roster.txt").write_text(NAME + "\n")
    recipe = {"name": "gec", "task": "gec", "corrections": {"rejected": ["learner"]}, "format": "plain"}
    (tmp_path / "gec.yaml").write_text(json.dumps(recipe))
    return tmp_path


COMMANDS = [
    ["ingest", "prompts", "prompts.jsonl", "--source", "mine"],
    ["ingest", "m2", "e.m2", "--source", "essays"],
    ["ingest", "votes", "votes.csv", "--source", "votes"],
]
FLAGS = ["--roster", "roster.txt", "--student-number", r"\bS\d{6}\b"]


@pytest.fixture(scope="module")
def ingested(folder, preceptor):
    for command in COMMANDS:
        done = preceptor(*command, cwd=folder)
        assert done.returncode == 0, done.stderr
    with open_store(folder / "preceptor.duckdb") as con:
        run(con, "UPDATE prompts SET context = $1 WHERE ref = 'p1'", [json.dumps(ABOUT)])
    return folder


@pytest.fixture
def filled(ingested, tmp_path):
    """A store of these inputs."""
    return Path(shutil.copytree(ingested, tmp_path / "filled"))


def rows_of(folder, sql):
    with open_store(folder / "preceptor.duckdb", read_only=True) as con:
        return query(con, sql).rows()


def file_bytes(folder):
    return b"".join(path.read_bytes() for path in folder.glob("preceptor.duckdb*"))


def everything(folder):
    with open_store(folder / "preceptor.duckdb", read_only=True) as con:
        names = query(con, "SELECT table_name FROM duckdb_tables()")["table_name"]
        return "\n".join(query(con, f'FROM "{t}"').write_ndjson() for t in names)


@pytest.mark.slow
def test_scan_reports_masks_and_comes_back_clean(filled, preceptor):
    first = preceptor("scan", *FLAGS, cwd=filled)
    assert first.returncode == 1, first.stderr
    assert re.search(r"email\s+mine\s+\d", first.stdout)
    assert "q…[25]" in first.stdout
    assert not any(secret in first.stdout for secret in (MAIL, PHONE, NUMBER, NAME))
    assert preceptor("scan", "--source", "votes", *FLAGS, cwd=filled).returncode == 0
    before = {
        table: rows_of(filled, f'SELECT count(*), min(key), max(key) FROM "{table}"') for table in TABLES
    }
    tokens = rows_of(filled, "SELECT key, len(tokens) FROM sentences ORDER BY 1")
    for secret in (MAIL, PHONE, NUMBER, NAME):  # else the test could not fail
        assert secret.encode() in file_bytes(filled)

    done = preceptor("scan", "--mask", "--show", "0", *FLAGS, cwd=filled)
    assert done.returncode == 0, done.stderr
    assert "the store was written anew" in done.stdout
    for secret in (MAIL, PHONE, NUMBER, NAME, "quilla", "7946"):
        assert secret not in everything(filled)
        assert secret.encode() not in file_bytes(filled)
    again = preceptor("scan", *FLAGS, cwd=filled)
    assert (again.returncode, again.stdout) == (0, "nothing found\n")
    # Keys, rows and tokens are as they were, and votes name their completions.
    after = {
        table: rows_of(filled, f'SELECT count(*), min(key), max(key) FROM "{table}"') for table in TABLES
    }
    assert after == before
    assert rows_of(filled, "SELECT key, len(tokens) FROM sentences ORDER BY 1") == tokens
    assert rows_of(filled, "SELECT count(*) FROM votes v JOIN completions c ON c.key = v.completion_a") == [
        (2,)
    ]
    # The same input is known again, and only --replace brings the texts back.
    assert "nothing added" in preceptor(*COMMANDS[0], cwd=filled).stdout
    assert preceptor(*COMMANDS[0], "--replace", cwd=filled).returncode == 0
    assert preceptor("scan", cwd=filled).returncode == 1


def test_masks_stand_where_the_findings_stood(filled, preceptor):
    was = dict(rows_of(filled, "SELECT ref, context::VARCHAR FROM prompts"))
    assert preceptor("scan", "--mask", *FLAGS, cwd=filled).returncode == 0
    one, other = rows_of(filled, 'SELECT "group", messages, context::VARCHAR FROM prompts ORDER BY ref')
    assert one[0] == "mail <EMAIL>"
    assert one[1] == [{"role": "user", "content": "Is <EMAIL> mine?"}]
    assert other[1] == [{"role": "user", "content": "What is 2 + 2?"}]
    expected = was["p1"].replace(MAIL, "<EMAIL>").replace(NAME, "<NAME>").replace(NUMBER, "<STUDENT-NUMBER>")
    assert one[2] == expected
    assert set(rows_of(filled, "SELECT content FROM completions")) == {
        ("Yes, <NAME>",),
        ("No",),
        ("4",),
        ("Ask at <PHONE> <PHONE> <PHONE> <PHONE>",),
    }
    assert rows_of(filled, "SELECT text FROM sentences ORDER BY position") == [
        ("My mail are <EMAIL> now .",),
        ("The cat sit here .",),
    ]
    assert rows_of(filled, "SELECT correction, comment FROM edits ORDER BY line") == [
        ("is", "ask <NAME>"),
        ("<PHONE> <PHONE> <PHONE> <PHONE>", None),
        ("sits", None),
    ]
    assert rows_of(filled, "SELECT raw FROM rejects") == [
        ("A 9 9|||R:OTHER|||<EMAIL>|||REQUIRED|||-NONE-|||1",)
    ]


def test_json_has_every_finding_and_no_text(filled, preceptor):
    done = preceptor("scan", "--json", "--kind", "phone", cwd=filled)
    assert done.returncode == 1
    found = json.loads(done.stdout)
    assert [(f["table"], f["column"], f["kind"], f["start"], f["end"]) for f in found] == [
        ("edits", "correction", "phone", 0, 16),
        ("completions", "content", "phone", 7, 23),
    ]
    assert set(found[0]) == {"source", "table", "key", "column", "place", "kind", "start", "end", "score"}
    ((key,),) = rows_of(filled, "SELECT key FROM completions WHERE contains(content, '7946')")
    assert found[1]["key"] == key
    places = json.loads(preceptor("scan", "--json", *FLAGS, cwd=filled).stdout)
    assert {"$.who[0]", "$.who[1].id", "[0]"} <= {f["place"] for f in places}
    assert json.loads(preceptor("scan", "--json", "--kind", "card", cwd=filled).stdout) == []


def test_one_source_can_be_masked_alone(filled):
    with open_store(filled / "preceptor.duckdb") as con:
        wanted = Wanted(kinds=["email"])
        both = scan(con, wanted)
        assert set(both["source"]) == {"mine", "essays"}
        done = mask_found(con, scan(con, wanted, ["essays"]), wanted, ["essays"])
        assert done.changed == {"rejects": 1, "sentences": 1}
        assert set(scan(con, wanted)["source"]) == {"mine"}


def test_a_group_of_two_sources_stays_one(filled, preceptor):
    done = preceptor("ingest", "prompts", "prompts.jsonl", "--source", "more", cwd=filled)
    assert done.returncode == 0, done.stderr
    assert preceptor("scan", "--mask", "--source", "more", cwd=filled).returncode == 0
    assert rows_of(filled, """SELECT count(*) FROM prompts WHERE "group" = 'mail <EMAIL>'""") == [(2,)]
    assert rows_of(filled, f"SELECT source FROM prompts WHERE contains(messages[1].content, '{MAIL}')") == [
        ("mine",)
    ]


def test_all_or_nothing(filled, monkeypatch):
    from preceptor.toolkit.privacy import scan as module

    before = everything(filled)
    monkeypatch.setattr(module, "_unmake", lambda *_: 1 / 0)
    with open_store(filled / "preceptor.duckdb") as con, pytest.raises(ZeroDivisionError):
        mask_found(con, scan(con, Wanted()), Wanted())
    assert everything(filled) == before


def test_what_a_build_made_of_masked_sentences_is_made_anew(filled, preceptor):
    build = ["build", "gec.yaml", "--out"]
    assert preceptor(*build, "dist", cwd=filled).returncode == 0
    made = "SELECT count(*) FROM prompts WHERE task = 'gec'"
    assert rows_of(filled, made) == [(2,)]
    done = preceptor("scan", "--mask", cwd=filled)
    assert "removed: 1 prompts that builds made" in done.stdout
    assert "may hold the texts as they were: dist" in done.stdout
    assert rows_of(filled, made) == [(1,)]
    assert preceptor(*build, "dist2", cwd=filled).returncode == 0
    assert rows_of(filled, made) == [(2,)]
    refs = rows_of(filled, "SELECT count(*), count(DISTINCT ref) FROM completions WHERE source = 'essays'")
    assert refs[0][0] == refs[0][1]
    chosen = pl.read_parquet(filled / "dist2" / "preference" / "*.parquet")
    assert "<EMAIL>" in str(chosen.to_dicts())
    assert MAIL not in str(chosen.to_dicts())


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--source", "nope"], "no source of that name in the store; there are essays, mine, votes"),
        (["--region", "xx"], "no region"),
        (["--student-number", "(["], "mend the pattern"),
        (["--roster", "none.txt"], "one name per line"),
        (["--kind", "mail"], "'mail' is not one of"),
    ],
)
def test_mistakes_say_what_to_do(filled, preceptor, arguments, said):
    before = file_bytes(filled)
    done = preceptor("scan", "--mask", *arguments, cwd=filled)
    assert done.returncode == 2
    assert said in " ".join(done.stderr.split())
    assert file_bytes(filled) == before


def test_escaped_and_odd_json_is_seen_and_kept(store):
    raw = r'{"a" : "\u0430na\u0040school.org", "a@school.org":1.50, "n":4111111111111111, "l":["x\"y", null, true]}'
    run(
        store,
        "INSERT INTO sources SELECT 'k','s','log','en','x',true,true,false,null,null,'x','m2',null,1,0,now()",
    )
    run(store, "INSERT INTO turns SELECT 'k', 's', 'd', 0, 'user', '', NULL, $1, 'p', 1", [raw])
    wanted = Wanted()
    found = scan(store, wanted)
    assert sorted(found["kind"]) == ["card", "email"]
    mask_found(store, found, wanted)
    expected = raw.replace(r'"\u0430na\u0040school.org"', '"<EMAIL>"').replace("4111111111111111", '"<CARD>"')
    assert query(store, "SELECT state::VARCHAR AS s FROM turns")["s"].to_list() == [expected]


@pytest.mark.parametrize(
    ("format", "path", "most"),
    [
        ("gsm8k", "gsm8k", {"url": 10}),
        ("mathdial", "mathdial/test.jsonl", {}),
        ("bridge", "bridge", {"url": 30}),
        ("mrbench", "mrbench/MRBench_V2.json", {}),
        ("spock", "spock-phys", {}),
        ("cima", "cima", {}),
        ("socratic-debugging", "socratic-debugging", {"url": 30}),
        ("parallel", "jfleg/dev", {}),
        ("m2", "cweb/m2", {"email": 16, "phone": 12, "url": 60}),
        ("ua-gec", "ua-gec/gec-only", {"url": 10}),
    ],
)
def test_real_sources_give_few_findings_of_the_expected_kinds(store, shared_data, format, path, most):
    """Loose bounds: sums, code and prose are not taken for phones, cards or addresses."""
    files = find_inputs(FORMATS[format], [shared_data / path])
    ingest(store, FORMATS[format], files, Context("s"), Origin(read_license(None)))
    found = dict(scan(store, Wanted()).group_by("kind").len().rows())
    assert set(found) == set(most)
    assert all(found[kind] <= most[kind] for kind in found)
