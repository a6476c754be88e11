"""Series in Prometheus, as files and settings name them: matchers, and a counter's name with matchers.

    job="service", namespace="shop"         matchers, as in PromQL
    prediction_errors_total                 a counter
    outcomes_total{outcome="conversion"}    a counter, and which of its series
    {errors}                                what the rollout calls its errors (common.arms.Signals)
    {outcomes}{outcome="bought"}            the same, and which of its series

All of it is parsed, checked and written again.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Final

from pydantic import AfterValidator, BeforeValidator, Field, PlainSerializer, WithJsonSchema

METRIC_NAME: Final = r"[a-zA-Z_:][a-zA-Z0-9_:]*"
LABEL_NAME: Final = r"[a-zA-Z_]\w*"
SIGNALS: Final = (
    "calls",
    "errors",
    "user_windows",
    "latency",
    "answers",
    "assignments",
    "outcomes",
    "shadow_samples",
    "shadow_agreements",
    "shadow_pairs",
    "shadow_classes",
    "shadow_scores",
    "shadow_errors",
)
"""What a rollout's service may tell, by the names under which guardrails ask for it."""

_MATCHER = re.compile(r"\s*([a-zA-Z_]\w*)\s*(=~|!~|!=|=)\s*\"((?:[^\"\\]|\\.)*)\"\s*(?:,|$)")
_WHOLE = re.compile(rf"\s*({METRIC_NAME}|\{{[a-z_]+\}})\s*(?:\{{(.*)\}})?\s*")
_OURS = ("model", "le", "__name__")


@dataclass(frozen=True)
class Matcher:
    """One condition on one label; a label that is not there counts as empty."""

    label: str
    operator: str
    value: str

    def fits(self, labels: Mapping[str, str]) -> bool:
        """Tell whether a series with `labels` meets it."""
        found = labels.get(self.label, "")
        equal = bool(re.fullmatch(self.value, found)) if "~" in self.operator else found == self.value
        return equal if self.operator in ("=", "=~") else not equal

    def __str__(self) -> str:
        return f"{self.label}{self.operator}{quoted(self.value)}"


@dataclass(frozen=True)
class Selector:
    """A metric's name and its matchers; or a signal's in braces, until `common.arms` puts a metric there."""

    name: str
    matchers: tuple[Matcher, ...] = ()

    @property
    def signal(self) -> str | None:
        """The signal that stands in place of a name."""
        return self.name[1:-1] if self.name.startswith("{") else None

    def fits(self, labels: Mapping[str, str]) -> bool:
        """Tell whether a series, with its name as `__name__`, is one of these."""
        return labels.get("__name__") == self.name and all(each.fits(labels) for each in self.matchers)

    def where(self, *more: Matcher) -> "Selector":
        """Those of them that meet more conditions."""
        return Selector(self.name, (*self.matchers, *more))

    def __str__(self) -> str:
        inside = ", ".join(map(str, self.matchers))
        return f"{self.name}{{{inside}}}" if self.matchers else self.name


def quoted(text: str) -> str:
    """A string as PromQL writes it."""
    escaped = text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
    return f'"{escaped}"'


def parse_matchers(text: str) -> tuple[Matcher, ...]:
    """Read matchers that commas separate.

    Raises:
        ValueError: one is none; the text says which.
    """
    matchers, at = [], 0
    while at < len(text.rstrip()):
        found = _MATCHER.match(text, at)
        if not found:
            raise ValueError(f'{text[at:].strip()!r} is no matcher; write label="value", !=, =~ or !~')
        label, operator, value = found[1], found[2], re.sub(r"\\(.)", r"\1", found[3])
        if "~" in operator:
            try:
                re.compile(value)
            except re.error as error:
                raise ValueError(f"{value!r} is no regular expression: {error}") from None
        matchers.append(Matcher(label, operator, value))
        at = found.end()
    return tuple(matchers)


def parse_selector(text: object) -> Selector:
    """Read `text` as the name of a counter, or of a signal in braces, with or without matchers.

    Raises:
        ValueError: it is none, or it says what is added by itself.
    """
    if isinstance(text, Selector):
        return text
    whole = _WHOLE.fullmatch(text) if isinstance(text, str) else None
    if not whole:
        raise ValueError(
            f'{text!r} is no counter; write a name, as in x_total or x_total{{outcome="bought"}}'
        )
    found = Selector(whole[1], parse_matchers(whole[2] or ""))
    if found.signal and found.signal not in SIGNALS:
        raise ValueError(f"{whole[1]} is no signal; there are {', '.join(SIGNALS)}")
    for matcher in found.matchers:
        if matcher.label in ("job", *_OURS):
            raise ValueError(f"the label {matcher.label} is added by the job; leave it out")
    return found


def _check(text: str) -> str:
    matchers = parse_matchers(text)
    for matcher in matchers:
        if matcher.label in _OURS:
            raise ValueError(f"the label {matcher.label} is added to each query; leave it out")
    if not any(matcher.operator == "=" and matcher.value for matcher in matchers):
        raise ValueError('names no target; write at least one label="value", as in job="service"')
    return ", ".join(map(str, matchers))


def _as_text(given: object) -> object:
    """A mapping of labels as matchers: `{job: checkout}` is what YAML has for `job="checkout"`."""
    if not isinstance(given, dict):
        return given
    return ", ".join(f"{label}={quoted(str(value))}" for label, value in given.items())


SELECTOR: Final = "which series in Prometheus are this rollout's service: labels of its targets"
DEFAULT: Final = 'job="service"'  # as monitoring/prometheus.yml names it
Matchers = Annotated[
    str,
    BeforeValidator(_as_text),
    AfterValidator(_check),
    WithJsonSchema({"type": ["string", "object"], "additionalProperties": {"type": "string"}}),
]
"""Which series in Prometheus are meant, by labels that all of a target's series have, `up` too."""
Counter = Annotated[
    Selector, BeforeValidator(parse_selector), PlainSerializer(str), WithJsonSchema({"type": "string"})
]
"""A field of a file: text on the way in, a `Selector` afterwards, and text again on the way out."""
MetricName = Annotated[str, Field(pattern=rf"^{METRIC_NAME}$")]
LabelName = Annotated[str, Field(pattern=rf"^{LABEL_NAME}$")]
