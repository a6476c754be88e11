"""`python -m service.remote`: the model folder of a model that runs elsewhere, after asking it."""

import hashlib
import sys
from contextlib import closing
from pathlib import Path
from typing import Any
from urllib.parse import quote

import click
import orjson
from pydantic import ValidationError

from common.config import plain
from common.errors import CanarioError
from common.files import replace_whole
from common.model_store import METADATA_FILE, MODEL_FILE, REMOTE_FILE
from common.terminal import guard_terminal
from service.models.artifact import ArtifactError, Metadata, Question, load_artifact
from service.models.onnx_model import array_of, interpret
from service.remote.description import Remote
from service.remote.endpoint import Endpoint
from service.remote.tensors import BYTES_BESIDE, numbers_of, version_of
from service.remote.worker import ask

ASK_SECONDS = 10.0


@click.command(context_settings={"show_default": True})
@click.option("--url", required=True, help="Address of the endpoint, before /v2.")
@click.option("--model", "asked", required=True, help="What the endpoint calls the model.")
@click.option(
    "--like",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    required=True,
    help="Model folder that takes the same features and says the same: the champion's, usually.",
)
@click.option("--name", required=True, help="Name of the model, for metrics and reports.")
@click.option("--version", required=True, help="Its version there.")
@click.option(
    "--input", "whole", help="The tensor of all features; found by the endpoint's metadata if it can be."
)
@click.option("--label", help="Output of the class that was chosen; the same.")
@click.option("--probabilities", help="Output of the probabilities; the same.")
@click.option("--value", help="Output of a regressor; the same.")
@click.option("--parameter", "parameters", multiple=True, help="NAME=TEXT for each request; may be repeated.")
@click.option("--out", type=click.Path(path_type=Path), required=True, help="Folder to write.")
def main(  # noqa: PLR0913, PLR0917 - each is an option
    url: str,
    asked: str,
    like: Path,
    name: str,
    version: str,
    whole: str | None,
    label: str | None,
    probabilities: str | None,
    value: str | None,
    parameters: tuple[str, ...],
    out: Path,
) -> None:
    """Make the model folder of a model that an endpoint of the Open Inference Protocol serves.

    The endpoint is asked what it takes and says, and about the example of --like. The folder has no model
    but where it is (remote.json), and is given a role like any other. Exit code 2: it cannot be served.
    """
    try:
        found = load_artifact(like).metadata
        metadata = found.model_copy(update={"name": name, "version": version, "training": {}, "parity": {}})
        with closing(Endpoint(url.rstrip("/"))) as endpoint:
            told = _told(endpoint, asked)
            remote = Remote(
                url=endpoint.url,
                model=asked,
                input=whole or _input(told, metadata),
                parameters=dict(_pair(each) for each in parameters),
                **_outputs(told, metadata, label, probabilities, value),
            )
            answers = _try(endpoint, metadata, remote)
        remote = remote.model_copy(update={"version": _version(told, answers)})
        _write(metadata, remote, out)
        load_artifact(out)
    except ValidationError as error:
        fault = error.errors(include_url=False)[0]
        click.echo(
            f"error: {fault['loc'][-1] if fault['loc'] else 'options'}: {plain(fault['msg'])}", err=True
        )
        sys.exit(2)
    except (CanarioError, OSError) as error:
        click.echo(f"error: {error}", err=True)
        sys.exit(2)
    click.echo(f"{out}: {name} {version}, {asked} at {remote.url}")
    click.echo(f"input   {remote.input or 'one for each feature'}")
    names = (name for each in remote.outputs for name in (each.label, each.probabilities, each.value) if name)
    click.echo(f"outputs {', '.join(dict.fromkeys(names))}")
    click.echo(f"pinned  {remote.version or 'nothing: the endpoint tells no versions'}")


def _told(endpoint: Endpoint, model: str) -> dict[str, Any]:
    """What the endpoint says of the model."""
    url = endpoint.url
    said = endpoint.ask("GET", f"/v2/models/{quote(model)}", None, ASK_SECONDS, BYTES_BESIDE)
    if said.status != 200:
        raise ArtifactError(f"{url}/v2/models/{model}: HTTP {said.status}; is the model called so there?")
    try:
        told = orjson.loads(said.body)
    except ValueError as error:
        raise ArtifactError(
            f"{url}/v2/models/{model} answers with no JSON: is it such an endpoint?"
        ) from error
    if not isinstance(told, dict):
        raise ArtifactError(f"{url}/v2/models/{model} answers with no object: is it such an endpoint?")
    return told


