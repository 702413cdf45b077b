"""The container's CPU limit."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping

from prometheus_client.core import GaugeMetricFamily, Metric

from trimtab.telemetry.collectors.families import DescribedCollector

CPU_LIMIT_VARIABLE = "TRIMTAB_CPU_LIMIT_MILLICORES"


class CPULimitCollector(DescribedCollector):
    """`trimtab_cpu_limit_cores`: the container's CPU limit, from the downward API. Absent without a limit."""

    def __init__(self, environment: Mapping[str, str] | None = None) -> None:
        given = (os.environ if environment is None else environment).get(CPU_LIMIT_VARIABLE, "")
        self._millicores = int(given) if given.isdigit() else 0

    def collect(self) -> Iterable[Metric]:
        cores = GaugeMetricFamily("trimtab_cpu_limit_cores", "CPU limit of the container")
        if self._millicores > 0:
            cores.add_metric([], self._millicores / 1000)
        return [cores]
