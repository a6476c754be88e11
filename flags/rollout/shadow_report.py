"""The shadow report of `./canario report shadow --format json`, as far as a stage of the plan goes by it.

The two know each other by this file alone: its report has `numbers` with the names below.
"""

import json
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, Final

from pydantic import AwareDatetime, BaseModel, ConfigDict, ValidationError

from common.figures import short
from flags.canary.marks import label
from flags.rollout.schema import ShadowReportRule

MOST_BYTES: Final = 10_000_000  # a report has some ten thousand
SLACK: Final = timedelta(seconds=10)  # between the clocks of this machine and of the one that made the report


class _Answer(BaseModel):
    """A part of the report; what it has more is no concern of the plan."""

    model_config = ConfigDict(extra="ignore", frozen=True, strict=False)


class _Model(_Answer):
    name: str
    version: str


class _Limit(_Answer):
    limit: str
    value: float | None
    breached: bool


class _Numbers(_Answer):
    kind: str
    written: AwareDatetime
    challenger: _Model
    requests: int
    passed: bool | None
    limits: tuple[_Limit, ...]


class _Report(_Answer):
    numbers: _Numbers


@dataclass(frozen=True)
class ShadowReport:
    """What a report said.

    Attributes:
        fault: why nothing is known; None where it was read, and then the others count.
        written: when.
        version: of the challenger that it is about.
        requests: that both models answered.
        passed: whether all its limits held; None where it was asked for none.
        breached: the limits that did not, in words.
    """

    fault: str | None = None
    written: datetime | None = None
    version: str = ""
    requests: int = 0
    passed: bool | None = None
    breached: tuple[str, ...] = ()

    def judge(self, rule: ShadowReportRule, version: str | None, now: datetime) -> tuple[bool, str]:
        """Whether it lets the deployed `version` (a `label`) go on by this rule at `now`, and why."""
        if self.fault or self.written is None:
            return False, self.fault or "it has no date"
        age = now - self.written
        if age > rule.max_age or age < -SLACK:
            told = f"made {short(age)} ago" if age > SLACK else "dated in the future"
            return False, f"{rule.file} was {told}, and {short(rule.max_age)} is the most: make it anew"
        if version is None or label(self.version, version.rpartition(" ")[2]) != version:
            return False, f"{rule.file} is about version {self.version}, and {version} is deployed"
        if self.passed is None:
            return False, f"{rule.file} was made without --fail-on, so nothing was asked of it"
        if not self.passed:
            return False, f"{rule.file}: {'; '.join(self.breached)}"
        return True, f"made {short(age)} ago on {self.requests:,} requests: all its limits hold"


def read_report(path: Path) -> ShadowReport:
    """Read the report; what is wrong with it is a reading too. Never raises."""
    try:
        if path.stat().st_size > MOST_BYTES:
            return ShadowReport(fault=f"{path} is too large for a shadow report")
        found = _Report.model_validate(json.loads(path.read_text(encoding="utf-8"))).numbers
    except FileNotFoundError:
        return ShadowReport(
            fault=f"{path} is not there: `./canario report shadow --format json --fail-on ...` makes it"
        )
    except (OSError, ValueError, RecursionError) as error:
        why = _first(error) if isinstance(error, ValidationError) else str(error)
        return ShadowReport(fault=f"{path} is no shadow report: {why}")
    if found.kind != "shadow":
        return ShadowReport(fault=f"{path} is a report of {found.kind}, not of the shadow")
    return ShadowReport(
        written=found.written,
        version=found.challenger.version,
        requests=found.requests,
        passed=found.passed,
        breached=tuple(
            f"{each.limit} is not met" + ("" if each.value is None else f" ({each.value:.4g})")
            for each in found.limits
            if each.breached
        ),
    )


def _first(error: ValidationError) -> str:
    fault: Any = error.errors(include_url=False)[0]
    return f"{'.'.join(map(str, fault['loc']))}: {fault['msg']}"
