"""A stand-in for the Hugging Face Hub on a loopback port: what a test of publishing needs of its API.

    python tests/support/hub/stand_in.py ROOT [--xet]        prints its address; stop it by its process id

Datasets, and models, which are called models/OWNER/NAME in its state. A repository is a chain of commits, each with its whole tree; contents are files under
ROOT, named by their sha256. Uploads come by git-LFS, or with --xet by Xet: `local://DIR` is a store
that the client's hf_xet writes by itself, and from which this program reads the files back.

Tests steer it by POST /stand-in/fault (a `Fault` as JSON) and /stand-in/reset, and look inside by
GET /stand-in/state. A token is its owner's name after hf_, with -reader where it may not write; alice
may write for lab too.
"""

import argparse
import base64
import hashlib
import json
import re
import secrets
import sys
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import parse_qs, unquote, urlsplit

import yaml
from hub_state import ATTRIBUTES, LFS, Fault, Hub, Repo, from_xet, git_id

LICENSES = {
    "apache-2.0",
    "cc-by-4.0",
    "cc-by-nc-4.0",
    "cc-by-sa-4.0",
    "cc0-1.0",
    "llama3.2",
    "mit",
    "odc-by",
    "other",
}
OWNERS = {"alice": {"alice", "lab"}, "bob": {"bob"}}


class Refused(Exception):
    """An answer other than 200."""

    def __init__(self, status, message, code="", headers=None, **more):
        self.status, self.content = status, {"error": message, **more}
        self.headers = {
            "X-Error-Message": message,
            **({"X-Error-Code": code} if code else {}),
            **(headers or {}),
        }


def keyed(dataset, name):
    """What a repository is called here."""
    return name if dataset else f"models/{name}"


def history(repo, id):
    """A commit and those before it, as the Hub lists them."""
    while id:
        before, title, _ = repo.commits[id]
        yield {
            "id": id,
            "title": title,
            "message": "",
            "authors": [{"user": "alice"}],
            "date": "2026-01-01T00:00:00.000Z",
        }
        id = before


def owner_of(key):
    return key.removeprefix("models/").partition("/")[0]


