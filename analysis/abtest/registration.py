"""The file of a registered test: what will be measured, how, and on how many users, written down beforehand.

A test whose metric or end is chosen with the result in view finds something nearly always. So the file has
the date of its making and a hash of its content; the report verifies the hash and counts no data from before
the date. The hash is no signature: who edits the file can hash it anew. It is for a commit, a ticket or the
flag's page, where others see it before the test begins.
"""

import hashlib
import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Self

import yaml
from pydantic import AfterValidator, AwareDatetime, Field, PlainSerializer, model_validator

from analysis.errors import AnalysisError
from analysis.metric import Metric
from analysis.statistics.power import Design
from common.config import StrictModel, load_yaml
from common.durations import Duration

_ABOUT = """\
# A registered A/B test. Do not edit: `./canario report abtest report` verifies the hash at the end, and
# refuses a verdict where it does not fit. Keep it in version control; for other numbers register anew.
"""


def _in_utc(time: datetime) -> datetime:
    return time.astimezone(UTC)


Moment = Annotated[AwareDatetime, AfterValidator(_in_utc), PlainSerializer(datetime.isoformat)]


class RegisteredSegment(StrictModel):
    """Only users whose first request in the test has this value of this context property.

    Attributes:
        property: of the context, such as country.
        value: as Unleash compares it.
    """

    property: str = Field(min_length=1)
    value: str


class PlannedUsers(StrictModel):
    """Users of each arm that the verdict waits for.

    Attributes:
        champion, challenger: different users, at least.
    """

    champion: int = Field(ge=2)
    challenger: int = Field(ge=2)


class Registration(StrictModel):
    """A test as it was promised.

    Attributes:
        name: as people call it.
        registered: when, UTC; earlier data do not count.
        by: who.
        flag: whose share the arms are.
        share: percent of users that the flag gives to the challenger during the test.
        metric: the one that decides.
        segment: whom the test is about; None: all.
        segments_by: properties of the context by whose values the effect will be looked at in the end.
        baseline: of the champion, as it is expected: a share, a mean or a count per user.
        effect: the smallest change that must not be missed, absolute, up or down.
        alpha: chance of a verdict where there is no difference.
        power: chance to find `effect`.
        deviation: standard deviation from user to user; for a mean.
        dispersion: variance = mean + dispersion * mean**2; for a count.
        skewness: from user to user; for a mean. 0: not known.
        users: that the verdict waits for.
        window: how long an outcome counts, from the user's first request in the test.
        covariate: how far back before the test the same measure narrows the interval (CUPED); None: not.
        guardrails: metrics that must not get worse.
        note: why this test, for people.
    """

    name: str = Field(min_length=1)
    registered: Moment
    by: str = Field(min_length=1)
    flag: str = Field(min_length=1)
    share: float = Field(gt=0, lt=100)
    metric: Metric
    segment: RegisteredSegment | None = None
    segments_by: tuple[str, ...] = ()
    baseline: float = Field(allow_inf_nan=False)
    effect: float = Field(gt=0, allow_inf_nan=False)
    alpha: float = Field(default=0.05, gt=0, le=0.2)
    power: float = Field(default=0.8, ge=0.5, lt=1)
    deviation: float | None = Field(default=None, gt=0, allow_inf_nan=False)
    dispersion: float = Field(default=0.0, ge=0, allow_inf_nan=False)
    skewness: float = Field(default=0.0, ge=0, allow_inf_nan=False)
    users: PlannedUsers
    window: Duration
    covariate: Duration | None = None
    guardrails: tuple[Metric, ...] = ()
    note: str = ""

    @model_validator(mode="after")
    def _fits(self) -> Self:
        _ = self.design  # whether the figures go together
        names = [self.metric.name, *(guardrail.name for guardrail in self.guardrails)]
        if twice := {name for name in names if names.count(name) > 1}:
            raise ValueError(f"{', '.join(sorted(twice))}: two metrics of one name")
        return self

    @property
    def design(self) -> Design:
        """As the power analysis has it."""
        return Design(
            kind=self.metric.kind,
            baseline=self.baseline,
            alpha=self.alpha,
            power=self.power,
            share=self.share / 100,
            deviation=self.deviation,
            dispersion=self.dispersion,
            skewness=self.skewness,
        )

    @property
    def sha256(self) -> str:
        """Of what stands in the file: layout, comments and the order of keys do not count.

        Not of defaults that do not stand there: a later version of this project may have more of them.
        """
        content = self.model_dump(mode="json", exclude_unset=True)
        return hashlib.sha256(json.dumps(content, sort_keys=True, separators=(",", ":")).encode()).hexdigest()


class RegistrationFile(Registration):
    """The same with the hash that it had when it was written."""

    sha256_: str = Field(alias="sha256", pattern="^[0-9a-f]{64}$")


def write(registration: Registration, path: Path) -> str:
    """Write a new file with every field in it, and return its hash.

    Raises:
        AnalysisError: there is one already, or it cannot be written.
    """
    content = registration.model_dump(mode="json")
    sha256 = Registration.model_validate(content).sha256
    text = yaml.safe_dump(content | {"sha256": sha256}, sort_keys=False, allow_unicode=True, width=110)
    try:
        with path.open("x", encoding="utf-8") as file:
            file.write(_ABOUT + text)
    except FileExistsError:
        raise AnalysisError(
            f"{path} is there already, and a registered test is never overwritten: take another name"
        ) from None
    except OSError as error:
        raise AnalysisError(f"{path} cannot be written: {error.strerror}") from error
    return sha256


def read(path: Path) -> tuple[Registration, str]:
    """The test, and the hash that it had when it was registered.

    Raises:
        AnalysisError: there is no such file.
        ConfigError: with file and line of every fault.
    """
    if not path.exists():
        raise AnalysisError(f"{path} is not there: a test is registered by `abtest register {path}`, once")
    file = load_yaml(path, RegistrationFile)
    content = file.model_dump(mode="json", exclude={"sha256_"}, exclude_unset=True)
    return Registration.model_validate(content), file.sha256_
