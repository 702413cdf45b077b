"""No trial is under way: which size is tried next, or why none is."""

from __future__ import annotations

import math
from dataclasses import replace

from tuner.crds.status import Bottleneck
from tuner.decide.bottleneck import MIN_GAIN
from tuner.decide.decision import Prediction, Reason
from tuner.decide.memory import PoolMemory, Probe
from tuner.decide.pool.view import (
    BASE_SAMPLES,
    BLOCK_SECONDS,
    GOOD_GAIN,
    KEEP_BELOW,
    KNEE,
    KNOB,
    LARGE_FACTOR,
    PROBE_TICKS,
    SMALL_FACTOR,
    PoolStep,
    PoolView,
    blocked_above,
    step_up,
)
from tuner.decide.proposal import Proposal, stay
from tuner.model.capacity import Capacity, Sample, relative_error
from tuner.observation import Absent


def between(view: PoolView, capacity: Capacity, memory: PoolMemory) -> PoolStep:
    if view.size > view.high:
        message = f"{view.size} connections are more than bounds and budget now allow ({view.high})"
        return PoolStep(Proposal(KNOB, view.size, view.high, Reason.LIMIT_LOWERED, message, safety=True), memory)
    if view.size < view.low and view.verdict.bottleneck is not Bottleneck.UNKNOWN:
        message = f"{view.size} connections are fewer than the policy's least ({view.low})"
        return PoolStep(Proposal(KNOB, view.size, view.low, Reason.BOUND, message, urgent=True), memory)
    if view.slowing or view.verdict.bottleneck in (Bottleneck.DEGRADED, Bottleneck.STALLED, Bottleneck.UNKNOWN):
        reason = {
            Bottleneck.STALLED: Reason.STALLED,
            Bottleneck.UNKNOWN: Reason.NO_EVIDENCE,
        }.get(view.verdict.bottleneck, Reason.DEGRADED)
        return PoolStep(stay(KNOB, view.size, reason, view.verdict.evidence), memory)
    if isinstance(view.sample, Absent):
        return PoolStep(stay(KNOB, view.size, Reason.NO_EVIDENCE, view.sample.reason), memory)
    if not view.sample.saturated:
        return _unsaturated(view, memory, view.sample)
    if memory.saturated_ticks < 2:
        return PoolStep(stay(KNOB, view.size, Reason.NO_EVIDENCE, "clients wait since one tick; two are asked"), memory)
    if not blocked_above(view.size, view.unit, capacity, memory, view.now):
        return _up(view, capacity, memory, view.sample)
    return _down(view, capacity, memory, view.sample)


def _up(view: PoolView, capacity: Capacity, memory: PoolMemory, sample: Sample) -> PoolStep:
    fast = memory.last_gain is not None and memory.last_gain >= GOOD_GAIN
    factor = LARGE_FACTOR if fast else SMALL_FACTOR
    size = step_up(view.size, view.unit, factor)
    if view.size >= view.high:
        message = f"{view.verdict.evidence}, and {view.high} connections are the most that bounds and budget allow"
        return PoolStep(stay(KNOB, view.size, Reason.BOUND, message), memory)
    wanted = min(size, view.high)
    begins = _probe(view, capacity, sample, wanted)
    message = f"{view.verdict.evidence}: trying {wanted} connections"
    expected = begins.base_rate * (1 + MIN_GAIN)
    prediction = Prediction(
        "transactionsPerSecond", expected, f"at least {expected:.0f} transactions/s, or the queue disappears"
    )
    proposal = Proposal(KNOB, view.size, wanted, Reason.PROBE_UP, message, urgent=True, prediction=prediction)
    return PoolStep(proposal, memory, begins=begins)


def _down(view: PoolView, capacity: Capacity, memory: PoolMemory, sample: Sample) -> PoolStep:
    steady = stay(KNOB, view.size, Reason.DATABASE_BINDS, view.verdict.evidence)
    here = capacity.at(view.size)
    knee = capacity.knee(KNEE)
    if here is not None and knee is not None and view.low <= knee < view.size and len(here.rates) >= PROBE_TICKS:
        there = capacity.at(knee)
        if there is not None and len(there.rates) >= PROBE_TICKS and there.rate >= KNEE * here.rate:
            message = (
                f"{knee} connections gave {100 * there.rate / here.rate:.0f}% of the throughput of {view.size}; "
                "more of them only wait inside PostgreSQL"
            )
            return PoolStep(Proposal(KNOB, view.size, knee, Reason.PAST_KNEE, message), memory)
    size = math.floor(view.size / SMALL_FACTOR / view.unit) * view.unit
    if memory.down_blocked_until > view.now or size < view.low or size < view.unit:
        return PoolStep(steady, memory)
    best = capacity.best() or 0.0
    known = [e.rate for s, e in capacity.sizes if size <= s < view.size and view.now - e.time < BLOCK_SECONDS]
    if known and max(known) < KNEE * best:
        message = f"{steady.message}; fewer connections were measured and gave less"
        return PoolStep(stay(KNOB, view.size, Reason.DATABASE_BINDS, message), memory)
    return _try_below(view, capacity, memory, sample, size)


def _unsaturated(view: PoolView, memory: PoolMemory, sample: Sample) -> PoolStep:
    size = math.floor(view.size / SMALL_FACTOR / view.unit) * view.unit
    blocked = memory.down_blocked_until > view.now or size < max(view.low, view.unit)
    if memory.troubled_ticks < 2 or blocked:
        return PoolStep(stay(KNOB, view.size, Reason.NO_QUEUE, "nobody waits for a server connection"), memory)
    return _try_below(view, Capacity(), memory, sample, size)


def _try_below(view: PoolView, capacity: Capacity, memory: PoolMemory, sample: Sample, size: int) -> PoolStep:
    begins = _probe(view, capacity, sample, size)
    message = f"trying {size} connections: does the database do as much with fewer than {view.size}?"
    expected = begins.base_rate * KEEP_BELOW
    prediction = Prediction("transactionsPerSecond", expected, f"at least {expected:.0f} transactions/s")
    proposal = Proposal(KNOB, view.size, size, Reason.PROBE_DOWN, message, prediction=prediction)
    return PoolStep(proposal, replace(memory, troubled_ticks=0), begins=begins)


def _probe(view: PoolView, capacity: Capacity, sample: Sample, size: int) -> Probe:
    """The trial of `size`, with the newest samples of the present size as its base."""
    here = capacity.at(view.size) if sample.saturated else None
    rates = here.rates[-BASE_SAMPLES:] if here is not None else (sample.rate,)
    noise = relative_error(rates)
    return Probe(
        base=view.size,
        size=size,
        base_rate=max(sum(rates) / len(rates), 1e-9),
        base_noise=noise if math.isfinite(noise) else 0.0,
        saturated=sample.saturated,
        started=view.now,
        base_seconds=view.seconds,
    )
