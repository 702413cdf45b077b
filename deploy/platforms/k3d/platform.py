"""The k3d platform: four k3d commands and one of docker behind the port."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path

from deploy.commands import run, succeeds
from deploy.errors import MissingError
from deploy.platforms.places import BUILD
from deploy.progress import step

CLUSTER = "trimtab"
SERVER = f"k3d-{CLUSTER}-server-0"
CONFIG = Path(__file__).parent / "cluster.yaml"


class K3dPlatform:
    """A cluster called `trimtab`, made of one k3s server in a container."""

    name = "k3d"
    kubeconfig = BUILD / "k3d" / "kubeconfig"

    def require(self) -> None:
        if shutil.which("k3d") is None:
            raise MissingError("k3d is not on PATH: install it (https://k3d.io), or use --platform node")
        if not succeeds(["docker", "info"]):
            raise MissingError("no Docker engine answers to `docker info`: start Docker, or use --platform node")

    def up(self) -> None:
        self.require()
        if self._exists():
            self.down()
        with step(f"k3d: creating the cluster {CLUSTER}"):
            run(["k3d", "cluster", "create", "--config", CONFIG])
        self.kubeconfig.parent.mkdir(parents=True, exist_ok=True)
        self.kubeconfig.touch(mode=0o600)
        self.kubeconfig.write_text(run(["k3d", "kubeconfig", "get", CLUSTER]))

    def down(self) -> None:
        self.require()
        if self._exists():
            with step(f"k3d: deleting the cluster {CLUSTER}"):
                run(["k3d", "cluster", "delete", CLUSTER])
        self.kubeconfig.unlink(missing_ok=True)

    def status(self) -> str:
        self.require()
        return run(["k3d", "cluster", "list", CLUSTER]) if self._exists() else "k3d: not running\n"

    def logs(self, component: str | None = None, *, lines: int = 40) -> str:
        self.require()
        return run(["docker", "logs", "--tail", str(lines), component or SERVER])

    def images(self) -> set[str]:
        return set(run(["docker", "exec", SERVER, "ctr", "--namespace=k8s.io", "images", "list", "--quiet"]).split())

    def import_images(self, archives: Sequence[Path]) -> None:
        if archives:
            run(["k3d", "image", "import", "--cluster", CLUSTER, *archives])

    def _exists(self) -> bool:
        return succeeds(["k3d", "cluster", "get", CLUSTER])
