"""One cluster for all end-to-end tests: made by the first that needs it, removed at the end unless KEEP is set."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from deploy.binaries import binary
from deploy.kubectl import Kubectl
from deploy.platforms import choose
from deploy.platforms.port import Platform


@pytest.fixture(scope="session")
def platform() -> Iterator[Platform]:
    """An empty cluster on the platform that `PLATFORM` names; without it the one that fits this machine."""
    name = os.environ.get("PLATFORM", "auto")
    chosen = choose.platform(choose.fitting()[0] if name == "auto" else name)
    chosen.up()
    try:
        yield chosen
    finally:
        if not os.environ.get("KEEP"):
            chosen.down()


@pytest.fixture(scope="session")
def kubectl(platform: Platform) -> Kubectl:
    """An administrator's kubectl for that cluster."""
    return Kubectl(platform.kubeconfig, binary("kubectl"))
