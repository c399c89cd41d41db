"""Argilla's server as one process: who may do what, what a search finds, what outlives it."""

import contextlib
import itertools
import json
import os
import random
import shutil
import signal
import socket
import sqlite3
import stat
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import httpx
import pytest
from waiting import IDLE, wait_for_end, wait_until

from preceptor.annotation.server import environment as environment_module
from preceptor.annotation.server import serve as serve_module
from preceptor.annotation.server.accounts import Account, read_accounts, settle_accounts
from preceptor.annotation.server.environment import READY, make_environment
from preceptor.annotation.server.serve import run_server
from preceptor.schemas.errors import AnnotationError

WORDS = ["cell", "wall", "leaf", "root", "photosynthesis", "can't", "Über"]
FINDINGS = ["submitted", "discarded", "draft"]


class Client(httpx.Client):
    """Argilla's API as somebody; what is refused raises with what the server said."""

    def __init__(self, url, api_key):
        super().__init__(
            base_url=f"{url}/api/v1", headers={"X-Argilla-Api-Key": api_key}, timeout=IDLE, trust_env=False
        )

    def do(self, method, path, **how):
        answer = self.request(method, path, **how)
        assert answer.is_success, f"{method} {path}: {answer.status_code} {answer.text[:300]}"
        return answer.json() if answer.content else None


def client(server, name="owner"):
    return Client(server.url, server.accounts[name].api_key)


def make_dataset(owner, workspace, name="pairs", overlap=2):
    """A published dataset of two texts, a choice, a rating, and metadata of which `golden` is the owner's."""
    spaces = {w["name"]: w["id"] for w in owner.do("GET", "/me/workspaces")["items"]}
    if workspace not in spaces:
        spaces[workspace] = owner.do("POST", "/workspaces", json={"name": workspace})["id"]
    made = owner.do(
        "POST",
        "/datasets",
        json={
            "name": name,
            "workspace_id": spaces[workspace],
            "distribution": {"strategy": "overlap", "min_submitted": overlap},
        },
    )
    path = f"/datasets/{made['id']}"
    for field in ("left", "right"):
        owner.do(
            "POST",
            f"{path}/fields",
            json={"name": field, "title": field, "required": True, "settings": {"type": "text"}},
        )
    questions = {}
    for question, settings in (
        (
            "preference",
            {"type": "label_selection", "options": [{"value": v, "text": v} for v in ("a", "b", "tie")]},
        ),
        ("quality", {"type": "rating", "options": [{"value": v} for v in range(1, 6)]}),
    ):
        questions[question] = owner.do(
            "POST",
            f"{path}/questions",
            json={
                "name": question,
                "title": question,
                "required": question == "preference",
                "settings": settings,
            },
        )["id"]
    for metadata, type, visible in (
        ("book", "terms", True),
        ("length", "integer", True),
        ("gain", "float", True),
        ("golden", "terms", False),
    ):
        owner.do(
            "POST",
            f"{path}/metadata-properties",
            json={
                "name": metadata,
                "title": metadata,
                "settings": {"type": type},
                "visible_for_annotators": visible,
            },
        )
    owner.do("PUT", f"{path}/publish")
    return made["id"], questions


def some_records(count, questions, seed=0):
    rnd = random.Random(seed)
    records = []
    for n in range(count):
        metadata = {
            "book": rnd.choice(["bio", "geo", "art"]),
            "length": n % 7,
            "gain": rnd.randrange(8) / 8,
            "golden": "yes" if n % 10 == 0 else "no",
        }
        if n % 5 == 4:
            del metadata["length"]
        records.append(
            {
                "external_id": f"r{n:03d}",
                "fields": {side: " ".join(rnd.choices(WORDS, k=4)) for side in ("left", "right")},
                "metadata": metadata,
                "suggestions": []
                if n % 4 == 3
                else [
                    {
                        "question_id": questions["preference"],
                        "value": rnd.choice(["a", "b", "tie"]),
                        "score": rnd.randrange(5) / 4,
                        "agent": rnd.choice(["fit", "judge"]),
                    },
                    {"question_id": questions["quality"], "value": rnd.randint(1, 5), "agent": "fit"},
                ],
            }
        )
    return records


