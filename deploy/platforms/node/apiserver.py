"""A Kubernetes API server without a node: etcd and kube-apiserver as two processes on free loopback ports.

It has schema validation, CEL, RBAC, server-side apply, watches: all that an operator talks to. It has no controllers,
so nothing garbage-collects, and a deleted namespace stays `Terminating`. Needs no root, starts in seconds.
"""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from deploy.binaries import binaries
from deploy.platforms.node import pki
from deploy.platforms.node.controlplane import NODE_ADDRESS, Component, ControlPlane, api_server, etcd
from deploy.platforms.node.processes import end, identify, start, wait_ready

PROGRAMS = ("etcd", "kube-apiserver", "kubeadm", "kubectl")
READY_SECONDS = 120.0


@contextmanager
def running(folder: Path) -> Iterator[ControlPlane]:
    """A running API server with its files in `folder`; `plane.kubeconfig` is its administrator's.

    Raises MissingError where the programs must be built and there is no Go, NotReadyError where it does not start.
    """
    programs = binaries(*PROGRAMS)
    api_port, etcd_port, etcd_peer_port = free_ports(3)
    plane = ControlPlane(
        run=folder,
        binaries=programs,
        address="127.0.0.1",
        advertised=NODE_ADDRESS,  # must not be loopback; nothing connects to it
        api_port=api_port,
        etcd_port=etcd_port,
        etcd_peer_port=etcd_peer_port,
    )
    pki.create(plane, "none", "super-admin")
    with ExitStack() as stack:
        _run(stack, etcd(plane), folder)
        _run(stack, api_server(plane, "--endpoint-reconciler-type=none"), folder)
        yield plane


def free_ports(count: int) -> list[int]:
    """Ports of 127.0.0.1 that nobody listens on at this moment."""
    with ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for each in sockets:
            each.bind(("127.0.0.1", 0))
        return [int(each.getsockname()[1]) for each in sockets]


def _run(stack: ExitStack, component: Component, folder: Path) -> None:
    log = folder / f"{component.name}.log"
    process = start(component.command, log)
    identity = identify(component.name, process.pid)
    stack.callback(process.wait)
    stack.callback(end, [identity])
    if component.ready:
        wait_ready(component.name, component.ready, identity, log, seconds=READY_SECONDS)
