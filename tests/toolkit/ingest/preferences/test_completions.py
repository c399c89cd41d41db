"""Answers of a model run elsewhere, to the prompts of another source."""

import json

import pytest
from examples import few
from hypothesis import given
from hypothesis import strategies as st

from preceptor.schemas.errors import SourceError
from preceptor.schemas.licenses import read_license
from preceptor.schemas.tables import COMPLETIONS, REJECTS, VOTES
from preceptor.toolkit.ingest.batch import Context
from preceptor.toolkit.ingest.files import numbered_lines as lines_module
from preceptor.toolkit.ingest.formats import FORMATS
from preceptor.toolkit.ingest.run import Origin, find_inputs, ingest
from preceptor.toolkit.store.connection import count, open_store, query, remove_source

ANSWER = {
    "prompt": "p1",
    "id": "m1",
    "content": "It is so.",
    "author": "model-7b@3f2c",
    "origin": "model",
    "context": {"seed": 7},
}


def load(store, path, source, format="completions", about="", **options):
    files = find_inputs(FORMATS[format], [path])
    context = Context(source, about=about)
    return ingest(store, FORMATS[format], files, context, Origin(read_license(None)), **options)


def lines(path, *rows):
    path.write_text("\n".join(row if isinstance(row, str) else json.dumps(row) for row in rows))
    return path


def asked(folder, *ids):
    rows = [
        {"id": id, "task": "qa", "prompt": f"{id}?", "completions": [{"id": f"{id}-a", "content": "x"}]}
        for id in ids
    ]
    return lines(folder / "asked.jsonl", *rows)


@pytest.fixture
def known(store, tmp_path):
    load(store, asked(tmp_path, "p1", "p2"), "asked", "prompts")
    return store


def test_answers_are_a_source_of_their_own(known, tmp_path):
    plain = {"prompt": "p2", "content": "Perhaps.", "author": "model-7b"}
    person = {"prompt": "p2", "content": "Yes.", "origin": "human", "mood": "good", "id": None}
    report = load(known, lines(tmp_path / "out.jsonl", ANSWER, "", plain, person), "run")
    assert (report.rows, report.rejects, report.notes) == (3, 0, [])
    found = query(
        known,
        """SELECT c.ref, p.ref AS prompt, c.content, c.origin, c.author, c.context, c.line
        FROM completions c JOIN prompts p ON p.key = c.prompt WHERE c.source = 'run' ORDER BY c.line""",
    ).rows()
    assert found == [
        ("m1", "p1", "It is so.", "model", "model-7b@3f2c", '{"seed":7}', 1),
        ("out.jsonl:3", "p2", "Perhaps.", "model", "model-7b", None, 3),
        ("out.jsonl:4", "p2", "Yes.", "human", None, None, 4),
    ]
    assert load(known, tmp_path / "out.jsonl", "run").already_there


def test_votes_can_name_them(known, tmp_path):
    load(known, lines(tmp_path / "out.jsonl", ANSWER, ANSWER | {"id": "m2", "content": "No."}), "run")
    (tmp_path / "votes.csv").write_text("completion_a,completion_b,choice\nm1,m2,a\n")
    with pytest.raises(SourceError, match=r"say which completions these are about; .*: asked, run"):
        load(known, tmp_path / "votes.csv", "votes", "votes")
    load(known, tmp_path / "votes.csv", "votes", "votes", about="run")
    assert count(known, VOTES) == 1


BAD = [
    (ANSWER | {"prompt": "p9"}, "prompt 'p9' names no one prompt of source 'asked'"),
    (ANSWER | {"prompt": ""}, "'prompt' is missing: the id of the prompt that is answered"),
    (ANSWER | {"content": " \n"}, "'content' is missing or empty"),
    ({"prompt": "p1", "author": "m"}, "'content' is missing or empty"),
    (ANSWER | {"origin": "robot"}, "origin is none of human, learner, reference, model"),
    (ANSWER | {"author": None}, "'author' is missing: a model's answer needs the model's name and revision"),
    (
        {"prompt": "p1", "content": "x"},
        "'author' is missing: a model's answer needs the model's name and revision",
    ),
    (ANSWER | {"content": ["x"]}, "'content' is not text"),
    ([ANSWER], "expected a JSON object"),
    ("{", "not valid JSON"),
]


@pytest.mark.parametrize("block", [64, 1 << 20])
def test_what_completions_rejects(known, tmp_path, monkeypatch, block):
    monkeypatch.setattr(lines_module, "BLOCK_BYTES", block)
    rows = [row if isinstance(row, str | list) else row | {"id": f"b{n}"} for n, (row, _) in enumerate(BAD)]
    path = lines(tmp_path / "out.jsonl", ANSWER, *rows, ANSWER | {"content": "again"})
    path.write_bytes(path.read_bytes() + b'\n{"prompt": "\xff"}\n')
    report = load(known, path, "run")
    assert (report.rows, report.rejects) == (1, len(BAD) + 2)
    reasons = query(known, "SELECT reason FROM rejects ORDER BY line")["reason"].to_list()
    assert reasons == [*(reason for _, reason in BAD), "id 'm1' is already used on line 1", "not valid UTF-8"]


def test_the_same_text_again_is_kept_and_noted(known, tmp_path, monkeypatch):
    monkeypatch.setattr(lines_module, "BLOCK_BYTES", 64)
    plain = {key: value for key, value in ANSWER.items() if key != "id"}
    rows = [ANSWER, plain, plain | {"author": "other"}, plain | {"prompt": "p2"}, ANSWER | {"id": "m2"}]
    report = load(known, lines(tmp_path / "out.jsonl", *rows), "run")
    assert (report.rows, report.rejects, report.added["completions"]) == (5, 0, 5)
    assert report.notes == ["out.jsonl: 2 answers repeat a text of the same author to the same prompt"]
    again = load(known, lines(tmp_path / "more.jsonl", ANSWER), "more")
    assert (again.rows, again.added["completions"], again.notes) == (1, 1, [])  # a source of its own


