from __future__ import annotations

import json
import os
import socket
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml

from deploy import engines
from deploy.errors import DeployError, MissingError, NotReadyError
from deploy.platforms.node import agents, controlplane, host, layout, pki, requirements, state, storage, supervisor
from deploy.platforms.node.processes import Identity, end, identify, start, wait_ready
from deploy.platforms.node.state import State


@pytest.fixture
def plane(tmp_path: Path) -> controlplane.ControlPlane:
    programs = {name: Path("/programs", name) for name in ("etcd", "kube-apiserver", "kubectl", "kubelet")}
    return controlplane.ControlPlane(tmp_path, programs, "10.99.0.1", "10.99.0.1", 6443, 2379, 2380)


def test_the_state_survives_the_file(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "state.json"
    written = State(sysctls={"kernel.panic": "0"}, links=["trimtab0"])
    written.save(path)
    assert state.load(path) == written
    assert state.load(tmp_path / "none.json") is None


def test_a_state_that_cannot_be_read_is_no_empty_state(tmp_path: Path) -> None:
    (tmp_path / "state.json").write_text('{"links": 3}')
    with pytest.raises(DeployError, match=r"state\.json, cannot be read"):
        state.load(tmp_path / "state.json")


def test_mounts_are_found_innermost_first_and_only_below() -> None:
    text = "\n".join(
        f"{number} 1 0:1 / {point} rw - tmpfs tmpfs rw"
        for number, point in enumerate(["/", "/run/x", "/run/x/a", "/run/xy", "/run/x/a/b\\040c"])
    )
    assert host.mounts_below("/run/x", text) == ["/run/x/a/b c", "/run/x/a", "/run/x"]


def test_the_containerd_configuration_keeps_to_our_folders() -> None:
    config: dict[str, Any] = tomllib.loads(agents.containerd_config())
    assert config["grpc"]["address"] == str(layout.CONTAINERD_SOCKET)
    cri = config["plugins"]["io.containerd.grpc.v1.cri"]
    assert cri["restrict_oom_score_adj"] is True
    assert cri["containerd"]["runtimes"]["runc"]["options"]["Root"].startswith(str(layout.RUN))


def test_the_kubelet_leaves_the_hosts_rules_alone(plane: controlplane.ControlPlane) -> None:
    config = yaml.safe_load(agents.kubelet_config(plane, "/etc/resolv.conf"))
    assert config["makeIPTablesUtilChains"] is False
    assert not {config["evictionHard"]["nodefs.available"], config["evictionHard"]["imagefs.available"]} - {"0%"}


def test_pods_get_addresses_in_the_subnet_that_the_proxy_and_the_rules_know() -> None:
    (bridge,) = json.loads(agents.cni_config())["plugins"]
    assert bridge["ipam"]["ranges"] == [[{"subnet": "10.98.0.0/24"}]]
    assert bridge["ipMasq"] is False
    assert controlplane.POD_SUBNET in host.nat_rules()


def test_kubeadm_is_told_where_the_api_server_is(plane: controlplane.ControlPlane) -> None:
    init, cluster = yaml.safe_load_all(pki.kubeadm_config(plane, "n"))
    assert init["localAPIEndpoint"] == {"advertiseAddress": "10.99.0.1", "bindPort": 6443}
    assert cluster["controlPlaneEndpoint"] == "10.99.0.1:6443"


def test_there_is_one_default_storage_class_and_its_volumes_are_here() -> None:
    storage_class, *volumes = storage.manifests()
    assert storage_class["metadata"]["annotations"] == {"storageclass.kubernetes.io/is-default-class": "true"}
    assert len(volumes) == storage.COUNT
    assert all(volume["spec"]["storageClassName"] == storage_class["metadata"]["name"] for volume in volumes)
    assert all("local" in volume["spec"] and "hostPath" not in volume["spec"] for volume in volumes)


def test_a_port_in_use_is_named_with_the_remedy() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(MissingError, match=rf"in use.*{port}; see who listens"):
            requirements.require_free_ports((port,))
    requirements.require_free_ports((port,))


def test_without_root_the_message_says_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    monkeypatch.setenv("PATH", "")
    with pytest.raises(MissingError, match=r"needs root.*user 1000.*sudo"):
        requirements.require_root()
    with pytest.raises(MissingError, match=r"^building images .* needs root.*user 1000.*or start Docker$"):
        engines.engine()
    with pytest.raises(MissingError, match="apt-get install nowhere-package"):
        requirements.require_packages({"no-such-program": "nowhere-package"})


def test_the_pause_before_a_restart_grows_and_is_forgiven() -> None:
    assert [supervisor.pause_seconds(count, 1) for count in (1, 2, 3)] == [1.0, 2.0, 4.0]
    assert supervisor.pause_seconds(50, 1) == supervisor.LONGEST_PAUSE_SECONDS
    assert supervisor.pause_seconds(50, supervisor.HEALTHY_SECONDS) == 0.5


def test_a_process_is_known_by_its_start_and_ended(tmp_path: Path) -> None:
    child = start([sys.executable, "-c", "import time; time.sleep(600)"], tmp_path / "log")
    identity = identify("sleeper", child.pid)
    assert identity.process() is not None
    assert Identity("other", identity.pid, identity.started - 100).process() is None
    end([identity])
    child.wait()
    assert identity.process() is None


def test_a_component_that_ends_before_it_is_ready_shows_its_last_words(tmp_path: Path) -> None:
    child = start([sys.executable, "-c", "print('the port is taken')"], tmp_path / "log")
    identity = identify("etcd", child.pid)
    child.wait()
    with pytest.raises(NotReadyError, match=r"etcd ended before it was ready(.|\n)*the port is taken"):
        wait_ready("etcd", [sys.executable, "-c", "raise SystemExit(1)"], identity, tmp_path / "log", seconds=60)
