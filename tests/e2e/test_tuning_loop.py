"""The loop closed on a real cluster. The tests build on each other and run in the order in which they stand.

Under load everything is judged by what clients saw and by what the servers themselves count.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import partial

import pytest

from deploy import stack
from deploy.demo.budget import allocatable
from deploy.demo.scenario import (
    BAD_START,
    MAX_CONNECTIONS,
    NAMESPACE,
    RELEASE,
    RESERVED_CONNECTIONS,
    Phases,
    policy,
)
from deploy.demo.stage import Stage
from deploy.demo.tuning import DecisionLog, SettledError
from deploy.kubectl import wait_until
from deploy.platforms.port import Platform
from loadtests.plan import LoadPlan
from loadtests.stream import Progress

pytestmark = pytest.mark.e2e

ITEMS = 5_000
PHASES = Phases(users=32, tuning_seconds=180, quiet_seconds=40)
BUDGET = allocatable(MAX_CONNECTIONS, RESERVED_CONNECTIONS)


def plan(seconds: int, users: int = PHASES.users, think_milliseconds: int = 0) -> LoadPlan:
    return LoadPlan(
        url=f"http://{RELEASE}-api.{NAMESPACE}.svc:8000",
        users=users,
        ramp_seconds=5,
        hold_seconds=seconds,
        think_milliseconds=think_milliseconds,
        items=ITEMS,
        mix=PHASES.plan(ITEMS, seconds).mix,
    )


@contextmanager
def load_in_background(stage: Stage, name: str, load: LoadPlan) -> Iterator[None]:
    """Runs `load` while the body runs, and ends it with the body. A load that ends or fails before that is an error."""
    over = threading.Event()
    failure: list[BaseException] = []

    def until_over(progress: Progress) -> None:
        if over.is_set():
            raise SettledError

    def run() -> None:
        try:
            stage.load(name, load, until_over)
            failure.append(AssertionError(f"the load {name} ended before what it was for"))
        except SettledError:
            pass
        except BaseException as error:
            failure.append(error)

    thread = threading.Thread(target=run, name=name, daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join(120)
    if failure:
        raise failure[0]


def knobs_document(stage: Stage) -> str | None:
    """The document that the tuner wrote; None before it wrote any."""
    if not stage.kubectl.exists("configmap", "catalog-knobs", NAMESPACE):
        return None
    document: str = stage.kubectl.get("configmap", "catalog-knobs", NAMESPACE)["data"]["knobs.json"]
    return document


def no_pods(stage: Stage, namespace: str) -> bool:
    return not stage.kubectl.items("pods", namespace)


def shares(stage: Stage, expression: str) -> list[float]:
    """The share of each pod in the sum of an expression, smallest first."""
    path = f"count({expression} > 0)"
    count = stage.kubectl.query(f"{RELEASE}-prometheus", NAMESPACE, path) or 0
    least = stage.kubectl.query(f"{RELEASE}-prometheus", NAMESPACE, f"min({expression} > 0) / sum({expression})") or 0
    return [least] * int(count)


def test_the_stack_is_deployed_from_nothing(stage: Stage) -> None:
    table = stage.kubectl.run("get", "tuningpolicies", f"--namespace={NAMESPACE}")
    header = table.splitlines()[0].split()
    assert {"MODE", "BOTTLENECK", "POOL", "REPLICAS", "BUDGET", "READY"} <= set(header)
    assert "Observe" in table
    assert stage.replicas() == 1


def test_recommend_says_what_it_would_do_and_changes_nothing(stage: Stage) -> None:
    before = knobs_document(stage)
    stage.apply_policy(policy("Recommend"))
    stage.load("e2e-recommend", plan(50))
    assert stage.replicas() == 1
    assert knobs_document(stage) == before
    recommended = {
        knob["name"]: (knob.get("current"), knob["recommended"])
        for knob in stage.status()["knobs"]
        if knob.get("recommended") is not None
    }
    differing = {name for name, (current, wanted) in recommended.items() if current is not None and wanted > current}
    assert differing, f"under full load nothing larger is recommended: {stage.status()['knobs']}"


def test_apply_moves_pool_replicas_and_ttl_within_the_budget(stage: Stage) -> None:
    log = DecisionLog(stage.decisions, PHASES.quiet_seconds, least_seconds=60)
    stage.apply_policy(policy("Apply"))
    with stage.watch_budget() as budget:
        with suppress(SettledError):
            stage.load("e2e-apply", plan(PHASES.tuning_seconds), lambda progress: log.visit())
        after = stage.knobs_in_force()
    moved = [f"{d['knob']} {d.get('from')} -> {d.get('to')}: {d.get('message')}" for d in log.decisions()]
    assert after.pooler_pool_size > BAD_START.pooler_pool_size, moved
    assert after.replicas > BAD_START.replicas, moved
    ttls = {knob["name"]: knob.get("current") for knob in stage.status()["knobs"] if "TTL" in knob["name"]}
    assert max(value or 0 for value in ttls.values()) > BAD_START.cache_ttl_seconds, moved
    assert all(decision.get("message") for decision in log.decisions())
    # Nobody may open one connection more than the largest document said, however far the budget still is.
    sizes = [d["to"] for d in log.decisions() if d["knob"] == "poolerPoolSize"]
    assert budget.largest <= max(sizes) <= BUDGET, moved


def test_no_request_fails_because_a_knob_changed(stage: Stage) -> None:
    """From the bad start again, at 60% of the tuned capacity."""
    capacity = stage.load("e2e-capacity", plan(20))["summary"]
    stage.apply_policy(policy("Observe"))
    stage.set_knobs(BAD_START)
    stage.apply_policy(policy("Apply"))
    think = 1000 * PHASES.users / (0.6 * capacity["requestsPerSecond"]) - capacity["p50Milliseconds"]
    with stage.watch_budget() as budget:
        result = stage.load("e2e-gentle", plan(100, think_milliseconds=max(1, int(think))))
    outcomes = result["summary"]["outcomes"]
    assert outcomes["connection"] == 0, result["errors"]
    assert outcomes["server"] == 0, result["errors"]
    assert stage.decisions(), "nothing was changed, so nothing was tested"
    assert budget.largest <= BUDGET


def test_new_pods_get_their_share(stage: Stage) -> None:
    """Connections have a bounded age: API pods within 2 minutes, pooler pods within 4."""
    stage.apply_policy(policy("Observe"))
    stage.kubectl.run("scale", f"statefulset/{RELEASE}-pooler", "--replicas=1", f"--namespace={NAMESPACE}")
    stage.scale(1)
    with load_in_background(stage, "e2e-shares", plan(420, users=24, think_milliseconds=20)):
        time.sleep(30)  # every connection leads to the only pods that there are
        stage.kubectl.run("scale", f"statefulset/{RELEASE}-pooler", "--replicas=2", f"--namespace={NAMESPACE}")
        stage.scale(3)
        scaled = time.monotonic()
        requests = 'sum by (pod) (rate(http_request_duration_seconds_count{route!~"/(healthz|readyz)"}[30s]))'
        wait_until(
            "each of 3 API pods serves at least 20% of the requests",
            lambda: len(found := shares(stage, requests)) == 3 and min(found) >= 0.2,
            seconds=120 + 30,  # the rate looks back 30 s
            every=3,
        )
        transactions = "sum by (pod) (rate(trimtab_pooler_xacts_total[30s]))"
        wait_until(
            "each of 2 pooler pods carries at least 20% of the transactions",
            lambda: len(found := shares(stage, transactions)) == 2 and min(found) >= 0.2,
            seconds=max(10.0, scaled + 240 + 30 - time.monotonic()),
            every=3,
        )


def test_without_prometheus_nothing_changes(stage: Stage) -> None:
    prometheus = {**policy("Apply")["spec"]["prometheus"], "staleAfterSeconds": 15, "fallbackAfterSeconds": 600}
    stage.apply_policy(policy("Apply", prometheus=prometheus))
    stage.wait_for_condition("MetricsAvailable", "True", 60)
    workload = f"statefulset/{RELEASE}-prometheus"
    stage.kubectl.run("scale", workload, "--replicas=0", f"--namespace={NAMESPACE}")
    try:
        stage.wait_for_condition("MetricsAvailable", "False", 90)
        before = knobs_document(stage), stage.replicas()
        stage.load("e2e-blind", plan(30))
        assert (knobs_document(stage), stage.replicas()) == before
    finally:
        stage.kubectl.run("scale", workload, "--replicas=1", f"--namespace={NAMESPACE}")
    stage.wait_for_condition("MetricsAvailable", "True", 120)


def test_a_restarted_operator_changes_nothing_by_itself(stage: Stage) -> None:
    before = knobs_document(stage), stage.replicas()
    namespace = f"--namespace={stack.TUNER_NAMESPACE}"
    stage.kubectl.run("delete", "pods", "--all", "--grace-period=0", "--force", namespace)
    deployment = stage.kubectl.items("deployments", stack.TUNER_NAMESPACE)[0]["metadata"]["name"]
    stage.kubectl.run("rollout", "status", f"deployment/{deployment}", namespace, "--timeout=120s")
    started = time.monotonic()
    while time.monotonic() - started < 30:  # several ticks of the new one
        assert (knobs_document(stage), stage.replicas()) == before
        time.sleep(3)
    stage.wait_for_condition("MetricsAvailable", "True", 60)


def test_uninstalling_leaves_nothing_that_runs(stage: Stage, platform: Platform) -> None:
    stage.kubectl.run("delete", "tuningpolicies", "--all", f"--namespace={NAMESPACE}", "--timeout=60s")
    stack.uninstall(platform)
    for namespace in (NAMESPACE, stack.TUNER_NAMESPACE):
        for kind in ("deployments", "statefulsets", "jobs", "services", "serviceaccounts", "roles", "rolebindings"):
            left = [item["metadata"]["name"] for item in stage.kubectl.items(kind, namespace)]
            assert [name for name in left if name != "default"] == [], f"{kind} left in {namespace}"
        wait_until(f"no pods left in {namespace}", partial(no_pods, stage, namespace), 240)
    assert "tuningpolicies.trimtab.dev" in stage.kubectl.run("get", "customresourcedefinitions")
