"""A small study, pushed once, and a server of it."""

import json

import pytest
from studying import Learner, serving

PROMPTS = [
    {
        "id": f"q{n}",
        "task": "mnemonic",
        "group": word,
        "language": "en",
        "prompt": f"What does {word} mean?",
        "context": {"answer": meaning},
        "completions": [
            {"id": f"q{n}-{author}", "content": f"{word}: {text}", "author": author, "origin": "model"}
            for author, text in (("tuned", "a picture"), ("base", "a rule"))
        ],
    }
    for n, (word, meaning) in enumerate(
        [("quell", "to suppress"), ("candid", "honest"), ("arid", "dry"), ("mirth", "joy")]
    )
]
M2 = """S He go to school .
A 1 2|||R:VERB:SVA|||goes|||REQUIRED|||-NONE-|||0

S She have <b>two</b> dog .
A 1 2|||R:VERB:SVA|||has|||REQUIRED|||-NONE-|||0
A 3 4|||R:NOUN:NUM|||dogs|||REQUIRED|||-NONE-|||0

"""
CLASS = "name,first_language\nAnna,uk\nBen,de\nCleo,et\nDora <b>x</b>,en\n"


@pytest.fixture
def place(tmp_path, preceptor):
    """A folder with a store, and `preceptor` in it; the command must end well."""
    (tmp_path / "p.jsonl").write_text("\n".join(map(json.dumps, PROMPTS)))
    (tmp_path / "s.m2").write_text(M2)
    (tmp_path / "ex.yaml").write_text("name: g\nsources: [s]\nexercises: [cloze, choice, spot, rewrite]\n")
    (tmp_path / "consent.txt").write_text("We keep your answers under a random number.")
    (tmp_path / "class.csv").write_text(CLASS)

    def run(*arguments, code=0):
        ended = preceptor(*arguments, cwd=tmp_path)
        assert ended.returncode == code, ended.stdout + ended.stderr
        return ended.stdout + ended.stderr

    run.folder = tmp_path
    run("ingest", "prompts", "p.jsonl", "--source", "mine", "--license", "CC-BY-4.0")
    run("ingest", "m2", "s.m2", "--source", "s", "--license", "CC-BY-4.0")
    run("exercises", "build", "ex.yaml")
    return run


@pytest.fixture
def pushed(place):
    """The same with a study `w` of cards alone, whose votes are asked for each time."""
    place(
        "study", "push", "--study", "w", "--source", "mine", "--consent", "consent.txt", "--class", "class.csv",
        "--code", "frog", "--vote-share", 1, "--rubric", "socratic", "--rate-every", 2, "--license", "CC-BY-4.0",
    )  # fmt: skip
    return place


@pytest.fixture
def served(pushed):
    with serving(pushed.folder) as process:
        yield process


@pytest.fixture
def learner(served):
    return lambda name: Learner(served.url, served.links[name])
