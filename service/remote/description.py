"""`remote.json`: where a remote model is, and what its tensors are called. In place of a `model.onnx`."""

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from common.config import StrictModel

Name = Annotated[str, Field(min_length=1, max_length=256)]
UrlName = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,255}$")]


class RemoteOutput(StrictModel):
    """Which of the endpoint's tensors are an answer."""

    label: Name | None = Field(None, description="Output of the class that was chosen; null: the likeliest.")
    probabilities: Name | None = Field(
        None, description="Output of (n, classes), or of the second of two classes, (n)."
    )
    value: Name | None = Field(None, description="Output of a regressor.")
    column: Annotated[int, Field(ge=0)] | None = Field(
        None, description="Of `value` and `label`, where several answers are in one tensor, (n, answers)."
    )

    @model_validator(mode="after")
    def _says_something(self) -> Self:
        if (self.value is None) is (self.probabilities is None):
            raise ValueError("give either value, of a regressor, or probabilities, of a classifier")
        return self


class Remote(RemoteOutput):
    """An endpoint that speaks the Open Inference Protocol, version 2, over HTTP."""

    url: Annotated[str, Field(pattern=r"^https?://[^/\s@?#]+(/[^\s?#]*)?$")] = Field(
        description="Address before /v2, without a slash at its end."
    )
    model: UrlName = Field(description="What the endpoint calls it.")
    version: Name | None = Field(
        None, description="The version that answers must be of; null: the endpoint tells none."
    )
    input: Name | None = Field(
        None, description="The one tensor of all features, (n, features); null: a tensor for each, by name."
    )
    datatype: Literal["FP32", "FP64"] = Field("FP32", description="Of numbers.")
    parameters: dict[str, str | int | float | bool] = Field({}, description="Of each request.")
    more: list[RemoteOutput] = Field([], description="Of a model of several outputs, those behind the first.")

    @property
    def outputs(self) -> list[RemoteOutput]:
        """All answers, in the order of `model.json`."""
        return [self, *self.more]
