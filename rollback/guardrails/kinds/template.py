"""PromQL with placeholders, as threshold guardrails have it; and what of it made-up traffic can answer.

    {window}                   how far back to look; the job fills it in and never reaches past the stage's
                               beginning, so every query must use it
    {errors of challenger}     a signal of the rollout, with the matchers of one model, or `of both`;
                               {latency_bucket of both}, {latency_count of both}; {shadow_samples} alone
    {label}                    the label that tells the models apart: sum by ({label}) (...)
    {selector}                 for series that are no signals, the matchers of the service: x{{selector}, ...}
    {champion}, {challenger}   the label's values; {both} is the matcher for the two of them

A placeholder is words in braces and nothing else; label matchers such as {model="x"} are left alone.
"""

import re
from collections.abc import Callable
from datetime import timedelta
from functools import partial
from typing import Annotated

from pydantic import AfterValidator

from common.arms import Arms, Signals
from common.durations import format_duration
from common.names import Metric
from common.selector import SIGNALS, quoted
from rollback.simulate.rules import p_ratio, quantile, share_of
from rollback.simulate.traffic import Traffic, Values

_PLACEHOLDER = re.compile(r"\{\s*([A-Za-z_]\w*)\s*\}")
_KNOWN = ("window", "selector", "label", "champion", "challenger", "both")
_PARTS = ("latency_bucket", "latency_count", "latency_sum")
_SIGNALS = tuple(name for name in (*SIGNALS, *_PARTS) if name != "latency")
_SIGNAL = re.compile(r"\{\s*([a-z_]+)(?:\s+of\s+(\w+))?\s*\}")
_ARMS = {
    "champion": '{label}="{champion}"',
    "challenger": '{label}="{challenger}"',
    "both": "{both}",
}

_P = (
    r"histogram_quantile\((?P<{0}>0?\.\d+),sumby\(le\)\(rate\(latency_seconds_bucket"
    r'\{{(?:job="service"|\{{selector\}}),(?:model|\{{label\}})="\{{{0}\}}"\}}\[\{{window\}}\]\)\)\)'
)
_COUNT = (
    r'sum\(increase\({}\{{(?:job="service"|\{{selector\}}),(?:model|\{{label\}})="\{{challenger\}}"\}}'
    r"\[\{{window\}}\]\)\)"
)
_QUANTILE = re.compile(_P.format("challenger"))
_RATIO = re.compile(
    _P.format("challenger") + r"/(?:clamp_min\()?" + _P.format("champion") + r"(?:,(?P<least>[\d.]+)\))?"
)
_ERRORS = re.compile(_COUNT.format(Metric.ERRORS) + "/" + _COUNT.format(Metric.CALLS))
_USERS = re.compile(_COUNT.format(Metric.USER_WINDOWS_BAD) + "/" + _COUNT.format(Metric.CALLS))
_OF_ERRORS = re.compile(r"\{\s*errors\s+of\b")


def _check_template(template: str) -> str:
    for found in _SIGNAL.finditer(template):
        name, arm = found.groups()
        if name in _SIGNALS and bool(arm) == name.startswith("shadow"):
            raise ValueError(
                f"{found[0]}: write {{shadow_samples}} without a model, {{calls of both}} with one"
            )
        if arm and (name not in _SIGNALS or arm not in _ARMS):
            raise ValueError(
                f"{found[0]} is no series; there are {', '.join(_SIGNALS)}, of {' or '.join(_ARMS)}"
            )
    plain = _SIGNAL.sub(lambda found: "" if found[1] in _SIGNALS else found[0], template)
    names = _PLACEHOLDER.findall(plain)
    for name in names:
        if name not in _KNOWN:
            known = ", ".join(f"{{{known}}}" for known in _KNOWN)
            raise ValueError(f"{{{name}}} is no known placeholder; there are {known}")
    if "window" not in names:
        raise ValueError("{window} is missing; without it the query would see calls from before the stage")
    return template


Template = Annotated[str, AfterValidator(_check_template)]
"""PromQL with placeholders that are known, {window} among them."""


def named(template: str, signals: Signals) -> str:
    """The same with the series of the rollout's signals in place of their names. Raises MissingSignal."""

    def series(found: re.Match[str]) -> str:
        name, arm = found.groups()
        if name not in _SIGNALS:
            return found[0]
        histogram, _, part = name.partition("_") if name in _PARTS else (name, "", "")
        selector = signals.of(histogram)
        matchers = [*map(str, selector.matchers), "{selector}", *([_ARMS[arm]] if arm else [])]
        return f"{selector.name}{'_' * bool(part)}{part}{{{', '.join(matchers)}}}"

    return _SIGNAL.sub(series, template)


def by_users(template: str) -> str:
    """The same with user-windows that were bad in place of errors."""
    return _OF_ERRORS.sub("{user_windows of", template)


def of_champion(template: str) -> str | None:
    """The same of the champion, where a named template has the challenger alone; else None."""
    if {*_PLACEHOLDER.findall(template)} & {"champion", "challenger", "both"} != {"challenger"}:
        return None
    return _PLACEHOLDER.sub(lambda found: "{champion}" if found[1] == "challenger" else found[0], template)


def render(template: str, window: timedelta, arms: Arms) -> str:
    """Fill in `template`, whose signals are named, for one window of a rollout's series."""
    values = {
        "window": format_duration(window),
        "selector": arms.selector,
        "label": arms.label,
        "champion": quoted(arms.champion)[1:-1],
        "challenger": quoted(arms.challenger)[1:-1],
        "both": arms.both,
    }
    return " ".join(_PLACEHOLDER.sub(lambda match: values[match[1]], template).split())


def playable(template: str, window: int) -> tuple[Metric, Callable[[Traffic], Values]] | None:
    """What made-up traffic answers to the queries by default, over so many steps; None for other queries.

    Returns:
        the metric that is looked at, latencies or errors, and the value at each step of a stage.
    """
    query = "".join(template.split())
    if found := _QUANTILE.fullmatch(query):
        return Metric.LATENCY, partial(_quantile, float(found["challenger"]), window)
    found = _RATIO.fullmatch(query)
    if found and found["challenger"] == found["champion"]:
        ratio = partial(p_ratio, float(found["challenger"]), window, float(found["least"] or 0))
        return Metric.LATENCY, ratio
    for pattern, value in ((_ERRORS, _errors), (_USERS, _users)):
        if pattern.fullmatch(query):
            return Metric.ERRORS, partial(value, window)
    return None


def _quantile(share: float, window: int, traffic: Traffic) -> Values:
    return quantile(share, traffic.challenger, traffic.edges, window)


def _errors(window: int, traffic: Traffic) -> Values:
    return share_of(traffic.challenger.errors, traffic.challenger.calls, window)


def _users(window: int, traffic: Traffic) -> Values:
    bad = traffic.by_user.challenger_bad if traffic.by_user else traffic.challenger.errors
    return share_of(bad, traffic.challenger.calls, window)
