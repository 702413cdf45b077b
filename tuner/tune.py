"""One cycle of one policy: observe, learn, decide, act, record."""

from __future__ import annotations

import time
from collections.abc import Iterable
from dataclasses import dataclass, replace

import structlog

from tuner.actuate.port import Platform
from tuner.cluster.errors import ClusterError, ConflictError, NotFoundError
from tuner.crds import ConditionType, KnobName, Outcome, TuningPolicy, TuningPolicyStatus
from tuner.decide.decision import Condition, Decision, Reason
from tuner.decide.memory import Memory
from tuner.decide.plan import Plan, decide, executed
from tuner.decide.situation import survey
from tuner.events import WARNINGS, EventReason, news
from tuner.journal import SAVE_EVERY_SECONDS, Hand, Remembered, restore, texts
from tuner.metrics import TunerMetrics
from tuner.model.beliefs import Beliefs, learn
from tuner.observation import Observation, present
from tuner.observe.observer import Observer
from tuner.observe.source import Look, Source
from tuner.restore import captured, way_back
from tuner.status import status_of, worth_writing
from tuner.workload import Workload

RESUME = "trimtab.dev/resume"

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Done:
    """What became of a plan's writes; `problem` says what did not succeed."""

    wrote: bool = False
    scaled: bool = False
    problem: str = ""

    def of(self, decisions: Iterable[Decision]) -> list[Decision]:
        """Those that were carried out: the replicas by the scale subresource, all else by the document."""
        return [d for d in decisions if (self.scaled if d.knob == KnobName.REPLICAS else self.wrote)]


