"""Publish: to a stand-in for the Hub (tests/support/hub), through everything that goes wrong on the way."""

import json
import os
import shutil
import signal
import subprocess
import sys

import polars as pl
import pytest
from ended import refused, well
from waiting import wait_for_end, wait_until

from preceptor.schemas.support.files import hash_file
from preceptor.toolkit.hub.dataset_folder import list_card_faults, name_repository, read_built

REPO = "lab/tiny"


@pytest.fixture
def edits(builds, tmp_path):
    """A copy of the build of edits, to spoil."""
    return shutil.copytree(builds["edits"], tmp_path / "edits")


@pytest.fixture
def publish(client):
    def run(*arguments, token="hf_alice"):
        return client("publish", *arguments, token=token)

    return run


def digests(folder):
    return {p.relative_to(folder).as_posix(): hash_file(p) for p in folder.rglob("*") if p.is_file()}


def sent(folder):
    """Digests of a build's files as they are published: its card and manifest name the repository."""
    with name_repository(read_built(folder), REPO) as named:
        return named.files


def size_by_lfs(folder):
    return sum(path.stat().st_size for path in folder.rglob("*.parquet"))


def only(repo):
    """Its files but for the Hub's own."""
    return {name: sha256 for name, sha256 in repo["files"].items() if name != ".gitattributes"}


# ---- what a push does


def test_one_private_commit_holds_the_folder_and_is_loaded_back(hub, publish, builds):
    said = well(publish(builds["edits"], REPO, "--tag", "v1.0.0", "--message", "The first"))
    repo = hub.repo()
    assert repo["private"]
    assert only(repo) == sent(builds["edits"])
    assert ".gitattributes" in repo["files"]
    assert repo["titles"] == ["The first", "initial commit"]
    assert repo["tags"] == {"v1.0.0": repo["head"]}
    assert "6 files with their digests, 24 rows in 4 configs" in said
    assert f"revision {repo['head']}" in said
    assert 'load_dataset("lab/tiny", "preference", revision="v1.0.0")' in said


def test_the_same_build_again_changes_nothing_and_can_still_be_tagged(hub, publish, builds):
    well(publish(builds["edits"], REPO))
    before = hub.ask("state")
    said = well(publish(builds["edits"], REPO))
    assert "holds this build already, nothing was sent" in said
    after = hub.ask("state")
    assert after["repos"] == before["repos"]
    assert after["received"] == before["received"] == size_by_lfs(builds["edits"])
    assert "tag v1: set" in well(publish(builds["edits"], REPO, "--tag", "v1"))
    assert "tag v1: was there already" in well(publish(builds["edits"], REPO, "--tag", "v1"))
    assert hub.repo()["tags"] == {"v1": hub.repo()["head"]}


def loaded(server, home, *lines):
    """What a user of `datasets` sees, in a process of its own."""
    code = "\n".join(["import datasets", "datasets.disable_progress_bars()", *lines])
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        check=False,
        env=server.environment(home, HF_TOKEN="hf_alice"),
    )
    assert done.returncode == 0, done.stderr
    assert "Ignoring" not in done.stderr
    return json.loads(done.stdout)


def test_another_build_takes_the_place_of_the_first_and_its_configs_stay_apart(
    hub, publish, builds, tmp_path
):
    well(publish(builds["edits"], REPO, "--tag", "v1"))
    well(publish(builds["replies"], REPO, "--tag", "v2"))
    repo = hub.repo()
    assert only(repo) == sent(builds["replies"])
    assert len(repo["titles"]) == 3
    found = loaded(
        hub,
        tmp_path,
        "import json",
        "def rows(r): return {c: len(datasets.load_dataset('lab/tiny', c, revision=r)['train'])"
        " for c in datasets.get_dataset_config_names('lab/tiny', revision=r)}",
        "print(json.dumps([rows('v1'), rows('v2'), len(datasets.load_dataset('lab/tiny')['train'])]))",
    )
    first = dict.fromkeys(("preference", "preference_meta", "sft", "sft_meta"), 6)
    assert found == [first, {"preference": 5, "preference_meta": 5}, 5]


