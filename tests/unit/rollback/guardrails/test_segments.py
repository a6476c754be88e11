"""Segments: a guardrail of a file becomes one for all users and one for each value, with a part of alpha."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from common.arms import OURS, Signals
from common.config import ConfigError
from common.prometheus import Prometheus
from common.sequential import Counts
from rollback.guardrails.file import load_policy, rejudge
from rollback.guardrails.kinds.counters import CounterRatio
from rollback.guardrails.verdict import Action, Status
from rollback.job import Job
from tests.unit.rollback.conftest import (
    ARMS,
    NOW,
    SEQUENTIAL,
    STATE,
    FakeCanary,
    Numbers,
    Reading,
    Server,
    policy_of,
)

COUNTRIES = {"by": "country", "values": ["NO", "SE", "other"], "share_of_alpha": 0.3}
BY_COUNTRY: dict[str, object] = {
    **SEQUENTIAL,
    "bad": "{errors}",
    "total": "{calls}",
    "by": "user-windows",
    "segments": COUNTRIES,
}
FILE = """\
scrape_interval: 5s
guardrails:
  - kind: sequential
    name: errors
    description: Failed calls are lost calls.
    bad: "{errors}"
    total: "{calls}"
    share_of_alpha: 0.4
    segments:
      by: country
      values: ["NO", SE]
      share_of_alpha: 0.3
    action: rollback
