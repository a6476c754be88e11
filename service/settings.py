"""Settings of the service: environment variables `CANARIO_...`, validated whole at start."""

import re
import socket
from pathlib import Path
from typing import Annotated, Literal

from pydantic import AfterValidator, Field, SecretStr, model_validator

from common.config import Followed, PrometheusUrl, StrictModel, UnleashUrl
from common.selector import DEFAULT, SELECTOR, Matchers
from service.feedback.outcomes import judged_outcomes, listed_outcomes
from service.segments import listed_segments

GUARDRAILS = Path(__file__).parents[1] / "rollback" / "guardrails.yaml"
Seconds = Annotated[float, Field(gt=0, le=60)]
NOT_FIELDS = frozenset({"userId", "environment", "appName", "currentTime", "properties"})
_FIELD = re.compile(r"([A-Za-z][A-Za-z0-9_.-]{0,63})=([A-Za-z0-9-]+)")


def _checked_names(text: str) -> str:
    listed_outcomes(text)
    return text


def _checked_segments(text: str) -> str:
    listed_segments(text)
    return text


def _checked_context(text: str) -> str:
    _headers(text)
    return text


def _headers(text: str) -> dict[str, str]:
    """`country=x-country,plan=x-plan` as fields of the context and their headers. Raises ValueError."""
    found = {}
    for one in filter(None, (each.strip() for each in text.split(","))):
        match = _FIELD.fullmatch(one)
        if match is None or match[1] in NOT_FIELDS:
            raise ValueError(f"{one!r} is no FIELD=HEADER, as country=x-country")
        found[match[1]] = match[2]
    return found


def _checked_file(guardrails: Path) -> Path:
    try:
        judged_outcomes(guardrails)
    except (OSError, UnicodeDecodeError) as error:
        raise ValueError(f"{guardrails} cannot be read: {error}") from error
    return guardrails


