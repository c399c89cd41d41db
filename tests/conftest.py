"""What several test files share."""

import json
import os
import sys
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from examples import TIMES
from filelock import FileLock
from hub_server import Server, running
from hypothesis import HealthCheck, settings
from in_process import run
from places import ROOT
from waiting import run_to_end

from preceptor.annotation.server.environment import make_environment
from preceptor.schemas.licenses import read_license
from preceptor.schemas.recipe import Recipe
from preceptor.schemas.support.files import find_user_cache
from preceptor.toolkit.dataset.build import build
from preceptor.toolkit.ingest.batch import Context
from preceptor.toolkit.ingest.formats import FORMATS
from preceptor.toolkit.ingest.run import Origin, find_inputs, ingest
from preceptor.toolkit.privacy.pseudonyms import make_key, make_pseudonym, read_key
from preceptor.toolkit.store.connection import open_store

os.environ.setdefault("NPROC", "1")  # XLA's threads: a second one doubles the CPU time of fits this small

SLOW = Path(__file__).with_name("slow.txt")

# No deadlines, nor checks of how fast examples are drawn: a busy machine takes its time. In CI the same examples
# every run. See examples.py.
settings.register_profile(
    "preceptor",
    deadline=None,
    derandomize="CI" in os.environ,
    max_examples=40 * TIMES,
    suppress_health_check=[HealthCheck.too_slow],
)
settings.load_profile("preceptor")


def pytest_collection_modifyitems(items):
    """Mark the tests of slow.txt; files with slow tests first, so that no process ends alone with them."""
    listed = set(SLOW.read_text(encoding="utf-8").splitlines())
    for item in items:
        if f"{item.path.relative_to(ROOT).as_posix()}::{getattr(item, 'originalname', item.name)}" in listed:
            item.add_marker(pytest.mark.slow)
    marked = ("slow", "minutes")
    slow = Counter(item.path for item in items if any(map(item.get_closest_marker, marked)))
    items.sort(key=lambda item: -slow[item.path])


@pytest.fixture(scope="session")
def of_all_workers(tmp_path_factory):
    """A folder that all processes of this run of pytest share."""
    base = tmp_path_factory.getbasetemp()
    return base.parent if "PYTEST_XDIST_WORKER" in os.environ else base


@pytest.fixture(scope="session", autouse=True)
def key_file(of_all_workers):
    """The key of pseudonyms, away from the user's own."""
    path = of_all_workers / "pseudonyms.key"
    os.environ["PRECEPTOR_KEY"] = str(path)
    make_key(path)
    return path


@pytest.fixture
def named(key_file):
    """A function from people's ids to their pseudonyms."""

    def name(*ids):
        found = [make_pseudonym(id, read_key(key_file)) for id in ids]
        return found[0] if len(found) == 1 else found

    return name


@pytest.fixture(scope="session")
def shared_data():
    """The real sources beside the project, used in place; tests that need them skip without."""
    folder = ROOT.parent / "shared" / "data"
    if not folder.is_dir():
        pytest.skip("no ../shared/data: the counts of the real corpora are not checked")
    return folder


@pytest.fixture(scope="session")
def shared_cases():
    """Small inputs as strangers bring them, used in place; tests that need them skip without."""
    folder = ROOT.parent / "shared" / "cases"
    if not folder.is_dir():
        pytest.skip("no ../shared/cases: inputs as strangers bring them are not checked")
    return folder


@pytest.fixture
def store(tmp_path):
    """An open, empty store."""
    with open_store(tmp_path / "s.duckdb", create=True) as con:
        yield con


@pytest.fixture(scope="session")
def server_environment():
    """The environment of Argilla's server, kept from run to run in the user's cache."""
    return make_environment(find_user_cache(), print)


@dataclass(frozen=True)
class DemoRun:
    """One finished `preceptor demo`."""

    out: Path
    sample: Path
    stdout: str
    fit: dict[str, Any]


@pytest.fixture(scope="session")
def sample():
    """The packaged sample's folder."""
    return ROOT / "toolkit" / "cli" / "demo" / "sample"


