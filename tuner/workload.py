"""What there is to tune, as the Kubernetes API (or the local platform) lists it: pods, replicas, stored documents.

Pure data. Both the room that measures (`observe`) and the room that acts (`actuate`) speak it.
"""

from __future__ import annotations

from dataclasses import dataclass

from tuner.observation import Conflict, Maybe, Neighbour, Store, Target


@dataclass(frozen=True, slots=True)
class Pod:
    """A pod that exists: also one that still starts or already ends. Times are seconds since the epoch."""

    namespace: str
    name: str
    uid: str
    ready: bool
    terminating: bool
    created_at: float
    ready_at: float | None = None
    metrics_url: str | None = None
    """Where it serves its metrics itself, for reading an acknowledgement without waiting for a scrape."""


@dataclass(frozen=True, slots=True)
class Problem:
    """Something that is missing in the cluster: a reason in one word, and a sentence with the remedy."""

    reason: str
    message: str


@dataclass(frozen=True, slots=True)
class Workload:
    """Everything but the measurements that one look needs."""

    namespace: str
    api_pods: Maybe[tuple[Pod, ...]]
    pooler_pods: Maybe[tuple[Pod, ...]]
    target: Target
    store: Maybe[Store]
    neighbours: Maybe[tuple[Neighbour, ...]] = ()
    conflicts: tuple[Conflict, ...] = ()
    problems: tuple[Problem, ...] = ()
    """Without what these name nothing is decided."""
