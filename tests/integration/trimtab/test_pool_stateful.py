"""Any sequence of resizes, checkouts in both ways, cancellations, timeouts and killed backends, on real servers.

What may happen and what must hold: pool_machine.py.
"""

from __future__ import annotations

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis.errors import Flaky
from hypothesis.stateful import run_state_machine_as_test

from deploy.servers.pgbouncer import PgBouncer
from deploy.servers.postgres import Postgres
from tests.integration.trimtab.pool_load import seen_by
from tests.integration.trimtab.pool_machine import PoolMachine

LONG_RESIZES = 10_000


@pytest.fixture(params=["direct", "pooled"])
def machine(
    request: pytest.FixtureRequest, postgres: Postgres, pgbouncer: PgBouncer, database: str
) -> type[PoolMachine]:
    direct = request.param == "direct"
    reached = postgres.login(database=database) if direct else request.getfixturevalue("pooled")

    def kill_one_backend(which: int) -> set[int]:
        pids = [row[0] for row in postgres.execute(
            f"SELECT pid FROM pg_stat_activity WHERE datname = '{database}' ORDER BY pid"
        )]  # fmt: skip
        if not pids:
            return set()
        pid = int(str(pids[which % len(pids)]))
        postgres.execute(f"SELECT pg_terminate_backend({pid})")
        return {pid}

    class Machine(PoolMachine):
        login = reached
        kill_one = staticmethod(kill_one_backend) if direct else None
        connections = staticmethod(seen_by(postgres, pgbouncer, reached, database))

    return Machine


def play(machine: type[PoolMachine], *, examples: int, steps: int) -> None:
    machine.failures.clear()
    try:
        run_state_machine_as_test(
            machine,
            settings=settings(
                max_examples=examples,
                stateful_step_count=steps,
                deadline=None,
                suppress_health_check=list(HealthCheck),
                phases=[Phase.generate],  # a failure is seldom the same a second time, so there is nothing to shrink
            ),
        )
    except Flaky:
        raise machine.failures[0] from None


def test_nothing_is_lost_whatever_happens(machine: type[PoolMachine]) -> None:
    play(machine, examples=5, steps=25)


@pytest.mark.long
@pytest.mark.timeout(600)
def test_nothing_is_lost_in_10000_resizes(machine: type[PoolMachine]) -> None:
    while machine.resizes < LONG_RESIZES:
        play(machine, examples=20, steps=60)
