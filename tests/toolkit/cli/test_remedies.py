"""What a message advises helps: each fault is made, the remedy is read from the message, applied, and works."""

import re
import shlex
import shutil

import pytest
from invented import prompts_file

EXPORT = "annotate export --rubric pairwise-preference --n 6 --out f.csv"
OUTCOMES = """name: r
outcomes:
  - {{reviews: {reviews}, about: {about}, measure: turns}}
"""

# Name -> a command that fails, the remedy in its message as a pattern, and the commands that apply it; {0} and {1}
# are the pattern's groups, {failed} is the command that failed. The last command must succeed.
REMEDIES = {
    "no store": (
        "--store none.duckdb status",
        r"ingest something first \(preceptor ingest --help\)",
        ["--store none.duckdb ingest prompts p.jsonl --source p", "--store none.duckdb status"],
    ),
    "another store": (
        "--store s.duckd status",
        r"point --store at an existing one",
        ["--store s.duckdb status"],
    ),
    "rejects of a source": ("status --rejects promts", r"did you mean '(.+?)'\?", ["status --rejects {0}"]),
    "agreement of a source": (
        "annotate agreement --source vote",
        r"did you mean '(.+?)'\?",
        ["annotate agreement --source {0}"],
    ),
    "no campaign": (
        "annotate export --campaign week-9 --n 6 --out f.csv",
        r"(preceptor annotate export --campaign week-9 --rubric) NAME begins one",
        ["{0} pairwise-preference --n 6 --out f.csv"],
    ),
    "a campaign": (
        "annotate import f.csv --campaign week-2",
        r"did you mean '(.+?)'\?",
        [f"{EXPORT} --campaign {{0}}", "annotate import f.csv --campaign {0}"],
    ),
    "a source's name": (
        f"{EXPORT} --campaign prompts",
        r"choose another --campaign",
        [f"{EXPORT} --campaign c"],
    ),
    "no fit to choose by": (
        f"{EXPORT} --campaign c --select information",
        r"or use (--select coverage)",
        [f"{EXPORT} --campaign c {{0}}"],
    ),
    "overlap": (
        f"{EXPORT} --campaign c --overlap 2 --annotator ada",
        r"--overlap 2 needs as many --annotator",
        ["{failed} --annotator ben"],
    ),
    "prompts of a source": (
        f"{EXPORT} --campaign c --source promts",
        r"did you mean '(.+?)'\?",
        [f"{EXPORT} --campaign c --source {{0}}"],
    ),
    "a form's ending": (
        f"{EXPORT[:-1]} --campaign c".replace("f.cs", "f.txt"),
        r"a form ends in (\.csv)",
        [f"{EXPORT} --campaign c"],
    ),
    "another rubric": (
        "annotate export --campaign week-1 --rubric socratic --out g.csv",
        r"begin another --campaign",
        ["annotate export --campaign week-2 --rubric socratic --n 6 --out g.csv"],
    ),
    "that rubric": (
        "annotate export --campaign week-1 --rubric socratic --out g.csv",
        r"asked by the rubric '(.+?)'.*give that rubric",
        ["annotate export --campaign week-1 --rubric {0} --out g.csv"],
    ),
    "forms only": (
        "annotate pull --campaign week-1",
        r"'(preceptor annotate import) FILE (--campaign week-1)'",
        ["annotate export --campaign week-1 --out h.csv", "{0} h.csv {1}"],
    ),
    "a rubric": ("rubric show socratc", r"did you mean '(.+?)'\?", ["rubric show {0}"]),
    "a rubric that is there": (
        "rubric new clarity --from socratic",
        r"choose another --out",
        ["rubric new clarity --from socratic --out other.yaml"],
    ),
    "no personal data of a source": (
        "scan --source promts",
        r"did you mean '(.+?)'\?",
        ["scan --source {0}"],
    ),
    "a region": ("scan --region Germany", r"expected a code such as (US)", ["scan --region {0}"]),
    "a log": (
        "outcomes log.yaml",
        r"reviews: 'study-lgo' holds no reviews; did you mean '(.+?)'\?",
        ["write log.yaml {0} prompts", "outcomes log.yaml"],
    ),
    "what a log is about": (
        "outcomes about.yaml",
        r"about: 'promts' holds no completions; did you mean '(.+?)'\?",
        ["write about.yaml study-log {0}", "outcomes about.yaml"],
    ),
    "sentences of a source": (
        "export m2 --source sentence --out x.m2",
        r"did you mean '(.+?)'\?",
        ["export m2 --source {0} --out x.m2"],
    ),
}


def run(preceptor, folder, command):
    words = shlex.split(command.removeprefix("preceptor "))
    if words[0] == "write":
        (folder / words[1]).write_text(OUTCOMES.format(reviews=words[2], about=words[3]))
        return None
    where = [] if "--store" in words else ["--store", "s.duckdb"]
    return preceptor(*where, *words, cwd=folder)


@pytest.fixture(scope="module")
def made(preceptor, tmp_path_factory):
    """A folder with a store of prompts, votes, a log, sentences and a campaign."""
    folder = tmp_path_factory.mktemp("made")
    prompts_file(folder / "p.jsonl", prompts=6, completions=3)
    files = {
        "v.csv": "completion_a,completion_b,choice,annotator\np0-0,p0-1,a,x\np1-0,p1-1,b,y\n",
        "log.csv": "learner,item,correct,at\nl,p0-0,0,2026-01-01T10:00:00Z\nl,p0-0,1,2026-01-02T10:00:00Z\n",
        "s.m2": "S It have a mistake .\nA 1 2|||R:VERB:SVA|||has|||REQUIRED|||-NONE-|||0\n\n",
        "log.yaml": OUTCOMES.format(reviews="study-lgo", about="prompts"),
        "about.yaml": OUTCOMES.format(reviews="study-log", about="promts"),
        "full/x": "",
    }
    (folder / "full").mkdir()
    for name, text in files.items():
        (folder / name).write_text(text)
    for command in (
        "ingest prompts p.jsonl --source prompts --license MIT",
        "ingest votes v.csv --source votes --about prompts",
        "ingest reviews log.csv --source study-log",
        "ingest m2 s.m2 --source sentences",
        f"{EXPORT} --campaign week-1".replace("f.csv", "first.csv"),
        "rubric new clarity --from socratic",
    ):
        ended = run(preceptor, folder, command)
        assert ended.returncode == 0, (command, ended.stdout + ended.stderr)
    return folder


@pytest.fixture
def project(made, preceptor, tmp_path):
    """Run a command in a copy of that folder."""
    shutil.copytree(made, tmp_path / "p")
    return lambda command: run(preceptor, tmp_path / "p", command)


@pytest.mark.parametrize("name", REMEDIES)
def test_a_remedy_works(project, name):
    failing, pattern, remedy = REMEDIES[name]
    failed = project(failing)
    assert failed.returncode in (1, 2), failed.stdout
    said = re.search(pattern, failed.stderr)
    assert said, failed.stderr
    for command in remedy:
        applied = command.format(*said.groups(), failed=failing)
        ended = project(applied)
    assert ended.returncode == 0, (applied, ended.stdout + ended.stderr)
