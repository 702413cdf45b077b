"""From an instant vector to what each pod said in its newest scrape, and how its counters grew since an earlier one.

    growth of a counter = value in the newest scrape - value in the earlier scrape
    rate                = growth / (time of the newest scrape - time of the earlier one)

Both times are the scrapes' own. A counter that fell, or a process that started in between, was reset: everything that
this pod counted is then absent for one interval, since a part of it is lost.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

from tuner.crds import SeriesLabels
from tuner.observation import Absent, Maybe
from tuner.observe.prometheus import Vector
from tuner.observe.queries import KIND_OF, LOWEST, SCRAPED, SIGNAL, Kind

PodKey = tuple[str, str]
"""Namespace and name: what series carry."""

Labels = frozenset[tuple[str, str]]
SeriesKey = tuple[str, Labels]

START_TIME = "process_start_time_seconds"
STATEMENTS = "trimtab_pg_statement_"


@dataclass(frozen=True, slots=True)
class Scrape:
    """What one pod said. `time` and `age_seconds` are by Prometheus' clock; `lowest` is the server's least limit."""

    time: float
    age_seconds: float
    values: Mapping[SeriesKey, float]
    lowest: float | None = None

    def gauge(self, name: str, **labels: str) -> Maybe[float]:
        """The value of one series; absent where it is missing or no number."""
        value = self.values.get((name, frozenset(labels.items())))
        if value is None:
            return Absent(f"{name} is missing")
        return Absent(f"{name} is {value}") if not math.isfinite(value) else value

    def by_label(self, name: str, label: str) -> Maybe[dict[str, float]]:
        """The values of a series by one of its labels, summed over its others."""
        found: dict[str, float] = {}
        for (n, labels), value in self.values.items():
            if n == name:
                key = dict(labels).get(label, "")
                found[key] = found.get(key, 0.0) + value
        if not found:
            return Absent(f"{name} is missing")
        if not all(map(math.isfinite, found.values())):
            return Absent(f"{name} is no number")
        return found


@dataclass(frozen=True, slots=True)
class Growth:
    """How counters grew in `seconds`."""

    seconds: float
    amounts: Mapping[SeriesKey, float]

    def total(self, name: str, chosen: Callable[[Mapping[str, str]], bool] = lambda _: True) -> Maybe[float]:
        """Growth of a counter, summed over the chosen series."""
        found = [amount for (n, labels), amount in self.amounts.items() if n == name and chosen(dict(labels))]
        return math.fsum(found) if self.has(name) else Absent(f"{name} is missing")

    def has(self, name: str) -> bool:
        return any(n == name for n, _ in self.amounts)

    def rate(self, name: str, chosen: Callable[[Mapping[str, str]], bool] = lambda _: True) -> Maybe[float]:
        """The same by the second."""
        total = self.total(name, chosen)
        return total if isinstance(total, Absent) else total / self.seconds

    def by_label(self, name: str, label: str) -> dict[str, float]:
        """Growth of a counter by one of its labels; empty where there is none."""
        out: dict[str, float] = {}
        for (n, labels), amount in self.amounts.items():
            if n == name:
                value = dict(labels).get(label, "")
                out[value] = out.get(value, 0.0) + amount
        return out


def scrapes_by_pod(vector: Vector, labels: SeriesLabels) -> dict[PodKey, Scrape]:
    """The newest scrape of each pod. Series whose scrape time is unknown are left out: they cannot be dated."""
    times: dict[PodKey, float] = {}
    lowest: dict[PodKey, float] = {}
    values: dict[PodKey, dict[SeriesKey, float]] = {}
    skipped = {labels.namespace, labels.pod, "__name__", SIGNAL}
    for sample in vector.samples:
        pod = (sample.labels.get(labels.namespace, ""), sample.labels.get(labels.pod, ""))
        match sample.labels.get(SIGNAL):
            case "scraped":
                times[pod] = sample.value
            case "lowest":
                lowest[pod] = sample.value
            case _:
                rest = frozenset((k, v) for k, v in sample.labels.items() if k not in skipped)
                values.setdefault(pod, {})[(sample.labels.get("__name__", ""), rest)] = sample.value
    return {
        pod: Scrape(time, vector.time - time, values.get(pod, {}), lowest.get(pod))
        for pod, time in times.items()
        if math.isfinite(time)
    }


def growth(before: Scrape | None, after: Scrape, longest_seconds: float) -> Maybe[Growth]:
    """How the counters grew between two scrapes of one pod that lie at most `longest_seconds` apart."""
    if before is None:
        return Absent("one scrape only so far")
    seconds = after.time - before.time
    if seconds <= 0:
        return Absent("no new scrape")
    if seconds > longest_seconds:
        return Absent(f"the scrape before is {seconds:.0f} s older")
    started = before.gauge(START_TIME), after.gauge(START_TIME)
    if not any(isinstance(value, Absent) for value in started) and started[0] != started[1]:
        return Absent("the process was restarted")
    amounts: dict[SeriesKey, float] = {}
    for key in _counters(after.values):
        now, then = after.values[key], before.values.get(key)
        if not math.isfinite(now) or (then is not None and not math.isfinite(then)):
            continue
        if key[0].startswith(STATEMENTS):
            # The top statements change places with `other`: only what both scrapes list can be compared.
            if then is not None and now >= then:
                amounts[key] = now - then
            continue
        if then is not None and now < then:
            return Absent(f"{key[0]} was reset")
        # A series that was not there before began at 0: its process is the same.
        amounts[key] = now - (then or 0.0)
    return Growth(seconds, amounts)


def _counters(keys: Iterable[SeriesKey]) -> list[SeriesKey]:
    return [key for key in keys if KIND_OF.get(key[0]) is Kind.COUNTER]


assert (SCRAPED, LOWEST) == ("scraped", "lowest")  # noqa: S101 - the match above names them
