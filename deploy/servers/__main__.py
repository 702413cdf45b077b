"""`python -m deploy.servers prepare`: find or make the servers' programs, with progress."""

from __future__ import annotations

import argparse
import os
import sys

from deploy.servers.errors import ServersError, ServersUnavailableError
from deploy.servers.rootfs import find_or_make


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m deploy.servers", description=__doc__)
    parser.add_argument("command", choices=["prepare"], help="make the root filesystem when it is not there")
    parser.parse_args()
    try:
        installation = find_or_make()
    except ServersUnavailableError as error:
        print(f"servers: {error}", file=sys.stderr)
        if os.geteuid() == 0:
            return 1  # root can get them, so something is broken
        print("servers: the tests that need them will be skipped", file=sys.stderr)
        return 0
    except ServersError as error:
        print(f"servers: {error}", file=sys.stderr)
        return 1
    versions = ", ".join(f"{name} {major}.{minor}" for name, (major, minor) in installation.versions.items())
    print(f"servers: {versions} in {installation.root or 'PATH'}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
