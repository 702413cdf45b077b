"""Did the last change make things worse? Then it is undone, and not tried again for a while.

Formula: y = ln(mean W + H), W = wait seconds/assignments, H = transaction seconds/transactions;
         z = (mean y of seconds 15 to 60 after confirmation - mean before)/sd of such means before.
Units:   ln seconds; shares of 1.
Regime:  armed only from confirmation to 75 s after it (an always-on test gives a false alarm every few minutes). At
         least 6 ticks before the change and 2 after. Growing raises H and shrinking lowers it, and under a rising load
         W grows without anybody's fault: so beside z > 3 the sum has to be 25% longer and the throughput not 3%
         higher. Or: the share of bad requests beyond 5 x the objective and twice what it was, in 2 scrapes.
Source:  CONTROL.md, Verify. This first version has no regression on lambda and mix; the throughput stands in for it.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass, replace

from tuner.decide.memory import Block, Memory, Pending
from tuner.observation import ApiPod, PoolerPod, present

FIRST_SECONDS = 15.0
LAST_SECONDS = 60.0
UNDO_WITHIN_SECONDS = 75.0
MIN_BEFORE = 6
MIN_AFTER = 2
Z_LIMIT = 3.0
LEAST_SD = 0.05
WORSE = math.log(1.25)
MORE_RATE = 1.03
BAD_FACTOR = 5.0
BAD_SCRAPES = 2


@dataclass(frozen=True, slots=True)
class Judgement:
    """`undo` is None while the evidence is not complete. `conclusive`: whether there was enough of it to tell."""

    undo: bool | None
    sentence: str
    conclusive: bool = True


def block_of(poolers: tuple[PoolerPod, ...], apis: tuple[ApiPod, ...], now: float) -> Block | None:
    """This tick for the check; None where a pooler pod does not show it or nothing ran."""
    sums = [0.0] * 4
    for pod in poolers:
        values = (
            pod.wait_seconds_per_second, pod.assignments_per_second,
            pod.transaction_seconds_per_second, pod.transactions_per_second,
        )  # fmt: skip
        for index, value in enumerate(values):
            known = present(value)
            if known is None:
                return None
            sums[index] += known
    wait, assignments, held, transactions = sums
    if assignments <= 0 or transactions <= 0:
        return None
    seconds = wait / assignments + held / transactions
    if seconds <= 0:
        return None
    return Block(now, math.log(seconds), transactions, bad_share(apis))


def bad_share(apis: tuple[ApiPod, ...]) -> float | None:
    """Share of requests that were slow or failed; None where a pod does not say or nothing arrived."""
    bad = arrivals = 0.0
    for pod in apis:
        some, all_of_them = present(pod.bad_per_second), present(pod.arrivals_per_second)
        if some is None or all_of_them is None:
            return None
        bad, arrivals = bad + some, arrivals + all_of_them
    return min(1.0, bad / arrivals) if arrivals > 0 else None


def judge(pending: Pending, memory: Memory, objective_share: float, now: float) -> Judgement:
    """Whether the pending change has to be undone. `objective_share`: the share of bad requests that is allowed."""
    if pending.confirmed_at is None:
        return Judgement(None, "not confirmed by every pod")
    before = [block for block in memory.window if block.time < pending.started]
    first, last = pending.confirmed_at + FIRST_SECONDS, pending.confirmed_at + LAST_SECONDS
    after = [block for block in memory.window if first <= block.time <= last]
    if _bad(before, after, objective_share):
        return Judgement(True, "the share of bad requests rose beyond 5 times the objective")
    if now < last:
        return Judgement(None, f"judged {LAST_SECONDS:.0f} s after its confirmation")
    if len(before) < MIN_BEFORE or len(after) < MIN_AFTER:
        return Judgement(False, "too little was measured to judge it", conclusive=False)
    change = _mean(b.log_seconds for b in after) - _mean(b.log_seconds for b in before)
    z = change / _sd_of_means(before, len(after))
    faster = _mean(b.rate for b in after) >= MORE_RATE * _mean(b.rate for b in before[-len(after) :])
    sentence = f"waiting and holding a connection takes {100 * math.expm1(change):+.0f}% (z = {z:.1f})"
    return Judgement(z > Z_LIMIT and change > WORSE and not faster, sentence)


def watched(memory: Memory, block: Block | None) -> Memory:
    """With this tick's block."""
    return memory if block is None else replace(memory, window=(*memory.window, block))


def _bad(before: list[Block], after: list[Block], objective_share: float) -> bool:
    was = [b.bad_share for b in before[-MIN_BEFORE:] if b.bad_share is not None]
    limit = max(BAD_FACTOR * objective_share, 2 * _mean(was) if was else 0.0)
    # A share cannot exceed 1: where half of it was bad before, this test has nothing to say.
    if not was or limit >= 1:
        return False
    return sum(1 for b in after if b.bad_share is not None and b.bad_share > limit) >= BAD_SCRAPES


def _sd_of_means(blocks: list[Block], count: int) -> float:
    """Standard deviation of means of `count` successive ticks; of single ticks where there are too few such means."""
    values = [block.log_seconds for block in blocks]
    if len(values) >= MIN_BEFORE * count:
        values = [_mean(values[i : i + count]) for i in range(len(values) % count, len(values), count)]
    mean = _mean(values)
    return max(LEAST_SD, math.sqrt(sum((v - mean) ** 2 for v in values) / max(1, len(values) - 1)))


def _mean(values: Iterable[float]) -> float:
    listed = list(values)
    return sum(listed) / len(listed)
