"""`python -m tuner.release_policies`: takes the tuner's finalizer off all policies before the tuner is removed.

The chart runs it as its pre-delete hook. Nothing else is changed: every value stays as it is.
"""

from __future__ import annotations

import asyncio

import structlog

from tuner.actuate.paths import group_path
from tuner.cluster.api import JSON, ClusterApi
from tuner.crds import API_VERSION
from tuner.loop import FINALIZER
from tuner.settings import Settings

log = structlog.get_logger()


async def release(api: ClusterApi, namespaces: list[str]) -> int:
    """Remove the finalizer from the policies of `namespaces` (empty: of all); how many had it."""
    released = 0
    places = [f"/namespaces/{name}" for name in namespaces] or [""]
    for place in places:
        listed = await api.get(f"{group_path(API_VERSION)}{place}/tuningpolicies")
        for policy in listed["items"]:
            released += await _release_one(api, policy)
    return released


async def _release_one(api: ClusterApi, policy: JSON) -> bool:
    meta = policy["metadata"]
    finalizers = meta.get("finalizers", [])
    if FINALIZER not in finalizers:
        return False
    kept = [name for name in finalizers if name != FINALIZER]
    path = f"{group_path(API_VERSION)}/namespaces/{meta['namespace']}/tuningpolicies/{meta['name']}"
    patch = {"metadata": {"finalizers": kept, "resourceVersion": meta["resourceVersion"]}}
    await api.merge_patch(path, patch)
    log.info("policy released", policy=f"{meta['namespace']}/{meta['name']}")
    return True


async def main() -> None:
    api = await ClusterApi.connect()
    try:
        log.info("done", released=await release(api, Settings().namespace_list))
    finally:
        await api.close()


if __name__ == "__main__":
    asyncio.run(main())
