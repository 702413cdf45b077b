"""A read-through cache with two tiers, whose TTLs are knobs.

Reading order: groups, entry, held, memory, redis_tier, filling, readthrough; then refresh, leases, audit, keys.
"""

from trimtab.cache.groups import CacheGroup, Invalidation
from trimtab.cache.held import Held
from trimtab.cache.readthrough import Cache

__all__ = ["Cache", "CacheGroup", "Held", "Invalidation"]
