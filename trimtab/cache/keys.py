"""How many keys a group has and how often each is read and written: a joint histogram over a sample of the keys.

Formula: a key is sampled when the low b bits of its hash are 0; counts of sampled keys stand for 2^b times as many.
Units:   keys, over windows of WINDOW_SECONDS; reads are lookups by this process, writes its invalidations.
Regime:  with b = 0, up to about MAX_SAMPLED / 2 keys, exact. Beyond it b grows until the sample fits, and n sampled
         keys estimate their number with a standard error of at most 1/sqrt(n), n >= MAX_SAMPLED / 4 (so 3.2%). A bucket
         of few sampled keys is as uncertain as that is few: of the very hottest keys the sample may hold none.
Source:  sampling by hash is the KMV/"adaptive sampling" of Flajolet 1990, "On adaptive sampling".

Keys are kept as their hash only. Buckets are powers of two: bucket 4 holds the keys with 4 to 7.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass

WINDOW_SECONDS = 60.0
MAX_SAMPLED = 4096
"""Counters of one group at most: keys that are read and written have two."""

MAX_READS_BUCKET = 1 << 16
MAX_WRITES_BUCKET = 1 << 10
"""The last buckets are open, so that the number of series is bounded (in practice some 30 a group)."""


@dataclass(frozen=True, slots=True)
class KeyHistogram:
    """Estimated keys by (reads, writes): the lower bounds of their buckets. The sum is the estimated number of keys."""

    keys: Mapping[tuple[int, int], int]
    window_seconds: float


class KeySample:
    """The sample of one group. The caller asks `hash(key) & mask` first: 0 means sampled. One thread writes."""

    __slots__ = ("_complete", "_ends", "_reads", "_window_seconds", "_writes", "mask")

    def __init__(self, window_seconds: float = WINDOW_SECONDS) -> None:
        self.mask = 0
        self._window_seconds = window_seconds
        self._ends = 0.0
        self._reads: dict[int, int] = {}
        self._writes: dict[int, int] = {}
        self._complete: KeyHistogram | None = None

    def read(self, hashed: int, now: float) -> None:
        """Count a read of a sampled key."""
        if now >= self._ends:
            self._turn(now)
        count = self._reads.get(hashed)
        if count is None:
            self._reads[hashed] = 1
            self._fit()
        else:
            self._reads[hashed] = count + 1

    def write(self, hashed: int, now: float) -> None:
        """Count a write of a sampled key."""
        if now >= self._ends:
            self._turn(now)
        self._writes[hashed] = self._writes.get(hashed, 0) + 1
        self._fit()

    def histogram(self, now: float) -> KeyHistogram | None:
        """The last complete window. None: none was completed yet. Changes nothing, so that any thread may ask."""
        if not self._ends or now < self._ends:
            return self._complete
        if now < self._ends + self._window_seconds:  # complete, and nobody came since to turn it
            return self._counted()
        return KeyHistogram({}, self._window_seconds)

    def _counted(self) -> KeyHistogram:
        reads, writes, factor = self._reads.copy(), self._writes.copy(), self.mask + 1
        keys: Counter[tuple[int, int]] = Counter()
        for hashed in reads.keys() | writes.keys():
            bucket = (
                _bucket(reads.get(hashed, 0), MAX_READS_BUCKET),
                _bucket(writes.get(hashed, 0), MAX_WRITES_BUCKET),
            )
            keys[bucket] += factor
        return KeyHistogram(dict(keys), self._window_seconds)

    def _turn(self, now: float) -> None:
        """Begin a window. Where the sample would have had room for twice as many keys, sample twice as many."""
        self._complete = self.histogram(now)
        if len(self._reads) + len(self._writes) <= MAX_SAMPLED // 4:
            self.mask >>= 1
        self._reads = {}
        self._writes = {}
        self._ends = now + self._window_seconds

    def _fit(self) -> None:
        while len(self._reads) + len(self._writes) > MAX_SAMPLED:
            self.mask = 2 * self.mask + 1
            self._reads = {hashed: count for hashed, count in self._reads.items() if not hashed & self.mask}
            self._writes = {hashed: count for hashed, count in self._writes.items() if not hashed & self.mask}


def _bucket(count: int, largest: int) -> int:
    """The largest power of two that is at most the count; 0 for 0."""
    return min(1 << (count.bit_length() - 1), largest) if count else 0
