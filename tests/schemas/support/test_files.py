"""Files and folders that appear whole or not at all."""

import stat
import subprocess
import sys
from pathlib import Path

import click
import pytest

from preceptor.schemas.errors import StoreError
from preceptor.schemas.support.files import (
    find_leading_out,
    find_user_settings,
    make_partial_folder,
    open_whole_file,
    remove_leftovers,
    replace_file,
    write_text,
)


def test_a_file_is_the_old_one_until_the_new_one_is_whole(tmp_path):
    file = tmp_path / "a.txt"
    write_text(file, "old")

    def fail():
        with open_whole_file(file) as stream:
            stream.write(b"ne")
            raise KeyError

    with pytest.raises(KeyError):
        fail()
    assert [f.name for f in tmp_path.iterdir()] == ["a.txt"]
    assert file.read_text() == "old"
    with replace_file(file) as partial:
        partial.write_text("new")
        assert file.read_text() == "old"
    assert file.read_text() == "new"


def test_a_private_file_is_private_from_its_first_byte(tmp_path):
    with open_whole_file(tmp_path / "secret", 0o600) as stream:
        (folder,) = tmp_path.iterdir()
        assert [stat.S_IMODE(f.stat().st_mode) for f in (folder, *folder.iterdir())] == [0o700, 0o600]
        stream.write(b"x")
    assert stat.S_IMODE((tmp_path / "secret").stat().st_mode) == 0o600


def test_a_new_file_takes_nobodys_place(tmp_path):
    file = tmp_path / "key"

    def lose():
        with open_whole_file(file, new=True) as stream:
            stream.write(b"mine")
            file.write_text("theirs")

    with pytest.raises(FileExistsError):
        lose()
    assert [f.name for f in tmp_path.iterdir()] == ["key"]
    assert file.read_text() == "theirs"


def test_a_missing_folder_is_named(tmp_path):
    with pytest.raises(StoreError, match="no such folder"):
        write_text(tmp_path / "none" / "a.txt", "")


def test_a_folder_that_was_not_moved_is_removed(tmp_path):
    out = tmp_path / "more" / "out"
    with make_partial_folder(out) as partial:
        (partial / "a").touch()
    assert list(out.parent.iterdir()) == []
    with make_partial_folder(out) as partial:
        (partial / "a").touch()
        partial.rename(out)
    assert [f.name for f in out.parent.iterdir()] == ["out"]


KILLED = """
import sys, time
from pathlib import Path
from preceptor.schemas.support.files import make_partial_folder, open_whole_file

with make_partial_folder(Path("out")) as folder, open_whole_file(Path("a.txt")) as stream:
    (folder / "row").write_text("Anna")
    stream.write(b"Anna")
    stream.flush()
    print("written", flush=True)
    time.sleep(600)
"""


def test_what_a_killed_process_left_is_removed_at_the_next_writing(tmp_path):
    process = subprocess.Popen([sys.executable, "-c", KILLED], cwd=tmp_path, stdout=subprocess.PIPE)
    try:
        assert process.stdout.readline() == b"written\n"
        left = {entry.name for entry in tmp_path.iterdir()}
        assert len(left) == 2
        write_text(tmp_path / "a.txt", "by another, while that one runs")
        with make_partial_folder(tmp_path / "out"):
            pass
        assert remove_leftovers(tmp_path / "out") == []
        assert left <= {entry.name for entry in tmp_path.iterdir()}
    finally:
        process.kill()
        process.wait()
    write_text(tmp_path / "a.txt", "whole")
    assert len(remove_leftovers(tmp_path / "out")) == 1
    assert [entry.name for entry in tmp_path.iterdir()] == ["a.txt"]
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (tmp_path / ".out.partial-link").symlink_to(elsewhere)
    assert remove_leftovers(tmp_path / "out") == []
    assert elsewhere.is_dir()


@pytest.mark.parametrize("platform", ["linux", "darwin", "win32"])
@pytest.mark.parametrize("value", [None, "", "relative", "/elsewhere"])
def test_settings_lie_where_click_would_put_them(monkeypatch, platform, value):
    """The key of pseudonyms once lay where click said: it must be found there."""
    monkeypatch.setattr(sys, "platform", platform)
    monkeypatch.setattr(click.utils, "WIN", platform == "win32")
    for name in ("XDG_CONFIG_HOME", "APPDATA"):
        monkeypatch.delenv(name, raising=False)
        if value is not None:
            monkeypatch.setenv(name, value)
    assert find_user_settings() == Path(click.get_app_dir("preceptor"))


def test_files_that_are_not_inside_a_folder_are_found(tmp_path):
    folder, cache = tmp_path / "folder", tmp_path / "models--lab--tiny"
    (folder / "sub").mkdir(parents=True)
    (tmp_path / "secret").write_text("x")
    (folder / "in").write_text("x")
    for name, to in (("out", "../secret"), ("sub/far", "/etc/hostname"), ("fine", "in"), ("round", "round")):
        (folder / name).symlink_to(to)
    (folder / "linked").symlink_to(tmp_path)
    names = [
        "in",
        "fine",
        "nothing",
        "out",
        "sub/far",
        "round",
        "linked/secret",
        "../secret",
        "/etc/hostname",
    ]
    assert find_leading_out(folder, names) == names[3:]
    snapshot = cache / "snapshots" / "0f"
    for one in (snapshot, cache / "blobs"):
        one.mkdir(parents=True)
    (cache / "blobs" / "a").write_text("x")
    (snapshot / "config.json").symlink_to("../../blobs/a")
    (snapshot / "more.json").symlink_to("../../../secret")
    assert find_leading_out(snapshot, ["config.json", "more.json"]) == ["more.json"]
