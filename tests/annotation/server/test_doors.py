"""Every address of Argilla's server, tried without a login and as an annotator who looks for others' answers."""

import itertools
import re
import time

import httpx
import pytest
from waiting import IDLE

from preceptor.annotation.server.environment import clean_variables
from preceptor.annotation.server.serve import run_server

SECRET = "what ada wrote"
OPEN = {  # to everybody: what the login page needs
    "/version",
    "/status",
    "/settings",
    "/oauth2/providers",
    "/oauth2/providers/{provider}/authentication",
    "/oauth2/providers/{provider}/access-token",
    "/token",
}


class Client(httpx.Client):
    """Argilla's API as somebody, or as nobody."""

    def __init__(self, url, api_key=None):
        headers = {"X-Argilla-Api-Key": api_key} if api_key else {}
        super().__init__(base_url=f"{url}/api/v1", headers=headers, timeout=IDLE, trust_env=False)

    def do(self, method, path, **how):
        answer = self.request(method, path, **how)
        assert answer.is_success, f"{method} {path}: {answer.status_code} {answer.text[:300]}"
        return answer.json() if answer.content else None


@pytest.fixture(scope="module")
def server(server_environment, tmp_path_factory):
    home = tmp_path_factory.mktemp("doors") / "home"
    with run_server(
        home, server_environment, names=["proxy.example.org"], annotators=["ada", "ben"]
    ) as started:
        yield started


@pytest.fixture(scope="module")
def clients(server):
    return {name: Client(server.url, server.accounts[name].api_key) for name in ("owner", "ada", "ben")}


@pytest.fixture(scope="module")
def ids(server, clients):
    """A record that ada answered with a secret, and every id that ada's answer has to do with."""
    owner, ada = clients["owner"], clients["ada"]
    spaces = {w["name"]: w["id"] for w in owner.do("GET", "/me/workspaces")["items"]}
    if server.workspace not in spaces:
        spaces[server.workspace] = owner.do("POST", "/workspaces", json={"name": server.workspace})["id"]
    space = spaces[server.workspace]
    made = owner.do("POST", "/datasets", json={"name": "pairs", "workspace_id": space})["id"]
    field = owner.do(
        "POST", f"/datasets/{made}/fields",
        json={"name": "text", "title": "text", "required": True, "settings": {"type": "text"}},
    )  # fmt: skip
    question = owner.do(
        "POST", f"/datasets/{made}/questions",
        json={"name": "why", "title": "why", "required": True, "settings": {"type": "text"}},
    )  # fmt: skip
    owner.do("PUT", f"/datasets/{made}/publish")
    items = [{"fields": {"text": "a text"}, "external_id": "r0"}]
    owner.do("POST", f"/datasets/{made}/records/bulk", json={"items": items})
    record = owner.do("GET", f"/datasets/{made}/records")["items"][0]["id"]
    answer = {"values": {"why": {"value": SECRET}}, "status": "submitted"}
    response = ada.do("POST", f"/records/{record}/responses", json=answer)
    return {
        "dataset_id": made, "record_id": record, "response_id": response["id"], "workspace_id": space,
        "field_id": field["id"], "question_id": question["id"], "user_id": ada.do("GET", "/me")["id"],
    }  # fmt: skip


@pytest.fixture(scope="module")
def doors(server, ids):
    """Method and path of every address, with ids that exist."""
    described = httpx.get(f"{server.url}/api/v1/openapi.json", trust_env=False, timeout=IDLE).json()
    found = [
        (method.upper(), path, re.sub(r"\{(\w+)\}", lambda part: ids.get(part[1], "0" * 8), path))
        for path, methods in described["paths"].items()
        for method in methods
    ]
    # What removes something comes last, so that the others are tried on what is there.
    return sorted(found, key=lambda door: (door[0] == "DELETE", door[1]))


