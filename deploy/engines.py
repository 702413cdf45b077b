"""Two programs that build images: Docker where an engine answers, buildah elsewhere. Same Dockerfiles, same names."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Protocol

from deploy.commands import run, run_logged, succeeds
from deploy.platforms.node.requirements import require_packages, require_root
from deploy.progress import step

BASE_IMAGE = "docker.io/library/debian:trixie-slim"
BASE_SUITE = "trixie"
BASE_PACKAGES = "ca-certificates"
"""In the base already, because its installation replaces the bundle, which fails where ours is mounted over it."""

CERTIFICATES = "/etc/ssl/certs/ca-certificates.crt"
BUILD_SECONDS = 1800

BUILDAH = {"STORAGE_DRIVER": "overlay", "BUILDAH_ISOLATION": "chroot"}
"""chroot isolation needs no container runtime; a cluster that runs beside the build is left alone."""

BUILDAH_PACKAGES: Mapping[str, str] = {"buildah": "buildah", "mmdebstrap": "mmdebstrap"}

LEFT_OUT = ("man", "info", "locale", "groff", "linda", "lintian", "doc")
SLIM = (
    *(f"--dpkgopt=path-exclude=/usr/share/{folder}/*" for folder in LEFT_OUT),
    "--dpkgopt=path-include=/usr/share/doc/*/copyright",
)
"""What Debian's own slim images leave out."""


class Engine(Protocol):
    """Builds and keeps images by reference."""

    name: str

    def has(self, reference: str) -> bool: ...

    def build(self, reference: str, dockerfile: Path, context: Path, log: Path) -> None: ...

    def export(self, reference: str, archive: Path) -> None: ...


class Docker:
    name = "Docker"

    def has(self, reference: str) -> bool:
        return succeeds(["docker", "image", "inspect", reference])

    def build(self, reference: str, dockerfile: Path, context: Path, log: Path) -> None:
        run_logged(["docker", "build", "--tag", reference, "--file", dockerfile, context], log)

    def export(self, reference: str, archive: Path) -> None:
        run(["docker", "save", "--output", archive, reference])


class Buildah:
    """buildah without registry: the base image is made from Debian's packages when it is not there."""

    name = "buildah"

    def has(self, reference: str) -> bool:
        return succeeds(["buildah", "inspect", "--type", "image", reference], env=BUILDAH)

    def build(self, reference: str, dockerfile: Path, context: Path, log: Path) -> None:
        self._require_base()
        # Where the machine's connections end in a proxy with its own authority, a build that downloads over TLS must
        # trust it too; the image itself keeps Debian's bundle.
        bundle = ["--volume", f"{CERTIFICATES}:{CERTIFICATES}:ro"] if Path(CERTIFICATES).exists() else []
        options = ["--layers", *bundle, "--tag", reference]
        run_logged(["buildah", "bud", *options, "--file", dockerfile, context], log, env=BUILDAH)

    def export(self, reference: str, archive: Path) -> None:
        archive.unlink(missing_ok=True)  # buildah never overwrites one
        run(["buildah", "push", "--quiet", reference, f"docker-archive:{archive}:{reference}"], env=BUILDAH)

    def _require_base(self) -> None:
        if self.has(BASE_IMAGE):
            return
        with step(f"making {BASE_IMAGE} from Debian's packages"), tempfile.TemporaryDirectory() as folder:
            root = Path(folder, "root.tar")
            options = ["--variant=minbase", f"--include={BASE_PACKAGES}", *SLIM]
            run(["mmdebstrap", *options, BASE_SUITE, root], timeout_seconds=BUILD_SECONDS)
            container = run(["buildah", "from", "scratch"], env=BUILDAH).strip()
            try:
                run(["buildah", "add", "--quiet", container, root, "/"], env=BUILDAH)
                run(["buildah", "config", "--cmd", "bash", container], env=BUILDAH)
                run(["buildah", "commit", "--quiet", container, BASE_IMAGE], env=BUILDAH)
            finally:
                run(["buildah", "rm", container], env=BUILDAH)


def engine() -> Engine:
    """Docker where an engine answers, else buildah, which is installed where it is missing."""
    if succeeds(["docker", "info"]):
        return Docker()
    require_root("building images without a Docker engine (none answers to `docker info`)", "start Docker")
    require_packages(BUILDAH_PACKAGES)
    return Buildah()
