"""Platforms by name, and which one fits this machine."""

from __future__ import annotations

import shutil

from deploy.commands import succeeds
from deploy.errors import DeployError
from deploy.platforms.k3d.platform import K3dPlatform
from deploy.platforms.node.platform import NodePlatform
from deploy.platforms.port import Platform

NAMES = ("k3d", "node")


def platform(name: str) -> Platform:
    """The platform called `name`; raises DeployError for an unknown one."""
    if name == "node":
        return NodePlatform()
    if name == "k3d":
        return K3dPlatform()
    raise DeployError(f"there is no platform {name!r}: choose one of {', '.join(NAMES)}")


def fitting() -> tuple[str, str]:
    """The platform for this machine and the reason: k3d where a Docker engine answers and k3d is installed."""
    if not succeeds(["docker", "info"]):
        return "node", "no Docker engine answers to `docker info`"
    if shutil.which("k3d") is None:
        return "node", "k3d is not on PATH (a Docker engine answers)"
    return "k3d", "a Docker engine answers and k3d is on PATH"
