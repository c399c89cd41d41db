"""Ingest: all or nothing, once only, nothing lost; what each reader rejects and why."""

import hashlib
import json
import re

import polars as pl
import pytest

from preceptor.schemas.errors import SourceError
from preceptor.schemas.licenses import read_license
from preceptor.schemas.tables import TABLES
from preceptor.toolkit.ingest.batch import Context
from preceptor.toolkit.ingest.formats import FORMATS, Format
from preceptor.toolkit.ingest.run import Origin, find_inputs, ingest
from preceptor.toolkit.privacy.pseudonyms import make_pseudonym, read_key
from preceptor.toolkit.store.connection import count, open_store, query

ORIGIN = Origin(read_license("CC-BY-4.0"))


def load(con, format, path, source="s", **options):
    context = Context(source, **{k: options.pop(k) for k in ("about", "columns", "levels") if k in options})
    return ingest(con, FORMATS[format], find_inputs(FORMATS[format], [path]), context, ORIGIN, **options)


def prompt(id="p", **keys):
    return {
        "id": id,
        "task": "qa",
        "prompt": "Why?",
        "completions": [{"id": f"{id}-a", "content": "x"}, {"id": f"{id}-b", "content": "y"}],
    } | keys


def write_lines(path, lines):
    path.write_text("\n".join(line if isinstance(line, str) else json.dumps(line) for line in lines))
    return path


@pytest.fixture
def filled(store, tmp_path):
    """A store with two prompts of two completions."""
    load(store, "prompts", write_lines(tmp_path / "p.jsonl", [prompt("p"), prompt("q")]), "mine")
    return store


def everything(con):
    return {name: count(con, table) for name, table in TABLES.items()}


def test_the_same_bytes_add_nothing_and_other_bytes_need_a_word(store, tmp_path):
    path = write_lines(tmp_path / "p.jsonl", [prompt("p")])
    first = load(store, "prompts", path)
    assert first.added == {"prompts": 1, "completions": 2}
    before = everything(store)
    assert load(store, "prompts", path).already_there
    assert everything(store) == before
    write_lines(path, [prompt("p"), prompt("q")])
    with pytest.raises(SourceError, match="--replace"):
        load(store, "prompts", path)
    assert everything(store) == before
    assert load(store, "prompts", path, replacing=True).rows == 2
    assert query(store, "SELECT rows FROM sources").rows() == [(2,)]


def test_the_same_bytes_under_another_licence_need_a_word(store, tmp_path):
    path = write_lines(tmp_path / "p.jsonl", [prompt("p")])
    load(store, "prompts", path)
    files = find_inputs(FORMATS["prompts"], [path])
    other = Origin(read_license("MIT"))
    with pytest.raises(SourceError, match=r"with license CC-BY-4.0; say --replace"):
        ingest(store, FORMATS["prompts"], files, Context("s"), other)
    assert ingest(store, FORMATS["prompts"], files, Context("s"), Origin(read_license(None))).already_there
    ingest(store, FORMATS["prompts"], files, Context("s"), other, replacing=True)
    assert query(store, "SELECT license FROM sources").item() == "MIT"


def test_one_id_for_two_texts_of_a_source_is_refused(store, tmp_path):
    write_lines(tmp_path / "one.jsonl", [prompt("p")])
    write_lines(tmp_path / "two.jsonl", [prompt("p", prompt="Why not?")])
    with pytest.raises(SourceError, match=r"one.jsonl:1 and two.jsonl:1 both have a completion 'p-a'"):
        load(store, "prompts", tmp_path)
    assert count(store, TABLES["prompts"]) == 0


ARRAYS = {
    "term": ["candid", "arid"],
    "mnemonic_a": ["a1", "a2"],
    "mnemonic_b": ["b1", "b2"],
    "direct_comparisons": [[1, 0, 1]],
    "compare_idx": [1],
    "ratings_A_counts": [],
    "ratings_A_idx": [],
    "ratings_B_counts": [],
    "ratings_B_idx": [],
    "turn_counts_A": [0, 2],
    "learn_A_idx": [0, 0],
    "turn_counts_B": [],
    "learn_B_idx": [],
}


