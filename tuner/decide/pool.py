"""Pool size by probing: try the next size while the queue binds, keep what pays, go back from what does not.

Formula: up:   probe ceil(1.5 C), or 2 C while the last gain was >= 60% of proportional; keep if X rose by
               >= max(3%, 2 se), or the queue is gone and W + H is 10% shorter, else back. After a failed 2 C the
               smaller step is tried too; after a failed 1.5 C up is blocked 30 min, doubled at each failed probe up
               to 8 h.
         down: once up is blocked, probe C/1.5; keep if X >= 0.99 X before and >= 0.97 of the best measured.
         C* = the least size with X >= 0.97 of the best measured; a size above it moves there.
Units:   C in connections over all pooler pods, in steps of one connection a pod; X in transactions/s.
Regime:  up only after 2 saturated ticks; the first tick after a move is dropped (model/beliefs.py). A pool far too
         large never saturates: with >= 4 busy servers and the objective violated for 2 ticks it probes downward once,
         judged by the throughput itself. No shrinking for lack of demand. Where the samples scatter by more than 7%
         a probe takes up to 6 ticks instead of 2. A gain >= 60% of proportional is kept after one tick.
Source:  CONTROL.md, Pool size: of 28 starts probing reached 97% of the best in 25, a fitted curve in 13.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

from tuner.crds.status import Bottleneck, KnobName
from tuner.decide.bottleneck import MIN_GAIN
from tuner.decide.decision import Prediction, Reason, Verdict
from tuner.decide.memory import PoolMemory, Probe
from tuner.decide.proposal import Proposal, stay
from tuner.model.capacity import Capacity, Sample, relative_error
from tuner.observation import Absent, Maybe

KNOB = KnobName.POOLER_POOL_SIZE.value
BLOCK_SECONDS = 1800.0
MAX_BLOCK_SECONDS = 8 * 3600.0
GOOD_GAIN = 0.6
SMALL_FACTOR = 1.5
LARGE_FACTOR = 2.0
KNEE = 0.97
KEEP_BELOW = 0.99
SHORTER = 0.9
NOISY = 0.07
PROBE_TICKS = 2
MAX_PROBE_TICKS = 6
BASE_SAMPLES = 6
BUSY_ENOUGH = 4


@dataclass(frozen=True, slots=True)
class PoolView:
    """What the law looks at in one tick. Sizes in connections over all pods; `unit` is one connection a pod.

    `low` and `high`: bounds and budget, in whole units. `sample` is absent while a move is under way and in the tick
    after it. `executing`: mean number of servers executing queries. `seconds`: mean W + H. `violated`: the objective
    is not met.
    """

    size: int
    unit: int
    low: int
    high: int
    verdict: Verdict
    slowing: bool
    sample: Maybe[Sample]
    executing: Maybe[float]
    violated: bool
    mix_changed: bool
    seconds: float | None
    now: float


@dataclass(frozen=True, slots=True)
class PoolStep:
    """Where the law wants the pool. `if_not` is its memory when nothing is written; `if_done(after)` when it was."""

    proposal: Proposal
    if_not: PoolMemory
    ends_probe: PoolMemory | None = None
    begins: Probe | None = None

    def if_done(self, after: int) -> PoolMemory:
        if self.begins is not None:
            return replace(self.if_not, probe=replace(self.begins, size=after))
        return self.ends_probe or self.if_not


def step_up(size: int, unit: int, factor: float) -> int:
    """The next size upward: factor x `size`, rounded up to whole units, at least one unit more."""
    return max(math.ceil(factor * size / unit), size // unit + 1) * unit


def blocked_above(size: int, unit: int, capacity: Capacity, memory: PoolMemory, now: float) -> bool:
    """Whether the next larger size was tried lately and gave less than MIN_GAIN more.

    A size beyond the next one does not count: a curve that falls again may peak in between.
    """
    if memory.up_blocked_until > now:
        return True
    here = capacity.at(size)
    if here is None:
        return False
    most = step_up(size, unit, SMALL_FACTOR)
    above = [
        e
        for s, e in capacity.sizes
        if size < s <= most and now - e.time < BLOCK_SECONDS and len(e.rates) >= PROBE_TICKS
    ]
    return bool(above) and max(e.rate for e in above) < (1 + MIN_GAIN) * here.rate


def propose(view: PoolView, capacity: Capacity, memory: PoolMemory) -> PoolStep:
    """The next move of the pool, or why it stays."""
    if view.mix_changed:
        memory = replace(memory, up_blocked_until=0.0, down_blocked_until=0.0, up_failures=0, down_failures=0)
    memory = _count(view, memory)
    if memory.probe is not None:
        return _during(view, capacity, memory, memory.probe)
    return _between(view, capacity, memory)


def _count(view: PoolView, memory: PoolMemory) -> PoolMemory:
    if isinstance(view.sample, Absent):
        return memory
    crowded = not isinstance(view.executing, Absent) and view.executing >= BUSY_ENOUGH
    troubled = view.violated and crowded and not view.sample.saturated
    return replace(
        memory,
        saturated_ticks=min(99, memory.saturated_ticks + 1) if view.sample.saturated else 0,
        troubled_ticks=min(99, memory.troubled_ticks + 1) if troubled else 0,
    )


def _during(view: PoolView, capacity: Capacity, memory: PoolMemory, probe: Probe) -> PoolStep:
    if view.size != probe.size:
        return _between(view, capacity, replace(memory, probe=None))
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


def _threshold(probe: Probe) -> float:
    """The gain that a trial has to show: max(3%, 2 se of the difference)."""
    noise = relative_error(probe.rates)
    base = probe.base_noise
    error = math.hypot(noise if math.isfinite(noise) else base, base if math.isfinite(base) else 0.0)
    return max(MIN_GAIN, 2 * error) if math.isfinite(error) else MIN_GAIN


def _gain(probe: Probe) -> float:
    return sum(probe.rates) / len(probe.rates) / probe.base_rate - 1


def _judge_up(view: PoolView, capacity: Capacity, memory: PoolMemory, probe: Probe) -> PoolStep:
    trying = stay(KNOB, view.size, Reason.PROBING, f"trying {probe.size} connections instead of {probe.base}")
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
    trying = stay(KNOB, view.size, Reason.PROBING, f"trying {probe.size} connections instead of {probe.base}")
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
    step = _between(view, capacity, memory)
    if step.proposal.moves:
        return replace(step, proposal=replace(step.proposal, message=f"{sentence}; {step.proposal.message}"))
    return replace(step, proposal=stay(KNOB, view.size, Reason.PROBE_KEPT, sentence))


def _back(view: PoolView, memory: PoolMemory, probe: Probe, sentence: str) -> PoolStep:
    too_far = probe.upward and probe.size > step_up(probe.base, view.unit, SMALL_FACTOR)
    ended = replace(memory, last_gain=None) if too_far else failed(memory, probe.upward, view.now)
    base = min(probe.base, view.high)
    back = Proposal(KNOB, view.size, base, Reason.PROBE_RETURNED, f"{sentence}: back to {base}", urgent=True)
    return PoolStep(back, memory, ends_probe=replace(ended, probe=None))


def failed(memory: PoolMemory, upward: bool, now: float) -> PoolMemory:
    """After a probe that did not pay: its direction is blocked, longer each time."""
    failures = memory.up_failures if upward else memory.down_failures
    until = now + min(MAX_BLOCK_SECONDS, BLOCK_SECONDS * 2.0 ** min(failures, 8))
    if upward:
        return replace(memory, up_blocked_until=until, up_failures=failures + 1, last_gain=None)
    return replace(memory, down_blocked_until=until, down_failures=failures + 1)


def _between(view: PoolView, capacity: Capacity, memory: PoolMemory) -> PoolStep:
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