def paged(key):
    return key.removeprefix("models/") if key.startswith("models/") else f"datasets/{key}"


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True  # a body would wait 40 ms for its headers' receipt

    def log_message(self, *_):
        pass

    def handle_request(self):
        self.hub = self.server.hub
        address = urlsplit(self.path)
        self.route, self.query = unquote(address.path), parse_qs(address.query)
        body = self.read_body()
        if self.route.startswith("/stand-in/"):
            return self.send(200, self.steer(body))
        fault = self.hub.fault(self.command, self.route)
        self.hub.arrived.append(f"{self.command} {self.route}")
        time.sleep(fault.wait)
        answer = (fault.status, {"error": "as the test wants"}, fault.headers)
        if fault.after or not (fault.status or fault.drop):
            try:
                with self.hub.lock:
                    done = self.answer(body, fault)
            except Refused as refused:
                done = (refused.status, refused.content, refused.headers)
            answer = answer if fault.status else done
        self.hub.log.append(f"{self.command} {self.route} {'dropped' if fault.drop else answer[0]}")
        if fault.drop:
            self.close_connection = True
            return self.connection.shutdown(2)
        return self.send(*answer)

    do_GET = do_HEAD = do_POST = do_PUT = handle_request

    def read_body(self):
        if "chunked" not in self.headers.get("Transfer-Encoding", ""):
            return self.rfile.read(int(self.headers.get("Content-Length") or 0))
        parts = []
        while size := int(self.rfile.readline(), 16):
            parts.append(self.rfile.read(size))
            self.rfile.readline()
        self.rfile.readline()
        return b"".join(parts)

    def send(self, status, content=b"", headers=None):
        data = content if isinstance(content, bytes) else json.dumps(content).encode()
        self.send_response(status)
        kind = "application/octet-stream" if data is content else "application/json"
        for name, value in ({"Content-Type": kind, "Content-Length": len(data)} | (headers or {})).items():
            self.send_header(name, str(value))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(data)

    def steer(self, body):
        match self.route.removeprefix("/stand-in/"):
            case "reset":
                self.hub.reset()
            case "fault":
                self.hub.faults.append(Fault(**json.loads(body)))
            case "well":
                self.hub.faults.clear()
            case "repo":
                made = json.loads(body)
                repo = self.hub.repos[made["name"]] = Repo(made["private"])
                repo.add(
                    "initial commit",
                    {
                        name: self.hub.keep(base64.b64decode(data), name.endswith(LFS))
                        for name, data in made["files"].items()
                    },
                )
        return self.hub.state()

    # ---- who may do what

    def user(self):
        """(name, may write), or None for nobody."""
        said = self.headers.get("Authorization", "").removeprefix("Bearer ")
        if not said:
            return None
        name, _, role = said.removeprefix("hf_").partition("-")
        if name not in OWNERS:
            raise Refused(401, "Invalid credentials in Authorization header")
        return name, role != "reader"

    def writer(self, owner):
        who = self.user()
        if who is None:
            raise Refused(401, "Invalid username or password.")
        if not who[1]:
            raise Refused(403, "This token is read-only")
        if owner not in OWNERS[who[0]]:
            raise Refused(
                403, f'You don\'t have the rights to create a dataset under the namespace "{owner}"'
            )

    def repo(self, name):
        who, repo = self.user(), self.hub.repos.get(name)
        mine = who is not None and owner_of(name) in OWNERS[who[0]]
        if repo is None or (repo.private and not mine):
            raise Refused(404 if who else 401, "Repository not found", "RepoNotFound")
        return repo

    def commit_of(self, repo, revision):
        id = repo.head if revision == "main" else repo.tags.get(revision, revision)
        if id not in repo.commits:
            raise Refused(404, f"Invalid rev id: {revision}", "RevisionNotFound")
        return id, repo.commits[id][2]

    # ---- routes

    def answer(self, body, fault):
        """(status, content, headers) for what is asked."""
        if self.route == "/api/repos/create":
            return self.create(json.loads(body))
        if self.route == "/api/validate-yaml":
            errors = card_errors(json.loads(body)["content"])
            return 400 if errors else 200, {"errors": [{"message": e} for e in errors], "warnings": []}, {}
        if match := re.fullmatch(r"/(datasets/)?([^/]+/[^/]+)\.git/info/lfs/objects/batch", self.route):
            return self.lfs_batch(keyed(*match.groups()), json.loads(body))
        if match := re.fullmatch(r"/lfs/(\w{64})(/verify)?", self.route):
            return self.lfs_object(match[1], body)
        if match := re.fullmatch(r"/(datasets/)?([^/]+/[^/]+)/resolve/([^/]+)/(.+)", self.route):
            return self.resolve(keyed(match[1], match[2]), match[3], match[4], fault.corrupt)
        if match := re.fullmatch(
            r"/api/(datasets/|models/)([^/]+/[^/]+)(?:/([\w-]+)(?:/([^/]+))?)?(?:/(.+))?", self.route
        ):
            kind, name, verb, revision, folder = match.groups()
            name = keyed(kind if kind == "datasets/" else None, name)
            repo = self.repo(name)
            if verb in ("preupload", "commit", "tag", "xet-write-token"):
                self.writer(owner_of(name))
                return self.write(name, repo, verb, revision, body, fault)
            return self.read(name, repo, verb, revision or "main", folder, body)
        raise Refused(404, f"the stand-in has no {self.command} {self.route}")

    def create(self, asked):
        dataset = "datasets/" if asked.get("type") == "dataset" else None
        name = keyed(dataset, f"{asked['organization']}/{asked['name']}")
        self.writer(asked["organization"])
        if name in self.hub.repos:
            raise Refused(409, "You already created this repo", url=f"{self.base}/{paged(name)}")
        repo = self.hub.repos[name] = Repo(asked.get("visibility") == "private" or bool(asked.get("private")))
        repo.add("initial commit", {".gitattributes": self.hub.keep(ATTRIBUTES)})
        return 200, {"url": f"{self.base}/{paged(name)}", "name": name, "id": "0" * 24}, {}

    @property
    def base(self):
        return f"http://{self.headers['Host']}"

    def read(self, name, repo, verb, revision, folder, body):
        if verb == "refs":
            main = {"name": "main", "ref": "refs/heads/main", "targetCommit": repo.head}
            tags = [{"name": t, "ref": f"refs/tags/{t}", "targetCommit": id} for t, id in repo.tags.items()]
            return 200, {"branches": [main], "converts": [], "tags": tags}, {}
        id, tree = self.commit_of(repo, revision)
        if verb == "commits":
            return 200, list(history(repo, id)), {}
        if verb in (None, "revision"):
            siblings = [{"rfilename": path} for path in tree]
            about = {
                "_id": "0" * 24,
                "id": name.removeprefix("models/"),
                "sha": id,
                "private": repo.private,
                "tags": [],
                "downloads": 0,
                "likes": 0,
                "siblings": siblings,
                "gated": False,
                "disabled": False,
            }
            if "README.md" in tree:
                card = self.hub.place(tree["README.md"].sha256).read_text()
                about["cardData"] = yaml.safe_load(card.split("---")[1]) if card.startswith("---") else {}
            return 200, about, {}
        described = {path: content.described(path) for path, content in tree.items()}
        for path in list(tree):
            for parent in list(Path(path).parents)[:-1]:
                described[str(parent)] = {
                    "type": "directory",
                    "oid": git_id(b""),
                    "size": 0,
                    "path": str(parent),
                }
        if verb == "paths-info":
            return (
                200,
                [described[path] for path in parse_qs(body.decode())["paths"] if path in described],
                {},
            )
        if verb == "tree":
            deep = self.query.get("recursive", [""])[0].lower() == "true"
            inside = [path for path in described if Path(folder or ".") in Path(path).parents]
            if folder and not inside:
                raise Refused(404, f"{folder} does not exist", "EntryNotFound")
            return 200, [described[p] for p in inside if deep or str(Path(p).parent) == (folder or ".")], {}
        raise Refused(404, f"the stand-in has no {verb}")

    def write(self, name, repo, verb, revision, body, fault):
        if verb == "xet-write-token":
            if not self.hub.xet:
                raise Refused(404, "no Xet here: set HF_HUB_DISABLE_XET=1")
            store = f"local://{self.hub.root}/xet-stores/{secrets.token_hex(4)}"  # a process locks its own
            return 200, {"casUrl": store, "exp": int(time.time()) + 3600, "accessToken": "local"}, {}
        if verb == "tag":
            id, _ = self.commit_of(repo, revision)
            tag = json.loads(body)["tag"]
            if tag in repo.tags:
                raise Refused(409, f"Tag reference exists already: {tag}")
            repo.tags[tag] = id
            return 201, b"Created", {}
        if verb == "preupload":
            return 200, {"files": [self.upload_mode(repo, f) for f in json.loads(body)["files"]]}, {}
        if fault.overtake:
            self.hub.overtake(repo, fault.overtake)
        return self.commit(name, repo, [json.loads(line) for line in body.splitlines()])

    def upload_mode(self, repo, file):
        about = {
            "path": file["path"],
            "uploadMode": "lfs" if file["path"].endswith(LFS) else "regular",
            "shouldIgnore": False,
        }
        there = repo.tree.get(file["path"])
        return about | ({"oid": there.sha256 if there.lfs else there.id} if there else {})

    def commit(self, name, repo, lines):
        header = lines[0]["value"]
        if header.get("parentCommit") not in (None, repo.head):
            raise Refused(412, "A commit has happened since. Please refresh and try again.")
        tree = dict(repo.tree)
        for line in lines[1:]:
            about = line["value"]
            if line["key"] == "deletedFile":
                del tree[about["path"]]
            elif line["key"] == "file":
                tree[about["path"]] = self.hub.keep(base64.b64decode(about["content"]))
            else:
                place = self.hub.place(about["oid"])
                if not place.exists():
                    from_xet(self.hub, about["oid"])
                if not place.exists():
                    raise Refused(400, f"LFS pointer pointed to a file that does not exist: {about['path']}")
                tree[about["path"]] = self.hub.known(about["oid"], place.stat().st_size)
        repo.add(header["summary"], tree)
        page = f"{self.base}/{paged(name)}/commit/{repo.head}"
        return 200, {"success": True, "commitOid": repo.head, "commitUrl": page}, {}

    def lfs_batch(self, name, asked):
        self.repo(name)
        self.writer(owner_of(name))
        objects = []
        for one in asked["objects"]:
            place = f"{self.base}/lfs/{one['oid']}"
            actions = {"upload": {"href": place}, "verify": {"href": f"{place}/verify"}}
            known = self.hub.place(one["oid"]).exists()
            objects.append({"oid": one["oid"], "size": one["size"]} | ({} if known else {"actions": actions}))
        kind = {"Content-Type": "application/vnd.git-lfs+json"}
        return 200, {"transfer": "basic", "objects": objects}, kind

    def lfs_object(self, sha256, body):
        if self.command == "PUT":
            self.hub.received += len(body)
            if hashlib.sha256(body).hexdigest() != sha256:
                raise Refused(400, "content differs from its sha256")
            self.hub.place(sha256).write_bytes(body)
        return 200, {}, {}

    def resolve(self, name, revision, path, corrupt):
        id, tree = self.commit_of(self.repo(name), revision)
        if path not in tree:
            raise Refused(404, "Entry not found", "EntryNotFound", {"X-Repo-Commit": id})
        content = tree[path]
        data = self.hub.place(content.sha256).read_bytes()
        data = data[:-1] + bytes([data[-1] ^ 1]) if corrupt else data
        headers = {
            "X-Repo-Commit": id,
            "ETag": f'"{content.sha256 if content.lfs else content.id}"',
            "Accept-Ranges": "bytes",
        }
        if content.lfs:
            headers |= {"X-Linked-Etag": f'"{content.sha256}"', "X-Linked-Size": content.size}
        if part := re.fullmatch(r"bytes=(\d+)-(\d*)", self.headers.get("Range", "")):
            start, end = int(part[1]), min(int(part[2] or len(data)), len(data) - 1)
            headers["Content-Range"] = f"bytes {start}-{end}/{len(data)}"
            return 206, data[start : end + 1], headers
        return 200, data, headers


