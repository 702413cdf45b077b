"""The operator tests' own ground: the API server is a real one."""

from __future__ import annotations

import json

import pytest

from deploy.binaries import KUBERNETES_VERSION
from deploy.commands import run
from deploy.errors import CommandError
from deploy.platforms.node.controlplane import ControlPlane


def kubectl(plane: ControlPlane, *arguments: str, stdin: str | None = None) -> str:
    return run([plane.program("kubectl"), f"--kubeconfig={plane.kubeconfig}", *arguments], stdin=stdin)


def test_it_is_the_pinned_version(control_plane: ControlPlane) -> None:
    version = json.loads(kubectl(control_plane, "get", "--raw", "/version"))
    assert version["gitVersion"] == KUBERNETES_VERSION


def test_it_validates_what_it_stores(control_plane: ControlPlane) -> None:
    bad = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "bad"}, "data": {"a/b": "no key has a slash"}}
    with pytest.raises(CommandError, match="Invalid value"):
        kubectl(control_plane, "create", "--filename=-", stdin=json.dumps(bad))
