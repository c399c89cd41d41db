"""Bench of annotation: a campaign to a real Argilla server and back, beside plain requests to one.

Each side has a server of its own, in a process of its own, started and filled outside the clock. What is
ours is the whole command, as a curator types it: Python's start, the choice of questions and what is
written to the store are in it.
"""

import atexit
import json
import os
import re
import resource
import shutil
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .inputs import STORE, ingesting
from .measure import LAST_WORDS, Done, Job, Work, peak_mb

if TYPE_CHECKING:
    import httpx

RECORDS = 500
PEOPLE = ("anna", "ben", "cleo")
_AT_ONCE = 100  # records or answers a request, on every side
_PAGE = 500
_COMMAND = (sys.executable, "-c", LAST_WORDS + "from preceptor.toolkit.cli.main import main; main()")
_START = 600.0  # seconds: the first start makes the server's environment
Json = dict[str, Any]


def prepare_campaign(folder: Path, shrink: int) -> str:
    """A store with as many prompts of two completions as there will be records."""
    records = RECORDS // shrink
    with (folder / "prompts.jsonl").open("w", encoding="utf-8") as out:
        for i in range(records):
            pair = [{"id": f"p{i}-{side}", "content": f"answer {side} to {i} " * 20} for side in "ab"]
            out.write(
                json.dumps({"id": f"p{i}", "task": "qa", "prompt": f"{i}?", "completions": pair}) + "\n"
            )
    ingesting(folder / STORE, "prompts", folder / "prompts.jsonl")()
    (folder / "records").write_text(str(records), encoding="utf-8")
    return f"{records:,} records, {records * len(PEOPLE):,} answers of {len(PEOPLE)} annotators"


@dataclass(frozen=True)
class Campaign:
    """A server with a store of its own beside it."""

    folder: Path
    store: Path
    owner: "httpx.Client"
    accounts: Json
    records: int

    def command(self, *arguments: str) -> Done:
        """Run a command of ours to its end."""
        command = [*_COMMAND, "--store", str(self.store), "annotate", *arguments]
        told = [*command, "--campaign", "bench", "--home", str(self.folder)]
        ended = subprocess.run(
            told, check=False, capture_output=True, text=True, env=_environment(self.folder)
        )
        if ended.returncode:
            raise RuntimeError(ended.stderr.partition("\nName:\t")[0].strip() or ended.stdout.strip())
        return Done(peak_mb=peak_mb(ended.stderr, resource.RUSAGE_CHILDREN))

    def push(self) -> Done:
        """Every pair as a question."""
        done = self.command(
            "push", "--rubric", "pairwise-preference", "--n", str(self.records), "--repeat", "0"
        )
        return Done(f"{self.records:,} records", done.peak_mb)

    def client(self, who: str) -> "httpx.Client":
        """Requests of somebody who has an account."""
        return _client(self.accounts, who)

    def dataset(self, name: str = "bench") -> Json:
        """The dataset of that name."""
        found: list[Json] = _json(self.owner.get("me/datasets"))["items"]
        return next(one for one in found if one["name"] == name)

    def listed(self, dataset: str, **more: str) -> list[Json]:
        """Every record, page by page."""
        found: list[Json] = []
        while len(found) < self.records:
            query: dict[str, str | int] = {"offset": len(found), "limit": _PAGE, **more}
            items = _json(self.owner.get(f"datasets/{dataset}/records", params=query))["items"]
            if not items:
                raise RuntimeError(f"{len(found)} of {self.records} records are there")
            found += items
        return found


def push_ours(job: Job) -> Work:
    """`preceptor annotate push`: questions are chosen, noted in the store, and put to annotators."""
    return _campaign(job, "ours").push


def push_plain(job: Job) -> Work:
    """The same records to a second dataset of the same settings, a hundred a request."""
    campaign = _campaign(job, "plain")
    campaign.push()
    first = campaign.dataset()
    bodies = [
        {"fields": record["fields"], "external_id": record["external_id"], "metadata": record["metadata"]}
        for record in campaign.listed(first["id"])
    ]
    place = _second(campaign.owner, first)

    def work() -> Done:
        for start in range(0, len(bodies), _AT_ONCE):
            _json(campaign.owner.put(place, json={"items": bodies[start : start + _AT_ONCE]}))
        return Done(f"{len(bodies):,} records")

    return work


def pull_ours(job: Job) -> Work:
    """`preceptor annotate pull`: answers with their history, votes, annotators, rejects."""
    campaign = _answered(job, "ours")

    def work() -> Done:
        done = campaign.command("pull")
        return Done(f"{_votes(campaign.store):,} votes", done.peak_mb)

    return work


