"""Replicas from a forecast of arrivals and the CPU that a request costs.

Formula: R = ceil((lambda + max(0, slope) ahead + z sigma)/(c rho)), c = CPU limit of a pod/CPU seconds a request,
         ahead = tick + age of the data + time until a new pod is ready.
Units:   requests/s, seconds, cores. z = 2.5, rho = 0.7.
Regime:  up at once (the step guard makes that at most twice), down only when 12 ticks agree, outside a band of 12%,
         by at most 20%; that window doubles at each reversal and halves by the hour. c comes from CPU, never from the
         largest lambda seen: that would call the present size the capacity. Without a CPU limit nothing is known.
         A database that binds or is slow holds R: R = min(R, R now).
Source:  CONTROL.md, Replicas and Gates (simulated on bursty, diurnal, step, flash and noisy loads).
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

from tuner.crds.status import KnobName
from tuner.decide.decision import Prediction, Reason
from tuner.decide.memory import WISHES_LENGTH, Memory
from tuner.decide.proposal import Proposal, stay
from tuner.model.arrivals import Arrivals
from tuner.observation import Absent, ApiPod, Maybe, present

KNOB = KnobName.REPLICAS.value
Z = 2.5
RHO = 0.7
BAND = 0.12
MAX_DOWN = 0.2
AGREEING_TICKS = 12
DEFAULT_SECONDS_TO_READY = 30.0


@dataclass(frozen=True, slots=True)
class Cost:
    """What one request costs and what one pod can pay: CPU seconds a request, cores a pod."""

    cpu_seconds: float
    cores: float

    @property
    def requests_per_second(self) -> float:
        """Capacity of one pod at full CPU."""
        return self.cores / self.cpu_seconds


def cost_of(pods: tuple[ApiPod, ...]) -> Maybe[Cost]:
    """CPU cost of a request over the ready `pods`; absent where one does not show it or nothing arrives."""
    cores = limit = arrivals = 0.0
    for pod in pods:
        for value in (pod.cpu_cores, pod.cpu_limit_cores, pod.arrivals_per_second):
            if isinstance(value, Absent):
                return Absent(f"{pod.name}: {value.reason}")
        cores += present(pod.cpu_cores) or 0.0
        limit += present(pod.cpu_limit_cores) or 0.0
        arrivals += present(pod.arrivals_per_second) or 0.0
    if not pods or arrivals <= 0 or cores <= 0 or limit <= 0:
        return Absent("no requests, or no CPU limit, to learn the cost of a request from")
    return Cost(cores / arrivals, limit / len(pods))


def needed(arrivals: Arrivals, cost: Cost, ahead_seconds: float) -> int:
    """R of the formula, at least 1."""
    load = arrivals.forecast(ahead_seconds) + Z * arrivals.sigma
    return max(1, math.ceil(round(load / (cost.requests_per_second * RHO), 9)))


def propose(
    current: int, arrivals: Arrivals, cost: Maybe[Cost], ahead_seconds: float, memory: Memory
) -> tuple[Proposal, Memory]:
    """The number of pods, and the memory of what the last ticks wished for."""
    if isinstance(cost, Absent):
        return stay(KNOB, current, Reason.NO_EVIDENCE, cost.reason), replace(memory, replica_wishes=())
    if not arrivals.warm:
        return stay(KNOB, current, Reason.NO_EVIDENCE, "too few ticks for a forecast"), memory
    wish = needed(arrivals, cost, ahead_seconds)
    memory = replace(memory, replica_wishes=(*memory.replica_wishes, wish)[-WISHES_LENGTH:])
    load = arrivals.forecast(ahead_seconds)
    sentence = (
        f"{load:.0f} requests/s are expected in {ahead_seconds:.0f} s and a pod can serve "
        f"{cost.requests_per_second:.0f}/s: {wish} at {100 * RHO:.0f}% CPU"
    )
    share = 100 * load * cost.cpu_seconds / cost.cores
    if wish > current:
        prediction = Prediction(
            "cpuPercent", share / wish, f"the pods use about {share / wish:.0f}% of their CPU limit"
        )
        return Proposal(KNOB, current, wish, Reason.DEMAND, sentence, urgent=True, prediction=prediction), memory
    window = memory.replica_window
    agreed = memory.replica_wishes[-window:]
    if len(agreed) < window or max(agreed) >= current or max(agreed) > current * (1 - BAND):
        return stay(KNOB, current, Reason.STEADY, sentence), memory
    wanted = max(max(agreed), current - max(1, math.floor(MAX_DOWN * current)))
    message = f"{sentence}, for {window} ticks"
    return Proposal(KNOB, current, wanted, Reason.DEMAND_FELL, message), memory


def window_after(memory: Memory, upward: bool, now: float) -> Memory:
    """After a move: an upward one soon after a downward one doubles the window for the next way down."""
    reversed_lately = upward and memory.direction(KNOB) < 0
    hours = (now - memory.replica_reversed_at) / 3600 if memory.replica_reversed_at else 0.0
    window = max(AGREEING_TICKS, memory.replica_window >> min(8, int(hours)))
    if reversed_lately:
        return replace(memory, replica_window=min(WISHES_LENGTH, 2 * window), replica_reversed_at=now)
    return replace(memory, replica_window=window)
