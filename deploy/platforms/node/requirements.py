"""What a machine needs to be a node: root, packages, free ports. Each lack is one sentence with its remedy."""

from __future__ import annotations

import os
import shutil
import socket
from collections.abc import Mapping
from pathlib import Path

from deploy.commands import run
from deploy.errors import MissingError
from deploy.platforms.node.layout import PORTS
from deploy.progress import step

PACKAGES: Mapping[str, str] = {
    "containerd": "containerd",
    "runc": "runc",
    "ip": "iproute2",
    "nft": "nftables",
    "conntrack": "conntrack",
    "mount": "mount",
    "buildah": "buildah",
    "mmdebstrap": "mmdebstrap",
    "/usr/lib/cni/bridge": "containernetworking-plugins",
}
"""The Debian package that brings each program."""


def require_root(
    what: str = "the node platform (it starts containers and changes rules and sysctls)",
    instead: str = "use --platform k3d",
) -> None:
    if os.geteuid() != 0:
        raise MissingError(f"{what} needs root and this is user {os.geteuid()}: run it with sudo, or {instead}")


def require_packages(programs: Mapping[str, str] = PACKAGES) -> None:
    """Install with apt-get what is missing."""
    lacking = sorted({package for program, package in programs.items() if not _present(program)})
    if not lacking:
        return
    if os.geteuid() != 0 or shutil.which("apt-get") is None:
        raise MissingError(f"these Debian packages are missing: apt-get install {' '.join(lacking)}")
    quiet = {"DEBIAN_FRONTEND": "noninteractive"}
    with step(f"installing {' '.join(lacking)} with apt-get"):
        run(["apt-get", "update"], env=quiet)
        run(["apt-get", "install", "--yes", "--no-install-recommends", *lacking], env=quiet, timeout_seconds=1800)


def require_free_ports(ports: tuple[int, ...] = PORTS) -> None:
    """Raise MissingError when somebody listens on a port that a component will bind."""
    taken = [port for port in ports if not _is_free(port)]
    if taken:
        raise MissingError(
            f"these ports are in use and Kubernetes needs them: {', '.join(map(str, taken))}; see who listens with "
            "`ss --listening --tcp --processes` and end it (another Kubernetes?)"
        )


def resolv_conf() -> str:
    """The file with the machine's name servers: CoreDNS must not be given a stub on the loopback interface."""
    plain, behind_stub = Path("/etc/resolv.conf"), Path("/run/systemd/resolve/resolv.conf")
    stub = plain.exists() and "nameserver 127." in plain.read_text()
    return str(behind_stub if stub and behind_stub.exists() else plain)


def _present(program: str) -> bool:
    path = os.environ.get("PATH", "") + ":/usr/sbin:/sbin"
    return shutil.which(program, path=path) is not None


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # connections that ended do not count
        try:
            probe.bind(("0.0.0.0", port))
        except OSError:
            return False
    return True