def answer(who, record_id, preference, quality=None, status="submitted"):
    values = {"preference": {"value": preference}}
    if quality:
        values["quality"] = {"value": quality}
    return who.do("POST", f"/records/{record_id}/responses", json={"values": values, "status": status})


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    return tmp_path_factory.mktemp("serve") / "home"


@pytest.fixture(scope="module")
def server(server_environment, home):
    with run_server(home, server_environment, annotators=["ada", "ben", "cy"]) as started:
        yield started


class Filled:
    """A dataset with answers, and what a plain loop over all of it says."""

    def __init__(self, server):
        self.owner, self.ada, self.ben = (client(server, name) for name in ("owner", "ada", "ben"))
        self.id, questions = make_dataset(self.owner, server.workspace)
        self.owner.do(
            "POST", f"/datasets/{self.id}/records/bulk", json={"items": some_records(60, questions)}
        )
        rnd = random.Random(1)
        ids = [record["id"] for record in self.everything()]
        for who, share in ((self.ada, ids[:40]), (self.ben, ids[20:50])):
            for record_id in share:
                status = rnd.choice(["submitted", "submitted", "draft", "discarded"])
                answer(who, record_id, rnd.choice(["a", "b", "tie"]), rnd.choice([None, 1, 3, 5]), status)
        self.records = self.everything()
        self.users = {
            name: who.do("GET", "/me")["id"] for name, who in (("ada", self.ada), ("ben", self.ben))
        }
        self.questions = {id: name for name, id in questions.items()}

    def everything(self):
        """All records, as pages of the plain list that needs no search engine."""
        pages = (
            self.owner.do(
                "GET",
                f"/datasets/{self.id}/records",
                params={"offset": at, "limit": 25, "include": ["responses", "suggestions"]},
            )["items"]
            for at in (0, 25, 50, 75)
        )
        return list(itertools.chain.from_iterable(pages))

    def search(self, who=None, limit=1000, offset=0, **body):
        me = "/me" if who else ""
        found = (who or self.owner).do(
            "POST",
            f"{me}/datasets/{self.id}/records/search",
            params={"limit": limit, "offset": offset, "include": ["responses"]},
            json=body,
        )
        return [item["record"] for item in found["items"]], found["total"]

    def suggested(self, record, question, property):
        return [s[property] for s in record["suggestions"] if self.questions[s["question_id"]] == question]


@pytest.fixture(scope="module")
def filled(server):
    return Filled(server)


def terms(scope, *values):
    return {"type": "terms", "scope": scope, "values": list(values)}


def between(scope, ge=None, le=None):
    return {"type": "range", "scope": scope, "ge": ge, "le": le}


def metadata(name):
    return {"entity": "metadata", "metadata_property": name}


def suggestion(question, property="value"):
    return {"entity": "suggestion", "question": question, "property": property}


def response(question):
    return {"entity": "response", "question": question}


STATUS = {"entity": "response", "property": "status"}
RECORD_STATUS = {"entity": "record", "property": "status"}


def responded(record, question, user=None):
    return [
        r["values"][question]["value"]
        for r in record["responses"]
        if user in (None, r["user_id"]) and question in (r["values"] or {})
    ]


def statuses(record, user=None):
    return {r["status"] for r in record["responses"] if user in (None, r["user_id"])} or {"pending"}


