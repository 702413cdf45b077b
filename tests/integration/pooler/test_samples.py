"""The metrics of CONTRACTS.md against the real PgBouncer: names, sums, and when a second counts as saturated."""

from __future__ import annotations

import asyncio

from deploy.servers.postgres import Postgres
from tests.integration.pooler.load import Load
from tests.integration.pooler.pod import Pod, wait_for
from tests.integration.pooler.test_confirmation import hold_transactions

COUNTERS = ("queries", "query_seconds", "xacts", "xact_seconds", "wait_seconds", "assignments")


def test_every_metric_of_the_contract_is_there_and_counts(catalog: Postgres) -> None:
    with Pod(catalog) as pod:
        pod.publish(1, pool_size=3)
        pod.start_agent()
        wait_for("readiness", pod.is_ready)
        with Load(pod.app_login, clients=6) as load:
            wait_for("transactions", lambda: load.done > 300)
        wait_for("all are counted", lambda: (pod.value("trimtab_pooler_xacts_total") or 0) >= load.done)
        for name in COUNTERS:
            value = pod.value(f"trimtab_pooler_{name}_total")
            assert value is not None, name
            assert value > 0, name
        assert pod.value("trimtab_pooler_pool_size") == 3
        assert pod.value("trimtab_pooler_max_wait_seconds") is not None
        servers = {labels["state"] for labels, _ in pod.series("trimtab_pooler_servers")}
        assert servers == {"active", "active_cancel", "being_canceled", "idle", "used", "tested", "login"}
        clients = {labels["state"] for labels, _ in pod.series("trimtab_pooler_clients")}
        assert clients == {"active", "waiting", "active_cancel_req", "waiting_cancel_req"}
        assert pod.value("process_cpu_seconds_total") is not None


def test_saturated_seconds_appear_while_clients_wait_and_not_else(catalog: Postgres) -> None:
    with Pod(catalog) as pod:
        pod.publish(1, pool_size=2)
        pod.start_agent()
        wait_for("readiness", pod.is_ready)
        wait_for("the size's series", lambda: pod.value("trimtab_pooler_saturated_seconds_total", size="2") == 0)
        with Load(pod.app_login, clients=1, think_seconds=0.01) as light:
            wait_for("samples of light load", lambda: (pod.value("trimtab_pooler_xacts_total") or 0) > 100)
        assert light.failures == []
        assert pod.value("trimtab_pooler_saturated_seconds_total", size="2") == 0
        with Load(pod.app_login, clients=16) as load:
            wait_for(
                "saturated seconds", lambda: (pod.value("trimtab_pooler_saturated_seconds_total", size="2") or 0) > 1
            )
        transactions = pod.value("trimtab_pooler_saturated_transactions_total", size="2")
        assert transactions is not None
        assert 0 < transactions <= load.done + light.done + 16


async def test_the_longest_wait_shows_a_stall_that_the_counters_do_not(catalog: Postgres) -> None:
    with Pod(catalog, pool_size=1) as pod:
        pod.start_agent()
        await asyncio.to_thread(wait_for, "readiness", pod.is_ready)
        (holder,) = await hold_transactions(pod.app_login, 1)
        waiter = asyncio.create_task(hold_transactions(pod.app_login, 1))
        await asyncio.to_thread(
            wait_for, "a wait of 1.5 s", lambda: (pod.value("trimtab_pooler_max_wait_seconds") or 0) > 1.5
        )
        await holder.execute("COMMIT")
        for connection in [holder, *await waiter]:
            await connection.close()
