"""The pool of one API pod and its admission ceiling: enough to keep its share of the pooler busy, little more.

Formula: s = C*/pods (or C where C* is unknown), size = ceil(s + 2 sqrt s); admission ceiling = 2 x size.
Units:   connections a pod, requests a pod.
Regime:  with a pooler the queue belongs there, so a pod's pool is a little larger than its share: 2 standard
         deviations of a Poisson share. A change of C or of pods re-splits in the same document. Where tasks still
         wait at the app while the pooler is idle, it grows by half. The ceiling is only ever raised: lowering it sheds
         requests, which no measurement justifies yet.
         Without a pooler the pool itself carries the budget; it grows by half while tasks wait at it.
Source:  CONTROL.md, Pool size, last line; reasoned, not measured.
"""

from __future__ import annotations

import math

from tuner.crds.status import Bottleneck, KnobName
from tuner.decide.decision import Reason, Verdict
from tuner.decide.proposal import Proposal, stay

POOL = KnobName.API_POOL_SIZE.value
CONCURRENCY = KnobName.API_CONCURRENCY.value
SHRINK_BELOW = 0.8


def share_of(connections: int, pods: int) -> int:
    """Size of one API pod's pool when `pods` of them share `connections`."""
    share = connections / max(1, pods)
    return math.ceil(share + 2 * math.sqrt(share))


def propose_pool(current: int, connections: int | None, pods: int, verdict: Verdict, resplit: bool) -> Proposal:
    """The pool of a pod. `connections`: the pooler's size after this plan, None without a pooler.

    `resplit`: this plan changes that size or the number of pods, so the pools follow in the same document.
    """
    waits = verdict.bottleneck is Bottleneck.APP_POOL
    grown = math.ceil(1.5 * current)
    if connections is None:
        if waits:
            return Proposal(POOL, current, grown, Reason.APP_POOL_WAITS, verdict.evidence, urgent=True)
        return stay(POOL, current, Reason.NOT_BINDING, verdict.evidence)
    wanted = share_of(connections, pods)
    split = f"{connections} server connections over {pods} pods make {wanted} a pod"
    if waits:
        wanted = max(wanted, grown)
        message = f"{verdict.evidence} while the pooler has none waiting"
        return Proposal(POOL, current, wanted, Reason.APP_POOL_WAITS, message, urgent=True)
    if wanted > current and (resplit or verdict.bottleneck is Bottleneck.POOLER):
        return Proposal(POOL, current, wanted, Reason.FOLLOWS_POOL, split, urgent=True)
    if wanted < SHRINK_BELOW * current and resplit:
        return Proposal(POOL, current, wanted, Reason.FOLLOWS_POOL, split)
    return stay(POOL, current, Reason.STEADY, split)


def propose_concurrency(current: int, pool_size: int) -> Proposal:
    """The admission ceiling of a pod whose pool is `pool_size` after this plan."""
    wanted = 2 * pool_size
    if wanted <= current:
        return stay(
            CONCURRENCY, current, Reason.STEADY, f"{current} requests a pod cover its pool of {pool_size} twice"
        )
    message = f"a pool of {pool_size} serves up to {wanted} requests at a time"
    return Proposal(CONCURRENCY, current, wanted, Reason.FOLLOWS_POOL, message, urgent=True)
