"""Every kind of broken input ends in a message and an exit code, never in a traceback."""

import pytest

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
        if command.startswith(("build", "diff", "publish", "ingest")):
            assert ended.returncode in (1, 2), (arguments, said)
            assert said.strip()
