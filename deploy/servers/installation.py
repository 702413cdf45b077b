"""Where the programs are and how one is entered: in a root filesystem of their own, or on the host.

In a root filesystem each process gets a private mount namespace: /proc, /dev and the directories that it shares with
the host are bound into the root there and nowhere else, so they vanish with the process and the host's mount table
never changes. Shared memory is private as well (a killed PostgreSQL leaves its segments behind otherwise). Shared
directories have the same path inside and outside, whatever the modes of their parents. Every step replaces the
one before (exec), so the pid that was started is the server's.
"""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from deploy.servers.errors import ServerFailedError, ServersUnavailableError
from deploy.servers.packages import LEAST, Version, parse_version

PROGRAM_DIRECTORIES = ("usr/lib/postgresql/17/bin", "usr/bin", "usr/sbin", "bin", "sbin")
ALIASES = {
    "prometheus-postgres-exporter": ("postgres_exporter",),
    "prometheus-redis-exporter": ("redis_exporter",),
}
"""Upstream's names of what Debian calls otherwise."""

RESERVED = frozenset({"bin", "boot", "dev", "etc", "lib", "lib64", "proc", "sbin", "sys", "usr"})
"""A shared directory hides what the root has at its first path component; these are needed."""

ENVIRONMENT = {"LANG": "C.UTF-8", "TZ": "UTC", "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"}

ENTER = """
set -eu
root=$1; shift
mount --rbind /proc "$root/proc"
mount --rbind /dev "$root/dev"
mount -t tmpfs -o mode=1777 tmpfs "$root/dev/shm"
for file in /etc/hosts /etc/resolv.conf; do
  if [ -e "$file" ] && [ -e "$root$file" ]; then mount --bind "$file" "$root$file"; fi
done
hidden=' '
while [ "$1" != -- ]; do
  top=${1#/}; top=${top%%/*}
  case $hidden in *" $top "*) ;; *)
    mkdir -p "$root/$top"; mount -t tmpfs -o mode=755 tmpfs "$root/$top"; hidden="$hidden$top "
  esac
  mkdir -p "$root$1"; mount --bind "$1" "$root$1"; shift
done
shift
exec chroot "$root" "$@"
"""
"""Arguments: root, shared directories, --, command. Needs root and runs inside `unshare --mount`."""

IF_PARENT_LIVES = '[ "$PPID" = "$0" ] || exit 1; exec "$@"'
"""The death signal misses a parent that died before it was set: then the parent is already another process."""


@dataclass(frozen=True)
class Installation:
    """The servers' programs: below `root`, or on the host when it is None."""

    root: Path | None = None
    versions: dict[str, Version] = field(default_factory=dict, compare=False)

    def find(self, program: str) -> str | None:
        """The path of `program`, as seen from inside the root."""
        for name in (program, *ALIASES.get(program, ())):
            on_path: str | None = shutil.which(name) if self.root is None else None
            if on_path is not None:
                return on_path
            for directory in PROGRAM_DIRECTORIES:  # Debian keeps PostgreSQL's, and for users sbin, off PATH
                if ((self.root or Path("/")) / directory / name).exists():
                    return f"/{directory}/{name}"
        return None

    def account(self, user: str) -> tuple[int, int] | None:
        """uid and gid that a server of `user` gets; None: the caller's own, who is not root."""
        if os.geteuid() != 0:
            return None
        if self.root is not None:
            for line in (self.root / "etc/passwd").read_text().splitlines():
                name, _, uid, gid, *_ = line.split(":")
                if name == user:
                    return int(uid), int(gid)
            raise ServersUnavailableError(f"{self.root} has no user {user}: remove the directory, it is made again")
        for name in (user, "nobody"):
            try:
                entry = pwd.getpwnam(name)
            except KeyError:
                continue
            return entry.pw_uid, entry.pw_gid
        raise ServersUnavailableError(f"this machine has neither a user {user} nor nobody to run a server as")

    def argv(
        self,
        program: str,
        arguments: Sequence[str],
        *,
        user: str,
        shares: Sequence[Path] = (),
        death_signal: signal.Signals = signal.SIGKILL,
    ) -> list[str]:
        """The command that runs `program` as `user`, who sees the directories `shares` of the host.

        The kernel sends `death_signal` when the thread that started the command ends.
        """
        path = self.find(program)
        if path is None:
            raise ServersUnavailableError(f"{program} is not in {self.root or 'PATH'}")
        account = self.account(user)
        identity = [] if account is None else [f"--reuid={account[0]}", f"--regid={account[1]}", "--clear-groups"]
        command = ["setpriv", *identity, f"--pdeathsig={death_signal.name}", "--"]
        command += ["sh", "-c", IF_PARENT_LIVES, str(os.getpid()), path, *arguments]
        if self.root is None:
            return command
        for directory in shares:
            if not directory.is_absolute() or directory.parts[1:2] == () or directory.parts[1] in RESERVED:
                raise ServerFailedError(
                    f"a server cannot have its files in {directory}: it hides a part of the servers' own root; "
                    "take a directory below /tmp, /var, /srv, /home or the like"
                )
        namespace = ["unshare", "--mount", "--ipc", "--propagation", "private", "--", "sh", "-c", ENTER, "enter"]
        return [*namespace, str(self.root), *(str(d) for d in shares), "--", *command]

    def run(self, program: str, arguments: Sequence[str], *, user: str = "nobody", shares: Sequence[Path] = ()) -> str:
        """What `program` prints. Raises ServerFailedError with its output when it fails."""
        done = subprocess.run(
            self.argv(program, arguments, user=user, shares=shares),
            env=ENVIRONMENT, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=300, check=False,
        )  # fmt: skip
        if done.returncode != 0:
            output = (done.stdout + done.stderr).strip()[-2000:]
            raise ServerFailedError(f"{program} {' '.join(arguments)} ended with {done.returncode}:\n{output}")
        return done.stdout

    def read_versions(self) -> dict[str, Version]:
        """major.minor of each server, asked from the programs themselves."""
        return {program: parse_version(self.run(program, ["--version"])) for program in LEAST}