def cases(filled, user=None):
    """Filters, each with what it means in a plain loop."""
    return [
        (terms(metadata("book"), "bio", "art"), lambda r: r["metadata"]["book"] in ("bio", "art")),
        (terms(metadata("length"), "3", "5"), lambda r: r["metadata"].get("length") in (3, 5)),
        (between(metadata("length"), 2, 4), lambda r: 2 <= r["metadata"].get("length", -1) <= 4),
        (between(metadata("gain"), le=0.5), lambda r: r["metadata"]["gain"] <= 0.5),
        (
            terms(suggestion("preference"), "tie"),
            lambda r: "tie" in filled.suggested(r, "preference", "value"),
        ),
        (
            between(suggestion("preference", "score"), 0.5),
            lambda r: max(filled.suggested(r, "preference", "score"), default=-1) >= 0.5,
        ),
        (
            terms(suggestion("preference", "agent"), "judge"),
            lambda r: "judge" in filled.suggested(r, "preference", "agent"),
        ),
        (
            between(suggestion("quality"), 2, 3),
            lambda r: any(2 <= v <= 3 for v in filled.suggested(r, "quality", "value")),
        ),
        (terms(response("preference"), "a"), lambda r: "a" in responded(r, "preference", user)),
        (between(response("quality"), 3), lambda r: any(v >= 3 for v in responded(r, "quality", user))),
        (terms(STATUS, "pending"), lambda r: statuses(r, user) == {"pending"}),
        (terms(STATUS, "submitted", "draft"), lambda r: bool(statuses(r, user) & {"submitted", "draft"})),
        (terms(STATUS, "pending", "discarded"), lambda r: bool(statuses(r, user) & {"pending", "discarded"})),
        (terms(RECORD_STATUS, "completed"), lambda r: r["status"] == "completed"),
        (
            terms({"entity": "record", "property": "external_id"}, "r001", "r002", "nobody"),
            lambda r: r["external_id"] in ("r001", "r002"),
        ),
        (
            terms({"entity": "record", "property": "id"}, filled.records[7]["id"], "no id"),
            lambda r: r == filled.records[7],
        ),
        (
            between({"entity": "record", "property": "inserted_at"}, ge=filled.records[30]["inserted_at"]),
            lambda r: r["inserted_at"] >= filled.records[30]["inserted_at"],
        ),
    ]


def words_of(record, field=None):
    texts = [record["fields"][field]] if field else record["fields"].values()
    return {word.casefold() for text in texts for word in text.split()}


QUERIES = [
    ({"q": "cell wall"}, lambda r: {"cell", "wall"} <= words_of(r)),
    ({"q": "CELL -wall"}, lambda r: "cell" in words_of(r) and "wall" not in words_of(r)),
    ({"q": "cell | (leaf root)"}, lambda r: "cell" in words_of(r) or {"leaf", "root"} <= words_of(r)),
    ({"q": '"cell wall"'}, lambda r: any("cell wall" in t for t in r["fields"].values())),
    ({"q": "photo*", "field": "left"}, lambda r: "photosynthesis" in words_of(r, "left")),
    ({"q": "u\u0308ber can't"}, lambda r: {"über", "can't"} <= words_of(r)),
    ({"q": "- ?"}, lambda r: False),
]


def names(records):
    return [record["external_id"] for record in records]


@pytest.mark.parametrize("as_ada", [False, True], ids=["owner", "annotator"])
def test_a_search_finds_what_a_loop_over_everything_finds(filled, as_ada):
    """Each filter and query alone, then fifty random combinations of up to three."""
    who, user = (filled.ada, filled.users["ada"]) if as_ada else (None, None)
    single = cases(filled, user)
    rnd = random.Random(2)
    asked = [([case], None) for case in single] + [([], query) for query in QUERIES]
    asked += [(rnd.sample(single, rnd.randint(1, 3)), rnd.choice([None, *QUERIES])) for _ in range(50)]
    sizes = set()
    for filters, query in asked:
        tests = [test for _, test in filters] + ([query[1]] if query else [])
        expected = [r["external_id"] for r in filled.records if all(test(r) for test in tests)]
        body = {"filters": {"and": [f for f, _ in filters]}} if filters else {}
        if query:
            body["query"] = {"text": query[0]}
        found, total = filled.search(who, **body)
        assert (sorted(names(found)), total) == (sorted(expected), len(expected)), body
        if not as_ada:
            assert names(found) == expected, "not in the order in which they were added"
        sizes.add(total)
    assert len(sizes) > 10


def mean(values):
    return sum(values) / len(values) if values else None