@pytest.fixture(scope="session")
def demo(sample, of_all_workers):
    """`preceptor demo` as a user runs it, once for the whole session (the fit takes a while)."""
    out, said = of_all_workers / "run" / "demo", of_all_workers / "demo.txt"
    with FileLock(of_all_workers / "demo.lock"):
        if not said.exists():
            out.parent.mkdir(exist_ok=True)
            ended = process("demo", "--out", out)
            assert ended.returncode == 0, ended.stderr
            said.write_text(ended.stdout)
    status = run("--store", out / "preceptor.duckdb", "status", "--json")
    (fit,) = json.loads(status.stdout)["fits"]
    return DemoRun(out, sample, said.read_text(), fit)


def process(*arguments, cwd=None, env=None):
    """Run the command line in a process of its own, which starts for a second or more."""
    return run_to_end([sys.executable, "-m", "preceptor.toolkit.cli.main", *arguments], cwd=cwd, env=env)


@pytest.fixture(scope="session")
def preceptor_process():
    """A function that runs the command line in a process of its own."""
    return process


@pytest.fixture(scope="session")
def preceptor():
    """A function that runs the command line in this process: arguments, `cwd`, `env`; see in_process.py."""
    return run


# ---- what goes to the Hub: its stand-in (tests/support/hub), builds to publish, a client

WHOLE_SPLIT = {"train": 1, "validation": 0, "test": 0}
BRIDGE = (
    '{{"c_id": "{0}_1", "c_h": [{{"user": "student", "text": "{0} and 2 is 7?"}}], '
    '"c_r": [{{"user": "tutor", "text": "No."}}], '
    '"c_r_": [{{"user": "tutor", "text": "What is {0} and 1?"}}], "e": "guess"}}'
)


@pytest.fixture(scope="session")
def builds(tmp_path_factory):
    """Folders: `edits` (6 rows, preference and sft, each with its meta), `replies` (5 rows of preference
    and its meta), `local` (not for publication). No fit is needed."""
    top = tmp_path_factory.mktemp("builds")
    sentence = "S Sentence {} have a mistake .\nA 2 3|||R:VERB:SVA|||has|||REQUIRED|||-NONE-|||0\n"
    (top / "s.m2").write_text("\n".join(sentence.format(n) for n in range(6)))
    (top / "b.json").write_text(f"[{', '.join(BRIDGE.format(n) for n in range(5))}]")
    recipes = {
        "edits": {
            "corrections": {"rejected": ["learner"]},
            "sources": ["s"],
            "publish_under": "CC-BY-4.0",
            "configs": ["preference", "sft"],
            "splits": WHOLE_SPLIT | {"shared": True},
        },
        "replies": {
            "pairs": {"policy": "expert-over-novice"},
            "sources": ["b"],
            "publish_under": "CC-BY-4.0",
        },
        "local": {"pairs": {"policy": "expert-over-novice"}, "sources": ["b"]},
    }
    with open_store(top / "s.duckdb", create=True) as con:
        for format, name in (("m2", "s.m2"), ("bridge", "b.json")):
            files = find_inputs(FORMATS[format], [top / name])
            ingest(con, FORMATS[format], files, Context(name[0]), Origin(read_license("CC-BY-4.0")))
        for name, keys in recipes.items():
            build(con, Recipe.model_validate({"name": name, "splits": WHOLE_SPLIT, **keys}), top / name)
    return {name: top / name for name in recipes}


@pytest.fixture(scope="session")
def lfs_server(tmp_path_factory):
    with running("stand_in.py", tmp_path_factory.mktemp("hub") / "root") as process:
        yield Server(process.stdout.readline().strip())


@pytest.fixture
def hub(lfs_server):
    """An empty Hub to which files go by git-LFS."""
    lfs_server.ask("reset")
    return lfs_server


@dataclass
class Ended:
    code: int
    stdout: str
    stderr: str


@pytest.fixture(scope="session")
def client(lfs_server, tmp_path_factory):
    """Runs `preceptor …` as somebody, alice if not said."""
    home = tmp_path_factory.mktemp("home")
    with running("client.py", env=lfs_server.environment(home)) as process:

        def run(*arguments, token="hf_alice"):
            asked = {"arguments": [str(a) for a in arguments], "environment": {"HF_TOKEN": token}}
            process.stdin.write(json.dumps(asked) + "\n")
            process.stdin.flush()
            ended = Ended(**json.loads(process.stdout.readline()))
            assert not token or token not in ended.stdout + ended.stderr
            assert "Traceback" not in ended.stderr
            return ended

        yield run
