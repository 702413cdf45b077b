"""Follow the knobs document and apply it: what runs in every tunable pod.

The directory of the file is watched (a ConfigMap volume swaps a symlink in it) and read again every few seconds in
case the watch misses something; only the content counts. A bad file keeps the last good document, a file that vanishes
keeps the last one. A document is acknowledged (`trimtab_knobs_info`) when everybody has applied and confirmed it.

Needs pydantic, watchfiles and prometheus-client only, because the pooler's agent imports it too.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from watchfiles import awatch

from trimtab.knobs.document import ApiKnobs, KnobsDocument, KnobsError, PoolerKnobs, load

logger = logging.getLogger(__name__)

POLL_SECONDS = 2.0
FIRST_RETRY_SECONDS = 0.5
LAST_RETRY_SECONDS = 15.0


@dataclass(frozen=True)
class Knobs:
    """The settings in force: a document with every absent knob filled from the defaults.

    Without a document the defaults alone: generation 0 of the epoch "", a document that never retires.
    """

    api: ApiKnobs
    pooler: PoolerKnobs | None
    epoch: str = ""
    generation: int = 0


Callback = Callable[[Knobs], Awaitable[None]]


@dataclass(frozen=True)
class _Subscriber:
    apply: Callback
    confirm: Callback | None


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
        self._defaults = Knobs(api=api or ApiKnobs(), pooler=pooler)
        self._pod_uid = pod_uid
        self._poll_seconds = poll_seconds
        self._subscribers: list[_Subscriber] = []
        self._document: KnobsDocument | None = None
        self._wanted = self._defaults
        self._applied: Knobs | None = None
        self._acknowledged: Knobs | None = None
        self._last_problem: bytes | str | None = None
        self._errors = 0
        self._look = asyncio.Event()
        self._changed = asyncio.Event()
        self._progress = asyncio.Condition()
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
        return self._document

    @property
    def wanted(self) -> Knobs:
        """The settings that shall be in force."""
        return self._wanted

    @property
    def applied(self) -> Knobs | None:
        """The settings that every subscriber has applied, perhaps not yet confirmed."""
        return self._applied

    @property
    def acknowledged(self) -> Knobs | None:
        """The settings that every subscriber has applied and confirmed: what the metrics say."""
        return self._acknowledged

    @property
    def errors(self) -> int:
        """How many bad documents and failed applications there were."""
        return self._errors

    def subscribe(self, apply: Callback, *, confirm: Callback | None = None) -> None:
        """Have `apply` called with the settings at the start and at each change, then `confirm`.

        Both may be called more than once with the same settings.
        """
        if self._tasks:
            raise RuntimeError("subscribe before start(): the settings in force have already been applied")
        self._subscribers.append(_Subscriber(apply, confirm))

    async def start(self) -> None:
        """Read the document, make one attempt to apply it (or the defaults), and follow it from then on.

        Does not raise when a subscriber fails: `applied` stays None until a later attempt succeeds.
        """
        await self._read()
        await self._apply(self._wanted)
        self._tasks = [asyncio.create_task(self._follow(), name="trimtab-knobs-apply")]
        if self._path is not None:
            self._tasks.append(asyncio.create_task(self._poll(), name="trimtab-knobs-read"))
            self._tasks.append(asyncio.create_task(self._watch(self._path.parent), name="trimtab-knobs-watch"))

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

        async with self._progress:
            while self._acknowledged is None or self._acknowledged.generation < generation:
                await self._progress.wait()
            return self._acknowledged

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
        knobs = self._acknowledged
        if knobs is not None:
            info.add_metric([self._pod_uid, knobs.epoch, str(knobs.generation)], 1)
        errors = CounterMetricFamily("trimtab_knobs_errors", "Bad knobs documents and failed applications")
        errors.add_metric([], self._errors)
        return [info, errors]

    async def _poll(self) -> None:
        while True:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(self._poll_seconds):
                    await self._look.wait()
            self._look.clear()
            await self._read()

    async def _watch(self, directory: Path) -> None:
        """Ask for a look at each change in `directory`; polling goes on while the directory cannot be watched."""
        while True:
            try:
                async for _ in awatch(directory, watch_filter=None, recursive=False, debounce=200, step=50):
                    self._look.set()
            except (OSError, RuntimeError) as error:
                logger.debug("the directory %s cannot be watched: %s; reading every %s s", directory, error,
                             self._poll_seconds)  # fmt: skip
            await asyncio.sleep(self._poll_seconds)

    async def _read(self) -> None:
        """Take over the file's document if it is good and supersedes the last one."""
        if self._path is None:
            return
        try:
            document = await asyncio.to_thread(load, self._path)
        except FileNotFoundError:
            return
        except KnobsError as error:
            self._complain(str(error))
            return
        if document.supersedes(self._document):
            self._last_problem = None
            self._document = document
            self._wanted = self._completed(document)
            self._changed.set()
        elif document == self._document:
            self._last_problem = None
        elif self._document is not None and document.epoch == self._document.epoch:
            self._complain(
                f"the knobs document {self._path} is generation {document.generation} with other content than, or "
                f"older than, generation {self._document.generation}, which is in force; a writer must count upward"
            )
        else:
            self._complain(f"the knobs document {self._path} is of epoch {document.epoch}, older than the one in force")

    def _complain(self, problem: str) -> None:
        """Count and log a problem once, not at each poll."""
        if problem != self._last_problem:
            self._last_problem = problem
            self._errors += 1
            logger.warning("%s; keeping the last good settings", problem)

    def _completed(self, document: KnobsDocument) -> Knobs:
        default = self._defaults.api
        given = document.api.model_dump(exclude_none=True, by_alias=False)
        given["cache_ttl_seconds"] = {**default.cache_ttl_seconds, **document.api.cache_ttl_seconds}
        return Knobs(
            api=default.model_copy(update=given),
            pooler=document.pooler or self._defaults.pooler,
            epoch=document.epoch,
            generation=document.generation,
        )

    async def _follow(self) -> None:
        pause = FIRST_RETRY_SECONDS
        while True:
            wanted = self._wanted
            self._changed.clear()
            if self._applied != wanted and not await self._apply(wanted):
                await self._changed_within(pause)
                pause = min(2 * pause, LAST_RETRY_SECONDS)
                continue
            if self._acknowledged != wanted and not await self._confirm_unless_superseded(wanted):
                if not self._changed.is_set():
                    await self._changed_within(pause)
                    pause = min(2 * pause, LAST_RETRY_SECONDS)
                continue
            pause = FIRST_RETRY_SECONDS
            await self._changed.wait()

    async def _changed_within(self, seconds: float) -> None:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._changed.wait()

    async def _apply(self, knobs: Knobs) -> bool:
        for subscriber in self._subscribers:
            try:
                await subscriber.apply(knobs)
            except Exception:
                self._errors += 1
                logger.exception("generation %s of the knobs could not be applied; trying again", knobs.generation)
                return False
        self._applied = knobs
        return True

    async def _confirm_unless_superseded(self, knobs: Knobs) -> bool:
        """Whether `knobs` were confirmed by all; False when a later document came first or somebody failed."""
        confirming = asyncio.create_task(self._confirm(knobs), name="trimtab-knobs-confirm")
        superseded = asyncio.create_task(self._changed.wait())
        try:
            await asyncio.wait((confirming, superseded), return_when=asyncio.FIRST_COMPLETED)
            confirmed = confirming.done() and confirming.result()
        except Exception:
            self._errors += 1
            logger.exception("generation %s of the knobs could not be confirmed; trying again", knobs.generation)
            confirmed = False
        finally:
            confirming.cancel()
            superseded.cancel()
            await asyncio.gather(confirming, superseded, return_exceptions=True)
        if confirmed:
            async with self._progress:
                self._acknowledged = knobs
                self._progress.notify_all()
        return confirmed

    async def _confirm(self, knobs: Knobs) -> bool:
        for subscriber in self._subscribers:
            if subscriber.confirm is not None:
                await subscriber.confirm(knobs)
        return True
