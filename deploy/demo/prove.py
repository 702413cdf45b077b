"""Is the gain real? Bad, tuned, bad again (the gain must vanish), and the best of a small grid set by hand."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from deploy import stack
from deploy.binaries import binary
from deploy.demo import scenario
from deploy.demo.budget import allocatable
from deploy.demo.outcome import Measured, judge
from deploy.demo.run import cluster, console, measure, show, tune, values, write
from deploy.demo.scenario import BAD_START, MAX_CONNECTIONS, RESERVED_CONNECTIONS, Knobs, Phases
from deploy.demo.stage import Stage
from deploy.kubectl import Kubectl
from deploy.platforms.port import Platform

TUNED_VERSUS_HAND = 0.9
BAD_AGAIN_WITHIN = 0.25
GRID_SECONDS = 30

HAND_TUNED = tuple(
    Knobs(
        pooler_pool_size=pool,
        api_pool_size=app_pool,
        api_concurrency=4 * app_pool,
        replicas=replicas,
        cache_ttl_seconds=60,
    )
    for replicas in (2, 3, 4)
    for pool, app_pool in ((3, 6), (8, 12))
)
"""What a person would try: few and many connections, with 2 to 4 pods, and the longest TTL that the policy allows."""


def prove(platform: Platform, phases: Phases, items: int, output: Path, keep: bool) -> bool:
    """Measure the four columns, write proof.json, and say whether each bound is met."""
    with cluster(platform, keep):
        stage = Stage(
            Kubectl(platform.kubeconfig, binary("kubectl")), stack.install(platform, stack_values=values(items))
        )
        stage.apply_policy(scenario.policy("Observe"))
        stage.wait_for_condition("MetricsAvailable", "True", 120)
        with stage.watch_budget() as budget:
            bad = measure(stage, phases, items, "bad")
            tune(stage, phases, items)
            tuned = measure(stage, phases, items, "tuned")
            stage.apply_policy(scenario.policy("Observe"))
            stage.set_knobs(BAD_START)
            bad_again = measure(stage, phases, items, "bad-again")
            hand_tuned = best_by_hand(stage, phases, items)
        found = bounds(bad, tuned, bad_again, hand_tuned)
        columns = {"bad": bad, "tuned": tuned, "badAgain": bad_again, "handTuned": hand_tuned}
        proof = {name: column.to_json() for name, column in columns.items()} | {"bounds": found}
        write(output, {"proof": proof})
        verdict = judge(bad, tuned, budget.largest, allocatable(MAX_CONNECTIONS, RESERVED_CONNECTIONS))
        show(columns, verdict, output)
        for bound in found:
            mark = "met" if bound["met"] else "MISSED"
            console.print(f"{bound['name']}: {bound['value']:.2f}, must be {bound['target']}: {mark}")
    return verdict.good and all(bound["met"] for bound in found)


def best_by_hand(stage: Stage, phases: Phases, items: int) -> Measured:
    """The column of the best grid point: each is tried briefly, the best is measured as long as the others."""
    rates: dict[Knobs, float] = {}
    for number, knobs in enumerate(HAND_TUNED, 1):
        stage.set_knobs(knobs)
        stage.flush_cache()
        result = stage.load(f"demo-grid-{number}", phases.plan(items, GRID_SECONDS))
        rates[knobs] = result["summary"]["requestsPerSecond"]
        console.print(f"by hand {number}/{len(HAND_TUNED)}: {knobs}: {rates[knobs]:.0f} requests/s", highlight=False)
    stage.set_knobs(max(rates, key=rates.__getitem__))
    return measure(stage, phases, items, "hand-tuned")


def bounds(bad: Measured, tuned: Measured, bad_again: Measured, hand_tuned: Measured) -> list[dict[str, Any]]:
    """The bounds of the proof on throughput, as {name, value, target, met}."""
    versus_hand = tuned.requests_per_second / hand_tuned.requests_per_second
    again = bad_again.requests_per_second / bad.requests_per_second
    return [
        {
            "name": "tuned_vs_hand_tuned_throughput",
            "value": round(versus_hand, 3),
            "target": f">= {TUNED_VERSUS_HAND}",
            "met": versus_hand >= TUNED_VERSUS_HAND,
        },
        {
            "name": "bad_again_vs_bad_throughput",
            "value": round(again, 3),
            "target": f"within {BAD_AGAIN_WITHIN} of 1",
            "met": abs(again - 1) <= BAD_AGAIN_WITHIN,
        },
    ]