def test_files_of_others_stay_and_their_changes_to_ours_are_told(hub, publish, builds):
    well(publish(builds["edits"], REPO))
    hub.fails("POST", "/commit/", overtake={"notes.txt": "mine", "README.md": "# By hand"})
    said = publish(builds["replies"], REPO)
    well(said)
    assert "somebody else committed to lab/tiny meanwhile" in said.stderr
    assert "notes.txt" in hub.repo()["files"]
    assert hub.repo()["titles"][1] == "by somebody else"


def test_a_card_edited_on_the_hub_is_replaced_with_a_word(hub, publish, builds):
    with name_repository(read_built(builds["edits"]), REPO) as named:
        files = {name: (named.path / name).read_bytes() for name in named.files}
    hub.made(REPO, files | {"README.md": b"# By hand"})
    ended = publish(builds["edits"], REPO)
    well(ended)
    assert "somebody changed README.md since the build there was published" in ended.stderr
    assert only(hub.repo()) == sent(builds["edits"])


def test_files_in_parts_are_published_as_well(hub, publish, edits, tmp_path):
    whole = edits / "preference" / "train.parquet"
    rows = pl.read_parquet(whole)
    whole.unlink()
    for n, part in enumerate((rows.head(2), rows.tail(4))):
        part.write_parquet(edits / "preference" / f"train-0000{n}-of-00002.parquet")
    (edits / "README.md").write_text(
        (edits / "README.md")
        .read_text()
        .replace("path: preference/train.parquet", "path: preference/train-*")
    )
    in_manifest(files={n: d for n, d in digests(edits).items() if n != "manifest.json"})(edits)
    assert "7 files with their digests, 24 rows in 4 configs" in well(publish(edits, REPO))
    assert only(hub.repo()) == sent(edits)


def test_public_is_asked_for_and_an_old_repository_stays_as_it_is(hub, publish, builds):
    assert "(public): published" in well(publish(builds["edits"], "alice/open", "--public"))
    assert hub.repo("alice/open")["private"] is False
    well(publish(builds["edits"], REPO))
    ended = publish(builds["edits"], REPO, "--public")
    well(ended)
    assert "was private before and stays so" in ended.stderr
    assert hub.repo()["private"] is True


@pytest.mark.slow
def test_by_xet_too(xet_hub, preceptor_process, builds, tmp_path):
    env = xet_hub.environment(tmp_path, HF_TOKEN="hf_alice", HF_HUB_DISABLE_XET="0")
    env["HF_ENDPOINT"] += "/"  # which `datasets` alone would not take
    for name in ("edits", "replies"):
        done = preceptor_process("publish", builds[name], REPO, "--tag", name, env=env)
        assert done.returncode == 0, done.stderr
        assert only(xet_hub.repo()) == sent(builds[name])
    assert not any("PUT" in line for line in xet_hub.ask("state")["log"])


# ---- dry run, and what is refused before anything is sent


def test_a_dry_run_needs_neither_token_nor_hub(hub, builds, preceptor_process, tmp_path):
    env = hub.environment(tmp_path, HF_ENDPOINT="http://127.0.0.1:9")
    done = preceptor_process("publish", builds["edits"], REPO, "--dry-run", env=env)
    assert done.returncode == 0, done.stderr
    with name_repository(read_built(builds["edits"]), REPO) as named:
        for name in named.files:
            assert f"{named.get_size(name):,}" in done.stdout
        assert named.digest in done.stdout
        assert named.card in done.stdout
        assert f'load_dataset("{REPO}", "preference")' in named.card
        assert "PATH_OR_REPO" not in named.card
    assert "every row may be published under CC-BY-4.0" in done.stdout
    assert done.stderr == ""
    without = preceptor_process("publish", builds["edits"], REPO, env=env)
    assert without.returncode == 1
    assert "no token for http://127.0.0.1:9: set HF_TOKEN" in without.stderr


def changed(folder):
    path = folder / "preference" / "train.parquet"
    path.write_bytes(path.read_bytes()[:-1] + b"x")


def in_manifest(**keys):
    def spoil(folder):
        path = folder / "manifest.json"
        path.write_text(json.dumps(json.loads(path.read_text()) | keys))

    return spoil


