"""Servers of studies in processes of their own, and learners who answer over HTTP."""

import html
import re
import signal
import subprocess
import sys
from contextlib import contextmanager

import httpx
from waiting import wait_for_end, wait_until


@contextmanager
def serving(folder, *options):
    """Run `preceptor study serve` in a process of its own; yield it with `url` and `teacher`."""
    command = [
        sys.executable,
        "-m",
        "preceptor.toolkit.cli.main",
        "study",
        "serve",
        "--study",
        "w",
        "--port",
        "0",
    ]
    log = folder / "serve.log"
    with log.open("w") as stream:
        process = subprocess.Popen([*command, *options], cwd=folder, stdout=stream, stderr=subprocess.STDOUT)
    try:
        wait_until(lambda: "Ctrl-C" in log.read_text(), process, log)
        process.url = re.search(r"study at (\S+)", log.read_text())[1]
        process.teacher = re.search(r"teacher's page: (\S+)", log.read_text())[1]
        process.links = dict(
            line.rsplit(",", 1) for line in (folder / "study-home/w/links.csv").read_text().splitlines()[1:]
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
