"""Settings of the board, from CANARIO_* variables or files that CANARIO_*_FILE name."""

import ipaddress
from pathlib import Path

from pydantic import Field, SecretStr, model_validator

from common.config import Followed, PrometheusUrl, StrictModel, UnleashUrl
from common.rollouts import FOLDER
from flags.rollout.settings import RolloutSettings
from flags.settings import Page

SHORTEST_TOKEN = 20  # characters: nobody guesses that, however often he may try


class BoardProcessSettings(StrictModel):
    """What is of the process, and of no rollout."""

    rollouts: Path = Field(FOLDER, description="folder of rollouts, each NAME/rollout.yaml")
    board_url: Page | None = Field(None, description="page that the flags' pages link to as Dashboard")
    board_bind: str = Field(
        "127.0.0.1:8100", pattern=r"^(\[[0-9a-fA-F:]+\]|[^:\s]+):\d{1,5}$", description="address and port"
    )
    board_token: SecretStr | None = Field(
        None, description="who knows it may read the board; without it only this machine may"
    )

    board_act_token: SecretStr | None = Field(
        None,
        min_length=SHORTEST_TOKEN,
        description="who knows it may use the buttons: roll back, pause, resume, approve; none without",
    )
    board_identity_header: str | None = Field(
        None,
        pattern=r"^[A-Za-z][A-Za-z0-9-]*$",
        description="instead: a header that a proxy sets to the name of who logged in there, and removes from"
        " what clients send",
    )

    @model_validator(mode="after")
    def _check_who_may_read(self) -> "BoardProcessSettings":
        token = self.board_token.get_secret_value() if self.board_token else None
        if token is None and not self.is_local:
            raise ValueError(
                f"CANARIO_BOARD_BIND is {self.board_bind}, which other machines reach, and there is no"
                " CANARIO_BOARD_TOKEN: set it (or its _FILE), or bind to 127.0.0.1"
            )
        if token is not None and len(token) < SHORTEST_TOKEN:
            raise ValueError(
                f"CANARIO_BOARD_TOKEN has less than {SHORTEST_TOKEN} characters:"
                ' python3 -c "import secrets; print(secrets.token_urlsafe(24))" makes one'
            )
        return self

    @property
    def is_local(self) -> bool:
        """Whether only this machine can reach it."""
        host = self.board_bind.rpartition(":")[0].strip("[]")
        try:
            return ipaddress.ip_address(host).is_loopback
        except ValueError:
            return host == "localhost"

    @property
    def is_https(self) -> bool:
        """Whether people open it by https, through a proxy: then the cookie goes no other way."""
        return bool(self.board_url and self.board_url.startswith("https://"))


class BoardSettings(BoardProcessSettings, RolloutSettings):
    """What `python -m board` needs, beside what it reads each rollout with."""

    prometheus_url: PrometheusUrl = Field(description="where Prometheus lies; it may hold a password")
    decisions_dir: Path | None = Field(
        None, description="folder of the rollback job's decisions log; of several rollouts one folder each"
    )
    unleash_public_url: UnleashUrl | None = Field(
        None, description="where people open Unleash, for links; default: CANARIO_UNLEASH_URL"
    )
    board_unleash_token: Followed | None = Field(
        None,
        description="for the buttons: token of an Unleash user who may change flags; the board's own reads",
    )
    guardrails: Path | None = Field(
        None, description="file of guardrails instead of those that the only rollout's file names"
    )
