"""Pull: datasets of the stand-in for the Hub (tests/support/hub) into a store."""

import gzip
import io
import json

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from apart import run_apart
from waiting import kill_in

from preceptor.schemas.licenses import read_license
from preceptor.toolkit.store.connection import open_store, query

CARD = "---\nlicense: {}\nlanguage: [en]\n---\n# Pairs\n"
CHAT = [{"role": "user", "content": "7 x 8?"}]
PAIRS = {
    "text": [
        {"prompt": "7 x 8?", "chosen": "Try 7 x 4 first.", "rejected": "56."},
        {"prompt": "9 x 9?", "chosen": "What is 9 x 10?", "rejected": "81."},
    ],
    "messages": [
        {
            "prompt": CHAT,
            "chosen": [{"role": "assistant", "content": "Try 7 x 4."}],
            "rejected": [{"role": "assistant", "content": "56."}],
        },
    ],
    "implicit prompt": [
        {
            "chosen": [*CHAT, {"role": "assistant", "content": "Try 7 x 4."}],
            "rejected": [*CHAT, {"role": "assistant", "content": "56."}],
            "margin": 0.5,
        },
    ],
}
VOTES = """SELECT q.messages, a.content AS chosen, b.content AS rejected, q."group", q.task, v.path, q.language
    FROM votes v JOIN completions a ON a.key = v.completion_a JOIN completions b ON b.key = v.completion_b
    JOIN prompts q ON q.key = a.prompt ORDER BY ALL"""


@pytest.fixture
def pull(client, tmp_path):
    """Runs `preceptor pull …` on a store of one's own."""
    return lambda *arguments, **how: client("--store", tmp_path / "s.duckdb", "pull", *arguments, **how)


@pytest.fixture
def rows(tmp_path):
    def ask(sql):
        with open_store(tmp_path / "s.duckdb", read_only=True) as con:
            return query(con, sql)

    return ask


def parquet(records):
    file = io.BytesIO()
    pl.DataFrame(records).write_parquet(file)
    return file.getvalue()


def trl(hub, records, license="cc-by-4.0", name="acme/pairs", **more):
    """A dataset as others publish them: no configs in the card."""
    files = {
        "README.md": CARD.format(license).encode(),
        "data/train-00000-of-00001.parquet": parquet(records),
    }
    hub.made(name, files | more)


def test_our_own_build_comes_back_as_votes_with_task_and_group(hub, client, builds, pull, rows):
    done = client("publish", builds["replies"], "lab/tiny", "--tag", "v1")
    assert done.code == 0, done.stderr
    client("publish", builds["edits"], "lab/tiny")
    done = pull("lab/tiny@v1", "--source", "back")
    assert done.code == 0, done.stderr
    assert "5 rows taken, 0 rejected" in done.stdout
    assert done.stderr == ""
    pairs = pl.read_parquet(builds["replies"] / "preference" / "train.parquet")
    meta = pl.read_parquet(builds["replies"] / "preference_meta" / "train.parquet")
    said = {side: pairs[side].list.first().struct.field("content") for side in ("chosen", "rejected")}
    expected = pl.DataFrame(
        {"messages": pairs["prompt"], **said, "group": meta["group"], "task": meta["task"]}
    )
    found = rows(VOTES)
    assert found.drop("path", "language").sort("chosen").to_dicts() == expected.sort("chosen").to_dicts()
    assert set(found["path"]) == {"preference/train.parquet"}
    (source,) = rows("SELECT * FROM sources").to_dicts()
    assert (source["name"], source["license"], source["language"]) == ("back", "CC-BY-4.0", "en")
    assert source["url"] == f"{hub.url}/datasets/lab/tiny"
    assert source["revision"] == hub.repo()["tags"]["v1"]


def test_another_config_is_named(hub, client, builds, pull, rows):
    client("publish", builds["edits"], "lab/tiny")
    done = pull("lab/tiny", "--config", "sft")
    assert done.code == 0, done.stderr
    assert rows("SELECT name, url FROM sources").rows() == [
        ("tiny-sft", f"{hub.url}/datasets/lab/tiny/viewer/sft")
    ]
    assert rows("SELECT count(*) AS n FROM completions")["n"].item() == 6
    assert rows("SELECT count(*) AS n FROM votes")["n"].item() == 0
    refused = pull("lab/tiny", "--config", "soft")
    assert refused.code == 2
    assert (
        "has no config 'soft'; name one with --config: preference, preference_meta, sft, sft_meta"
        in refused.stderr
    )
    refused = pull("lab/tiny", "--config", "sft_meta", "--source", "m")
    assert refused.code == 2
    assert "none of its 6 rows could be taken" in refused.stderr
    assert "holds none of the shapes that are read: messages; " in refused.stderr
    assert "lab/tiny@" in refused.stderr


