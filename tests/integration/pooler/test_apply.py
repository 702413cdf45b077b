"""The size in PgBouncer and at PostgreSQL: growing, shrinking, RELOAD, restarts. Servers are counted at PostgreSQL."""

from __future__ import annotations

import time

from deploy.servers.postgres import Postgres
from tests.integration.pooler.load import Backends, Load
from tests.integration.pooler.pod import Pod, wait_for


def test_the_ini_starts_at_one_and_the_agent_applies_the_charts_size(catalog: Postgres) -> None:
    with Pod(catalog, pool_size=3) as pod:
        assert pod.limits() == (1, 1)
        pod.start_agent()
        wait_for("readiness", pod.is_ready)
        assert pod.limits() == (3, 3)
        wait_for("the acknowledgement of the defaults", lambda: pod.acknowledged() == 0)
        with Load(pod.app_login, clients=4) as load:
            wait_for("transactions", lambda: load.done > 50)
        assert load.failures == []


def test_it_grows_and_shrinks_under_load_without_a_failure_and_never_beyond_the_size(catalog: Postgres) -> None:
    with Pod(catalog, pool_size=1) as pod, Backends(catalog) as backends:
        pod.publish(1, pool_size=2)
        pod.start_agent()
        wait_for("readiness", pod.is_ready)
        assert pod.limits() == (2, 2), "the document is in force, not the chart's size"
        with Load(pod.app_login, clients=24) as load:
            pod.wait_acknowledged(1)
            wait_for("two backends under load", lambda: backends.now() == 2)
            assert backends.most() <= 2

            pod.publish(2, pool_size=12)
            pod.wait_acknowledged(2)
            wait_for("twelve backends under load", lambda: backends.now() == 12)

            for generation, size in ((3, 2), (4, 12), (5, 2)):
                began = time.monotonic()
                pod.publish(generation, pool_size=size)
                pod.wait_acknowledged(generation)
                confirmed = time.monotonic()
                load.wait_more(500)
                assert backends.most(began) <= 12
                assert backends.most(confirmed + 0.2) <= size
                if size == 12:
                    wait_for("twelve backends again", lambda: backends.now() == 12)
        assert load.failures == []
        assert load.done > 1000
        assert pod.reconnects() == 2, "one RECONNECT a shrink"
