"""A trial of another size is under way: keep it, go back from it, or measure on."""

from __future__ import annotations

import math
from dataclasses import replace

from tuner.crds.status import Bottleneck
from tuner.decide.bottleneck import MIN_GAIN
from tuner.decide.decision import Reason
from tuner.decide.memory import PoolMemory, Probe
from tuner.decide.pool.start import between
from tuner.decide.pool.view import (
    GOOD_GAIN,
    KEEP_BELOW,
    KNEE,
    KNOB,
    MAX_PROBE_TICKS,
    NOISY,
    PROBE_TICKS,
    SHORTER,
    SMALL_FACTOR,
    PoolStep,
    PoolView,
    failed,
    step_up,
)
from tuner.decide.proposal import Proposal, stay
from tuner.model.capacity import Capacity, relative_error
from tuner.observation import Absent


def during(view: PoolView, capacity: Capacity, memory: PoolMemory, probe: Probe) -> PoolStep:
    if view.size != probe.size:
        return between(view, capacity, replace(memory, probe=None))
    if view.slowing or view.verdict.bottleneck in (Bottleneck.DEGRADED, Bottleneck.STALLED):
        # A probe cannot be judged in a slowdown; up goes back (a shrink), down stays and starts anew afterwards.
        ended = replace(memory, probe=None)
        message = f"the database became slower during the trial of {probe.size} connections"
        if probe.upward:
            back = Proposal(KNOB, view.size, probe.base, Reason.PROBE_RETURNED, message, safety=True)
            return PoolStep(back, memory, ends_probe=ended)
        return PoolStep(stay(KNOB, view.size, Reason.DEGRADED, message), ended)
    if isinstance(view.sample, Absent):
        return PoolStep(stay(KNOB, view.size, Reason.PROBING, f"trying {probe.size}: {view.sample.reason}"), memory)
    if not view.news:
        return PoolStep(_trying(view, probe), memory)
    # Judged by ticks of one kind: those with a queue, or those without one in a row.
    same = view.sample.saturated == (probe.quiet_ticks == 0) or probe.ticks == 0
    probe = replace(
        probe,
        ticks=probe.ticks + 1,
        rates=(*probe.rates, view.sample.rate) if same else (view.sample.rate,),
        quiet_ticks=0 if view.sample.saturated else probe.quiet_ticks + 1,
    )
    memory = replace(memory, probe=probe)
    return _judge_up(view, capacity, memory, probe) if probe.upward else _judge_down(view, capacity, memory, probe)


def _trying(view: PoolView, probe: Probe) -> Proposal:
    return stay(KNOB, view.size, Reason.PROBING, f"trying {probe.size} connections instead of {probe.base}")


def _threshold(probe: Probe) -> float:
    """The gain that a trial has to show: max(3%, 2 se of the difference)."""
    noise = relative_error(probe.rates)
    base = probe.base_noise
    error = math.hypot(noise if math.isfinite(noise) else base, base if math.isfinite(base) else 0.0)
    return max(MIN_GAIN, 2 * error) if math.isfinite(error) else MIN_GAIN


def _gain(probe: Probe) -> float:
    return sum(probe.rates) / len(probe.rates) / probe.base_rate - 1


def _judge_up(view: PoolView, capacity: Capacity, memory: PoolMemory, probe: Probe) -> PoolStep:
    trying = _trying(view, probe)
    gain = _gain(probe)
    if probe.quiet_ticks:
        return PoolStep(trying, memory) if probe.quiet_ticks < PROBE_TICKS else _quiet(view, capacity, memory, probe)
    proportional = gain / (probe.size / probe.base - 1)
    threshold = _threshold(probe)
    sentence = f"{probe.size} connections gave {100 * gain:+.0f}% throughput against {probe.base}"
    enough = len(probe.rates) >= PROBE_TICKS
    if (enough and gain >= threshold) or (proportional >= GOOD_GAIN and gain >= 0.2):
        kept = replace(memory, probe=None, up_failures=0, last_gain=proportional)
        return _kept(view, capacity, kept, sentence)
    if not enough or (threshold > NOISY and len(probe.rates) < MAX_PROBE_TICKS and gain > -threshold):
        return PoolStep(trying, memory)
    message = f"{sentence}, less than the {100 * threshold:.0f}% that would pay"
    if gain >= MIN_GAIN and memory.up_failures == 0:
        return _once_more(view, memory, probe, message)
    return _back(view, memory, probe, message)