@pytest.mark.parametrize("order", ["asc", "desc"])
def test_a_sort_puts_records_in_that_order_and_those_without_a_value_last(filled, order):
    for scope, value in (
        (metadata("length"), lambda r: r["metadata"].get("length")),
        (metadata("book"), lambda r: r["metadata"]["book"]),
        (suggestion("preference", "score"), lambda r: mean(filled.suggested(r, "preference", "score"))),
        (suggestion("preference"), lambda r: min(filled.suggested(r, "preference", "value"), default=None)),
        (response("quality"), lambda r: mean(responded(r, "quality"))),
        ({"entity": "record", "property": "inserted_at"}, lambda r: r["inserted_at"]),
        ({"entity": "record", "property": "external_id"}, lambda r: r["external_id"]),
    ):
        have = [r for r in filled.records if value(r) is not None]
        expected = sorted(have, key=value, reverse=order == "desc")  # stable: equal ones as they were added
        expected += [r for r in filled.records if value(r) is None]
        found, _ = filled.search(sort=[{"scope": scope, "order": order}])
        assert names(found) == names(expected), scope


def test_pages_put_together_are_the_whole(filled):
    some = {"filters": {"and": [terms(metadata("book"), "bio", "geo")]}}
    by_length = {"sort": [{"scope": metadata("length"), "order": "desc"}]}
    for who, body in ((None, some), (None, {**some, **by_length}), (filled.ada, some), (filled.ben, {})):
        whole, total = filled.search(who, **body)
        pages = [filled.search(who, limit=7, offset=at, **body) for at in range(0, 70, 7)]
        assert names(r for page, _ in pages for r in page) == names(whole)
        assert {t for _, t in pages} == {total}


def test_each_annotator_has_an_own_order_that_stays(filled):
    orders = [names(filled.search(who)[0]) for who in (filled.ada, filled.ben, filled.ada)]
    assert orders[0] == orders[2] != orders[1]
    assert sorted(orders[0]) == sorted(orders[1]) == names(filled.records)
    some = names(filled.search(filled.ada, filters={"and": [terms(metadata("book"), "bio")]})[0])
    assert some == [name for name in orders[0] if name in some]


def test_progress_counts_what_there_is(filled):
    completed = sum(r["status"] == "completed" for r in filled.records)
    progress = filled.owner.do("GET", f"/datasets/{filled.id}/progress")
    assert {k: progress[k] for k in ("total", "completed", "pending")} == {
        "total": 60,
        "completed": completed,
        "pending": 60 - completed,
    }
    twice = [r for r in filled.records if sum(x["status"] == "submitted" for x in r["responses"]) >= 2]
    assert completed == len(twice) > 0
    mine = filled.ada.do("GET", f"/me/datasets/{filled.id}/metrics")["responses"]
    of_ada = [
        x["status"] for r in filled.records for x in r["responses"] if x["user_id"] == filled.users["ada"]
    ]
    assert mine == {"total": 60, "pending": 20, **{s: of_ada.count(s) for s in FINDINGS}}


def test_metadata_metrics_are_those_of_the_records(filled):
    of = {
        p["name"]: p["id"]
        for p in filled.owner.do("GET", f"/me/datasets/{filled.id}/metadata-properties")["items"]
    }
    found = {name: filled.owner.do("GET", f"/metadata-properties/{id}/metrics") for name, id in of.items()}
    gains = [r["metadata"]["gain"] for r in filled.records]
    assert found["gain"] == {"type": "float", "min": min(gains), "max": max(gains)}
    assert found["length"] == {"type": "integer", "min": 0, "max": 6}
    books = [r["metadata"]["book"] for r in filled.records]
    assert {v["term"]: v["count"] for v in found["book"]["values"]} == {b: books.count(b) for b in set(books)}


def test_an_annotator_sees_the_own_answers_and_nothing_that_is_the_owners(server, filled):
    found, _ = filled.search(filled.ada)
    assert {r["user_id"] for record in found for r in record["responses"]} == {filled.users["ada"]}
    assert all("golden" not in record["metadata"] and "book" in record["metadata"] for record in found)
    hidden = {"filters": {"and": [terms(metadata("golden"), "yes")]}}
    assert filled.search(**hidden)[1] == 6
    for body in (hidden, {"sort": [{"scope": metadata("golden"), "order": "asc"}]}):
        refused = filled.ada.post(f"/me/datasets/{filled.id}/records/search", json=body)
        assert (refused.status_code, "golden" in refused.text) == (422, True)
    for method, path in (
        ("POST", f"/datasets/{filled.id}/records/search"),
        ("GET", f"/datasets/{filled.id}/records"),
        ("GET", "/users"),
        ("DELETE", f"/datasets/{filled.id}"),
    ):
        refused = filled.ada.request(method, path, json={} if method == "POST" else None)
        assert refused.status_code == 403, path
    elsewhere, _ = make_dataset(filled.owner, "elsewhere", "secret")
    assert filled.ada.get(f"/datasets/{elsewhere}").status_code == 403
    assert [d["name"] for d in filled.ada.do("GET", "/me/datasets")["items"]] == ["pairs"]


