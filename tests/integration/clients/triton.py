"""Triton's client asks the service; runs in the venv of clients. `triton.py URL < rows.json`, JSON out."""

import json
import sys

import numpy as np
from tritonclient.http import (  # type: ignore[import-not-found]
    InferenceServerClient,
    InferenceServerException,
    InferInput,
    InferRequestedOutput,
)


def main() -> None:
    """Ask in every way that the client has, about the rows and users that stand on standard input."""
    asked = json.load(sys.stdin)
    client = InferenceServerClient(sys.argv[1].removeprefix("http://"))
    told = {
        "live": client.is_server_live(),
        "ready": client.is_server_ready(),
        "model_ready": client.is_model_ready("canario"),
        "other_ready": client.is_model_ready("other"),
        "server": client.get_server_metadata(),
        "model": client.get_model_metadata("canario"),
        "answers": [],
    }
    rows = np.array(asked["rows"], dtype=np.float32)
    features = InferInput("features", rows.shape, "FP32")
    users = InferInput("user_id", [len(rows)], "BYTES")
    for binary in (True, False):
        features.set_data_from_numpy(rows, binary_data=binary)
        users.set_data_from_numpy(np.array(asked["users"], dtype=np.object_), binary_data=binary)
        for packed in (None, "gzip"):
            told["answers"].append(_answer(client, [features, users], packed))
    one = client.infer(
        "canario",
        [features],
        outputs=[InferRequestedOutput("probability")],
        parameters={"user_id": asked["users"][0], "context.country": "NO"},
        request_id="mine",
    )
    told["one"] = {"id": one.get_response()["id"], "probability": one.as_numpy("probability").tolist()}
    try:
        client.infer("canario", [features])
    except InferenceServerException as error:
        told["refused"] = [error.status(), error.message()]
    json.dump(told, sys.stdout)


def _answer(client: InferenceServerClient, inputs: list[InferInput], packed: str | None) -> dict[str, object]:
    said = client.infer("canario", inputs, request_compression_algorithm=packed)
    names = [each["name"] for each in said.get_response()["outputs"]]
    return {name: said.as_numpy(name).tolist() for name in names}


if __name__ == "__main__":
    main()
