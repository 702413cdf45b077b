"""One policy's Observation from what the cluster lists and what Prometheus holds.

Keeps one thing between looks: each pod's scrape before, since rates are differences between two scrapes. A look has
news when every ready pod was scraped since the last look that had. Without news that look's numbers are repeated, and
its scrapes stay the ones before, so that the next news spans all the time since: nothing is lost or counted twice.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

from tuner.crds import TuningPolicySpec
from tuner.observation import Absence, Absent, Acknowledgement, Maybe, Observation, present
from tuner.observe.confirm import confirmations
from tuner.observe.database import database
from tuner.observe.pods import Measured, acknowledgement, api_pod, is_of_another, pooler_pod
from tuner.observe.scrapes import Growth, PodKey, Scrape, growth
from tuner.observe.source import Look
from tuner.workload import Pod, Workload


@dataclass(frozen=True, slots=True)
class _Track:
    """The scrape of one pod at the last look with news, and how its counters grew up to it."""

    scrape: Scrape
    growth: Maybe[Growth]


class Observer:
    """Of one policy."""

    def __init__(self) -> None:
        self._tracks: dict[str, _Track] = {}

    async def observe(self, spec: TuningPolicySpec, workload: Workload, look: Look, now: float) -> Observation:
        """Everything that this look sees. `now`: seconds since the epoch."""
        direct = await confirmations(_unconfirmed(workload, look))
        stale_after = spec.prometheus.stale_after_seconds
        longest = max(4.0 * spec.behavior.tick_seconds, float(stale_after))
        tracks: dict[str, _Track] = {}
        api_pods, pooler_pods = workload.api_pods, workload.pooler_pods
        newest = {
            pod.uid: _newest((pod.namespace, pod.name), _own(pod, look.pods), stale_after)
            for pod in _all(api_pods, pooler_pods)
        }
        ready = {pod.uid for pod in _all(api_pods, pooler_pods) if pod.ready and not pod.terminating}
        news = all(_is_new(self._tracks.get(uid), scrape) for uid, scrape in newest.items() if uid in ready)

        def measure(identity: str, scrape: Maybe[Scrape]) -> Measured:
            measured, track = _measure(self._tracks.get(identity), scrape, longest, news)
            if track is not None:
                tracks[identity] = track
            return measured

        objective = spec.objective.latency_milliseconds / 1000
        measured_pods = {uid: measure(uid, scrape) for uid, scrape in newest.items()}
        confirmed = {
            pod.uid: _latest(direct.get(pod.uid), acknowledgement(pod, newest[pod.uid]))
            for pod in _all(api_pods, pooler_pods)
        }
        exporters: Maybe[list[Measured]] = look.databases if isinstance(look.databases, Absent) else [
            # The newest limits count at once; only what is learned from waits for news.
            replace(measure(f"exporter {key}", scrape), scrape=scrape)
            for key in sorted(look.databases) if key[0] == workload.namespace
            for scrape in (_newest(key, look.databases, stale_after),)
        ]  # fmt: skip
        # What cannot be seen now keeps its last scrape, so that the next one is compared with it.
        alive = {pod.uid for pod in _all(api_pods, pooler_pods)}
        kept = {k: t for k, t in self._tracks.items() if k in alive or k.startswith("exporter")}
        latest = max((track.scrape.time for track in tracks.values()), default=0.0)
        # One that is older than any difference may span belongs to an exporter that is gone.
        self._tracks = {k: t for k, t in (kept | tracks).items() if latest - t.scrape.time <= longest}
        return Observation(
            time=now,
            interval_seconds=_interval(measured_pods.values()) or float(spec.behavior.tick_seconds),
            metrics_age_seconds=_age(_all(api_pods, pooler_pods), look.pods, now),
            api_pods=api_pods if isinstance(api_pods, Absent) else tuple(
                api_pod(pod, measured_pods[pod.uid], confirmed[pod.uid], objective) for pod in api_pods
            ),
            pooler_pods=pooler_pods if isinstance(pooler_pods, Absent) else tuple(
                pooler_pod(pod, measured_pods[pod.uid], confirmed[pod.uid]) for pod in pooler_pods
            ),
            database=database(exporters),
            target=workload.target,
            store=workload.store,
            neighbours=workload.neighbours,
            conflicts=workload.conflicts,
            news=news,
            absences=_absences(workload, look, measured_pods),
        )  # fmt: skip


def _newest(key: PodKey, scrapes: Maybe[dict[PodKey, Scrape]], stale_after: float) -> Maybe[Scrape]:
    if isinstance(scrapes, Absent):
        return scrapes
    scrape = scrapes.get(key)
    if scrape is None:
        return Absent("Prometheus has no series of this pod: is it scraped, and do spec.prometheus.labels fit?")
    if scrape.age_seconds > stale_after:
        return Absent(f"its newest scrape is {scrape.age_seconds:.0f} s old")
    return scrape


def _is_new(before: _Track | None, newest: Maybe[Scrape]) -> bool:
    """Whether this pod holds up no news: it was scraped again, or there is nothing of it to wait for."""
    return before is None or isinstance(newest, Absent) or newest.time > before.scrape.time


def _measure(
    before: _Track | None, scrape: Maybe[Scrape], longest: float, news: bool
) -> tuple[Measured, _Track | None]:
    if isinstance(scrape, Absent):
        return Measured(scrape, scrape, scrape), None
    if before is not None and not news:
        return Measured(before.scrape, before.growth, before.growth), before
    if before is not None and scrape.time <= before.scrape.time:
        # Of a pod that news do not wait for. Its rates still hold, but nothing was counted anew.
        return Measured(scrape, before.growth, Absent("no new scrape since the last look")), before
    grown = growth(before.scrape if before else None, scrape, longest)
    return Measured(scrape, grown, grown), _Track(scrape, grown)


def _own(pod: Pod, scrapes: Maybe[dict[PodKey, Scrape]]) -> Maybe[dict[PodKey, Scrape]]:
    """`scrapes`, unless what they hold under the pod's name is, or contains, what an earlier pod said."""
    scrape = None if isinstance(scrapes, Absent) else scrapes.get((pod.namespace, pod.name))
    if scrape is not None and is_of_another(pod, scrape):
        return Absent("its metrics are still those of an earlier pod of the same name")
    return scrapes