@pytest.mark.parametrize("shape", PAIRS)
def test_trl_s_shapes(hub, pull, rows, shape):
    trl(hub, PAIRS[shape])
    done = pull("acme/pairs")
    assert done.code == 0, done.stderr
    found = rows(VOTES)
    asked = [row["prompt"] if isinstance(row.get("prompt"), str) else "7 x 8?" for row in PAIRS[shape]]
    assert found["messages"].to_list() == [[{"role": "user", "content": text}] for text in sorted(asked)]
    assert set(found["rejected"]) <= {"56.", "81."}
    assert found["path"].unique().to_list() == ["default/train.parquet"]
    assert found["language"].unique().to_list() == ["en"]


def test_the_same_revision_again_adds_nothing_and_a_newer_one_takes_its_place(hub, pull, rows):
    trl(hub, PAIRS["text"])
    assert pull("acme/pairs").code == 0
    before, asked = rows("SELECT * FROM votes"), len(hub.ask("state")["arrived"])
    again = pull("acme/pairs")
    assert again.code == 0
    assert "pairs: already holds acme/pairs@" in again.stdout
    assert not any("parquet" in line for line in hub.ask("state")["arrived"][asked:])
    trl(hub, PAIRS["text"][:1])
    refused = pull("acme/pairs")
    assert refused.code == 2
    assert "--replace" in refused.stderr
    assert rows("SELECT * FROM votes").equals(before)
    assert pull("acme/pairs", "--replace").code == 0
    assert len(rows("SELECT * FROM votes")) == 1
    assert rows("SELECT revision FROM sources").item() == hub.repo("acme/pairs")["head"]


def test_rows_that_cannot_be_taken_go_to_rejects_and_numbers_may_be_ids(hub, pull, rows):
    same = {"prompt": "?", "chosen": "x", "rejected": "x"}
    trl(hub, [{"id": n, "unused": b"\0", **row} for n, row in enumerate([*PAIRS["text"], same])])
    done = pull("acme/pairs")
    assert done.code == 0, done.stderr
    assert "2 rows taken, 1 rejected" in done.stdout
    assert "default/train.parquet:3  'chosen' equals 'rejected'" in done.stderr
    assert rows("SELECT ref FROM prompts ORDER BY 1")["ref"].to_list() == ["0", "1"]


def test_other_files_than_parquet(hub, pull, rows):
    lines = "\n".join(map(json.dumps, PAIRS["messages"])).encode()
    hub.made("acme/lines", {"train.jsonl": lines, "README.md": CARD.format("mit").encode()})
    done = pull("acme/lines")
    assert done.code == 0, done.stderr
    assert rows(VOTES)["chosen"].to_list() == ["Try 7 x 4."]


@pytest.mark.parametrize(
    ("card", "expected"),
    [
        ("cc-by-sa-4.0", "CC-BY-SA-4.0"),
        ("odc-by", "ODC-By-1.0"),
        ("[mit, cc-by-nc-4.0]", "MIT AND CC-BY-NC-4.0"),
        ("llama3.1", "LicenseRef-llama3.1"),
        ("other\nlicense_name: our own terms", "LicenseRef-our-own-terms"),
        ("unknown", "NOASSERTION"),
    ],
)
def test_the_licence_is_the_card_s(hub, pull, rows, card, expected):
    trl(hub, PAIRS["text"], license=card)
    done = pull("acme/pairs")
    assert done.code == 0, done.stderr
    found = rows("SELECT license, redistribution, commercial_use FROM sources").row(0)
    terms = read_license(None if expected == "NOASSERTION" else expected)
    assert found == (expected, terms.redistribution, terms.commercial_use)
    assert ("may not be published" in done.stderr) == (expected == "NOASSERTION")


def test_a_licence_that_is_said_overrides_the_card(hub, pull, rows):
    trl(hub, PAIRS["text"], license="unknown")
    assert pull("acme/pairs", "--license", "CC0-1.0").code == 0
    assert rows("SELECT license FROM sources").item() == "CC0-1.0"


