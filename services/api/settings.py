"""Settings of the reference API, from the environment (prefix `API_`).

Passwords and the token secret are SecretStr: their text shows in no log and no repr.
"""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, SecretStr, field_validator
from pydantic_settings import BaseSettings, SettingsConfigDict
from sqlalchemy import URL

from trimtab.knobs.document import MAX_CONCURRENCY, MAX_CONNECTIONS_PER_POD, MAX_TTL_SECONDS

CACHE_GROUPS = ("item", "list", "search", "report")
MIN_TOKEN_SECRET_BYTES = 32

Port = Annotated[int, Field(ge=0, le=65535)]
# The limits of the knobs document; not its types, which are strict: an environment holds text.
PoolSize = Annotated[int, Field(ge=1, le=MAX_CONNECTIONS_PER_POD)]
Concurrency = Annotated[int, Field(ge=1, le=MAX_CONCURRENCY)]
PerMinute = Annotated[int, Field(ge=1, le=1_000_000)]
TTLSeconds = Annotated[int, Field(ge=1, le=MAX_TTL_SECONDS)]


class DatabaseSettings(BaseSettings):
    """How to reach PostgreSQL: what the migrations and the seed need, too."""

    model_config = SettingsConfigDict(env_prefix="API_", frozen=True, extra="ignore")

    database_host: str = "127.0.0.1"
    database_port: Port = 5432
    database_name: str = "catalog"
    database_user: str = "catalog_app"
    database_password: SecretStr = SecretStr("")

    def database_url(self) -> URL:
        """For SQLAlchemy's asyncpg dialect. A URL hides its password when it is printed."""
        return URL.create(
            "postgresql+asyncpg",
            username=self.database_user,
            password=self.database_password.get_secret_value() or None,
            host=self.database_host,
            port=self.database_port,
            database=self.database_name,
        )


class Settings(DatabaseSettings):
    """Everything that the server needs. The knobs here are in force while no knobs document exists."""

    redis_host: str = "127.0.0.1"
    redis_port: Port = 6379
    redis_password: SecretStr = SecretStr("")
    redis_wait_seconds: Annotated[float, Field(gt=0, le=5)] = 0.05

    token_secret: SecretStr
    token_seconds: Annotated[int, Field(ge=60, le=7 * 24 * 3600)] = 3600

    host: str = "0.0.0.0"
    port: Port = 8000
    metrics_port: Port = 9100

    pool_size: PoolSize = 8
    concurrency: Concurrency = 64
    cache_ttl_seconds: dict[str, TTLSeconds] = {"item": 60, "list": 5, "search": 10, "report": 30}

    checkout_timeout_seconds: Annotated[float, Field(gt=0, le=60)] = 10.0
    statement_timeout_seconds: Annotated[float, Field(gt=0, le=600)] = 30.0
    slow_statement_seconds: Annotated[float, Field(gt=0)] = 0.25
    max_body_bytes: Annotated[int, Field(ge=1024, le=16 * 2**20)] = 64 * 1024
    password_hash_threads: Annotated[int, Field(ge=1, le=32)] = 2
    password_hash_queue: Annotated[int, Field(ge=0, le=10_000)] = 32
    # Of one client address, that is the peer of the connection: behind a proxy raise them, all its clients share them.
    register_per_minute: PerMinute = 30
    token_per_minute: PerMinute = 120
    # Of one account from one address; from all addresses together five times as many.
    password_tries_per_minute: PerMinute = 10
    max_connection_age_seconds: Annotated[float, Field(gt=0)] = 30.0
    drain_seconds: Annotated[float, Field(ge=0, le=300)] = 5.0
    stop_seconds: Annotated[int, Field(ge=1, le=300)] = 20
    log_level: str = "info"

    @field_validator("token_secret")
    @classmethod
    def _secret_is_long_enough(cls, value: SecretStr) -> SecretStr:
        size = len(value.get_secret_value().encode())
        if size < MIN_TOKEN_SECRET_BYTES:
            raise ValueError(
                f"API_TOKEN_SECRET has {size} bytes, at least {MIN_TOKEN_SECRET_BYTES} are needed to sign with HS256; "
                "make one with: openssl rand -base64 48"
            )
        return value

    @field_validator("cache_ttl_seconds")
    @classmethod
    def _groups_are_known(cls, value: dict[str, int]) -> dict[str, int]:
        unknown = sorted(set(value) - set(CACHE_GROUPS))
        if unknown:
            raise ValueError(f"API_CACHE_TTL_SECONDS names {unknown}; the groups are {list(CACHE_GROUPS)}")
        defaults: dict[str, int] = cls.model_fields["cache_ttl_seconds"].default
        return {**defaults, **value}
