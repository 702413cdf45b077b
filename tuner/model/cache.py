"""Cache groups: hit ratio, and the writes a key sees, each as an exponential mean of rates.

Formula: hit ratio = hits/(hits + misses); mu = writes per second/keys read, the mean over the keys of a group;
         beyond = in-process TTL + stale window, the seconds that an entry may outlive its TTL by.
Units:   lookups/s, 1/s, s.
Regime:  groups with fewer than MIN_LOOKUPS lookups/s are not judged. mu weighted by hits per key needs the joint
         histogram that `trimtab_cache_keys` sums up to; this version reads the sum. Pods that differ, as in a rollout,
         count as the most careful of them: invalidated on write only where every pod says so, the longest beyond.
Source:  CONTROL.md, TTL.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from tuner.observation import ApiPod, CacheTraffic, present

WEIGHT = 0.3
MIN_LOOKUPS = 0.5
MAX_GROUPS = 32
MAX_AUDITS = 1e6
ON_WRITE = "OnWrite"
"""Label `invalidation` of a group whose writes invalidate their entries at once."""


@dataclass(frozen=True, slots=True)
class GroupBelief:
    group: str
    hits_per_second: float
    misses_per_second: float
    writes_per_key: float | None = None
    stale: float = 0.0
    audited: float = 0.0
    invalidated_on_write: bool = False
    beyond_seconds: float = 0.0

    @property
    def lookups_per_second(self) -> float:
        return self.hits_per_second + self.misses_per_second

    @property
    def hit_ratio(self) -> float:
        return self.hits_per_second / self.lookups_per_second if self.lookups_per_second > 0 else 0.0


@dataclass(frozen=True, slots=True)
class Caches:
    groups: tuple[GroupBelief, ...] = ()

    def of(self, group: str) -> GroupBelief | None:
        return next((belief for belief in self.groups if belief.group == group), None)

    def learn(self, pods: tuple[ApiPod, ...], interval_seconds: float) -> Caches:
        """After one tick; groups that no pod showed keep their belief."""
        seen: dict[str, list[CacheTraffic]] = {}
        for pod in pods:
            for traffic in present(pod.cache) or ():
                seen.setdefault(traffic.group, []).append(traffic)
        beliefs = {belief.group: belief for belief in self.groups}
        for group, parts in seen.items():
            beliefs[group] = _learn(beliefs.get(group), group, parts, interval_seconds)
        return replace(self, groups=tuple(sorted(beliefs.values(), key=lambda b: b.group))[:MAX_GROUPS])


def _learn(old: GroupBelief | None, group: str, parts: list[CacheTraffic], interval_seconds: float) -> GroupBelief:
    hits = sum(part.hits_per_second for part in parts)
    misses = sum(part.misses_per_second for part in parts)
    writes = sum(present(part.writes_per_second) or 0.0 for part in parts)
    keys = max((present(part.keys) or 0.0 for part in parts), default=0.0)
    per_key = writes / keys if keys > 0 else None
    stale = sum(present(part.stale_answers) or 0.0 for part in parts)
    audited = sum(present(part.audited_answers) or 0.0 for part in parts)
    on_write = all(present(part.invalidation) == ON_WRITE for part in parts)
    beyond = max((present(part.memory_seconds) or 0.0) + (present(part.window_seconds) or 0.0) for part in parts)
    if old is None:
        return GroupBelief(group, hits, misses, per_key, stale, audited, on_write, beyond)
    # Audits are forgotten with a time constant of 10 minutes, the window that the limit is judged over.
    keep = max(0.0, 1 - interval_seconds / 600)
    return GroupBelief(
        group=group,
        hits_per_second=old.hits_per_second + WEIGHT * (hits - old.hits_per_second),
        misses_per_second=old.misses_per_second + WEIGHT * (misses - old.misses_per_second),
        writes_per_key=_mean(old.writes_per_key, per_key),
        stale=min(MAX_AUDITS, keep * old.stale + stale),
        audited=min(MAX_AUDITS, keep * old.audited + audited),
        invalidated_on_write=on_write,
        beyond_seconds=beyond,
    )


def _mean(old: float | None, new: float | None) -> float | None:
    if old is None or new is None:
        return new if old is None else old
    return old + WEIGHT * (new - old)
