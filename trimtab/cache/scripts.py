"""What must happen in one step inside Redis. A version is '' for groups that nobody invalidates.

A lease is the version under which its holder makes the answer, followed by the holder's token: a write, which changes
the version, thereby makes the lease of a maker who began before it worthless, and a new one is given at once.
"""

from __future__ import annotations

_VERSION_NOW = """
local version = ''
if KEYS[3] then
  local none = string.rep('\\0', 8)
  version = (redis.call('GET', KEYS[3]) or none) .. (redis.call('GET', KEYS[4]) or none)
end
"""

_MAKE_GROUP_MARK = """
if KEYS[3] then redis.call('SET', KEYS[3], ARGV[3], 'NX') end
"""

# KEYS: entry, lease, and where versioned group mark, key mark. ARGV: token, life of the lease in ms, a random mark.
# Gives {whether the caller has the lease now, version, entry or nil}.
ACQUIRE = (
    _MAKE_GROUP_MARK
    + _VERSION_NOW
    + """
local leased = 0
local lease = redis.call('GET', KEYS[2])
if not lease or string.sub(lease, 1, #version) ~= version then
  redis.call('SET', KEYS[2], version .. ARGV[1], 'PX', ARGV[2])
  leased = 1
end
return {leased, version, redis.call('GET', KEYS[1])}
"""
)

_RELEASE = """
local lease = redis.call('GET', KEYS[2])
if lease and ARGV[1] ~= '' and string.sub(lease, -#ARGV[1]) == ARGV[1] then redis.call('DEL', KEYS[2]) end
"""

# KEYS as above. ARGV: token ('' for none), version noted before the making, entry, its life in Redis in ms.
# Gives whether the entry was stored. The lease of the token is released either way.
STORE = (
    _VERSION_NOW
    + _RELEASE
    + """
if version ~= ARGV[2] then return 0 end
redis.call('SET', KEYS[1], ARGV[3], 'PX', ARGV[4])
return 1
"""
)

# KEYS: entry (not touched), lease. ARGV: token.
RELEASE = _RELEASE + "return 1"
