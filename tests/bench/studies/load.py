"""How fast the pages of a study answer while many learners are at them, over HTTP on this machine."""

import asyncio
import json
import os
import re
import signal
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import numpy as np

from ..fusion.part import Found, Line

LEARNERS, EACH, THINK_S, SEED = 200, 5, 5.0, 7


def study_load(quick: bool) -> Found:
    """Latency of answers: learners at their own pace, and all in the same instant."""
    learners, each = (10, 2) if quick else (LEARNERS, EACH)
    lines: list[Line] = []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        prepare_study(folder, learners)
        for title, think in (
            (f"one answer in {THINK_S:g} s each", THINK_S),
            ("all at the same instant", 0.0),
        ):
            process, links = start_server(folder)
            try:
                found = asyncio.run(run_learners(links, each, 0.2 if quick and think else think))
            finally:
                process.send_signal(signal.SIGKILL)
                process.wait()
            seconds, kept = np.array([s for s, _ in found]), {uid for _, uid in found}
            lost = len(kept - read_kept(folder))
            spread = tuple(f"{1000 * float(np.quantile(seconds, q)):.0f} ms" for q in (0.5, 0.95, 0.99))
            lines.append((f"{learners} learners, {title}", f"{len(found):,}", *spread, f"{lost}"))
    return Found(
        "Answers over HTTP",
        f"{learners} learners, {each} answers each, pauses exponential; server and learners share "
        f"{os.cpu_count()} cores, one process each; time from sending an answer to the confirmation that it is on "
        f"disk; the server was then killed (SIGKILL) and its journal read. Seed {SEED}.",
        ("", "answers", "median", "p95", "p99", "confirmed and lost"),
        lines,
    )


def prepare_study(folder: Path, learners: int) -> None:
    """Push a study of 40 cards with two explanations each."""
    rows = [
        {"id": f"q{n}", "task": "t", "language": "en", "prompt": f"What is {n} + {n}?", "context": {"answer": str(2 * n)},
         "completions": [{"id": f"q{n}{arm}", "content": f"Explanation {arm} of {n}", "author": arm} for arm in "ab"]}
        for n in range(40)
    ]  # fmt: skip
    (folder / "p.jsonl").write_text("\n".join(map(json.dumps, rows)))
    (folder / "class.csv").write_text("name\n" + "\n".join(f"learner {n}" for n in range(learners)))
    (folder / "consent.txt").write_text("Yes.")
    os.environ.setdefault("PRECEPTOR_KEY", str(folder / "key"))
    for command in (
        ["ingest", "prompts", "p.jsonl", "--source", "p", "--license", "CC0-1.0"],
        [
            "study",
            "push",
            "--study",
            "w",
            "--source",
            "p",
            "--consent",
            "consent.txt",
            "--class",
            "class.csv",
        ],
    ):
        subprocess.run(_cli(*command), cwd=folder, check=True, capture_output=True)


def _cli(*arguments: str) -> list[str]:
    return [sys.executable, "-m", "preceptor.toolkit.cli.main", *arguments]


def start_server(folder: Path) -> "tuple[subprocess.Popen[str], list[str]]":
    """Start a server; return it and the learners' links once it answers."""
    process = subprocess.Popen(
        _cli("study", "serve", "--study", "w", "--port", "0"), cwd=folder, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout
    for line in process.stdout:
        if "Ctrl-C" in line:
            break
    rows = (folder / "study-home/w/links.csv").read_text().splitlines()[1:]
    return process, [row.rsplit(",", 1)[1] for row in rows]


async def run_learners(links: list[str], each: int, think_s: float) -> list[tuple[float, str]]:
    """Let every learner agree and answer; return seconds and number of each confirmed answer."""
    random = np.random.default_rng(SEED)
    pauses = random.exponential(think_s, (len(links), each)) if think_s else np.zeros((len(links), each))
    browsers = [await open_browser(link) for link in links]
    pages = []
    for browser in browsers:  # one after another: coming in is not measured
        _, page = await ask(browser, "GET", "/consent")
        await ask(browser, "POST", "/consent", _fields(page))
        pages.append((await ask(browser, "GET", "/"))[1])
    found: list[tuple[float, str]] = []

    async def study(n: int) -> None:
        text = pages[n]
        for pause in pauses[n]:
            await asyncio.sleep(float(pause))
            form = _fields(text) | {"given": "1"}
            began = time.perf_counter()
            status, said = await ask(browsers[n], "POST", "/answer", form)
            spent = time.perf_counter() - began
            assert status == 200, said
            found.append((spent, str(form["uid"])))
            await ask(browsers[n], "GET", json.loads(said)["next"])
            _, text = await ask(browsers[n], "GET", "/")

    await asyncio.gather(*(study(n) for n in range(len(links))))
    for browser in browsers:
        browser.write.close()
    return found


@dataclass(frozen=True)
class Browser:
    """A connection that stays open, and the cookie of its learner: little beside what the server does."""

    read: asyncio.StreamReader
    write: asyncio.StreamWriter
    host: str
    cookie: str


async def open_browser(link: str) -> Browser:
    """Connect as the learner of a link."""
    host, _, token = link.removeprefix("http://").partition("/l/")
    name, _, port = host.rpartition(":")
    read, write = await asyncio.open_connection(name, int(port))
    return Browser(read, write, host, f"study={token}")


async def ask(
    browser: Browser, method: str, path: str, form: dict[str, Any] | None = None
) -> tuple[int, str]:
    """Send a request and read its answer: status and body."""
    body = urlencode(form).encode() if form else b""
    accept = "application/json" if path == "/answer" else "text/html"
    head = (
        f"{method} {path} HTTP/1.1\r\nhost: {browser.host}\r\ncookie: {browser.cookie}\r\naccept: {accept}\r\n"
        f"content-type: application/x-www-form-urlencoded\r\ncontent-length: {len(body)}\r\n\r\n"
    )
    browser.write.write(head.encode() + body)
    await browser.write.drain()
    answered = (await browser.read.readuntil(b"\r\n\r\n")).decode("latin-1").lower()
    (length,) = re.findall(r"content-length: (\d+)", answered) or ["0"]
    return int(answered[9:12]), (await browser.read.readexactly(int(length))).decode()


def _fields(text: str) -> dict[str, Any]:
    return dict(re.findall(r'<input type="hidden" name="(\w+)" value="([^"]*)"', text))


def read_kept(folder: Path) -> set[str]:
    """Read the numbers of the answers that the journal has."""
    from preceptor.toolkit.practice.study.journal.database import open_journal

    with open_journal(folder / "study-home/w") as con:
        return {row[0] for row in con.execute("SELECT uid FROM events WHERE kind = 'answer'")}
