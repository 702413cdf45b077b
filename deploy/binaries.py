"""The programs that Trimtab builds from pinned Go modules: Kubernetes, etcd, Helm, CoreDNS, pause.

Each module has a folder under `platforms/node/go/` whose go.mod and go.sum pin every dependency by hash. A binary is
built once and kept under `<cache>/<module>-<key>/<name>`; the key is a hash of the folder and of the build's flags, so
another version lands beside the old one. Only what is asked for is built: the operator tests need no kubelet.
"""

from __future__ import annotations

import hashlib
import os
import platform
import re
import shutil
import subprocess
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

from deploy.commands import failure, run
from deploy.errors import CommandError, DeployError, MissingError
from deploy.locks import locked
from deploy.progress import say

KUBERNETES_VERSION = "v1.35.4"
COREDNS_VERSION = "v1.14.6"
HELM_VERSION = "v4.3.1"

GO_MODULES = Path(__file__).parent / "platforms" / "node" / "go"
BUILD_FLAGS = ("-trimpath", "-buildvcs=false", "-mod=readonly")
USUAL_GO = "/usr/local/go/bin:/usr/lib/go/bin"
"""Where Go's own archive and the distributions put it, for a PATH that lacks it."""

DOWNLOAD_SECONDS = 1800.0
REPORT_SECONDS = 15
"""How often a running build says how far it is."""


@dataclass(frozen=True)
class Module:
    """One pinned Go module: which of its packages are programs, and the linker's variables."""

    name: str
    packages: Mapping[str, str]
    variables: Mapping[str, str] = field(default_factory=dict)

    @property
    def folder(self) -> Path:
        return GO_MODULES / self.name

    @property
    def linker_flags(self) -> str:
        return " ".join(["-s", "-w", *(f"-X {name}={value}" for name, value in sorted(self.variables.items()))])


_MAJOR, _MINOR = KUBERNETES_VERSION.removeprefix("v").split(".")[:2]
MODULES = (
    Module(
        "kubernetes",
        {
            "etcd": "go.etcd.io/etcd/server/v3",
            **{
                name: f"k8s.io/kubernetes/cmd/{name}"
                for name in (
                    "kube-apiserver",
                    "kube-controller-manager",
                    "kube-proxy",
                    "kube-scheduler",
                    "kubeadm",
                    "kubectl",
                    "kubelet",
                )
            },
        },
        {
            "k8s.io/component-base/version.gitVersion": KUBERNETES_VERSION,
            "k8s.io/component-base/version.gitMajor": _MAJOR,
            "k8s.io/component-base/version.gitMinor": _MINOR,
            "k8s.io/component-base/version.gitTreeState": "clean",
        },
    ),
    Module("coredns", {"coredns": "github.com/coredns/coredns"}),
    Module("helm", {"helm": "helm.sh/helm/v4/cmd/helm"}, {"helm.sh/helm/v4/internal/version.version": HELM_VERSION}),
    Module("pause", {"pause": "trimtab.dev/deploy/pause"}),
)


def cache_root() -> Path:
    """Where built things are kept: `TRIMTAB_CACHE`, or `~/.cache/trimtab`."""
    return Path(os.environ.get("TRIMTAB_CACHE") or Path.home() / ".cache" / "trimtab").absolute()


def key(module: Module) -> str:
    """Twelve hexadecimal digits that change with the module's files, its flags or the machine's kind."""
    digest = hashlib.sha256()
    for path in sorted(module.folder.iterdir()):
        digest.update(path.name.encode() + b"\0" + path.read_bytes() + b"\0")
    digest.update("\0".join((*BUILD_FLAGS, module.linker_flags, platform.system(), platform.machine())).encode())
    return digest.hexdigest()[:12]


def folder_of(module: Module) -> Path:
    """Where the module's binaries are, or will be."""
    return cache_root() / f"{module.name}-{key(module)}"


def find(name: str) -> Path | None:
    """The cached binary, or None where it has not been built."""
    path = folder_of(_module_of(name)) / name
    return path if path.exists() else None


def missing(*names: str) -> tuple[str, ...]:
    """Those of `names` that would have to be built."""
    return tuple(name for name in names if find(name) is None)