def bodies(ids):
    """Nothing, and what a search or an answer would send."""
    answer = {"values": {"why": {"value": "ben's"}}, "status": "submitted"}
    text = {"query": {"text": {"q": "ada", "field": "text"}}}
    everybody = {"filters": {"and": [{"type": "terms", "scope": {"entity": "response", "question": "why"},
                                      "values": [SECRET]}]}}  # fmt: skip
    item = {**answer, "record_id": ids["record_id"]}
    return (None, {}, answer, text, everybody, {"items": [item]}, {"items": [{"id": ids["record_id"]}]})


def test_nothing_is_said_without_a_login(server, doors):
    nobody, tried = Client(server.url), 0
    for method, path, there in doors:
        if path in OPEN:
            continue
        said = nobody.request(method, there, json={} if method in {"POST", "PUT", "PATCH"} else None)
        assert said.status_code in {401, 403}, f"{method} {path}: {said.status_code} {said.text[:200]}"
        assert SECRET not in said.text
        tried += 1
    assert tried >= 60, tried


def test_an_annotator_is_told_no_answer_of_another(clients, doors, ids):
    ben, tried = clients["ben"], 0
    ways = (
        {},
        {"include": ["responses", "suggestions"]},
        {"include": "responses", "response_status": "submitted"},
    )
    for method, path, there in doors:
        if "token" in path or path == "/me":
            continue
        for body, params in itertools.product(bodies(ids), ways):
            if body is not None and method in {"GET", "DELETE"}:
                continue
            said = ben.request(method, there, json=body, params=params)
            assert SECRET not in said.text, f"{method} {path} {params} {body}"
            assert ids["user_id"] not in said.text.replace(there, ""), f"{method} {path} {params} {body}"
            tried += 1
    assert tried >= 130, tried
    # ada's answer is as it was, and ada and the owner see it.
    for name in ("ada", "owner"):
        seen = clients[name].do("GET", f"/records/{ids['record_id']}")["responses"]
        assert SECRET in [r["values"]["why"]["value"] for r in seen], name


def test_guessing_passwords_takes_longer_each_time(server):
    def log_in(name, password):
        start = time.monotonic()
        said = httpx.post(
            f"{server.url}/api/v1/token", data={"username": name, "password": password},
            trust_env=False, timeout=IDLE,
        )  # fmt: skip
        return said.status_code, time.monotonic() - start

    tries = [log_in("ben", f"guess {n}") for n in range(7)]
    assert {code for code, _ in tries} == {401}
    assert tries[5][1] >= 1
    assert tries[6][1] >= 2
    code, waited = log_in("ben", server.accounts["ben"].password)
    assert (code, waited >= 4) == (201, True)
    assert log_in("ben", server.accounts["ben"].password)[0] == 201  # and then as quick as ever
    assert log_in("ada", server.accounts["ada"].password)[0] == 201


@pytest.mark.parametrize(
    ("host", "status"),
    [("{}", 200), ("localhost", 200), ("LOCALHOST:80", 200), ("192.168.1.7:6900", 200), ("[::1]:6900", 200),
     ("proxy.example.org", 200), ("evil.example.org", 421), ("127.0.0.1.evil.example.org:6900", 421), ("", 421)],
)  # fmt: skip
def test_the_server_answers_to_its_own_names(server, host, status):
    own = server.url.removeprefix("http://")
    said = httpx.get(
        f"{server.url}/api/v1/version", headers={"Host": host.format(own)}, trust_env=False, timeout=IDLE
    )
    assert said.status_code == status
    if status == 421 and host:
        assert f"--name {host}" in said.json()["detail"]


def test_the_server_inherits_no_keys():
    given = {
        "PATH": "/bin", "HOME": "/home/ada", "LC_ALL": "C.UTF-8", "OPENAI_API_KEY": "k", "AWS_SECRET_ACCESS_KEY": "k",
        "HF_TOKEN": "k", "ARGILLA_API_KEY": "k", "PYTHONPATH": "/x", "PIP_INDEX_URL": "x", "HTTPS_PROXY": "x",
    }  # fmt: skip
    assert set(clean_variables(given)) == {"PATH", "HOME", "LC_ALL"}
    assert set(clean_variables(given, for_pip=True)) == {
        "PATH",
        "HOME",
        "LC_ALL",
        "PIP_INDEX_URL",
        "HTTPS_PROXY",
    }