def test_similar_vectors_come_first(server):
    owner = client(server)
    spaces = {w["name"]: w["id"] for w in owner.do("GET", "/me/workspaces")["items"]}
    made = owner.do("POST", "/datasets", json={"name": "vectors", "workspace_id": spaces[server.workspace]})[
        "id"
    ]
    owner.do(
        "POST",
        f"/datasets/{made}/fields",
        json={"name": "text", "title": "t", "required": True, "settings": {"type": "text"}},
    )
    owner.do(
        "POST",
        f"/datasets/{made}/questions",
        json={"name": "q", "title": "q", "required": True, "settings": {"type": "text"}},
    )
    owner.do("POST", f"/datasets/{made}/vectors-settings", json={"name": "v", "title": "v", "dimensions": 2})
    owner.do("PUT", f"/datasets/{made}/publish")
    vectors = {"east": [1, 0], "north": [0, 2], "west": [-3, 0], "northeast": [1, 1]}
    owner.do(
        "POST",
        f"/datasets/{made}/records/bulk",
        json={
            "items": [
                {"external_id": name, "fields": {"text": name}, "vectors": {"v": v}}
                for name, v in vectors.items()
            ]
        },
    )

    def near(**vector):
        body = {"query": {"vector": {"name": "v", **vector}}}
        found = owner.do("POST", f"/datasets/{made}/records/search", json=body)["items"]
        return {item["record"]["external_id"]: item["query_score"] for item in found}

    found = near(value=[2, 0])
    assert list(found) == ["east", "northeast", "north", "west"]
    assert found["east"] == pytest.approx(1)
    assert found["northeast"] == pytest.approx((1 + 0.5**0.5) / 2)
    assert next(iter(near(value=[2, 0], order="least_similar"))) == "west"
    (east,) = (
        i["record"]["id"]
        for i in owner.do(
            "POST", f"/datasets/{made}/records/search", json={"query": {"text": {"q": "east"}}}
        )["items"]
    )
    assert list(near(record_id=east)) == ["northeast", "north", "west"]


def log_in(url, name, password):
    form = {"username": name, "password": password}
    return httpx.post(f"{url}/api/v1/token", data=form, trust_env=False, timeout=IDLE)


def test_accounts_are_the_files_and_no_others(server, home):
    kept = read_accounts(home)
    assert kept.accounts == server.accounts
    assert kept.url == server.url
    assert stat.S_IMODE((home / "accounts.json").stat().st_mode) == 0o600
    assert stat.S_IMODE((home / "argilla.db").stat().st_mode) == 0o600
    assert (
        len({a.password for a in server.accounts.values()} | {a.api_key for a in server.accounts.values()})
        == 8
    )
    assert server.accounts["ada"].password not in repr(server)
    for name, account in server.accounts.items():
        assert log_in(server.url, name, account.password).status_code == 201
        me = client(server, name).do("GET", "/me")
        assert (me["username"], me["role"]) == (name, account.role)
    assert log_in(server.url, "ada", server.accounts["ben"].password).status_code == 401
    for name, password in (
        ("argilla", "1234"),
        ("argilla", "12345678"),
        ("owner", "12345678"),
        ("owner", "1234"),
    ):
        assert log_in(server.url, name, password).status_code == 401
    for key in ("argilla.apikey", "owner.apikey", ""):
        assert Client(server.url, key).get("/me").status_code == 401


