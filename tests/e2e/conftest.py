"""One cluster for all end-to-end tests: made by the first that needs it, removed at the end unless KEEP is set."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from deploy import stack
from deploy.binaries import binary
from deploy.demo.run import values
from deploy.demo.scenario import policy
from deploy.demo.stage import Stage
from deploy.errors import DeployError
from deploy.kubectl import Kubectl
from deploy.platforms import choose
from deploy.platforms.port import Platform


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """A cluster is made, and one that runs is replaced, only for who asks: `-m e2e`, or the folder by its name."""
    here = Path(__file__).parent
    asked = "e2e" in config.option.markexpr.replace("not e2e", "") or any("e2e" in part for part in config.args)
    if not asked:
        skip = pytest.mark.skip(reason="makes a cluster: run `make e2e`")
        for item in items:
            if here in item.path.parents:
                item.add_marker(skip)


@pytest.fixture(scope="session")
def platform() -> Iterator[Platform]:
    """An empty cluster on the platform that `PLATFORM` names; without it the one that fits this machine.

    Where there can be none, the run ends with that one sentence instead of an error for every test.
    """
    name = os.environ.get("PLATFORM", "auto")
    try:
        chosen = choose.platform(choose.fitting()[0] if name == "auto" else name)
        chosen.require()
    except DeployError as error:
        pytest.exit(f"no cluster to test on: {error}", returncode=1)
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


@pytest.fixture(scope="session")
def stage(platform: Platform, kubectl: Kubectl) -> Stage:
    """The stack, badly set as in the demo, and the tuner; a policy in Observe whose metrics are there."""
    stage = Stage(kubectl, stack.install(platform, stack_values=values(items=5_000)))
    stage.apply_policy(policy("Observe"))
    stage.wait_for_condition("MetricsAvailable", "True", 120)
    return stage
