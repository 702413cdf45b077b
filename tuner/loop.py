"""One loop over all policies: what is due is looked at, what is being deleted is let go.

A loop instead of a timer for each policy: it costs the same for one and for hundreds, and its age says whether the
tuner lives.
"""

from __future__ import annotations

import asyncio
import time
from typing import Any

import structlog
from pydantic import ValidationError

from tuner.actuate.kubernetes import KubernetesPlatform
from tuner.cluster.errors import ClusterError, NotFoundError
from tuner.crds import ObjectMeta, OnDelete, TuningPolicy
from tuner.events import EventReason
from tuner.metrics import TunerMetrics
from tuner.sources import Sources
from tuner.tune import RESUME, Cycle

FINALIZER = "trimtab.dev/restore"
PASS_SECONDS = 0.5
TICK_TIMEOUT_SECONDS = 60.0
RESTORE_PATIENCE_SECONDS = 60.0
"""A deletion waits at most this long for its values to be put back: it never blocks a namespace's end."""
ALIVE_SECONDS = 150.0

log = structlog.get_logger()


class Entry:
    """One policy as last seen, and what is done about it."""

    def __init__(self, body: dict[str, Any]) -> None:
        self.body = body
        self.due_at = 0.0
        self.cycle: Cycle | None = None
        self.url: object = None
        self.task: asyncio.Task[None] | None = None
        self.deleting_since: float | None = None
        self.refused: int | None = None


class Loop:
    def __init__(self, platform: KubernetesPlatform, metrics: TunerMetrics, at_a_time: int) -> None:
        self._platform = platform
        self._metrics = metrics
        self._sources = Sources(platform.secret)
        self._entries: dict[str, Entry] = {}
        self._gate = asyncio.Semaphore(at_a_time)
        self._passed_at = time.monotonic()

    def seen(self, body: dict[str, Any]) -> None:
        """A policy was added or changed."""
        uid = body["metadata"]["uid"]
        entry = self._entries.get(uid)
        if entry is None:
            self._entries[uid] = Entry(body)
            return
        changed = body["metadata"].get("generation") != entry.body["metadata"].get("generation")
        entry.body = body
        if changed or "deletionTimestamp" in body["metadata"]:
            entry.due_at = 0.0

    def gone(self, body: dict[str, Any]) -> None:
        """A policy was deleted."""
        meta = body["metadata"]
        entry = self._entries.pop(meta["uid"], None)
        if entry and entry.task:
            entry.task.cancel()
        self._metrics.forget(meta["namespace"], meta["name"])

    def alive(self) -> bool:
        """Whether the loop passes and no look hangs."""
        return time.monotonic() - self._passed_at < ALIVE_SECONDS

    async def run(self) -> None:
        """Until cancelled; then the looks that are under way are finished first."""
        try:
            while True:
                self._passed_at = time.monotonic()
                for entry in list(self._entries.values()):
                    if entry.task is None and time.monotonic() >= entry.due_at:
                        entry.task = asyncio.create_task(self._visit(entry))
                await asyncio.sleep(PASS_SECONDS)
        finally:
            running = [entry.task for entry in self._entries.values() if entry.task]
            if running:
                await asyncio.wait(running, timeout=10)
            await self._sources.close()

    async def _visit(self, entry: Entry) -> None:
        started = time.monotonic()
        rest = 15.0
        try:
            async with self._gate, asyncio.timeout(TICK_TIMEOUT_SECONDS):
                policy = await self._parsed(entry)
                if policy is None:
                    return
                rest = float(policy.spec.behavior.tick_seconds)
                await self._look_after(entry, policy)
        except NotFoundError as error:
            log.info("policy is gone", error=str(error))
        except (ClusterError, TimeoutError) as error:
            log.warning("look failed", policy=_name(entry.body), error=str(error) or "it took too long")
        except Exception:
            # One policy must not stop the others: the error is shown with its trace, and the next look comes.
            log.exception("look failed", policy=_name(entry.body))
        finally:
            entry.due_at = started + rest
            entry.task = None

    async def _look_after(self, entry: Entry, policy: TuningPolicy) -> None:
        others = [other for other in self._policies() if other.metadata.uid != policy.metadata.uid]
        if policy.metadata.deletion_timestamp is not None:
            await self._let_go(entry, policy, others)
            return
        wanted, has = policy.spec.on_delete is OnDelete.RESTORE, FINALIZER in policy.metadata.finalizers
        if wanted != has:
            await self._platform.set_finalizer(policy, FINALIZER, present=wanted)
        cycle = await self._cycle(entry, policy)
        await cycle.tick(policy, others, time.time())
        if RESUME in policy.metadata.annotations:
            await self._platform.annotate(policy, {RESUME: None})

    async def _cycle(self, entry: Entry, policy: TuningPolicy) -> Cycle:
        source = await self._sources.of(policy)
        if entry.cycle is None:
            entry.cycle = Cycle(self._platform, source, self._metrics)
        entry.cycle.source = source
        return entry.cycle

    async def _let_go(self, entry: Entry, policy: TuningPolicy, others: list[TuningPolicy]) -> None:
        """Restore, then release. Whatever goes wrong, a deletion ends: after RESTORE_PATIENCE_SECONDS as it is."""
        if FINALIZER not in policy.metadata.finalizers:
            return
        if entry.deleting_since is None:
            entry.deleting_since = time.monotonic()
        try:
            async with asyncio.timeout(RESTORE_PATIENCE_SECONDS / 2):
                cycle = await self._cycle(entry, policy)
                await cycle.restore(policy, others, time.time())
        except Exception as error:
            if time.monotonic() - entry.deleting_since < RESTORE_PATIENCE_SECONDS:
                raise
            reason = str(error) or "it took too long"
            log.warning("values not restored", policy=policy.key, error=reason)
            await self._platform.announce(policy, EventReason.RESTORE_INCOMPLETE, reason, warning=True)
        await self._platform.set_finalizer(policy, FINALIZER, present=False)

    async def _parsed(self, entry: Entry) -> TuningPolicy | None:
        """The policy; None, with its status saying why, where it cannot be used."""
        try:
            return TuningPolicy.model_validate(entry.body)
        except ValidationError as error:
            meta = entry.body["metadata"]
            if "deletionTimestamp" in meta:
                await self._release_unread(meta)
                return None
            generation = meta.get("generation", 1)
            if entry.refused != generation:
                problems = "; ".join(f"{'.'.join(map(str, e['loc']))}: {e['msg']}" for e in error.errors()[:5])
                await self._platform.refuse(entry.body, f"the policy cannot be used: {problems}")
                entry.refused = generation
            return None

    async def _release_unread(self, meta: dict[str, Any]) -> None:
        """A policy that cannot be used (written for another version) is let go as it is."""
        policy = TuningPolicy.model_construct(metadata=ObjectMeta.model_validate(meta))  # type: ignore[call-arg]
        if FINALIZER in policy.metadata.finalizers:
            log.warning("values not restored: the policy cannot be read", policy=policy.key)
            await self._platform.set_finalizer(policy, FINALIZER, present=False)

    def _policies(self) -> list[TuningPolicy]:
        found = []
        for entry in self._entries.values():
            try:
                found.append(TuningPolicy.model_validate(entry.body))
            except ValidationError:
                continue
        return found


def _name(body: dict[str, Any]) -> str:
    return f"{body['metadata']['namespace']}/{body['metadata']['name']}"
