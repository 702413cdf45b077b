"""What is in force: the value of each knob now, from the stored document where it has one, else from the pods.

A knob whose value nobody can tell, or about which pods differ, is None: it is not moved.
"""

from __future__ import annotations

from dataclasses import dataclass

from trimtab.knobs.document import KnobsDocument
from tuner.crds.policy import TuningPolicySpec
from tuner.observation import Acknowledgement, ApiPod, Observation, PoolerPod, present


@dataclass(frozen=True, slots=True)
class InForce:
    """Values of a pod, except `replicas`. `unit`: pooler pods that may exist, which turns a pod's size into a total."""

    pooler_size: int | None
    unit: int
    api_pool: int | None
    concurrency: int | None
    replicas: int | None
    ttl: dict[str, int]

    @property
    def connections(self) -> int | None:
        """Server connections over all pooler pods, the unit of poolerPoolSize."""
        return None if self.pooler_size is None else self.pooler_size * self.unit


def in_force(
    spec: TuningPolicySpec, observation: Observation, document: KnobsDocument | None, apis: tuple[ApiPod, ...],
    poolers: tuple[PoolerPod, ...],
) -> InForce:  # fmt: skip
    """The knobs' values; `apis` and `poolers` are the ready pods."""
    api = document.api if document is not None else None
    pooler = document.pooler if document is not None else None
    ttl = {group: seconds for group in spec.knobs.ttl_by_group if (seconds := _ttl_of(group, apis)) is not None}
    if api is not None:
        ttl.update(api.cache_ttl_seconds)
    return InForce(
        pooler_size=pooler.pool_size if pooler else _agreed([present(pod.pool_size) for pod in poolers]),
        unit=spec.pooler.max_pods if spec.pooler else 1,
        api_pool=(api and api.pool_size) or _agreed([present(pod.pool_size) for pod in apis]),
        concurrency=(api and api.concurrency) or _agreed([present(pod.concurrency_limit) for pod in apis]),
        replicas=present(observation.target.spec_replicas),
        ttl=ttl,
    )


def _agreed(values: list[int | None]) -> int | None:
    distinct = set(values)
    value = distinct.pop() if len(distinct) == 1 else None
    return value if value is not None and value >= 1 else None


def _ttl_of(group: str, apis: tuple[ApiPod, ...]) -> int | None:
    seen: list[int | None] = []
    for pod in apis:
        for traffic in present(pod.cache) or ():
            seconds = present(traffic.ttl_seconds)
            if traffic.group == group and seconds is not None:
                seen.append(round(seconds))
    return _agreed(seen)


def confirmed(pods: tuple[ApiPod | PoolerPod, ...], epoch: str, generation: int) -> int:
    """How many of `pods` acknowledge `generation` of `epoch` or a later one."""
    return sum(1 for pod in pods if _has(present(pod.acknowledged), epoch, generation))


def _has(said: Acknowledgement | None, epoch: str, generation: int) -> bool:
    return said is not None and said.generation > 0 and (said.epoch, said.generation) >= (epoch, generation)