def _all(*lists: Maybe[tuple[Pod, ...]]) -> list[Pod]:
    return [pod for pods in lists for pod in present(pods) or ()]


def _unconfirmed(workload: Workload, look: Look) -> Iterable[Pod]:
    """The pods that have not confirmed the stored document, by what Prometheus knows: none while nothing is pending."""
    store = present(workload.store)
    document = store.document if store else None
    if document is None:
        return
    wanted = Acknowledgement(document.epoch, document.generation)
    scrapes = present(look.pods) or {}
    for pod in _all(workload.api_pods, workload.pooler_pods):
        scrape = scrapes.get((pod.namespace, pod.name))
        if scrape is None or acknowledgement(pod, scrape) != wanted:
            yield pod


def _latest(direct: Acknowledgement | None, scraped: Maybe[Acknowledgement]) -> Maybe[Acknowledgement]:
    """What the pod said itself is newer than what was scraped from it."""
    return scraped if direct is None else direct


def _interval(pods: Iterable[Measured]) -> float | None:
    spans = [m.recent.seconds for m in pods if not isinstance(m.recent, Absent)]
    return sum(spans) / len(spans) if spans else None


def _age(pods: list[Pod], scrapes: Maybe[dict[PodKey, Scrape]], now: float) -> Maybe[float]:
    """Age of the oldest newest scrape among the ready pods. One never scraped is as old as it has been ready."""
    if isinstance(scrapes, Absent):
        return scrapes
    ages = []
    for pod in pods:
        if not pod.ready or pod.terminating:
            continue
        scrape = scrapes.get((pod.namespace, pod.name))
        ages.append(scrape.age_seconds if scrape else now - (pod.ready_at or pod.created_at))
    return max(0.0, *ages, 0.0) if ages else Absent("no pod is ready")


def _absences(workload: Workload, look: Look, measured: dict[str, Measured]) -> tuple[Absence, ...]:
    found = []
    for what, seen in (("pods' metrics", look.pods), ("database metrics", look.databases)):
        if isinstance(seen, Absent):
            found.append(Absence(what, seen.reason))
    if not isinstance(look.pods, Absent):
        for pod in _all(workload.api_pods, workload.pooler_pods):
            scrape = measured[pod.uid].scrape
            if isinstance(scrape, Absent) and pod.ready:
                found.append(Absence(f"pod {pod.name}", scrape.reason))
    for what, listed in (("API pods", workload.api_pods), ("pooler pods", workload.pooler_pods)):
        if isinstance(listed, Absent):
            found.append(Absence(what, listed.reason))
    return tuple(found)
