"""A real API server for the operator tests: etcd and kube-apiserver, started once for each test process."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from deploy.binaries import binaries
from deploy.errors import MissingError
from deploy.platforms.node import apiserver
from deploy.platforms.node.controlplane import ControlPlane


def pytest_collection_finish(session: pytest.Session) -> None:
    """Build the programs before the first test, visibly: it takes minutes, longer than the time limit of a test."""
    if not any("control_plane" in getattr(item, "fixturenames", ()) for item in session.items):
        return
    if session.config.getoption("collectonly"):
        return
    capture = session.config.pluginmanager.getplugin("capturemanager")
    assert capture is not None
    with capture.global_and_fixture_disabled():
        try:
            binaries(*apiserver.PROGRAMS)
        except MissingError:
            return  # the fixture below says so in the skipped tests


@pytest.fixture(scope="session")
def control_plane(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ControlPlane]:
    """The running API server: its kubeconfig, and the programs it came with (`program("kubectl")`)."""
    try:
        binaries(*apiserver.PROGRAMS)
    except MissingError as error:
        pytest.skip(str(error))
    with apiserver.running(tmp_path_factory.mktemp("apiserver")) as plane:
        yield plane


@pytest.fixture(scope="session")
def api_server(control_plane: ControlPlane) -> Path:
    """The path of a kubeconfig with which a client may do everything."""
    return control_plane.kubeconfig
