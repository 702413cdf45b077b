"""What one cycle says and keeps: only moves that were made, each failure once, nothing lost with the state."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
from prometheus_client import CollectorRegistry

from tests.unit.tuner_core.build import document, observation, policy
from tests.unit.tuner_shell.memory_platform import WORKLOAD, MemoryPlatform
from tuner.actuate.port import StoredState
from tuner.cluster.errors import ForbiddenError
from tuner.crds import SeriesLabels
from tuner.decide.decision import Decision, Reason
from tuner.decide.memory import Memory, Pending
from tuner.decide.plan import KnobsWrite, Plan, ScaleWrite, decide
from tuner.events import EventReason
from tuner.metrics import TunerMetrics
from tuner.model.beliefs import Beliefs
from tuner.observation import Absent
from tuner.observe.prometheus import Prometheus
from tuner.observe.source import Look, Source
from tuner.tune import Cycle

NOW = 1_000_000.0
BLIND = Look(Absent("no Prometheus"), Absent("no Prometheus"))


class Blind(Source):
    """Sees nothing."""

    async def look(self, namespace: str) -> Look:
        return BLIND


@pytest.fixture
def platform() -> MemoryPlatform:
    return MemoryPlatform()


@pytest.fixture
def registry() -> CollectorRegistry:
    return CollectorRegistry()


@pytest.fixture
def cycle(platform: MemoryPlatform, registry: CollectorRegistry) -> Cycle:
    return Cycle(platform, Blind(Prometheus("http://127.0.0.1:9"), SeriesLabels()), TunerMetrics(registry))


def moving(*decisions: Decision, now: float = NOW) -> Plan:
    """A plan that writes a document and scales 1 -> 2."""
    idle = decide(policy(), observation(), Beliefs(), Memory(), now)
    pending = Pending(decisions, 1, None, now - 60, confirmed_at=now - 50)
    return replace(
        idle,
        decisions=decisions,
        write=KnobsWrite(document(2), '{"documents":[]}', None),
        scale=ScaleWrite(1, 2),
        memory=replace(idle.memory, pending=pending),
    )


def test_the_error_of_a_prediction_is_a_series_that_goes_with_its_policy(registry: CollectorRegistry) -> None:
    metrics = TunerMetrics(registry)
    plan = replace(decide(policy(), observation(), Beliefs(), Memory(), NOW), errors=(("replicas", -0.25),))
    metrics.record(policy(), plan, NOW)
    labels = {"policy_namespace": "catalog", "policy": "catalog", "knob": "replicas"}
    assert registry.get_sample_value("trimtab_prediction_error_ratio", labels) == -0.25
    metrics.forget("catalog", "catalog")
    assert registry.get_sample_value("trimtab_prediction_error_ratio", labels) is None


def move(knob: str, reason: Reason = Reason.DEMAND, before: int = 1, after: int = 2) -> Decision:
    return Decision(NOW, knob, before, after, reason, "because")


async def carried_out(cycle: Cycle, plan: Plan, now: float = NOW) -> None:
    """The second half of a cycle: act and record."""
    known = await cycle._remember(policy())
    known = await cycle._keep_original(policy(), plan, observation(), known)
    done = await cycle._act(policy(), plan, WORKLOAD)
    await cycle._record(policy(), plan, known, Beliefs(), done, WORKLOAD, BLIND, now)


def told(platform: MemoryPlatform, reason: EventReason) -> list[str]:
    return [message for said, message in platform.events if said == reason]


async def test_a_move_that_was_refused_is_not_told_as_made(cycle: Cycle, platform: MemoryPlatform) -> None:
    platform.refusals["scale"] = ForbiddenError("no right to scale", 403)
    await carried_out(cycle, moving(move("apiPoolSize"), move("replicas")))
    assert told(platform, EventReason.KNOB_CHANGED) == ["apiPoolSize 1 -> 2: because"]
    assert len(platform.published) == 1 and platform.scaled == []


async def test_a_write_that_fails_at_each_look_is_told_once(cycle: Cycle, platform: MemoryPlatform) -> None:
    platform.refusals["publish"] = ForbiddenError("no right to write", 403)
    for tick in range(3):
        await carried_out(cycle, moving(move("apiPoolSize")), NOW + 5 * tick)
    assert told(platform, EventReason.WRITE_FAILED) == ["no right to write"]
    platform.refusals.clear()
    await carried_out(cycle, moving(move("apiPoolSize")), NOW + 15)
    platform.refusals["publish"] = ForbiddenError("no right to write", 403)
    await carried_out(cycle, moving(move("apiPoolSize")), NOW + 20)
    assert len(told(platform, EventReason.WRITE_FAILED)) == 2, "it worked in between"


async def test_an_undo_is_an_event_of_its_own_and_counted(
    cycle: Cycle, platform: MemoryPlatform, registry: CollectorRegistry
) -> None:
    await carried_out(cycle, moving(move("cacheTTL/search", Reason.UNDO, before=60, after=30)))
    assert told(platform, EventReason.CHANGE_UNDONE) == ["cacheTTL/search 60 -> 30: because"]
    assert told(platform, EventReason.KNOB_CHANGED) == []
    assert registry.get_sample_value("trimtab_rollbacks_total") == 1


async def test_a_state_that_was_deleted_is_made_anew(cycle: Cycle, platform: MemoryPlatform) -> None:
    await carried_out(cycle, moving(move("apiPoolSize")))
    assert platform.state.version is not None
    platform.state = StoredState({}, None)
    await carried_out(cycle, moving(move("apiPoolSize")), NOW + 5)
    assert platform.state.texts["state.json"]


async def test_values_from_before_survive_a_lost_state(cycle: Cycle, platform: MemoryPlatform) -> None:
    platform.first_original = json.dumps({"pooler_size": 9, "replicas": 3})
    known = await cycle._remember(policy())
    known = await cycle._keep_original(policy(), moving(move("apiPoolSize")), observation(), known)
    kept = json.loads(known.original or "")
    assert (kept["pooler_size"], kept["replicas"]) == (9, 3), "not what is in force now"


async def test_what_was_done_is_remembered_before_it_is_told(cycle: Cycle, platform: MemoryPlatform) -> None:
    platform.refusals["status"] = ForbiddenError("no right to the status", 403)
    with pytest.raises(ForbiddenError):
        await carried_out(cycle, moving(move("replicas")))
    assert json.loads(platform.state.texts["hand.json"])["replicas"] == 2


async def test_a_state_that_cannot_be_stored_silences_nothing(cycle: Cycle, platform: MemoryPlatform) -> None:
    await carried_out(cycle, moving(move("replicas")))
    platform.refusals["state"] = ForbiddenError("no right to the state", 403)
    with pytest.raises(ForbiddenError):
        await carried_out(cycle, moving(replace(move("replicas", before=2, after=3), time=NOW + 60)), NOW + 60)
    assert platform.statuses[-1].decisions[-1].to_value == 3
