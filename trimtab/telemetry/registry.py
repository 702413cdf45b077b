"""A registry with what every tunable process tells of itself."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from prometheus_client import CollectorRegistry, GCCollector, PlatformCollector, ProcessCollector

from trimtab.telemetry.collectors.cpu_limit import CPULimitCollector


def new_registry(environment: Mapping[str, str] | None = None) -> CollectorRegistry:
    """A registry with the process, platform, garbage collection and CPU limit collectors."""
    registry = CollectorRegistry()
    ProcessCollector(registry=registry)
    PlatformCollector(registry=registry)
    GCCollector(registry=registry)
    registry.register(CPULimitCollector(environment))
    return registry


def metric_value(registry: CollectorRegistry, name: str, labels: dict[str, Any] | None = None) -> float | None:
    """The present value of one series, None where there is none: for tests and readiness checks."""
    return registry.get_sample_value(name, labels or {})
