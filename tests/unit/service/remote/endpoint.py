"""An endpoint of the Open Inference Protocol that fails in the way that a test wants, over real sockets."""

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

HANG_SECONDS = 30.0
MEBIBYTE = 2**20


class FakeEndpoint:
    """Answers each row with the probabilities 0.3 and 0.7, unless `mode` says otherwise.

    Attributes:
        mode: see `Handler.do_POST`.
        is_ready: what its health says.
        versions: what its metadata tell.
        connections: how many were made.
        asked: bodies of the requests for predictions.
        raw: what goes over the wire in mode `raw`, and `raw and end`, which hangs up then.
    """

    def __init__(self) -> None:
        self.mode, self.is_ready = "well", True
        self.versions = ["3"]
        self.connections = 0
        self.asked: list[Any] = []
        self.headers: list[dict[str, str]] = []
        self.ended = threading.Event()
        self.url = ""
        self.raw = b""

    def answer(self, rows: int) -> dict[str, Any]:
        """The answer of mode `well`."""
        return {
            "model_name": "fraud",
            "model_version": self.versions[-1] if self.versions else "",
            "outputs": [
                {"name": "predict", "shape": [rows, 1], "datatype": "INT64", "data": [1] * rows},
                {"name": "predict_proba", "shape": [rows, 2], "datatype": "FP64", "data": [0.3, 0.7] * rows},
            ],
        }


@contextmanager
def fake_endpoint() -> Iterator[FakeEndpoint]:
    """One on a free port."""
    fake = FakeEndpoint()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True

        def setup(self) -> None:
            super().setup()
            fake.connections += 1

        def do_GET(self) -> None:
            if self.path.endswith("/ready"):
                self.send(200 if fake.is_ready else 503, b"{}")
            else:
                self.send(200, json.dumps({"name": "fraud", "versions": fake.versions}).encode())

        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            fake.asked.append(body)
            fake.headers.append({name.lower(): value for name, value in self.headers.items()})
            told = fake.answer(body["inputs"][0]["shape"][0])
            good = json.dumps(told).encode()
            match fake.mode:
                case "well":
                    self.send(200, good)
                case "slow":
                    fake.ended.wait(HANG_SECONDS)
                case "error":
                    self.send(500, b'{"error": "the model raises"}')
                case "garbage":
                    self.wfile.write(b"\x00\xffgarbage\r\n\r\n")
                    self.close_connection = True
                case "no json":
                    self.send(200, b"<html>")
                case "deep":
                    self.send(200, b"[" * 60_000)
                case "other json":
                    self.send(200, b"[1, 2]")
                case "shape":
                    told["outputs"][1]["data"].append(0.5)
                    self.send(200, json.dumps(told).encode())
                case "label":
                    told["outputs"][0]["data"] = [{"a": []}]
                    self.send(200, json.dumps(told).encode())
                case "probability":
                    told["outputs"][1]["data"] = [7.0, None]
                    self.send(200, json.dumps(told).encode())
                case "output":
                    del told["outputs"][1]
                    self.send(200, json.dumps(told).encode())
                case "version":
                    self.send(200, json.dumps(told | {"model_version": "4"}).encode())
                case "half":
                    self.send(200, good, length=len(good) + 100)
                    fake.ended.wait(HANG_SECONDS)
                case "drip":
                    self.send(200, b"", length=10_000)
                    while not fake.ended.wait(0.02):
                        self.wfile.write(b" ")
                case "cut":
                    self.send(200, good[:20], length=len(good))
                    self.close_connection = True
                case "huge":
                    self.send(200, b"", length=10**9)
                    while not fake.ended.is_set():
                        self.wfile.write(b" " * MEBIBYTE)
                case "headers":
                    self.wfile.write(b"HTTP/1.1 200 OK\r\n")
                    while not fake.ended.wait(0.02):
                        self.wfile.write(b"X: y\r\n")
                case "raw" | "raw and end":
                    self.wfile.write(fake.raw)
                    self.close_connection = fake.mode != "raw"
                case "hang up":
                    self.close_connection = True

        def send(self, status: int, body: bytes, length: int | None = None) -> None:
            self.send_response(status)
            self.send_header("Content-Length", str(len(body) if length is None else length))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: Any) -> None:
            pass

    class Quiet(ThreadingHTTPServer):
        daemon_threads = True

        def handle_error(self, *_: Any) -> None:
            """Clients hang up here."""

    server = Quiet(("127.0.0.1", 0), Handler)
    fake.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield fake
    finally:
        fake.ended.set()
        server.shutdown()
        thread.join()
        server.server_close()
