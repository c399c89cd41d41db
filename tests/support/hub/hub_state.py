"""What the stand-in for the Hub remembers: repositories, contents, what is to go wrong."""

import hashlib
import re
import secrets
import shutil
import struct
import threading
from dataclasses import dataclass, field

LFS = (".parquet", ".bin", ".safetensors")
ATTRIBUTES = "".join(f"*{ending} filter=lfs diff=lfs merge=lfs -text\n" for ending in LFS).encode()


@dataclass(frozen=True)
class Content:
    """A file of a commit; `id` is what git calls it (of an LFS file, its pointer)."""

    id: str
    size: int
    sha256: str
    lfs: bool

    def described(self, path):
        about = {"type": "file", "oid": self.id, "size": self.size, "path": path}
        return about | (
            {"lfs": {"oid": self.sha256, "size": self.size, "pointerSize": 130}} if self.lfs else {}
        )


@dataclass
class Repo:
    private: bool
    commits: dict = field(default_factory=dict)  # id -> (parent, title, tree)
    head: str = ""
    tags: dict = field(default_factory=dict)

    def add(self, title, tree):
        """A commit; ids must be unpredictable, or clients' caches would serve what an earlier one held."""
        id = secrets.token_hex(20)
        self.commits[id] = (self.head, title, tree)
        self.head = id

    @property
    def tree(self):
        return self.commits[self.head][2]


@dataclass
class Fault:
    """What goes wrong with requests of a method whose path matches; `times` -1: with all of them."""

    method: str
    path: str
    times: int = 1
    status: int = 0  # answer with it instead
    drop: bool = False  # break the connection off instead
    after: bool = False  # do what is asked, and only then answer so
    wait: float = 0  # answer later
    corrupt: bool = False  # change the last byte of what is sent
    overtake: dict = field(default_factory=dict)  # before it, somebody commits these texts (null: removes)
    headers: dict = field(default_factory=dict)


class Hub:
    """What the server remembers."""

    def __init__(self, root, xet):
        self.root, self.xet, self.lock = root, xet, threading.RLock()
        self.reset()

    def reset(self):
        shutil.rmtree(self.root, ignore_errors=True)
        (self.root / "contents").mkdir(parents=True)
        self.repos, self.faults, self.log, self.arrived, self.received = {}, [], [], [], 0

    def place(self, sha256):
        return self.root / "contents" / sha256

    def keep(self, data, lfs=False):
        """Store a file's content."""
        sha256 = hashlib.sha256(data).hexdigest()
        self.place(sha256).write_bytes(data)
        return self.known(sha256, len(data)) if lfs else Content(git_id(data), len(data), sha256, False)

    def known(self, sha256, size):
        """An LFS file whose content was sent before."""
        pointer = f"version https://git-lfs.github.com/spec/v1\noid sha256:{sha256}\nsize {size}\n"
        return Content(git_id(pointer.encode()), size, sha256, True)

    def fault(self, method, path):
        with self.lock:
            for fault in self.faults:
                if fault.times and fault.method == method and re.search(fault.path, path):
                    fault.times -= 1
                    return fault
        return Fault(method, path)

    def overtake(self, repo, texts):
        added = {name: self.keep(text.encode()) for name, text in texts.items() if text is not None}
        tree = {name: content for name, content in repo.tree.items() if name not in texts}
        repo.add("by somebody else", tree | added)

    def state(self):
        repos = {
            name: {
                "private": repo.private,
                "head": repo.head,
                "tags": repo.tags,
                "titles": [title for _, title, _ in reversed(repo.commits.values())],
                "files": {path: content.sha256 for path, content in repo.tree.items()},
            }
            for name, repo in self.repos.items()
        }
        return {"repos": repos, "log": self.log, "arrived": self.arrived, "received": self.received}


def git_id(data):
    return hashlib.sha1(b"blob %d\0" % len(data) + data).hexdigest()


def xet_files(store):
    """(xet hash, size, sha256) of every file of a local Xet store, as the shards' file sections list them.

    A section is a run of 48-byte records: the file's hash, flags and number of segments; the segments,
    as many verification records if flag 31 is set, and a record with the sha256 if flag 30 is.
    """
    for shard in store.glob("xet/xorbs/shards/*.mdb"):
        data, at = shard.read_bytes(), 48
        while data[at : at + 32] != b"\xff" * 32:
            flags, count = struct.unpack_from("<II", data, at + 32)
            size = sum(struct.unpack_from("<I", data, at + 48 * n + 36)[0] for n in range(1, count + 1))
            end = at + 48 * (1 + count + (count if flags >> 31 & 1 else 0))
            if flags >> 30 & 1:
                yield xet_hash(data, at), size, xet_hash(data, end)
                end += 48
            at = end


def xet_hash(data, at):
    return "".join(f"{word:016x}" for word in struct.unpack_from("<4Q", data, at))


def from_xet(hub, sha256):
    """Fetch a content out of the stores that clients wrote, where it is in one."""
    import hf_xet

    for store in (hub.root / "xet-stores").glob("*"):
        for hash, size, of in xet_files(store):
            if of == sha256:
                copy = hub.root / f"copy-{secrets.token_hex(4)}"  # the client may hold the original's lock
                shutil.copytree(store, copy)
                with hf_xet.XetSession().new_file_download_group(endpoint=f"local://{copy}") as group:
                    group.start_download_file(hf_xet.XetFileInfo(hash, size), str(hub.place(sha256)))
                shutil.rmtree(copy)
                hub.received += size
                return
