"""The budget's invariant against a world that does its worst: whatever happens, live backends never exceed the budget.

The world: a store with versions (a PUT with an old version fails), up to 6 pooler pods with ordinals, each with what it
has mounted, what it has applied and what is known of it. Pods start, restart in place (losing what is in memory,
keeping the mount), are deleted by force, lag behind with their mounts, and their reports may be one report old. Two
tuners read at different times and write what they planned then, or die in between. The store may be deleted: pods keep
the last document until they restart, and then start with the chart's values. A pod whose ordinal is not below the
maxPods of its document has no connections.

Live backends of a pod = the size that it applied last. After every step their sum is <= F - slack and no size is 0.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from tests.unit.tuner_core.build import EPOCH, pooler_pod
from trimtab.knobs.document import KnobsDocument
from tuner.decide.budget import (
    Charged,
    Fence,
    charged,
    dump_ledger,
    largest_size,
    may_publish,
    next_generation,
    next_ledger,
    parse_ledger,
    unretired,
)
from tuner.observation import CHART_DEFAULTS, Absent, Acknowledgement, PoolerPod

FENCE = Fence(max_connections=40, reserved=10)  # F 30, slack 3, allocatable 27
CHART_PODS = 2
PODS = 6


@dataclass
class Pod:
    ordinal: int
    uid: str
    mounted: KnobsDocument | None
    applied: KnobsDocument | None
    chart_size: int
    old_report: tuple[Acknowledgement, int] | None = None

    @property
    def size(self) -> int:
        return self.applied.pooler.pool_size if self.applied and self.applied.pooler else self.chart_size

    @property
    def backends(self) -> int:
        most = self.applied.pooler.max_pods if self.applied and self.applied.pooler else CHART_PODS
        return self.size if self.ordinal < most else 0

    def report(self) -> tuple[Acknowledgement, int]:
        document = self.applied
        return (Acknowledgement(document.epoch, document.generation) if document else CHART_DEFAULTS), self.size


@dataclass
class Read:
    """What one tuner has read and not yet acted on."""

    version: int
    document: KnobsDocument | None
    ledger: str | None
    epoch: str
    pods: tuple[PoolerPod, ...]


@dataclass
class World:
    chart_size: int
    pods: dict[int, Pod] = field(default_factory=dict)
    document: KnobsDocument | None = None
    ledger: str | None = None
    version: int = 0
    epochs: int = 1
    started: int = 0
    published: int = 0

    @property
    def epoch(self) -> str:
        return f"{EPOCH[:-4]}{self.epochs:04x}"


class Budget(RuleBasedStateMachine):
    """Rules are the hazards of CONTROL.md, scoreboard row 8."""

    @initialize(chart_size=st.integers(1, 13))
    def begin(self, chart_size: int) -> None:
        self.world = World(chart_size)
        self.reads: dict[int, Read] = {}
        for ordinal in range(CHART_PODS):
            self.start(ordinal)

    @rule(ordinal=st.integers(0, PODS - 1))
    def start(self, ordinal: int) -> None:
        """A pod starts, or is deleted by force and made anew under the same name, with what is stored now."""
        world = self.world
        world.started += 1
        document = world.document
        world.pods[ordinal] = Pod(ordinal, f"uid-{world.started}", document, document, world.chart_size)

    @rule(ordinal=st.integers(0, PODS - 1))
    def delete(self, ordinal: int) -> None:
        if len(self.world.pods) > 1:
            self.world.pods.pop(ordinal, None)

    @rule(ordinal=st.integers(0, PODS - 1))
    def restart_in_place(self, ordinal: int) -> None:
        if pod := self.world.pods.get(ordinal):
            pod.old_report = pod.report()
            pod.applied = pod.mounted

    @rule(ordinal=st.integers(0, PODS - 1))
    def mount(self, ordinal: int) -> None:
        """The kubelet catches up: also with the deletion, when the file vanishes and the pod keeps what it has."""
        if pod := self.world.pods.get(ordinal):
            pod.mounted = self.world.document

    @rule(ordinal=st.integers(0, PODS - 1))
    def apply(self, ordinal: int) -> None:
        pod = self.world.pods.get(ordinal)
        if pod and pod.mounted and pod.mounted.supersedes(pod.applied):
            pod.old_report = pod.report()
            pod.applied = pod.mounted

    @rule(tuner=st.integers(0, 1), stale=st.sets(st.integers(0, PODS - 1)), silent=st.sets(st.integers(0, PODS - 1)))
    def read(self, tuner: int, stale: set[int], silent: set[int]) -> None:
        """A tuner reads: the store first, then the pods, some of them an old report, some none."""
        world = self.world
        pods = []
        for ordinal, pod in sorted(world.pods.items()):
            said, size = pod.report()
            if ordinal in stale and pod.old_report is not None and world.ledger is not None:
                said, size = pod.old_report
            seen = pooler_pod(ordinal, size=size, uid=pod.uid, acknowledged=said)
            if ordinal in silent:
                seen = pooler_pod(ordinal, uid=pod.uid, acknowledged=Absent("x"), pool_size=Absent("x"))
            pods.append(seen)
        self.reads[tuner] = Read(world.version, world.document, world.ledger, world.epoch, tuple(pods))

    @rule(tuner=st.integers(0, 1))
    def crash(self, tuner: int) -> None:
        self.reads.pop(tuner, None)

    @rule(ordinals=st.sets(st.integers(0, PODS - 1), min_size=1))
    def deliver(self, ordinals: set[int]) -> None:
        """The document arrives at some pods and is applied there."""
        for ordinal in ordinals:
            self.mount(ordinal=ordinal)
            self.apply(ordinal=ordinal)

    @rule(
        tuner=st.integers(0, 1), size=st.integers(1, 13), max_pods=st.integers(1, PODS), late=st.sets(st.integers(0, 1))
    )
    def tick(self, tuner: int, size: int, max_pods: int, late: set[int]) -> None:
        """A whole tick of one tuner: it reads, plans, writes the largest size that fits, and most pods follow."""
        self.read(tuner=tuner, stale=set(), silent=set())
        self.write(tuner=tuner, size=size, max_pods=max_pods, greedy=True)
        self.deliver(ordinals=set(range(PODS)) - late)

    @precondition(lambda self: bool(self.reads))
    @rule(tuner=st.integers(0, 1), size=st.integers(1, 40), max_pods=st.integers(1, PODS), greedy=st.booleans())
    def write(self, tuner: int, size: int, max_pods: int, greedy: bool) -> None:
        """A tuner writes what follows from what it has read, however long ago."""
        read, world = self.reads.get(tuner), self.world
        if read is None:
            return
        documents = unretired(read.document, parse_ledger(read.ledger), read.pods, CHART_PODS, False)
        if isinstance(documents, Absent):
            return
        if greedy:
            size = max(1, largest_size(FENCE.allocatable, documents, max_pods))
        new = KnobsDocument.model_validate({
            "epoch": read.epoch, "policy": "catalog",
            "generation": next_generation(read.epoch, read.document, read.pods),
            "pooler": {"poolSize": size, "maxPods": max_pods},
        })  # fmt: skip
        sized = charged(new, False)
        assert isinstance(sized, Charged)
        if not may_publish(FENCE.allocatable, documents, sized) or read.version != world.version:
            return
        world.document, world.ledger = new, dump_ledger(next_ledger(documents, sized))
        world.version += 1
        world.published += 1

    @precondition(lambda self: self.world.document is not None)
    @rule()
    def delete_the_store(self) -> None:
        """Somebody deletes the ConfigMap; a new one gets a new epoch. Reports are fresh while no ledger is there."""
        world = self.world
        world.document = world.ledger = None
        world.version += 1
        world.epochs += 1

    @invariant()
    def live_backends_fit(self) -> None:
        if hasattr(self, "world"):
            live = [pod.backends for pod in self.world.pods.values()]
            assert sum(live) <= FENCE.allocatable, live
            assert all(pod.size >= 1 for pod in self.world.pods.values())


Budget.TestCase.settings = settings(max_examples=250, stateful_step_count=40, deadline=None)
TestBudget = Budget.TestCase
