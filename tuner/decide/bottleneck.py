"""Verdict: which queue binds. Exactly one may, and it should be the pooler's.

| verdict  | evidence                                                                                     |
|----------|----------------------------------------------------------------------------------------------|
| Stalled  | clients wait, no transaction and no assignment in the tick                                    |
| Degraded | g > 0.22 for 2 ticks (model/slowdown.py)                                                      |
| Pooler   | saturated, and the next size is untried or gained >= 3%                                       |
| Database | saturated, and the next size gained < 3%, not longer ago than its block                       |
| Replicas | pooler without queue; CPU >= 90% of the limit, or >= 80% and no queue in the app's pool       |
| AppPool  | pooler without queue; tasks waiting for a checkout >= 0.25 x pool, >= 80% checked out         |
| None     | no queue                                                                                      |
| Unknown  | a ready pod does not show what one of these lines needs                                       |

Tasks waiting = checkout wait seconds per second (Little's law). Source: CONTROL.md, Verdict; the CPU and checkout
thresholds are reasoned.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from tuner.crds.status import Bottleneck
from tuner.decide.decision import Verdict
from tuner.model.beliefs import Beliefs
from tuner.model.capacity import Sample
from tuner.observation import Absent, ApiPod, Maybe, PoolerPod, present

MIN_GAIN = 0.03
CPU_BUSY = 0.8
CPU_FULL = 0.9
WAITING_SHARE = 0.25
CHECKED_OUT_SHARE = 0.8


@dataclass(frozen=True, slots=True)
class Evidence:
    """What the verdict looks at: ready pods, this tick's sample (None without a pooler), and what is known above.

    `blocked_above`: a larger size was tried lately and did not pay; `size`: connections over all pooler pods.
    """

    pooler_pods: tuple[PoolerPod, ...] | None
    api_pods: tuple[ApiPod, ...]
    sample: Maybe[Sample]
    size: int
    blocked_above: bool


def judge(evidence: Evidence, beliefs: Beliefs) -> Verdict:
    """The verdict of one tick; data is known to be fresh."""
    if evidence.pooler_pods is not None:
        verdict = _database_side(evidence, evidence.pooler_pods, beliefs)
        if verdict is not None:
            return verdict
    return _service_side(evidence.api_pods)


def _unknown(what: str) -> Verdict:
    return Verdict(Bottleneck.UNKNOWN, f"not enough evidence: {what}")


def _database_side(evidence: Evidence, pods: tuple[PoolerPod, ...], beliefs: Beliefs) -> Verdict | None:
    """A verdict about pooler and database; None where neither has a queue."""
    if not pods:
        return _unknown("no pooler pod is ready")
    waiting = done = 0.0
    for pod in pods:
        values = (pod.clients_waiting, pod.assignments_per_second, pod.transactions_per_second)
        for value in values:
            if isinstance(value, Absent):
                return _unknown(f"{pod.name}: {value.reason}")
        waiting += present(pod.clients_waiting) or 0.0
        done += (present(pod.assignments_per_second) or 0.0) + (present(pod.transactions_per_second) or 0.0)
    if waiting >= 1 and done <= 0:
        return Verdict(Bottleneck.STALLED, f"{waiting:.0f} clients wait and the database answers none of them")
    slowdown = beliefs.slowdown
    if slowdown.degraded and slowdown.g is not None:
        slower = 100 * math.expm1(slowdown.g)
        return Verdict(Bottleneck.DEGRADED, f"queries take {slower:.0f}% longer than before at the same pool size")
    if isinstance(evidence.sample, Absent):
        return _unknown(evidence.sample.reason)
    if not evidence.sample.saturated:
        return None
    rate = evidence.sample.rate
    if evidence.blocked_above:
        return Verdict(
            Bottleneck.DATABASE,
            f"clients wait at {evidence.size} connections ({rate:.0f} transactions/s) and more of them gave "
            f"less than {100 * MIN_GAIN:.0f}% more",
        )
    return Verdict(
        Bottleneck.POOLER,
        f"clients wait for a server connection at pool size {evidence.size} ({rate:.0f} transactions/s)",
    )


def _service_side(pods: tuple[ApiPod, ...]) -> Verdict:
    if not pods:
        return _unknown("no API pod is ready")
    waiting = checked_out = size = cores = limit = 0.0
    for pod in pods:
        values = (
            pod.checkout_wait_seconds_per_second, pod.checked_out, pod.pool_size, pod.cpu_cores, pod.cpu_limit_cores,
        )  # fmt: skip
        for value in values:
            if isinstance(value, Absent):
                return _unknown(f"{pod.name}: {value.reason}")
        waiting += present(pod.checkout_wait_seconds_per_second) or 0.0
        checked_out += present(pod.checked_out) or 0.0
        size += present(pod.pool_size) or 0
        cores += present(pod.cpu_cores) or 0.0
        limit += present(pod.cpu_limit_cores) or 0.0
    share = cores / limit if limit > 0 else 0.0
    busy = f"the API pods use {100 * share:.0f}% of their CPU limit"
    if share >= CPU_FULL:
        return Verdict(Bottleneck.REPLICAS, busy)
    if size > 0 and waiting >= WAITING_SHARE * size and checked_out >= CHECKED_OUT_SHARE * size:
        sentence = f"{waiting:.1f} requests wait for one of the {size:.0f} connections of the API's own pools"
        return Verdict(Bottleneck.APP_POOL, sentence)
    if share >= CPU_BUSY:
        return Verdict(Bottleneck.REPLICAS, busy)
    return Verdict(Bottleneck.NONE, f"no queue; {busy}")
