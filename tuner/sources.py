"""The Prometheus addresses that policies name: one client each, shared by all policies of that address."""

from __future__ import annotations

import ssl
import time
from collections.abc import Awaitable, Callable, Mapping

from tuner.cluster.errors import ClusterError
from tuner.crds import SeriesLabels, TuningPolicy
from tuner.observation import Absent
from tuner.observe.prometheus import Credentials, Failure, Prometheus
from tuner.observe.source import Look, Source

SECRET_FOR_SECONDS = 300.0
"""A Secret is read again after this: credentials rotate."""

UNREADABLE_FOR_SECONDS = 10.0
"""One that could not be used is read again after this: somebody is about to mend it."""

ReadSecret = Callable[[str, str], Awaitable[Mapping[str, str]]]


class UnreadableSource(Source):
    """Stands for a Prometheus whose credentials could not be read."""

    def __init__(self, message: str) -> None:
        super().__init__(Prometheus("http://unused.invalid"), SeriesLabels())
        self._message = message

    async def look(self, namespace: str) -> Look:
        return Look(Absent(self._message), Absent(self._message), (Failure.SECRET,))


class Sources:
    def __init__(self, read_secret: ReadSecret, *, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._read_secret = read_secret
        self._monotonic = monotonic
        self._open: dict[tuple[str, ...], tuple[float, Source]] = {}

    async def of(self, policy: TuningPolicy) -> Source:
        """The client of the policy's Prometheus."""
        wanted = policy.spec.prometheus
        secret = wanted.secret_ref.name if wanted.secret_ref else ""
        owner = policy.metadata.namespace if secret else ""
        key = (wanted.url, owner, secret, wanted.labels.namespace, wanted.labels.pod)
        found = self._open.get(key)
        if found is not None:
            lasts = UNREADABLE_FOR_SECONDS if isinstance(found[1], UnreadableSource) else SECRET_FOR_SECONDS
            if not secret or self._monotonic() - found[0] < lasts:
                return found[1]
        if found is not None:
            await found[1].close()
        self._open[key] = (self._monotonic(), await self._new(policy, secret))
        return self._open[key][1]

    async def close(self) -> None:
        for _, source in self._open.values():
            await source.close()
        self._open.clear()

    async def _new(self, policy: TuningPolicy, secret: str) -> Source:
        wanted = policy.spec.prometheus
        if not secret:
            return Source(Prometheus(wanted.url), wanted.labels)
        name = f"the Secret {secret} of spec.prometheus.secretRef"
        try:
            credentials = Credentials.of_secret(await self._read_secret(policy.metadata.namespace, secret))
            return Source(Prometheus(wanted.url, credentials), wanted.labels)
        except ClusterError as error:
            return UnreadableSource(f"{name} cannot be read: {error}")
        except (ValueError, ssl.SSLError):
            # Without the error's own words: they may quote a part of the secret.
            return UnreadableSource(
                f"{name} cannot be used: token, username and password must be plain text, ca.crt certificates in PEM"
            )