def test_smart_arrays(store, tmp_path):
    load(store, "smart", write_lines(tmp_path / "bayesian_data.json", [ARRAYS]))
    votes = query(
        store,
        "SELECT context, choice FROM votes v JOIN prompts p ON p.key = "
        "(SELECT prompt FROM completions WHERE key = v.completion_a)",
    )
    assert votes["choice"].to_list() == ["a", "tie"]
    assert query(store, "SELECT value FROM outcomes ORDER BY 1")["value"].to_list() == [0, 2]


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"term": None}, "'term' is missing"),
        ({"mnemonic_b": ["b1"]}, "'term' and 'mnemonic_b' differ in length"),
        ({"compare_idx": [2]}, "'compare_idx' points outside the 2 pairs"),
        ({"turn_counts_A": [0, 1.5]}, "is not a whole number"),
        (
            {"compare_idx": [1, 1], "direct_comparisons": [[1, 0, 0], [1, 0, 0]]},
            "'compare_idx' names a pair twice",
        ),
    ],
)
def test_smart_arrays_that_do_not_fit_are_refused(store, tmp_path, change, reason):
    path = write_lines(tmp_path / "bayesian_data.json", [ARRAYS | change])
    with pytest.raises(SourceError, match=reason):
        load(store, "smart", path)


def test_smart_rejects_a_pair_id_used_again_and_numbers_no_count_can_be(store, tmp_path):
    pair = {
        "pair_id": "1",
        "term": "t",
        "mnemonic_a": "x",
        "mnemonic_b": "y",
        "direct_comparisons": [1, 0, 0],
    }
    lines = [
        pair,
        pair,
        pair | {"pair_id": "2", "turns_A": [1.5]},
        pair | {"pair_id": "3", "turns_A": [10**9]},
    ]
    report = load(store, "smart", write_lines(tmp_path / "pairs.jsonl", lines))
    assert (report.rows, report.rejects) == (1, 3)
    assert query(store, "SELECT reason FROM rejects ORDER BY line")["reason"].to_list() == [
        "pair_id is already used on line 1",
        "'turns_A[*]' is not a whole number",
        "turns_A: expected whole numbers from 0 to 100000",
    ]


def test_a_source_carries_the_digest_of_its_file(store, tmp_path):
    path = write_lines(tmp_path / "p.jsonl", [prompt("p")])
    load(store, "prompts", path)
    (row,) = query(store, "SELECT sha256, license, redistribution, share_alike FROM sources").rows()
    assert row == (hashlib.sha256(path.read_bytes()).hexdigest(), "CC-BY-4.0", True, False)


def test_a_folder_and_files_of_one_name_keep_their_paths_apart(store, tmp_path):
    for folder in ("one", "two"):
        (tmp_path / folder).mkdir()
        write_lines(tmp_path / folder / "p.jsonl", [prompt(folder)])
    assert load(store, "prompts", tmp_path).rows == 2
    assert query(store, "SELECT DISTINCT path FROM prompts ORDER BY 1")["path"].to_list() == [
        "one/p.jsonl",
        "two/p.jsonl",
    ]
    with pytest.raises(SourceError, match=r"holds no \*.m2"):
        find_inputs(FORMATS["m2"], [tmp_path])


def test_two_stores_give_the_same_keys(tmp_path, sample):
    keys = []
    for name in "ab":
        with open_store(tmp_path / name, create=True) as con:
            load(con, "prompts", sample / "prompts.jsonl", "x")
            load(con, "votes", sample / "votes.csv", "v", about="x")
            keys.append(
                [
                    query(con, f"SELECT key FROM {t} ORDER BY 1")
                    for t in ("completions", "votes", "annotators")
                ]
            )
    assert all(one.equals(other) for one, other in zip(*keys, strict=True))


def test_a_reader_that_breaks_off_leaves_the_store_as_it_was(store, tmp_path, monkeypatch):
    path = write_lines(tmp_path / "p.jsonl", [prompt("p")])
    before = everything(store)
    whole = Format.read

    def broken(self, *arguments):
        yield from whole(self, *arguments)
        raise MemoryError

    monkeypatch.setattr(Format, "read", broken)
    with pytest.raises(MemoryError):
        load(store, "prompts", path)
    assert everything(store) == before


