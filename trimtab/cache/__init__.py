"""A read-through cache with two tiers, whose TTLs are knobs.

Reading order: groups, entry, memory, redis_tier, readthrough.
"""

from trimtab.cache.groups import CacheGroup, Invalidation
from trimtab.cache.readthrough import Cache

__all__ = ["Cache", "CacheGroup", "Invalidation"]
