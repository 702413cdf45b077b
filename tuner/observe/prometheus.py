"""The HTTP client of Prometheus (or Thanos, or Mimir): one instant query in, samples or a typed error out.

    PrometheusError(reason)     reason: Unreachable | Timeout | Unauthorized | BadStatus | BadAnswer | Partial | Secret

An error is never an empty result, and an empty result is never a zero.
"""

from __future__ import annotations

import json
import ssl
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

import httpx
import stamina

CONNECT_TIMEOUT_SECONDS = 2.0
READ_TIMEOUT_SECONDS = 5.0
ATTEMPTS = 3
MAX_ANSWER_BYTES = 64 * 1024 * 1024
"""About 3,000 pods of 130 series and 170 bytes each. More is not read into memory, which has a limit too."""


class Failure(StrEnum):
    """Why a query gave nothing: the label `reason` of trimtab_prometheus_errors_total."""

    UNREACHABLE = "Unreachable"
    TIMEOUT = "Timeout"
    UNAUTHORIZED = "Unauthorized"
    BAD_STATUS = "BadStatus"
    BAD_ANSWER = "BadAnswer"
    PARTIAL = "Partial"
    SECRET = "Secret"  # noqa: S105 - the name of a reason


class PrometheusError(Exception):
    """A query that gave no answer that can be used; the message names the address and the remedy."""

    def __init__(self, reason: Failure, message: str) -> None:
        super().__init__(message)
        self.reason = reason


class _PassingError(PrometheusError):
    """One that another attempt may mend."""


@dataclass(frozen=True, slots=True)
class Credentials:
    """What the policy's Secret holds; empty where the address asks for nothing."""

    token: str | None = None
    username: str | None = None
    password: str | None = None
    ca: str | None = None

    @classmethod
    def of_secret(cls, data: Mapping[str, str]) -> Credentials:
        """From the decoded keys `token`, or `username` and `password`, and `ca.crt`."""
        return cls(data.get("token"), data.get("username"), data.get("password"), data.get("ca.crt"))


@dataclass(frozen=True, slots=True)
class Sample:
    """One element of an instant vector. `value` may be NaN: judging that is the reader's part."""

    labels: Mapping[str, str]
    value: float


@dataclass(frozen=True, slots=True)
class Vector:
    """An answer. `time` is Prometheus' own clock: ages are differences within it, so that no clock has to agree."""

    time: float
    samples: tuple[Sample, ...]


class Prometheus:
    """One address. `budget_seconds` bounds a query with all its attempts."""

    def __init__(
        self,
        url: str,
        credentials: Credentials | None = None,
        *,
        budget_seconds: float = 10.0,
        attempts: int = ATTEMPTS,
        max_answer_bytes: int = MAX_ANSWER_BYTES,
    ) -> None:
        credentials = credentials or Credentials()
        self._url = url.rstrip("/")
        self._budget = budget_seconds
        self._attempts = attempts
        self._max_bytes = max_answer_bytes
        headers = {"Accept": "application/json"}
        auth: httpx.BasicAuth | None = None
        if credentials.token:
            headers["Authorization"] = f"Bearer {credentials.token.strip()}"
        elif credentials.username is not None:
            auth = httpx.BasicAuth(credentials.username, credentials.password or "")
        verify = ssl.create_default_context()
        if credentials.ca:
            verify.load_verify_locations(cadata=credentials.ca)
        self._client = httpx.AsyncClient(
            headers=headers,
            auth=auth,
            verify=verify,
            timeout=httpx.Timeout(READ_TIMEOUT_SECONDS, connect=CONNECT_TIMEOUT_SECONDS),
        )

    async def close(self) -> None:
        await self._client.aclose()

    async def query(self, promql: str) -> Vector:
        """The instant vector that `promql` gives now. Raises PrometheusError."""
        async for attempt in stamina.retry_context(
            on=_PassingError,
            attempts=self._attempts,
            timeout=self._budget,
            wait_initial=0.2,
            wait_max=2.0,
            wait_jitter=0.2,
        ):
            with attempt:
                return await self._ask(promql)
        raise AssertionError("unreachable: the last attempt raises")  # pragma: no cover

    async def _ask(self, promql: str) -> Vector:
        try:
            # POST: the query with its namespaces may be longer than what a proxy takes in an address.
            async with self._client.stream(
                "POST", f"{self._url}/api/v1/query", data={"query": promql, "partial_response": "false"}
            ) as answer:
                body = await self._read(answer)
        except httpx.TimeoutException as error:
            raise _PassingError(
                Failure.TIMEOUT, f"{self._url} did not answer within {READ_TIMEOUT_SECONDS:.0f} s"
            ) from error
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            raise _PassingError(
                Failure.UNREACHABLE,
                f"{self._url} cannot be reached ({error}): check spec.prometheus.url and that the tuner may connect",
            ) from error
        return _vector(self._url, answer.status_code, body)

    async def _read(self, answer: httpx.Response) -> bytes:
        """The whole answer, unpacked; given up beyond the limit, however little of it was on the wire."""
        body = bytearray()
        async for chunk in answer.aiter_bytes():
            body += chunk
            if len(body) > self._max_bytes:
                raise PrometheusError(
                    Failure.BAD_ANSWER,
                    f"{self._url} answered with more than {self._max_bytes} bytes, the most that is read: is it a "
                    "Prometheus query API? If it is, give each of several tuners some of the namespaces",
                )
        return bytes(body)


def _vector(url: str, status: int, text: bytes) -> Vector:
    if status in (401, 403):
        raise PrometheusError(
            Failure.UNAUTHORIZED, f"{url} refused the credentials (HTTP {status}): check spec.prometheus.secretRef"
        )
    try:
        body: Any = json.loads(text)
    except ValueError as error:
        kind = _PassingError if status >= 500 else PrometheusError
        reason = Failure.BAD_STATUS if status != 200 else Failure.BAD_ANSWER
        raise kind(reason, f"{url} answered HTTP {status} without JSON: is it a Prometheus query API?") from error
    if status != 200 or not isinstance(body, dict) or body.get("status") != "success":
        said = body.get("error", "") if isinstance(body, dict) else ""
        kind = _PassingError if status >= 500 or status == 429 else PrometheusError
        raise kind(Failure.BAD_STATUS, f"{url} answered HTTP {status}: {said or 'no reason given'}")
    if body.get("warnings"):
        raise _PassingError(
            Failure.PARTIAL, f"{url} answered in part only: {'; '.join(map(str, body['warnings']))[:300]}"
        )
    try:
        data = body["data"]
        if data["resultType"] != "vector":
            raise ValueError(f"resultType {data['resultType']}")
        samples = tuple(Sample(item["metric"], float(item["value"][1])) for item in data["result"])
        time = float(data["result"][0]["value"][0]) if data["result"] else 0.0
    except (KeyError, TypeError, ValueError, IndexError) as error:
        raise PrometheusError(Failure.BAD_ANSWER, f"{url} gave an answer that is no instant vector: {error}") from error
    return Vector(time, samples)
