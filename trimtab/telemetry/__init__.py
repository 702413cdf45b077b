"""What a tunable service says about itself: to Prometheus, to its clients (Server-Timing), and to its log.

The names of the metrics are the contract with the tuner. Reading order: request, middleware, slow_statements,
engine_events, collectors.

The names below are loaded when they are first asked for: `telemetry.request` lies beneath the pool, the cache and the
database access, the collectors lie above them, and both live in this package.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from trimtab.telemetry.collectors.admission import AdmissionCollector
    from trimtab.telemetry.collectors.cache import CacheCollector
    from trimtab.telemetry.collectors.cpu_limit import CPU_LIMIT_VARIABLE, CPULimitCollector
    from trimtab.telemetry.collectors.pool import CHECKOUT_BUCKETS_SECONDS, PoolCollector
    from trimtab.telemetry.collectors.requests import REQUEST_BUCKETS_SECONDS, RequestHistogram, request_histogram
    from trimtab.telemetry.collectors.statements import StatementCollector
    from trimtab.telemetry.engine_events import watch_engine
    from trimtab.telemetry.metrics_server import MetricsServer, start_metrics_server
    from trimtab.telemetry.middleware import CLIENT_GONE, TelemetryMiddleware
    from trimtab.telemetry.registry import metric_value, new_registry
    from trimtab.telemetry.request import UNMATCHED, RequestRecord, current, note_statement
    from trimtab.telemetry.slow_statements import SLOW_STATEMENT_SECONDS, SlowStatementLog

__all__ = [
    "CHECKOUT_BUCKETS_SECONDS",
    "CLIENT_GONE",
    "CPU_LIMIT_VARIABLE",
    "REQUEST_BUCKETS_SECONDS",
    "SLOW_STATEMENT_SECONDS",
    "UNMATCHED",
    "AdmissionCollector",
    "CPULimitCollector",
    "CacheCollector",
    "MetricsServer",
    "PoolCollector",
    "RequestHistogram",
    "RequestRecord",
    "SlowStatementLog",
    "StatementCollector",
    "TelemetryMiddleware",
    "current",
    "metric_value",
    "new_registry",
    "note_statement",
    "request_histogram",
    "start_metrics_server",
    "watch_engine",
]

_ROOMS = {
    "collectors.admission": ("AdmissionCollector",),
    "collectors.cache": ("CacheCollector",),
    "collectors.cpu_limit": ("CPULimitCollector", "CPU_LIMIT_VARIABLE"),
    "collectors.pool": ("CHECKOUT_BUCKETS_SECONDS", "PoolCollector"),
    "collectors.requests": ("REQUEST_BUCKETS_SECONDS", "RequestHistogram", "request_histogram"),
    "collectors.statements": ("StatementCollector",),
    "engine_events": ("watch_engine",),
    "metrics_server": ("MetricsServer", "start_metrics_server"),
    "middleware": ("CLIENT_GONE", "TelemetryMiddleware"),
    "registry": ("metric_value", "new_registry"),
    "request": ("UNMATCHED", "RequestRecord", "current", "note_statement"),
    "slow_statements": ("SLOW_STATEMENT_SECONDS", "SlowStatementLog"),
}
_ROOM_OF = {name: room for room, names in _ROOMS.items() for name in names}


def __getattr__(name: str) -> Any:
    if name not in _ROOM_OF:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_ROOM_OF[name]}"), name)
