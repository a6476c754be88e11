"""Which models are served: a series of `model_info` outlives its model, with the value 0."""

from functools import partial
from pathlib import Path

from common.prometheus import Prometheus
from rollback.actions.lease import challenger, served
from tests.unit.rollback.conftest import ARMS, MODEL, NOW, Answer, Server, result

Track = tuple[str, str, list[int]]


def told(*tracks: Track) -> Answer:
    """Role, version and values at the last scrapes, 5 s apart."""
    return result(
        "matrix",
        [
            {
                "metric": MODEL | {"model": role, "version": version},
                "values": [
                    [NOW.timestamp() - 5 * back, str(value)]
                    for back, value in zip(reversed(range(len(values))), values, strict=True)
                ],
            }
            for role, version, values in tracks
        ],
    )


def test_a_model_that_left_counts_no_more(server: Server) -> None:
    new, old = ("challenger", "2.0.0", [0, 0, 1]), ("challenger", "1.0.0", [1, 1, 0])
    for tracks in ([new, old], [old, new]):
        answer = told(*tracks)
        server.reply = partial(lambda said, _path, _form: said, answer)
        assert served(Prometheus(server.url), ARMS)["challenger"].version == "2.0.0"


def test_the_last_that_was_served_counts_while_nothing_is(server: Server) -> None:
    server.reply = lambda _path, _form: told(
        ("challenger", "1.0.0", [1, 0, 0]), ("challenger", "2.0.0", [0, 1, 0]), ("champion", "1.0.0", [0, 0])
    )
    found = served(Prometheus(server.url), ARMS)
    assert {role: one.version for role, one in found.items()} == {"challenger": "2.0.0"}


def test_the_models_folder_goes_before_and_prometheus_helps_out(server: Server, tmp_path: Path) -> None:
    server.reply = lambda _path, _form: told(("challenger", "2.0.0", [1]))
    assert challenger(None, Prometheus(server.url), ARMS) == f"2.0.0 {MODEL['sha256'][:12]}"
    assert challenger(tmp_path / "none", Prometheus(server.url), ARMS) == f"2.0.0 {MODEL['sha256'][:12]}"
    server.reply = lambda _path, _form: Answer(b"", 503)
    assert challenger(None, Prometheus(server.url), ARMS) is None
