"""Which applications meet in which rows, under which load."""

from __future__ import annotations

from tests.bench.application import Side
from tests.bench.compare import Comparison, Contender
from tests.bench.load import Load
from tests.bench.stack import ITEMS, Stack

HOT_KEYS = 1_000
"""Enough that hardly two clients ask for the same one at a time, few enough to fill every cache quickly."""

ITEM = "/items/1"
PING = "/ping"


def comparisons(stack: Stack) -> list[Comparison]:
    """All of them, in the order in which they are run: those that write come last."""
    return [_database_reads(stack), _memory_hits(stack), _redis_hits(stack), _telemetry(), _mixed(stack)]


def _database_reads(stack: Stack) -> Comparison:
    def contender(side: Side) -> Contender:
        return Contender(side, lambda number: Load("items", (str(number), str(ITEMS))))

    environment = stack.direct()
    return Comparison(
        "database reads",
        contender(_ours("ours", "database_reads", environment)),
        {
            "db_read_vs_guide_orm": contender(_rival("guide_orm", environment)),
            "db_read_vs_raw_asyncpg": contender(_rival("raw_asyncpg", environment)),
        },
    )


def _memory_hits(stack: Stack) -> Comparison:
    environment = stack.direct()
    return Comparison(
        "hits in memory",
        _cached(_ours("ours", "cached_reads", {**environment, "BENCH_TIER": "memory"})),
        {
            "cached_read_l1_vs_ping": _ping(),
            "cached_read_l1_vs_guide_aiocache_memory": _cached(
                _rival("guide_aiocache", {**environment, "BENCH_CACHE": "memory"})
            ),
        },
    )


def _redis_hits(stack: Stack) -> Comparison:
    environment = stack.direct()
    return Comparison(
        "hits in Redis",
        _cached(_ours("ours", "cached_reads", {**environment, "BENCH_TIER": "redis"})),
        {
            "cached_read_redis_vs_guide_aiocache_redis": _cached(
                _rival("guide_aiocache", {**environment, "BENCH_CACHE": "redis"})
            )
        },
    )


def _telemetry() -> Comparison:
    def contender(name: str, factory: str) -> Contender:
        return Contender(_ours(name, factory, {}, PING), lambda number: Load("path", path=PING))

    # The least of all differences, so it takes the most rounds to see.
    rivals = {"telemetry_overhead": contender("without", "ping")}
    return Comparison("telemetry", contender("with", "ping_with_telemetry"), rivals, times=2, afresh=True)


def _mixed(stack: Stack) -> Comparison:
    token = stack.token()

    def contender(side: Side) -> Contender:
        return Contender(side, lambda number: Load("mix", (str(number), str(ITEMS), token)))

    return Comparison(
        "mixed",
        contender(Side("reference_api", None, "/readyz", stack.reference_api())),
        {"mixed_80_8_8_4_vs_guide": contender(_rival("guide_mixed", stack.pooled()))},
    )


def _cached(side: Side) -> Contender:
    return Contender(side, lambda number: Load("items", (str(number), str(HOT_KEYS))), fill_keys=HOT_KEYS)


def _ping() -> Contender:
    return Contender(_rival("ping", {}, PING), lambda number: Load("path", path=PING))


def _rival(name: str, environment: dict[str, str], ready_path: str = ITEM) -> Side:
    return Side(name, f"tests.bench.baselines.{name}:app", ready_path, environment)


def _ours(name: str, factory: str, environment: dict[str, str], ready_path: str = ITEM) -> Side:
    return Side(name, f"tests.bench.ours:{factory}", ready_path, environment, is_factory=True)