def pull_plain(job: Job) -> Work:
    """The same answers as a list."""
    campaign = _answered(job, "plain")
    dataset = campaign.dataset()["id"]

    def work() -> Done:
        answers = [
            (record["external_id"], response["user_id"], response["values"])
            for record in campaign.listed(dataset, include="responses")
            for response in record["responses"]
        ]
        return Done(f"{len(answers):,} answers")

    return work


def _campaign(job: Job, side: str) -> Campaign:
    """A fresh server and a copy of the store; the server ends with this process."""
    import httpx

    home = job.folder / f"home-{side}-{job.repetition}"
    store = job.folder / f"{side}-{job.repetition}.duckdb"
    shutil.rmtree(home, ignore_errors=True)
    shutil.copyfile(job.folder / STORE, store)
    command = [*_COMMAND, "annotate", "serve", "--home", str(home), "--port", "0"]
    for who in PEOPLE:
        command += ["--annotator", who]
    with (job.folder / f"serve-{side}-{job.repetition}.log").open("w", encoding="utf-8") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log, env=_environment(home))
    atexit.register(_stop, process)
    accounts = _accounts(home, process, Path(log.name))
    owner = _client(accounts, "owner")
    for _ in range(100):  # it listens a moment after its accounts are written
        try:
            owner.get("me").raise_for_status()
            break
        except httpx.TransportError:
            time.sleep(0.2)
    records = int((job.folder / "records").read_text(encoding="utf-8"))
    return Campaign(home, store, owner, accounts, records)


def _stop(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    process.wait(60)


def _environment(home: Path) -> dict[str, str]:
    """The key that the store was made with, not the user's own."""
    return os.environ | {"PRECEPTOR_KEY": str(home.parent / "pseudonyms.key")}


def _accounts(home: Path, process: subprocess.Popen[bytes], log: Path) -> Json:
    """What the server says of itself, once it says that it is up."""
    until = time.monotonic() + _START
    while time.monotonic() < until:
        if process.poll() is not None:
            break
        if re.search(r"Argilla at http", log.read_text(encoding="utf-8")):
            found: Json = json.loads((home / "accounts.json").read_text(encoding="utf-8"))
            return found
        time.sleep(0.2)
    raise RuntimeError(f"the server did not start: {log.read_text(encoding='utf-8')[-500:]}")


def _client(accounts: Json, who: str) -> "httpx.Client":
    import httpx

    key = accounts["accounts"][who]["api_key"]
    return httpx.Client(
        base_url=f"{accounts['url']}/api/v1/",
        headers={"X-Argilla-Api-Key": key},
        timeout=120,
        trust_env=False,
    )


def _json(answer: "httpx.Response") -> Json:
    if not answer.is_success:
        raise RuntimeError(f"{answer.status_code}: {answer.text[:300]}")
    found: Json = answer.json()
    return found


def _second(owner: "httpx.Client", first: Json) -> str:
    """Another dataset of the same settings; where its records are put."""
    body = {key: first[key] for key in ("guidelines", "allow_extra_metadata", "distribution", "workspace_id")}
    made = _json(owner.post("datasets", json=body | {"name": "plain"}))
    for what, listed in (
        ("fields", "datasets"),
        ("questions", "datasets"),
        ("metadata-properties", "me/datasets"),
    ):
        for part in _json(owner.get(f"{listed}/{first['id']}/{what}"))["items"]:
            names = ("name", "title", "required", "settings", "description", "visible_for_annotators")
            told = {name: part[name] for name in names if part.get(name) is not None}
            _json(owner.post(f"datasets/{made['id']}/{what}", json=told))
    _json(owner.put(f"datasets/{made['id']}/publish"))
    return f"datasets/{made['id']}/records/bulk"


def _answered(job: Job, side: str) -> Campaign:
    """A campaign of which every annotator has answered every record."""
    campaign = _campaign(job, side)
    campaign.push()
    ids = [record["id"] for record in campaign.listed(campaign.dataset()["id"])]
    for n, who in enumerate(PEOPLE):
        with campaign.client(who) as client:
            items = [
                {
                    "record_id": id,
                    "status": "submitted",
                    "values": {"preference": {"value": ("first", "second", "tie")[(n + k) % 3]}},
                }
                for k, id in enumerate(ids)
            ]
            for start in range(0, len(items), _AT_ONCE):
                _json(client.post("me/responses/bulk", json={"items": items[start : start + _AT_ONCE]}))
    return campaign


def _votes(store: Path) -> int:
    from preceptor.schemas.tables import TABLES
    from preceptor.toolkit.store.connection import count, open_store

    with open_store(store, read_only=True) as con:
        return count(con, TABLES["votes"])
