"""One loop over all policies: a deletion always ends, and a policy that cannot be used stops no other."""

from __future__ import annotations

import asyncio
from typing import Any, cast

import pytest
from prometheus_client import CollectorRegistry

from tests.unit.tuner_core.build import policy
from tests.unit.tuner_shell.memory_platform import MemoryPlatform
from tuner import loop as looping
from tuner.actuate.kubernetes import KubernetesPlatform
from tuner.crds import TuningPolicy
from tuner.loop import FINALIZER, Loop
from tuner.metrics import TunerMetrics


class Clustered(MemoryPlatform):
    """With the few things that only the loop asks of a cluster."""

    async def secret(self, namespace: str, name: str) -> dict[str, str]:
        self._refuse("secret")
        return {"ca.crt": "no certificate"}

    async def refuse(self, body: dict[str, Any], message: str) -> None:
        self.events.append(("Refused", message))


def body(name: str, *, deleting: bool = False, **spec: Any) -> dict[str, Any]:
    wanted = policy(prometheus={"url": "http://127.0.0.1:9"}, onDelete="Restore", **spec)
    found = wanted.model_dump(mode="json", by_alias=True, exclude_none=True)
    found["metadata"] |= {"name": name, "uid": name, "resourceVersion": "1", "finalizers": [FINALIZER], "generation": 1}
    if deleting:
        found["metadata"]["deletionTimestamp"] = "2026-11-22T12:00:00Z"
    return found


def loop_over(platform: MemoryPlatform, *bodies: dict[str, Any]) -> Loop:
    loop = Loop(cast("KubernetesPlatform", platform), TunerMetrics(CollectorRegistry()), 4)
    for one in bodies:
        loop.seen(one)
    return loop


async def until(running: Loop, met: Any) -> None:
    task = asyncio.create_task(running.run())
    try:
        async with asyncio.timeout(30):
            while not met():  # noqa: ASYNC110 - anything may be met
                await asyncio.sleep(0.05)
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def test_a_deletion_ends_although_restoring_fails_in_an_unforeseen_way(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(looping, "RESTORE_PATIENCE_SECONDS", 0.01)
    platform = Clustered(refusals={"look": KeyError("status")})
    await until(loop_over(platform, body("catalog", deleting=True)), lambda: platform.finalizers)
    assert platform.finalizers == [("catalog/catalog", False)]
    assert [reason for reason, _ in platform.events] == ["RestoreIncomplete"]


async def test_a_policy_of_another_version_can_be_deleted() -> None:
    unknown = body("catalog", deleting=True)
    unknown["spec"]["mode"] = "Dream"
    with pytest.raises(ValueError, match="mode"):
        TuningPolicy.model_validate(unknown)
    platform = Clustered()
    await until(loop_over(platform, unknown), lambda: platform.finalizers)
    assert platform.finalizers == [("catalog/catalog", False)]


async def test_policies_that_cannot_be_looked_at_stop_no_other_and_say_so() -> None:
    refused = body("refused")
    refused["spec"]["mode"] = "Dream"
    secret = body("secret")
    secret["spec"]["prometheus"]["secretRef"] = {"name": "credentials"}
    platform = Clustered()
    running = loop_over(platform, refused, secret, body("good"))
    await until(running, lambda: len(platform.statuses) >= 2 and any(r == "Refused" for r, _ in platform.events))
    said = [c.message for status in platform.statuses for c in status.conditions if c.type == "MetricsAvailable"]
    assert any("the Secret credentials of spec.prometheus.secretRef cannot be used" in message for message in said)
