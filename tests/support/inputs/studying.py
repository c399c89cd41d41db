"""Servers of studies in processes of their own, and learners who answer over HTTP."""

import html
import json
import re
import signal
import subprocess
import sys
from contextlib import contextmanager

import httpx
from waiting import wait_for_end, wait_until

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


def prepare(folder, preceptor):
    """Fill a folder with a store and files; a function that runs `preceptor` in it, which must end well."""
    (folder / "p.jsonl").write_text("\n".join(map(json.dumps, PROMPTS)))
    (folder / "s.m2").write_text(M2)
    (folder / "ex.yaml").write_text("name: g\nsources: [s]\nexercises: [cloze, choice, spot, rewrite]\n")
    (folder / "consent.txt").write_text("We keep your answers under a random number.")
    (folder / "class.csv").write_text(CLASS)

    def run(*arguments, code=0):
        ended = preceptor(*arguments, cwd=folder)
        assert ended.returncode == code, ended.stdout + ended.stderr
        return ended.stdout + ended.stderr

    run.folder = folder
    run("ingest", "prompts", "p.jsonl", "--source", "mine", "--license", "CC-BY-4.0")
    run("ingest", "m2", "s.m2", "--source", "s", "--license", "CC-BY-4.0")
    run("exercises", "build", "ex.yaml")
    return run


@contextmanager
def serving(folder, *options, study="w"):
    """Run `preceptor study serve` in a process of its own; yield it with `url` and `teacher`."""
    command = [
        sys.executable,
        "-m",
        "preceptor.toolkit.cli.main",
        "study",
        "serve",
        "--study",
        study,
        "--port",
        "0",
    ]
    log = folder / "serve.log"
    with log.open("w") as stream:
        process = subprocess.Popen([*command, *options], cwd=folder, stdout=stream, stderr=subprocess.STDOUT)
    try:
        wait_until(lambda: "Ctrl-C" in log.read_text(), process, log)
        process.url = re.search(r"(?:study|campaign) at (\S+)", log.read_text())[1]
        process.teacher = re.search(r"(?:teacher|team)'s page: (\S+)", log.read_text())[1]
        process.links = dict(
            line.rsplit(",", 1)
            for line in (folder / "study-home" / study / "links.csv").read_text().splitlines()[1:]
        )
        yield process
    finally:
        if process.poll() is None:
            process.send_signal(signal.SIGTERM)
            wait_for_end(process, log)


class Learner:
    """A learner with a browser of their own."""

    def __init__(self, url, link=None):
        self.client = httpx.Client(base_url=url, follow_redirects=True, timeout=60)
        self.page = self.client.get(link) if link else None

    def fields(self):
        return dict(re.findall(r'<input type="hidden" name="(\w+)" value="([^"]*)"', self.page.text))

    def agree(self):
        assert self.page.url.path == "/consent"
        self.page = self.client.post("/consent", data=self.fields())
        return self

    @property
    def kind(self):
        found = re.search(r'data-kind="(\w+)"', self.page.text)
        return found and found[1]

    @property
    def asked(self):
        """The text of the exercise, as a person reads it."""
        return html.unescape(
            re.sub(
                r"<[^>]+>", "", re.search(r'<div class="card text"[^>]*>(.*?)</div>', self.page.text, re.S)[1]
            )
        )

    @property
    def verdict(self):
        found = re.search(r'class="verdict (\w+)"', self.page.text)
        return found and found[1]

    def answer(self, given):
        sent = self.fields() | {"given": given}
        self.page = self.client.post("/answer", data=sent)
        assert self.page.status_code == 200, self.page.text
        return sent

    def say(self, kind, **fields):
        self.page = self.client.post(f"/say/{kind}", data=self.fields() | fields)

    def go_on(self):
        self.page = self.client.get("/")


def prepare_campaign(folder, preceptor, rubric="pairwise-preference", *options):
    """Fill a folder with a store and a campaign `week-1` on pages, for ada, ben and cleo."""
    (folder / "p.jsonl").write_text("\n".join(map(json.dumps, PROMPTS)))

    def run(*arguments, code=0):
        ended = preceptor(*arguments, cwd=folder)
        assert ended.returncode == code, ended.stdout + ended.stderr
        return ended.stdout + ended.stderr

    run.folder = folder
    run("ingest", "prompts", "p.jsonl", "--source", "mine", "--license", "CC-BY-4.0")
    run.push = (
        "annotate", "push", "--campaign", "week-1", "--rubric", rubric, "--serve", "study", "--n", 4, "--repeat", 0,
        "--license", "CC-BY-4.0", *options,
    )  # fmt: skip
    run(*run.push, "--annotator", "ada", "--annotator", "ben", "--annotator", "cleo")
    return run


class Annotator(Learner):
    """An annotator with a browser of their own."""

    @property
    def question(self):
        """Key of the question that is shown; None if none is."""
        found = re.search(r'data-question="(\w+)"', self.page.text)
        return found and found[1]

    @property
    def sides(self):
        """Texts of the answers in the order they are shown."""
        shown = re.findall(r'<section class="side".*?</h2>(.*?)</section>', self.page.text, re.S)
        return [html.unescape(re.sub(r"<[^>]+>", "", side)) for side in shown]

    def judge(self, choice=None, comment="", **levels):
        sent = self.fields() | {"choice": choice or "", "comment": comment} | levels
        self.page = self.client.post("/judge", data=sent)
        return sent

    def prefer(self, text, comment=""):
        """Choose the side that has this text."""
        first, _ = self.sides
        return self.judge("first" if text in first else "second", comment)

    def post(self, path):
        self.page = self.client.post(path, data=self.fields())
