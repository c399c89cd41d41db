"""A proxy on loopback before a real server, which fails as it is told: status codes, broken connections."""

import contextlib
import http.client
import re
import socket
import threading
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import urlsplit

from waiting import IDLE


@dataclass
class Proxy:
    url: str
    faults: list = field(default_factory=list)
    asked: list = field(default_factory=list)

    def fails(self, method, path, how, times=1, after=0):
        """`how` is a status, drop (before the server hears of it), drop-answer (after it has done it) or
        hang."""
        self.faults.append({"method": method, "path": path, "how": how, "times": times, "after": after})

    def fault(self, method, path):
        for one in self.faults:
            if one["method"] == method and re.search(one["path"], path) and one["times"]:
                if one["after"]:
                    one["after"] -= 1
                    continue
                one["times"] -= 1
                return one["how"]
        return None


def _handler(target, proxy):
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, *_):
            pass

        def forward(self):
            body = self.rfile.read(int(self.headers.get("content-length") or 0))
            proxy.asked.append(f"{self.command} {self.path}")
            how = proxy.fault(self.command, self.path)
            if how == "drop":
                return self.hang_up()
            if how == "hang":
                threading.Event().wait(IDLE)
                return self.hang_up()
            if isinstance(how, int):
                return self.send(how, b'{"detail": "as told"}', "application/json")
            server = http.client.HTTPConnection(target.hostname, target.port, timeout=IDLE)
            headers = {
                k: v
                for k, v in self.headers.items()
                if k.lower() not in ("host", "connection", "accept-encoding")
            }
            server.request(self.command, self.path, body, headers)
            answer = server.getresponse()
            data = answer.read()
            if how == "drop-answer":
                return self.hang_up()
            return self.send(answer.status, data, answer.getheader("content-type", "application/json"))

        def hang_up(self):
            self.close_connection = True
            with contextlib.suppress(OSError):
                self.connection.shutdown(socket.SHUT_RDWR)

        def send(self, status, data, kind):
            self.send_response(status)
            self.send_header("content-type", kind)
            self.send_header("content-length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = forward

    return Handler


@contextlib.contextmanager
def faulty(url):
    """A Proxy before the server at `url`."""
    proxy = Proxy("")
    server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(urlsplit(url), proxy))
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, daemon=True).start()
    proxy.url = f"http://127.0.0.1:{server.server_address[1]}"
    try:
        yield proxy
    finally:
        server.shutdown()
        server.server_close()
