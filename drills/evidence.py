"""Why the job rolled back, from its own log: the JSON line that names guardrail, value and limit."""

from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, ValidationError


class Evidence(BaseModel):
    """A verified rollback as the job logged it; value and limit in the guardrail's unit."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    guardrail: str
    value: float | str | None
    limit: float | None
    sample: float | str | None
    sentence: str
    verified: Literal[True]


def reasons(log: Path, since: int) -> list[Evidence]:
    """The rollbacks logged after byte `since` of `log`, first one first; other lines are passed over."""
    found = []
    with log.open("rb") as file:
        file.seek(since if log.stat().st_size >= since else 0)  # a rotated log begins anew
        for line in file:
            try:
                found.append(Evidence.model_validate_json(line))
            except ValidationError:
                continue
    return found