def test_the_pages_are_served_from_here_and_nothing_is_reported_elsewhere(server, filled):
    page = httpx.get(f"{server.url}/sign-in", trust_env=False, timeout=IDLE)
    assert page.status_code == 200
    assert "<title" in page.text
    assert "font-src 'self' data:" in page.headers["content-security-policy"]
    status = filled.owner.do("GET", "/status")
    assert status["search_engine"]["name"] == "sql"
    assert status["version"] == "2.8.0"
    assert (
        "access-control-allow-origin"
        not in httpx.get(
            f"{server.url}/api/v1/version",
            headers={"Origin": "http://example.com"},
            trust_env=False,
            timeout=IDLE,
        ).headers
    )


def test_many_answers_at_once_are_all_taken(server):
    owner = client(server)
    made, questions = make_dataset(owner, server.workspace, "busy", overlap=3)
    owner.do("POST", f"/datasets/{made}/records/bulk", json={"items": some_records(6, questions)})
    ids = [r["id"] for r in owner.do("GET", f"/datasets/{made}/records")["items"]]
    people = [client(server, name) for name in ("ada", "ben", "cy")]
    with ThreadPoolExecutor(18) as pool:  # more than Argilla has connections to its database
        list(pool.map(lambda pair: answer(pair[0], pair[1], "a"), itertools.product(people, ids)))
        list(pool.map(lambda who: who.do("POST", f"/me/datasets/{made}/records/search", json={}), people * 6))
    progress = owner.do("GET", f"/datasets/{made}/progress")
    assert (progress["completed"], progress["pending"]) == (6, 0)


def test_a_job_that_argilla_queues_is_done(server):
    """A webhook hears of a record: events reach the queue as soon as somebody listens, and leave it."""
    owner = client(server)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(IDLE)
        hook = owner.do(
            "POST",
            "/webhooks",
            json={"url": f"http://127.0.0.1:{listener.getsockname()[1]}/", "events": ["dataset.created"]},
        )
        make_dataset(owner, server.workspace, "heard")
        connection, _ = listener.accept()
        with connection:
            connection.settimeout(IDLE)
            assert connection.recv(4) == b"POST"
            connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
        owner.do("DELETE", f"/webhooks/{hook['id']}")


# ---- what outlives it


