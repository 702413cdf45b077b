"""What the node changes on this machine, and taking it back: addresses, sysctls, rules, mounts, links, cgroups.

`prepare` records every change in the state file before making it. `restore` needs nothing but that file, so it works
after a crash, and after `kill -9` of everything.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import time
from pathlib import Path

from deploy.commands import run, succeeds
from deploy.errors import CommandError, DeployError
from deploy.platforms.node.controlplane import NODE_ADDRESS, POD_SUBNET
from deploy.platforms.node.layout import BRIDGE, CNI_NETWORK, DATA, NAT_TABLE, RUN
from deploy.platforms.node.state import State

SYSCTLS = {
    "net.ipv4.ip_forward": "1",
    "net.bridge.bridge-nf-call-iptables": "1",
    # These the kubelet sets by itself; named here so that `restore` puts back what was there before.
    "vm.overcommit_memory": "1",
    "vm.panic_on_oom": "0",
    "kernel.panic": "10",
    "kernel.panic_on_oops": "1",
    "kernel.keys.root_maxkeys": "1000000",
    "kernel.keys.root_maxbytes": "25000000",
}
PROXY_TABLES = ("ip kube-proxy", "ip6 kube-proxy")
CGROUP = Path("/sys/fs/cgroup")
POD_CGROUP = "kubepods"
UNMOUNT_ATTEMPTS = 20


def prepare(state_file: Path) -> None:
    """Make this machine able to be a node; each change is recorded in `state_file` first."""
    succeeds(["modprobe", "--all", "br_netfilter", "overlay"])  # built into some kernels, so a failure is no error
    state = State(
        sysctls={name: value for name in SYSCTLS if (value := _read_sysctl(name)) is not None},
        addresses=[f"{NODE_ADDRESS}/32"],
        links=[BRIDGE],
        tables=[f"ip {NAT_TABLE}", *PROXY_TABLES],
        mounts_below=[str(RUN), str(DATA)],
        cgroups=[] if _pod_cgroups() else [POD_CGROUP],
    )
    state.save(state_file)
    if "net.bridge.bridge-nf-call-iptables" not in state.sysctls:
        raise DeployError("the kernel has no bridge netfilter (module br_netfilter): Services would not work from pods")
    for name in state.sysctls:
        _write_sysctl(name, SYSCTLS[name])
    run(["ip", "address", "replace", f"{NODE_ADDRESS}/32", "dev", "lo"])
    run(["nft", "--file", "-"], stdin=nat_rules())


def nat_rules() -> str:
    """Pods reach the world under this machine's address; one table, so that taking it back is one command."""
    return f"""table ip {NAT_TABLE} {{
  chain postrouting {{
    type nat hook postrouting priority srcnat; policy accept;
    ip saddr {POD_SUBNET} ip daddr != {POD_SUBNET} masquerade
  }}
}}
"""


def files_alone() -> State:
    """What is left when the machine was restarted with a node up."""
    return State(mounts_below=[str(RUN), str(DATA)])


def restore(state: State) -> None:
    """Take back every change in `state`. The node's processes must have ended before."""
    for folder in state.mounts_below:
        _unmount_below(folder)
    for link in state.links:
        if Path("/sys/class/net", link).exists():
            run(["ip", "link", "delete", link])
    for table in state.tables:
        succeeds(["nft", "delete", "table", *table.split()])
    for address in state.addresses:
        succeeds(["ip", "address", "delete", address, "dev", "lo"])
    for name in state.cgroups:
        _remove_cgroups(name)
    for name, value in state.sysctls.items():
        _write_sysctl(name, value)
    _remove_files()


def mounts_below(folder: str, mountinfo: str) -> list[str]:
    """The mount points at or below `folder` in the text of /proc/self/mountinfo, innermost first. Pure."""
    points = [line.split()[4].replace("\\040", " ") for line in mountinfo.splitlines()]
    return [point for point in reversed(points) if point == folder or point.startswith(f"{folder}/")]


def _unmount_below(folder: str) -> None:
    """Anew after each round: a mount may hide another, and a dying process may still hold one."""
    for _ in range(UNMOUNT_ATTEMPTS):
        points = mounts_below(folder, Path("/proc/self/mountinfo").read_text())
        if not points:
            return
        for point in points:
            succeeds(["umount", point]) or succeeds(["umount", "--lazy", point])
        time.sleep(0.1)
    raise DeployError(f"these mounts are in use and stay: {', '.join(points)}; see `fuser --mount {points[0]}`")


def _pod_cgroups(name: str = POD_CGROUP) -> list[Path]:
    """The cgroup of all pods: one directory under cgroup v2, one a controller under v1."""
    return [path for path in (CGROUP / name, *CGROUP.glob(f"*/{name}")) if path.is_dir()]


def _remove_cgroups(name: str) -> None:
    for top in _pod_cgroups(name):
        for folder, _, _ in os.walk(top, topdown=False):
            with contextlib.suppress(OSError):  # busy for a moment after its last process; the next `up` tries again
                Path(folder).rmdir()


def _remove_files() -> None:
    for path in (RUN, DATA):
        shutil.rmtree(path, ignore_errors=True)
    for cached in Path("/var/lib/cni/results").glob(f"{CNI_NETWORK}-*"):
        cached.unlink(missing_ok=True)
    for link in Path("/var/log/containers").glob("*.log"):  # the kubelet's links into our folder; its path is fixed
        if link.is_symlink() and str(DATA) in str(link.readlink()):
            link.unlink(missing_ok=True)


def _sysctl_path(name: str) -> Path:
    return Path("/proc/sys", *name.split("."))


def _read_sysctl(name: str) -> str | None:
    try:
        return _sysctl_path(name).read_text().strip()
    except OSError:
        return None


def _write_sysctl(name: str, value: str) -> None:
    if _read_sysctl(name) == value:
        return
    try:
        _sysctl_path(name).write_text(value)
    except OSError as error:
        raise CommandError(f"the sysctl {name} cannot be set to {value}: {error.strerror}") from error
