"""What must happen in one step inside Redis. A version is '' for groups that nobody invalidates.

A lease is the version under which its holder makes the answer, followed by the holder's token: a write, which changes
the version, thereby makes the lease of a maker who began before it worthless, and a new one is given at once.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from redis.asyncio import Redis
from redis.exceptions import NoScriptError, RedisError


@dataclass(frozen=True, slots=True)
class Script:
    """A script and the name under which Redis keeps it."""

    text: str
    sha: str = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "sha", hashlib.sha1(self.text.encode(), usedforsecurity=False).hexdigest())


@dataclass(frozen=True, slots=True)
class Call:
    """A script with its KEYS and ARGV."""

    script: Script
    keys: Sequence[str]
    arguments: Sequence[bytes | int]


async def run(client: Redis, calls: Sequence[Call]) -> list[Any]:
    """The answers of the scripts, in one message; the error instead of the answer of those that failed.

    Raises what fails the message, and the error of the scripts if all failed: then it is Redis that fails.
    """
    pipeline = client.pipeline(transaction=False)
    for call in calls:
        pipeline.execute_command("EVALSHA", call.script.sha, len(call.keys), *call.keys, *call.arguments)
    answers = await pipeline.execute(raise_on_error=False)
    unknown = [number for number, answer in enumerate(answers) if isinstance(answer, NoScriptError)]
    if unknown:  # a Redis that was started since; EVAL makes it know them
        pipeline = client.pipeline(transaction=False)
        for call in (calls[number] for number in unknown):
            pipeline.execute_command("EVAL", call.script.text, len(call.keys), *call.keys, *call.arguments)
        for number, answer in zip(unknown, await pipeline.execute(raise_on_error=False), strict=True):
            answers[number] = answer
    if answers and all(isinstance(answer, RedisError) for answer in answers):
        raise answers[0]
    return list(answers)


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
ACQUIRE = Script(
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
STORE = Script(
    _VERSION_NOW
    + _RELEASE
    + """
if version ~= ARGV[2] then return 0 end
redis.call('SET', KEYS[1], ARGV[3], 'PX', ARGV[4])
return 1
"""
)

# KEYS: entry (not touched), lease. ARGV: token.
RELEASE = Script(_RELEASE + "return 1")

# KEYS: entry, lease, key mark. ARGV: a random mark, its life in s. The entry goes first: a Redis that is full refuses
# the mark, and without one the old entry is gone even then. The lease goes too, for the sake of groups without
# versions: who asks from now on waits for nobody who read before.
INVALIDATE = Script("""
redis.call('DEL', KEYS[1], KEYS[2])
redis.call('SET', KEYS[3], ARGV[1], 'EX', ARGV[2])
return 1
""")