class Settings(StrictModel):
    """Each field is the variable `CANARIO_<FIELD>`; every one may be given as `CANARIO_<FIELD>_FILE`."""

    models: Path | None = Field(
        None,
        description="Models folder whose roles.json says who is champion and challenger, and may change "
        "while the service runs; instead of the next two.",
    )
    champion: Path | None = Field(
        None, description="Artifact folder of the champion, without CANARIO_MODELS."
    )
    challenger: Path | None = Field(
        None, description="Artifact folder of the challenger; without it, no canary."
    )
    canary_percent: int | None = Field(
        None,
        ge=0,
        le=100,
        description="Instead of Unleash, for exercises: percent of the users who get the challenger, by a "
        "hash of their id. Never beside a flag.",
    )
    unleash_url: UnleashUrl = Field(
        "", description="Unleash server, without /api. Required, but with CANARIO_CANARY_PERCENT."
    )
    unleash_sdk_token: SecretStr = Field(
        SecretStr(""), description="Backend token; decides project and environment. Required as well."
    )
    unleash_project: str = Field("default", description="Project of the flags, for the admin routes.")
    unleash_environment: str = Field(
        "production", description="Environment of the flags, for the admin routes."
    )
    unleash_admin_token: Followed | None = Field(
        None, description="Personal access token of the service's Unleash user, for the admin routes."
    )
    admin_token: SecretStr | None = Field(
        None, min_length=16, description="Bearer token of /admin; without it the admin routes are off."
    )
    admin_calls_per_minute: int = Field(
        60, ge=1, description="Calls of /admin that one address may make of each worker."
    )
    canary_flag: str = Field("canary", min_length=1, description="Flag that decides who gets the challenger.")
    shadow_flag: str = Field(
        "shadow", min_length=1, description="Flag that decides whose requests the challenger sees too."
    )
    selector: Matchers = Field(DEFAULT, description=f"For /admin/rollout: {SELECTOR}.")
    prometheus_url: PrometheusUrl | None = Field(
        None, description="Prometheus, for /admin/rollout; without it that tells of no gate that measures."
    )
    rollout_plan: Path | None = Field(
        None, description="File of the rollout plan, for /admin/rollout; unset: the one that is shipped."
    )
    model_name: str = Field(
        "canario",
        pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,127}$",
        description="What clients of the Open Inference Protocol call the model, in /v2/models/NAME.",
    )
    state_dir: Path = Field(
        Path(".canario/service"),
        description="Folder for the last known flags, and for what the others below put there.",
    )
    refresh_seconds: int = Field(
        1, ge=1, le=60, description="Interval at which each worker asks Unleash for flags."
    )
    bind: str = Field("127.0.0.1:8000", pattern=r".+:\d+$", description="Address and port to listen on.")
    workers: int = Field(2, ge=1, le=64, description="Worker processes.")
    threads: int = Field(8, ge=2, le=256, description="Threads of each worker.")
    guest_deadline_seconds: Seconds = Field(
        0.25, description="How long a user waits for the challenger before the champion answers instead."
    )
    guest_hang_seconds: Seconds = Field(
        5.0,
        description="How long a reply of the challenger may be owed before its process is ended."
        " One that is late and burns CPU is ended sooner.",
    )
    champion_deadline_seconds: Seconds = Field(
        1.0, description="How long a request waits for a champion that runs elsewhere, before it is refused."
    )
    guest_memory_mb: int | None = Field(
        None,
        ge=256,
        description="Memory of the challenger's process, in MiB. Without it 1024, or 256 and 16 times the "
        "size of model.onnx where that is more.",
    )
    guest_concurrency: int = Field(
        4, ge=1, le=200, description="Calls of the challenger in flight per worker, at most."
    )
    shadow_queue: int = Field(
        4096, ge=1, description="Shadow samples that may wait per worker; more are dropped, and counted."
    )
    shadow_batch: int = Field(
        64, ge=1, description="Rows of a shadow batch at most; fewer where a packet holds fewer."
    )
    shadow_linger_ms: float = Field(
        250.0, ge=0, le=10_000, description="How long a shadow sample waits for others, in milliseconds."
    )
    max_body_bytes: int = Field(
        65_536, ge=1024, description="Largest request body; a larger one is answered 413."
    )
    max_rows: int = Field(
        100, ge=1, le=10_000, description="Rows that one request may ask about; more are answered 422."
    )
    log_predictions: bool = Field(
        True, description="Whether predictions, shadow pairs and feedback are logged."
    )
    log_dir: Path | None = Field(
        None, description="Folder of the prediction log (without it: log in the state_dir)."
    )
    log_users: Literal["hashed", "plain", "off"] = Field(
        "hashed", description="Users in the log: as a hash with log_salt, as they are, or not at all."
    )
    log_salt: SecretStr | None = Field(
        None,
        min_length=16,
        description="Secret for hashes of users and for request ids, the same on all hosts; without it, a "
        "random one is kept in the state_dir.",
    )
    log_features: bool = Field(False, description="Whether the log has the features of each request.")
    log_flush_seconds: Seconds = Field(
        1.0, description="How often the log is written; a process that is killed loses no more than this."
    )
    log_file_mb: int = Field(64, ge=1, description="Size in MiB at which a log file is followed by the next.")
    log_files: int = Field(16, ge=2, description="Log files kept in the folder; older ones are removed.")
    log_queue_records: int = Field(
        20_000,
        ge=1,
        description="Records that wait for the disk in each worker; more are dropped and counted.",
    )
    log_queue_mb: int = Field(16, ge=1, description="The same in MiB.")
    feedback_outcomes: Annotated[str, AfterValidator(_checked_names)] = Field(
        "",
        description="Outcomes that are counted by name, with commas between, beside those that guardrails "
        "select; empty: also the first others that each worker sees, up to 20. The rest is counted as other.",
    )
    guardrails: Annotated[Path, AfterValidator(_checked_file)] = Field(
        GUARDRAILS,
        description="File of guardrails that the rollback job judges by; outcomes that it selects are always "
        "counted by name, and segments that it judges too.",
    )
    segments: Annotated[str, AfterValidator(_checked_segments)] = Field(
        "",
        description="Segments of the users whose calls are counted beside those of the guardrails, by a "
        "property of the context and up to 20 of its values, as country=NO, country=SE, plan=free; all "
        "others are counted as other. Empty: none.",
    )
    assign_user_header: str = Field(
        "x-user-id",
        pattern=r"^[A-Za-z0-9-]+$",
        description="Header with the user's id, for a proxy that asks GET /assign which model a user gets.",
    )
    assign_context: Annotated[str, AfterValidator(_checked_context)] = Field(
        "",
        description="Headers that are fields of the context for /assign, as country=x-country,plan=x-plan.",
    )
    drill_file: Path | None = Field(
        None,
        description="File that switches faults of the challenger on, for drills; unset: no faults possible.",
    )

    @model_validator(mode="after")
    def _models_are_said_once(self) -> "Settings":
        direct = self.champion or self.challenger
        if self.models and direct:
            raise ValueError(
                "CANARIO_MODELS and CANARIO_CHAMPION or CANARIO_CHALLENGER both say what is served: set one"
            )
        if not self.models and not self.champion:
            raise ValueError(
                "CANARIO_CHAMPION: no model is named (set it to an artifact folder, or CANARIO_MODELS to a "
                "models folder)"
            )
        return self

    @model_validator(mode="after")
    def _share_is_said_once(self) -> "Settings":
        unleash = {
            "CANARIO_UNLEASH_URL": bool(self.unleash_url),
            "CANARIO_UNLEASH_SDK_TOKEN": bool(self.unleash_sdk_token.get_secret_value()),
        }
        if self.canary_percent is None and not all(unleash.values()):
            missing = " and ".join(name for name, is_set in unleash.items() if not is_set)
            raise ValueError(f"{missing}: Field required (set it, or its _FILE)")
        if self.canary_percent is not None and (any(unleash.values()) or self.unleash_admin_token):
            raise ValueError(
                "CANARIO_CANARY_PERCENT and CANARIO_UNLEASH_... both say who gets the challenger: unset one. "
                "A flag in Unleash can be rolled back, and CANARIO_CANARY_PERCENT cannot"
            )
        return self

    @property
    def assign_context_headers(self) -> dict[str, str]:
        """The header of each field of the context, for /assign."""
        return _headers(self.assign_context)

    @property
    def followed_environment(self) -> str:
        """The environment of the token, `project:environment.secret`; "" where it does not say."""
        scope = self.unleash_sdk_token.get_secret_value().rpartition(".")[0]
        return scope.rpartition(":")[2]

    @property
    def workers_dir(self) -> Path:
        """Where the workers of this service tell what they serve.

        Services may share a state folder: by address on one machine, as replicas by host name.
        """
        return self.state_dir / f"workers-{socket.gethostname()}-{self.bind.replace('/', '_')}"