class Cycle:
    """Looks after one policy. Everything that it needs between ticks it remembers here and in the state ConfigMap."""

    def __init__(self, platform: Platform, source: Source, metrics: TunerMetrics) -> None:
        self._platform = platform
        self.source = source
        self._metrics = metrics
        self._observer = Observer()
        self._remembered: Remembered | None = None
        self._version: str | None = None
        self._saved_at = 0.0
        self._status: TuningPolicyStatus | None = None
        self._write_problem = ""

    async def tick(self, policy: TuningPolicy, others: Iterable[TuningPolicy], now: float) -> None:
        """One cycle at `now`, in seconds since the epoch. Raises ClusterError where the cluster cannot be asked."""
        started = time.perf_counter()
        known = await self._remember(policy)
        workload, look, observation, hand = await self._observe(policy, others, known.hand, now)
        beliefs = learn(known.state.beliefs, observation, _max_pods(policy))
        plan = decide(policy, observation, beliefs, known.state.memory, now)
        known = await self._keep_original(policy, plan, observation, replace(known, hand=hand))
        done = await self._act(policy, plan, workload)
        await self._record(policy, plan, known, beliefs, done, workload, look, now)
        self._metrics.tick_seconds.observe(time.perf_counter() - started)

    async def restore(self, policy: TuningPolicy, others: Iterable[TuningPolicy], now: float) -> None:
        """Put the values from before back, once, for a policy that is being deleted with onDelete: Restore."""
        known = await self._remember(policy)
        _, _, observation, _ = await self._observe(policy, others, known.hand, now)
        situation = survey(policy, observation, known.state.beliefs, known.state.memory, now)
        back = way_back(known.original, situation)
        if back.write is not None:
            await self._platform.publish(policy, back.write, None)
        if back.scale is not None:
            await self._platform.scale(policy, back.scale)
        if back.missing:
            await self._announce(policy, EventReason.RESTORE_INCOMPLETE, "; ".join(back.missing))
        elif back.write or back.scale:
            await self._announce(policy, EventReason.RESTORED, "The values from before the first change are back")

    async def _remember(self, policy: TuningPolicy) -> Remembered:
        if self._remembered is None:
            stored = await self._platform.load_state(policy)
            self._version = stored.version
            self._remembered = restore(stored.texts, policy.metadata.uid)
            if stored.version is None:
                # A state that was lost must not make today's values those from before the first change.
                self._remembered = replace(self._remembered, original=await self._platform.original(policy))
            if self._remembered.state.problem:
                await self._announce(policy, EventReason.STATE_DISCARDED, self._remembered.state.problem)
        return self._remembered

    async def _observe(
        self, policy: TuningPolicy, others: Iterable[TuningPolicy], hand: Hand, now: float
    ) -> tuple[Workload, Look, Observation, Hand]:
        workload = await self._platform.look(policy, others, now)
        look = await self.source.look(policy.metadata.namespace)
        for failure in look.failures:
            self._metrics.prometheus_errors.labels(failure).inc()
        if RESUME in policy.metadata.annotations:
            hand = hand.resumed()
        hand = hand.seeing(present(workload.target.spec_replicas), now)
        workload = replace(workload, target=replace(workload.target, changed_by_hand_at=hand.changed_at))
        return workload, look, await self._observer.observe(policy.spec, workload, look, now), hand

    async def _keep_original(
        self, policy: TuningPolicy, plan: Plan, observation: Observation, known: Remembered
    ) -> Remembered:
        """Before a change the values in force are stored: after it nobody could tell them."""
        if plan.write or plan.scale:
            original = captured(known.original, policy, observation)
            if original != known.original:
                known = replace(known, original=original)
                await self._save(policy, known)
        self._remembered = known
        return known

    async def _act(self, policy: TuningPolicy, plan: Plan, workload: Workload) -> Done:
        """The plan's writes: the document first, then the replicas. Who wrote in between wins."""
        wrote = scaled = False
        try:
            if plan.write is not None:
                original = self._remembered.original if self._remembered else None
                await self._platform.publish(policy, plan.write, original)
                wrote = True
                pods = (*(present(workload.api_pods) or ()), *(present(workload.pooler_pods) or ()))
                await self._platform.nudge(pods, plan.write.document.generation)
            if plan.scale is not None:
                await self._platform.scale(policy, plan.scale)
                scaled = True
        except ConflictError as error:
            self._metrics.lost_races.inc()
            log.info("plan dropped, somebody else wrote first", policy=policy.key, error=str(error))
            return Done(wrote, scaled)
        except ClusterError as error:
            log.warning("plan not carried out", policy=policy.key, error=str(error))
            return Done(wrote, scaled, str(error))
        return Done(wrote, scaled)

    async def _record(
        self,
        policy: TuningPolicy,
        plan: Plan,
        known: Remembered,
        beliefs: Beliefs,
        done: Done,
        workload: Workload,
        look: Look,
        now: float,
    ) -> None:
        memory = executed(plan, wrote=done.wrote, scaled=done.scaled)
        hand = known.hand.setting(plan.scale.replicas) if plan.scale and done.scaled else known.hand
        changed = hand != known.hand or memory.journal != known.state.memory.journal
        self._remembered = replace(known, state=replace(known.state, beliefs=beliefs, memory=memory), hand=hand)
        self._metrics.record(policy, plan, now)
        try:
            # First of all: what was done and not remembered looks like a person's doing after a restart.
            if changed or done.wrote or now - self._saved_at >= SAVE_EVERY_SECONDS:
                await self._save(policy, self._remembered)
                self._saved_at = now
        finally:
            await self._say(policy, plan, memory, done, workload, now)

    async def _say(
        self, policy: TuningPolicy, plan: Plan, memory: Memory, done: Done, workload: Workload, now: float
    ) -> None:
        before = self._status or policy.status
        current = policy.model_copy(update={"status": before})
        status = status_of(current, plan, memory.journal, _said(workload, done), now)
        if worth_writing(before, status):
            await self._platform.write_status(policy, status)
            self._status = status
        for decision in done.of(plan.decisions):
            self._metrics.decisions.labels(decision.knob, decision.reason).inc()
            undone = decision.reason is Reason.UNDO
            if undone:
                self._metrics.rollbacks.inc()
            moved = f"{decision.knob} {decision.before} -> {decision.after}: {decision.message}"
            await self._announce(policy, EventReason.CHANGE_UNDONE if undone else EventReason.KNOB_CHANGED, moved)
        for decision in plan.judged:
            if decision.outcome is Outcome.KEPT:
                kept = f"{decision.knob} {decision.before} -> {decision.after}: {decision.outcome}"
                await self._announce(policy, EventReason.CHANGE_KEPT, kept)
        if done.problem and done.problem != self._write_problem:
            await self._announce(policy, EventReason.WRITE_FAILED, done.problem)
        if done.problem or done.wrote or done.scaled:
            self._write_problem = done.problem
        for reason, message in news(before, status):
            await self._announce(policy, reason, message)

    async def _announce(self, policy: TuningPolicy, reason: EventReason, message: str) -> None:
        await self._platform.announce(policy, reason, message, warning=reason in WARNINGS)

    async def _save(self, policy: TuningPolicy, known: Remembered) -> None:
        state = known.state
        stored = texts(state.beliefs, state.memory, known.hand, known.original, policy.metadata.uid)
        try:
            self._version = await self._platform.save_state(policy, stored, self._version)
        except NotFoundError:
            if self._version is None:
                raise
            self._version = await self._platform.save_state(policy, stored, None)
            log.info("state was deleted and is made anew", policy=policy.key)
        except ConflictError:
            # Another tuner keeps this policy too: its memory is as good, and the knobs are fenced by their own PUT.
            self._version = (await self._platform.load_state(policy)).version
            log.info("state was written by another tuner", policy=policy.key)


def _said(workload: Workload, done: Done) -> list[Condition]:
    """Conditions that the plan cannot know."""
    if workload.problems:
        reasons = "; ".join(problem.message for problem in workload.problems)
        return [Condition(ConditionType.READY, "False", workload.problems[0].reason, reasons)]
    if done.problem:
        return [
            Condition(ConditionType.READY, "False", "WriteFailed", f"the last plan was not carried out: {done.problem}")
        ]
    return []


def _max_pods(policy: TuningPolicy) -> int:
    return policy.spec.pooler.max_pods if policy.spec.pooler else 1
