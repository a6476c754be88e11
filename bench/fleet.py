"""`python -m bench.fleet`: what many pods ask of one Unleash, one Prometheus and one rollback job.

Unleash, Prometheus and one pod are real. The other pods are its page of metrics, answered under other names,
with counters that rise.
"""

import asyncio
import json
import resource
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from multiprocessing import get_context
from pathlib import Path
from statistics import median

import click
import psutil
import requests
import yaml
from rich.table import Table

from bench.passes import canary_since
from bench.server import cpu_seconds_of, free_address
from common.arms import Arms
from common.files import replace_whole
from common.prometheus import Prometheus
from common.terminal import Console
from drills.command import exit_codes, json_option, machine, own_stack, table, write_figures
from drills.load import predict
from rollback.actions.instances import selector
from rollback.actions.stop import Off, StopVerifier
from rollback.guardrails.file import load_policy
from rollback.guardrails.judging import Judging
from stack.api import Stack
from stack.servers.monitoring import prometheus_config

SCRIPT = Path(__file__).with_name("polls.js")
POLLERS = 20
PODS = 1000
SETTLE_SECONDS = 60.0  # until all pods have been scraped often enough for each guardrail
LOOKS = 3
RISING = ("_total", "_bucket", "_count", "_sum")


@dataclass(frozen=True)
class Polls:
    """What Unleash did for clients that ask as soon as they are answered."""

    addresses: int
    etag: bool
    rate: float
    cpu_milliseconds: float
    """Of Unleash, for one poll."""
    p99: float
    """Seconds."""
    unchanged: float
    """Share that was answered by 304."""
    refused: float
    """Share that was answered by 429: Unleash lets an address poll so often."""
    failed: int


@dataclass(frozen=True)
class Fleet:
    """What so many pods cost."""

    pods: int
    up: int
    series: int
    samples: float
    """A second."""
    cores: float
    """Of Prometheus, rules included."""
    megabytes: float
    """Of Prometheus, resident."""
    judging_seconds: float
    """Of one iteration over the guardrails."""
    stop_seconds: float
    """Of one look at whether the challenger has stopped."""
    stop: str
    """What it found."""
    raw_seconds: float
    """Of the answer of Prometheus that a look rests on, by itself and however long it takes."""
    raw_megabytes: float


@click.command()
@click.option("--pods", default="100,300,1000", show_default=True, help="How many, in the order of trying.")
@click.option("--seconds", type=click.IntRange(5), default=20, show_default=True, help="Of each measuring.")
@json_option
def main(pods: str, seconds: int, json_file: Path | None) -> None:
    """Poll Unleash as fast as it goes; then let Prometheus scrape many pods, and the job judge them.

    Exit codes: 0 measured, whatever the figures; 3 it could not be.
    """
    console = Console(highlight=False)
    with exit_codes("not measured"), own_stack("postgres", "unleash", "prometheus", "service") as stack:
        console.print("polls of Unleash", markup=False)
        ways = ((PODS, True), (PODS, False), (1, True))
        polls = [polled(stack, seconds, addresses, etag=etag) for addresses, etag in ways]
        console.print(_polls(polls))
        predict(stack.addresses.service, seconds=10, users=4)
        page = requests.get(f"{stack.addresses.service}/metrics", timeout=10).text
        fleets = []
        for count in map(int, pods.split(",")):
            console.print(f"{count} pods", markup=False)
            with answering(page) as port:
                fleets.append(scraped(stack, port, count, seconds))
            console.print_json(data=asdict(fleets[-1]))
    lines = [line for line in page.splitlines() if not line.startswith("#")]
    console.print(f"A pod: {len(lines)} series in {len(page) / 1000:.0f} kB.", markup=False)
    console.print(_fleets(fleets))
    console.print(f"Measured on {machine()}.")
    document = {
        "bench": "fleet",
        "machine": machine(),
        "series_of_a_pod": len(lines),
        "bytes_of_a_page": len(page),
        "polls": [asdict(one) for one in polls],
        "fleets": [asdict(one) for one in fleets],
    }
    write_figures(console.print, json_file, document)


def polled(stack: Stack, seconds: int, addresses: int, *, etag: bool) -> Polls:
    """Let clients of so many addresses ask for flags that do not change."""
    process = stack.pid("unleash")
    environment = {
        "URL": f"{stack.addresses.unleash}/api/client/features",
        "TOKEN": stack.secret("unleash-sdk.token"),
        "ETAG": str(int(etag)),
        "USERS": str(POLLERS),
        "ADDRESSES": str(addresses),
        "DURATION": f"{seconds}s",
    }
    command = [str(Path(sys.prefix) / "bin" / "k6"), "run", "--quiet", "--no-usage-report"]
    for name, value in environment.items():
        command += ["--env", f"{name}={value}"]
    before = cpu_seconds_of(process)
    done = subprocess.run(
        [*command, str(SCRIPT)], capture_output=True, text=True, check=True, timeout=seconds + 60
    )
    used, metrics = cpu_seconds_of(process) - before, json.loads(done.stdout)

    def of(name: str, value: str = "count") -> float:
        return float(metrics[name]["values"][value]) if name in metrics else 0.0

    asked = of("http_reqs")
    return Polls(
        addresses,
        etag,
        of("http_reqs", "rate"),
        1000 * used / asked,
        of("http_req_duration", "p(99)") / 1000,
        of("unchanged") / asked,
        of("refused") / asked,
        int(of("failed")),
    )


@contextmanager
def answering(page: str) -> Iterator[int]:
    """The port on which any path answers the page, with counters that rise; by a process of its own."""
    port = int(free_address().rpartition(":")[2])
    process = get_context("spawn").Process(target=_answer, args=(page, port), daemon=True)
    process.start()
    try:
        yield port
    finally:
        process.terminate()
        process.join(10)


