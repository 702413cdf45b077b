"""RELOAD, a PgBouncer that restarts or drains, a PostgreSQL that is away or refuses logins."""

from __future__ import annotations

import signal
import time

import pytest

from deploy.servers.postgres import Postgres
from tests.integration.pooler.load import Backends, Load
from tests.integration.pooler.pod import Pod, wait_for


def test_after_reload_nobody_hears_ready_before_the_size_is_applied_again(catalog: Postgres) -> None:
    with Pod(catalog) as pod:
        pod.publish(1, pool_size=6)
        pod.start_agent()
        wait_for("readiness", pod.is_ready)
        for _ in range(5):
            pod.pgbouncer.console("RELOAD")
            if pod.is_ready():
                assert pod.limits() == (6, 6)
        pod.pgbouncer.console("RELOAD")
        assert pod.limits() in ((1, 1), (6, 6))
        wait_for("the size again, without anybody asking", lambda: pod.limits() == (6, 6))


def test_a_restarted_pgbouncer_gets_its_size_before_readiness_and_counters_go_on(catalog: Postgres) -> None:
    with Pod(catalog) as pod:
        pod.publish(1, pool_size=5)
        pod.start_agent()
        wait_for("readiness", pod.is_ready)
        with Load(pod.app_login, clients=8) as load:
            wait_for("transactions", lambda: load.done > 300)
        wait_for("they are counted", lambda: (pod.value("trimtab_pooler_xacts_total") or 0) >= load.done)
        counted = pod.value("trimtab_pooler_xacts_total")
        assert counted is not None

        pod.pgbouncer.kill()
        assert not pod.is_ready()
        wait_for("gauges are absent", lambda: pod.value("trimtab_pooler_pool_size") is None)
        assert pod.value("trimtab_pooler_xacts_total") == counted, "history stays"

        pod.pgbouncer.start()
        deadline = time.monotonic() + 30
        while not pod.is_ready():
            assert time.monotonic() < deadline, pod.ready()
        assert pod.limits() == (5, 5)
        with Load(pod.app_login, clients=8) as load:
            wait_for("transactions", lambda: load.done > 300)
        wait_for(
            "the counter goes on from where it was",
            lambda: (pod.value("trimtab_pooler_xacts_total") or 0) >= counted + load.done,
        )


def test_a_restart_is_known_though_the_new_counters_have_passed_the_old_ones(catalog: Postgres) -> None:
    """The agent looks away meanwhile: what it sees next is larger than what it saw last, and all of it is new."""
    with Pod(catalog) as pod:
        pod.publish(1, pool_size=5)
        pod.start_agent()
        wait_for("readiness", pod.is_ready)
        with Load(pod.app_login, clients=4) as before:
            wait_for("transactions", lambda: before.done > 100)
        wait_for("they are counted", lambda: (pod.value("trimtab_pooler_xacts_total") or 0) >= before.done)
        counted = pod.value("trimtab_pooler_xacts_total")
        assert counted is not None
        agent = pod.agent_process()
        agent.suspend()
        try:
            pod.pgbouncer.kill()
            pod.pgbouncer.start()
            with Load(pod.app_login, clients=4) as after:
                wait_for("more transactions than before", lambda: after.done > 3 * counted)
        finally:
            agent.resume()
        wait_for("all are counted", lambda: (pod.value("trimtab_pooler_xacts_total") or 0) >= counted + after.done)


def test_the_agent_outlives_postgresql_and_says_no_reconnect_meanwhile(catalog: Postgres) -> None:
    with Pod(catalog) as pod:
        pod.publish(1, pool_size=6)
        pod.start_agent()
        pod.wait_acknowledged(1)
        with Load(pod.app_login, clients=12) as load:
            wait_for("transactions", lambda: load.done > 200)
            catalog.stop()
            try:
                pod.publish(2, pool_size=2)
                wait_for("generation 2: no server is open at all", lambda: pod.acknowledged() == 2)
                assert pod.agent_runs()
                assert pod.is_ready(), "the pooler is well: taking it out of service would not bring PostgreSQL back"
                assert pod.reconnects() == 0
            finally:
                catalog.start()
            load.wait_more(200)
        assert pod.limits() == (2, 2)


@pytest.mark.long
def test_no_reconnect_while_logins_hang_and_one_when_they_work_again(catalog: Postgres) -> None:
    """The postmaster stopped: backends go on working, a new login gets no answer."""
    with Pod(catalog) as pod, Backends(catalog) as backends:
        pod.publish(1, pool_size=8)
        pod.start_agent()
        pod.wait_acknowledged(1)
        with Load(pod.app_login, clients=24) as load:
            wait_for("eight backends", lambda: backends.now() == 8)
            catalog.send_signal(signal.SIGSTOP)
            try:
                pod.publish(2, pool_size=2)
                wait_for("the agent waits", lambda: "RECONNECT waits" in pod.agent_log.read_text())
                load.wait_more(200)
                assert pod.reconnects() == 0
                assert pod.is_ready()
            finally:
                catalog.send_signal(signal.SIGCONT)
            pod.wait_acknowledged(2)
            assert pod.reconnects() <= 1
            confirmed = time.monotonic()
            load.wait_more(200)
            assert backends.most(confirmed + 0.2) <= 2
        assert load.failures == []


def test_a_pgbouncer_that_drains_is_not_ready_is_still_seen_and_ends_with_its_last_client(catalog: Postgres) -> None:
    with Pod(catalog) as pod:
        pod.publish(1, pool_size=4)
        pod.start_agent()
        wait_for("readiness", pod.is_ready)
        with Load(pod.app_login, clients=6) as load:
            wait_for("transactions", lambda: load.done > 100)
            pod.pgbouncer.send_signal(signal.SIGTERM)
            wait_for("unreadiness", lambda: not pod.is_ready())
            pod.publish(2, pool_size=2)
            wait_for("a shrink while draining", lambda: pod.acknowledged() == 2)
            pod.terminate_agent()
            load.wait_more(200)
            assert pod.agent_runs(), "it ends last"
            assert pod.pgbouncer.running
        assert load.failures == []
        wait_for("PgBouncer ends", lambda: not pod.pgbouncer.running)
        wait_for("the agent ends", lambda: not pod.agent_runs())
        assert pod.agent is not None
        assert pod.agent.returncode == 0


def test_an_agent_that_is_told_to_end_alone_does(catalog: Postgres) -> None:
    with Pod(catalog) as pod:
        pod.start_agent()
        wait_for("readiness", pod.is_ready)
        pod.terminate_agent()
        wait_for("the agent ends", lambda: not pod.agent_runs())
        assert pod.agent is not None
        assert pod.agent.returncode == 0
        assert pod.pgbouncer.running
