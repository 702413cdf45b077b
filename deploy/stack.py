"""The two releases of a Trimtab cluster: the reference stack, and the tuner. Names as in decision 0001."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from deploy import images, releases
from deploy.binaries import binaries
from deploy.platforms.places import CHECKOUT
from deploy.platforms.port import Platform
from deploy.releases import Release

CHARTS = CHECKOUT / "charts"
STACK, STACK_NAMESPACE = "catalog", "catalog"
TUNER, TUNER_NAMESPACE = "trimtab", "trimtab-system"
TUNER_IMAGES = ("tuner",)

# Here one pod of a load generator signs everybody in, from one address and as few users. The service's own limits
# (services/api/settings.py) are meant for people; the chart leaves them as they are.
LIMITS_FOR_LOAD = {  # as text: Helm would write a million as 1e+06
    "API_REGISTER_PER_MINUTE": "1000000",
    "API_TOKEN_PER_MINUTE": "1000000",
    "API_PASSWORD_TRIES_PER_MINUTE": "1000000",
}


def stack(references: Mapping[str, str], values: Mapping[str, Any] | None = None) -> Release:
    """`charts/stack` with the images of its services and limits that fit a load generator; `values` come on top."""
    named = {name: references[name] for name in images.SERVICES}
    given = dict(values or {})
    api = dict(given.get("api") or {})
    api["env"] = {**LIMITS_FOR_LOAD, **(api.get("env") or {})}
    return Release(STACK, STACK_NAMESPACE, CHARTS / "stack", {**given, "api": api, "images": named})


def tuner(references: Mapping[str, str], values: Mapping[str, Any] | None = None) -> Release:
    """`charts/tuner` with the operator's image; `values` come on top."""
    named = {name: references[name] for name in TUNER_IMAGES}
    return Release(TUNER, TUNER_NAMESPACE, CHARTS / "tuner", {**(values or {}), "images": named})


def install(
    platform: Platform,
    *,
    with_tuner: bool = True,
    stack_values: Mapping[str, Any] | None = None,
    tuner_values: Mapping[str, Any] | None = None,
) -> dict[str, str]:
    """Bring the images and both releases into the cluster; the references of the images by name."""
    binaries("helm", "kubectl")
    names = images.NAMES if with_tuner else images.SERVICES
    references = images.provide(platform, names)
    releases.install(platform.kubeconfig, stack(references, stack_values))
    if with_tuner:
        releases.install(platform.kubeconfig, tuner(references, tuner_values))
    return references


def uninstall(platform: Platform) -> None:
    """Remove both releases, the tuner first."""
    releases.uninstall(platform.kubeconfig, TUNER, TUNER_NAMESPACE)
    releases.uninstall(platform.kubeconfig, STACK, STACK_NAMESPACE)
