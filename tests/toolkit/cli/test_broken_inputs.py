"""Every kind of broken input ends in a message and an exit code, never in a traceback."""

import shutil
import sqlite3

import pytest
from tiny_model import tiny_model

from preceptor.toolkit.ingest.formats import FORMATS

BROKEN = ("missing", "empty", "junk.bin", "wrong.json", "folder", "list.json")
COMMANDS = {
    "store": ("--store", "{}", "status"),
    "store of a fit": ("--store", "{}", "fuse"),
    "build": ("build", "{}", "--out", "out"),
    "diff": ("diff", "{}", "{}"),
    "publish": ("publish", "{}", "a/b", "--dry-run"),
    "outcomes": ("outcomes", "{}"),
    "rubric": ("rubric", "check", "{}"),
    "rubric refined": ("rubric", "refine", "{}"),
    "train": ("train", "{}", "--out", "out"),
    "merge": ("merge", "{}", "--out", "out"),
    "evaluate": ("evaluate", "{}", "--model", "hf:folder", "--out", "out"),
    "export gguf": ("export", "gguf", "{}", "--out", "out"),
    "export m2": ("--store", "{}", "export", "m2", "--source", "s", "--out", "out"),
    "publish-model": ("publish-model", "{}", "a/b", "--dry-run"),
    "generate": ("generate", "--model", "hf:{}"),
    "judge": ("judge", "--rubric", "{}", "--model", "hf:folder"),
    "import": ("annotate", "import", "{}", "--campaign", "c"),
    **{f"ingest {name}": ("ingest", name, "{}", "--source", "s") for name in FORMATS},
}


@pytest.mark.parametrize("command", COMMANDS)
def test_broken_inputs(preceptor, tmp_path, command):
    (tmp_path / "empty").touch()
    (tmp_path / "folder").mkdir()
    (tmp_path / "junk.bin").write_bytes(bytes(range(255, 0, -1)) * 20)
    (tmp_path / "wrong.json").write_text('{"a": [1, {"b": null}], "messages": 5}')
    (tmp_path / "list.json").write_text("[1, null, [], {}]")
    for name in BROKEN:
        arguments = [part.format(name) for part in COMMANDS[command]]
        ended = preceptor(*arguments, cwd=tmp_path)
        said = ended.stdout + ended.stderr
        assert "Traceback" not in said, (arguments, said)
        assert "Catalog Error" not in said, (arguments, said)
        if command not in ("store", "store of a fit", "outcomes", "rubric", "import"):
            assert ended.returncode in (1, 2), (arguments, said)
        if command.startswith(("build", "diff", "publish", "ingest")):
            assert ended.returncode in (1, 2), (arguments, said)
            assert said.strip()


@pytest.mark.parametrize("command", ["status", "fuse", "export", "ingest"])
def test_stores_that_are_no_stores_or_parts_of_one(preceptor, tmp_path, command):
    (tmp_path / "m.src").write_text("He go .\n")
    (tmp_path / "m.ref0").write_text("He goes .\n")
    ingest = ("ingest", "parallel", "m.src", "m.ref0", "--source", "t", "--license", "MIT")
    of = {"export": ("export", "m2", "--source", "s", "--out", "s.m2"), "ingest": ingest}
    arguments = of.get(command, (command,))
    whole = tmp_path / "whole.duckdb"
    assert preceptor("--store", whole, *ingest, cwd=tmp_path).returncode == 0
    content = whole.read_bytes()
    for size in (13, 5000, *[len(content) // 2] * (command != "fuse")):  # fuse ends before it reads so far
        (tmp_path / f"cut{size}").write_bytes(content[:size])
    (tmp_path / "rows.json").write_text("[]")
    with sqlite3.connect(tmp_path / "other.db") as other:
        other.execute("CREATE TABLE a (b)")
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir() if path.is_file()}
    for name in ("rows.json", "other.db", "m.src", *(n for n in before if n.startswith("cut"))):
        ended = preceptor("--store", name, *arguments, cwd=tmp_path)
        said = "damaged" if name.startswith("cut") else "is not a DuckDB file; point --store"
        assert ended.returncode == 2, (name, ended.stderr)
        assert said in ended.stderr, (name, ended.stderr)
        assert (tmp_path / name).read_bytes() == before[name]
    for name in (":memory:", "new.json"):
        ended = preceptor("--store", name, *arguments, cwd=tmp_path)
        assert ended.returncode == 2, (name, ended.stderr)


MODEL_FILES = ("config.json", "tokenizer.json", "tokenizer_config.json", "model.safetensors")


@pytest.mark.parametrize("file", MODEL_FILES)
def test_models_with_a_broken_file(preceptor, tmp_path, monkeypatch, file):
    pytest.importorskip("transformers")
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    tiny_model(tmp_path / "whole")
    (tmp_path / "train.yaml").write_text("{model_name_or_path: m, dataset_name: nowhere, stage: sft}")
    content = (tmp_path / "whole" / file).read_bytes()
    for broken in (b"", bytes(range(255, 0, -1)) * 20, b"[1, null]", content[: len(content) // 2], None):
        shutil.rmtree(tmp_path / "m", ignore_errors=True)
        shutil.copytree(tmp_path / "whole", tmp_path / "m")
        if broken is None:
            (tmp_path / "m" / file).unlink()
            (tmp_path / "m" / file).mkdir()
        else:
            (tmp_path / "m" / file).write_bytes(broken)
        for arguments in (
            ("train", "train.yaml", "--out", "out"),
            ("merge", "m", "--out", "out"),
            ("export", "gguf", "m", "--out", "out.gguf"),
            ("publish-model", "m", "a/b", "--dry-run"),
        ):
            ended = preceptor(*arguments, cwd=tmp_path)
            said = ended.stdout + ended.stderr
            assert "Traceback" not in said, (arguments, broken, said)
            assert ended.returncode in (1, 2), (arguments, broken, said)
            assert not list(tmp_path.glob("out*")), (arguments, broken)
