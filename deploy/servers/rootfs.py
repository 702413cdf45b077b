"""Finds the servers' programs, or makes a Debian root filesystem that holds them.

Preferred are servers of this machine, when all of them are recent enough. Otherwise mmdebstrap makes a root (about
half a minute, 750 MB) under the cache directory, once: in a temporary directory that is renamed when it is complete,
under a file lock, so that processes that start together make one.
"""

from __future__ import annotations

import fcntl
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path

from deploy.servers.errors import ServerFailedError, ServersUnavailableError
from deploy.servers.installation import Installation
from deploy.servers.packages import LEAST, PACKAGES, SUITE, Version, cache_key, mismatches, too_old

Progress = Callable[[str], None]

NEEDED_TOOLS = {"mmdebstrap": "mmdebstrap", "unshare": "util-linux", "setpriv": "util-linux"}
KEYRING = Path("/usr/share/keyrings/debian-archive-keyring.gpg")
VERSIONS_FILE = "trimtab-versions.json"


def cache_directory() -> Path:
    """`$TRIMTAB_CACHE`, or `~/.cache/trimtab`."""
    given = os.environ.get("TRIMTAB_CACHE")
    return Path(given).absolute() if given else Path.home() / ".cache" / "trimtab"


def say(text: str) -> None:
    print(f"servers: {text}", file=sys.stderr, flush=True)


@cache
def find_or_make() -> Installation:
    """The servers' programs of this machine, made when there are none. Cached for the life of the process."""
    return resolve(cache_directory(), say)


def resolve(cache_root: Path, progress: Progress) -> Installation:
    """The host's servers, else the cached root, else a new root.

    Raises ServersUnavailableError with the remedy where there is no way to get them.
    """
    host = Installation()
    missing = lacking(host)
    if not missing:
        return Installation(versions=host.read_versions())
    root = cache_root / f"servers-{cache_key()}"
    if os.geteuid() != 0:
        raise ServersUnavailableError(
            f"the servers of this machine cannot be used ({'; '.join(missing)}) and without root no root filesystem "
            "with them can be entered. Remedy: run as root (sudo), or put PostgreSQL >= 17, PgBouncer >= 1.24, "
            "Redis >= 8 and Prometheus >= 2.53 on PATH"
        )
    if not root.exists():
        with locked(root.with_suffix(".lock")):
            if not root.exists():
                build(root, progress)
    return Installation(root=root, versions=recorded_versions(root))


def lacking(host: Installation) -> list[str]:
    """Why the host's own servers cannot be used, as sentences; empty when they can."""
    absent = [f"{program} is not on PATH" for program in LEAST if host.find(program) is None]
    if absent:
        return absent
    try:
        return too_old(host.read_versions())
    except (ServerFailedError, OSError, ValueError) as error:
        return [f"their versions cannot be read: {error}"]


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Holds an exclusive lock between processes on the file `path`."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def build(root: Path, progress: Progress) -> None:
    """Make the root filesystem at `root`, complete or not at all. The caller holds the lock."""
    install_tools(progress)
    for remnant in root.parent.glob(f"{root.name}.partial-*"):
        shutil.rmtree(remnant, ignore_errors=True)
    partial = root.with_name(f"{root.name}.partial-{os.getpid()}")
    progress(f"making a Debian {SUITE} root with {', '.join(PACKAGES)} (half a minute, 750 MB) at {root}")
    try:
        run_visibly(
            ["mmdebstrap", "--variant=minbase", f"--include={','.join(PACKAGES)}", SUITE, str(partial)], progress
        )
        for name in ("hosts", "resolv.conf"):  # mount points of the host's own
            file = partial / "etc" / name
            file.unlink(missing_ok=True)
            file.touch()
        versions = Installation(root=partial).read_versions()
        if wrong := mismatches(versions):
            raise ServersUnavailableError(f"Debian {SUITE} is not as expected: {'; '.join(wrong)}")
        (partial / VERSIONS_FILE).write_text(json.dumps(versions))
        partial.rename(root)
    except BaseException:
        shutil.rmtree(partial, ignore_errors=True)
        raise
    progress("made: " + ", ".join(f"{name} {major}.{minor}" for name, (major, minor) in versions.items()))


def recorded_versions(root: Path) -> dict[str, Version]:
    """The versions that were read when the root was made."""
    recorded = json.loads((root / VERSIONS_FILE).read_text())
    return {name: (int(major), int(minor)) for name, (major, minor) in recorded.items()}


def install_tools(progress: Progress) -> None:
    """apt-get what making and entering the root needs. Raises ServersUnavailableError where apt-get cannot."""
    packages = {package for tool, package in NEEDED_TOOLS.items() if shutil.which(tool) is None}
    if not KEYRING.exists():
        packages.add("debian-archive-keyring")
    if not packages:
        return
    wanted = " ".join(sorted(packages))
    if shutil.which("apt-get") is None:
        raise ServersUnavailableError(f"{wanted} missing and there is no apt-get here. Remedy: install {wanted}")
    progress(f"installing {wanted} with apt-get")
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    for command in (["apt-get", "update", "-q"], ["apt-get", "install", "-qy", "--no-install-recommends", *packages]):
        run_visibly(command, progress, environment)


def run_visibly(command: list[str], progress: Progress, environment: dict[str, str] | None = None) -> None:
    """Run `command`, passing its lines on. Raises ServersUnavailableError with the last of them when it fails."""
    lines: list[str] = []
    with subprocess.Popen(
        command, env=environment, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    ) as process:
        assert process.stdout is not None  # noqa: S101  # PIPE was asked for
        for line in process.stdout:
            lines.append(line.rstrip())
            if line.startswith(("I:", "W:", "E:", "Setting up")):
                progress(f"  {line.rstrip()}")
    if process.returncode != 0:
        tail = "\n".join(lines[-15:])
        raise ServersUnavailableError(f"{command[0]} ended with {process.returncode}:\n{tail}")