@pytest.mark.parametrize(
    ("name", "token", "code", "expected"),
    [
        ("acme/none", "hf_alice", 2, "acme/none: no dataset of that name that you may see; check the name"),
        ("acme/none", "", 2, "if it is private, set HF_TOKEN"),
        ("bob/secret", "hf_alice", 2, "bob/secret: no dataset of that name that you may see"),
        ("acme/pairs@v9", "hf_alice", 2, "acme/pairs@v9: no such revision; branches and tags are listed at"),
        ("acme/pairs", "hf_mallory", 1, "does not accept the token"),
        ("pairs", "hf_alice", 2, "expected OWNER/NAME"),
        ("acme/numbers", "hf_alice", 2, "has none of the fields of a chat; it has x, y"),
        ("acme/empty", "hf_alice", 1, "acme/empty: reading its configs failed"),
    ],
)
def test_what_cannot_be_pulled_is_told_and_no_store_is_made(hub, pull, tmp_path, name, token, code, expected):
    trl(hub, PAIRS["text"])
    trl(hub, [{"x": 1, "y": 2}], name="acme/numbers")
    hub.made("acme/empty", {"README.md": b"# Nothing"})
    hub.made("bob/secret", {}, private=True)
    done = pull(name, token=token)
    assert done.code == code
    assert expected in " ".join(done.stderr.split())
    assert str(tmp_path) not in done.stderr
    assert not (tmp_path / "s.duckdb").exists()


SPLITS = """configs:
- config_name: default
  data_files:
  - {split: train_prefs, path: prefs.parquet}
  - {split: train_sft, path: sft.parquet}
  - {split: test_prefs, path: test.parquet}
"""


@pytest.fixture
def several(hub):
    """A dataset whose splits train_prefs and train_sft hold the same two rows, the latter one more."""
    more = {"prompt": "1 + 1?", "chosen": "Count.", "rejected": "2."}
    files = {"prefs": PAIRS["text"], "sft": [*PAIRS["text"], more], "test": [more | {"prompt": "2 + 2?"}]}
    card = f"---\nlicense: mit\nlanguage: [en, de]\n{SPLITS}---\n# Pairs\n"
    hub.made(
        "acme/splits", {"README.md": card.encode()} | {f"{n}.parquet": parquet(r) for n, r in files.items()}
    )


@pytest.mark.usefixtures("several")
def test_equal_rows_of_two_splits_count_once(pull, rows):
    done = pull("acme/splits")
    assert done.code == 0, done.stderr
    assert "4 rows taken" in done.stdout
    note = "2 rows of split train_sft equal rows of split train_prefs: read once, as that one's"
    assert note in " ".join(done.stderr.split())
    assert "names several languages (en, de)" in " ".join(done.stderr.split())
    assert note in rows("SELECT notes FROM sources").item()
    assert sorted(rows(VOTES)["path"]) == [
        "default/test_prefs.parquet",
        *["default/train_prefs.parquet"] * 2,
        "default/train_sft.parquet",
    ]


@pytest.mark.usefixtures("several")
def test_splits_are_chosen_by_name(hub, pull, rows):
    done = pull("acme/splits", "--split", "train_sft", "--language", "de")
    assert done.code == 0, done.stderr
    assert ("3 rows taken" in done.stdout, done.stderr) == (True, "")
    assert set(rows(VOTES)["language"]) == {"de"}
    url = f"{hub.url}/datasets/acme/splits/viewer/default/train_sft"
    assert rows("SELECT url FROM sources").item() == url
    assert "nothing added" in pull("acme/splits", "--split", "train_sft", "--language", "de").stdout
    other = pull("acme/splits", "--split", "test_prefs")
    assert (other.code, "already holds other input" in other.stderr) == (2, True)
    refused = pull("acme/splits", "--split", "train", "--source", "x")
    assert refused.code == 2
    assert "has no split 'train'; name one with --split: train_prefs, train_sft, test_prefs" in refused.stderr