def red(folder):
    path = folder / "manifest.json"
    read = json.loads(path.read_text())
    read["gates"][1]["passed"] = False
    path.write_text(json.dumps(read))


def card(old, new):
    """The card changed, and the manifest with it."""

    def spoil(folder):
        path = folder / "README.md"
        path.write_text(path.read_text().replace(old, new))
        files = json.loads((folder / "manifest.json").read_text())["files"]
        in_manifest(files=files | {"README.md": hash_file(path)})(folder)

    return spoil


@pytest.mark.parametrize(
    ("spoil", "expected"),
    [
        (changed, "preference/train.parquet changed since the build; build it again"),
        (lambda f: (f / "sft" / "train.parquet").unlink(), "sft/train.parquet missing; build it again"),
        (
            lambda f: (f / "notes.txt").write_text("x"),
            "notes.txt not of the build; move what is not of the build",
        ),
        (lambda f: (f / "manifest.json").unlink(), "holds no manifest.json"),
        (lambda f: (f / "manifest.json").write_text("{"), "is not the manifest of a build"),
        (red, "did not pass its gates; mend this and build again: leaks:"),
        (in_manifest(gates=[]), "its licences were not checked"),
        (
            in_manifest(counts={"preference": {"train": 7}}),
            "has the rows {'train': 6}, but manifest.json counts",
        ),
        (in_manifest(counts={"soft": {"train": 6}}), "has no config soft"),
        (card("sft/train.parquet", "sft/nothing.parquet"), "no config of the card has sft/train.parquet"),
        (card("pretty_name", ": ["), "is not a valid card"),
    ],
)
def test_a_folder_that_is_not_as_it_was_built_is_refused(hub, publish, edits, spoil, expected):
    spoil(edits)
    refused(publish(edits, REPO), expected)
    assert hub.ask("state")["arrived"] == []


def test_a_local_build_is_refused(hub, publish, builds):
    refused(publish(builds["local"], REPO), "NOT FOR PUBLICATION", "publish_under: CC-BY-4.0")
    assert hub.ask("state")["arrived"] == []


@pytest.mark.parametrize(
    "name", ["tiny", "lab/tiny/more", "lab/ti ny", "lab/-tiny", "lab/a--b", "http://hub/lab/tiny"]
)
def test_a_wrong_name_is_refused(hub, publish, builds, name):
    refused(publish(builds["edits"], name), f"{name}: is no name of a dataset; expected OWNER/NAME")
    assert hub.ask("state")["arrived"] == []


@pytest.mark.parametrize(
    ("token", "name", "expected"),
    [
        ("hf_mallory", REPO, "does not accept the token"),
        ("hf_al ice", REPO, "holds a space or a sign that no token has"),
        ("hf_alice-reader", REPO, "is not allowed to this token (the Hub says: This token is read-only)"),
        (
            "hf_alice-reader",
            "lab/new",
            "is not allowed to this token (the Hub says: This token is read-only)",
        ),
        (
            "hf_bob",
            REPO,
            'the rights to create a dataset under the namespace "lab"); use one that may write as lab',
        ),
        ("hf_alice", "bob/new", "use one that may write as bob"),
        ("hf_alice", "bob/secret", "use one that may write as bob"),
    ],
)
def test_who_may_not_is_told_why(hub, publish, builds, token, name, expected):
    hub.made("bob/secret", {}, private=True)
    hub.made(REPO, {}, private=True)
    before = hub.ask("state")["repos"]
    refused(publish(builds["replies"], name, token=token), expected)
    assert hub.ask("state")["repos"] == before


def test_a_traceback_holds_no_token_either(hub, preceptor_process, builds, tmp_path):
    env = hub.environment(tmp_path, HF_TOKEN="hf_bob", HF_DEBUG="1")
    done = preceptor_process("--debug", "publish", builds["replies"], REPO, env=env)
    assert done.returncode == 1
    assert "Traceback" in done.stderr
    assert "hf_bob" not in done.stdout + done.stderr


