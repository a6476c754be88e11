"""What a real Prometheus says to the questions of common.served, on tabled histories scraped every 5 s.

A history is a string, one character a scrape: a digit is the version that the instance serves as challenger,
`x` a scrape that fails, `-` none because it is no target. Time begins at 0.
"""

from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import yaml

from common.arms import Arms, ServedModel
from common.names import Model
from common.served import settled_query, terms
from tests.unit.monitoring.rules import run_promtool

ARMS = Arms("canary", "production")
CHAMPION = ServedModel("x", "0", "c")
SCRAPE = 5


def served(version: str) -> ServedModel:
    return ServedModel("x", version, "s" + version)


def series(instance: str, history: str) -> list[dict[str, str]]:
    """`up` and `model_info` of one instance; one version has another until the process sets it to 0."""
    of = f'job="service", instance="{instance}"'
    up = ["_" if one == "-" else str(int(one != "x")) for one in history]
    found = [{"series": f"up{{{of}}}", "values": " ".join(up)}]
    models = [("champion", CHAMPION, set("0123456789"))]
    models += [("challenger", served(one), {one}) for one in sorted(set(history) - {"x", "-"})]
    for role, model, here in models:
        labels = f'{of}, model="{role}", name="x", version="{model.version}", sha256="{model.sha256}"'
        values, seen = [], False
        for one in history:
            seen = seen or one in here
            absent = one in "x-" or not seen
            values.append(("stale" if seen else "_") if absent else str(int(one in here)))
        found.append({"series": f"model_info{{{labels}}}", "values": " ".join(values)})
    return found


def check(folder: Path, query: str, expected: list[dict[str, Any]], *histories: str) -> None:
    """`query`, at the last scrape of these instances, gives just that."""
    end = SCRAPE * (len(histories[0]) - 1)
    document = {
        "evaluation_interval": "5s",
        "tests": [
            {
                "interval": f"{SCRAPE}s",
                "input_series": [
                    one for name, each in zip("ab", histories, strict=False) for one in series(name, each)
                ],
                "promql_expr_test": [{"expr": query, "eval_time": f"{end}s", "exp_samples": expected}],
            }
        ],
    }
    file = folder / "test.yml"
    file.write_text(yaml.safe_dump(document), encoding="utf-8")
    run_promtool("test", "rules", file)


@pytest.mark.parametrize(
    ("histories", "since"),
    [
        pytest.param(["1112222222", "1111112222"], 6, id="two instances swap seconds apart"),
        pytest.param(["1112221111", "1112222111"], 7, id="a version comes back: its last stay counts"),
        pytest.param(["1112222222", "111xxx2222"], 6, id="a swap that was scraped late"),
        pytest.param(["1112222222", "111xxxxxxx"], None, id="an instance that is not heard since"),
        pytest.param(["1112222222", "1111------"], 4, id="an instance that left"),
        pytest.param(["111222x222", "111222----"], 3, id="a failed scrape of the same version is no break"),
        pytest.param(["111-------", "---2222222"], 3, id="instances that are replaced"),
    ],
)
def test_since_when_every_instance_serves_it(tmp_path: Path, histories: list[str], since: int | None) -> None:
    challenger = served(histories[0].strip("-")[-1] if histories[0][-1] != "-" else histories[1][-1])
    left = max(
        place for each in histories for place, one in enumerate(each) if one not in f"x-{challenger.version}"
    )
    back = timedelta(seconds=SCRAPE * (len(histories[0]) - 1 - left))
    query = settled_query(ARMS, {Model.CHAMPION: CHAMPION, Model.CHALLENGER: challenger}, back)
    expected = [] if since is None else [{"labels": "{}", "value": float(SCRAPE * since)}]
    check(tmp_path, query, expected, *histories)


def test_when_each_version_was_last_seen(tmp_path: Path) -> None:
    *_, serve, last = terms(ARMS, timedelta(minutes=1))

    def told(mark: str, value: float, role: str, model: ServedModel) -> dict[str, Any]:
        labels = f'canario_query="{mark}", model="{role}", name="x"'
        return {"labels": f'{{{labels}, version="{model.version}", sha256="{model.sha256}"}}', "value": value}

    histories = ["1112222222", "1111122222"]
    check(
        tmp_path,
        last,
        [
            told("last", 20.0, "challenger", served("1")),
            told("last", 45.0, "challenger", served("2")),
            told("last", 45.0, "champion", CHAMPION),
        ],
        *histories,
    )
    now = [told("serve", 2.0, "challenger", served("2")), told("serve", 2.0, "champion", CHAMPION)]
    check(tmp_path, serve, now, *histories)