def test_shapes_and_names_of_other_programs(hub, pull, rows):
    rated = {"generations": [["Try 7 x 4.", "56."]] * 2, "ratings": [[9, 1], [None, 2]]}
    columns = {"q": ["7 x 8?", "9 x 9?"]} | rated
    hub.made("acme/rated", {"train.parquet": parquet(columns)})
    maps = ("--map", "instruction=q", "--levels", "10")
    done = pull("acme/rated", *maps)
    assert done.code == 0, done.stderr
    assert "it has no card (README.md)" in done.stderr
    found = rows("SELECT value, levels FROM ratings ORDER BY 1").rows()
    assert found == [(1, 10), (2, 10), (9, 10)]
    refused = pull("acme/rated", "--source", "x", "--map", "instructions=q")
    assert (refused.code, "did you mean 'instruction'?" in refused.stderr) == (2, True)
    refused = pull("acme/rated", "--source", "x", "--map", "instruction=question")
    assert (refused.code, "no row has the field 'question'" in refused.stderr) == (2, True)


def test_what_fails_once_is_tried_again(hub, pull, rows):
    trl(hub, [{"prompt": "Not cached yet?", "chosen": "No.", "rejected": "Yes."}])
    hub.fails("GET", "/api/datasets/acme/pairs", status=503)
    hub.fails("GET", "/resolve/.*parquet", drop=True)
    done = pull("acme/pairs")
    assert done.code == 0, done.stderr
    assert "the Hub answered 503; trying again in 1 s" in done.stderr
    assert len(rows(VOTES)) == 1


def test_a_hub_that_fails_for_ever_leaves_the_store_as_it_was(hub, pull, tmp_path):
    trl(hub, [{"prompt": "Cached?", "chosen": "No.", "rejected": "Yes."}])
    hub.fails("GET", "/resolve/.*parquet", status=503, times=-1)
    done = pull("acme/pairs")
    assert done.code == 1
    assert "acme/pairs: loading config default failed" in done.stderr
    assert "nothing was stored; run the same command again" in done.stderr
    assert not (tmp_path / "s.duckdb").exists()


def test_of_a_killed_pull_nothing_stays(hub, tmp_path, preceptor):
    trl(hub, PAIRS["text"])
    home = tmp_path / "home"
    environment = hub.environment(home, HF_TOKEN="hf_alice") | {"TMPDIR": str(tmp_path / "tmp")}
    for folder in (home, tmp_path / "tmp", tmp_path / "project"):
        folder.mkdir(exist_ok=True)
    before = []
    kill_in(
        "toolkit.hub.pull:_drop_equal_rows",
        "pull",
        "acme/pairs",
        cwd=tmp_path / "project",
        env=environment,
        meanwhile=lambda: before.extend((tmp_path / "project").rglob("*.parquet")),
    )
    assert before
    assert not any(b"9 x 10" in file.read_bytes() for file in home.rglob("*") if file.is_file())
    assert list((tmp_path / "tmp").iterdir()) == []
    with open_store(tmp_path / "project" / "preceptor.duckdb", create=True):
        assert [file.name for file in (tmp_path / "project").iterdir() if file.is_dir()] == [
            "preceptor.duckdb.tmp"
        ]


def long_chats():
    # Texts of a dictionary, so that this process does not take the memory that it measures.
    size, index = 2_000, pa.array([0, 1] * 1_000, pa.int32())
    roles = pa.DictionaryArray.from_arrays(index, ["user", "assistant"])
    texts = pa.DictionaryArray.from_arrays(index, ["x" * 900_000, "y" * 900_000])
    turns = pa.StructArray.from_arrays([roles, texts], ["role", "content"])
    table = pa.table({"messages": pa.ListArray.from_arrays(list(range(0, size + 1, 2)), turns)})
    file = io.BytesIO()
    pq.write_table(table, file, row_group_size=1 << 20, dictionary_pagesize_limit=1 << 30, store_schema=False)
    return {"train.parquet": file.getvalue()}


def long_lines():
    row = json.dumps({"prompt": "p" * 5_000, "chosen": "c" * 5_000, "rejected": "r"}).encode() + b"\n"
    return {"train.jsonl.gz": gzip.compress(row * 20_000)}


@pytest.mark.parametrize("files", [long_chats, long_lines])
def test_a_dataset_made_to_fill_a_computer(hub, lfs_server, tmp_path, files):
    hub.made("acme/big", {"README.md": CARD.format("mit").encode()} | files())
    env = lfs_server.environment(tmp_path / "home")
    code, said, memory = run_apart(tmp_path, "pull", "acme/big", **env)
    assert code == 2, said
    assert "acme/big: config default unpacks to more than 64 MB" in said
    assert "--max-unpacked" in said
    assert memory < 2_000 << 20, f"{memory >> 20} MB"
    assert [path.name for path in tmp_path.iterdir() if "duckdb" in path.name] == []