def test_a_repository_of_other_data_is_left_alone(hub, publish, builds):
    hub.made("alice/thesis", {"data/train.parquet": b"PAR1", "README.md": b"# Mine"})
    before = hub.repo("alice/thesis")
    refused(publish(builds["edits"], "alice/thesis"), "did not publish (data/train.parquet)", "left alone")
    assert hub.repo("alice/thesis") == before
    hub.made("alice/fresh", {".gitattributes": b"", "README.md": b"---\nlicense: mit\n---\n", "LICENSE": b""})
    well(publish(builds["edits"], "alice/fresh"))


def test_a_tag_is_never_moved(hub, publish, builds):
    well(publish(builds["edits"], REPO, "--tag", "v1"))
    before = hub.repo()
    expected = f"lab/tiny has it already, at {before['head'][:8]}"
    refused(publish(builds["replies"], REPO, "--tag", "v1"), expected, "choose the next version")
    refused(publish(builds["replies"], REPO, "--tag", "main"), "has a branch of that name")
    refused(publish(builds["replies"], REPO, "--tag", "a b"), "such as v1.2.0")
    assert hub.repo() == before
    well(publish(builds["replies"], REPO, "--tag", "v2"))
    well(publish(builds["edits"], REPO, "--tag", "v3"))
    refused(publish(builds["edits"], REPO, "--tag", "v1"), "has it already")  # same data, another revision
    assert hub.repo()["tags"]["v1"] == before["head"]


def test_a_card_that_the_hub_refuses(hub, publish, edits):
    card("license: cc-by-4.0", "license: my-own")(edits)
    refused(publish(edits, REPO), "the Hub would refuse the card", "license 'my-own' is none of the Hub's")
    assert hub.repo() is None  # refused before anything is made there


# ---- failures on the way

STAGES = {
    "create": ("POST", "/repos/create"),
    "card": ("POST", "/validate-yaml"),
    "preupload": ("POST", "/preupload/"),
    "batch": ("POST", "/objects/batch"),
    "upload": ("PUT", "/lfs/"),
    "commit": ("POST", "/commit/"),
    "refs": ("GET", "/refs"),
    "tree": ("GET", "/tree/"),
    "download": ("GET", "/resolve/.*parquet"),
    "tag": ("POST", "/tag/"),
}
KINDS = {
    "500": {"status": 500},
    "429": {"status": 429, "headers": {"Retry-After": "1"}},
    "dropped": {"drop": True},
}


@pytest.mark.parametrize(
    ("stage", "kind"),
    [
        (stage, kind)
        for stage in STAGES
        for kind in KINDS
        if kind == "500" or stage not in ("refs", "tree", "download", "tag")
    ],
)
def test_what_fails_once_is_tried_again(hub, publish, builds, stage, kind):
    hub.fails(*STAGES[stage], **KINDS[kind])
    well(publish(builds["replies"], REPO, "--tag", "v1"))
    state = hub.ask("state")
    repo = state["repos"][REPO]
    assert only(repo) == sent(builds["replies"])
    assert repo["tags"] == {"v1": repo["head"]}
    assert len(repo["titles"]) == 2
    assert state["received"] == size_by_lfs(builds["replies"])


@pytest.mark.parametrize("stage", ["card", "preupload", "batch", "upload", "commit"])
def test_what_fails_for_ever_leaves_the_repository_and_the_next_run_sends_the_rest(
    hub, publish, builds, stage
):
    well(publish(builds["replies"], REPO, "--tag", "v1"))
    before, received = hub.repo(), hub.ask("state")["received"]
    hub.fails(*STAGES[stage], times=-1, status=503)
    refused(
        publish(builds["edits"], REPO, "--tag", "v2"),
        "the Hub answered 503",
        "nothing was published",
        "run the same command again",
    )
    assert hub.repo() == before
    hub.ask("well")
    well(publish(builds["edits"], REPO, "--tag", "v2"))
    assert only(hub.repo()) == sent(builds["edits"])
    assert hub.ask("state")["received"] == received + size_by_lfs(builds["edits"])


@pytest.mark.parametrize("stage", ["create", "refs"])
def test_a_hub_that_cannot_even_be_read(hub, publish, builds, stage):
    hub.fails(*STAGES[stage], times=-1, drop=True)
    refused(
        publish(builds["replies"], REPO), "broke off", "nothing was published; run the same command again"
    )