def test_strict_and_hopeless_files_store_nothing(store, tmp_path):
    before = everything(store)
    path = write_lines(tmp_path / "p.jsonl", [prompt("p"), "oops"])
    with pytest.raises(SourceError, match=r"p\.jsonl:2  not valid JSON"):
        load(store, "prompts", path, strict=True)
    with pytest.raises(SourceError, match="none of its 1 rows could be taken"):
        load(store, "prompts", write_lines(tmp_path / "q.jsonl", ["oops"]))
    with pytest.raises(SourceError, match="holds no rows"):
        load(store, "prompts", write_lines(tmp_path / "r.jsonl", [""]))
    assert everything(store) == before


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        (prompt("r", task=None), "'task' is missing, such as mnemonic, gec or tutor"),
        (prompt("r", prompt=None), "'messages' (or 'prompt') is missing or not a list of {role, content}"),
        (
            prompt("r", messages=[{"role": "boss", "content": "x"}]),
            "a message's role is none of system, user, assistant",
        ),
        (prompt("r", messages=[{"role": "user", "content": " "}]), "a message is empty"),
        (
            prompt("r", messages=[{"role": "assistant", "content": "x"}]),
            "the last message must be the user's; what follows it is a completion",
        ),
        (
            prompt("r", completions=None),
            "'completions' is missing or not a list of {id, content}; [] where there are none yet",
        ),
        (prompt("r", completions=[{"content": "x"}]), "a completion has no 'id'"),
        (prompt("r", completions=[{"id": "r1", "content": ""}]), "a completion is empty"),
        (
            prompt("r", completions=[{"id": "r1", "content": "x", "origin": "alien"}]),
            "a completion's origin is none of human, learner, reference, model",
        ),
        (
            prompt("r", completions=[{"id": "r1", "content": "x"}, {"id": "r1", "content": "y"}]),
            "an id is used twice in this line",
        ),
        (prompt("p"), "an id is already used on line 1"),
        ('{"task": "qa"}', "'id' is missing"),
        ("[1]", "expected a JSON object"),
    ],
)
def test_what_prompts_reject(store, tmp_path, line, reason):
    report = load(store, "prompts", write_lines(tmp_path / "p.jsonl", [prompt("p"), line]))
    assert (report.rows, report.rejects) == (1, 1)
    assert query(store, "SELECT line, reason FROM rejects").rows() == [(2, reason)]


VOTES = "completion_a,completion_b,choice,annotator,shown_first,at"
RATINGS = "completion,criterion,value,levels,annotator,at"
OUTCOMES = "completion,learner,measure,value,censored,at"


@pytest.mark.parametrize(
    ("format", "header", "good", "bad", "reason"),
    [
        (
            "votes",
            VOTES,
            "p-a,p-b,a,j,,",
            "p-a,zz,a,,,",
            "completion_b: 'zz' is no completion of source 'mine'",
        ),
        ("votes", VOTES, "p-a,p-b,a,j,,", "p-a,p-a,a,,,", "a vote between a completion and itself"),
        ("votes", VOTES, "p-a,p-b,a,j,,", "p-a,q-a,a,,,", "the two completions answer different prompts"),
        ("votes", VOTES, "p-a,p-b,tie,,b,", "p-a,p-b,c,,,", "choice is 'c', expected a, b or tie"),
        ("votes", VOTES, "p-a,p-b,b,j,a,", "p-a,p-b,,,,", "choice is '', expected a, b or tie"),
        ("votes", VOTES, "p-a,p-b,b,j,a,", "p-a,p-b,a,,x,", "shown_first is 'x', expected a or b"),
        (
            "votes",
            VOTES,
            "p-a,p-b,a,,,2026-01-02T03:04:05Z",
            "p-a,p-b,a,,,soon",
            "at is 'soon', expected an ISO 8601 time such as 2026-05-04T10:00:00Z (for other forms use --date-format)",
        ),
        ("ratings", RATINGS, "p-a,help,5,5,,", "p-a,help,6,5,,", "value is '6', expected 1 to 5"),
        ("ratings", RATINGS, "p-a,help,5,5,,", "p-a,help,2.5,5,,", "value is '2.5', expected 1 to 5"),
        ("ratings", RATINGS, "p-a,help,1,5,,", "p-a,,3,5,,", "'criterion' is empty"),
        (
            "ratings",
            RATINGS,
            "p-a,help,1,5,,",
            "p-a,help,3,,,",
            "levels is '', expected a whole number from 2 (or use --levels)",
        ),
        (
            "outcomes",
            OUTCOMES,
            "p-a,l,turns,2,true,",
            "p-a,l,turns,-1,,",
            "value is '-1', expected a whole number of failed turns from 0",
        ),
        ("outcomes", OUTCOMES, "p-a,l,success,1,,", "p-a,l,success,0.5,,", "value is '0.5', expected 0 or 1"),
        (
            "outcomes",
            OUTCOMES,
            "p-a,l,success,0,no?,\np-a,l,success,1,0,",
            "p-a,l,speed,1,,",
            "measure is 'speed', expected turns or success",
        ),
    ],
)
def test_what_signals_reject(filled, tmp_path, format, header, good, bad, reason):
    path = tmp_path / "f.csv"
    path.write_text(f"{header}\n{good}\n{bad}\n")
    load(filled, format, path)
    rejects = query(filled, "SELECT line, raw, reason FROM rejects WHERE source = 's' ORDER BY line").rows()
    found = {line: (raw, why) for line, raw, why in rejects}
    raw, why = found[2 + good.count("\n") + 1]
    assert why == reason
    if ",l," in bad:  # names a learner: kept as fields, with the pseudonym
        assert re.fullmatch("[0-9a-f]{16}", json.loads(raw)["learner"])
    else:
        assert raw == bad
    rows, rejected = query(filled, "SELECT rows, rejects FROM sources WHERE name = 's'").row(0)
    assert rows == count(filled, TABLES[format]) == 1
    assert rows + rejected == good.count("\n") + 2


