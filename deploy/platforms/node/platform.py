"""The node platform: a single-node Kubernetes as processes of this machine. `up` reads as the specification."""

from __future__ import annotations

import shutil
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from deploy.binaries import MODULES, binaries, go, missing
from deploy.commands import run
from deploy.errors import DeployError, NotReadyError
from deploy.platforms.node import (
    addons,
    agents,
    archive,
    controlplane,
    host,
    layout,
    pki,
    remains,
    requirements,
    state,
    supervisor,
)
from deploy.platforms.node.processes import end, identify, start, tail
from deploy.platforms.places import CHECKOUT
from deploy.progress import say, step

PROGRAMS = tuple(name for module in MODULES for name in module.packages if name != "helm")
READY_SECONDS = 180


class NodePlatform:
    """The one node that this machine can be."""

    name = "node"
    kubeconfig = layout.KUBECONFIG

    def require(self) -> None:
        requirements.require_root()
        if missing(*PROGRAMS):
            go()
        if state.load(layout.STATE) is None:
            requirements.require_free_ports()

    def up(self) -> None:
        self.require()
        requirements.require_packages()
        programs = binaries(*PROGRAMS)
        self.down()
        requirements.require_free_ports()
        plane = controlplane.ControlPlane(
            run=layout.RUN,
            binaries=programs,
            address=controlplane.NODE_ADDRESS,
            advertised=controlplane.NODE_ADDRESS,
            api_port=layout.API_PORT,
            etcd_port=layout.ETCD_PORT,
            etcd_peer_port=layout.ETCD_PEER_PORT,
        )
        try:
            self._start(plane)
        except BaseException:
            say("node: it did not come up, taking everything down again")
            self.down()
            raise

    def down(self) -> None:
        recorded = state.load(layout.STATE)
        if recorded is None and not layout.DATA.exists():  # the data outlive a reboot, the state does not
            return
        requirements.require_root()
        with step("node: ending its processes and restoring the machine"):
            remains.end_all()
            host.restore(recorded or host.files_alone())
        layout.KUBECONFIG.unlink(missing_ok=True)

    def status(self) -> str:
        processes = supervisor.load(layout.PROCESSES)
        if processes is None:
            return "node: not running\n"
        lines = []
        for each in [processes.supervisor, *processes.components]:
            alive = "running" if each.identity.process() else "dead"
            died = f", restarted {each.restarts} times, last ended {each.last_exit}" if each.restarts else ""
            lines.append(f"{each.name:<24} {alive} (process {each.pid}){died}")
        lines.append(f"kubeconfig: {layout.KUBECONFIG}")
        return "\n".join(lines) + "\n"

    def logs(self, component: str | None = None, *, lines: int = 40) -> str:
        names = sorted(path.stem for path in layout.LOGS.glob("*.log"))
        if component is not None and component not in names:
            raise DeployError(f"there is no log of {component!r}; there are: {', '.join(names) or 'none'}")
        chosen = [component] if component else names
        return "\n".join(f"==> {name}\n{tail(layout.LOGS / f'{name}.log', lines)}" for name in chosen) + "\n"

    def images(self) -> set[str]:
        return set(self._ctr("images", "list", "--quiet").split())

    def import_images(self, archives: Sequence[Path]) -> None:
        for each in archives:
            self._ctr("images", "import", str(each))

    def _ctr(self, *arguments: str) -> str:
        return run(["ctr", f"--address={layout.CONTAINERD_SOCKET}", "--namespace=k8s.io", *arguments])

    def _start(self, plane: controlplane.ControlPlane) -> None:
        with step("node: certificates and configuration"):
            host.prepare(layout.STATE)
            pki.create(plane, layout.NODE_NAME, "admin", "super-admin", "kubelet", "controller-manager", "scheduler")
            layout.CNI_CONFIG.mkdir(parents=True, exist_ok=True)
            (layout.CNI_CONFIG / "10-bridge.conflist").write_text(agents.cni_config())
            (layout.RUN / "containerd.toml").write_text(agents.containerd_config())
            (layout.RUN / "kubelet.yaml").write_text(agents.kubelet_config(plane, requirements.resolv_conf()))
        with step("node: etcd, API server, containerd, controllers, kubelet, proxy"):
            self._supervise(plane)
        with step("node: CoreDNS and volumes"):
            self._import_own_images(plane)
            addons.install(plane, layout.RUN / "kubeadm.yaml")
            addons.wait(plane, layout.NODE_NAME, READY_SECONDS)
        layout.KUBECONFIG.touch(mode=0o600)
        shutil.copyfile(layout.RUN / "admin.conf", layout.KUBECONFIG)
        say(f"node: ready; export KUBECONFIG={layout.KUBECONFIG}")

    def _supervise(self, plane: controlplane.ControlPlane) -> None:
        shutil.rmtree(layout.LOGS, ignore_errors=True)
        layout.LOGS.mkdir(parents=True)
        spec = supervisor.Supervision(
            components=[
                controlplane.etcd(plane),
                controlplane.api_server_of_node(plane),
                agents.containerd(),
                controlplane.controller_manager(plane),
                controlplane.scheduler(plane),
                agents.kubelet(plane),
                agents.kube_proxy(plane),
            ],
            logs=layout.LOGS,
            processes=layout.PROCESSES,
        )
        layout.SUPERVISION.write_text(spec.model_dump_json(indent=1))
        command = [sys.executable, "-m", "deploy.platforms.node.supervisor", str(layout.SUPERVISION)]
        log = layout.LOGS / "supervisor.log"
        process = start(command, log, cwd=CHECKOUT)
        identity = identify("supervisor", process.pid)
        deadline = time.monotonic() + 3 * READY_SECONDS
        while not ((now := supervisor.load(layout.PROCESSES)) and now.complete):
            if now and now.failure:
                end([identity])
                raise NotReadyError(now.failure)
            if identity.process() is None or time.monotonic() > deadline:
                raise NotReadyError(f"the node's supervisor did not start everything; the end of {log}:\n{tail(log)}")
            time.sleep(0.2)

    def _import_own_images(self, plane: controlplane.ControlPlane) -> None:
        for reference, program in ((agents.PAUSE_IMAGE, "pause"), (addons.COREDNS_IMAGE, "coredns")):
            file = layout.RUN / f"{program}.tar"
            archive.write(file, reference, plane.binaries[program])
            self.import_images([file])
            file.unlink()
