"""Guardrails: what the challenger may not do, as data that is validated whole before the first query.

This is the file around them. The kinds of guardrails and their fields are in kinds/, each in a module that
is found by being there.
"""

from collections import Counter
from collections.abc import Iterator, Mapping
from datetime import timedelta
from importlib import import_module
from pathlib import Path
from pkgutil import iter_modules
from typing import Annotated, Any

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    PlainValidator,
    PrivateAttr,
    SerializeAsAny,
    ValidationError,
    model_validator,
)
from pydantic_core import InitErrorDetails, PydanticCustomError

from common.arms import OURS, MissingSignal, Signals
from common.config import ConfigError, dotted, load_yaml
from common.durations import format_duration
from rollback.guardrails import kinds
from rollback.guardrails.kinds.base import KINDS, Guardrail, Kind
from rollback.guardrails.kinds.question import Terms
from rollback.guardrails.verdict import Action, Status

DEFAULT_FILE = Path(__file__).parents[1] / "guardrails.yaml"

for _module in iter_modules(kinds.__path__, f"{kinds.__name__}."):
    import_module(_module.name)


def _check_kind(kind: str) -> str:
    if kind not in KINDS:
        raise ValueError(f"Input should be {' or '.join(map(repr, sorted(KINDS)))}")
    return kind


class _Kind(BaseModel):
    """Only the field by which the rest is read."""

    model_config = ConfigDict(extra="ignore")

    kind: Annotated[str, AfterValidator(_check_kind)]


def read_guardrail(fields: object) -> Guardrail:
    """Validate the fields of one guardrail as what they are.

    Raises:
        ValidationError: with each fault at its own field, without the name of a kind in the path.
        ValueError: they are no fields at all.
    """
    if isinstance(fields, Guardrail):
        return fields
    if not isinstance(fields, dict):
        raise ValueError("is no guardrail; write fields, the first of them kind")  # noqa: TRY004 - pydantic's
    return KINDS[_Kind.model_validate(fields).kind].form(fields).model_validate(fields)


AnyGuardrail = Annotated[SerializeAsAny[Guardrail], PlainValidator(read_guardrail)]


def _check_names(guardrails: tuple[Guardrail, ...]) -> tuple[Guardrail, ...]:
    if not guardrails:
        raise ValueError("there is none, so nothing would ever be rolled back")
    counts = Counter(each.name for guardrail in guardrails for each in guardrail.each())
    if twice := [name for name, count in counts.items() if count > 1]:
        raise ValueError(f"names must differ, but some stand here twice: {', '.join(twice)}")
    return guardrails


class Policy(Terms):
    """The whole of guardrails.yaml."""

    guardrails: Annotated[tuple[AnyGuardrail, ...], AfterValidator(_check_names)]
    _missing: tuple[tuple[Guardrail, str], ...] = PrivateAttr(())

    @property
    def missing(self) -> tuple[tuple[Guardrail, str], ...]:
        """Guardrails of the file that the rollout has no signals for, and what is missing."""
        return self._missing

    def on(self, signals: Signals) -> "Policy":
        """The same with the series that the rollout's signals stand for; what it lacks is `missing`."""
        there: list[Guardrail] = []
        missing: list[tuple[Guardrail, str]] = []
        for each in (one for guardrail in self.guardrails for one in guardrail.each()):
            try:
                there.append(each.on(signals))
            except MissingSignal as error:
                missing.append((each, str(error)))
        found = self.model_copy(update={"guardrails": tuple(there)})
        found._missing = tuple(missing)
        return found

    @property
    def leaves_out(self) -> bool:
        """Whether it matters when the challenger was started."""
        return bool(self.warm_up) and any(each.but_warm_up for each in self.guardrails)

    def of(self, kind: type[Kind]) -> tuple[Kind, ...]:
        """Those of one kind, in the order of the file, for who needs their fields."""
        return tuple(each for each in self.guardrails if isinstance(each, kind))

    def paced(self, scrape: timedelta) -> "Policy":
        """The same for a service that is scraped as often as that. Raises ConfigError: too seldom."""
        found = self.model_copy(update={"scrape_interval": scrape, "step": max(self.step, scrape)})
        if faults := [*found._misfits()]:
            told = "; ".join(f"{dotted(each['loc'])}: {each['ctx']['fault']}" for each in faults)
            raise ConfigError(
                f"arms.scrape_interval: {format_duration(scrape)} does not fit the guardrails: {told}"
            )
        return found

    @model_validator(mode="after")
    def _check_together(self) -> "Policy":
        faults = [*self._misfits(), *self._alpha_faults()]
        if faults:
            raise ValidationError.from_exception_data("guardrails", faults)
        return self

    def _misfits(self) -> Iterator[InitErrorDetails]:
        """Times that are well by themselves and do not fit each other."""
        for number, each in enumerate(self.guardrails):
            for field, text in each.misfits(self):
                yield _fault(("guardrails", number, field), text)
        if self.step < self.scrape_interval:
            yield _fault(("step",), "is shorter than the scrape interval: most steps would be empty")
        if self.late_start and self.late_start.every % self.step:
            yield _fault(("late_start", "every"), f"is no multiple of the step, {format_duration(self.step)}")

    def _alpha_faults(self) -> Iterator[InitErrorDetails]:
        """Shares of alpha are spent where the challenger can be taken away by chance."""
        spent = 0.0
        for number, each in enumerate(self.guardrails):
            rolls_back = [one for one in each.each() if one.spends and one.action in _SPENDING]
            spent += sum(one.spends for one in rolls_back)
            if rolls_back and spent > 1 + 1e-9:
                text = f"with {rolls_back[-1].name} those of guardrails that roll back add up to {spent:g}"
                yield _fault(("guardrails", number, "share_of_alpha"), f"{text}, more than 1")


_SPENDING = {Action.ROLLBACK, Action.EXCLUDE}


def _fault(location: tuple[int | str, ...], text: str) -> InitErrorDetails:
    return InitErrorDetails(
        type=PydanticCustomError("policy", "{fault}", {"fault": text}),
        loc=location,
        input=None,
        ctx={"fault": text},
    )


def load_policy(path: Path = DEFAULT_FILE, signals: Signals = OURS) -> Policy:
    """Read and check a file of guardrails, for a rollout with these signals.

    Raises:
        ConfigError: with `file:line` for every fault.
    """
    return load_yaml(path, Policy).on(signals)


def rejudge(evidence: Mapping[str, Any]) -> tuple[Status, str, float | None]:
    """Judge the evidence of a verdict again: verdict, sentence, and log e of a sequential guardrail.

    Whoever doubts a rollback can do so without Prometheus, long after its data are gone: this runs the code
    of the job. Verdicts without a measurement carry only their sentence.

    Raises:
        KeyError, TypeError, ValueError: it is no evidence.
    """
    if evidence["kind"] == "none":
        return Status(evidence["status"]), str(evidence["sentence"]), None
    verdict = read_guardrail(evidence["guardrail"]).judge_again(evidence)
    return verdict.status, verdict.sentence, verdict.log_e
