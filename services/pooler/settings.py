"""What a pooler pod is told by its environment, under the prefix `POOLER_` (docs/decisions/0001)."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from pydantic import AliasChoices, Field, SecretStr, field_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from trimtab.knobs.document import MAX_CONNECTIONS_PER_POD, MAX_PODS

Port = Annotated[int, Field(ge=1, le=65535)]

MAX_PEERS = 16_383
"""PgBouncer's limit on peer_id: the identity is part of the cancel key that a client holds."""


class PodNameError(ValueError):
    """A pod name without an ordinal, or an ordinal beyond the pods that the budget counts."""


@dataclass(frozen=True)
class PodIdentity:
    """A StatefulSet pod: `catalog-pooler-1` is ordinal 1 of `catalog-pooler`."""

    base: str
    ordinal: int


def parse_pod_name(name: str) -> PodIdentity:
    """The set's name and the ordinal in a pod name.

    Raises PodNameError when there is no ordinal: the budget counts pods by it.
    """
    match = re.fullmatch(r"(?P<base>[a-z0-9](?:[a-z0-9.-]*[a-z0-9])?)-(?P<ordinal>0|[1-9][0-9]*)", name)
    if match is None:
        raise PodNameError(
            f"POD_NAME is {name!r}, which does not end in an ordinal such as '-0': run the pooler as a StatefulSet"
        )
    return PodIdentity(match["base"], int(match["ordinal"]))


class Settings(BaseSettings):
    """Settings of the init container, of PgBouncer (through its ini) and of the agent. Times in seconds."""

    model_config = SettingsConfigDict(env_prefix="POOLER_", frozen=True)

    database_host: str
    database_port: Port = 5432
    database_name: Annotated[str, Field(pattern=r"^[0-9A-Za-z_.-]+$")] = "catalog"
    """PgBouncer's ini takes no other characters in a database's name."""
    database_user: str = "catalog_app"
    database_password: SecretStr

    listen_address: str = "*"
    listen_port: Port = 6432
    max_client_connections: Annotated[int, Field(ge=1, le=100_000)] = 1000
    query_wait_timeout: Annotated[int, Field(ge=1)] = 60
    """A client that waited this long for a server is disconnected with an error."""
    server_idle_timeout: Annotated[int, Field(ge=1)] = 600
    server_lifetime: Annotated[int, Field(ge=1)] = 3600

    console_user: str = "trimtab_agent"
    console_password: SecretStr
    console_host: str = ""
    """Where the agent reaches the console; empty means the Unix socket in the run directory."""

    pool_size: Annotated[int, Field(ge=1, le=MAX_CONNECTIONS_PER_POD)]
    """Server connections of this pod while no knobs document exists."""
    max_pods: Annotated[int, Field(ge=1, le=MAX_PODS)]
    """Pods that the budget counts while no knobs document exists."""
    peer_service: str = ""
    """Headless service of the pods; empty means that cancel requests are not forwarded between them."""

    metrics_port: Port = 9127
    metrics_address: str = "0.0.0.0"
    run_directory: Path = Path("/run/pgbouncer")

    pod_name: str = Field("", validation_alias=AliasChoices("POD_NAME", "pod_name"))
    pod_uid: str = Field("", validation_alias=AliasChoices("POD_UID", "pod_uid"))
    knobs_path: Path | None = Field(None, validation_alias=AliasChoices("TRIMTAB_KNOBS", "knobs_path"))

    @field_validator("database_user", "console_user", "database_host")
    @classmethod
    def _plain_text(cls, value: str) -> str:
        """PgBouncer's ini has no escape for line breaks, so a value with one would become another setting."""
        if not value or any(ord(character) < 32 for character in value):
            raise ValueError(f"{value!r} is empty or has control characters")
        return value

    @field_validator("database_password", "console_password")
    @classmethod
    def _one_line(cls, value: SecretStr) -> SecretStr:
        secret = value.get_secret_value()
        if not secret or any(character in secret for character in "\r\n\0"):
            raise ValueError("a password is empty or has a line break")
        return value

    @property
    def pod(self) -> PodIdentity:
        """This pod; outside Kubernetes (no POD_NAME) the only one.

        Raises PodNameError for a name without an ordinal.
        """
        return parse_pod_name(self.pod_name) if self.pod_name else PodIdentity("pooler", 0)

    @property
    def probe_address(self) -> str:
        """Where the agent, in the same network namespace, reaches PgBouncer's TCP listener."""
        return "127.0.0.1" if self.listen_address in ("*", "0.0.0.0") else self.listen_address.split(",")[0]

    @property
    def console_address(self) -> str:
        return self.console_host or str(self.run_directory)
