"""TTL of a cache group: as long as staleness allows, raised only while the database has something to gain.

Formula: mu = writes per second and key, eps = maxStalePercent/100, beyond = in-process TTL + stale window.
         Groups that no write invalidates: staleness = mu (T + beyond)/2, T_stale = 2 eps/mu - beyond.
         Groups invalidated on write: an entry is stale for delta after a write, whatever T: staleness = mu delta;
         no T_stale while that is below eps, else the least T.
         T <= min(T_stale, maxSeconds); up x2 while the staleness predicted is below half the limit, else +20%, at
         least 1 s; down at once. The limit is broken when the lower 95% Wilson bound of the audited share exceeds it.
Units:   seconds; shares of 1.
Regime:  raised only while the database is at least half busy, and for groups with misses worth saving. Writes that do
         not pass through the service, and invalidations that are lost, are not predicted: there the audit alone bounds
         T, and where nothing is audited maxSeconds. A limit of 100% is none (mu T/2 is a share only while it is small).
Source:  CONTROL.md, TTL; E. B. Wilson 1927 for the bound.
"""

from __future__ import annotations

import math

from tuner.crds.knobs import CacheTTL
from tuner.crds.status import ttl_knob
from tuner.decide.decision import Prediction, Reason
from tuner.decide.proposal import Proposal, stay
from tuner.model.cache import MIN_LOOKUPS, GroupBelief

BUSY = 0.5
WORTH_SAVING = 0.02
MIN_AUDITS = 30
DELTA_SECONDS = 0.02
"""From a write to its entry being gone (CONTROL.md; measured there)."""
Z_95 = 1.96


def wilson_lower(stale: float, audited: float) -> float:
    """Lower end of the 95% confidence interval of a share; 0 without audits."""
    if audited <= 0:
        return 0.0
    share = min(1.0, stale / audited)
    square = Z_95 * Z_95
    centre = share + square / (2 * audited)
    spread = Z_95 * math.sqrt(share * (1 - share) / audited + square / (4 * audited * audited))
    return max(0.0, (centre - spread) / (1 + square / audited))


def predicted_staleness(belief: GroupBelief, ttl_seconds: float) -> float:
    """Share of the answers that are stale at that TTL, by the formula above; 0 where writes by key are unknown."""
    mu = belief.writes_per_key or 0.0
    return mu * (DELTA_SECONDS if belief.invalidated_on_write else (ttl_seconds + belief.beyond_seconds) / 2)


def longest(limits: CacheTTL, belief: GroupBelief) -> int:
    """min(T_stale, maxSeconds) in whole seconds, never below minSeconds."""
    mu, allowed = belief.writes_per_key or 0.0, limits.max_stale_percent / 100
    if mu <= 0 or allowed >= 1:
        return limits.max_seconds
    if belief.invalidated_on_write:
        return limits.max_seconds if predicted_staleness(belief, limits.max_seconds) < allowed else limits.min_seconds
    stale_after = 2 * allowed / mu - belief.beyond_seconds
    return max(limits.min_seconds, min(limits.max_seconds, math.floor(stale_after)))


def propose(current: int, limits: CacheTTL, belief: GroupBelief | None, busy: float | None) -> Proposal:
    """The TTL of one group. `busy`: share of the database's capacity in use, None where unknown."""
    knob = ttl_knob(limits.group)
    if current > limits.max_seconds:
        message = f"{current} s is longer than the policy now allows ({limits.max_seconds} s)"
        return Proposal(knob, current, limits.max_seconds, Reason.LIMIT_LOWERED, message, safety=True)
    if current < limits.min_seconds:
        message = f"{current} s is shorter than the policy's least ({limits.min_seconds} s)"
        return Proposal(knob, current, limits.min_seconds, Reason.BOUND, message)
    if belief is None:
        return stay(knob, current, Reason.MISSING_DATA, f"no lookups of group {limits.group} were seen")
    allowed = limits.max_stale_percent / 100
    broken = wilson_lower(belief.stale, belief.audited)
    if belief.audited >= MIN_AUDITS and broken > allowed and current > limits.min_seconds:
        message = (
            f"at least {100 * broken:.1f}% of the audited answers were stale, {limits.max_stale_percent}% are allowed"
        )
        wanted = max(limits.min_seconds, current // 2)
        return Proposal(knob, current, wanted, Reason.STALENESS_LIMIT, message, safety=True)
    most = longest(limits, belief)
    if most < current:
        message = f"entries older than {most} s are stale too often at the present writes"
        return Proposal(knob, current, most, Reason.STALENESS_LIMIT, message, safety=True)
    if most == current:
        return stay(knob, current, Reason.BOUND, f"{current} s is the longest that the limits allow")
    if busy is None:
        return stay(knob, current, Reason.NO_EVIDENCE, "how busy the database is cannot be told")
    if busy < BUSY:
        return stay(
            knob,
            current,
            Reason.STEADY,
            f"the database is {100 * busy:.0f}% busy; below {100 * BUSY:.0f}% nothing is gained",
        )
    if belief.lookups_per_second < MIN_LOOKUPS or 1 - belief.hit_ratio < WORTH_SAVING:
        return stay(knob, current, Reason.STEADY, f"{100 * belief.hit_ratio:.0f}% of the lookups hit already")
    staleness = predicted_staleness(belief, current)
    factor = 2.0 if allowed >= 1 or staleness < allowed / 2 or staleness == 0 else 1.2
    wanted = min(most, max(current + 1, math.floor(factor * current)))
    message = (
        f"the database is {100 * busy:.0f}% busy and {belief.misses_per_second:.1f} lookups/s of {limits.group} miss "
        f"({100 * belief.hit_ratio:.0f}% hit)"
    )
    prediction = Prediction(
        "hitRatioPercent", 100 * belief.hit_ratio, f"more than {100 * belief.hit_ratio:.0f}% of the lookups hit"
    )
    return Proposal(knob, current, wanted, Reason.DATABASE_BUSY, message, prediction=prediction)
