"""Settings of the tuner's process, from the environment (prefix TUNER_)."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict

Port = Annotated[int, Field(ge=0, le=65_535)]


class Settings(BaseSettings):
    model_config = SettingsConfigDict(env_prefix="TUNER_", frozen=True)

    namespaces: str = ""
    """Namespaces to look after, separated by commas; empty: all of them."""
    metrics_port: Port = 9100
    """Where /metrics is served."""
    health_port: Port = 8080
    """Where /healthz is served."""
    listen: str = "0.0.0.0"
    """Address that both ports are bound to."""
    policies_at_a_time: Annotated[int, Field(ge=1, le=64)] = 8
    """Policies that are looked at in the same moment."""
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = "INFO"
    log_format: Literal["json", "console"] = "json"

    @property
    def namespace_list(self) -> list[str]:
        return [name for name in (part.strip() for part in self.namespaces.split(",")) if name]
