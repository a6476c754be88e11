"""An exporter of a native histogram, which Prometheus takes in protobuf alone; prometheus_client writes none.

The messages are those of io.prometheus.client.MetricFamily, each behind its length.
"""

import struct
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread

CONTENT_TYPE = "application/vnd.google.protobuf; proto=io.prometheus.client.MetricFamily; encoding=delimited"
COUNTER, HISTOGRAM = 0, 4  # of MetricType
SCHEMA = 3  # eight buckets from one power of two to the next


def _varint(number: int) -> bytes:
    out = b""
    while number > 0x7F:
        out += bytes([number & 0x7F | 0x80])
        number >>= 7
    return out + bytes([number])


def _zigzag(number: int) -> bytes:
    return _varint(number * 2 if number >= 0 else -number * 2 - 1)


def _number(field: int, number: int) -> bytes:
    return _varint(field << 3) + _varint(number)


def _signed(field: int, number: int) -> bytes:
    return _varint(field << 3) + _zigzag(number)


def _double(field: int, number: float) -> bytes:
    return _varint(field << 3 | 1) + struct.pack("<d", number)


def _bytes(field: int, value: bytes) -> bytes:
    return _varint(field << 3 | 2) + _varint(len(value)) + value


def _labels(labels: Mapping[str, str]) -> bytes:
    return b"".join(
        _bytes(1, _bytes(1, name.encode()) + _bytes(2, value.encode())) for name, value in labels.items()
    )


def counter(name: str, series: Sequence[tuple[Mapping[str, str], float]]) -> bytes:
    """A family of counters."""
    metrics = b"".join(_bytes(4, _labels(labels) + _bytes(3, _double(1, value))) for labels, value in series)
    return _family(name, COUNTER, metrics)


def native_histogram(name: str, series: Sequence[tuple[Mapping[str, str], Mapping[int, int]]]) -> bytes:
    """A family of native histograms, each with calls by the index of their bucket, in one span."""
    metrics = b""
    for labels, buckets in series:
        first, last = min(buckets), max(buckets)
        span = _signed(1, first) + _number(2, last - first + 1)
        counts = [buckets.get(index, 0) for index in range(first, last + 1)]
        deltas = [after - before for before, after in zip([0, *counts], counts, strict=False)]
        histogram = (
            _number(1, sum(counts))
            + _double(2, float(sum(counts)))
            + _signed(5, SCHEMA)
            + _double(6, 1e-9)
            + _number(7, 0)
            + _bytes(12, span)
            + b"".join(_signed(13, delta) for delta in deltas)
        )
        metrics += _bytes(4, _labels(labels) + _bytes(7, histogram))
    return _family(name, HISTOGRAM, metrics)


def _family(name: str, kind: int, metrics: bytes) -> bytes:
    message = _bytes(1, name.encode()) + _number(3, kind) + metrics
    return _varint(len(message)) + message


@contextmanager
def exporting(say: Callable[[], bytes]) -> Iterator[str]:
    """The address of a target that is asked what it says at each scrape."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            body = say()
            self.send_response(200)
            self.send_header("Content-Type", CONTENT_TYPE)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:
            """Keep the output of the tests clean."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        yield f"127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
