"""The commit of a recipe's repository is found, and nothing that the repository names is run."""

import subprocess

import pytest

from preceptor.training.trainer.commit import find_commit


@pytest.fixture
def repository(tmp_path):
    folder = tmp_path / "theirs"
    (folder / "recipes").mkdir(parents=True)
    (folder / "recipes" / "sft.yaml").write_text("learning_rate: 1.0e-6\n")
    (folder / "other.txt").write_text("outside the recipe's folder\n")
    _git(folder, "init", "-q")
    _git(folder, "add", ".")
    _git(folder, "-c", "user.name=a", "-c", "user.email=a@localhost", "commit", "-qm", "Add a recipe")
    return folder


def _git(folder, *arguments):
    done = subprocess.run(["git", "-C", str(folder), *arguments], capture_output=True, text=True, check=True)
    return done.stdout.strip()


def test_says_whether_the_recipes_folder_has_changes(repository, tmp_path):
    head, recipes = _git(repository, "rev-parse", "HEAD"), repository / "recipes"
    assert find_commit(recipes) == head
    (repository / "other.txt").write_text("changed\n")
    assert find_commit(recipes) == head
    (recipes / "new.yaml").write_text("stage: sft\n")
    assert find_commit(recipes) == head + "+"
    (recipes / "new.yaml").unlink()
    (recipes / "sft.yaml").write_text("learning_rate: 2.0e-6\n")
    assert find_commit(recipes) == head + "+"
    (recipes / "sft.yaml").unlink()
    assert find_commit(recipes) == head + "+"
    assert find_commit(tmp_path) is None


def test_runs_nothing_that_the_repository_names(repository, tmp_path):
    ran = tmp_path / "ran"
    script = tmp_path / "script"
    script.write_text(f"#!/bin/sh\ntouch '{ran}'\ncat\n")
    script.chmod(0o755)
    hooks = repository / ".git" / "hooks"
    for hook in ("post-index-change", "post-checkout", "fsmonitor-watchman"):
        (hooks / hook).write_text(script.read_text())
        (hooks / hook).chmod(0o755)
    for name in ("core.fsmonitor", "filter.evil.clean", "filter.evil.smudge", "filter.evil.process",
                 "diff.external", "core.sshCommand", "core.pager", "core.editor", "alias.ls-files"):  # fmt: skip
        _git(repository, "config", name, str(script))
    (repository / ".gitattributes").write_text("* filter=evil diff=evil\n")
    (repository / "recipes" / "sft.yaml").write_text("learning_rate: 3.0e-6\n")
    subprocess.run(["git", "-C", str(repository / "recipes"), "status"], capture_output=True, check=False)
    assert ran.exists(), "git status alone would run them"
    ran.unlink()
    assert find_commit(repository / "recipes").endswith("+")
    assert not ran.exists()
