"""What is acknowledged and when: only what PgBouncer has confirmed, only for a pod that the knobs count."""

from __future__ import annotations

import asyncio

import asyncpg

from deploy.servers.postgres import Login, Postgres
from tests.integration.pooler.load import Load
from tests.integration.pooler.pod import Pod, wait_for


async def hold_transactions(login: Login, count: int) -> list[asyncpg.Connection]:
    """`count` clients inside a transaction each, which holds a server."""
    connections = []
    for _ in range(count):
        connection = await asyncpg.connect(
            host=login.host, port=login.port, user=login.user, password=login.password, database=login.database
        )
        await connection.execute("BEGIN")
        await connection.fetchval("SELECT 1")
        connections.append(connection)
    return connections


async def test_a_shrink_is_acknowledged_only_when_the_busy_servers_are_gone(catalog: Postgres) -> None:
    with Pod(catalog) as pod:
        pod.publish(1, pool_size=6)
        pod.start_agent()
        await asyncio.to_thread(pod.wait_acknowledged, 1)
        held = await hold_transactions(pod.app_login, 6)

        pod.publish(2, pool_size=2)
        await asyncio.to_thread(wait_for, "the limits", lambda: pod.limits() == (2, 2))
        await asyncio.to_thread(wait_for, "RECONNECT", lambda: pod.reconnects() == 1)
        for left in (6, 5, 4, 3):
            await asyncio.to_thread(pod.wait_servers, left)
            assert pod.acknowledged() == 1, f"{left} servers are open, 2 are allowed"
            assert pod.is_ready(), "a pod that shrinks still serves"
            connection = held.pop()
            await connection.execute("COMMIT")
            await connection.close()
        await asyncio.to_thread(pod.wait_acknowledged, 2)
        for connection in held:
            await connection.execute("COMMIT")
            await connection.close()
        assert pod.reconnects() == 1


async def test_later_knobs_replace_a_shrink_that_is_not_confirmed(catalog: Postgres) -> None:
    with Pod(catalog) as pod:
        pod.publish(1, pool_size=5)
        pod.start_agent()
        await asyncio.to_thread(pod.wait_acknowledged, 1)
        held = await hold_transactions(pod.app_login, 5)
        pod.publish(2, pool_size=1)
        await asyncio.to_thread(wait_for, "the limits", lambda: pod.limits() == (1, 1))
        pod.publish(3, pool_size=5)
        await asyncio.to_thread(pod.wait_acknowledged, 3)
        for connection in held:
            await connection.execute("COMMIT")
            await connection.close()


def test_garbage_keeps_the_last_knobs(catalog: Postgres) -> None:
    with Pod(catalog) as pod:
        pod.publish(7, pool_size=4)
        pod.start_agent()
        pod.wait_acknowledged(7)
        for garbage in ("", "{", '{"schema": 1, "generation": 8, "pooler": {"poolSize": 0, "maxPods": 2}}'):
            errors = pod.value("trimtab_knobs_errors_total")
            assert errors is not None
            pod.knobs_path.write_text(garbage)
            pod.wait_errors_beyond(errors)
            assert pod.limits() == (4, 4)
            assert pod.acknowledged() == 7
            assert pod.is_ready()
        pod.knobs_path.unlink()
        pod.publish(8, pool_size=5)
        pod.wait_acknowledged(8)
        assert pod.limits() == (5, 5)


def test_a_pod_that_the_knobs_do_not_count_neither_serves_nor_acknowledges(catalog: Postgres) -> None:
    with Pod(catalog, pool_size=3, ordinal=1) as pod:
        pod.publish(1, pool_size=3, max_pods=2)
        pod.start_agent()
        wait_for("readiness", pod.is_ready)
        pod.wait_acknowledged(1)

        pod.publish(2, pool_size=6, max_pods=1)
        wait_for("unreadiness", lambda: not pod.is_ready())
        assert "ordinal 1 is beyond maxPods 1" in pod.ready()[1]
        wait_for("the least size", lambda: pod.limits() == (1, 1))
        assert pod.acknowledged() == 1

        with Load(pod.app_login, clients=3) as load:
            wait_for("its last clients are served", lambda: load.done > 100)
        assert load.failures == []
        assert pod.acknowledged() == 1

        pod.publish(3, pool_size=3, max_pods=2)
        wait_for("readiness again", pod.is_ready)
        pod.wait_acknowledged(3)
        assert pod.limits() == (3, 3)


def test_configure_refuses_an_ordinal_beyond_the_pods_that_are_counted(catalog: Postgres) -> None:
    pod = Pod(catalog, ordinal=2, max_pods=2)
    refused = pod.configure()
    assert refused.returncode == 1
    assert "ordinal 2, but POOLER_MAX_PODS allows 2" in refused.stderr
    assert not pod.run_directory.exists()

    pod = Pod(catalog, ordinal=1, max_pods=2)
    pod.publish(1, pool_size=4, max_pods=1)
    refused = pod.configure()
    assert refused.returncode == 1
    assert f"the knobs document {pod.knobs_path} allows 1" in refused.stderr
    assert not pod.run_directory.exists()