def card_errors(text):
    """A little of what the Hub checks in a card's YAML."""
    try:
        about = yaml.safe_load(text.split("---")[1])
    except yaml.YAMLError as error:
        return [f"YAML parse error: {error}"]
    wrong = []
    if about.get("license") not in LICENSES:
        wrong.append(f'"license" must be one of {", ".join(sorted(LICENSES))}')
    if about.get("license") == "other" and not about.get("license_name"):
        wrong.append('"license_name" is required with "license: other"')
    languages = about.get("language") or []
    for code in languages if isinstance(languages, list) else [languages]:
        if not re.fullmatch("[a-z]{2,3}", str(code)):
            wrong.append(f'"language" must be an ISO 639-1, 639-2 or 639-3 code, or a special value: {code}')
    for size in about.get("size_categories") or []:
        if not re.fullmatch(r"n<1K|\d+[KMB]<n<\d+[KMBT]|n>1T", str(size)):
            wrong.append(f'"size_categories" {size} is not allowed')
    return wrong


class Server(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, *_):  # clients that were killed are no news
        pass


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("root", type=Path)
    parser.add_argument("--xet", action="store_true")
    given = parser.parse_args()
    server = Server(("127.0.0.1", 0), Handler)
    server.hub = Hub(given.root.absolute(), given.xet)
    sys.stdout.write(f"http://127.0.0.1:{server.server_address[1]}\n")
    sys.stdout.flush()
    server.serve_forever()
