"""The calls that the k3d platform makes, recorded by stand-ins for k3d and docker on PATH."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

from deploy.errors import MissingError
from deploy.platforms import choose
from deploy.platforms.k3d import platform as k3d
from deploy.platforms.port import Platform

RECORDER = """#!/bin/sh
PATH=/usr/bin:/bin
echo "$(basename "$0") $*" >> {log}
case "$*" in
  "cluster create"*) touch {cluster} ;;
  "cluster delete"*) rm {cluster} ;;
  "cluster get"*) test -e {cluster} ;;
  "kubeconfig get"*) echo "a kubeconfig" ;;
  "exec"*) echo "docker.io/library/x:1" ;;
esac
"""


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Puts stand-ins of the named programs on PATH, and nothing else."""
    monkeypatch.setattr(k3d.K3dPlatform, "kubeconfig", tmp_path / "build" / "kubeconfig")
    (tmp_path / "bin").mkdir()
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))

    def install(*programs: str) -> None:
        for program in programs:
            path = tmp_path / "bin" / program
            path.write_text(RECORDER.format(log=tmp_path / "log", cluster=tmp_path / "cluster"))
            path.chmod(0o755)

    return install


def calls(tmp_path: Path) -> list[str]:
    """What was called, without the questions whether things are there."""
    lines = (tmp_path / "log").read_text().splitlines()
    (tmp_path / "log").unlink()
    return [line for line in lines if line != "docker info" and not line.startswith("k3d cluster get")]


def test_up_import_and_down_are_these_calls(tmp_path: Path, install: Callable[..., None]) -> None:
    install("k3d", "docker")
    platform: Platform = k3d.K3dPlatform()
    platform.up()
    assert calls(tmp_path) == [f"k3d cluster create --config {k3d.CONFIG}", "k3d kubeconfig get trimtab"]
    assert platform.kubeconfig.read_text() == "a kubeconfig\n"
    assert platform.kubeconfig.stat().st_mode & 0o077 == 0

    assert platform.images() == {"docker.io/library/x:1"}
    platform.import_images([Path("/a.tar")])
    assert calls(tmp_path)[1:] == ["k3d image import --cluster trimtab /a.tar"]

    platform.down()
    assert calls(tmp_path) == ["k3d cluster delete trimtab"]
    assert not platform.kubeconfig.exists()
    platform.down()
    assert calls(tmp_path) == []


def test_up_replaces_an_earlier_cluster(tmp_path: Path, install: Callable[..., None]) -> None:
    install("k3d", "docker")
    (tmp_path / "cluster").touch()
    k3d.K3dPlatform().up()
    assert [line.split()[2] for line in calls(tmp_path)] == ["delete", "create", "get"]


def test_what_is_missing_is_named(install: Callable[..., None]) -> None:
    with pytest.raises(MissingError, match="k3d is not on PATH"):
        k3d.K3dPlatform().require()
    install("k3d")
    with pytest.raises(MissingError, match="no Docker engine answers"):
        k3d.K3dPlatform().up()


def test_the_platform_that_fits_is_told_with_the_reason(install: Callable[..., None]) -> None:
    assert choose.fitting() == ("node", "no Docker engine answers to `docker info`")
    install("docker")
    assert choose.fitting() == ("node", "k3d is not on PATH (a Docker engine answers)")
    install("k3d")
    assert choose.fitting()[0] == "k3d"


def test_the_configuration_never_touches_the_users_kubeconfig() -> None:
    config = yaml.safe_load(k3d.CONFIG.read_text())
    assert config["apiVersion"] == "k3d.io/v1alpha5"
    assert config["metadata"]["name"] == k3d.CLUSTER
    assert config["options"]["kubeconfig"] == {"updateDefaultKubeconfig": False, "switchCurrentContext": False}
