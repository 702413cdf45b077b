"""The tuner's own metrics (CONTRACTS.md). Series of a policy vanish with it."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from tuner.crds import TuningPolicy
from tuner.decide.plan import Plan

OF_POLICY = ["policy_namespace", "policy"]


class TunerMetrics:
    def __init__(self, registry: CollectorRegistry) -> None:
        self.tick_seconds = Histogram(
            "trimtab_tick_seconds",
            "Time that one look at one policy took",
            buckets=(0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30),
            registry=registry,
        )
        self.last_tick = Gauge(
            "trimtab_last_tick_timestamp_seconds", "When the policy was last looked at", OF_POLICY, registry=registry
        )
        self.decisions = Counter("trimtab_decisions", "Moves made", ["knob", "reason"], registry=registry)
        self.knob_value = Gauge("trimtab_knob_value", "Value in force", [*OF_POLICY, "knob"], registry=registry)
        self.knob_recommended = Gauge(
            "trimtab_knob_recommended", "Value of the next move", [*OF_POLICY, "knob"], registry=registry
        )
        self.budget = Gauge(
            "trimtab_budget_connections", "Connections by kind", [*OF_POLICY, "kind"], registry=registry
        )
        self.rollbacks = Counter("trimtab_rollbacks", "Moves taken back", registry=registry)
        self.prediction_error = Gauge(
            "trimtab_prediction_error_ratio",
            "Observed / predicted - 1 of the last judged move",
            [*OF_POLICY, "knob"],
            registry=registry,
        )
        self.prometheus_errors = Counter(
            "trimtab_prometheus_errors", "Queries without a usable answer", ["reason"], registry=registry
        )
        self.lost_races = Counter(
            "trimtab_lost_races", "Plans dropped because somebody else wrote first", registry=registry
        )

    def record(self, policy: TuningPolicy, plan: Plan, now: float) -> None:
        """What one look found and did."""
        labels = (policy.metadata.namespace, policy.metadata.name)
        self.last_tick.labels(*labels).set(now)
        for view in plan.knobs:
            if view.current is not None:
                self.knob_value.labels(*labels, view.name).set(view.current)
            if view.recommended is not None:
                self.knob_recommended.labels(*labels, view.name).set(view.recommended)
        for knob, error in plan.errors:
            self.prediction_error.labels(*labels, knob).set(error)
        if plan.budget is not None:
            for kind in ("max_connections", "reserved", "allocatable", "committed", "worst_case"):
                self.budget.labels(*labels, kind).set(getattr(plan.budget, kind))

    def forget(self, namespace: str, name: str) -> None:
        """Drop the series of a policy that is gone."""
        for gauge in (self.last_tick, self.knob_value, self.knob_recommended, self.budget, self.prediction_error):
            gauge.remove_by_labels({"policy_namespace": namespace, "policy": name})
