"""Feedback that does not count, and why: what is left out of a report is told in it."""

from dataclasses import dataclass
from typing import Final

import ibis
from ibis import _
from ibis.expr import types as ir

from analysis.log import Log, moment
from analysis.metric import Metric
from analysis.users import SLACK, Period

WORTH_A_WARNING: Final = 0.01  # of the feedback of that name


@dataclass(frozen=True)
class LeftOut:
    """Feedback of one name, from a test's time.

    Attributes:
        told: all of it, the same outcome of the same request once.
        late: it names a request or user of the test, and came after the window.
        early: it names only a user of the test, and came before the first request by more than SLACK.
        unknown: it names a request that the log does not hold.
        nameless: it names neither a request nor a user.
    """

    told: int
    late: int = 0
    early: int = 0
    unknown: int = 0
    nameless: int = 0

    @property
    def sentence(self) -> str:
        """What was left out, in words."""
        reasons = {
            f"{self.late:,} came after the window": self.late,
            f"{self.early:,} named a user, before the user's first request": self.early,
            f"{self.unknown:,} named a request that is not in the log": self.unknown,
            f"{self.nameless:,} named neither request nor user": self.nameless,
        }
        parts = [text for text, count in reasons.items() if count]
        return f"Of {self.told:,} feedbacks of that name, {', '.join(parts) or 'none was left out'}."

    @property
    def is_odd(self) -> bool:
        """Whether more than a few have lost their request or user; late and early ones may be right so."""
        return self.unknown + self.nameless > WORTH_A_WARNING * self.told


def left_out(log: Log, metric: Metric, period: Period, users: ir.Table) -> LeftOut:
    """Count it; `users` of the test have user and first."""
    window = ibis.literal(period.window)
    told = log.feedback.filter(_.outcome == metric.outcome, _.time >= moment(period.since))
    named = told.filter(_.request_id.notnull()).select("request_id", "time")
    asked = _asked(log, named).left_join(users.select("user", "first"), "user")
    named = named.left_join(asked.select("request_id", "asked", "first"), "request_id")
    in_test = _["first"].notnull() & (_.asked >= moment(period.since)) & (_.asked < moment(period.until))
    by_request = named.select(
        early=ibis.literal(0),
        late=(in_test & (_.time > _["first"] + window)).fill_null(False).ifelse(1, 0),
        unknown=_.asked.isnull().ifelse(1, 0),
        nameless=ibis.literal(0),
    )
    of_users = told.filter(_.request_id.isnull()).select("user", "time")
    of_users = of_users.left_join(users.select("user", "first"), "user").select(
        "time", "first", user=of_users.user
    )
    by_user = of_users.select(
        early=(_.time < _["first"] - ibis.literal(SLACK)).fill_null(False).ifelse(1, 0),
        late=(_.time > _["first"] + window).fill_null(False).ifelse(1, 0),
        unknown=ibis.literal(0),
        nameless=_.user.isnull().ifelse(1, 0),
    )
    sums = {name: _[name].sum() for name in ("late", "early", "unknown", "nameless")}
    row = log.rows(by_request.union(by_user).aggregate(told=_.count(), **sums))[0]
    return LeftOut(**{name: int(count or 0) for name, count in row.items()})


@dataclass(frozen=True)
class Named:
    """Feedback that names a request, in a whole log.

    Attributes:
        count: all of it.
        unknown: of requests that the log does not hold.
        before: that carries a time before its request, so that two clocks differ; it counts all the same.
    """

    count: int
    unknown: int
    before: int


def named_requests(log: Log) -> Named:
    """Look for the request of each."""
    told = log.feedback.filter(_.request_id.notnull()).select("request_id", "time")
    joined = told.left_join(_asked(log, told), "request_id").select("time", "asked")
    before = (_.time < _.asked).fill_null(False).ifelse(1, 0).sum()
    row = log.rows(joined.aggregate(count=_.count(), unknown=_.asked.isnull().sum(), before=before))[0]
    return Named(**{name: int(count or 0) for name, count in row.items()})


def _asked(log: Log, named: ir.Table) -> ir.Table:
    """request_id, asked and user of the requests that are `named`, once each."""
    requests = log.predictions.semi_join(named, "request_id")
    return requests.group_by("request_id").aggregate(asked=_.time.min(), user=_.user.min())
