"""AIMD in front of a database that is a queue: simulated seconds, the very rule that runs in a pod.

A pool of 4 servers with exponential service times; Poisson arrivals at a multiple of its capacity, whether or not
earlier ones were answered; the limiter's queue of 1 s before it. Good is an answer within 3 s of its arrival.
"""

from __future__ import annotations

import heapq
import random
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import count

import pytest

from trimtab.admission.aimd import Aimd, AimdRule

POOL = 4
QUEUE_SECONDS = 1.0
PATIENCE_SECONDS = 3.0


@dataclass
class Request:
    arrived: float
    admitted: float = 0.0


@dataclass
class Simulation:
    """`capacity` is requests a second by time, `arrivals` a second throughout."""

    rule: AimdRule | None
    ceiling: int
    arrivals: float
    capacity: Callable[[float], float]
    good: list[float] = field(default_factory=list)
    limits: list[int] = field(default_factory=list)

    def run(self, seconds: float, seed: int = 1) -> None:
        draw, order = random.Random(seed), count()
        service = random.Random(seed + 1)
        aimd = Aimd(self.ceiling, self.rule)
        waiting: deque[Request] = deque()
        pooled: deque[Request] = deque()
        events: list[tuple[float, int, Request | None]] = [(0.0, next(order), None)]
        in_flight = 0

        def serve(now: float, request: Request) -> None:
            duration = service.expovariate(self.capacity(now) / POOL)
            heapq.heappush(events, (now + duration, next(order), request))

        def admit(now: float) -> None:
            nonlocal in_flight
            while waiting and (now - waiting[0].arrived > QUEUE_SECONDS or in_flight < aimd.limit):
                request = waiting.popleft()
                if now - request.arrived > QUEUE_SECONDS:
                    continue
                request.admitted, in_flight = now, in_flight + 1
                if in_flight <= POOL:
                    serve(now, request)
                else:
                    pooled.append(request)

        while (event := heapq.heappop(events))[0] < seconds:
            now, _, request = event
            if request is None:
                heapq.heappush(events, (now + draw.expovariate(self.arrivals), next(order), None))
                admit(now)
                if in_flight >= aimd.limit:
                    aimd.binds(now)
                if len(waiting) < 2 * self.ceiling:
                    waiting.append(Request(now))
            else:
                in_flight -= 1
                if now - request.arrived <= PATIENCE_SECONDS:
                    self.good.append(now)
                aimd.completed(request.admitted, now)
                if pooled:
                    serve(now, pooled.popleft())
            admit(now)
            self.limits.append(aimd.limit)

    def good_per_second(self, begin: float, end: float) -> float:
        return sum(begin <= at < end for at in self.good) / (end - begin)


@pytest.mark.parametrize("seed", range(3))
def test_a_saturated_database_that_works_is_served_exactly_as_by_a_fixed_ceiling(seed: int) -> None:
    answers = []
    for rule in (AimdRule(), None):
        simulation = Simulation(rule, ceiling=64, arrivals=300, capacity=lambda now: 100)
        simulation.run(60, seed)
        assert set(simulation.limits) == {64}
        answers.append(simulation.good)
    assert answers[0] == answers[1]
    assert len(answers[0]) > 0.95 * 60 * 100


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("times_too_large", [4, 10])
def test_a_database_50_times_slower_is_used_again_within_20_seconds_and_forgotten_when_it_is_back(
    times_too_large: int, seed: int
) -> None:
    def capacity(now: float) -> float:
        return 15 if 10 <= now < 90 else 750

    good = {}
    for name, rule in (("fixed", None), ("AIMD", AimdRule())):
        simulation = Simulation(rule, ceiling=15 * times_too_large, arrivals=45, capacity=capacity)
        simulation.run(120, seed)
        good[name] = simulation.good_per_second(30, 90)
        assert simulation.good_per_second(100, 120) > 0.9 * 45, "not back"
    assert good["fixed"] < 0.1 * 15
    assert good["AIMD"] > 0.6 * 15