def _version(told: dict[str, Any], answers: str | None) -> str | None:
    """The version that is pinned: the one that it has, or that it answered with."""
    versions = [str(each) for each in told.get("versions") or []]
    if len(versions) > 1:
        raise ArtifactError(f"the endpoint has several versions ({', '.join(versions)}): let it serve one")
    return versions[0] if versions else answers


def _input(told: dict[str, Any], metadata: Metadata) -> str | None:
    """The one input of all features; None: an input for each."""
    inputs = {str(each.get("name")): each.get("shape") or [] for each in told.get("inputs") or []}
    if set(metadata.names) <= inputs.keys() and not (len(metadata.names) == 1 and metadata.is_of_one_type):
        return None
    if not metadata.is_of_one_type:
        if inputs:
            raise ArtifactError(f"the endpoint takes {', '.join(inputs)}, and no input for each feature")
        return None
    fitting = [name for name, shape in inputs.items() if shape and shape[-1] in (-1, len(metadata.features))]
    if inputs and len(fitting) != 1:
        raise ArtifactError(
            f"which input takes {len(metadata.features)} features: {', '.join(inputs)}? Say --input"
        )
    return fitting[0] if fitting else "features"  # MLServer's runtimes take any name


def _outputs(
    told: dict[str, Any], metadata: Metadata, label: str | None, probabilities: str | None, value: str | None
) -> dict[str, Any]:
    names = {str(each.get("name")) for each in told.get("outputs") or []}
    if metadata.more:
        if label or probabilities or value:
            raise ArtifactError("--label, --probabilities and --value are of a model of one output")
        first, *more = (
            _named(names, name, at, asked)
            for at, (name, asked) in enumerate(zip(metadata.output_names, metadata.questions, strict=True))
        )
        return {**first, "more": more}

    def known(*usual: str) -> str | None:
        return next((each for each in usual if each in names), None if names else usual[0])

    if metadata.task == "regression":
        return {"value": value or known("predict", "prediction")}
    return {
        "label": label or known("predict", "prediction", "label"),
        "probabilities": probabilities or known("predict_proba", "probabilities"),
    }


def _named(names: set[str], name: str, at: int, asked: Question) -> dict[str, Any]:
    """The tensors of one of several outputs: by its name, or as a column of all values."""
    probabilities = f"{name}.probabilities"
    if asked.classes and (not names or probabilities in names):
        return {"label": name if name in names else None, "probabilities": probabilities}
    if not asked.classes and name in names:
        return {"value": name}
    if not asked.classes and (not names or "predict" in names):  # MLServer's scikit-learn runtime
        return {"value": "predict", "column": at}
    wanted = f"{name} and {probabilities}" if asked.classes else f"{name} or predict"
    raise ArtifactError(
        f"the endpoint has the outputs {', '.join(sorted(names))}; for the output {name} it needs {wanted}"
    )


def _pair(text: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not (name and equals):
        raise ArtifactError(f"--parameter {text}: say NAME=TEXT")
    return name, value


def _try(endpoint: Endpoint, metadata: Metadata, remote: Remote) -> str | None:
    """Ask about the example; the version that answers, where it says so. Raises ArtifactError."""
    row = array_of([[each.example for each in metadata.features]], metadata)
    try:
        said = ask(endpoint, row, metadata, remote, ASK_SECONDS)
        interpret(numbers_of(said, 1, metadata, remote)[0].tolist(), metadata)
    except (CanarioError, OSError) as error:
        told = f"{remote.url}: {remote.model} does not answer the example"
        raise ArtifactError(f"{told}: {error or type(error).__name__}") from error
    return version_of(said)


def _write(metadata: Metadata, remote: Remote, out: Path) -> None:
    if (out / MODEL_FILE).exists():
        raise ArtifactError(f"{out}: there is another model in it; name another folder")
    out.mkdir(parents=True, exist_ok=True)
    content = remote.model_dump_json(indent=2, exclude_defaults=True) + "\n"
    sha256 = hashlib.sha256(content.encode()).hexdigest()
    replace_whole(out / REMOTE_FILE, content, unfinished=out / f".{REMOTE_FILE}")
    told = metadata.model_copy(update={"sha256": sha256}).model_dump_json(indent=2, exclude_defaults=True)
    replace_whole(out / METADATA_FILE, told + "\n", unfinished=out / f".{METADATA_FILE}")


if __name__ == "__main__":
    guard_terminal()
    main()
