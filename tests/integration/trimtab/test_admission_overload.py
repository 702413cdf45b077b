"""AIMD earns its place: a database ten times slower under three times its capacity, and back."""

from __future__ import annotations

import asyncio

import pytest

from deploy.servers.postgres import Postgres
from tests.integration.trimtab.overload import PATIENCE_SECONDS, Figures, fill, service
from trimtab.admission import AimdRule

SLOW_SECONDS = 24.0
JUDGED_SECONDS = 8.0
RECOVERED_SECONDS = 5.0


async def in_an_emergency(
    postgres: Postgres, database: str, ceiling: int, per_second: float, rule: AimdRule | None
) -> tuple[Figures, Figures, int]:
    """While the index is gone (the last part), after it is back, and the limit in force before that."""
    async with service(postgres, database) as subject:
        async with subject.running(ceiling, rule) as (port, limiter):
            await subject.slow_down()
            _, end = await subject.load(port, per_second, SLOW_SECONDS)
            limit = limiter.limit
            await subject.recover()
            await asyncio.sleep(PATIENCE_SECONDS)
            back, back_end = await subject.load(port, per_second, RECOVERED_SECONDS)
        slow = Figures.of(subject.answers, subject.reads, end - JUDGED_SECONDS, end)
        return slow, Figures.of(subject.answers, subject.reads, back, back_end), limit


@pytest.mark.long
@pytest.mark.timeout(400)
async def test_a_slow_database_answers_in_time_with_aimd_and_hardly_anybody_without(
    postgres: Postgres, database: str
) -> None:
    fill(postgres, database)
    async with service(postgres, database) as subject:
        await subject.slow_down()
        capacity = await subject.capacity()
        await subject.recover()
    ceiling, per_second = round(4 * capacity), 3 * capacity
    fixed, fixed_after, _ = await in_an_emergency(postgres, database, ceiling, per_second, None)
    moved, moved_after, limit = await in_an_emergency(postgres, database, ceiling, per_second, AimdRule())
    async with service(postgres, database) as subject:
        await subject.slow_down()
        later = await subject.capacity()
    figures = (
        f"capacity {capacity:.1f}/s, later {later:.1f}/s\nfixed {ceiling}: {fixed}\nAIMD, {limit} in the end: {moved}"
    )
    if not 0.5 < later / capacity < 1.5:
        pytest.skip(f"the machine's speed changed too much to compare: {figures}")
    assert limit < ceiling, figures
    assert fixed.useful_share < 0.3, figures
    assert moved.useful_share > 0.5, figures
    assert moved.good_per_second > 2 * fixed.good_per_second, figures
    for after in (fixed_after, moved_after):
        assert after.good_per_second > 0.95 * after.offered_per_second, f"not recovered: {after}"
