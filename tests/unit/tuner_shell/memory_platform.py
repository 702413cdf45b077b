"""The port of `tuner.actuate` in memory: one workload as given, writes as lists, refusals on demand."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from tests.unit.tuner_core.build import EPOCH
from tuner.actuate.port import StoredState
from tuner.cluster.errors import ConflictError, NotFoundError
from tuner.crds import TuningPolicy, TuningPolicyStatus
from tuner.decide.plan import KnobsWrite, ScaleWrite
from tuner.observation import Store, Target
from tuner.workload import Pod, Workload

WORKLOAD = Workload(
    namespace="catalog",
    api_pods=(),
    pooler_pods=(),
    target=Target(spec_replicas=1, ready_replicas=1),
    store=Store(EPOCH),
)


@dataclass
class MemoryPlatform:
    """Implements `tuner.actuate.port.Platform`. `refusals`: what the named write raises, as long as it is there."""

    workload: Workload = WORKLOAD
    refusals: dict[str, Exception] = field(default_factory=dict)
    first_original: str | None = None
    published: list[KnobsWrite] = field(default_factory=list)
    scaled: list[ScaleWrite] = field(default_factory=list)
    events: list[tuple[str, str]] = field(default_factory=list)
    statuses: list[TuningPolicyStatus] = field(default_factory=list)
    state: StoredState = field(default_factory=lambda: StoredState({}, None))
    finalizers: list[tuple[str, bool]] = field(default_factory=list)

    def _refuse(self, what: str) -> None:
        if what in self.refusals:
            raise self.refusals[what]

    async def look(self, policy: TuningPolicy, others: Iterable[TuningPolicy], now: float) -> Workload:
        self._refuse("look")
        return self.workload

    async def publish(self, policy: TuningPolicy, write: KnobsWrite, original: str | None) -> None:
        self._refuse("publish")
        self.published.append(write)
        self.first_original = self.first_original or original

    async def scale(self, policy: TuningPolicy, write: ScaleWrite) -> None:
        self._refuse("scale")
        self.scaled.append(write)

    async def nudge(self, pods: Iterable[Pod], generation: int) -> None:
        pass

    async def original(self, policy: TuningPolicy) -> str | None:
        return self.first_original

    async def load_state(self, policy: TuningPolicy) -> StoredState:
        return self.state

    async def save_state(self, policy: TuningPolicy, texts: dict[str, str], version: str | None) -> str:
        self._refuse("state")
        if version is not None and self.state.version is None:
            raise NotFoundError("the state is gone", 404)
        if version != self.state.version:
            raise ConflictError("the state is another one", 409)
        self.state = StoredState(texts, str(int(version or 0) + 1))
        return self.state.version or ""

    async def write_status(self, policy: TuningPolicy, status: TuningPolicyStatus) -> None:
        self._refuse("status")
        self.statuses.append(status)

    async def announce(self, policy: TuningPolicy, reason: str, message: str, *, warning: bool = False) -> None:
        self.events.append((str(reason), message))

    async def set_finalizer(self, policy: TuningPolicy, finalizer: str, *, present: bool) -> None:
        self.finalizers.append((policy.key, present))