def test_a_prompt_without_an_id_goes_by_its_key(store, tmp_path):
    lines(tmp_path / "math.jsonl", {"question": "1+1?", "answer": "So\n#### 2"})
    load(store, tmp_path / "math.jsonl", "math", "gsm8k")
    key = query(store, "SELECT key FROM prompts").item()
    load(store, lines(tmp_path / "out.jsonl", ANSWER | {"prompt": key}), "run")
    assert query(store, "SELECT prompt FROM completions WHERE source = 'run'").item() == key


def test_an_id_of_two_prompts_names_neither(store, tmp_path):
    for name, text in (("a", "one?"), ("b", "two?")):
        lines(
            tmp_path / f"{name}.jsonl",
            {"id": "p1", "task": "qa", "prompt": text, "completions": [{"id": name, "content": "x"}]},
        )
    files = find_inputs(FORMATS["prompts"], [tmp_path / "a.jsonl", tmp_path / "b.jsonl"])
    ingest(store, FORMATS["prompts"], files, Context("asked"), Origin(read_license(None)))
    asked(tmp_path, "p2")
    load(store, tmp_path / "asked.jsonl", "more", "prompts")
    with pytest.raises(SourceError, match="names no one prompt of source 'asked'"):
        load(store, lines(tmp_path / "out.jsonl", ANSWER), "run", about="asked")


def test_about_must_name_a_source_with_prompts(store, tmp_path):
    path = lines(tmp_path / "out.jsonl", ANSWER)
    with pytest.raises(
        SourceError, match="say which prompts these are about; sources with prompts: none yet"
    ):
        load(store, path, "run")
    for id in ("p1", "p2"):
        load(store, asked(tmp_path, id), f"asked-{id}", "prompts")
    with pytest.raises(SourceError, match="sources with prompts: asked-p1, asked-p2"):
        load(store, path, "run")
    with pytest.raises(SourceError, match="'elsewhere' holds no prompts"):
        load(store, path, "run", about="elsewhere")
    assert load(store, path, "run", about="asked-p1").rows == 1


def test_on_the_command_line(preceptor, tmp_path):
    store = ("--store", tmp_path / "s.duckdb", "ingest")
    made = preceptor(*store, "prompts", asked(tmp_path, "p1"), "--source", "asked")
    assert made.returncode == 0, made.stderr
    path = lines(tmp_path / "out.jsonl", ANSWER, ANSWER | {"prompt": "p9", "id": "m2"})
    done = preceptor(*store, "completions", path, "--source", "run", "--about", "asked")
    assert done.returncode == 0, done.stderr
    assert "1 row taken, 1 rejected (1 completion)" in done.stdout
    assert "p9            1  out.jsonl:2  prompt '…' names no one prompt of source 'asked'" in done.stderr
    shown = preceptor("ingest", "completions", "--help").stdout
    assert "Source whose prompts these are about." in shown
    assert "--map" in shown


@pytest.fixture(scope="module")
def opened(tmp_path_factory):
    folder = tmp_path_factory.mktemp("store")
    with open_store(folder / "s.duckdb", create=True) as con:
        load(con, asked(folder, "p1", "p2"), "asked", "prompts")
        yield con


def test_damaged_answers_balance(opened, tmp_path):
    path = tmp_path / "out.jsonl"
    rows = [ANSWER | {"prompt": f"p{n % 3}", "id": f"é{n}"} for n in range(6)]
    whole = lines(path, *rows, ANSWER | {"id": None}).read_bytes()

    @few()
    @given(st.data(), st.sampled_from([16, 300, 1 << 20]))
    def run(data, block):
        content = whole
        for _ in range(data.draw(st.integers(0, 4))):
            start = data.draw(st.integers(0, len(content)))
            end = min(len(content), start + data.draw(st.integers(0, 30)))
            pieces = [
                b"",
                b'"',
                b"\xff",
                b",",
                b"{",
                b"\n",
                b"\\u0000",
                b"null",
                b"p2",
                content[start : start + 200],
            ]
            content = content[:start] + data.draw(st.sampled_from(pieces)) + content[end:]
        path.write_bytes(content)
        if "run" in query(opened, "SELECT name FROM sources")["name"]:
            remove_source(opened, "run")
        old, lines_module.BLOCK_BYTES = lines_module.BLOCK_BYTES, block
        try:
            report = load(opened, path, "run", about="asked")
        except SourceError:
            return
        finally:
            lines_module.BLOCK_BYTES = old
        assert report.rejects == count(opened, REJECTS)
        stored = query(opened, "SELECT count(*) FROM completions WHERE source = 'run'").item()
        assert stored == report.rows == count(opened, COMPLETIONS) - 2
        assert query(opened, "SELECT count(*) = count(DISTINCT ref) FROM completions").item()

    run()


@pytest.mark.parametrize(
    ("format", "header", "good"),
    [("completions", "prompt,content,author", "p1,So.,m-7b"), ("lexicon", "term,gloss", "a,b")],
)
def test_a_row_of_a_table_that_cannot_be_read_is_one_that_was_read(known, tmp_path, format, header, good):
    """rows + rejects = rows read, also where a line has more cells than the header."""
    (tmp_path / "t.csv").write_text(f"{header}\n{good}\n{good},one,more\n")
    report = load(known, tmp_path / "t.csv", "run", format)
    assert (report.rows, report.rejects) == (1, 1)
