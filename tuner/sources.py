"""The Prometheus addresses that policies name: one client each, shared by all policies of that address."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Mapping

from tuner.cluster.errors import ClusterError
from tuner.crds import SeriesLabels, TuningPolicy
from tuner.observation import Absent
from tuner.observe.prometheus import Credentials, Failure, Prometheus
from tuner.observe.source import Look, Source

SECRET_FOR_SECONDS = 300.0
"""A Secret is read again after this: credentials rotate."""

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
        if found is not None and (not secret or self._monotonic() - found[0] < SECRET_FOR_SECONDS):
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
        credentials = Credentials()
        if secret:
            try:
                credentials = Credentials.of_secret(await self._read_secret(policy.metadata.namespace, secret))
            except ClusterError as error:
                return UnreadableSource(f"the Secret {secret} of spec.prometheus.secretRef cannot be read: {error}")
        return Source(Prometheus(wanted.url, credentials), wanted.labels)
