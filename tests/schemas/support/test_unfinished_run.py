"""The folder of an unfinished run: one process at a time, of one setting, whatever was killed before."""

import threading

import pytest

from preceptor.schemas.errors import TrainingError
from preceptor.schemas.support.unfinished_run import finish, hold_run


def enter(work, run=None, restart=False):
    return hold_run(work, run or {"seed": 0}, restart, TrainingError, lambda old: f"was {len(old)} long")


def test_a_second_run_is_refused_until_the_first_lets_go(tmp_path):
    work = tmp_path / ".out.unfinished"
    with enter(work):
        (work / "answers.jsonl").write_text("{}\n")
        for restart in (False, True):
            with (
                pytest.raises(TrainingError, match="another process is at this run"),
                enter(work, None, restart),
            ):
                pass
    with pytest.raises(TrainingError, match=r"other settings or data \(was 14 long\); --restart"):
        enter(work, {"seed": 1}).__enter__()
    with enter(work):
        assert (work / "answers.jsonl").exists()
    with enter(work, {"seed": 1}, restart=True):
        assert not (work / "answers.jsonl").exists()


def test_what_no_note_tells_the_settings_of_is_thrown_away(tmp_path):
    """As a kill leaves it while a finished run's folder is being taken away."""
    work = tmp_path / ".out.unfinished"
    work.mkdir()
    (work / "answers.jsonl").write_text('{"model": "openai:m", "text": "of other settings"}\n')
    (work / "run.json.partial").write_text('{"se')
    with enter(work):
        assert sorted(path.name for path in work.iterdir()) == ["lock", "run.json"]


def test_no_two_are_inside_though_each_takes_the_folder_away(tmp_path):
    work, inside, seen, done = tmp_path / ".out.unfinished", [], [], []

    def go():
        while len(done) < 300:
            try:
                with enter(work):
                    inside.append(1)
                    seen.append(len(inside))
                    inside.pop()
                    finish(work)
                    done.append(1)
            except TrainingError:
                continue

    threads = [threading.Thread(target=go) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert len(done) >= 300
    assert set(seen) == {1}