@pytest.mark.parametrize("how", [{"status": 502}, {"drop": True}])
@pytest.mark.parametrize("stage", ["create", "commit"])
def test_what_is_done_but_whose_answer_is_lost_is_not_done_twice(hub, publish, builds, stage, how):
    hub.fails(*STAGES[stage], after=True, **how)
    assert "published, revision" in well(publish(builds["replies"], REPO))
    assert len(hub.repo()["titles"]) == 2


def test_two_at_once_both_end_well_and_one_of_them_stands(hub, builds, tmp_path):
    env = hub.environment(tmp_path, HF_TOKEN="hf_alice")
    command = [sys.executable, "-m", "preceptor.toolkit.cli.main", "publish"]
    both = [
        subprocess.Popen([*command, str(builds[name]), REPO, "--tag", name], env=env)
        for name in ("edits", "replies")
    ]
    assert [wait_for_end(process) for process in both] == [0, 0]
    repo = hub.repo()
    assert only(repo) in [sent(builds["edits"]), sent(builds["replies"])]
    assert len(repo["titles"]) == 3
    assert repo["head"] in repo["tags"].values()
    assert len(set(repo["tags"].values())) == 2


def test_others_who_never_stop_committing(hub, publish, builds):
    hub.fails("POST", "/commit/", times=-1, overtake={"notes.txt": "again"})
    refused(publish(builds["replies"], REPO), "others committed 5 times")
    assert set(only(hub.repo())) == {"notes.txt"}


def test_after_the_commit_a_failure_says_that_it_is_there(hub, publish, builds):
    hub.fails("GET", "/resolve/.*sft/train.parquet", corrupt=True)
    refused(
        publish(builds["edits"], REPO, "--tag", "v1"),
        "sft/train.parquet comes back",
        "do not use this revision",
    )
    assert hub.repo()["tags"] == {}
    hub.fails("POST", "/tag/", times=-1, status=500)
    refused(
        publish(builds["edits"], REPO, "--tag", "v1"), "is published, but has no tag; run the same command"
    )
    hub.ask("well")
    well(publish(builds["edits"], REPO, "--tag", "v1"))
    assert len(hub.repo()["titles"]) == 2


@pytest.mark.parametrize("stage", ["upload", "commit"])
def test_killed_on_the_way_the_repository_is_as_it_was(hub, publish, builds, tmp_path, stage):
    well(publish(builds["replies"], REPO))
    before = hub.repo()
    method, path = STAGES[stage]
    hub.fails(method, path, wait=2, times=-1, drop=True)
    command = [sys.executable, "-m", "preceptor.toolkit.cli.main", "publish", str(builds["edits"]), REPO]
    already = len(hub.ask("state")["arrived"])
    process = subprocess.Popen(command, env=hub.environment(tmp_path, HF_TOKEN="hf_alice"))
    wait_until(
        lambda: any(a.startswith(method) and path in a for a in hub.ask("state")["arrived"][already:]),
        process,
    )
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    assert hub.repo() == before
    hub.ask("well")
    well(publish(builds["edits"], REPO))
    assert only(hub.repo()) == sent(builds["edits"])


@pytest.mark.parametrize(
    ("card", "fault"),
    [
        (
            {"license": "cc-by-4.0", "language": ["en", "gsw"], "size_categories": ["n<1K"], "tags": ["dpo"]},
            "",
        ),
        ({"license": "cc-by-nd-1.0"}, "license"),
        ({"license": "other"}, "license_name"),
        ({"license": "mit", "language": ["pt-BR"]}, "language 'pt-BR'"),
        ({"license": "mit", "language": "English"}, "language 'English'"),
        ({"license": "mit", "size_categories": ["5K"]}, "size_categories"),
        ({"license": "mit", "tags": [""]}, "tags"),
    ],
)
def test_what_the_hub_would_refuse_in_a_card_is_known_before(card, fault):
    assert fault in "; ".join(list_card_faults(card))
    assert bool(fault) == bool(list_card_faults(card))


def test_a_card_that_the_hub_would_refuse_is_refused_in_the_dry_run(hub, publish, edits):
    card("- en\n", "- pt-BR\n")(edits)
    refused(publish(edits, REPO, "--dry-run"), "the Hub would refuse the card: language 'pt-BR'")