def _quiet(view: PoolView, capacity: Capacity, memory: PoolMemory, probe: Probe) -> PoolStep:
    """The queue is gone: it pays when more is done or takes less time; else clients only wait inside PostgreSQL."""
    shorter = bool(view.seconds and probe.base_seconds and view.seconds <= SHORTER * probe.base_seconds)
    if _gain(probe) >= MIN_GAIN or shorter:
        kept = replace(memory, probe=None, up_failures=0, last_gain=None)
        return _kept(view, capacity, kept, f"{probe.size} connections are enough: nobody waits for one any more")
    message = f"with {probe.size} connections nobody waits for one, but no more is done and it takes no less time"
    if memory.up_failures == 0:
        return _once_more(view, memory, probe, message)
    return _back(view, memory, probe, message)


def _once_more(view: PoolView, memory: PoolMemory, probe: Probe, message: str) -> PoolStep:
    """Not clear enough: back to measure the base again, and one more trial before the direction is blocked."""
    back = _back(view, memory, probe, message)
    return replace(back, ends_probe=replace(memory, probe=None, last_gain=None, up_failures=1))


def _judge_down(view: PoolView, capacity: Capacity, memory: PoolMemory, probe: Probe) -> PoolStep:
    trying = _trying(view, probe)
    if len(probe.rates) < PROBE_TICKS:
        return PoolStep(trying, memory)
    if probe.saturated and probe.quiet_ticks:
        # The load went away: fewer connections harm nobody, and a queue will bring them back.
        return _kept(view, capacity, replace(memory, probe=None), f"{probe.size} connections are enough now")
    rate = sum(probe.rates) / len(probe.rates)
    share = rate / probe.base_rate
    best = capacity.best() if probe.saturated else None
    sentence = f"{probe.size} connections gave {100 * share:.0f}% of the throughput of {probe.base}"
    if share >= KEEP_BELOW and (best is None or rate >= KNEE * best):
        return _kept(view, capacity, replace(memory, probe=None, down_failures=0), sentence)
    noise = _threshold(probe)
    if noise > NOISY and len(probe.rates) < MAX_PROBE_TICKS and share > KEEP_BELOW - noise:
        return PoolStep(trying, memory)
    return _back(view, memory, probe, sentence)


def _kept(view: PoolView, capacity: Capacity, memory: PoolMemory, sentence: str) -> PoolStep:
    """The trial is kept; the next move may follow in the same tick, on the evidence of the trial."""
    step = between(view, capacity, memory)
    if step.proposal.moves:
        return replace(step, proposal=replace(step.proposal, message=f"{sentence}; {step.proposal.message}"))
    return replace(step, proposal=stay(KNOB, view.size, Reason.PROBE_KEPT, sentence))


def _back(view: PoolView, memory: PoolMemory, probe: Probe, sentence: str) -> PoolStep:
    too_far = probe.upward and probe.size > step_up(probe.base, view.unit, SMALL_FACTOR)
    ended = replace(memory, last_gain=None) if too_far else failed(memory, probe.upward, view.now)
    base = min(probe.base, view.high)
    back = Proposal(KNOB, view.size, base, Reason.PROBE_RETURNED, f"{sentence}: back to {base}", urgent=True)
    return PoolStep(back, memory, ends_probe=replace(ended, probe=None))
