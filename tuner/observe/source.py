"""One Prometheus, asked once for all policies that look at it in the same moment."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass

from tuner.crds import SeriesLabels
from tuner.observation import Absent, Maybe
from tuner.observe.prometheus import Failure, Prometheus, PrometheusError
from tuner.observe.queries import database_query, pods_query
from tuner.observe.scrapes import PodKey, Scrape, scrapes_by_pod

SHARED_FOR_SECONDS = 1.0
"""A look this young serves another policy too: policies on one Prometheus do not multiply its queries."""

FORGOTTEN_AFTER_SECONDS = 900.0
"""A namespace that no policy asked for in this time is not asked about any more: three of the longest ticks."""


@dataclass(frozen=True, slots=True)
class Look:
    """What one look at a Prometheus gave: the scrapes of pods and of database exporters, or why there are none."""

    pods: Maybe[dict[PodKey, Scrape]]
    databases: Maybe[dict[PodKey, Scrape]]
    failures: tuple[Failure, ...] = ()


class Source:
    """Asks one Prometheus for all `namespaces` that policies named. One look at a time; those who wait share it."""

    def __init__(
        self, prometheus: Prometheus, labels: SeriesLabels, *, monotonic: Callable[[], float] = time.monotonic
    ) -> None:
        self._prometheus = prometheus
        self._labels = labels
        self._monotonic = monotonic
        self._namespaces: dict[str, float] = {}
        self._lock = asyncio.Lock()
        self._last: tuple[float, frozenset[str], Look] | None = None

    async def close(self) -> None:
        await self._prometheus.close()

    async def look(self, namespace: str) -> Look:
        """What there is to see, at most SHARED_FOR_SECONDS old. Never raises for what Prometheus does."""
        self._namespaces[namespace] = self._monotonic()
        async with self._lock:
            if self._last is not None:
                at, namespaces, look = self._last
                if namespace in namespaces and self._monotonic() - at < SHARED_FOR_SECONDS:
                    return look
            asked_since = self._monotonic() - FORGOTTEN_AFTER_SECONDS
            self._namespaces = {name: at for name, at in self._namespaces.items() if at >= asked_since}
            namespaces = frozenset(self._namespaces)
            look = await self._ask(namespaces)
            self._last = (self._monotonic(), namespaces, look)
            return look

    async def _ask(self, namespaces: frozenset[str]) -> Look:
        pods, databases = await asyncio.gather(
            self._scrapes(pods_query(self._labels, namespaces)),
            self._scrapes(database_query(self._labels, namespaces)),
        )
        failures = tuple(answer.reason for answer in (pods, databases) if isinstance(answer, PrometheusError))
        return Look(_maybe(pods), _maybe(databases), failures)

    async def _scrapes(self, promql: str) -> dict[PodKey, Scrape] | PrometheusError:
        try:
            return scrapes_by_pod(await self._prometheus.query(promql), self._labels)
        except PrometheusError as error:
            return error


def _maybe(answer: dict[PodKey, Scrape] | PrometheusError) -> Maybe[dict[PodKey, Scrape]]:
    return Absent(str(answer)) if isinstance(answer, PrometheusError) else answer
