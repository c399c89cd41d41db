"""An OpenAI-compatible server of the tests' own: it answers as a function says, and counts.

    with serving(lambda body: "four") as server:
        ...  # server.url, server.asked (bodies), server.most (at a time)

The function gets the request's body and returns a content, a `Said`, or raises nothing.
"""

import contextlib
import json
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


@dataclass
class Said:
    """An answer beyond a mere content: how it ended, a status, headers, a body as it stands, seconds to wait."""

    content: str = ""
    status: int = 200
    headers: dict = field(default_factory=dict)
    body: str | bytes | None = None
    drip: float = 0.0  # seconds between two bytes of the body
    seconds: float = 0.0
    prompt_tokens: int = 10
    completion_tokens: int = 5
    finish: str | None = "stop"
    message: dict = field(default_factory=dict)


class ModelServer(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 64

    def __init__(self, answer: Callable):
        super().__init__(("127.0.0.1", 0), _Handler)
        self.answer = answer
        self.asked, self.headers = [], []
        self.now = self.most = 0
        self.lock = threading.Lock()
        self.url = f"http://127.0.0.1:{self.server_port}/v1"

    def handle_error(self, request, client_address):
        """A client that was killed is no error here."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *arguments):
        pass

    def do_POST(self):
        server = self.server
        body = json.loads(self.rfile.read(int(self.headers["content-length"])))
        with server.lock:
            server.asked.append(body)
            server.headers.append(dict(self.headers))
            server.now += 1
            server.most = max(server.most, server.now)
        try:
            said = server.answer(body)
            said = said if isinstance(said, Said) else Said(said)
            time.sleep(said.seconds)
        finally:
            with server.lock:
                server.now -= 1
        self._send(said, body)

    def _send(self, said, body):
        usage = {"prompt_tokens": said.prompt_tokens, "completion_tokens": said.completion_tokens}
        message = {"role": "assistant", "content": said.content, **said.message}
        choice = {"message": message, "finish_reason": said.finish}
        whole = {"model": f"{body['model']}-0613", "choices": [choice], "usage": usage}
        text = json.dumps(whole) if said.body is None else said.body
        text = text.encode() if isinstance(text, str) else text
        self.send_response(said.status)
        for name, value in said.headers.items():
            self.send_header(name, value)
        self.send_header("content-length", str(len(text)))
        self.end_headers()
        if not said.drip:
            self.wfile.write(text)
            return
        with contextlib.suppress(OSError):  # the other side has gone
            for byte in text:
                self.wfile.write(bytes([byte]))
                time.sleep(said.drip)


@contextlib.contextmanager
def serving(answer):
    """A server on loopback that answers as `answer(body)` says."""
    server = ModelServer(answer)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()
