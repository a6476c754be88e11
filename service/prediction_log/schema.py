"""What the records say, version 1: docs/prediction-log.md is made for readers, this for tests and tools.

Records are made as plain dictionaries: to validate what this program has just made would cost more than the
rest of the log. A test validates the lines of a real log with the models below.
"""

from typing import Annotated, Literal

from pydantic import AwareDatetime, Field

from common.config import StrictModel
from common.names import Model

Probability = Annotated[float, Field(ge=0, le=1)]


class Record(StrictModel):
    """What every record has."""

    schema_: Literal[1] = Field(alias="schema", description="Version of this schema.")
    time: AwareDatetime = Field(description="When the record was made, UTC, to the millisecond.")


class OutputAnswer(StrictModel):
    """One of several answers of a model to a row."""

    prediction: int | float | str = Field(description="As in the answer.")
    class_name: str | None = Field(description="As in the answer.")
    probability: Probability | None = Field(description="As in the answer.")


Outputs = Annotated[
    dict[str, OutputAnswer] | None,
    Field(
        description="All answers by the names of outputs; only of a model of several. The fields of the "
        "record are of its primary one."
    ),
]


class PredictionRecord(Record):
    """A request that was answered."""

    kind: Literal["prediction"] = Field(description="Always `prediction`.")
    request_id: str = Field(description="As in the answer.")
    user: str | None = Field(description="The user: a keyed hash, the id, or null (`CANARIO_LOG_USERS`).")
    context: dict[str, str] = Field(
        description="The request's context; one number is one text however it is written, `3.0` is `3`."
    )
    assigned: Model = Field(description="Who should have answered by the flag: experiments are read by this.")
    model: Model = Field(description="Who answered.")
    reason: str = Field(description="Why, as in the answer.")
    model_name: str = Field(description="Name of the model that answered.")
    model_version: str = Field(description="Its version.")
    prediction: int | float | str = Field(description="As in the answer.")
    class_name: str | None = Field(description="As in the answer.")
    probability: Probability | None = Field(description="As in the answer.")
    seconds: Annotated[float, Field(ge=0)] = Field(
        description="How long the request waited for models, also for one that then failed."
    )
    features: list[float | str | None] | None = Field(
        None, description="The model's input in its order, null for a gap; only with `CANARIO_LOG_FEATURES`."
    )
    outputs: Outputs = None
    trace_id: Annotated[str, Field(pattern=r"^[0-9a-f]{32}$")] | None = Field(
        None, description="The trace of the request; only where it names one (`traceparent`)."
    )


class ShadowAnswer(StrictModel):
    """What one model said to a shadowed request; all but its name null where it said nothing usable."""

    name: str = Field(description="Name of the model.")
    version: str = Field(description="Its version.")
    class_name: str | None = Field(description="The class that it chose.")
    prediction: int | float | str | None = Field(description="Its label.")
    probability: Probability | None = Field(description="Its probability.")
    seconds: Annotated[float, Field(ge=0)] | None = Field(
        description="What the answer took; of the challenger: its share of the batch."
    )
    outputs: Outputs = None


class ShadowRecord(Record):
    """A request that the champion answered, and what the challenger says to it."""

    kind: Literal["shadow"] = Field(description="Always `shadow`.")
    request_id: str = Field(description="As in the prediction's record.")
    user: str | None = Field(description="As in the prediction's record.")
    context: dict[str, str] = Field(description="As in the prediction's record.")
    champion: ShadowAnswer = Field(description="What the user got; fields below.")
    challenger: ShadowAnswer = Field(description="What nobody got; fields below.")
    agree: bool | None = Field(description="Whether both say the same; null without an answer.")
    outputs_agree: dict[str, bool] | None = Field(
        None, description="Of several outputs, whether both say the same of each; `agree` is of all."
    )
    error: str | None = Field(description="Why the challenger has no answer; null with one.")


class FeedbackRecord(Record):
    """What came of a prediction, told by POST /feedback; repetitions are not logged."""

    kind: Literal["feedback"] = Field(description="Always `feedback`.")
    request_id: str | None = Field(description="The request that it is about; null where it names a user.")
    user: str | None = Field(description="The user that it is about, as in predictions; else null.")
    outcome: str = Field(description="As it was sent.")
    value: float | None = Field(description="As it was sent.")
    known: bool = Field(description="Whether the service knows who was assigned.")
    assigned: Model | None = Field(description="Who was assigned; null where it is not known.")