def _answer(page: str, port: int) -> None:
    begun, made = time.monotonic(), dict[int, bytes]()
    resource.setrlimit(resource.RLIMIT_NOFILE, (resource.getrlimit(resource.RLIMIT_NOFILE)[1],) * 2)

    def answer() -> bytes:
        second = int(time.monotonic() - begun)
        if second not in made:
            made.clear()
            content = _risen(page, second).encode()
            kind = "Content-Type: text/plain; version=0.0.4"
            head = f"HTTP/1.1 200 OK\r\n{kind}\r\nContent-Length: {len(content)}\r\n\r\n"
            made[second] = head.encode() + content
        return made[second]

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(asyncio.IncompleteReadError, ConnectionError):
            while True:
                await reader.readuntil(b"\r\n\r\n")
                writer.write(answer())
                await writer.drain()
        writer.close()

    async def run() -> None:
        server = await asyncio.start_server(serve, "127.0.0.1", port, backlog=4096)
        await server.serve_forever()

    asyncio.run(run())


def _risen(page: str, seconds: int) -> str:
    """The page with counters a hundredth higher each second."""

    def risen(line: str) -> str:
        series, _, value = line.rpartition(" ")
        if line.startswith("#") or not series.partition("{")[0].endswith(RISING):
            return line
        return f"{series} {int(float(value) * (1 + seconds / 100))}"

    return "\n".join([*map(risen, page.splitlines()), ""])


def scraped(stack: Stack, port: int, count: int, seconds: int) -> Fleet:
    """Let Prometheus scrape so many pods for some time, and the job look at them."""
    targets = [
        {
            "targets": [f"127.0.0.1:{port}"],
            "labels": {"job": "service", "instance": f"pod-{number}", "__metrics_path__": f"/pod-{number}"},
        }
        for number in range(count)
    ]
    file = prometheus_config(stack.site).parent / "targets" / "other-fleet.yml"
    replace_whole(file, yaml.safe_dump(targets))
    time.sleep(SETTLE_SECONDS)
    process, prometheus = stack.pid("prometheus"), Prometheus(stack.addresses.prometheus)
    before, begun = cpu_seconds_of(process), time.monotonic()
    time.sleep(seconds)
    cores = (cpu_seconds_of(process) - before) / (time.monotonic() - begun)
    state = canary_since(datetime.now(UTC) - timedelta(seconds=SETTLE_SECONDS))
    arms, policy = Arms(state.flag, state.environment), load_policy()
    judging = Judging(prometheus, policy, arms, state)
    judged = [_seconds(lambda: list(judging.verdicts())) for _ in range(LOOKS)]
    verifier = StopVerifier(prometheus, arms, policy.scrape_interval, timedelta(seconds=30))
    off = Off(datetime.now(UTC) - timedelta(seconds=SETTLE_SECONDS))
    looked = [_seconds(lambda: verifier.look_at(off)) for _ in range(LOOKS)]
    stop = verifier.look_at(off)
    raw = {"query": selector(arms, timedelta(minutes=5))}
    begun = time.monotonic()
    answered = requests.post(f"{stack.addresses.prometheus}/api/v1/query", data=raw, timeout=120).content
    raw_seconds = time.monotonic() - begun

    def value(query: str) -> float:
        found = prometheus.vector(query)
        return found[0].value if found else 0.0

    return Fleet(
        pods=count,
        up=int(value('sum(up{job="service"})')),
        series=_series(stack.addresses.prometheus),
        samples=value('sum(scrape_samples_scraped{job="service"})') / 5,
        cores=cores,
        megabytes=psutil.Process(process).memory_info().rss / 1e6,
        judging_seconds=median(judged),
        stop_seconds=median(looked),
        stop=stop.state.value,
        raw_seconds=raw_seconds,
        raw_megabytes=len(answered) / 1e6,
    )


def _series(prometheus: str) -> int:
    told = requests.get(f"{prometheus}/api/v1/status/tsdb", timeout=60).json()
    return int(told["data"]["headStats"]["numSeries"])


def _seconds(act: Callable[[], object]) -> float:
    begun = time.monotonic()
    act()
    return time.monotonic() - begun


def _polls(polls: list[Polls]) -> Table:
    columns = ("addresses", "304", "429", "polls/s", "ms of CPU a poll", "p99 ms", "failed")
    rows = (
        (
            str(one.addresses),
            f"{one.unchanged:.0%}",
            f"{one.refused:.0%}",
            f"{one.rate:,.0f}",
            f"{one.cpu_milliseconds:.2f}",
            f"{1000 * one.p99:.0f}",
            str(one.failed),
        )
        for one in polls
    )
    return table(f"One Unleash, {POLLERS} clients as fast as it goes", columns, rows)


def _fleets(fleets: list[Fleet]) -> Table:
    columns = (
        "pods",
        "up",
        "series",
        "samples/s",
        "cores",
        "MB",
        "judging s",
        "stop s",
        "raw s",
        "raw MB",
        "stop",
    )
    rows = (
        (
            str(one.pods),
            str(one.up),
            f"{one.series:,}",
            f"{one.samples:,.0f}",
            f"{one.cores:.2f}",
            f"{one.megabytes:.0f}",
            f"{one.judging_seconds:.2f}",
            f"{one.stop_seconds:.2f}",
            f"{one.raw_seconds:.2f}",
            f"{one.raw_megabytes:.1f}",
            one.stop,
        )
        for one in fleets
    )
    return table("One Prometheus that scrapes every 5 s, and one rollback job", columns, rows)


if __name__ == "__main__":
    main(prog_name="python -m bench.fleet")