@contextlib.contextmanager
def command(*arguments):
    """`preceptor annotate serve …` as a process; ended if the test did not."""
    process = subprocess.Popen(
        [sys.executable, "-m", "preceptor.toolkit.cli.main", "annotate", "serve", *map(str, arguments)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=os.environ | {"PYTHONUNBUFFERED": "1"},
    )
    try:
        yield process
    finally:
        if process.poll() is None:
            process.kill()
        process.communicate()


def answered(who, ids):
    """Answer one after another; each that was taken."""
    for record_id in ids:
        answer(who, record_id, "tie")
        yield record_id


def kill_after(pid, taken, count):
    wait_until(lambda: len(taken) >= count)
    os.kill(pid, signal.SIGKILL)


@pytest.mark.slow
def test_what_was_answered_outlives_a_kill_and_a_restart(server_environment, tmp_path, preceptor_process):
    """Killed while it takes answers; then the command goes on with the same home, and one more annotator."""
    home = tmp_path / "home"
    with run_server(home, server_environment, annotators=["ada"]) as first:
        owner, ada = client(first), client(first, "ada")
        made, questions = make_dataset(owner, first.workspace, overlap=1)
        owner.do("POST", f"/datasets/{made}/records/bulk", json={"items": some_records(200, questions)})
        ids = [r["id"] for r in owner.do("GET", f"/datasets/{made}/records", params={"limit": 200})["items"]]
        token = log_in(first.url, "ada", first.accounts["ada"].password).json()["access_token"]
        taken = []
        with ThreadPoolExecutor(1) as pool:
            killed = pool.submit(kill_after, first.pid, taken, 30)
            with pytest.raises(httpx.TransportError):
                taken.extend(answered(ada, ids))
            killed.result()
        with pytest.raises(AnnotationError, match=r"was killed \(signal 9\)"):
            serve_module.wait_for_end(first)
    assert 0 < len(taken) < 200
    kept = read_accounts(home)
    with command("--home", home, "--port", 0, "--annotator", "ben") as process:
        shown = list(itertools.takewhile(lambda line: "Ctrl-C" not in line, process.stdout))
        again = read_accounts(home)
        assert {n: a for n, a in again.accounts.items() if n != "ben"} == kept.accounts
        assert f"Argilla at {again.url}" in shown[0]
        assert str(home / "accounts.json") in shown[-1]
        assert not any(a.password in "".join(shown) for a in again.accounts.values())
        owner = Client(again.url, again.accounts["owner"].api_key)
        found = owner.do(
            "POST",
            f"/datasets/{made}/records/search",
            params={"limit": 1000, "include": "responses"},
            json={"filters": {"and": [terms(STATUS, "submitted")]}},
        )["items"]
        assert {item["record"]["id"] for item in found} - set(taken) <= {ids[len(taken)]}
        assert set(taken) <= {item["record"]["id"] for item in found}
        progress = owner.do("GET", f"/datasets/{made}/progress")
        assert progress["completed"] == len(found), "an answer without its record's status"
        me = httpx.get(
            f"{again.url}/api/v1/me",
            headers={"Authorization": f"Bearer {token}"},
            trust_env=False,
            timeout=IDLE,
        )
        assert me.json()["username"] == "ada", "a restart logged her out"
        assert (
            Client(again.url, again.accounts["ben"].api_key).do("GET", "/me/datasets")["items"][0]["id"]
            == made
        )

        second = preceptor_process("annotate", "serve", "--home", home, "--port", 0)
        assert second.returncode == 2
        assert f"{home}: a server runs on it already ({again.url}, process" in second.stderr
        port = again.url.rsplit(":", 1)[1]
        taken_port = preceptor_process("annotate", "serve", "--home", tmp_path / "other", "--port", port)
        assert taken_port.returncode == 2
        assert f"127.0.0.1:{port}: another program listens there" in taken_port.stderr
        process.send_signal(signal.SIGTERM)
        assert wait_for_end(process) == 0
        assert "start again with the same --home" in process.stderr.read()
    shutil.copy(home / "argilla.db", tmp_path / "copy.db")  # the one file, without what SQLite puts beside it
    with contextlib.closing(sqlite3.connect(tmp_path / "copy.db")) as copied:
        assert copied.execute("SELECT count(*) FROM responses").fetchall() == [(len(found),)]
    with pytest.raises(httpx.ConnectError):
        owner.get("/me")


def test_the_function_serves_as_the_command_does(server_environment, tmp_path):
    class EndedError(Exception):
        pass

    said, seen = [], []

    def look(server):
        answer = httpx.get(f"{server.url}/api/v1/version", trust_env=False)
        seen.append((answer.status_code, sorted(server.accounts), read_accounts(tmp_path / "home").url))
        raise EndedError(server.url)

    with pytest.raises(EndedError) as ended:
        serve_module.serve(tmp_path / "home", port=0, annotators=["ada"], say=said.append, on_start=look)
    assert seen == [(200, ["ada", "owner"], str(ended.value))]
    assert said[-1].startswith(f"starting Argilla on {tmp_path / 'home'}")
    with pytest.raises(httpx.ConnectError):
        httpx.get(f"{ended.value}/api/v1/version", trust_env=False)


# ---- what can go wrong before it runs


@pytest.fixture(scope="module")
def small(tmp_path_factory):
    """An environment made in earnest, but of nothing: its program says something and ends as it is told."""
    folder = tmp_path_factory.mktemp("small")
    (folder / "program").mkdir()
    (folder / "program" / "__main__.py").write_text(
        "import pathlib, sys\n"
        "home = pathlib.Path(sys.argv[2])\n"
        "if '--empty' in sys.argv: (home / 'argilla.db').touch()\n"
        "elif not (home / 'status').exists(): sys.stdin.read()\n"
        "else: print('all went', 'wrong'); sys.exit(int((home / 'status').read_text()))\n"
    )
    (folder / "versions.txt").write_text("# nothing\n")
    with pytest.MonkeyPatch.context() as patch:
        for module in (environment_module, serve_module):
            patch.setattr(module, "PROGRAM", folder / "program")
        patch.setattr(environment_module, "VERSIONS", folder / "versions.txt")
        yield folder


@pytest.mark.slow
def test_an_environment_is_made_once_and_anew_when_it_is_not_whole(small):
    said = []
    with ThreadPoolExecutor(2) as pool:  # two at once
        made = set(pool.map(lambda _: make_environment(small / "cache", said.append), range(2)))
    (folder,) = made
    assert sum(text.startswith("making") for text in said) == 1
    assert (folder / READY).exists()
    said.clear()
    assert make_environment(small / "cache", said.append) == folder
    assert said == []
    (folder / READY).unlink()
    (folder / "left").touch()
    assert make_environment(small / "cache", said.append) == folder
    assert "half made or damaged; making it anew" in said[0]
    assert not (folder / "left").exists()


def test_a_server_that_never_answers_is_given_up(small, tmp_path, monkeypatch):
    monkeypatch.setattr(serve_module, "START_SECONDS", 1.5)
    folder = make_environment(small / "cache")
    with pytest.raises(AnnotationError, match="no answer for 2 s"), run_server(tmp_path, folder):
        pass


def test_a_server_that_does_not_start_says_its_last_words(small, tmp_path):
    folder = make_environment(small / "cache")
    (tmp_path / "status").write_text("3")
    with pytest.raises(AnnotationError) as caught, run_server(tmp_path, folder):
        pass
    assert "does not start (exit status 3); its last words:\n  all went wrong\n" in str(caught.value)
    assert caught.value.exit_code == 2
    (tmp_path / "status").write_text("81")
    with pytest.raises(AnnotationError, match="is damaged; start again"), run_server(tmp_path, folder):
        pass
    assert not (folder / READY).exists()


def test_an_environment_that_cannot_be_made_says_why(small, tmp_path, monkeypatch):
    wrong = tmp_path / "versions.txt"
    wrong.write_text("./no-such-file.whl\n")
    monkeypatch.setattr(environment_module, "VERSIONS", wrong)
    with pytest.raises(AnnotationError, match=r"(?s)cannot install what the server needs.*no-such-file"):
        make_environment(tmp_path / "cache")
    monkeypatch.setattr(environment_module, "NEEDS_BYTES", 10**18)
    with pytest.raises(AnnotationError, match="GB free; the environment of Argilla's server takes"):
        make_environment(tmp_path / "cache")
    (tmp_path / "file").touch()
    with pytest.raises(AnnotationError, match="set XDG_CACHE_HOME"):
        make_environment(tmp_path / "file")


@pytest.mark.parametrize(
    ("how", "says"),
    [
        ({"host": "no.such.host.invalid"}, "not an address of this machine"),
        ({"host": "192.0.2.1"}, "mend --host or --port"),
        ({"annotators": ["owner"]}, "is the owner's name"),
        ({"annotators": ["a b"]}, "cannot be a name"),
    ],
)
def test_what_cannot_be_served_is_said_before_anything_starts(tmp_path, how, says):
    with pytest.raises(AnnotationError, match=says), run_server(tmp_path / "home", tmp_path, **how):
        pass


def test_a_home_that_is_no_folder_is_refused(tmp_path):
    (tmp_path / "file").touch()
    with (
        pytest.raises(AnnotationError, match="choose another --home"),
        run_server(tmp_path / "file", tmp_path),
    ):
        pass


def test_a_full_disk_is_said_before_anything_starts(tmp_path, monkeypatch):
    monkeypatch.setattr(serve_module, "NEEDS_BYTES", 10**18)
    with pytest.raises(AnnotationError, match="MB free on its disk"), run_server(tmp_path, tmp_path):
        pass


def test_accounts_are_added_and_never_changed(tmp_path):
    first = settle_accounts(tmp_path, "http://x:1", ["ada", "ada"])
    second = settle_accounts(tmp_path, "http://x:2", ["ben"])
    assert list(second.accounts) == ["owner", "ada", "ben"]
    assert (
        second.accounts["ada"]
        == first.accounts["ada"]
        == Account("annotator", first.accounts["ada"].password, first.accounts["ada"].api_key)
    )
    assert second.url == "http://x:2"
    (tmp_path / "accounts.json").write_text(json.dumps({"accounts": {"ada": {}}}))
    with pytest.raises(AnnotationError, match="not accounts as"):
        settle_accounts(tmp_path, "http://x:2", [])
