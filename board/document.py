"""The shape of `/api/board`: what the page shows, and what other programs may read (docs/board.md).

Times are ISO 8601 in UTC, shares of users whole per cents, other shares from 0 to 1, durations seconds. None
stands for what is not known, or does not exist now.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

Tone = Literal["good", "bad", "wait", "plain"]
Value = float | None
ChangeKind = Literal["rollback", "raised", "lowered", "other"]


@dataclass(frozen=True)
class Answer:
    """The page in two sentences.

    Attributes:
        now: who has the challenger, and whether it may.
        next: what comes; `{until}` in it stands for the time `until`.
    """

    tone: Tone
    now: str
    next: str
    until: datetime | None


@dataclass(frozen=True)
class Source:
    """Where the page knows things from.

    Attributes:
        ok: whether the last attempt to read it succeeded.
        fault: why it did not.
        read_at: when it was last read.
    """

    name: str
    ok: bool
    fault: str | None
    read_at: datetime | None


@dataclass(frozen=True)
class Stage:
    """One stage of the plan, or the share that a person set between two of them.

    Attributes:
        state: done only where it ran; after a rollback those beyond it are not reached.
    """

    name: str
    state: Literal["done", "now", "next", "later", "skipped", "rolled back", "not reached"]
    lasts: float | None


@dataclass(frozen=True)
class Gate:
    """One condition of the next step; `until` is when it will hold at the pace until now."""

    name: str
    holds: bool
    sentence: str
    until: datetime | None


@dataclass(frozen=True)
class Lease:
    """Until when users have the challenger without a renewal by the rollback job."""

    until: datetime
    seconds_left: float


@dataclass(frozen=True)
class Rollout:
    """What Unleash says, and what the plan makes of it.

    Attributes:
        stage: `5%`, `shadow`, `not begun`.
        share: per cent of the users that the flag gives the challenger; None where nobody can tell.
        enabled: the flag's switch.
        began: when this stage began.
        stages: of the plan, with the champion's seat as the last.
        step: refuse, wait, advance, promote or finished.
        why: the reason of the step.
        until: when the last shut gate opens; None where that cannot be told.
        only_where: conditions that narrow the share.
        paused, quarantine, hold, trouble: what keeps it from going on.
    """

    stage: str
    share: int | None
    enabled: bool
    began: datetime | None
    stages: tuple[Stage, ...]
    step: str
    why: str
    until: datetime | None
    gates: tuple[Gate, ...]
    challenger: str | None
    lease: Lease | None
    only_where: tuple[str, ...]
    paused: tuple[str, ...]
    quarantine: tuple[str, ...]
    hold: str | None
    trouble: str | None


@dataclass(frozen=True)
class ServedNow:
    """A model that is served; several of one role while one takes the other's place.

    Attributes:
        name, sha256: "" where the service does not tell them.
        since: None where it was so before what Prometheus remembers, or 15 days ago.
    """

    model: str
    name: str
    version: str
    sha256: str
    since: datetime | None


@dataclass(frozen=True)
class ModelNow:
    """A model as it does now. Seconds; shares of calls; requests since the stage began."""

    model: str
    requests_per_second: Value
    p50: Value
    p99: Value
    error_rate: Value
    requests: int


@dataclass(frozen=True)
class Outcome:
    """How often users' requests to a model led to an outcome, with Wilson's interval at 95%."""

    outcome: str
    model: str
    count: int
    requests: int
    share: float
    low: float
    high: float


@dataclass(frozen=True)
class Numbers:
    """What Prometheus says now.

    Attributes:
        since: when the counts of requests and outcomes began.
        observed_share: the challenger's part of the answers, in per cent, of the last minute.
        agreement: share of the copied requests for which both models chose the same, of the last 5 minutes.
        guard_seen: end of the rollback job's last pass.
        guarded: whether that is young enough.
        flags_age: seconds since the service last heard from Unleash.
        rates_over: seconds that a rate is of.
    """

    since: datetime
    models: tuple[ModelNow, ...]
    observed_share: Value
    agreement: Value
    outcomes: tuple[Outcome, ...]
    guard_seen: datetime | None
    guarded: bool
    flags_age: Value
    rates_over: float


@dataclass(frozen=True)
class Figure:
    """A number in words, with what it is."""

    name: str
    value: str


@dataclass(frozen=True)
class Judged:
    """What a guardrail rested on when the challenger was rolled back, from the decisions log."""

    at: datetime
    figures: tuple[Figure, ...]


@dataclass(frozen=True)
class Scale:
    """The challenger less the champion, who is at 0, in the unit of the guardrail's value.

    Attributes:
        low, high: its 95% interval; None where it has none.
        limit: where it is breached; None where that is not known.
        fewer: whether it is breached under the limit, and not over it.
    """

    difference: float
    low: Value
    high: Value
    limit: Value
    fewer: bool


@dataclass(frozen=True)
class Guardrail:
    """One guardrail, as the rollback job judged it last.

    Attributes:
        verdict: ok, breach, no data, cannot measure; after a rollback what it was then; "not judged" while
            nobody has the challenger, "not judged yet" where the job has not come to it in this stage, "not
            known" where Prometheus or the job is silent, and "not available" where the rollout names no
            signal for it.
        then: of the rollback by which the challenger is gone.
        words: the verdict for people.
        action: what a breach brings: rollback, pause, warn; "" where the board's file does not have it.
        reached: how far it is, 1 is the limit; None where there is no number.
        kind: sequential (evidence) or threshold (a value), "" where that is not known.
        status: what follows: safe to ship, within its limit, keep watching, breached, rolled back; else the
            verdict.
        measures: what the value is, in words; "" where the description says it.
        figures: what was measured, now or at the rollback, as `./canario check` tells it too.
        scale: the same as a picture; None where there is no champion to compare with.
    """

    name: str
    description: str
    action: str
    kind: str
    verdict: str
    tone: Tone
    words: str
    reached: Value
    below: bool
    status: str
    measures: str = ""
    figures: tuple[Figure, ...] = ()
    scale: Scale | None = None
    then: Judged | None = None


@dataclass(frozen=True)
class Change:
    """Something that was done to a flag.

    Attributes:
        person: whether a person did it, and not one of Canario's programs.
        kind: rollback, raised, lowered or other.
        copies: whether the flag is that of the shadow, whose share is of copied requests.
    """

    id: int
    at: datetime
    flag: str
    copies: bool
    who: str
    person: bool
    what: str
    kind: ChangeKind
    users_before: int
    users_after: int


@dataclass(frozen=True)
class Decision:
    """The last rollback as `./canario explain` tells it; before one, the last change of a verdict.

    Attributes:
        current: whether the challenger is gone because of it.
    """

    id: str
    at: datetime
    current: bool
    title: str
    guardrail: str | None
    sentences: tuple[str, ...]


@dataclass(frozen=True)
class Line:
    """One line of a chart; as many values as the charts have times.

    Attributes:
        low, high: the interval of each value, at 95%; empty where the line has none.
    """

    name: str
    values: tuple[Value, ...]
    low: tuple[Value, ...] = ()
    high: tuple[Value, ...] = ()


@dataclass(frozen=True)
class Chart:
    """One chart.

    Attributes:
        key: traffic, p99, errors, agreement, `outcome/NAME` or `guardrail/NAME`. Each point of an outcome
            counts from the beginning of its stage and version, or from the chart's first moment.
        limit: where a line is drawn that must not be crossed.
        since: of an outcome, when the stage of the last point began.
        missing: why there can be none, a sentence; "" where there can.
    """

    key: str
    lines: tuple[Line, ...]
    limit: Value = None
    since: datetime | None = None
    missing: str = ""


@dataclass(frozen=True)
class Charts:
    """What was; `times` in Unix seconds."""

    span: str
    read_at: datetime | None
    times: tuple[int, ...]
    all: tuple[Chart, ...]


@dataclass(frozen=True)
class Board:
    """The whole answer. What comes from a source that never answered is None, or empty.

    Attributes:
        name: the rollout's.
        rollouts: how many the board shows: with several there is a list of them.
        own_service: whether it is Canario's own service.
        shadow: whether the plan has a shadow stage.
        missing: numbers that the service does not tell, with why: p50, p99, error_rate, agreement, outcomes,
            flags_age, versions.
    """

    version: int
    at: datetime
    name: str
    description: str
    rollouts: int
    own_service: bool
    shadow: bool
    missing: Mapping[str, str]
    flag: str
    environment: str
    flag_page: str
    answer: Answer
    served: tuple[ServedNow, ...]
    sources: tuple[Source, ...]
    rollout: Rollout | None
    numbers: Numbers | None
    guardrails: tuple[Guardrail, ...]
    changes: tuple[Change, ...]
    decision: Decision | None
    charts: Charts | None