"""


def of_country(signals: Signals) -> CounterRatio:
    """The guardrail of Norway."""
    every, norway, *_ = policy_of(BY_COUNTRY).on(signals).of(CounterRatio)
    assert (every.name, norway.name) == ("errors", "errors-no")
    return norway


def test_a_guardrail_becomes_one_for_all_and_one_for_each_segment() -> None:
    policy = policy_of(BY_COUNTRY).on(OURS)
    assert [one.name for one in policy.guardrails] == ["errors", "errors-no", "errors-se", "errors-other"]
    assert [one.spends for one in policy.guardrails] == pytest.approx([0.4, 0.1, 0.1, 0.1])
    assert [str(one.only_for) for one in policy.guardrails] == [
        "None",
        "country=NO",
        "country=SE",
        "country=other",
    ]
    warning = policy_of({**BY_COUNTRY, "segments": {**COUNTRIES, "action": "warn"}}).on(OURS)
    assert [one.action for one in warning.guardrails] == [Action.ROLLBACK, *[Action.WARN] * 3]


def test_our_own_service_counts_segments_apart() -> None:
    found = of_country(OURS)
    only = '{property="country", value="NO"}'
    assert (str(found.bad), str(found.total), str(found.bad_calls)) == (
        f"segment_user_windows_bad_total{only}",
        f"segment_calls_total{only}",
        f"segment_errors_total{only}",
    )
    assert found.buckets
    assert (str(found.buckets.calls), found.buckets.label) == (f"segment_group_calls_total{only}", "group")


def test_the_series_of_another_service_have_a_label_of_its_own() -> None:
    theirs = Signals.model_validate(
        {
            "calls": "shop_total",
            "errors": 'shop_total{code="500"}',
            "user_windows": {"bad": "shop_bad", "buckets": {"calls": "shop_k", "bad": "shop_bad_k"}},
        }
    )
    found = of_country(theirs)
    assert (str(found.bad), str(found.total), found.buckets) == (
        'shop_total{code="500", country="NO"}',
        'shop_total{country="NO"}',
        None,
    )
    apart = {"calls": "by_country", "errors": "bad_by_country", "user_windows": None}
    named = theirs.model_copy(
        update={"segments": Signals.model_validate({"calls": "x", "segments": apart}).segments}
    )
    assert str(of_country(named).bad) == 'bad_by_country{country="NO"}'
    odd = policy_of({**BY_COUNTRY, "segments": {**COUNTRIES, "by": "app.version"}}).on(theirs)
    assert [one.name for one in odd.guardrails] == ["errors"]  # all users are judged all the same
    assert [one.name for one, _ in odd.missing] == ["errors-no", "errors-se", "errors-other"]
    assert "no label is called 'app.version'" in odd.missing[0][1]


@pytest.mark.parametrize(
    ("old", "new", "fault"),
    [
        ('["NO", SE]', "[NO, SE]", ":11: guardrails[0].segments.values[0]: YAML reads False here: write the"),
        ('["NO", SE]', "[a b, a-b]", ":11: guardrails[0].segments.values: their guardrails would have one"),
        ('["NO", SE]', "[]", ":11: guardrails[0].segments.values: "),
        ('["NO", SE]', f"[{', '.join(f'v{n}' for n in range(21))}]", ":11: guardrails[0].segments.values: "),
        ("by: country", "by: .country", ":10: guardrails[0].segments.by: "),
        ("of_alpha: 0.3", "of_alpha: 0.7", ":8: guardrails[0].share_of_alpha: with errors-se those of"),
        ("SE]", f"{'S' * 60}]", ":9: guardrails[0].segments: errors-ssss"),
        (
            '    segments:\n      by: country\n      values: ["NO", SE]\n      share_of_alpha: 0.3\n',
            '    segment: {by: country, value: "NO", of: errors}\n',
            ":9: guardrails[0].segment: is what the job makes of segments",
        ),
    ],
)
def test_what_does_not_fit_is_told_with_its_line(tmp_path: Path, old: str, new: str, fault: str) -> None:
    file = tmp_path / "guardrails.yaml"
    file.write_text(FILE)
    assert len(load_policy(file).guardrails) == 3
    assert old in FILE
    file.write_text(FILE.replace(old, new))
    with pytest.raises(ConfigError) as caught:
        load_policy(file)
    assert f"{file}{fault}" in str(caught.value)


def test_a_segment_may_not_have_the_name_of_another_guardrail() -> None:
    with pytest.raises(ValueError, match="some stand here twice: errors-no"):
        policy_of(BY_COUNTRY, {**SEQUENTIAL, "name": "errors-no", "share_of_alpha": 0.1})


def grown(rate: float, since: float = 3600) -> Reading:
    """A counter that has grown at so many a second for so long, and stood still before."""
    return lambda at: 1000.0 + round(rate * max(at - NOW.timestamp() + since, 0))


def failing_for(countries: dict[str, tuple[float, float]]) -> Numbers:
    """A service that fails 1% of its calls, and the challenger as many as said: by country rate and share."""
    counters = []
    for country, (rate, bad) in countries.items():
        for model, part, share in (("champion", 0.95, 0.01), ("challenger", 0.05, bad)):
            labels = {"job": "service", "instance": "a", "model": model}
            only = labels | {"property": "country", "value": country}
            calls, failed = rate * part, rate * part * share
            counters += [
                ({"__name__": "segment_calls_total", **only}, grown(calls)),
                ({"__name__": "segment_errors_total", **only}, grown(failed)),
                ({"__name__": "segment_user_windows_bad_total", **only}, grown(failed)),
                ({"__name__": "model_calls_total", "of": country, **labels}, grown(calls)),
                ({"__name__": "prediction_errors_total", "of": country, **labels}, grown(failed)),
                ({"__name__": "user_windows_bad_total", "of": country, **labels}, grown(failed)),
            ]
            if model == "champion":
                for group in range(20):
                    for prefix, of in (
                        ("segment_group", only | {"group": str(group)}),
                        ("bucket", labels | {"of": country, "bucket": str(group)}),
                    ):
                        counters += [
                            ({"__name__": f"{prefix}_calls_total", **of}, grown(calls / 20)),
                            ({"__name__": f"{prefix}_user_windows_bad_total", **of}, grown(failed / 20)),
                        ]
    return Numbers({}, counters=counters)


def test_harm_to_two_in_a_hundred_users_is_seen_and_named(server: Server) -> None:
    """Among all users it is lost: an hour later `errors` is at half of its threshold."""
    server.reply = failing_for({"NO": (1, 0.15), "SE": (20, 0.01), "other": (29, 0.01)})
    whole = {**BY_COUNTRY, "share_of_alpha": 0.7}
    done = Job(policy_of(whole).on(OURS), Prometheus(server.url), FakeCanary(), ARMS, dry_run=True).run()
    told = {one.guardrail: one for one in done.verdicts}
    assert {name: one.status for name, one in told.items()} == {
        "errors": Status.OK,
        "errors-no": Status.BREACH,
        "errors-se": Status.OK,
        "errors-other": Status.OK,
    }
    norway = told["errors-no"]
    assert norway.sentence.startswith("for country=NO the challenger failed 27 of 18")
    kept = json.loads(json.dumps(norway.evidence))
    assert rejudge(kept) == (norway.status, norway.sentence, norway.log_e)
    assert len(server.asked) == 4


def test_a_segment_that_nobody_is_of_is_no_data(server: Server) -> None:
    server.reply = failing_for({"SE": (20, 0.01), "other": (29, 0.01)})
    done = Job(policy_of(BY_COUNTRY).on(OURS), Prometheus(server.url), FakeCanary(STATE), ARMS).run()
    norway = next(one for one in done.verdicts if one.guardrail == "errors-no")
    assert norway.status is Status.NO_DATA


Judged = Callable[[CounterRatio, Counts], bool]


def test_all_segments_together_use_up_no_more_than_their_part() -> None:
    """Twenty segments of equal models: a breach in any of them on at most alpha * share_of_alpha of days."""
    values = [f"v{number}" for number in range(20)]
    fields = {
        **SEQUENTIAL,
        "share_of_alpha": 0.1,
        "segments": {**COUNTRIES, "values": values, "share_of_alpha": 0.9},
    }
    policy = policy_of({**fields, "action": "rollback"}, alpha=0.5)
    segments = policy.on(OURS).of(CounterRatio)[1:]
    dice, days, steps = np.random.default_rng(17), 40, 1440
    wrong = 0
    for _ in range(days):
        fell = False
        for each in segments:
            champion, challenger = dice.poisson(142, steps), dice.poisson(7.5, steps)
            bad = dice.binomial(champion, 0.01), dice.binomial(challenger, 0.01)
            counts = Counts(champion, bad[0], challenger, bad[1])
            fell |= bool(each.log_e(counts, None).max() >= each.needed(policy.alpha))
        wrong += fell
    assert wrong <= 20  # 0.45 of 40 are 18