def binaries(*names: str) -> dict[str, Path]:
    """The paths of the named programs; builds those that are not in the cache, with progress.

    Raises MissingError when something must be built and there is no Go, CommandError when a build fails.
    """
    for module in MODULES:
        wanted = tuple(name for name in names if name in module.packages)
        if missing(*wanted):
            _build(module, wanted)
    return {name: folder_of(_module_of(name)) / name for name in names}


def binary(name: str) -> Path:
    """The path of one program; see `binaries`."""
    return binaries(name)[name]


def go() -> Path:
    """The go command, at least of the version that the modules ask for."""
    found = shutil.which("go") or shutil.which("go", path=USUAL_GO)
    needed = _go_needed()
    remedy = f"install Go {'.'.join(map(str, needed))} or later (https://go.dev/dl) and put it on PATH"
    if found is None:
        raise MissingError(f"Go is not on PATH, and Kubernetes' binaries are not in {cache_root()}: {remedy}")
    version = run([found, "env", "GOVERSION"]).strip()
    numbers = tuple(int(part) for part in re.findall(r"\d+", version)[:2])
    if numbers < needed:
        raise MissingError(f"{found} is {version}: {remedy}")
    return Path(found)


def _go_needed() -> tuple[int, int]:
    lines = [(module.folder / "go.mod").read_text() for module in MODULES]
    found = [re.search(r"^go (\d+)\.(\d+)", text, re.MULTILINE) for text in lines]
    return max((int(match[1]), int(match[2])) for match in found if match)


def _module_of(name: str) -> Module:
    for module in MODULES:
        if name in module.packages:
            return module
    known = ", ".join(sorted(name for module in MODULES for name in module.packages))
    raise DeployError(f"no Go module here has the program {name}; there are: {known}")


def _build(module: Module, names: Sequence[str]) -> None:
    folder = folder_of(module)
    tool = go()
    with locked(folder.parent / f"{folder.name}.lock"):
        wanted = missing(*names)  # anew: whoever held the lock may have built them
        if not wanted:
            return
        folder.mkdir(exist_ok=True)
        with tempfile.TemporaryDirectory(dir=folder, prefix=".build-") as temporary:
            packages = [module.packages[name] for name in wanted]
            flags = [*BUILD_FLAGS, f"-ldflags={module.linker_flags}"]
            _go_build([str(tool), "build", "-v", *flags, "-o", f"{temporary}/", *packages], module, wanted)
            for name in wanted:
                Path(temporary, _built_name(module.packages[name])).replace(folder / name)


def _built_name(package: str) -> str:
    """What `go build` calls the program of `package`: the last part of its path that is no major version."""
    parts = package.split("/")
    return parts[-2] if re.fullmatch(r"v\d+", parts[-1]) else parts[-1]


def _go_build(argv: list[str], module: Module, names: Sequence[str]) -> None:
    env = {**os.environ, "CGO_ENABLED": "0", "GOWORK": "off"}
    say(f"finding the Go packages of {', '.join(names)} (the first time, their modules are downloaded) ...")
    listing = [argv[0], "list", "-deps", *argv[argv.index("-o") + 2 :]]
    total = len(run(listing, cwd=module.folder, env=env, timeout_seconds=DOWNLOAD_SECONDS).split())
    started = time.monotonic()
    say(f"building {', '.join(names)} from {total} Go packages (once; cached in {folder_of(module)}) ...")
    with tempfile.TemporaryFile("w+") as output:
        process = subprocess.Popen(argv, cwd=module.folder, env=env, text=True, stdout=output, stderr=output)
        try:
            while True:
                try:
                    process.wait(timeout=REPORT_SECONDS)
                    break
                except subprocess.TimeoutExpired:
                    count = len(_text(output).splitlines())  # -v names each package that is compiled
                    say(f"  {count} of at most {total} packages compiled, {time.monotonic() - started:.0f} s")
        except BaseException:
            process.kill()
            process.wait()
            raise
        text = _text(output)
    if process.returncode != 0:
        raise CommandError(failure(argv[:2] + argv[-len(names) :], process.returncode, text))
    say(f"building {', '.join(names)}: done in {time.monotonic() - started:.0f} s")


def _text(file: IO[str]) -> str:
    """All that was written to `file` so far; the writing process shares its position, so reading is by descriptor."""
    return os.pread(file.fileno(), os.fstat(file.fileno()).st_size, 0).decode(errors="replace")
