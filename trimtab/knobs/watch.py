"""Follow the knobs document and apply it: what runs in every tunable pod.

The directory of the file is watched (a ConfigMap volume swaps a symlink in it) and read again every few seconds in
case the watch misses something; only the content counts. A bad file keeps the last good document, a file that vanishes
keeps the last one. A document is acknowledged (`trimtab_knobs_info`) when everybody has applied and confirmed it.

Reading order: document, file (what a file may do), directory (when to look), settings, apply (what subscribers may do).
Needs pydantic, watchfiles and prometheus-client only, because the pooler's agent imports it too.
"""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from types import TracebackType
from typing import Self

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric

from trimtab.knobs.apply import Applier, Callback
from trimtab.knobs.directory import looks
from trimtab.knobs.document import ApiKnobs, KnobsDocument, PoolerKnobs
from trimtab.knobs.file import DocumentFile
from trimtab.knobs.settings import Knobs

__all__ = ["POLL_SECONDS", "Callback", "Knobs", "KnobsWatcher"]

logger = logging.getLogger(__name__)

POLL_SECONDS = 2.0


class KnobsWatcher:
    """Keeps a pod's settings equal to its knobs document.

    Subscribers are called in the order in which they subscribed, on the event loop. `apply` always runs to its end;
    `confirm` may wait for long (a busy connection that has yet to close) and is abandoned when a later document
    arrives, because that one's confirmation covers it. A subscriber that fails is tried again, with a growing pause.

    `path` is the document (None: there never is one), `api` and `pooler` are the defaults, `pod_uid` names this pod
    in the acknowledgement. Register the watcher itself with a prometheus registry: it is a collector.
    """

    def __init__(
        self,
        path: Path | None,
        *,
        api: ApiKnobs | None = None,
        pooler: PoolerKnobs | None = None,
        pod_uid: str = "",
        poll_seconds: float = POLL_SECONDS,
    ) -> None:
        self._path = path
        self._file = None if path is None else DocumentFile(path)
        self._defaults = Knobs(api=api or ApiKnobs(), pooler=pooler)
        self._applier = Applier(self._defaults)
        self._pod_uid = pod_uid
        self._poll_seconds = poll_seconds
        self._failed_looks = 0
        self._tasks: list[asyncio.Task[None]] = []

    @classmethod
    def from_environment(
        cls,
        *,
        api: ApiKnobs | None = None,
        pooler: PoolerKnobs | None = None,
        environment: Mapping[str, str] | None = None,
    ) -> Self:
        """The watcher of the file that TRIMTAB_KNOBS names, for the pod that POD_UID names."""
        environment = os.environ if environment is None else environment
        path = environment.get("TRIMTAB_KNOBS")
        return cls(Path(path) if path else None, api=api, pooler=pooler, pod_uid=environment.get("POD_UID", ""))

    @property
    def document(self) -> KnobsDocument | None:
        """The last good document read, applied or not; None while there never was one."""
        return None if self._file is None else self._file.document

    @property
    def wanted(self) -> Knobs:
        """The settings that shall be in force."""
        return self._applier.wanted

    @property
    def applied(self) -> Knobs | None:
        """The settings that every subscriber has applied, perhaps not yet confirmed."""
        return self._applier.applied

    @property
    def acknowledged(self) -> Knobs | None:
        """The settings that every subscriber has applied and confirmed: what the metrics say."""
        return self._applier.acknowledged

    @property
    def errors(self) -> int:
        """How many bad documents and failed applications there were."""
        return self._applier.errors + self._failed_looks + (0 if self._file is None else self._file.errors)

    def subscribe(self, apply: Callback, *, confirm: Callback | None = None) -> None:
        """Have `apply` called with the settings at the start and at each change, then `confirm`.

        Both may be called more than once with the same settings.
        """
        if self._tasks:
            raise RuntimeError("subscribe before start(): the settings in force have already been applied")
        self._applier.subscribe(apply, confirm)

    async def start(self) -> None:
        """Read the document, make one attempt to apply it (or the defaults), and follow it from then on.

        Does not raise when a subscriber fails: `applied` stays None until a later attempt succeeds.
        """
        await self.look()
        await self._applier.apply()
        self._tasks = [asyncio.create_task(self._applier.follow(), name="trimtab-knobs-apply")]
        if self._path is not None:
            self._tasks.append(asyncio.create_task(self._keep_looking(self._path.parent), name="trimtab-knobs-read"))

    async def stop(self) -> None:
        """Stop following; the settings stay as they are."""
        tasks, self._tasks = self._tasks, []
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.stop()

    async def until_acknowledged(self, generation: int = 0) -> Knobs:
        """Wait until settings of at least `generation` are acknowledged."""
        return await self._applier.until_acknowledged(generation)

    async def look(self) -> None:
        """Read the file now, and want what it says if it is good and supersedes the last one."""
        file = self._file
        if file is not None and await asyncio.to_thread(file.read) and file.document is not None:
            self._applier.want(self._defaults.completed(file.document))

    def describe(self) -> Iterable[Metric]:
        """The names of the metrics, for the registry."""
        return self.collect()

    def collect(self) -> Iterable[Metric]:
        """`trimtab_knobs_info` (absent until something is acknowledged) and `trimtab_knobs_errors_total`."""
        info = GaugeMetricFamily(
            "trimtab_knobs_info",
            "The knobs document that is applied and confirmed; generation 0: the defaults",
            labels=["pod_uid", "epoch", "generation"],
        )
        knobs = self.acknowledged
        if knobs is not None:
            info.add_metric([self._pod_uid, knobs.epoch, str(knobs.generation)], 1)
        errors = CounterMetricFamily("trimtab_knobs_errors", "Bad knobs documents and failed applications")
        errors.add_metric([], self.errors)
        return [info, errors]

    async def _keep_looking(self, directory: Path) -> None:
        async for _ in looks(directory, self._poll_seconds):
            try:
                await self.look()
            except Exception:
                self._failed_looks += 1
                logger.exception("the knobs document %s could not be read; trying again", self._path)