def test_signals_keep_their_place_time_and_people(filled, tmp_path, key_file):
    path = tmp_path / "v.csv"
    path.write_text(
        "left,right,winner,who,when\np-a,p-b,a,ann,2026-01-02T03:04:05+02:00\np-b,p-a,tie,ann,2026-01-03\n"
    )
    columns = {
        "completion_a": "left",
        "completion_b": "right",
        "choice": "winner",
        "annotator": "who",
        "at": "when",
    }
    load(filled, "votes", path, columns=columns)
    ann = make_pseudonym("ann", read_key(key_file))
    votes = query(
        filled,
        "SELECT v.line, v.choice, strftime(v.at, '%Y-%m-%dT%H:%M:%S'), a.pseudonym, a.within "
        "FROM votes v JOIN annotators a ON a.key = v.annotator ORDER BY line",
    )
    assert votes.rows() == [
        (2, "a", "2026-01-02T01:04:05", ann, None),
        (3, "tie", "2026-01-03T00:00:00", ann, None),
    ]


def test_a_file_s_own_columns_line_and_raw_are_not_ours(filled, tmp_path):
    path = tmp_path / "v.csv"
    path.write_text("line,raw,choice\np-a,p-b,a\n")
    load(filled, "votes", path, columns={"completion_a": "line", "completion_b": "raw"})
    assert query(filled, "SELECT line, choice FROM votes").rows() == [(2, "a")]


def test_levels_may_be_said_once(filled, tmp_path):
    path = tmp_path / "r.csv"
    path.write_text("completion,criterion,value\np-a,help,3\n")
    load(filled, "ratings", path, levels=4)
    assert query(filled, "SELECT levels FROM ratings").item() == 4
    assert query(filled, "SELECT criterion, levels, higher_is_better FROM rubrics").rows() == [
        ("help", 4, True)
    ]


def test_equal_votes_of_a_file_stay_as_many(filled, tmp_path):
    path = tmp_path / "v.csv"
    path.write_text("completion_a,completion_b,choice\n" + "p-a,p-b,a\n" * 5)
    assert load(filled, "votes", path).added["votes"] == 5


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("cc-by-nc-sa-4.0", ("CC-BY-NC-SA-4.0", True, False, True)),
        ("CC-BY-4.0", ("CC-BY-4.0", True, True, False)),
        ("CC-BY-ND-4.0", ("CC-BY-ND-4.0", False, True, False)),
        ("GPL-3.0-only", ("GPL-3.0-only", True, True, True)),
        ("LicenseRef-mine", ("LicenseRef-mine", False, False, False)),
        (None, ("NOASSERTION", False, False, False)),
    ],
)
def test_what_a_licence_allows(text, expected):
    found = read_license(text)
    assert (found.id, found.redistribution, found.commercial_use, found.share_alike) == expected


def test_a_misspelt_licence_is_named():
    with pytest.raises(SourceError, match=r"did you mean CC-BY-NC-SA-4\.0"):
        read_license("CC-BY-NC-SA")


def test_every_read_block_lands_in_one_source(store, shared_data):
    report = load(store, "m2", shared_data / "cweb")
    assert (
        report.rows
        == query(store, "SELECT (SELECT count(*) FROM sentences) + (SELECT count(*) FROM edits)").item()
    )
    assert query(store, "SELECT DISTINCT document FROM sentences").height == 2
    assert pl.Series(query(store, "SELECT key FROM edits")["key"]).is_unique().all()
