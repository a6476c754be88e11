"""Label matchers as in PromQL, such as `job="service", namespace="shop"`: parsed, checked, written again."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Final

from pydantic import AfterValidator

_MATCHER = re.compile(r"\s*([a-zA-Z_]\w*)\s*(=~|!~|!=|=)\s*\"((?:[^\"\\]|\\.)*)\"\s*(?:,|$)")
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


def _check(text: str) -> str:
    matchers = parse_matchers(text)
    for matcher in matchers:
        if matcher.label in _OURS:
            raise ValueError(f"the label {matcher.label} is added to each query; leave it out")
    if not any(matcher.operator == "=" and matcher.value for matcher in matchers):
        raise ValueError('names no target; write at least one label="value", as in job="service"')
    return ", ".join(map(str, matchers))


SELECTOR: Final = "which series in Prometheus are this rollout's service: labels of its targets"
DEFAULT: Final = 'job="service"'  # as monitoring/prometheus.yml names it
Matchers = Annotated[str, AfterValidator(_check)]
"""A setting: which series in Prometheus are meant, by labels that all of a target's series have, `up` too."""
