"""The writes of the port on a real API server: whoever wrote after the look wins."""

from __future__ import annotations

import json
import time
from collections.abc import AsyncIterator

import pytest

from deploy.platforms.node.controlplane import ControlPlane
from tests.integration.tuner.exporter import Exporter
from tests.operator.cluster import Cluster, install_crd, policy
from tests.operator.scene import Scene, fresh_name
from trimtab.knobs.document import KnobsDocument, PoolerKnobs
from tuner.actuate.kubernetes import KubernetesPlatform
from tuner.cluster.api import ClusterApi
from tuner.cluster.errors import ConflictError
from tuner.crds import TuningPolicy
from tuner.decide.plan import KnobsWrite, ScaleWrite
from tuner.observation import Store, present


class Ground:
    def __init__(self, scene: Scene, platform: KubernetesPlatform, subject: TuningPolicy) -> None:
        self.scene, self.platform, self.subject = scene, platform, subject

    async def store(self) -> Store:
        workload = await self.platform.look(self.subject, [], time.time())
        store = present(workload.store)
        assert store is not None
        return store

    def write(self, store: Store, generation: int) -> KnobsWrite:
        document = KnobsDocument(
            epoch=store.epoch, generation=generation, policy="catalog", pooler=PoolerKnobs(pool_size=3, max_pods=2)
        )
        return KnobsWrite(document, '{"documents":[]}', store.resource_version)


@pytest.fixture
async def ground(control_plane: ControlPlane) -> AsyncIterator[Ground]:
    install_crd(control_plane)
    scene = Scene(Cluster(control_plane, fresh_name("platform")), Exporter())
    scene.build()
    api = await ClusterApi.connect(control_plane.kubeconfig)
    made = scene.cluster.make(policy(pooler={"name": "catalog-pooler"}))
    yield Ground(scene, KubernetesPlatform(api), TuningPolicy.model_validate(made))
    await api.close()
    scene.close()


async def test_a_document_that_was_written_after_the_look_is_not_overwritten(ground: Ground) -> None:
    first = await ground.store()
    await ground.platform.publish(ground.subject, ground.write(first, 1), "{}")
    with pytest.raises(ConflictError):  # another tuner that also saw no ConfigMap
        await ground.platform.publish(ground.subject, ground.write(first, 7), "{}")
    seen = await ground.store()
    assert seen.epoch == first.epoch and seen.document is not None and seen.document.generation == 1
    patch = json.dumps({"metadata": {"labels": {"touched": "yes"}}})
    ground.scene.cluster.must("patch", "configmap", "catalog-knobs", "--type=merge", "-p", patch)
    with pytest.raises(ConflictError):
        await ground.platform.publish(ground.subject, ground.write(seen, 2), "{}")
    assert (ground.scene.document() or {})["generation"] == 1
    again = await ground.store()
    await ground.platform.publish(ground.subject, ground.write(again, 2), "{}")
    stored = ground.scene.cluster.get("configmap", "catalog-knobs") or {}
    assert stored["metadata"]["labels"]["touched"] == "yes", "what others put there is carried along"


async def test_replicas_that_changed_after_the_look_are_left_alone(ground: Ground) -> None:
    ground.scene.cluster.must("scale", "deployment", "catalog-api", "--replicas=3")
    with pytest.raises(ConflictError, match="has 3 replicas, the plan was made for 1"):
        await ground.platform.scale(ground.subject, ScaleWrite(before=1, replicas=2))
    assert ground.scene.replicas() == 3
    await ground.platform.scale(ground.subject, ScaleWrite(before=3, replicas=2))
    assert ground.scene.replicas() == 2


async def test_two_tuners_do_not_overwrite_each_others_memory(ground: Ground) -> None:
    version = await ground.platform.save_state(ground.subject, {"state.json": "1"}, None)
    await ground.platform.save_state(ground.subject, {"state.json": "2"}, version)
    with pytest.raises(ConflictError):
        await ground.platform.save_state(ground.subject, {"state.json": "3"}, version)
    assert (await ground.platform.load_state(ground.subject)).texts == {"state.json": "2"}
