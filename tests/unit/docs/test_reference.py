"""The reference pages say what the code says."""

from __future__ import annotations

import re
from pathlib import Path

import yaml
from prometheus_client import CollectorRegistry
from prometheus_client.registry import Collector

from deploy import reference
from services.pooler.accounting import Sample, Totals, advance
from services.pooler.console import CLIENT_STATES, SERVER_STATES, Pool, Stats
from services.pooler.metrics import PoolerCollector, Snapshot
from trimtab.admission import ConcurrencyLimiter
from trimtab.cache import Cache, CacheGroup
from trimtab.knobs.watch import KnobsWatcher
from trimtab.pool import ResizableAsyncPool
from trimtab.telemetry import (
    AdmissionCollector,
    CacheCollector,
    CPULimitCollector,
    PoolCollector,
    SlowStatementLog,
    StatementCollector,
    request_histogram,
)
from tuner.crds import TuningPolicySpec
from tuner.events import EventReason
from tuner.metrics import TunerMetrics
from tuner.observe import queries

ROOT = Path(__file__).parents[3]
REFERENCE = ROOT / "docs" / "reference"
HOW_TO = ROOT / "docs" / "how-to"


def names(*collectors: Collector) -> set[str]:
    """What the collectors export, as a scrape names it (without the suffixes of a histogram)."""
    registry = CollectorRegistry()
    for collector in collectors:
        registry.register(collector)
    found = set()
    for family in registry.collect():
        found.add(f"{family.name}_total" if family.type == "counter" else family.name)
    return found


def documented() -> set[str]:
    """The metrics that have a row of their own."""
    return set(re.findall(r"^\| `([a-z0-9_]+)`", (REFERENCE / "metrics.md").read_text(), re.MULTILINE))


def test_the_policy_page_is_generated() -> None:
    assert reference.PAGE.read_text() == reference.page(), "run `python -m deploy.reference`"


def test_the_policy_in_the_readme_is_valid() -> None:
    block = re.search(r"```yaml\n(apiVersion: trimtab.*?)```", (ROOT / "README.md").read_text(), re.DOTALL)
    assert block is not None
    assert TuningPolicySpec.model_validate(yaml.safe_load(block[1])["spec"]).knobs.replicas is not None


def test_every_metric_of_the_library_is_documented() -> None:
    cache = Cache([CacheGroup("item", ttl_seconds=30)])
    pool = ResizableAsyncPool(lambda: None)
    registry = CollectorRegistry()
    request_histogram(registry)
    exported = names(
        AdmissionCollector(ConcurrencyLimiter(1)),
        CacheCollector(cache),
        CPULimitCollector({"TRIMTAB_CPU_LIMIT_MILLICORES": "500"}),
        KnobsWatcher(None),
        PoolCollector(lambda: pool),
        StatementCollector(SlowStatementLog()),
    )
    exported |= {f"{f.name}_total" if f.type == "counter" else f.name for f in registry.collect()}
    assert len(exported) > 17
    assert not exported - documented()


def test_every_metric_of_the_pooler_is_documented() -> None:
    pool = Pool(dict.fromkeys(SERVER_STATES, 1), dict.fromkeys(CLIENT_STATES, 1), 0.0)
    sample = Sample(0.0, 4, Stats(1, 1, 1, 1.0, 1.0, 1.0), pool)
    exported = names(PoolerCollector(lambda: Snapshot(advance(Totals(), None, sample), sample)))
    assert len(exported) == 12
    assert not exported - documented()


def test_every_metric_of_the_tuner_is_documented() -> None:
    registry = CollectorRegistry()
    TunerMetrics(registry)
    exported = {f"{f.name}_total" if f.type == "counter" else f.name for f in registry.collect()}
    assert not exported - documented()


def test_every_series_that_the_tuner_reads_is_documented() -> None:
    read = {re.sub(r"_(sum|count|bucket)$", "", series.name) for series in queries.ALL}
    read -= {"pg_stat_activity"}  # a suffix of its own name
    assert not read - documented()


def test_every_reason_of_an_event_is_documented() -> None:
    text = (HOW_TO / "tune-your-service.md").read_text()
    assert [reason for reason in EventReason if f"`{reason}`" not in text] == []
